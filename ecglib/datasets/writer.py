"""Write a store: every record is checked once, in blocks, and nothing is kept in memory.

A store is written under a temporary name and renamed when it is complete; an interrupted one leaves
nothing behind.
"""

import contextlib
import hashlib
import itertools
import json
import operator
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from ecglib import paths
from ecglib.datasets.duplicates import Signatures
from ecglib.datasets.problems import DEFAULT_RULES, FLAGGED, KINDS, ProblemLog, ProblemRules
from ecglib.datasets.quality import QualityChecker
from ecglib.datasets.request import encode_values, find_changes, get_request, make_request
from ecglib.datasets.schema import Problem, Record, Source
from ecglib.datasets.store import Dataset, find_stores, is_store
from ecglib.datasets.store_files import (
    FORMAT,
    PROBLEMS,
    SIGNALS,
    SUMMARY,
    WINDOWS,
    compute_checksum,
    compute_fingerprint,
    hash_file,
    read_summary,
)
from ecglib.datasets.units import INVALID, fill_gaps
from ecglib.errors import DatasetError
from ecglib.splits import report_leaks
from ecglib.splits.report import report_demographics, report_duplicates

SIGNATURES = "signatures"  # folder of what is needed only while records are compared
BLOCK_VALUES = 1 << 21  # int16 values of the records that are checked together: 4 MB


def write_store(
    source: Source,
    data_dir: str | Path,
    progress: bool = True,
    rules: ProblemRules = DEFAULT_RULES,
) -> Dataset:
    """Prepare a source as a store, or open the store that an equal request wrote before.

    The request is the signal spec, the tasks, the columns, all options and the hash of the source's
    files (`request.make_request`). If only stores of other requests have the source's name, what
    changed is printed, and the new store is written beside them.

    Parameters
    ----------
    source : Source
        Where the records come from.
    data_dir : str or Path
        Folder in which the store's folder is made.
    progress : bool, default True
        Whether to show a progress bar.
    rules : ProblemRules, default DEFAULT_RULES
        Which problems exclude a record, and whether to stop at the first.

    Returns
    -------
    Dataset
        The opened store.

    Raises
    ------
    DatasetError
        If a record is not what the source promised, no window is left, the unit cannot be
        millivolt, the disk cannot be written, or the rules are strict and a record has a problem.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets.sources.synthetic import SyntheticSource
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = write_store(SyntheticSource(n_patients=10), folder, progress=False)
    >>> dataset.signal.n_samples
    1000
    """
    if not hasattr(source, "hash_content"):
        raise DatasetError(
            f"{type(source).__name__} was given, expected a source, such as ArraysSource for "
            f"arrays. A dataset that is known by name is prepared by ecglib.prepare(name)."
        )
    request = make_request(source, rules, FORMAT)
    requests = {
        path: get_request(read_summary(path)) for path in find_stores(data_dir, source.name)
    }
    for path, other in requests.items():
        if encode_values(other) == encode_values(request) and not rules.strict:
            return Dataset(path)
    if requests:
        _print_changes(requests, request)
    try:
        with paths.make_temporary_folder(Path(data_dir), source.name) as folder:
            summary = request | _write_folder(source, folder, progress, rules)
            _write_summary(folder, summary | {"fingerprint": compute_fingerprint(summary)})
            final = folder.parent / f"{source.name}-{compute_fingerprint(summary)}"
            if is_store(final):  # only the source's files changed, in nothing that matters
                _write_summary(final, read_summary(final) | {"source": request["source"]})
            else:
                paths.publish_folder(folder, final)
            return Dataset(final)
    except OSError as error:
        raise DatasetError(
            f"The store of {source.name!r} cannot be written below {data_dir}: {error}. Nothing of "
            f"it was kept; check the disk (space, permissions) and prepare again."
        ) from error


def _print_changes(requests: dict[Path, dict[str, Any]], request: dict[str, Any]) -> None:
    """Say why none of the stores of the same name is opened."""
    path, changes = min(
        ((path, find_changes(other, request)) for path, other in requests.items()),
        key=lambda item: len(item[1]),
    )
    if changes:
        tqdm.write(
            f"The store {path.name} was prepared from another request; what changed: "
            f"{'; '.join(changes)}. A new store is written beside it.",
            file=sys.stderr,
        )


