"""Writing a store: every record is looked at once, in blocks, and nothing is kept in memory.

It is written under a temporary name and renamed when it is whole; one that is interrupted leaves
nothing and starts again.
"""

import dataclasses
import hashlib
import itertools
import json
import operator
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from ecglib import paths
from ecglib.datasets.duplicates import Signatures
from ecglib.datasets.problems import KINDS, ProblemLog
from ecglib.datasets.quality import Quality
from ecglib.datasets.schema import Problem, Record, Source
from ecglib.datasets.store import FORMAT, Dataset, find_stores, read_summary
from ecglib.datasets.units import INVALID, fill_gaps
from ecglib.errors import DatasetError
from ecglib.splits import leak_report
from ecglib.splits.report import demographics_report, duplicate_report

SIGNATURES = "signatures"  # folder of what is needed only while records are compared
BLOCK_VALUES = 1 << 21  # int16 values of the records that are looked at together: 4 MB


def write_store(
    source: Source,
    data_dir: str | Path,
    progress: bool = True,
    *,
    keep: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strict: bool = False,
) -> Dataset:
    """Prepare a source, or open the store that an equal request has made before.

    Parameters
    ----------
    source
        where the records come from.
    data_dir
        folder that the store is written to.
    progress
        show a progress bar.
    keep, exclude
        kinds of problem whose records are kept, or left out, against the rule (`problems.KINDS`).
    strict
        stop at the first record that would be left out.

    Returns
    -------
    The opened store.

    Raises
    ------
    DatasetError
        a record is not what the source promised, nothing is left of the source, the unit cannot
        be millivolt, or `strict`.
    """
    notes = ProblemLog(keep, exclude, strict)
    request = {"format": FORMAT, "name": source.name, **notes.to_request(), **source.to_request()}
    if not strict:
        for path in find_stores(data_dir, source.name):
            if read_summary(path)["request"] == request:
                return Dataset(path)
    try:
        with paths.make_temporary_folder(Path(data_dir), source.name) as folder:
            return _write(source, request, notes, folder, progress)
    except OSError as error:
        raise DatasetError(
            f"Writing the store of {source.name!r} below {data_dir} failed: {error}. Nothing was "
            f"kept of it; see to the disk (space, rights) and prepare again."
        ) from error


def _write(
    source: Source, request: dict, notes: ProblemLog, folder: Path, progress: bool
) -> Dataset:
    with (
        _Writer(source, notes, folder) as writer,
        tqdm(
            total=source.count_records(),
            desc=f"prepare {source.name}",
            unit="record",
            disable=not progress,
        ) as bar,
    ):
        for given in source.read_records():
            writer.take(given)
            bar.update(isinstance(given, Record) or notes.excludes(given.kind))
    summary = writer.summary() | {"request": request} | _reports(source, writer, progress)
    paths.write_text(folder / "dataset.json", json.dumps(summary, indent=1))
    final = folder.parent / f"{source.name}-{summary['fingerprint']}"
    if not (final / "dataset.json").exists():
        folder.rename(final)
    return Dataset(final)


