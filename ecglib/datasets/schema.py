"""The words between sources and store: signal contract, task, record, problem, source."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from ecglib.datasets.units import STEP_MV, to_steps

TASK_KINDS = ("multi_label", "multi_class")


@dataclasses.dataclass(frozen=True)
class SignalSpec:
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
    around_beats
        a window is the stretch around one beat, so that no other stretch of a record can stand
        for it.
    """

    sampling_rate_hz: float
    n_samples: int
    leads: tuple[str, ...]
    unit: str = "mV"
    around_beats: bool = False


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
    needs_a_class
        a window of a multi-label task that carries no label of any class is not part of
        the task either; otherwise it counts as having none of the classes.
    min_likelihood
        a label counts only if the column likelihoods gives it at least this many percent; 0 takes
        every label, also those whose likelihood is unknown (`Dataset.task`).
    """

    name: str
    kind: str
    classes: dict[str, list[str]]
    part: str = "part"
    description: str = ""
    needs_a_class: bool = False
    min_likelihood: float = 0.0


@dataclasses.dataclass
class Record:
    """One ECG recording as a source hands it over.

    Parameters
    ----------
    name
        name of the record.
    steps
        int16 array of shape (n_samples, n_leads), in 0.001 mV at the working rate;
        `signals.INVALID` where nothing was measured.
    windows
        one dict a window with patient, start (samples), length (samples), labels
        (list of str), one entry for each part column, each tabular value and each of the
        source's other columns. A window that ends after the record has n_measured, the samples
        that are the record's; the rest is filled with 0 mV.
    """

    name: str
    steps: np.ndarray
    windows: list[dict]

    @classmethod
    def from_mv(cls, name: str, signal_mv: np.ndarray, windows: list[dict]) -> "Record":
        """A record from a signal in mV; NaN where nothing was measured."""
        return cls(name, to_steps(signal_mv), windows)

    @property
    def signal_mv(self) -> np.ndarray:
        """The samples in mV, float64."""
        return self.steps * STEP_MV


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a record, or with a row of the label table.

    Parameters
    ----------
    record
        name of the record.
    kind
        one of `ecglib.datasets.problems.KINDS`.
    detail
        what was found, what was expected.
    """

    record: str
    kind: str
    detail: str = ""


class Source(Protocol):
    """What `write_store` asks of a source.

    `tabular` names the columns of the window table that a model may look at (numbers), `columns`
    maps the other columns, kept for filtering, to their Arrow type (``"string"``, ``"double"``,
    ``"bool"``, ``"list<double>"``...). Windows of which a column ``training_only`` is true are
    scored in no fold of a cross-validation (`splits.TRAINING_ONLY`). `caveats` must be said wherever
    a number of this dataset appears.
    """

    name: str
    synthetic: bool
    description: str
    citation: str
    signal: SignalSpec
    tasks: dict[str, Task]
    tabular: tuple[str, ...]
    columns: Mapping[str, str]
    caveats: tuple[str, ...]

    def to_request(self) -> dict:
        """The plain values that decide the content of the store."""

    def count_records(self) -> int:
        """How many records `records` will yield, for the progress bar."""

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records one at a time, and what is wrong with those that cannot be given."""

    def count_excluded(self) -> dict[str, int]:
        """What is no part of the dataset by its definition, known once `records` is exhausted."""