def _write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write ``dataset.json``, with the hash of all that it holds."""
    values = summary | {"checksum": ""}
    paths.write_json(folder / SUMMARY, values | {"checksum": compute_checksum(values)})


def _write_folder(
    source: Source, folder: Path, progress: bool, rules: ProblemRules
) -> dict[str, Any]:
    """Write all files but ``dataset.json``; return what that is to hold besides the request."""
    bar = tqdm(
        total=source.count_records(),
        desc=f"prepare {source.name}",
        unit="record",
        disable=not progress,
    )
    with _StoreWriter(source, folder, rules) as writer, bar:
        for item in source.read_records():
            writer.add(item)
            bar.update(isinstance(item, Record) or rules.excludes(item.kind))
    summary = writer.summarize() | _compute_reports(writer, progress)
    files = {name: hash_file(folder / name) for name in (SIGNALS, WINDOWS, PROBLEMS)}
    return summary | {"files": files}


class _StoreWriter:
    """Takes records, checks them in blocks, and writes those that are not excluded."""

    def __init__(self, source: Source, folder: Path, rules: ProblemRules):
        self.source, self.folder = source, folder
        self.log = ProblemLog(folder / PROBLEMS, rules)
        self.quality = QualityChecker(source.signal.sampling_rate_hz, source.signal.leads)
        (folder / SIGNATURES).mkdir()
        self.signatures = Signatures(folder / SIGNATURES)
        self.n_records = self.n_windows = 0
        self._required_columns = _find_required_columns(source)
        self._schema = _build_schema(source)
        self._blank = dict.fromkeys(self._schema.names)
        self._get_row = operator.itemgetter(*self._schema.names)
        self._content = {name: hashlib.blake2b() for name in self._schema.names}
        self._block: list[Record | Problem] = []
        self._excluded: set[str] = set()
        self._n_values = 0

    def __enter__(self) -> "_StoreWriter":
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.log)
            self._signals = stack.enter_context(
                SignalWriter(self.folder / SIGNALS, len(self.source.signal.leads))
            )
            self._table = stack.enter_context(pq.ParquetWriter(self.folder / WINDOWS, self._schema))
            self._files = stack.pop_all()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None:
            with self._files:
                self._flush()
        else:
            self._files.__exit__(error_type, error, traceback)

    def add(self, item: Record | Problem) -> None:
        """Add what a source yields, but no record of which a flagged problem is to exclude it."""
        if isinstance(item, Record):
            if item.name in self._excluded:
                return
        elif item.kind in FLAGGED and self.log.rules.excludes(item.kind):
            self._excluded.add(item.record)
        self._block.append(item)
        if isinstance(item, Record):
            _check_record(item, self.source, self._required_columns)
            self._n_values += item.steps.size
            if self._n_values >= BLOCK_VALUES:
                self._flush()

    def summarize(self) -> dict[str, Any]:
        """Return what `Dataset` needs to know, once everything is written."""
        self.quality.check_unit()
        source = self.source
        if not self.n_windows:
            excluded = source.count_excluded() | self.log.count(excluded=True)
            first = self.log.first_excluded
            example = f" For example {first.record!r}: {first.detail}" if first else ""
            raise DatasetError(
                f"Source {source.name!r} has no window left; excluded: {excluded}. See KINDS in "
                f"ecglib.datasets.problems.{example}"
            )
        return {
            "description": source.description,
            "citation": source.citation,
            "content": self._hash_windows(),
            "n_records": self.n_records,
            "n_windows": self.n_windows,
            "n_samples": self._signals.n_samples,
            "prepared": time.strftime("%Y-%m-%dT%H:%M:%S"),
        }

    def _flush(self) -> None:
        """Check and write the block, a run of records of equal length at a time."""
        for length, run in itertools.groupby(self._block, key=_find_length):
            if length is None:
                for item in run:
                    if isinstance(item, Problem):
                        self.log.add(item)
            else:
                self._write_run([item for item in run if isinstance(item, Record)])
        self._block, self._n_values = [], 0

    def _write_run(self, records: list[Record]) -> None:
        steps = np.stack([record.steps for record in records])
        names = [record.name for record in records]
        number = {name: i for i, name in enumerate(names)}
        included, incomplete = np.ones(len(records), bool), set()
        for problem in self.quality.find_problems(names, steps):
            self.log.add(problem)
            if problem.kind == "not_measured":
                incomplete.add(number[problem.record])
            elif self.log.rules.excludes(problem.kind):
                included[number[problem.record]] = False
        rows = []
        for i, record in enumerate(records):
            if i in incomplete and included[i]:
                included[i] = self._repair(record)
                steps[i] = record.steps
            if included[i]:
                rows += self._append(record)
        if rows:
            self.n_records += int(included.sum())
            self.signatures.add(
                steps if included.all() else steps[included],
                self.source.signal.sampling_rate_hz,
            )
            self._write_rows(rows)

    def _repair(self, record: Record) -> bool:
        """Drop the windows with gaps unless the rules keep them; tell whether any is left."""
        missing = (record.steps == INVALID).any(axis=1)
        if self.log.rules.excludes("not_measured"):
            record.windows = [
                window
                for window in record.windows
                if not missing[window["start"] : window["start"] + window["length"]].any()
            ]
        gaps = np.where(record.steps == INVALID, np.nan, record.steps)
        record.steps = np.rint(fill_gaps(gaps)).astype(np.int16)
        return bool(record.windows)

    def _append(self, record: Record) -> list[tuple]:
        """Write the samples of a record; return its rows, values in the order of the columns."""
        steps = record.steps
        n_beyond = max(w["start"] + w["length"] for w in record.windows) - len(steps)
        if n_beyond > 0:
            steps = np.pad(steps, ((0, n_beyond), (0, 0)))
        offset = self._signals.append(steps)
        rows = []
        for window in record.windows:
            start, stop = window["start"], window["start"] + window["length"]
            row = {**self._blank, "n_measured": window["length"], **window}
            row["record"], row["start"] = record.name, offset + start
            row["signal_hash"] = _hash_signal(steps[start:stop])
            rows.append(self._get_row(row))
        return rows

    def _write_rows(self, rows: list[tuple]) -> None:
        columns = []
        for field, values in zip(self._schema, zip(*rows, strict=True), strict=True):
            columns.append(pa.array(values, field.type))
            self._content[field.name].update(_encode_values(values, columns[-1]))
        self._table.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self.n_windows += len(rows)

    def _hash_windows(self) -> str:
        """Hash the window table, which holds a hash of each window's samples.

        It does not depend on the blocks in which the table was written.
        """
        columns = {name: content.hexdigest() for name, content in self._content.items()}
        return hashlib.blake2b(json.dumps(columns).encode(), digest_size=32).hexdigest()


def _encode_values(values: Sequence, column: pa.Array) -> bytes:
    """Encode a piece of a column for its hash: numbers as such, everything else as JSON."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers = column.cast("double").to_numpy(zero_copy_only=False)
        return np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes()
    return f"{json.dumps(values, default=float)[1:-1]}, ".encode()


