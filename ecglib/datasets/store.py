"""Open a prepared store: one source, written once (`writer`), read by memory map.

A store is a folder ``<dataset>-<fingerprint>`` with

- ``signals.npy``: int16, shape (n_samples_of_all_records, n_leads), microvolt steps;
- ``windows.parquet``: one row per window;
- ``dataset.json``: signal spec, tasks, provenance, what was excluded or flagged and why, leaks;
- ``problems.csv``: one row per problem of an excluded or flagged record;
- ``heart_rate.parquet``: one row per window, once it was asked for (`heart_rate`).
"""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecglib._display import Displayed
from ecglib.datasets.labels import encode_labels
from ecglib.datasets.schema import SignalSpec, Task
from ecglib.datasets.selection import Selection
from ecglib.datasets.store_files import SUMMARY, open_signals, read_summary, read_windows
from ecglib.datasets.tabular import heart_rate
from ecglib.datasets.units import STEP_MV
from ecglib.errors import DatasetError, did_you_mean
from ecglib.splits import PARTS, TRAINING_ONLY, assign_parts_of_fold, merge_patients, report_leaks

LIKELIHOOD_TASK = re.compile(r"(\w+)_min([1-9]\d{0,2})")


class Dataset(Displayed):
    """A prepared store, opened.

    Parameters
    ----------
    path : str or Path
        The store's folder.

    Attributes
    ----------
    path : Path
        The store's folder.
    summary : dict
        The content of ``dataset.json``.
    name, fingerprint : str
        Name of the dataset and hash of its content.
    synthetic : bool
        Whether the signals are simulated.
    signal : SignalSpec
        What the windows are.
    tasks : dict of str to Task
        The tasks by name.
    default_task : str
        Name of the first task.
    caveats : tuple of str
        Shown with every number of this dataset.
    windows : DataFrame
        The window table.
    steps : int16 array of shape (n_samples_of_all_records, n_leads)
        The samples of all records, memory-mapped, in 0.001 mV.
    starts : int array of shape (n_windows,)
        Row of `steps` at which each window starts.

    Raises
    ------
    DatasetError
        If the folder is not a store, is incomplete or of another format, or ``dataset.json`` or
        the window table was changed (`store_files`; `verify_store` verifies the samples too).

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = prepare("synthetic", data_dir=folder.name, options={"n_patients": 10}).path
    >>> dataset = Dataset(path)
    >>> dataset.default_task
    'superdiagnostic'
    >>> dataset.read([0, 1]).shape
    (2, 1000, 12)
    >>> selection = dataset.select("superdiagnostic", tabular=["age"])
    >>> selection.tabular.shape == (len(selection.rows), 1)
    True
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.summary = read_summary(self.path)
        self.name: str = self.summary["name"]
        self.fingerprint: str = self.summary["fingerprint"]
        self.synthetic: bool = self.summary["synthetic"]
        signal = self.summary["signal"]
        self.signal = SignalSpec(**(signal | {"leads": tuple(signal["leads"])}))
        self.tasks = {name: Task(**task) for name, task in self.summary["tasks"].items()}
        self.default_task = next(iter(self.tasks))
        self.caveats: tuple[str, ...] = tuple(self.summary["caveats"])
        self.windows = read_windows(self.path, self.summary)
        self.steps = open_signals(self.path, self.summary)
        self.starts = self.windows["start"].to_numpy()
        windows = np.lib.stride_tricks.sliding_window_view(
            self.steps, self.signal.n_samples, axis=0
        )
        self._from_each_sample = windows.transpose(0, 2, 1)  # nothing is copied until it is indexed

    def __repr__(self) -> str:
        signal = self.signal
        caveats = f"; {'; '.join(self.caveats)}" if self.caveats else ""
        return (
            f"Dataset({self.path.name}: {len(self.windows):,} windows of "
            f"{signal.n_samples / signal.sampling_rate_hz:g} s at {signal.sampling_rate_hz:g} Hz, "
            f"{len(signal.leads)} leads, {self.windows['patient'].nunique():,} patients; tasks "
            f"{', '.join(self.tasks)}{caveats})"
        )

    def read_steps(self, rows: np.ndarray) -> np.ndarray:
        """Read windows as they are stored.

        Parameters
        ----------
        rows : int array of shape (n_windows,)
            Rows of the window table.

        Returns
        -------
        int16 array of shape (n_windows, n_samples, n_leads)
            In 0.001 mV.
        """
        return self._from_each_sample[self.starts[rows]]

    def read(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Read windows in mV.

        Parameters
        ----------
        rows : int array of shape (n_windows,)
            Rows of the window table.

        Returns
        -------
        float32 array of shape (n_windows, n_samples, n_leads)
            In mV.
        """
        return self.read_steps(np.asarray(rows)).astype(np.float32) * np.float32(STEP_MV)

    def read_measured_mask(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Read which samples of windows belong to their record.

        Parameters
        ----------
        rows : int array of shape (n_windows,)
            Rows of the window table.

        Returns
        -------
        bool array of shape (n_windows, n_samples)
            False where a short record was padded with 0 mV.
        """
        n_measured = self.windows["n_measured"].to_numpy()[rows]
        mask: np.ndarray = np.arange(self.signal.n_samples) < n_measured[:, None]
        return mask

    @property
    def tabular_columns(self) -> tuple[str, ...]:
        """The tabular values that a model may use: `default_tabular`, and any that are named.

        Those of the source come first, then other columns of numbers (of a label table), whose
        meaning is not known, then `heart_rate.HEART_RATE`.
        """
        columns = (*self._source_columns, *self._other_numbers)
        return (*columns, *(name for name in heart_rate.HEART_RATE if name not in columns))

    @property
    def default_tabular(self) -> tuple[str, ...]:
        """The tabular columns that a model uses by default: those that the source knows.

        These are the source's columns and the heart-rate statistics. A stretch around one beat is
        too short for the latter: there it is only the source's columns, if it has any. Other
        columns of numbers, which may hold the label in another form, have to be named.
        """
        if self.signal.around_beats and self._source_columns:
            return self._source_columns
        return tuple(name for name in self.tabular_columns if name not in self._other_numbers)

    @property
    def _source_columns(self) -> tuple[str, ...]:
        return tuple(self.summary["tabular"])

    @property
    def _other_numbers(self) -> tuple[str, ...]:
        types = self.summary["columns"]
        return tuple(
            name
            for name, kind in types.items()
            if kind == "double" and name not in heart_rate.HEART_RATE
        )

    def check_tabular(self, columns: Sequence[str]) -> None:
        """Check that the dataset has tabular columns, without reading them.

        Parameters
        ----------
        columns : sequence of str
            Names of columns.

        Raises
        ------
        DatasetError
            If a name is not one of `tabular_columns`.
        """
        for name in columns:
            if name not in self.tabular_columns:
                raise DatasetError(
                    f"Dataset {self.name!r} has no tabular column {name!r}. Its columns: "
                    f"{list(self.tabular_columns)}.{did_you_mean(name, self.tabular_columns)}"
                )

    def read_tabular(self, rows: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        """Read tabular values of windows.

        The heart-rate statistics of all windows are computed the first time that one is asked for.

        Parameters
        ----------
        rows : int array of shape (n_windows,)
            Rows of the window table.
        columns : sequence of str
            Some of `tabular_columns`.

        Returns
        -------
        float32 array of shape (n_windows, n_columns)
            NaN where a value is missing.

        Raises
        ------
        DatasetError
            If the dataset has no such column.
        """
        self.check_tabular(columns)
        values = np.empty((len(rows), len(columns)), np.float32)
        for place, name in enumerate(columns):
            if name in self._source_columns or name not in heart_rate.HEART_RATE:
                values[:, place] = self.windows[name].to_numpy(np.float32)[rows]
            else:
                column = heart_rate.HEART_RATE.index(name)
                values[:, place] = self._heart_rate[rows, column]
        return values

    @functools.cached_property
    def _heart_rate(self) -> np.ndarray:
        return heart_rate.load_or_compute_heart_rate(
            self.path, self.fingerprint, self.signal, len(self.windows), self.read
        )

    def find_task(self, name: str) -> Task:
        """Find a task by its name.

        If the dataset has likelihoods of labels, ``<task>_min50`` is the task in which only labels
        of at least 50 % count (any whole number from 1 to 100).

        Parameters
        ----------
        name : str
            Name of the task.

        Returns
        -------
        Task
            The task.

        Raises
        ------
        DatasetError
            If the dataset has no such task.
        """
        if name in self.tasks:
            return self.tasks[name]
        has_likelihoods = "likelihoods" in self.windows
        parsed = LIKELIHOOD_TASK.fullmatch(name)
        if has_likelihoods and parsed and parsed[1] in self.tasks and int(parsed[2]) <= 100:
            return dataclasses.replace(
                self.tasks[parsed[1]],
                name=name,
                min_likelihood=float(parsed[2]),
                needs_a_class=True,
            )
        variants = ""
        if has_likelihoods:
            variants = ", each also as <task>_min1 to _min100 (smallest likelihood in %)"
        raise DatasetError(
            f"Dataset {self.name!r} has no task {name!r}. Its tasks: {list(self.tasks)}{variants}."
            + did_you_mean(name, self.tasks)
        )

    def select(
        self, task_name: str, tabular: Sequence[str] = (), n_folds: int = 0, fold: int = 0
    ) -> Selection:
        """Select the windows of a task, with their labels, splits and tabular values.

        In a cross-validation the windows of the dataset's test split are excluded, and the others
        get the splits of one fold (`ecglib.splits.cross_validation`). The folds depend on the
        patients and their labels only, so that all models of a task have the same. Windows for
        training only are in no other split.

        Parameters
        ----------
        task_name : str
            Name of the task.
        tabular : sequence of str, default ()
            Some of `tabular_columns`.
        n_folds : int, default 0
            Number of folds, at least 3; 0 for the splits of the dataset.
        fold : int, default 0
            The fold that is the test split, from 1.

        Returns
        -------
        Selection
            The windows.

        Raises
        ------
        DatasetError
            If the dataset has no such task or column, or fewer patients than folds.
        """
        task = self.find_task(task_name)
        y = encode_labels(self.windows["labels"], task, self.windows.get("likelihoods"))
        takes_part = np.isin(self.windows[task.part].to_numpy(), PARTS)
        if task.kind == "multi_class":
            takes_part &= y.sum(axis=1) == 1
        elif task.needs_a_class:
            takes_part &= y.any(axis=1)
        rows = np.flatnonzero(takes_part)
        windows = self.windows.iloc[rows]
        selection = Selection(
            task=task,
            classes=list(task.classes),
            rows=rows,
            y=y[rows],
            part=windows[task.part].to_numpy(dtype=str),
            patients=windows["patient"].to_numpy(dtype=str),
            records=windows["record"].to_numpy(dtype=str),
            tabular=self.read_tabular(rows, tabular),
        )
        return self._select_fold(selection, n_folds, fold) if n_folds else selection

    def report_leaks(self, selection: Selection) -> dict[str, Any]:
        """Report what the splits of a selection share.

        Parameters
        ----------
        selection : Selection
            Windows of this dataset.

        Returns
        -------
        dict
            See `ecglib.splits.report_leaks`.
        """
        windows = self.windows.iloc[selection.rows].assign(part=selection.part)
        return report_leaks(windows, "part", self.summary["near_identical_records"])

    def _select_fold(self, selection: Selection, n_folds: int, fold: int) -> Selection:
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
        part = assign_parts_of_fold(persons, selection.y, scored, n_folds, fold)
        return dataclasses.replace(selection, part=part).take(scored | (part == "train"))


def require_dataset(data: object) -> Dataset:
    """Check that a dataset was given where one is due.

    Parameters
    ----------
    data : object
        What the user gave.

    Returns
    -------
    Dataset
        The same.

    Raises
    ------
    DatasetError
        If it is something else; the message says how to get a dataset from it.

    Examples
    --------
    >>> require_dataset("synthetic")
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: 'synthetic' is a name, ... ecglib.prepare('synthetic').
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        raise DatasetError(
            f"{str(data)!r} is a name, expected a dataset. Prepare or open it first: "
            f"ecglib.prepare({str(data)!r})."
        )
    if isinstance(data, np.ndarray):
        raise DatasetError(
            f"An array of shape {data.shape} was given, expected a dataset: a model also needs "
            f"labels, patients and splits. Write a store from the array and a label table first: "
            f"ecglib.write_store(ecglib.ArraysSource(...))."
        )
    raise DatasetError(
        f"{type(data).__name__} was given, expected a dataset. The dataset comes first: get it "
        f"from ecglib.prepare(name)."
    )


def is_store(path: str | Path) -> bool:
    """Tell whether a folder holds a prepared store.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    bool
        Whether it has a ``dataset.json``.

    Examples
    --------
    >>> is_store("nowhere")
    False
    """
    return os.path.isfile(os.path.join(path, SUMMARY))


def find_stores(data_dir: str | Path, name: str = "") -> list[Path]:
    """Find the stores in a folder.

    Parameters
    ----------
    data_dir : str or Path
        Folder of the stores.
    name : str, default ""
        Name of the dataset, as ``dataset.json`` of the store gives it; "" for all.

    Returns
    -------
    list of Path
        The folders of the stores, newest first.

    Examples
    --------
    >>> find_stores("nowhere", "ptbxl")
    []
    """
    try:
        folders = [path for path in Path(data_dir).iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    stores = [path for path in folders if is_store(path)]
    found = [path for path in stores if name in ("", _read_name(path))]
    return sorted(found, key=lambda path: os.path.getmtime(path / SUMMARY), reverse=True)


def _read_name(path: Path) -> str:
    """Read the name of a store; of a broken one, take it from the folder."""
    try:
        return str(json.loads((path / SUMMARY).read_bytes())["name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return path.name.rpartition("-")[0]
