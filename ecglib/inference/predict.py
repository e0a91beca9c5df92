"""Probabilities and decisions of a run for records that it has never seen."""

import ecglib._keras  # noqa: F401

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Problem
from ecglib.datasets.store import Dataset
from ecglib.errors import DatasetError
from ecglib.evaluation.metrics import decide
from ecglib.inference.export import BATCH, one_graph, signal_contract, tabular_columns
from ecglib.inference.records import (
    Given,
    Window,
    check_values,
    find_records,
    tabular_of,
    windows_of,
)
from ecglib.runs import Run

REPEATS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """What a run says about records.

    Parameters
    ----------
    contract
        of the run: classes, kind, thresholds, caveats.
    windows
        the windows that were predicted, without their samples unless they were to be kept.
    p
        float32 array of shape (n_windows, n_classes).
    decisions
        bool array of shape (n_windows, n_classes), by the stored thresholds.
    refused
        records that do not fit the contract, and why.
    seconds
        time it took, reading included.
    """

    contract: dict
    windows: list[Window]
    p: np.ndarray
    decisions: np.ndarray
    refused: list[Problem]
    seconds: float

    @property
    def caveats(self) -> list[str]:
        """What has to be said wherever these numbers appear."""
        return self.contract["caveats"]

    @property
    def records_per_s(self) -> float:
        """Records, refused ones included, read and predicted in a second."""
        records = {window.record for window in self.windows} | {r.record for r in self.refused}
        return len(records) / self.seconds

    def decided(self, row: int) -> list[str]:
        """The classes decided for a window."""
        classes = self.contract["classes"]
        return [name for name, own in zip(classes, self.decisions[row], strict=True) if own]

    def table(self) -> pd.DataFrame:
        """One row a window, and one a refused record.

        Columns: record, start_s, p_<class> for each class, decision (classes separated by ``;``),
        notes, refused (why), caveats.
        """
        caveats = "; ".join(self.caveats)
        rows = [
            {
                **{"record": window.record, "start_s": window.start_s},
                **self._probabilities(row, "p_"),
                **{"decision": ";".join(self.decided(row)), "notes": "; ".join(window.notes)},
                **{"refused": "", "caveats": caveats},
            }
            for row, window in enumerate(self.windows)
        ]
        rows += [
            {"record": r.record, "refused": r.detail, "caveats": caveats} for r in self.refused
        ]
        columns = [f"p_{name}" for name in self.contract["classes"]]
        columns = ["record", "start_s", *columns, "decision", "notes", "refused", "caveats"]
        texts = dict.fromkeys(("decision", "notes"), "")
        return pd.DataFrame(rows, columns=columns).fillna(texts)

    def to_dict(self) -> dict:
        """The same as plain values, for JSON."""
        told = ("dataset", "task", "kind", "classes", "thresholds", "caveats")
        return {
            **{name: self.contract[name] for name in told},
            "predictions": [
                {
                    **{"record": window.record, "start_s": window.start_s},
                    "probabilities": self._probabilities(row),
                    **{"decisions": self.decided(row), "notes": list(window.notes)},
                }
                for row, window in enumerate(self.windows)
            ],
            "refused": [
                {"record": r.record, "kind": r.kind, "why": r.detail} for r in self.refused
            ],
            "records_per_s": self.records_per_s,
        }

    def _probabilities(self, row: int, before: str = "") -> dict[str, float]:
        pairs = zip(self.contract["classes"], self.p[row].tolist(), strict=True)
        return {f"{before}{name}": p for name, p in pairs}


