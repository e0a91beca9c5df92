"""Arrays and a label table that are already in memory: NumPy, pandas or Hugging Face."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecglib.datasets.formats import FileOptions, convert_record, open_npy, wrap_array
from ecglib.datasets.labels import (
    assign_parts,
    check_table,
    fill_patients,
    find_similar_patients,
    infer_task,
    require_columns,
)
from ecglib.datasets.options import AtLeastOne, CheckedOptions, RateHz, TaskKind
from ecglib.datasets.problems import FLAGGED, make_problem
from ecglib.datasets.request import list_options
from ecglib.datasets.schema import Problem, Record, SignalSpec, Task
from ecglib.datasets.tables import (
    convert_known_columns,
    convert_to_ids,
    find_other_columns,
    match_names,
    parse_label_column,
    read_label_table,
)
from ecglib.datasets.units import crop_middle, find_mv_per_unit
from ecglib.errors import DatasetError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recordings:
    """Recordings held in arrays.

    Parameters
    ----------
    signals : array of shape (n_records, n_samples, n_leads), or sequence of n_records arrays
        The samples in `unit`, NaN where nothing was measured. The arrays of a sequence have shape
        (n_samples, n_leads) and may differ in length.
    names : sequence of str
        Names of the records, in the order of `signals`.
    sampling_rate_hz : float
        Sampling rate in Hz.
    leads : sequence of str
        Names of the leads, in order.
    unit : str
        Unit of `signals`: mV, uV, V or nV.

    Examples
    --------
    >>> import numpy as np
    >>> recordings = Recordings(
    ...     signals=np.zeros((2, 500, 1)),
    ...     names=["r1", "r2"],
    ...     sampling_rate_hz=250.0,
    ...     leads=["II"],
    ...     unit="mV",
    ... )
    >>> len(recordings.names)
    2
    """

    signals: np.ndarray | Sequence[np.ndarray]
    names: Sequence[str]
    sampling_rate_hz: float
    leads: Sequence[str]
    unit: str


class ArraysSource:
    """Whole records from arrays, with a label table that names them.

    Of a record that is longer than the window the middle is taken. A shorter one is padded with
    0 mV at its end, and the column n_measured holds its number of measured samples.

    Parameters
    ----------
    name : str
        Name of the dataset, in letters, digits and underscores.
    recordings : Recordings
        The signals, their names, sampling rate, leads and unit.
    table : DataFrame
        One row per record with the columns record, patient, labels (list of str, or text separated
        by ``;``) and, if known, fold or part (train, validation, test), age and sex. The order of
        the rows does not matter. Other columns are kept; a model uses columns of numbers that an
        experiment names.
    task : Task
        What is predicted. Its labels are looked up in the column labels.
    window_s : float, default 0
        Length of a window in s; 0 for the length of the first record.
    seed : int, default 0
        Seed of the folds by patient, used if the table has neither fold nor part.

    Raises
    ------
    DatasetError
        If the recordings and the table do not match, there is no patient column, or the unit is not
        a voltage.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from ecglib.datasets.schema import Task
    >>> names = ["r1", "r2", "r3"]
    >>> recordings = Recordings(
    ...     signals=np.zeros((3, 500, 1)),
    ...     names=names,
    ...     sampling_rate_hz=250.0,
    ...     leads=["II"],
    ...     unit="mV",
    ... )
    >>> table = pd.DataFrame(
    ...     {"record": names, "patient": ["p1", "p2", "p3"], "labels": [["AF"], [], ["AF"]]}
    ... )
    >>> source = ArraysSource("mine", recordings, table, Task("af", "multi_label", {"AF": ["AF"]}))
    >>> source.signal.n_samples
    500
    """

    synthetic = False
    citation = ""
    version = 2

    def __init__(
        self,
        name: str,
        recordings: Recordings,
        table: pd.DataFrame,
        task: Task,
        window_s: float = 0.0,
        seed: int = 0,
    ):
        if not isinstance(recordings, Recordings):
            raise DatasetError(
                f"{type(recordings).__name__} was given, expected recordings: arrays name neither "
                f"rate nor leads. Give Recordings(signals=..., names=..., sampling_rate_hz=..., "
                f"leads=..., unit=...)."
            )
        signals, names = recordings.signals, [str(record) for record in recordings.names]
        shape = np.shape(signals) if isinstance(signals, np.ndarray) else (len(signals),)
        if len(signals) != len(names) or len(shape) == 2:
            raise DatasetError(
                f"signals has shape {shape}, expected ({len(names)}, n_samples, "
                f"{len(recordings.leads)}): one entry for each of the {len(names)} record names."
            )
        rate_hz = recordings.sampling_rate_hz
        n_samples = round(window_s * rate_hz) or len(signals[0])
        table, self.problems = convert_known_columns(_align_rows(table, names))
        table, self.caveats = fill_patients(table)
        self.problems += find_similar_patients(table)
        table = assign_parts(table, task, seed)
        self.name = name
        self.description = f"{len(names)} records from arrays."
        self._table, self.tabular, self.columns = find_other_columns(table)
        self.signal = SignalSpec(rate_hz, n_samples, tuple(recordings.leads))
        self.tasks = {task.name: task}
        self.options: Mapping[str, Any] = {
            "unit": recordings.unit,
            "window_s": window_s,
            "seed": seed,
        }
        self._signals = signals
        find_mv_per_unit(recordings.unit)  # refuses another unit at once
        self._format = FileOptions(
            sampling_rate_hz=rate_hz, unit=recordings.unit, leads=self.signal.leads
        )

    def hash_content(self) -> str:
        """Hash the samples and the table."""
        content = hashlib.blake2b(digest_size=16)
        for signal in map(np.ascontiguousarray, self._signals):
            content.update(f"{signal.dtype.str}{signal.shape}".encode())
            content.update(signal.data)
        content.update(self._table.to_json(orient="records", double_precision=15).encode())
        return content.hexdigest()

    def count_records(self) -> int:
        """Count the records."""
        return len(self._signals)

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the problems of the table, and the records in the order of the arrays."""
        yield from self.problems
        n_samples = self.signal.n_samples
        rows: list[dict] = self._table.drop(columns="record").to_dict("records")
        for name, signal, row in zip(self._table["record"], self._signals, rows, strict=True):
            try:
                recording = wrap_array(crop_middle(np.asarray(signal), n_samples), self._format)
                converted = convert_record(name, recording, self.signal)
            except Exception as error:
                yield make_problem(name, error)
                continue
            window = {"start": 0, "length": n_samples, "n_measured": len(converted.steps)}
            yield from converted.problems
            yield Record(name, converted.steps, [row | window])

    def count_excluded(self) -> dict[str, int]:
        """Return an empty dict: no record is excluded."""
        return {}


