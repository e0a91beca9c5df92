"""The files that hold a record to predict: WFDB, CSV, EDF, BDF and NumPy."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ecglib.datasets.leads import match_leads
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.sources.table import LeadReader
from ecglib.datasets.units import find_mv_per_unit, to_steps
from ecglib.datasets.wfdb.records import read_record
from ecglib.errors import DatasetError, RecordError
from ecglib.inference.options import RecordOptions

SUFFIXES = (".hea", ".csv", ".edf", ".bdf", ".npy")
WFDB_SIGNAL_SUFFIXES = (".dat", ".mat")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ColumnRecord:
    """A record whose leads are columns of numbers, whatever file they come from.

    It is read like a `WfdbRecord`.

    Parameters
    ----------
    leads, units : tuple of str
        Name and unit of each column.
    sampling_rate_hz : float
        Sampling rate of all columns, in Hz.
    read_column : callable
        Takes the number of a column and returns its samples, shape (n_samples,), in its unit.

    Examples
    --------
    >>> samples = np.array([[100, 1.0], [np.nan, 2.0]])
    >>> record = ColumnRecord(
    ...     leads=("I", "II"),
    ...     units=("uV", "mV"),
    ...     sampling_rate_hz=500.0,
    ...     read_column=lambda column: samples[:, column],
    ... )
    >>> record.to_mv([1, 0]).tolist()
    [[1.0, 0.1], [2.0, nan]]
    >>> record.to_steps([1]).tolist()
    [[1000], [2000]]
    """

    leads: tuple[str, ...]
    units: tuple[str, ...]
    sampling_rate_hz: float
    read_column: Callable[[int], np.ndarray]

    def to_mv(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some columns to mV.

        Parameters
        ----------
        columns : sequence of int
            Numbers of the columns, in any order.

        Returns
        -------
        float64 array of shape (n_samples, n_columns)
            In mV, NaN where nothing was measured.

        Raises
        ------
        RecordError
            If a unit is not a voltage.
        """
        try:
            factors = [find_mv_per_unit(self.units[column]) for column in columns]
        except DatasetError as error:
            raise RecordError("unknown_unit", str(error)) from None
        pairs = zip(factors, columns, strict=True)
        return np.stack([factor * self.read_column(column) for factor, column in pairs], axis=1)

    def to_steps(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some columns to int16 steps of 0.001 mV, shape (n_samples, n_columns)."""
        return to_steps(self.to_mv(columns))


def get_record_name(path: Path) -> str:
    """Return the name of the record in a file: its path, without ``.hea``.

    Parameters
    ----------
    path : Path
        The file.

    Examples
    --------
    >>> get_record_name(Path("visit1.hea")), get_record_name(Path("visit1.csv"))
    ('visit1', 'visit1.csv')
    """
    return str(path.with_suffix("") if path.suffix == ".hea" else path)


def read_file(
    path: Path, signal: SignalSpec, options: RecordOptions
) -> Iterator[tuple[str, LeadReader]]:
    """Yield the name of each record in a file, and the record.

    Parameters
    ----------
    path : Path
        A file with one of `SUFFIXES`. Only a NumPy file can hold several records.
    signal : SignalSpec
        Its leads are those that an EDF or BDF file must have.
    options : RecordOptions
        What the file does not say.

    Yields
    ------
    tuple of (str, LeadReader)
        Name and record. Several records in one file are numbered: ``a.npy[0]``.

    Raises
    ------
    RecordError
        If the file cannot be read or does not say enough.

    Examples
    --------
    >>> import tempfile
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=4, leads=("I", "II"))
    >>> options = RecordOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.npy"
    ...     np.save(path, np.zeros((2, 4, 2)))
    ...     [Path(name).name for name, record in read_file(path, signal, options)]
    ['two.npy[0]', 'two.npy[1]']
    """
    suffix = path.suffix.lower()
    if suffix == ".hea":
        yield get_record_name(path), read_record(path)
    elif suffix == ".csv":
        yield get_record_name(path), read_csv(path, options)
    elif suffix == ".npy":
        yield from read_npy(path, options)
    else:
        yield get_record_name(path), read_edf(path, signal.leads, options.unit)


def read_csv(path: Path, options: RecordOptions) -> ColumnRecord:
    """Read a CSV file with the names of the leads in its first line.

    Parameters
    ----------
    path : Path
        The file. Columns are separated by commas, semicolons or tabs.
    options : RecordOptions
        Gives the sampling rate and the unit.

    Returns
    -------
    ColumnRecord
        The record. A column that is not asked for need not hold numbers.

    Raises
    ------
    RecordError
        If the file cannot be read, or the sampling rate or the unit is not given.

    Examples
    --------
    >>> import tempfile
    >>> options = RecordOptions(sampling_rate_hz=100.0, unit="mV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("time;I;II\\n00:00;0.1;0.2\\n")
    ...     record = read_csv(path, options)
    >>> record.leads, record.to_steps([1, 2]).tolist()
    (('time', 'I', 'II'), [[100, 200]])
    """
    import pandas as pd

    _require_rate_and_unit(path, options)
    try:
        with open(path) as file:
            first_line = file.readline()
        frame = pd.read_csv(path, sep=max(",;\t", key=first_line.count))
    except (OSError, ValueError) as error:
        raise RecordError(
            "unreadable", f"{path} cannot be read as CSV: {error}. Check the file."
        ) from None
    names = tuple(str(name).strip() for name in frame.columns)

    def read_column(column: int) -> np.ndarray:
        try:
            return frame.iloc[:, column].to_numpy(float)
        except ValueError as error:
            raise RecordError(
                "unreadable",
                f"Column {names[column]!r} of {path} has a value that is not a number: {error}. "
                f"Correct the file.",
            ) from None

    return ColumnRecord(
        leads=names,
        units=(options.unit,) * len(names),
        sampling_rate_hz=options.sampling_rate_hz,
        read_column=read_column,
    )


def read_npy(path: Path, options: RecordOptions) -> Iterator[tuple[str, ColumnRecord]]:
    """Yield the name and the record of each recording in a NumPy file.

    Parameters
    ----------
    path : Path
        A ``.npy`` file of numbers, of shape (n_samples, n_leads) or, for several records,
        (n_records, n_samples, n_leads). It is memory-mapped.
    options : RecordOptions
        Gives the sampling rate, the unit and the leads.

    Yields
    ------
    tuple of (str, ColumnRecord)
        Name and record.

    Raises
    ------
    RecordError
        If the file cannot be read, its shape does not fit, or the sampling rate, the unit or the
        leads are not given.

    Examples
    --------
    >>> import tempfile
    >>> options = RecordOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npy"
    ...     np.save(path, [[0.1, 0.2]])
    ...     [record.to_steps([1]).tolist() for name, record in read_npy(path, options)]
    [[[200]]]
    """
    _require_rate_and_unit(path, options)
    n_leads = len(options.leads)
    if not n_leads:
        raise RecordError(
            "missing_lead",
            f"{path} does not name its leads. Name them in the order of its columns (--leads, or "
            f"leads).",
        )
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise RecordError(
            "unreadable", f"{path} cannot be read as .npy: {error}. Check the file."
        ) from None
    if array.ndim not in (2, 3) or array.shape[-1] != n_leads or array.dtype.kind not in "iuf":
        raise RecordError(
            "unreadable",
            f"{path} holds {array.dtype} of shape {array.shape}, expected numbers of shape "
            f"(n_samples, {n_leads}) or (n_records, n_samples, {n_leads}) for the leads "
            f"{', '.join(options.leads)}. Transpose the array, or correct the leads.",
        )
    if array.ndim == 2:
        yield str(path), _wrap_array(array, options)
    else:
        for number, recording in enumerate(array):
            yield f"{path}[{number}]", _wrap_array(recording, options)


def read_edf(path: Path, leads: Sequence[str], unit: str = "") -> ColumnRecord:
    """Read the wanted leads of an EDF or BDF file.

    The file may hold other signals at other sampling rates; only the wanted leads count.

    Parameters
    ----------
    path : Path
        The file; ``.bdf`` for BDF.
    leads : sequence of str
        Names of the wanted leads, in any spelling that `match_leads` knows.
    unit : str, default ""
        Unit of signals whose header names none.

    Returns
    -------
    ColumnRecord
        The record, with the wanted leads only.

    Raises
    ------
    RecordError
        If the file cannot be read or has gaps in time (EDF+D), or a lead is missing, or the leads
        have different sampling rates.

    Examples
    --------
    >>> import tempfile
    >>> import edfio
    >>> lead = edfio.EdfSignal(np.arange(200.0), 100, label="ECG II", physical_dimension="uV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.edf"
    ...     edfio.Edf([lead]).write(path)
    ...     record = read_edf(path, ["II"])
    >>> record.leads, record.units, record.sampling_rate_hz
    (('II',), ('uV',), 100.0)
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
    columns = match_leads(leads, [signal.label for signal in file.signals])
    signals = [file.signals[column] for column in columns]
    rates_hz = sorted({signal.sampling_frequency for signal in signals})
    if len(rates_hz) > 1:
        raise RecordError(
            "wrong_rate",
            f"The leads {', '.join(leads)} of {path} have the sampling rates {rates_hz} Hz, "
            f"expected one. Export the leads at one rate.",
        )
    return ColumnRecord(
        leads=tuple(leads),
        units=tuple(signal.physical_dimension or unit for signal in signals),
        sampling_rate_hz=rates_hz[0],
        read_column=lambda column: signals[column].data,
    )


def _wrap_array(recording: np.ndarray, options: RecordOptions) -> ColumnRecord:
    return ColumnRecord(
        leads=options.leads,
        units=(options.unit,) * len(options.leads),
        sampling_rate_hz=options.sampling_rate_hz,
        read_column=lambda column: recording[:, column],
    )


def _require_rate_and_unit(path: Path, options: RecordOptions) -> None:
    if not options.sampling_rate_hz:
        raise RecordError(
            "wrong_rate",
            f"{path} does not name its sampling rate. Give it in Hz (--rate, or sampling_rate_hz).",
        )
    if not options.unit:
        raise RecordError(
            "unknown_unit",
            f"{path} does not name its unit. Give mV, uV, V or nV (--unit, or unit).",
        )