def _find_length(item: Record | Problem) -> int | None:
    return len(item.steps) if isinstance(item, Record) else None


def _find_split_columns(source: Source) -> list[str]:
    return sorted({task.part for task in source.tasks.values()})


def _find_required_columns(source: Source) -> frozenset[str]:
    """Find the columns that a source's windows must have."""
    required = {"patient", "start", "length", "labels"}
    return frozenset(required.union(_find_split_columns(source), source.tabular))


def _build_schema(source: Source) -> pa.Schema:
    """Build the types of a source's window table."""
    types = {"record": "string", "patient": "string", "labels": "list<string>"}
    types |= dict.fromkeys(("start", "length", "n_measured"), "int64")
    types |= dict.fromkeys(_find_split_columns(source), "string")
    types |= dict.fromkeys(source.tabular, "double") | dict(source.columns)
    types["signal_hash"] = "string"
    return pa.schema([(name, _parse_arrow_type(text)) for name, text in types.items()])


def _parse_arrow_type(text: str) -> pa.DataType:
    if text.startswith("list<"):
        return pa.list_(_parse_arrow_type(text[5:-1]))
    return pa.type_for_alias(text)


def _compute_reports(writer: _StoreWriter, progress: bool) -> dict[str, Any]:
    """Compute what concerns the whole dataset: exclusions, duplicates, leaks, balance."""
    source = writer.source
    splits = _find_split_columns(source)
    demographics = [name for name in ("age", "sex") if name in {*source.tabular, *source.columns}]
    columns = ["record", "patient", "signal_hash", "labels", *splits, *demographics]
    windows = pd.read_parquet(writer.folder / WINDOWS, columns=columns)
    names = windows["record"].unique()  # in the order of the signatures
    if len(names) < writer.n_records:
        raise DatasetError(
            f"Source {source.name!r} has {writer.n_records} records with {len(names)} names. Give "
            f"each record another name."
        )
    near = [
        (names[pair.first], names[pair.second], pair.correlation)
        for pair in writer.signatures.find_pairs(progress)
    ]
    shutil.rmtree(writer.folder / SIGNATURES)
    excluded, flagged = writer.log.count(excluded=True), writer.log.count(excluded=False)
    return {
        "excluded": source.count_excluded() | {KINDS[kind]: n for kind, n in excluded.items()},
        "flagged": {KINDS[kind]: n for kind, n in flagged.items()},
        "near_identical_records": near,
        "leaks": {column: report_leaks(windows, column, near) for column in splits},
        "duplicates": {column: report_duplicates(windows, column, near) for column in splits},
        "people": {column: report_demographics(windows, column) for column in splits},
    }


