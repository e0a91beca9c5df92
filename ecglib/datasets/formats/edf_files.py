"""Records in EDF and BDF files."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.datasets.formats.base import ColumnRecord, FileOptions
from ecglib.datasets.units import MV_PER_UNIT
from ecglib.errors import RecordError

VERSIONS = {b"0       ": "EDF", b"\xffBIOSEMI": "BDF"}  # how the files begin
ENCODING = "latin-1"  # of the unit µV; EDF allows ASCII only


def read_edf(path: Path, options: FileOptions | None = None) -> ColumnRecord:
    """Read an EDF or BDF file; its content decides which of both it is.

    Parameters
    ----------
    path : Path
        The file.
    options : FileOptions, optional
        Gives the unit of signals whose header names no voltage.

    Returns
    -------
    ColumnRecord
        The record, with all its signals; each may have another sampling rate.

    Raises
    ------
    RecordError
        If the file cannot be read, has another length than its header says or gaps in time
        (EDF+D), or a signal that is asked for is not calibrated.

    Examples
    --------
    >>> import tempfile
    >>> import edfio
    >>> lead = edfio.EdfSignal(np.arange(200.0), 100, label="ECG II", physical_dimension="uV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.edf"
    ...     edfio.Edf([lead]).write(path)
    ...     record = read_edf(path)
    >>> record.leads, record.units, record.sampling_rates_hz
    (('ECG II',), ('uV',), (100.0,))
    """
    options = options or FileOptions()
    file = _read_file(path)
    signals = file.signals
    leads = tuple(signal.label for signal in signals)

    def read_column(column: int) -> np.ndarray:
        _check_calibration(path, signals[column])
        return signals[column].data

    return ColumnRecord(
        leads=leads,
        units=tuple(_find_unit(signal, options.unit) for signal in signals),
        sampling_rates_hz=tuple(float(signal.sampling_frequency) for signal in signals),
        read_column=read_column,
    )


def _read_file(path: Path) -> Any:
    """Read a continuous EDF or BDF file that is as long as its header says."""
    try:
        import edfio
    except ImportError:
        raise RecordError(
            "unreadable",
            f"{path} cannot be read, because edfio is not installed: python -m pip install edfio",
        ) from None
    try:
        with open(path, "rb") as stream:
            kind = VERSIONS.get(stream.read(8))
        if kind is None:
            raise ValueError("it begins neither like EDF nor like BDF")
        read = edfio.read_bdf if kind == "BDF" else edfio.read_edf
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # edfio warns where a file is cut short
            file = read(path, header_encoding=ENCODING)
            is_continuous = file.is_continuous
    except UserWarning as warning:
        raise RecordError(
            "truncated", f"{path} is not as long as its header says: {warning} Export it again."
        ) from None
    except Exception as error:  # edfio raises errors of any type
        raise RecordError(
            "unreadable",
            f"{path} cannot be read as EDF: {type(error).__name__}: {str(error)[:200]}. Check the "
            f"file.",
        ) from None
    if not is_continuous:
        raise RecordError(
            "not_measured",
            f"{path} is an EDF+D file, with gaps in time, expected a continuous one. Export it "
            f"without gaps.",
        )
    return file


def _find_unit(signal: Any, given: str) -> str:
    """Find the unit of a signal: that of the header if it is a voltage, else the given one."""
    text = signal.physical_dimension
    try:
        unit = text.encode(ENCODING).decode("utf-8")  # some files have UTF-8
    except UnicodeError:
        unit = text
    return unit if unit.lower() in MV_PER_UNIT or not given else given


def _check_calibration(path: Path, signal: Any) -> None:
    """Refuse a signal of which only raw counts are known."""
    try:
        physical = (signal.physical_min, signal.physical_max)
        digital = (signal.digital_min, signal.digital_max)
        is_calibrated = physical[0] != physical[1] and digital[0] != digital[1]
        if is_calibrated and all(map(math.isfinite, physical)):
            return
        reason = f"physical range {physical}, digital range {digital}"
    except (ValueError, OverflowError) as error:
        reason = str(error)[:200]
    raise RecordError(
        "unknown_unit",
        f"Signal {signal.label!r} of {path} is not calibrated: {reason}. Correct the minimum and "
        f"the maximum in its header, or export the file again.",
    )
