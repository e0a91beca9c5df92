"""Arrays and a label table that someone already has."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ecglib.datasets.store import Record, SignalContract, Task, labels_to_classes
from ecglib.errors import DatasetError
from ecglib.splits import PARTS, split_by_patient

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


class ArraysSource:
    """Whole records from one array, with a label table that names them.

    Parameters
    ----------
    name
        name of the dataset, in letters, digits and underscores.
    signals_mv
        array of shape (n_records, n_samples, n_leads), in mV.
    records
        names of the records, in the order of `signals_mv`.
    table
        one row a record with the columns record, patient, labels (list of str) and, if
        there is one, part (train, validation, test); the order of its rows does not matter.
    task
        what is predicted; its labels are looked up in the column labels.
    sampling_rate_hz
        sampling rate in Hz.
    leads
        names of the leads, in order.
    seed
        decides the split by patient when the table has no part column.

    Raises
    ------
    DatasetError
        records and table do not fit together, or there is no patient column.
    """

    synthetic = False
    citation = ""
    tabular: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        signals_mv: np.ndarray,
        records: Sequence[str],
        table: pd.DataFrame,
        task: Task,
        sampling_rate_hz: float,
        leads: Sequence[str],
        seed: int = 0,
    ):
        self.name = name
        self.description = f"{len(records)} records from arrays."
        self._signals_mv = np.asarray(signals_mv)
        if self._signals_mv.ndim != 3 or len(self._signals_mv) != len(records):
            raise DatasetError(
                f"signals_mv has shape {self._signals_mv.shape}, expected ({len(records)}, "
                f"n_samples, {len(leads)}): one entry for each of the {len(records)} record names."
            )
        self._table = _aligned(table, [str(r) for r in records])
        self.signal = SignalContract(sampling_rate_hz, self._signals_mv.shape[1], tuple(leads))
        self.tasks = {task.name: task}
        if task.part not in self._table:
            y = labels_to_classes(self._table["labels"], task)
            parts = split_by_patient(self._table["patient"].to_numpy(), y, FRACTIONS, seed)
            self._table[task.part] = parts
        if odd := set(self._table[task.part]) - set(PARTS):
            raise DatasetError(f"Column {task.part!r} holds {sorted(odd)}, expected only {PARTS}.")

    def request(self) -> dict:
        """Samples and table, as one hash."""
        content = hashlib.blake2b(np.ascontiguousarray(self._signals_mv).tobytes(), digest_size=16)
        content.update(self._table.to_json(orient="records").encode())
        return {"content": content.hexdigest(), "tasks": list(self.tasks)}

    def n_records(self) -> int:
        """Records in the array."""
        return len(self._signals_mv)

    def records(self) -> Iterator[Record]:
        """Yield the records in the order of the array."""
        rows = self._table.drop(columns="record").to_dict("records")
        for name, signal_mv, row in zip(self._table["record"], self._signals_mv, rows, strict=True):
            yield Record(name, signal_mv, [row | {"start": 0, "length": len(signal_mv)}])

    def left_out(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


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
    return table.set_index("record").loc[records].reset_index()