class SignalWriter:
    """Appends int16 samples to a ``.npy`` file whose length is not known in advance.

    A context manager: the file is complete once it is left without an error.

    Parameters
    ----------
    path : Path
        The ``.npy`` file.
    n_leads : int
        Number of leads.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with SignalWriter(Path(folder) / "signals.npy", n_leads=2) as signals:
    ...         starts = [signals.append(np.zeros((n, 2), np.int16)) for n in (3, 5)]
    ...     shape = np.load(Path(folder) / "signals.npy").shape
    >>> starts, shape
    ([0, 3], (8, 2))
    """

    def __init__(self, path: Path, n_leads: int):
        self._path = path
        self._n_leads = n_leads
        self.n_samples = 0

    def __enter__(self) -> "SignalWriter":
        self._file: BinaryIO = open(self._path, "wb")
        self._write_header()
        self._header_size = self._file.tell()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None:
            self._file.seek(0)
            self._write_header()
            # NumPy pads the header so that the first axis can grow in place.
            assert self._file.tell() == self._header_size
        self._file.close()

    def append(self, steps: np.ndarray) -> int:
        """Append samples of shape (n_samples, n_leads); return the index of the first."""
        start = self.n_samples
        self._file.write(np.ascontiguousarray(steps, "<i2").data)
        self.n_samples += len(steps)
        return start

    def _write_header(self) -> None:
        shape = (self.n_samples, self._n_leads)
        header = {"descr": "<i2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def _hash_signal(steps: np.ndarray) -> str:
    """Hash a window of int16 samples of shape (n_samples, n_leads)."""
    return hashlib.sha256(np.ascontiguousarray(steps).data).hexdigest()[:32]


def _check_record(record: Record, source: Source, required_columns: frozenset[str]) -> None:
    leads, shape = source.signal.leads, record.steps.shape
    if len(shape) != 2 or shape[1] != len(leads):
        raise DatasetError(
            f"Record {record.name!r} has shape {shape}, expected (n_samples, {len(leads)}) for the "
            f"leads {list(leads)}. Transpose it or add the missing lead."
        )
    for window in record.windows:
        if not required_columns <= window.keys():
            missing = sorted(required_columns - window.keys())
            raise DatasetError(
                f"A window of record {record.name!r} lacks the values {missing}. Let the source "
                f"give them."
            )
        start, length = window["start"], window["length"]
        stop = start + window.get("n_measured", length)
        if length != source.signal.n_samples or start < 0 or not start < stop <= shape[0]:
            raise DatasetError(
                f"A window of record {record.name!r} spans samples {start} to {stop}, length "
                f"{length}; expected {source.signal.n_samples} samples within 0 to {shape[0]}. For "
                f"a window that ends after its record, give n_measured, its samples in the record."
            )
