"""Records in CSV files: one column for each lead, their names in the first line."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.formats.base import ColumnRecord, FileOptions
from ecglib.datasets.units import mask_code
from ecglib.errors import RecordError

SEPARATORS = ",;\t"
QUOTES = " \t\r\n'\""  # around names
TIME_NAME = re.compile(
    r"(?:elapsed[ _]?)?(?:time|t|seconds|sec)(?:[ _]?[\[(]?(s|ms|us|µs)?[\])]?)", re.I
)
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
MAX_RATE_ERROR = 0.01  # of a time column against the given rate


def read_csv(path: Path, options: FileOptions) -> ColumnRecord:
    """Read a CSV file with the names of the leads in its first line.

    Parameters
    ----------
    path : Path
        The file. Columns are separated by commas, semicolons or tabs.
    options : FileOptions
        Gives the sampling rate and the unit.

    Returns
    -------
    ColumnRecord
        The record. A column that is not asked for need not hold numbers. Equal names stay equal,
        so that a lead of that name is ambiguous.

    Raises
    ------
    RecordError
        If the file cannot be read, its lines have more values than the first line has names, the
        sampling rate or the unit is not given, or a column of times contradicts the rate.

    Notes
    -----
    A separator at the end of all lines, or of all lines but the first, does not count. Whole
    numbers of -32768 are not measured, see `units.mask_code`.

    Examples
    --------
    >>> import tempfile
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("time;I;II\\n00:00;0.1;0.2;\\n00:00;0.3;0.4;\\n")
    ...     record = read_csv(path, options)
    >>> record.leads, record.to_steps([1, 2]).tolist()
    (('time', 'I', 'II'), [[100, 200], [300, 400]])
    """
    options.require_rate_and_unit(path)
    names, frame = _read_table(path)
    _check_times(path, names, frame, options.sampling_rate_hz)

    def read_column(column: int) -> np.ndarray:
        try:
            return mask_code(frame.iloc[:, column].to_numpy(float))
        except (ValueError, TypeError, OverflowError) as error:
            raise RecordError(
                "unreadable",
                f"Column {names[column][:40]!r} of {path} has a value that is not a number: "
                f"{str(error)[:100]}. Correct the file.",
            ) from None

    return ColumnRecord(
        leads=names,
        units=(options.unit,) * len(names),
        sampling_rates_hz=(options.sampling_rate_hz,) * len(names),
        read_column=read_column,
    )


def _read_table(path: Path) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Read the names in the first line, and the values below them, as many columns as names."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            first_line = file.readline()
            separator = max(SEPARATORS, key=first_line.count)
            fields = next(csv.reader([first_line], delimiter=separator), [])
            names = [name.strip(QUOTES) for name in fields]
            frame = pd.read_csv(file, sep=separator, header=None, low_memory=False)
    except pd.errors.EmptyDataError:
        raise RecordError(
            "too_short", f"{path} has no line of values. Leave it out, or get it again."
        ) from None
    except Exception as error:  # pandas raises errors of many types
        raise RecordError(
            "unreadable",
            f"{path} cannot be read as CSV: {str(error)[:200]}. Check the file.",
        ) from None
    while names and not names[-1]:  # a separator at the end
        names.pop()
    surplus = frame.iloc[:, len(names) :]
    if frame.shape[1] < len(names) or surplus.notna().any(axis=None):
        raise RecordError(
            "unreadable",
            f"{path} has {len(names)} names in its first line, but lines of {frame.shape[1]} "
            f"values. Name every column.",
        )
    return tuple(names), frame.iloc[:, : len(names)]


def _check_times(path: Path, names: tuple[str, ...], frame: pd.DataFrame, rate_hz: float) -> None:
    """Check that columns of times, if there are any, agree with the given sampling rate."""
    for column, name in enumerate(names):
        if (match := TIME_NAME.fullmatch(name)) and len(frame) > 1:
            found_hz = _find_rates(frame.iloc[:, column], match[1])
            errors = [abs(found / rate_hz - 1) for found in found_hz]
            # Times are rounded, to less than the distance of two samples.
            if errors and min(errors) > MAX_RATE_ERROR + 1 / (len(frame) - 1):
                listed = " or ".join(f"{found:.6g}" for found in found_hz)
                raise RecordError(
                    "wrong_rate",
                    f"Column {name!r} of {path} has {listed} samples per second, but the sampling "
                    f"rate is given as {rate_hz:g} Hz. Correct the rate (--rate, or "
                    f"sampling_rate_hz), or remove the column.",
                )


def _find_rates(times: pd.Series, unit: str | None) -> list[float]:
    """Find the sampling rates that a column of times can mean, none if it is no such column."""
    if pd.api.types.is_numeric_dtype(times):
        values = times.to_numpy(float)
        if unit:
            scales = [SECONDS[unit.lower()]]
        elif (np.diff(values) == 1).all():  # numbers of samples
            return []
        else:
            scales = [1.0, 1e-3, 1e-6]
    else:
        texts = times.astype(str).str.strip(" '[]")
        texts = texts.where(texts.str.count(":") != 1, "0:" + texts)  # minutes and seconds
        values = pd.to_timedelta(texts, errors="coerce").dt.total_seconds().to_numpy(float)
        scales = [1.0]
    duration = values[-1] - values[0]
    if not np.isfinite(duration) or duration <= 0:
        return []
    return [float((len(values) - 1) / (duration * scale)) for scale in scales]
