"""The prepared store: one source, written once, read by memory map.

A store is a folder ``<dataset>-<fingerprint>`` with

- ``signals.npy``: int16, shape (n_samples_of_all_records, n_leads), microvolt steps;
- ``windows.parquet``: one row a window;
- ``dataset.json``: signal contract, tasks, provenance, what was left out and why, leak report.

It is written under a temporary name and renamed when it is whole.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ecglib import folders
from ecglib.datasets import integrity
from ecglib.errors import DatasetError
from ecglib.splits import PARTS, leak_report

FORMAT = 1
STEP_MV = 0.001
LIMIT_MV = np.iinfo(np.int16).max * STEP_MV
WINDOW_COLUMNS = ("record", "patient", "start", "length", "labels")


@dataclasses.dataclass(frozen=True)
class SignalContract:
    """What the samples of a window are.

    Parameters
    ----------
    sampling_rate_hz
        working sampling rate in Hz.
    n_samples
        samples in a window.
    leads
        names of the leads, in order.
    unit
        unit of the samples that `Dataset.read` returns.
    """

    sampling_rate_hz: float
    n_samples: int
    leads: tuple[str, ...]
    unit: str = "mV"


@dataclasses.dataclass(frozen=True)
class Task:
    """What is predicted.

    Parameters
    ----------
    name
        name of the task.
    kind
        ``"multi_label"`` (any number of classes a window) or ``"multi_class"`` (just one).
    classes
        for each class the labels that mean it. In a multi-class task a window that
        carries no label of any class is not part of the task.
    part
        the column of the window table that says train, validation or test.
    description
        one line for people.
    """

    name: str
    kind: str
    classes: dict[str, list[str]]
    part: str = "part"
    description: str = ""


@dataclasses.dataclass
class Record:
    """One ECG recording as a source hands it over.

    Parameters
    ----------
    name
        name of the record.
    signal_mv
        array of shape (n_samples, n_leads), in mV at the working rate.
    windows
        one dict a window with patient, start (samples), length (samples), labels
        (list of str), one entry for each part column and one for each tabular value.
    """

    name: str
    signal_mv: np.ndarray
    windows: list[dict]


class Source(Protocol):
    """What `write_store` asks of a source (see `synthetic` and `mitdb`)."""

    name: str
    synthetic: bool
    description: str
    citation: str
    signal: SignalContract
    tasks: dict[str, Task]
    tabular: tuple[str, ...]

    def request(self) -> dict:
        """The plain values that decide the content of the store."""

    def n_records(self) -> int:
        """How many records `records` will yield, for the progress bar."""

    def records(self) -> Iterator[Record]:
        """Yield the records one at a time."""

    def left_out(self) -> dict[str, int]:
        """What was left out and how many, known once `records` is exhausted."""


@dataclasses.dataclass
class Selection:
    """The windows that take part in a task.

    `rows` index the window table; `y` has shape (n_windows, n_classes), multi-hot or one-hot;
    `part`, `patients` and `records` have shape (n_windows,).
    """

    task: Task
    classes: list[str]
    rows: np.ndarray
    y: np.ndarray
    part: np.ndarray
    patients: np.ndarray
    records: np.ndarray

    def of(self, part: str) -> "Selection":
        """The windows of one part, in the order of the window table."""
        return self.take(self.part == part)

    def take(self, which) -> "Selection":
        """Some of the windows: `which` is a mask, an index array or a slice."""
        names = ("rows", "y", "part", "patients", "records")
        return dataclasses.replace(self, **{name: getattr(self, name)[which] for name in names})

    def counts(self) -> pd.DataFrame:
        """Windows of each class (rows) in each part (columns)."""
        counts = {p: self.y[self.part == p].sum(axis=0).astype(int) for p in PARTS}
        return pd.DataFrame(counts, index=pd.Index(self.classes, name="class"))


class Dataset:
    """A prepared store, opened.

    Parameters
    ----------
    path
        the store's folder.

    Raises
    ------
    DatasetError
        the folder is no store, or not a whole one.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.summary = _read_summary(self.path)
        self.name = self.summary["name"]
        self.fingerprint = self.summary["fingerprint"]
        self.synthetic = self.summary["synthetic"]
        signal = self.summary["signal"]
        self.signal = SignalContract(**(signal | {"leads": tuple(signal["leads"])}))
        self.tasks = {name: Task(**task) for name, task in self.summary["tasks"].items()}
        self.default_task = next(iter(self.tasks))
        self.windows = _read_windows(self.path, self.summary)
        self._signals = _open_signals(self.path, self.summary)
        strided = np.lib.stride_tricks.sliding_window_view(
            self._signals, self.signal.n_samples, axis=0
        )
        self._strided = strided.transpose(0, 2, 1)
        self._starts = self.windows["start"].to_numpy()

    def __repr__(self):
        return f"Dataset({self.path.name}: {len(self.windows)} windows)"

    def read_steps(self, rows: np.ndarray) -> np.ndarray:
        """Windows as stored: int16 array of shape (n_windows, n_samples, n_leads), in 1e-3 mV."""
        return self._strided[self._starts[rows]]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Windows as float32 array of shape (n_windows, n_samples, n_leads), in mV."""
        return self.read_steps(np.asarray(rows)).astype(np.float32) * np.float32(STEP_MV)

    def select(self, task_name: str) -> Selection:
        """The windows, labels and parts of a task.

        Raises
        ------
        DatasetError
            the dataset has no such task.
        """
        if task_name not in self.tasks:
            raise DatasetError(
                f"Dataset {self.name!r} has no task {task_name!r}. Its tasks: {list(self.tasks)}."
            )
        task = self.tasks[task_name]
        y = labels_to_classes(self.windows["labels"], task)
        keep = np.isin(self.windows[task.part].to_numpy(), PARTS)
        if task.kind == "multi_class":
            keep &= y.sum(axis=1) == 1
        rows = np.flatnonzero(keep)
        taken = self.windows.iloc[rows]
        return Selection(
            task=task,
            classes=list(task.classes),
            rows=rows,
            y=y[rows],
            part=taken[task.part].to_numpy(dtype=str),
            patients=taken["patient"].to_numpy(dtype=str),
            records=taken["record"].to_numpy(dtype=str),
        )


def labels_to_classes(labels: pd.Series, task: Task) -> np.ndarray:
    """Turn lists of labels into a float32 array of shape (n_windows, n_classes) of 0 and 1."""
    y = np.zeros((len(labels), len(task.classes)), np.float32)
    columns = {}
    for column, means in enumerate(task.classes.values()):
        for label in means:
            columns.setdefault(label, []).append(column)
    for row, own in enumerate(labels):
        for label in own:
            y[row, columns.get(label, [])] = 1.0
    return y


def is_store(path: str | Path) -> bool:
    """Whether a folder holds a prepared store."""
    return (Path(path) / "dataset.json").is_file()


def find_stores(data_dir: str | Path, name: str = "*") -> list[Path]:
    """The whole stores below a folder, newest first."""
    found = Path(data_dir).glob(f"{name}-*/dataset.json")
    return [p.parent for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]


def write_store(source: Source, data_dir: str | Path, progress: bool = True) -> Dataset:
    """Prepare a source, or open the store that an equal request has made before.

    Parameters
    ----------
    source
        where the records come from.
    data_dir
        folder that the store is written to.
    progress
        show a progress bar.

    Returns
    -------
    The opened store.

    Raises
    ------
    DatasetError
        a record is not what it should be, or nothing is left of the source.
    """
    request = {"format": FORMAT, "name": source.name, **source.request()}
    for path in find_stores(data_dir, source.name):
        if _read_summary(path)["request"] == request:
            return Dataset(path)
    try:
        with folders.unfinished(Path(data_dir), source.name) as folder:
            return _write(source, request, folder, progress)
    except OSError as error:
        raise DatasetError(
            f"Writing the store of {source.name!r} below {data_dir} failed: {error}. Nothing was "
            f"kept of it; see to the disk (space, rights) and prepare again."
        ) from error


def _write(source: Source, request: dict, folder: Path, progress: bool) -> Dataset:
    content = hashlib.blake2b(digest_size=8)
    rows, notes, signatures = [], integrity.SignalNotes(), integrity.Signatures()
    with SignalWriter(folder / "signals.npy", len(source.signal.leads)) as writer:
        records = tqdm(
            source.records(),
            total=source.n_records(),
            desc=f"prepare {source.name}",
            unit="record",
            disable=not progress,
        )
        for record in records:
            _check_record(record, source)
            notes.add(record.name, record.signal_mv)
            steps = to_steps(record.signal_mv)
            offset = writer.append(steps)
            content.update(steps.tobytes())
            signatures.add(record.name, record.signal_mv, source.signal.sampling_rate_hz)
            for window in record.windows:
                piece = steps[window["start"] : window["start"] + window["length"]]
                row = {"record": record.name, **window, "start": offset + window["start"]}
                rows.append(row | {"signal_hash": integrity.signal_hash(piece)})
    notes.check()
    windows = pd.DataFrame(rows)
    if windows.empty:
        raise DatasetError(
            f"Source {source.name!r} gave no window: {source.left_out()} were left out."
        )
    windows.to_parquet(folder / "windows.parquet", index=False)
    content.update(windows.to_json(orient="records").encode())
    content.update(json.dumps(_plain(source.tasks), sort_keys=True).encode())
    duplicates = signatures.near_identical()
    summary = {
        "name": source.name,
        "fingerprint": content.hexdigest(),
        "synthetic": source.synthetic,
        "description": source.description,
        "citation": source.citation,
        "signal": _plain(source.signal),
        "tasks": _plain(source.tasks),
        "tabular": list(source.tabular),
        "request": request,
        "n_records": int(windows["record"].nunique()),
        "n_windows": len(windows),
        "n_samples": writer.n_samples,
        "left_out": source.left_out(),
        "signal_notes": notes.found(),
        "near_identical_records": duplicates,
        "leaks": {
            column: leak_report(windows, column, duplicates)
            for column in sorted({task.part for task in source.tasks.values()})
        },
        "prepared": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    (folder / "dataset.json").write_text(json.dumps(summary, indent=1))
    final = folder.parent / f"{source.name}-{summary['fingerprint']}"
    if not (final / "dataset.json").exists():
        folder.rename(final)
    return Dataset(final)


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
        self._file.write(np.ascontiguousarray(steps, "<i2").tobytes())
        self.n_samples += len(steps)
        return start

    def _header(self):
        shape = (self.n_samples, self._n_leads)
        header = {"descr": "<i2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def to_steps(signal_mv: np.ndarray) -> np.ndarray:
    """Round a signal in mV to int16 steps of 0.001 mV; what is beyond 32.767 mV is clipped."""
    clipped = np.clip(signal_mv, -LIMIT_MV, LIMIT_MV)
    return np.rint(clipped / STEP_MV).astype(np.int16)


def _check_record(record: Record, source: Source) -> None:
    leads, shape = source.signal.leads, np.shape(record.signal_mv)
    if len(shape) != 2 or shape[1] != len(leads):
        raise DatasetError(
            f"Record {record.name!r} has shape {shape}, expected (n_samples, {len(leads)}) for the "
            f"leads {list(leads)}. Transpose it or add the missing lead."
        )
    if not np.isfinite(record.signal_mv).all():
        raise DatasetError(
            f"Record {record.name!r} holds NaN or infinite samples. Cut them out, fill them in or "
            f"leave the record out."
        )
    needed = {"patient", "start", "length", "labels", *source.tabular}
    needed |= {task.part for task in source.tasks.values()}
    for window in record.windows:
        if missing := needed - set(window):
            raise DatasetError(f"A window of record {record.name!r} lacks {sorted(missing)}.")
        start, length = window["start"], window["length"]
        if length != source.signal.n_samples or start < 0 or start + length > shape[0]:
            raise DatasetError(
                f"A window of record {record.name!r} spans samples {start} to {start + length}; "
                f"expected {source.signal.n_samples} samples within 0 to {shape[0]}."
            )


def _plain(value):
    """Dataclasses as dicts, also inside a dict."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value


