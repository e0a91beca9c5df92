"""Whole WFDB records, one row of a label table each: what PTB-XL, CinC 2017 and folders share."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ecglib.datasets import leads
from ecglib.datasets.schema import Problem, Record, SignalSpec, Task
from ecglib.datasets.units import crop_middle, resample_steps
from ecglib.datasets.wfdb.records import SegmentedRecord, WfdbRecord, read_record
from ecglib.errors import RecordError

VERSION = 1  # of what is made of the same files; raise it when that changes

ROWS = 1000  # of the table that are turned into Python values together


class TableSource:
    """Records of a folder, each with its row of a table; every window is a whole record.

    A record with other leads or another rate is brought to the contract: leads are matched by
    name (`leads.match_leads`), units and gains taken from the header, the rate changed by a polyphase
    filter. Of a record that is longer than the window the middle is taken; a shorter one is
    followed by 0 mV, and n_measured says how many samples are its own.

    Parameters
    ----------
    name
        name of the dataset.
    folder
        folder that the paths start from.
    table
        one row a record with the columns record, path (without ``.hea``; missing where there is no
        such file), patient, labels (list of str), the part columns of the tasks, `tabular` and
        `columns`.
    signal, tasks
        what the windows are, and what is predicted.
    description, citation
        for people.
    tabular, columns, caveats
        see `contract.Source`.
    problems
        rows that cannot be used, found while the table was read.
    excluded
        what is no part of the dataset by its definition, and how many.
    """

    synthetic = False

    def __init__(
        self,
        name: str,
        folder: Path,
        table: pd.DataFrame,
        signal: SignalSpec,
        tasks: dict[str, Task],
        *,
        description: str,
        citation: str = "",
        tabular: tuple[str, ...] = (),
        columns: Mapping[str, str] | None = None,
        caveats: tuple[str, ...] = (),
        problems: Sequence[Problem] = (),
        excluded: Mapping[str, int] | None = None,
    ):
        self.name, self.folder, self.table = name, Path(folder), table
        self.signal, self.tasks = signal, tasks
        self.description, self.citation = description, citation
        self.tabular, self.caveats, self._problems = tabular, caveats, tuple(problems)
        self.columns, self._excluded = columns or {}, dict(excluded or {})

    def to_request(self) -> dict:
        """The table, and name, size and time of change of the files beside the records, hashed."""
        content = hashlib.blake2b(digest_size=16)
        for start in range(0, len(self.table), ROWS):
            rows = self.table.iloc[start : start + ROWS]
            content.update(rows.to_json(orient="values").encode())
        for folder in sorted({os.path.dirname(path) for path in self.table["path"].dropna()}):
            content.update(_stamps(self.folder / folder))
        return {"version": VERSION, "content": content.hexdigest(), "tasks": list(self.tasks)}

    def count_records(self) -> int:
        """Rows of the table, also those that cannot be used."""
        return len(self.table) + len(self._problems)

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records in the order of the table."""
        yield from self._problems
        for row in self._rows():
            name, path = row.pop("record"), row.pop("path")
            try:
                yield from self._record(name, path, row)
            except RecordError as error:
                header = f"{self.folder}/{path}.hea"
                there = error.kind != "missing_file" or os.path.exists(header)
                yield Problem(name, error.kind if there else "no_record", str(error))

    def count_excluded(self) -> dict[str, int]:
        """What was left out by definition."""
        return dict(self._excluded)

    def _rows(self) -> Iterator[dict]:
        """Each row of the table as a dict."""
        names = list(self.table)
        for start in range(0, len(self.table), ROWS):
            part = self.table.iloc[start : start + ROWS]
            for values in zip(*[part[name].tolist() for name in names], strict=True):
                yield dict(zip(names, values, strict=True))

    def _record(self, name: str, path: str, row: dict) -> Iterator[Record | Problem]:
        if not isinstance(path, str):
            raise RecordError("no_record", f"No header of that name is below {self.folder}.")
        record = read_record(f"{self.folder}/{path}")
        if record.first_sample_differs:
            yield Problem(name, "first_sample", "Length and checksum are as they should be.")
        n = self.signal.n_samples
        steps = crop_middle(at_rate(record, self.signal), n)
        window = row | {"start": 0, "length": n, "n_measured": len(steps)}
        yield Record(name, steps, [window])


def at_rate(record: WfdbRecord | SegmentedRecord, signal: SignalSpec):
    """The leads of the contract at its rate: int16 array (n_samples, n_leads), in 0.001 mV.

    Raises
    ------
    RecordError
        a lead is missing, its unit is none of voltage, or the rate cannot be reached.
    """
    columns = leads.match_leads(signal.leads, record.leads)
    if record.sampling_rate_hz == signal.sampling_rate_hz:
        return record.steps(columns)
    return resample_steps(
        record.signal_mv(columns), record.sampling_rate_hz, signal.sampling_rate_hz
    )


def find_headers(folder: Path) -> list[str]:
    """The ``.hea`` files below a folder, as paths from there without their ending, sorted."""
    found = []
    for parent, _, files in os.walk(folder):
        inside = os.path.relpath(parent, folder)
        before = "" if inside == "." else f"{Path(inside).as_posix()}/"
        found += [f"{before}{file[:-4]}" for file in files if file.endswith(".hea")]
    return sorted(found)


def _stamps(folder: Path) -> bytes:
    """Name, size and time of change of the files in a folder: samples may lie in any of them."""
    if not folder.is_dir():
        return b""
    with os.scandir(folder) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return "".join(f"{name},{s.st_size},{s.st_mtime_ns};" for name, s in sorted(files)).encode()
