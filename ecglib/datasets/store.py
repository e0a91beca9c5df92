"""The prepared store, opened: one source, written once (`writing`), read by memory map.

A store is a folder ``<dataset>-<fingerprint>`` with

- ``signals.npy``: int16, shape (n_samples_of_all_records, n_leads), microvolt steps;
- ``windows.parquet``: one row a window;
- ``dataset.json``: signal contract, tasks, provenance, what was left out and why, leaks;
- ``problems.csv``: one row a record that was left out, or kept although something is odd;
- ``heart_rate.parquet``: once it was asked for, one row a window (`heart_rate`).
"""

import dataclasses
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.labels import encode_labels
from ecglib.datasets.schema import SignalSpec, Task
from ecglib.datasets.selection import Selection
from ecglib.datasets.tabular import heart_rate
from ecglib.datasets.units import STEP_MV
from ecglib.errors import DatasetError, did_you_mean
from ecglib.splits import PARTS, TRAINING_ONLY, leak_report, merge_patients, parts_of_fold

FORMAT = 2
WINDOW_COLUMNS = ("record", "patient", "start", "length", "n_measured", "labels")
LIKELIHOOD = re.compile(r"(\w+)_min([1-9]\d{0,2})")


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
        self.summary = read_summary(self.path)
        self.name = self.summary["name"]
        self.fingerprint = self.summary["fingerprint"]
        self.synthetic = self.summary["synthetic"]
        signal = self.summary["signal"]
        self.signal = SignalSpec(**(signal | {"leads": tuple(signal["leads"])}))
        self.tasks = {name: Task(**task) for name, task in self.summary["tasks"].items()}
        self.default_task = next(iter(self.tasks))
        self.caveats = tuple(self.summary["caveats"])
        self.windows = _read_windows(self.path, self.summary)
        self.steps = _open_signals(self.path, self.summary)
        self.starts = self.windows["start"].to_numpy()
        windows = np.lib.stride_tricks.sliding_window_view(
            self.steps, self.signal.n_samples, axis=0
        )
        self._from_each_sample = windows.transpose(0, 2, 1)  # nothing is copied until it is indexed

    def __repr__(self):
        return f"Dataset({self.path.name}: {len(self.windows)} windows)"

    def read_steps(self, rows: np.ndarray) -> np.ndarray:
        """Windows as stored: int16 array of shape (n_windows, n_samples, n_leads), in 1e-3 mV."""
        return self._from_each_sample[self.starts[rows]]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Windows as float32 array of shape (n_windows, n_samples, n_leads), in mV."""
        return self.read_steps(np.asarray(rows)).astype(np.float32) * np.float32(STEP_MV)

    def measured(self, rows: np.ndarray) -> np.ndarray:
        """Mask of shape (n_windows, n_samples): False where a short record was padded with 0 mV."""
        n_measured = self.windows["n_measured"].to_numpy()[rows]
        return np.arange(self.signal.n_samples) < n_measured[:, None]

    @property
    def tabular_columns(self) -> tuple[str, ...]:
        """The tabular values of a window: those of the source, then `heart_rate.HEART_RATE`."""
        own = tuple(self.summary["tabular"])
        return (*own, *(name for name in heart_rate.HEART_RATE if name not in own))

    @property
    def default_tabular(self) -> tuple[str, ...]:
        """The columns that a model looks at unless told otherwise: all of them.

        A stretch around one beat is short for heart-rate statistics: there it is only the source's
        columns, if it has any.
        """
        own = tuple(self.summary["tabular"])
        return own if self.signal.around_beats and own else self.tabular_columns

    def check_tabular(self, columns: Sequence[str]) -> None:
        """Refuse tabular columns that the dataset does not have; nothing is read.

        Raises
        ------
        DatasetError
            there is no such column.
        """
        for name in columns:
            if name not in self.tabular_columns:
                raise DatasetError(
                    f"Dataset {self.name!r} has no tabular column {name!r}. Its columns: "
                    f"{list(self.tabular_columns)}.{did_you_mean(name, self.tabular_columns)}"
                )

    def read_tabular(self, rows: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        """Tabular values of windows.

        The heart-rate statistics of all windows are computed the first time that one is asked for.

        Parameters
        ----------
        rows
            rows of the window table.
        columns
            of `tabular_columns`.

        Returns
        -------
        float32 array of shape (n_windows, n_columns), NaN where a value is missing.

        Raises
        ------
        DatasetError
            there is no such column.
        """
        self.check_tabular(columns)
        values = np.empty((len(rows), len(columns)), np.float32)
        for place, name in enumerate(columns):
            if name in self.summary["tabular"]:
                values[:, place] = self.windows[name].to_numpy(np.float32)[rows]
            else:
                column = heart_rate.HEART_RATE.index(name)
                values[:, place] = self._heart_rate[rows, column]
        return values

    @functools.cached_property
    def _heart_rate(self) -> np.ndarray:
        return heart_rate.heart_rate_of_windows(
            self.path, self.signal, len(self.windows), self.read
        )

    def task(self, name: str) -> Task:
        """A task by its name.

        Where the dataset knows how likely each label is, ``<task>_min50`` is the task in which
        only labels of at least 50 % count (any whole number from 1 to 100).

        Raises
        ------
        DatasetError
            the dataset has no such task.
        """
        if name in self.tasks:
            return self.tasks[name]
        rated = "likelihoods" in self.windows
        base, least = LIKELIHOOD.fullmatch(name).groups() if LIKELIHOOD.fullmatch(name) else ("", 0)
        if rated and base in self.tasks and 1 <= int(least) <= 100:
            return dataclasses.replace(
                self.tasks[base], name=name, min_likelihood=float(least), needs_a_class=True
            )
        more = ", each also as <task>_min1 to _min100 (least likelihood in %)" if rated else ""
        raise DatasetError(
            f"Dataset {self.name!r} has no task {name!r}. Its tasks: {list(self.tasks)}{more}."
            + did_you_mean(name, self.tasks)
        )

    def select(
        self, task_name: str, tabular: Sequence[str] = (), n_folds: int = 0, fold: int = 0
    ) -> Selection:
        """The windows, labels and parts of a task, and their tabular values.

        In a cross-validation the windows of the test part are left out and the others get the
        parts of one fold (`ecglib.splits.cross_validation`). The folds depend on the patients and
        their labels only, so that all models of a task have the same. Windows that are for
        training only are in no other part.

        Parameters
        ----------
        task_name
            name of the task.
        tabular
            of `tabular_columns`, those that are wanted.
        n_folds
            number of folds, from 3; 0 for the parts of the dataset.
        fold
            the fold that is the test part, from 1.

        Raises
        ------
        DatasetError
            the dataset has no such task or column, or fewer patients than folds.
        """
        task = self.task(task_name)
        y = encode_labels(self.windows["labels"], task, self.windows.get("likelihoods"))
        keep = np.isin(self.windows[task.part].to_numpy(), PARTS)
        if task.kind == "multi_class":
            keep &= y.sum(axis=1) == 1
        elif task.needs_a_class:
            keep &= y.any(axis=1)
        rows = np.flatnonzero(keep)
        taken = self.windows.iloc[rows]
        selection = Selection(
            task=task,
            classes=list(task.classes),
            rows=rows,
            y=y[rows],
            part=taken[task.part].to_numpy(dtype=str),
            patients=taken["patient"].to_numpy(dtype=str),
            records=taken["record"].to_numpy(dtype=str),
            tabular=self.read_tabular(rows, tabular),
        )
        return self._in_fold(selection, n_folds, fold) if n_folds else selection

    def leak_report(self, selection: Selection) -> dict:
        """What the parts of a selection share (`ecglib.splits.leak_report`)."""
        windows = self.windows.iloc[selection.rows].assign(part=selection.part)
        return leak_report(windows, "part", self.summary["near_identical_records"])

    def _in_fold(self, selection: Selection, n_folds: int, fold: int) -> Selection:
        selection = selection.take(selection.part != "test")
        windows = self.windows.iloc[selection.rows]
        scored = np.ones(len(selection.rows), bool)
        if TRAINING_ONLY in windows:
            scored = ~windows[TRAINING_ONLY].eq(True).to_numpy(bool)
        persons = merge_patients(
            selection.patients,
            selection.records,
            windows["signal_hash"].to_numpy(str),
            self.summary["near_identical_records"],
        )
        part = parts_of_fold(persons, selection.y, scored, n_folds, fold)
        return dataclasses.replace(selection, part=part).take(scored | (part == "train"))


def is_store(path: str | Path) -> bool:
    """Whether a folder holds a prepared store."""
    return (Path(path) / "dataset.json").is_file()


def find_stores(data_dir: str | Path, name: str = "*") -> list[Path]:
    """The whole stores below a folder, newest first."""
    found = Path(data_dir).glob(f"{name}-*/dataset.json")
    return [p.parent for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]


def _broken(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is not a whole store: {what}. Remove the folder and run `ecglib prepare` again."
    )


def read_summary(path: Path) -> dict:
    """``dataset.json`` of a store.

    Raises
    ------
    DatasetError
        it is missing, broken or of another format.
    """
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