class Predictor:
    """A run, ready to predict.

    Parameters
    ----------
    run
        the run.
    """

    def __init__(self, run: Run):
        self.contract = run.contract
        self.signal = signal_contract(run.contract)
        self.columns = tabular_columns(run.contract)
        self.graph = one_graph(run)
        # After two sizes of a batch TensorFlow traces no third.
        for n in (1, 2):
            self._probabilities(
                [np.zeros((n, *x.shape[1:]), np.float32) for x in self.graph.inputs]
            )

    def predict(self, windows: Iterable[Window | Problem], keep_signal: bool = False) -> Predicted:
        """Predict windows, batch by batch: memory does not grow with their samples.

        Parameters
        ----------
        windows
            of `recordings.windows_of` or `windows_of_store`.
        keep_signal
            keep the samples, to draw them.
        """
        started = time.perf_counter()
        kept, refused, probabilities = [], [], []
        for batch in _batches(windows, BATCH):
            own = [one for one in batch if isinstance(one, Window)]
            refused += [one for one in batch if isinstance(one, Problem)]
            if own:
                probabilities.append(self._probabilities(self._inputs(own)))
            none = np.empty((0, len(self.signal.leads)), np.int16)
            kept += own if keep_signal else [dataclasses.replace(w, steps=none) for w in own]
        classes, limits = self.contract["classes"], self.contract["thresholds"]
        p = np.concatenate([np.empty((0, len(classes)), np.float32), *probabilities])
        decisions = decide(p, limits, self.contract["kind"]) if len(p) else p > 1
        seconds = time.perf_counter() - started
        return Predicted(self.contract, kept, p, decisions, refused, seconds)

    def predict_records(
        self, paths: Sequence[str | Path], given: Given | None = None, keep_signal: bool = False
    ) -> Predicted:
        """Predict records and folders of records (`recordings.windows_of`)."""
        return self.predict(self._windows(paths, given or Given()), keep_signal)

    def latency(self, paths: Sequence[str | Path], given: Given | None = None) -> dict[str, float]:
        """Median time in s of the first record that can be predicted, over 20 repeats.

        Returns
        -------
        ``record_s``, from the file to the probabilities, and ``model_s``, the model alone.

        Raises
        ------
        DatasetError
            there is no such record.
        """
        for path in find_records(paths):

            def first(path=path) -> list[Window]:
                windows = self._windows([path], given or Given())
                return list(itertools.islice((w for w in windows if isinstance(w, Window)), 1))

            if windows := first():
                inputs = self._inputs(windows)
                return {
                    "record_s": _median_s(lambda first=first: self.predict(first())),
                    "model_s": _median_s(lambda x=inputs: self._probabilities(x)),
                }
        raise DatasetError(f"None of {list(map(str, paths))[:5]} can be predicted.")

    def _windows(self, paths, given: Given) -> Iterator[Window | Problem]:
        check_values(given.values, self.columns)
        return windows_of(paths, self.signal, given)

    def _inputs(self, windows: Sequence[Window]) -> list[np.ndarray]:
        signal_mv = np.stack([window.signal_mv for window in windows])
        if not self.columns:
            return [signal_mv]
        return [signal_mv, np.stack([tabular_of(w, self.columns, self.signal) for w in windows])]

    def _probabilities(self, inputs: list[np.ndarray]) -> np.ndarray:
        inputs = inputs if len(inputs) > 1 else inputs[0]
        return np.asarray(self.graph.predict_on_batch(inputs))


def windows_of_store(
    dataset: Dataset, rows: np.ndarray, columns: Sequence[str] = ()
) -> Iterator[Window]:
    """Windows of a prepared store, by their rows in its window table.

    The start of each counts from the first window of its record; `columns` are the tabular values
    that it carries (`Predictor.columns`).
    """
    table, tabular = dataset.windows, dataset.read_tabular(rows, columns)
    first = table.groupby("record")["start"].min()
    for row, values in zip(rows, tabular, strict=True):
        (steps,) = dataset.read_steps(np.array([row]))
        record = table["record"].iloc[row]
        start_s = (table["start"].iloc[row] - first[record]) / dataset.signal.sampling_rate_hz
        known = dict(zip(columns, values.tolist(), strict=True))
        yield Window(str(record), float(start_s), steps, values=known)


def _batches(items: Iterable, n: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(itertools.islice(items, n)):
        yield batch


def _median_s(function: Callable) -> float:
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