def extract_recordings(
    table: Any,
    *,
    sampling_rate_hz: float,
    leads: Sequence[str],
    unit: str,
    signal_column: str = "signal",
) -> tuple[Recordings, pd.DataFrame]:
    """Take the signals out of a table that holds them in a column.

    Parameters
    ----------
    table : DataFrame or Hugging Face dataset
        One row per record with the columns record, `signal_column` and those that `ArraysSource`
        asks for. Each signal has shape (n_samples, n_leads).
    sampling_rate_hz : float
        Sampling rate in Hz.
    leads : sequence of str
        Names of the leads, in order.
    unit : str
        Unit of the signals: mV, uV, V or nV.
    signal_column : str, default "signal"
        Name of the column of the signals.

    Returns
    -------
    recordings : Recordings
        The signals.
    table : DataFrame
        The table without the column of the signals.

    Raises
    ------
    DatasetError
        If the table lacks the column record or `signal_column`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> table = pd.DataFrame({"record": ["r1"], "ecg": [np.zeros((500, 1))], "labels": ["AF"]})
    >>> recordings, labels = extract_recordings(
    ...     table, sampling_rate_hz=250.0, leads=["II"], unit="mV", signal_column="ecg"
    ... )
    >>> list(labels)
    ['record', 'labels']
    """
    frame = table.to_pandas() if hasattr(table, "to_pandas") else table
    if missing := {signal_column, "record"} - set(frame.columns):
        raise DatasetError(
            f"The table lacks the columns {sorted(missing)}; it has {list(frame.columns)}. "
            f"Rename them, or name the column of the signals: signal_column='...'."
        )
    # Nested lists, as Hugging Face keeps arrays, become arrays of arrays in pandas.
    signals = [
        np.stack([np.asarray(sample, float) for sample in samples])
        for samples in frame[signal_column]
    ]
    recordings = Recordings(
        signals=signals,
        names=list(frame["record"]),
        sampling_rate_hz=sampling_rate_hz,
        leads=leads,
        unit=unit,
    )
    return recordings, frame.drop(columns=signal_column)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArraysOptions(CheckedOptions):
    """Settings of `open_arrays`, given on the command line as ``--set NAME=VALUE``.

    Parameters
    ----------
    labels : str or Path
        Label table (CSV or Parquet) with the columns record, patient, labels and, if known, fold or
        part. Its rows are in the order of the array.
    sampling_rate_hz : float
        Sampling rate in Hz.
    leads : sequence of str
        Names of the leads, in order.
    unit : str
        Unit of the samples: mV, uV, V or nV.
    name : str, default ""
        Name of the dataset; empty for the name of the file.
    kind : str, default "multi_label"
        ``"multi_label"`` or ``"multi_class"``.
    min_records : int, default 10
        Labels that fewer records carry are not classes.

    Examples
    --------
    >>> options = ArraysOptions(
    ...     labels="labels.csv", sampling_rate_hz=250.0, leads=["I", "II"], unit="uV"
    ... )
    >>> options.kind
    'multi_label'
    """

    labels: str | Path
    sampling_rate_hz: RateHz
    leads: Sequence[str]
    unit: str
    name: str = ""
    kind: TaskKind = "multi_label"
    min_records: AtLeastOne = 10


