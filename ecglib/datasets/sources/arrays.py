"""Arrays and a label table that someone already has: NumPy, pandas or Hugging Face."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.labels import (
    as_list,
    assign_parts,
    check_table,
    find_other_columns,
    infer_task,
    read_label_table,
)
from ecglib.datasets.schema import Record, SignalSpec, Task
from ecglib.datasets.units import middle, mv_per
from ecglib.errors import DatasetError


class ArraysSource:
    """Whole records from arrays, with a label table that names them.

    Of a record that is longer than the window the middle is taken; a shorter one is followed by
    0 mV, and n_measured says how many samples are its own.

    Parameters
    ----------
    name
        name of the dataset, in letters, digits and underscores.
    signals
        array of shape (n_records, n_samples, n_leads), or a sequence of n_records arrays of shape
        (n_samples, n_leads); NaN where nothing was measured.
    records
        names of the records, in the order of `signals`.
    table
        one row a record with the columns record, patient, labels (list of str, or text in which
        ``;`` separates them) and, if there is one, fold or part (train, validation, test); the
        order of its rows does not matter. Other columns are kept, numbers as tabular values.
    task
        what is predicted; its labels are looked up in the column labels.
    sampling_rate_hz
        sampling rate in Hz.
    leads
        names of the leads, in order.
    unit
        unit of `signals`: mV, uV, V or nV.
    window_s
        length of a window in s; 0 for that of the first record.
    seed
        decides the folds by patient when the table has neither fold nor part.

    Raises
    ------
    DatasetError
        records and table do not fit together, there is no patient column, or the unit is unknown.
    """

    synthetic = False
    citation = ""
    caveats = ()

    def __init__(
        self,
        name: str,
        signals: np.ndarray | Sequence[np.ndarray],
        records: Sequence[str],
        table: pd.DataFrame,
        task: Task,
        sampling_rate_hz: float,
        leads: Sequence[str],
        *,
        unit: str,
        window_s: float = 0.0,
        seed: int = 0,
    ):
        self.name = name
        self.description = f"{len(records)} records from arrays."
        self._signals, self._factor = signals, mv_per(unit)
        shape = np.shape(signals) if isinstance(signals, np.ndarray) else (len(signals),)
        if len(signals) != len(records) or len(shape) == 2:
            raise DatasetError(
                f"signals has shape {shape}, expected ({len(records)}, n_samples, {len(leads)}): "
                f"one entry for each of the {len(records)} record names."
            )
        table = _aligned(table, [str(r) for r in records])
        table, self.tabular, columns = find_other_columns(assign_parts(table, task, seed))
        self.columns = columns
        n_samples = round(window_s * sampling_rate_hz) or len(signals[0])
        self.signal = SignalSpec(sampling_rate_hz, n_samples, tuple(leads))
        self.tasks, self._table = {task.name: task}, table

    @classmethod
    def of_table(cls, name: str, table, task: Task, *, signal: str = "signal", **contract):
        """From a table that holds the signals too: a pandas DataFrame or a Hugging Face dataset.

        Parameters
        ----------
        name, task, contract
            as above.
        table
            as above, with one more column: the signal of each record.
        signal
            name of that column; each entry has shape (n_samples, n_leads).
        """
        table = table.to_pandas() if hasattr(table, "to_pandas") else table
        if missing := {signal, "record"} - set(table.columns):
            raise DatasetError(
                f"The table lacks the columns {sorted(missing)}; it has {list(table.columns)}. "
                f"Rename them, or name the column of the signals: signal='...'."
            )
        # Nested lists, as Hugging Face keeps arrays, become arrays of arrays in pandas.
        signals = [np.stack([np.asarray(sample, float) for sample in own]) for own in table[signal]]
        rest = table.drop(columns=signal)
        return cls(name, signals, list(table["record"]), rest, task, **contract)

    def request(self) -> dict:
        """Samples and table, as one hash."""
        content = hashlib.blake2b(digest_size=16)
        for signal in self._signals:
            content.update(np.ascontiguousarray(signal))
        content.update(self._table.to_json(orient="records").encode())
        return {"content": content.hexdigest(), "mv_per_unit": self._factor,
                "tasks": list(self.tasks)}  # fmt: skip

    def n_records(self) -> int:
        """Records in the arrays."""
        return len(self._signals)

    def records(self) -> Iterator[Record]:
        """Yield the records in the order of the arrays."""
        n = self.signal.n_samples
        rows = self._table.drop(columns="record").to_dict("records")
        for name, signal, row in zip(self._table["record"], self._signals, rows, strict=True):
            signal_mv = middle(np.asarray(signal, np.float64) * self._factor, n)
            window = {"start": 0, "length": n, "n_measured": len(signal_mv)}
            yield Record.from_mv(name, signal_mv, [row | window])

    def excluded(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


def arrays_source(
    file: str | Path,
    labels: str | Path,
    sampling_rate_hz: float,
    leads: Sequence[str],
    unit: str,
    name: str = "",
    kind: str = "multi_label",
    min_records: int = 10,
) -> ArraysSource:
    """A dataset from a ``.npy`` file and a label table whose rows are in the order of the array.

    Parameters
    ----------
    file
        array of shape (n_records, n_samples, n_leads).
    labels
        label table (CSV or Parquet) with record, patient, labels and, if known, fold or part.
    sampling_rate_hz, leads, unit
        see `ArraysSource`.
    name
        name of the dataset; empty for that of the file.
    kind
        ``"multi_label"`` or ``"multi_class"``.
    min_records
        a label that fewer records carry is no class.

    Raises
    ------
    DatasetError
        a file cannot be read, or see `ArraysSource`.
    """
    try:
        signals = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read as a .npy file: {error}") from None
    table = read_label_table(labels)
    checked, problems = check_table(table)
    if problems:
        first = problems[0]
        raise DatasetError(
            f"{len(problems)} rows of {labels} cannot be used, for example record "
            f"{first.record!r}: {first.detail} Correct them: an array has no room for rows that "
            f"are left out."
        )
    task = infer_task(checked, "labels", kind, min_records)
    name = name or Path(file).stem.replace("-", "_")
    return ArraysSource(
        name, signals, list(checked["record"]), checked, task, sampling_rate_hz, leads, unit=unit
    )


def _aligned(table: pd.DataFrame, records: list[str]) -> pd.DataFrame:
    """The table's rows in the order of the records, or an error that names who is missing."""
    if missing := {"record", "patient", "labels"} - set(table.columns):
        raise DatasetError(
            f"The label table lacks the columns {sorted(missing)}; it has {list(table.columns)}. "
            f"Without patients no split can be trusted: give each record its patient."
        )
    table = table.assign(record=table["record"].astype(str), patient=table["patient"].astype(str))
    for what, names in (("the label table", table["record"]), ("the records", pd.Series(records))):
        if len(twice := names[names.duplicated()]):
            raise DatasetError(
                f"{twice.nunique()} ids stand twice in {what}, for example "
                f"{sorted(set(twice))[:3]}. Each record needs one row."
            )
    unlabelled, unknown = set(records) - set(table["record"]), set(table["record"]) - set(records)
    if unlabelled or unknown:
        raise DatasetError(
            f"The ids of records and label table do not match: {len(unlabelled)} records have no "
            f"row (for example {sorted(unlabelled)[:3]}), {len(unknown)} rows have no record (for "
            f"example {sorted(unknown)[:3]}). Make the ids equal, or drop what has no counterpart."
        )
    table = table.assign(labels=table["labels"].map(as_list))
    return table.set_index("record").loc[records].reset_index()
