"""Finds records to predict and converts them to a model's contract, or refuses them.

A record is treated like those of the dataset: leads matched by name, units converted, the signal
resampled, the middle of a longer record taken, steps of 0.001 mV, the checks of
`ecglib.datasets.quality`.
"""

import dataclasses
import math
import numbers
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecglib.datasets.formats import (
    SUFFIXES,
    WFDB_SIGNAL_SUFFIXES,
    ConvertedRecord,
    LeadReader,
    convert_record,
    escape_bytes,
    get_record_name,
    open_records,
)
from ecglib.datasets.problems import FLAGGED, KINDS, make_problem
from ecglib.datasets.quality import QualityChecker
from ecglib.datasets.schema import Problem, SignalSpec
from ecglib.datasets.sources.table import find_files
from ecglib.datasets.sources.wfdb_folder import read_headers
from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular.heart_rate import HEART_RATE, compute_heart_rate
from ecglib.datasets.units import STEP_MV
from ecglib.errors import DatasetError, RecordError, did_you_mean
from ecglib.inference.options import RecordOptions

REMEDIES = {
    "not_measured": "Choose another window (--start, or starts_s), or fill the gaps.",
    "flat": "The electrodes were off: record it again.",
    "wrong_unit": "Name its unit (--unit, or unit), or correct its header.",
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Window:
    """A window that fits the contract.

    Parameters
    ----------
    record : str
        Name of the record.
    start_s : float
        Start of the window in the record, in s.
    steps : int16 array of shape (n_samples, n_leads)
        Samples in 0.001 mV.
    problems : tuple of str, default ()
        What is unusual about the window, such as a flat or a clipped lead.
    values : mapping of str to float, default {}
        Known tabular values by column.

    Examples
    --------
    >>> steps = np.array([[1000], [-500]], np.int16)
    >>> Window(record="a", start_s=0.0, steps=steps).signal_mv.tolist()
    [[1.0], [-0.5]]
    """

    record: str
    start_s: float
    steps: np.ndarray
    problems: tuple[str, ...] = ()
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def signal_mv(self) -> np.ndarray:
        """The samples in mV, float32, as `Dataset.read` returns them."""
        return self.steps.astype(np.float32) * np.float32(STEP_MV)


def find_records(paths: Sequence[str | Path]) -> list[Path]:
    """Find the files of the named records, and of all records below the named folders.

    Parameters
    ----------
    paths : sequence of str or Path
        Records (a header, a signal file or the name of a WFDB record, ``.csv``, ``.edf``, ``.bdf``
        or ``.npy``) and folders. Segments of a WFDB record in several segments are not records.

    Returns
    -------
    list of Path
        One file a record, for a WFDB record its header; those below a folder sorted by path.

    Raises
    ------
    DatasetError
        If a path does not exist, or a folder holds no record.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.csv", "a.npy", "readme.txt"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in find_records([folder])]
    ['a.npy', 'b.csv']
    """
    found: list[Path] = []
    for path in map(Path, paths):
        header = path.with_name(f"{path.name}.hea")
        if path.is_dir() and not header.is_file():
            found += _find_records_below(path)
        elif path.suffix.lower() in SUFFIXES and os.path.lexists(path):
            found.append(path)  # a problem of the record if it is no regular file
        elif path.suffix in WFDB_SIGNAL_SUFFIXES and path.with_suffix(".hea").is_file():
            found.append(path.with_suffix(".hea"))
        elif header.is_file():
            found.append(header)
        else:
            reason = "there is no such file or folder"
            if path.exists():
                reason = f"its name does not end in {', '.join(SUFFIXES)}"
            raise DatasetError(
                f"{path} is not a record: {reason}, and there is no {header.name}. Give a WFDB "
                f"record (its header, or its name), a file that ends in {', '.join(SUFFIXES[1:])}, "
                f"or a folder of these."
            )
    return found


def read_windows(
    paths: Sequence[str | Path], signal: SignalSpec, options: RecordOptions
) -> Iterator[Window | Problem]:
    """Yield the windows of each record, or its problem.

    A record that is refused does not stop the others.

    Parameters
    ----------
    paths : sequence of str or Path
        Records and folders, as for `find_records`.
    signal : SignalSpec
        What a window must be.
    options : RecordOptions
        What the files do not say.

    Yields
    ------
    Window or Problem
        In the order of the records.

    Raises
    ------
    DatasetError
        If a path does not exist, or a folder holds no record.

    Examples
    --------
    >>> import tempfile
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=("II", "I"))
    >>> options = RecordOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> t = np.arange(400)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npy"
    ...     np.save(path, np.stack([np.sin(t / 9), np.cos(t / 9)], axis=1))
    ...     (window,) = read_windows([path], signal, options)
    >>> window.start_s, window.steps.shape, window.problems
    (1.0, (200, 2), ())
    """
    for path in find_records(paths):
        try:
            for name, record in open_records(path, options):
                yield from cut_windows(name, record, signal, options)
        except Exception as error:  # of this record; the others go on
            problem = make_problem(get_record_name(path), error)
            yield dataclasses.replace(problem, detail=escape_bytes(problem.detail))


def cut_windows(
    name: str, record: LeadReader, signal: SignalSpec, options: RecordOptions
) -> Iterator[Window | Problem]:
    """Convert a record to the contract and yield its windows, or its problems.

    Parameters
    ----------
    name : str
        Name of the record.
    record : LeadReader
        The record, whatever it was read from.
    signal : SignalSpec
        What a window must be.
    options : RecordOptions
        Where the windows start, whether a short record is padded, and the tabular values.

    Yields
    ------
    Window or Problem
        One for each start; one in the middle if no start is given.

    Examples
    --------
    >>> from ecglib.datasets.formats import wrap_array
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=("II", "I"))
    >>> options = RecordOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> t = np.arange(400)
    >>> record = wrap_array(np.stack([np.sin(t / 9), np.cos(t / 9)], axis=1), options)
    >>> (window,) = cut_windows("a", record, signal, options)
    >>> window.start_s, window.steps[0].tolist()
    (1.0, [115, -993])
    """
    try:
        converted = convert_record(name, record, signal)
    except Exception as error:
        yield make_problem(name, error)
        return
    for start_s in options.starts_s or (None,):
        try:
            yield _cut_window(name, converted, start_s, signal, options)
        except RecordError as error:
            prefix = "" if start_s is None else f"Start {start_s:g} s: "
            yield Problem(name, error.kind, f"{prefix}{error}")


def read_stored_windows(
    dataset: Dataset, rows: np.ndarray, columns: Sequence[str] = ()
) -> Iterator[Window]:
    """Yield windows of a prepared store.

    Parameters
    ----------
    dataset : Dataset
        The store.
    rows : int array of shape (n_windows,)
        Rows of its window table.
    columns : sequence of str, default ()
        Tabular values that the windows carry (`Predictor.tabular_columns`).

    Yields
    ------
    Window
        In the order of `rows`. Its start counts from the first window of its record.

    Raises
    ------
    DatasetError
        If the store does not have one of the columns.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     (window,) = read_stored_windows(dataset, np.array([5]))
    ...     bool((window.signal_mv == dataset.read(np.array([5]))[0]).all())
    True
    """
    table, tabular = dataset.windows, dataset.read_tabular(rows, columns)
    first_start = table.groupby("record")["start"].min()
    for row, values in zip(rows, tabular, strict=True):
        (steps,) = dataset.read_steps(np.array([row]))
        record = table["record"].iloc[row]
        start = table["start"].iloc[row] - first_start[record]
        yield Window(
            record=str(record),
            start_s=float(start / dataset.signal.sampling_rate_hz),
            steps=steps,
            values=dict(zip(columns, values.tolist(), strict=True)),
        )


def compute_tabular(window: Window, columns: Sequence[str], signal: SignalSpec) -> np.ndarray:
    """Return the tabular values of a window: the known ones, heart rate computed from its beats.

    Parameters
    ----------
    window : Window
        The window.
    columns : sequence of str
        Names of the wanted values, in order.
    signal : SignalSpec
        Its sampling rate and leads.

    Returns
    -------
    float32 array of shape (n_columns,)
        NaN where a value is not known.

    Examples
    --------
    >>> steps = np.zeros((200, 1), np.int16)
    >>> window = Window(record="a", start_s=0.0, steps=steps, values={"age": 63})
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=("I",))
    >>> compute_tabular(window, ["sex", "age"], signal).tolist()
    [nan, 63.0]
    """
    values = dict(window.values)
    if set(columns) & set(HEART_RATE) - set(values):
        heart_rate = compute_heart_rate(window.signal_mv, signal)
        values = dict(zip(HEART_RATE, heart_rate, strict=True)) | values
    return np.array([values.get(name, np.nan) for name in columns], np.float32)


def check_tabular_values(values: Mapping[str, object], columns: Sequence[str]) -> None:
    """Check that a model uses the tabular values that were given, and that they are numbers.

    Parameters
    ----------
    values : mapping of str to object
        The values by column (`RecordOptions.values`), as the user gave them.
    columns : sequence of str
        The columns that the model uses; none if it has no tabular branch.

    Raises
    ------
    DatasetError
        If a name is not one of the columns, or a value is not a number.

    Examples
    --------
    >>> check_tabular_values({"agee": 63}, ["age", "sex"])
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: A value was given for 'agee', ... Did you mean 'age'?
    """
    for name, value in values.items():
        if name not in columns:
            used = f"only {', '.join(columns)}" if columns else "no tabular values"
            raise DatasetError(
                f"A value was given for {name!r}, but the model uses {used}. Leave it out, or "
                f"correct its name.{did_you_mean(name, columns)}"
            )
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise DatasetError(
                f"The value of {name!r} is {value!r}, expected a number. Leave it out if it is "
                f"not known."
            )


def _find_records_below(folder: Path) -> list[Path]:
    files = [folder / path for path in find_files(folder, SUFFIXES)]
    if any(path.suffix.lower() == ".hea" for path in files):
        headers, problems = read_headers(folder)
        names = [*headers, *(problem.record for problem in problems)]
        files = [path for path in files if path.suffix.lower() != ".hea"]
        files += [folder / f"{name}.hea" for name in names]
    if not files:
        raise DatasetError(
            f"There is no record below {folder}: no file ends in {', '.join(SUFFIXES)}. Give the "
            f"folder of the records."
        )
    return sorted(files)


def _cut_window(
    name: str,
    record: ConvertedRecord,
    start_s: float | None,
    signal: SignalSpec,
    options: RecordOptions,
) -> Window:
    """Cut the window that starts at `start_s` out of a record; without it the middle one."""
    steps = record.steps
    rate_hz = signal.sampling_rate_hz
    n_missing = signal.n_samples - len(steps)  # negative if the record is longer than a window
    _check_length(len(steps), start_s, signal, options)
    start = max(0, -n_missing // 2)
    if start_s is not None:
        last = max(0, -n_missing)
        start = round(start_s * rate_hz) if math.isfinite(start_s) else -1
        if not 0 <= start <= last:
            raise RecordError(
                "too_short",
                f"The window would end at {start_s + signal.n_samples / rate_hz:g} s, but the "
                f"record has {len(steps) / rate_hz:g} s. Choose a start from 0 to "
                f"{last / rate_hz:g}.",
            )
    end = start + signal.n_samples
    window = np.ascontiguousarray(steps[start:end])
    problems = [_describe_problem(problem) for problem in record.problems]
    problems += _find_problems(name, window, signal)
    if n_missing > 0:
        window = np.pad(window, ((0, n_missing), (0, 0)))
        problems.append(f"padded with {n_missing / rate_hz:g} s of 0 mV at its end")
    return Window(
        record=name,
        start_s=start / rate_hz,
        steps=window,
        problems=tuple(problems),
        values=options.values,
    )


def _check_length(
    n_samples: int, start_s: float | None, signal: SignalSpec, options: RecordOptions
) -> None:
    """Check that a record is long enough, and that it is clear where its window starts."""
    rate_hz = signal.sampling_rate_hz
    wanted = (
        f"windows of {signal.n_samples / rate_hz:g} s ({signal.n_samples} samples at "
        f"{rate_hz:g} Hz)"
    )
    if n_samples < signal.n_samples and not options.pad:
        raise RecordError(
            "too_short",
            f"The record has {n_samples / rate_hz:g} s, but the model takes {wanted}. Give a "
            f"longer record, or pad it (--pad, or pad) if the model was trained on such records.",
        )
    if signal.around_beats and start_s is None and n_samples > signal.n_samples:
        raise RecordError(
            "no_start",
            f"The record has {n_samples / rate_hz:g} s, but the model was trained on {wanted} "
            f"around a beat. Give the start of each window in s (--start, or starts_s), or records "
            f"of exactly that length.",
        )


def _find_problems(name: str, steps: np.ndarray, signal: SignalSpec) -> list[str]:
    """Describe what is unusual about a window; refuse one that cannot be trusted."""
    checker = QualityChecker(signal.sampling_rate_hz, signal.leads)
    descriptions = []
    for problem in checker.find_problems([name], steps[None]):
        description = _describe_problem(problem)
        if problem.kind not in FLAGGED:
            remedy = REMEDIES[problem.kind]
            raise RecordError(problem.kind, f"{description} {remedy}")
        descriptions.append(description)
    return descriptions


def _describe_problem(problem: Problem) -> str:
    return f"{KINDS[problem.kind]}: {problem.detail}"