def _broken(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is not a whole store: {what}. Remove the folder and run `ecglib prepare` again."
    )


def _read_summary(path: Path) -> dict:
    try:
        summary = json.loads((path / "dataset.json").read_text())
    except FileNotFoundError:
        raise _broken(path, "dataset.json is missing") from None
    except json.JSONDecodeError as error:
        raise _broken(path, f"dataset.json cannot be read ({error})") from None
    if summary["request"]["format"] != FORMAT:
        raise _broken(path, f"its format is {summary['request']['format']}, expected {FORMAT}")
    return summary


def _read_windows(path: Path, summary: dict) -> pd.DataFrame:
    try:
        windows = pd.read_parquet(path / "windows.parquet")
    except (OSError, ValueError) as error:
        raise _broken(path, f"windows.parquet cannot be read ({error})") from None
    needed = {*WINDOW_COLUMNS, *summary["tabular"], *(t["part"] for t in summary["tasks"].values())}
    if missing := needed - set(windows.columns):
        raise _broken(path, f"windows.parquet lacks the columns {sorted(missing)}")
    if len(windows) != summary["n_windows"]:
        found, told = len(windows), summary["n_windows"]
        raise _broken(path, f"windows.parquet has {found} rows, dataset.json says {told}")
    return windows


def _open_signals(path: Path, summary: dict) -> np.ndarray:
    expected = (summary["n_samples"], len(summary["signal"]["leads"]))
    try:
        signals = np.load(path / "signals.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise _broken(path, f"signals.npy cannot be read whole ({error})") from None
    if signals.shape != expected or signals.dtype != np.int16:
        raise _broken(
            path, f"signals.npy holds {signals.dtype}{signals.shape}, expected {expected}"
        )
    return signals
