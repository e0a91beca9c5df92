"""Records in EDF and BDF files."""

from pathlib import Path

from ecglib.datasets.formats.base import ColumnRecord
from ecglib.errors import RecordError


def read_edf(path: Path, unit: str = "") -> ColumnRecord:
    """Read an EDF or BDF file.

    Parameters
    ----------
    path : Path
        The file; ``.bdf`` for BDF.
    unit : str, default ""
        Unit of signals whose header names none.

    Returns
    -------
    ColumnRecord
        The record, with all its signals; each may have another sampling rate.

    Raises
    ------
    RecordError
        If the file cannot be read or has gaps in time (EDF+D).

    Examples
    --------
    >>> import tempfile
    >>> import edfio
    >>> import numpy as np
    >>> lead = edfio.EdfSignal(np.arange(200.0), 100, label="ECG II", physical_dimension="uV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.edf"
    ...     edfio.Edf([lead]).write(path)
    ...     record = read_edf(path)
    >>> record.leads, record.units, record.sampling_rates_hz
    (('ECG II',), ('uV',), (100.0,))
    """
    try:
        import edfio
    except ImportError:
        raise RecordError(
            "unreadable",
            f"{path} cannot be read, because edfio is not installed: python -m pip install edfio",
        ) from None
    read = edfio.read_bdf if path.suffix.lower() == ".bdf" else edfio.read_edf
    try:
        file = read(path)
        is_continuous = file.is_continuous
    except Exception as error:  # edfio raises errors of any type
        raise RecordError(
            "unreadable",
            f"{path} cannot be read as EDF: {type(error).__name__}: {error}. Check the file.",
        ) from None
    if not is_continuous:
        raise RecordError(
            "not_measured",
            f"{path} is an EDF+D file, with gaps in time, expected a continuous one. Export it "
            f"without gaps.",
        )
    signals = file.signals
    return ColumnRecord(
        leads=tuple(signal.label for signal in signals),
        units=tuple(signal.physical_dimension or unit for signal in signals),
        sampling_rates_hz=tuple(signal.sampling_frequency for signal in signals),
        read_column=lambda column: signals[column].data,
    )
