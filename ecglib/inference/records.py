"""Records to be predicted: WFDB, CSV, EDF or NumPy, brought to a model's contract or refused.

What is done to a record is what was done to those of the dataset: leads by name, units, rate,
the middle of a longer record, steps of 0.001 mV, the checks of `datasets.quality`.
"""

import dataclasses
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecglib.datasets import leads
from ecglib.datasets.problems import FLAGGED, KINDS
from ecglib.datasets.quality import Quality
from ecglib.datasets.schema import Problem, SignalSpec
from ecglib.datasets.sources.table import at_rate
from ecglib.datasets.sources.wfdb_folder import read_headers
from ecglib.datasets.tabular.heart_rate import HEART_RATE, of_window
from ecglib.datasets.units import STEP_MV, find_mv_per_unit, to_steps
from ecglib.datasets.wfdb.records import read_record
from ecglib.errors import DatasetError, RecordError, did_you_mean

SUFFIXES = (".hea", ".csv", ".edf", ".bdf", ".npy")
SIGNAL_FILES = (".dat", ".mat")
REMEDIES = {
    "not_measured": "Choose another stretch (--start, or starts_s), or fill the gaps.",
    "flat": "The electrodes were off: record it again.",
    "wrong_unit": "Name its unit (--unit, or unit), or correct its header.",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What the files do not say themselves.

    Parameters
    ----------
    rate_hz
        sampling rate of CSV and NumPy files, in Hz.
    unit
        unit of CSV and NumPy files, and of an EDF file that names none: mV, uV, V or nV.
    leads
        names of the columns of a NumPy array; those of a CSV file stand in its first line.
    starts_s
        start of each window in the record, in s; empty for one window, the middle.
    pad
        a record that is shorter than the window is followed by 0 mV, instead of being refused.
    values
        tabular values by their column, such as ``{"age": 63, "sex": 1}``; they hold for every
        record.
    """

    rate_hz: float = 0.0
    unit: str = ""
    leads: tuple[str, ...] = ()
    starts_s: tuple[float, ...] = ()
    pad: bool = False
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """A window that fits the contract.

    Parameters
    ----------
    record
        name of the record.
    start_s
        where in the record it starts, in s.
    steps
        int16 array of shape (n_samples, n_leads), in 0.001 mV.
    notes
        what is odd about it: a lead flat, off or clipped.
    values
        tabular values that are known, by their column.
    """

    record: str
    start_s: float
    steps: np.ndarray
    notes: tuple[str, ...] = ()
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def signal_mv(self) -> np.ndarray:
        """The samples in mV, float32, as `Dataset.read` gives them."""
        return self.steps.astype(np.float32) * np.float32(STEP_MV)


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """A record in columns, whatever file they come from; read as a `WfdbRecord` is.

    Parameters
    ----------
    leads, units
        name and unit of each column.
    sampling_rate_hz
        of all columns, in Hz.
    column
        number of a column -> its samples, (n_samples,).
    """

    leads: tuple[str, ...]
    units: tuple[str, ...]
    sampling_rate_hz: float
    column: Callable[[int], np.ndarray]

    def signal_mv(self, columns: Sequence[int]) -> np.ndarray:
        """These columns in mV: float64, (n_samples, len(columns)), NaN where not measured.

        Raises
        ------
        RecordError
            a unit is none of voltage.
        """
        try:
            factors = [find_mv_per_unit(self.units[column]) for column in columns]
        except DatasetError as error:
            raise RecordError("unknown_unit", str(error)) from None
        pairs = zip(factors, columns, strict=True)
        return np.stack([factor * self.column(column) for factor, column in pairs], axis=1)

    def steps(self, columns: Sequence[int]) -> np.ndarray:
        """These columns as int16 steps of 0.001 mV."""
        return to_steps(self.signal_mv(columns))


def windows_of(
    paths: Sequence[str | Path], signal: SignalSpec, given: Given
) -> Iterator[Window | Problem]:
    """Yield the windows of each record, or what is wrong with it; one bad record stops no other.

    Parameters
    ----------
    paths
        records (a header or the name of a WFDB record, ``.csv``, ``.edf``, ``.bdf``, ``.npy``) and
        folders, of which every record below is taken.
    signal
        what a window must be.
    given
        what the files do not say.

    Raises
    ------
    DatasetError
        a path does not exist, or a folder holds no record.
    """
    for path in find_records(paths):
        name = str(path.with_suffix("") if path.suffix == ".hea" else path)
        try:
            for own_name, record in _records_in(path, name, signal, given):
                yield from _windows(own_name, record, signal, given)
        except RecordError as error:
            yield Problem(name, error.kind, str(error))


def tabular_of(window: Window, columns: Sequence[str], signal: SignalSpec) -> np.ndarray:
    """The tabular values of a window: what was given, else computed from its beats.

    Parameters
    ----------
    window
        the window.
    columns
        names of the values that are wanted, in order.
    signal
        what its samples are.

    Returns
    -------
    float32 array of shape (n_columns,), NaN where a value is not known.
    """
    values = dict(window.values)
    if set(columns) & set(HEART_RATE) - set(values):
        found = of_window(window.signal_mv, signal)
        values = dict(zip(HEART_RATE, found, strict=True)) | values
    return np.array([values.get(name, np.nan) for name in columns], np.float32)


def check_values(values: Mapping[str, float], columns: Sequence[str]) -> None:
    """Refuse tabular values that a model does not look at, or that are no numbers.

    Parameters
    ----------
    values
        what was given (`Given.values`).
    columns
        the columns that the model looks at; none if it looks at no tabular values.

    Raises
    ------
    DatasetError
        a name is no column, or a value no number.
    """
    for name, value in values.items():
        if name not in columns:
            looks_at = f"only at {', '.join(columns)}" if columns else "at no tabular values"
            raise DatasetError(
                f"A value was given for {name!r}, and the model looks {looks_at}. Leave it out, or "
                f"correct its name.{did_you_mean(name, columns)}"
            )
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise DatasetError(
                f"The value of {name!r} is {value!r}, expected a number. Leave it out where it is "
                f"not known."
            )


def find_records(paths: Sequence[str | Path]) -> list[Path]:
    """The files of the records that are named, and of all below the folders that are.

    Raises
    ------
    DatasetError
        see `windows_of`.
    """
    found = []
    for path in map(Path, paths):
        header = path.with_name(f"{path.name}.hea")
        if path.is_dir() and not header.is_file():
            found += _records_below(path)
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            found.append(path)
        elif path.suffix in SIGNAL_FILES and path.with_suffix(".hea").is_file():
            found.append(path.with_suffix(".hea"))
        elif header.is_file():
            found.append(header)
        else:
            raise DatasetError(
                f"{path} is no record: there is {'no' if not path.exists() else 'a'} file of that "
                f"name, and no {header.name}. Give a WFDB record (its header, or its name), a file "
                f"that ends in {', '.join(SUFFIXES[1:])}, or a folder of these."
            )
    return found


def _records_below(folder: Path) -> list[Path]:
    """Every record below a folder, by path; segments of other records are none."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    if any(path.suffix == ".hea" for path in files):
        headers, problems = read_headers(folder)
        records = [*headers, *(problem.record for problem in problems)]
        files = [path for path in files if path.suffix != ".hea"]
        files += [folder / f"{record}.hea" for record in records]
    if not files:
        raise DatasetError(
            f"There is no record below {folder}: no file ends in {', '.join(SUFFIXES)}. Give the "
            f"folder of the records."
        )
    return sorted(files)


def _records_in(path: Path, name: str, signal: SignalSpec, given: Given) -> Iterator[tuple]:
    """The name of each record of a file, and the record."""
    kind = path.suffix.lower()
    if kind == ".hea":
        yield name, read_record(path)
    elif kind == ".csv":
        yield name, _csv(path, given)
    elif kind == ".npy":
        yield from _npy(path, given)
    else:
        yield name, _edf(path, signal, given)


def _csv(path: Path, given: Given) -> Columns:
    import pandas as pd

    _require(path, given)
    try:
        with open(path) as file:
            first = file.readline()
        frame = pd.read_csv(path, sep=max(",;\t", key=first.count))
    except (OSError, ValueError) as error:
        raise RecordError("unreadable", f"{path} cannot be read as CSV: {error}") from None
    names = tuple(str(name).strip() for name in frame.columns)

    def column(number: int) -> np.ndarray:
        try:
            return frame.iloc[:, number].to_numpy(float)
        except ValueError as error:
            where = f"The column {names[number]!r} of {path} holds something else than numbers"
            raise RecordError("unreadable", f"{where}: {error}. Correct it.") from None

    return Columns(names, (given.unit,) * len(names), given.rate_hz, column)


def _npy(path: Path, given: Given) -> Iterator[tuple[str, Columns]]:
    """The record of an array (n_samples, n_leads), or each of (n_records, n_samples, n_leads)."""
    _require(path, given)
    n_leads = len(given.leads)
    if not n_leads:
        raise RecordError("missing_lead", f"{path} names no leads. Give them: --leads, or leads.")
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise RecordError("unreadable", f"{path} cannot be read as .npy: {error}") from None
    if array.ndim not in (2, 3) or array.shape[-1] != n_leads or array.dtype.kind not in "iuf":
        raise RecordError(
            "unreadable",
            f"{path} holds {array.dtype} of shape {array.shape}, expected numbers of shape "
            f"(n_samples, {n_leads}) or (n_records, n_samples, {n_leads}) for the leads "
            f"{', '.join(given.leads)}. Transpose it, or correct the leads.",
        )
    several = array.ndim == 3
    for number, own in enumerate(array if several else array[None]):
        name = f"{path}[{number}]" if several else str(path)
        units = (given.unit,) * n_leads
        yield name, Columns(given.leads, units, given.rate_hz, lambda c, own=own: own[:, c])


def _edf(path: Path, signal: SignalSpec, given: Given) -> Columns:
    try:
        import edfio
    except ImportError:
        raise RecordError(
            "unreadable", f"Reading {path} needs edfio: python -m pip install edfio"
        ) from None
    read = edfio.read_bdf if path.suffix.lower() == ".bdf" else edfio.read_edf
    try:
        file = read(path)
        continuous = file.is_continuous
    except Exception as error:  # edfio raises any
        raise RecordError(
            "unreadable", f"{path} cannot be read as EDF: {type(error).__name__}: {error}"
        ) from None
    if not continuous:
        raise RecordError(
            "not_measured", f"{path} is an EDF+D file, with gaps in time. Export it without gaps."
        )
    # An EDF file may hold other signals at other rates; only the leads that are wanted count.
    columns = leads.match_leads(signal.leads, [own.label for own in file.signals])
    chosen = [file.signals[column] for column in columns]
    rates_hz = sorted({own.sampling_frequency for own in chosen})
    if len(rates_hz) > 1:
        raise RecordError(
            "wrong_rate",
            f"The leads {', '.join(signal.leads)} of {path} have the rates {rates_hz} Hz, expected "
            f"one. Export the leads at one rate.",
        )
    return Columns(
        signal.leads,
        tuple(own.physical_dimension or given.unit for own in chosen),
        rates_hz[0],
        lambda number: chosen[number].data,
    )


def _require(path: Path, given: Given) -> None:
    if not given.rate_hz:
        raise RecordError(
            "wrong_rate",
            f"{path} names no sampling rate. Give it in Hz: --rate, or rate_hz.",
        )
    if not given.unit:
        raise RecordError(
            "unknown_unit",
            f"{path} names no unit. Give mV, uV, V or nV: --unit, or unit.",
        )


def _windows(name: str, record, signal: SignalSpec, given: Given) -> Iterator[Window | Problem]:
    try:
        steps = at_rate(record, signal)
    except RecordError as error:
        yield Problem(name, error.kind, str(error))
        return
    for start_s in given.starts_s or (None,):
        try:
            yield _window(name, steps, signal, start_s, given)
        except RecordError as error:
            where = "" if start_s is None else f"Start {start_s:g} s: "
            yield Problem(name, error.kind, f"{where}{error}")


def _window(
    name: str,
    steps: np.ndarray,
    signal: SignalSpec,
    start_s: float | None,
    given: Given,
) -> Window:
    n, rate_hz = signal.n_samples, signal.sampling_rate_hz
    wanted = f"windows of {n / rate_hz:g} s ({n} samples at {rate_hz:g} Hz)"
    n_more = n - len(steps)
    if n_more > 0 and not given.pad:
        raise RecordError(
            "too_short",
            f"The record holds {len(steps) / rate_hz:g} s, the model takes {wanted}. Give a longer "
            f"record, or pad it (--pad, or pad) if the model was trained on such records.",
        )
    if signal.around_beats and start_s is None and n_more < 0:
        raise RecordError(
            "no_start",
            f"The record holds {len(steps) / rate_hz:g} s, and the model was trained on {wanted} "
            f"around a beat. Give the start of each window in s "
            f"(--start, or starts_s), or records of just that length.",
        )
    start = max(0, -n_more // 2) if start_s is None else round(start_s * rate_hz)
    if start < 0 or (start and start + n > len(steps)):
        raise RecordError(
            "too_short",
            f"The window would end at {(start + n) / rate_hz:g} s, the record holds "
            f"{len(steps) / rate_hz:g} s. Choose a start from 0 to {max(0, -n_more) / rate_hz:g}.",
        )
    own = np.ascontiguousarray(steps[start : start + n])
    notes = _checked(name, own, signal)
    if n_more > 0:
        own = np.pad(own, ((0, n_more), (0, 0)))
        notes = (*notes, f"{n_more / rate_hz:g} s of 0 mV at its end")
    return Window(name, start / rate_hz, own, notes, given.values)


def _checked(name: str, steps: np.ndarray, signal: SignalSpec) -> tuple[str, ...]:
    """What is odd about a window; what cannot be trusted is refused."""
    notes = []
    for problem in Quality(signal.sampling_rate_hz, signal.leads).look([name], steps[None]):
        told = f"{KINDS[problem.kind]}: {problem.detail}"
        if problem.kind not in FLAGGED:
            raise RecordError(problem.kind, f"{told} {REMEDIES[problem.kind]}".strip())
        notes.append(told)
    return tuple(notes)