class _Writer:
    """Takes records, looks at them in blocks, and writes what is kept."""

    def __init__(self, source: Source, notes: ProblemLog, folder: Path):
        self.source, self.notes, self.folder = source, notes, folder
        self.quality = Quality(source.signal.sampling_rate_hz, source.signal.leads)
        (folder / SIGNATURES).mkdir()
        self.signatures = Signatures(folder / SIGNATURES)
        self.n_records = self.n_windows = 0
        self._columns = needed_columns(source)
        self._schema = schema(source)
        self._blank = dict.fromkeys(self._schema.names)
        self._ordered = operator.itemgetter(*self._schema.names)
        self._content = {name: hashlib.blake2b() for name in self._schema.names}
        self._block, self._n_values = [], 0

    def __enter__(self):
        self.notes.open(self.folder / "problems.csv")
        self._signals = SignalWriter(
            self.folder / "signals.npy", len(self.source.signal.leads)
        ).__enter__()
        self._table = pq.ParquetWriter(self.folder / "windows.parquet", self._schema)
        return self

    def __exit__(self, error_type, *rest):
        try:
            if error_type is None:
                self._flush()
        finally:
            self._table.close()
            self._signals.__exit__(error_type, *rest)
            self.notes.close()

    def take(self, given: Record | Problem) -> None:
        """Take what a source yields."""
        self._block.append(given)
        if isinstance(given, Record):
            _check_record(given, self.source, self._columns)
            self._n_values += given.steps.size
            if self._n_values >= BLOCK_VALUES:
                self._flush()

    def summary(self) -> dict:
        """What `Dataset` needs to know, once everything is written."""
        self.quality.check_unit()
        source = self.source
        if not self.n_windows:
            why = source.count_excluded() | self.notes.counts(excluded=True)
            raise DatasetError(
                f"Source {source.name!r} gave no window: {why} were left out. See KINDS in "
                f"ecglib.datasets.problems; prepare with strict to stop at the first of them."
            )
        return {
            "name": source.name,
            "fingerprint": self._fingerprint(),
            "synthetic": source.synthetic,
            "description": source.description,
            "citation": source.citation,
            "caveats": list(source.caveats),
            "signal": _plain(source.signal),
            "tasks": _plain(source.tasks),
            "tabular": list(source.tabular),
            "n_records": self.n_records,
            "n_windows": self.n_windows,
            "n_samples": self._signals.n_samples,
            "prepared": time.strftime("%Y-%m-%dT%H:%M:%S"),
        }

    def _flush(self) -> None:
        """Look at the block, a run of equal lengths at a time, and write it."""
        for length, run in itertools.groupby(self._block, key=_length):
            if length is None:
                for problem in run:
                    self.notes.add(problem)
            else:
                self._write_run(list(run))
        self._block, self._n_values = [], 0

    def _write_run(self, records: list[Record]) -> None:
        steps = np.stack([record.steps for record in records])
        names = [record.name for record in records]
        number = {name: i for i, name in enumerate(names)}
        kept, incomplete = np.ones(len(records), bool), set()
        for problem in self.quality.look(names, steps):
            self.notes.add(problem)
            if problem.kind == "not_measured":
                incomplete.add(number[problem.record])
            elif self.notes.excludes(problem.kind):
                kept[number[problem.record]] = False
        rows = []
        for i, record in enumerate(records):
            if i in incomplete and kept[i]:
                kept[i] = self._mend(record)
                steps[i] = record.steps
            if kept[i]:
                rows += self._append(record)
        if rows:
            self.n_records += int(kept.sum())
            own = steps if kept.all() else steps[kept]
            self.signatures.add(own, self.source.signal.sampling_rate_hz)
            self._write_rows(rows)

    def _mend(self, record: Record) -> bool:
        """Drop the windows that were not measured throughout, or by rule fill their gaps."""
        missing = (record.steps == INVALID).any(axis=1)
        if self.notes.excludes("not_measured"):
            record.windows = [
                window
                for window in record.windows
                if not missing[window["start"] : window["start"] + window["length"]].any()
            ]
        gaps = np.where(record.steps == INVALID, np.nan, record.steps)
        record.steps = np.rint(fill_gaps(gaps)).astype(np.int16)
        return bool(record.windows)

    def _append(self, record: Record) -> list[tuple]:
        """Write the samples of a record; its rows of the window table, in the order of columns."""
        steps = record.steps
        past = max(w["start"] + w["length"] for w in record.windows) - len(steps)
        if past > 0:
            steps = np.pad(steps, ((0, past), (0, 0)))
        offset = self._signals.append(steps)
        rows = []
        for window in record.windows:
            start, stop = window["start"], window["start"] + window["length"]
            row = {**self._blank, "n_measured": window["length"], **window}
            row["record"], row["start"] = record.name, offset + start
            row["signal_hash"] = signal_hash(steps[start:stop])
            rows.append(self._ordered(row))
        return rows

    def _write_rows(self, rows: list[tuple]) -> None:
        columns = []
        for field, values in zip(self._schema, zip(*rows, strict=True), strict=True):
            columns.append(pa.array(values, field.type))
            self._content[field.name].update(_content(values, columns[-1]))
        self._table.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self.n_windows += len(rows)

    def _fingerprint(self) -> str:
        """Hash of the window table, which holds a hash of each window's samples, and of the tasks.

        It does not depend on the blocks in which the table was written.
        """
        columns = {name: content.hexdigest() for name, content in self._content.items()}
        content = json.dumps([columns, _plain(self.source.tasks)], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _content(values: list, column: pa.Array) -> bytes:
    """What is hashed of a piece of a column: numbers as they are, everything else in words."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers = column.cast("double").to_numpy(zero_copy_only=False)
        return np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes()
    return f"{json.dumps(values, default=float)[1:-1]}, ".encode()


def _length(given: Record | Problem) -> int | None:
    return len(given.steps) if isinstance(given, Record) else None


def needed_columns(source: Source) -> frozenset[str]:
    """The columns that a source's windows must have."""
    parts = {task.part for task in source.tasks.values()}
    return frozenset({"patient", "start", "length", "labels"} | parts | set(source.tabular))


def schema(source: Source) -> pa.Schema:
    """The types of the window table of a source."""
    types = {"record": "string", "patient": "string", "labels": "list<string>"}
    types |= dict.fromkeys(("start", "length", "n_measured"), "int64")
    types |= dict.fromkeys(sorted({task.part for task in source.tasks.values()}), "string")
    types |= dict.fromkeys(source.tabular, "double") | dict(source.columns)
    types["signal_hash"] = "string"
    return pa.schema([(name, _arrow_type(told)) for name, told in types.items()])


def _arrow_type(told: str) -> pa.DataType:
    if told.startswith("list<"):
        return pa.list_(_arrow_type(told[5:-1]))
    return pa.type_for_alias(told)


def _reports(source: Source, writer: _Writer, progress: bool) -> dict:
    """What is known of the whole dataset: left out, duplicates, leaks, balance."""
    parts = sorted({task.part for task in source.tasks.values()})
    people = [name for name in ("age", "sex") if name in {*source.tabular, *source.columns}]
    columns = ["record", "patient", "signal_hash", "labels", *parts, *people]
    windows = pd.read_parquet(writer.folder / "windows.parquet", columns=columns)
    names = windows["record"].unique()  # in the order of the signatures
    if len(names) < writer.n_records:
        raise DatasetError(
            f"Source {source.name!r} gave {writer.n_records} records with {len(names)} names. Give "
            f"each record a name of its own."
        )
    near = [(names[a], names[b], alike) for a, b, alike in writer.signatures.pairs(progress)]
    shutil.rmtree(writer.folder / SIGNATURES)
    excluded, kept = (writer.notes.counts(excluded=own) for own in (True, False))
    return {
        "excluded": source.count_excluded() | {KINDS[kind]: n for kind, n in excluded.items()},
        "kept": {KINDS[kind]: n for kind, n in kept.items()},
        "near_identical_records": near,
        "leaks": {c: leak_report(windows, c, near) for c in parts},
        "duplicates": {c: duplicate_report(windows, c, near) for c in parts},
        "people": {c: demographics_report(windows, c) for c in parts},
    }


class SignalWriter:
    """Append int16 samples to a ``.npy`` file whose length is not known in advance."""

    def __init__(self, path: Path, n_leads: int):
        self._path = path
        self._n_leads = n_leads
        self.n_samples = 0

    def __enter__(self):
        self._file = open(self._path, "wb")
        self._header()
        self._header_size = self._file.tell()
        return self

    def __exit__(self, error_type, *_):
        if error_type is None:
            self._file.seek(0)
            self._header()
            # NumPy pads the header so that the first axis can grow in place.
            assert self._file.tell() == self._header_size
        self._file.close()

    def append(self, steps: np.ndarray) -> int:
        """Append samples of shape (n_samples, n_leads); return where they start."""
        start = self.n_samples
        self._file.write(np.ascontiguousarray(steps, "<i2"))
        self.n_samples += len(steps)
        return start

    def _header(self):
        shape = (self.n_samples, self._n_leads)
        header = {"descr": "<i2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def signal_hash(steps: np.ndarray) -> str:
    """Hash of a window of int16 samples of shape (n_samples, n_leads)."""
    return hashlib.sha256(np.ascontiguousarray(steps)).hexdigest()[:32]


def _check_record(record: Record, source: Source, needed: frozenset[str]) -> None:
    leads, shape = source.signal.leads, record.steps.shape
    if len(shape) != 2 or shape[1] != len(leads):
        raise DatasetError(
            f"Record {record.name!r} has shape {shape}, expected (n_samples, {len(leads)}) for the "
            f"leads {list(leads)}. Transpose it or add the missing lead."
        )
    for window in record.windows:
        if not needed <= window.keys():
            missing = sorted(needed - window.keys())
            raise DatasetError(f"A window of record {record.name!r} lacks {missing}.")
        start, length = window["start"], window["length"]
        stop = start + window.get("n_measured", length)
        if length != source.signal.n_samples or start < 0 or not start < stop <= shape[0]:
            raise DatasetError(
                f"A window of record {record.name!r} spans samples {start} to {stop}, length "
                f"{length}; expected {source.signal.n_samples} samples within 0 to {shape[0]}. Of "
                f"a window that is longer than its record, n_measured says what is the record's."
            )


def _plain(value):
    """Dataclasses as dicts, also inside a dict."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