def open_arrays(file: str | Path, options: ArraysOptions) -> ArraysSource:
    """Open a ``.npy`` file and its label table as a source.

    Parameters
    ----------
    file : str or Path
        File with an array of shape (n_records, n_samples, n_leads).
    options : ArraysOptions
        Label table, sampling rate, leads and unit of the array.

    Returns
    -------
    ArraysSource
        The source. The array is memory-mapped.

    Raises
    ------
    DatasetError
        If a file cannot be read, a row of the table cannot be used, or as for `ArraysSource`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd
    >>> table = pd.DataFrame({"record": range(30), "patient": range(30), "labels": "AF"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/mine.npy", np.zeros((30, 500, 1)))
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     options = ArraysOptions(
    ...         labels=f"{folder}/labels.csv", sampling_rate_hz=250.0, leads=["II"], unit="mV"
    ...     )
    ...     source = open_arrays(f"{folder}/mine.npy", options)
    >>> source.name, source.count_records()
    ('mine', 30)
    """
    signals = open_npy(Path(file))
    table, problems = check_table(read_label_table(options.labels))
    if unusable := [problem for problem in problems if problem.kind not in FLAGGED]:
        first = unusable[0]
        raise DatasetError(
            f"{len(unusable)} rows of {options.labels} cannot be used, for example record "
            f"{first.record!r}: {first.detail} Correct them: each record of the array needs its "
            f"row."
        )
    recordings = Recordings(
        signals=signals,
        names=list(table["record"]),
        sampling_rate_hz=options.sampling_rate_hz,
        leads=options.leads,
        unit=options.unit,
    )
    task = infer_task(table, "labels", options.kind, options.min_records)
    name = options.name or Path(file).stem.replace("-", "_")
    source = ArraysSource(name, recordings, table, task)
    source.problems += problems
    source.options = {**source.options, **list_options(options)}
    return source


def _align_rows(table: pd.DataFrame, records: list[str]) -> pd.DataFrame:
    """Bring the rows of a table into the order of the records."""
    require_columns(table, ("record", "labels"))
    if "patient" not in table:
        raise DatasetError(
            f"The label table lacks the columns ['patient']; it has {list(table.columns)}. "
            f"Without patients no split can be trusted: give each record its patient."
        )
    table = table.assign(record=convert_to_ids(table["record"]))
    if n := int(table["record"].isna().sum()):
        raise DatasetError(f"{n} rows of the label table name no record. Fill the column record.")
    names_by_place: Mapping[str, pd.Series] = {
        "the label table": table["record"],
        "the records": pd.Series(records),
    }
    for place, names in names_by_place.items():
        if len(repeated := names[names.duplicated()]):
            raise DatasetError(
                f"{repeated.nunique()} ids occur more than once in {place}, for example "
                f"{sorted(set(repeated))[:3]}. Each record needs exactly one row."
            )
    matched = match_names(table["record"].tolist(), records)
    unlabelled = set(records) - set(matched.paths.values())
    if unlabelled or matched.reasons:
        examples = [f"{name!r}: {reason}" for name, reason in matched.reasons.items()][:3]
        raise DatasetError(
            f"The ids of records and label table do not match: {len(unlabelled)} records have no "
            f"row (for example {sorted(unlabelled)[:3]}), {len(matched.reasons)} rows have no "
            f"record (for example {'; '.join(examples)}). Make the ids equal, or drop what has no "
            f"counterpart."
        )
    table = table.assign(
        labels=parse_label_column(table["labels"], table["record"]),
        record=table["record"].map(matched.paths),
    )
    return table.set_index("record").loc[records].reset_index()
