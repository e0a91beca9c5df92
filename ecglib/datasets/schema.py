"""What sources, store and models agree on: signal spec, task, record, problem, source."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ecglib.datasets.units import STEP_MV, to_steps

TASK_KINDS = ("multi_label", "multi_class")


@dataclasses.dataclass(frozen=True)
class SignalSpec:
    """Sampling rate, length, leads and unit of the windows of a dataset.

    Parameters
    ----------
    sampling_rate_hz : float
        Working sampling rate in Hz.
    n_samples : int
        Samples in a window.
    leads : tuple of str
        Names of the leads, in order.
    unit : str, default "mV"
        Unit of the samples that `Dataset.read` returns.
    around_beats : bool, default False
        Whether a window is a stretch around one beat, so that no other stretch of the record can
        replace it.
    beat_s : float, optional
        Time of that beat from the start of the window, in s.

    Examples
    --------
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II"))
    >>> signal.n_samples / signal.sampling_rate_hz
    10.0
    """

    sampling_rate_hz: float
    n_samples: int
    leads: tuple[str, ...]
    unit: str = "mV"
    around_beats: bool = False
    beat_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What is predicted.

    Parameters
    ----------
    name : str
        Name of the task.
    kind : str
        One of `TASK_KINDS`: ``"multi_label"`` (any number of classes per window) or
        ``"multi_class"`` (exactly one).
    classes : dict of str to list of str
        For each class the labels that mean it. A window of a multi-class task that has no label of
        any class is not part of the task.
    part : str, default "part"
        Column of the window table that holds the split: train, validation or test.
    description : str, default ""
        One line for people.
    needs_a_class : bool, default False
        Whether a window of a multi-label task that has no label of any class is not part of the
        task; otherwise it counts as having none of the classes.
    min_likelihood : float, default 0
        Smallest likelihood, in percent, that the column ``likelihoods`` must give a label for it to
        count; 0 counts every label, also those of unknown likelihood (`Dataset.find_task`).

    Examples
    --------
    >>> task = Task("af", "multi_label", {"AF": ["AFIB", "AFLT"]})
    >>> list(task.classes)
    ['AF']
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
    """One ECG recording as a source yields it.

    Parameters
    ----------
    name : str
        Name of the record.
    steps : int16 array of shape (n_samples, n_leads)
        Samples in 0.001 mV at the working rate; `units.INVALID` where nothing was measured.
    windows : list of dict
        For each window its patient, start (samples), length (samples), labels (list of str), one
        entry for each column of splits, each tabular value and each other column of the source. A
        window that ends after the record also has n_measured, its number of samples within the
        record; the rest is filled with 0 mV.

    Examples
    --------
    >>> window = {"patient": "p1", "start": 0, "length": 2, "labels": ["AF"], "part": "train"}
    >>> record = Record("r1", np.array([[500], [-250]], np.int16), [window])
    >>> record.signal_mv.tolist()
    [[0.5], [-0.25]]
    """

    name: str
    steps: np.ndarray
    windows: list[dict[str, Any]]

    @classmethod
    def from_mv(cls, name: str, signal_mv: np.ndarray, windows: list[dict[str, Any]]) -> "Record":
        """Make a record from a signal in mV, NaN where nothing was measured."""
        return cls(name, to_steps(signal_mv), windows)

    @property
    def signal_mv(self) -> np.ndarray:
        """The samples in mV, float64."""
        return self.steps * STEP_MV


@dataclasses.dataclass(frozen=True)
class Problem:
    """A fault of a record, or of a row of the label table.

    Parameters
    ----------
    record : str
        Name of the record.
    kind : str
        A key of `ecglib.datasets.problems.KINDS`.
    detail : str, default ""
        What was found and what was expected.

    Examples
    --------
    >>> Problem("100", "flat_lead", "V5").kind
    'flat_lead'
    """

    record: str
    kind: str
    detail: str = ""


class Source(Protocol):
    """What `write_store` needs of a source.

    Attributes
    ----------
    name, description, citation : str
        What the dataset is called, what it is and where it comes from.
    synthetic : bool
        Whether the signals are simulated.
    signal : SignalSpec
        What the windows are.
    tasks : dict of str to Task
        The tasks by name; the first is the default.
    tabular : tuple of str
        Columns of the window table that a model may use (numbers).
    columns : mapping of str to str
        The other columns, for filtering, and their Arrow types (``"string"``, ``"double"``,
        ``"bool"``, ``"list<double>"``...). Windows for which a column ``training_only`` is true are
        scored in no fold of a cross-validation (`splits.TRAINING_ONLY`).
    caveats : tuple of str
        Shown with every number of this dataset.
    version : int
        Version of the content; raise it whenever equal files and options give other windows.
    options : mapping of str to object
        Every option that the source was opened with, as plain values. With name, version, signal
        spec, tasks, columns and `hash_content` they make the request (`request.make_request`).

    Examples
    --------
    >>> import pandas as pd
    >>> from ecglib.datasets.sources.arrays import ArraysSource, Recordings
    >>> table = pd.DataFrame(
    ...     {"record": ["r1"], "patient": ["p1"], "labels": [["AF"]], "part": ["train"]}
    ... )
    >>> recordings = Recordings(
    ...     signals=np.zeros((1, 250, 1)),
    ...     names=["r1"],
    ...     sampling_rate_hz=250.0,
    ...     leads=["II"],
    ...     unit="mV",
    ... )
    >>> task = Task("af", "multi_label", {"AF": ["AF"]})
    >>> source: Source = ArraysSource("mine", recordings, table, task)
    >>> source.signal.n_samples, list(source.tasks), [one.name for one in source.read_records()]
    (250, ['af'], ['r1'])
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
    version: int
    options: Mapping[str, Any]

    def hash_content(self) -> str:
        """Hash the files or arrays that the records are read from; "" if they are simulated."""

    def count_records(self) -> int:
        """Count the records that `read_records` will yield, for the progress bar."""

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records one at a time, and a problem for each that cannot be read."""

    def count_excluded(self) -> dict[str, int]:
        """Count what is excluded by the dataset's definition, once `read_records` is exhausted."""
