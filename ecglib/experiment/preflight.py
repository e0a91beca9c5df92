"""Holds an experiment against a dataset before anything is trained."""

import dataclasses
import warnings
from typing import Any

import numpy as np

from ecglib.datasets.schema import SignalSpec, Task
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular import HEART_RATE
from ecglib.errors import ExperimentError
from ecglib.experiment.config import Experiment
from ecglib.experiment.registry import TABULAR
from ecglib.experiment.revealing_columns import RevealingColumn, find_revealing_columns
from ecglib.experiment.settings import InputSettings
from ecglib.splits import check_leaks

MIN_PATIENTS = 2  # of a split
WAY_OUT = (
    "Use cross-validation, which makes new splits of the training and validation patients: "
    "n_folds=3 or more, on the command line --set n_folds=3; or prepare the dataset with another "
    "split."
)


def check_experiment(experiment: Experiment, dataset: Dataset) -> tuple[str, ...]:
    """Refuse an experiment that does not fit a dataset.

    Parameters
    ----------
    experiment : Experiment
        What is to be trained.
    dataset : Dataset
        The prepared store.

    Returns
    -------
    tuple of str
        The caveats that the run will carry: those of the dataset (synthetic data, patients
        unknown), cross-validation, the leaks that the experiment allows, and tabular inputs that
        alone predict a class nearly perfectly.

    Raises
    ------
    ExperimentError
        If the experiment names another store, a filter edge is above the Nyquist frequency, crops
        do not fit the windows, a multi-label task has class weights, or nothing could be trained or
        scored on the splits (`find_split_problems`).
    DatasetError
        If the dataset has no such task or no such tabular column.
    LeakError
        If the splits leak in a way that the experiment does not allow by name.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     experiment = Experiment.from_flat(
    ...         {"task": "superdiagnostic", "branches": {"time": "cnn"}}, dataset
    ...     )
    ...     check_experiment(experiment, dataset)
    ('synthetic data',)
    """
    return ExperimentChecker(dataset).check(experiment)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ExaminedWindows:
    """What was found in the windows that an experiment selects."""

    problems: list[str]
    leaks: dict[str, Any]
    revealing: list[RevealingColumn]


class ExperimentChecker:
    """Refuses experiments that do not fit a dataset, as `check_experiment` does.

    The windows of a task, fold and set of tabular columns are examined once, so that thousands of
    experiments are checked in seconds.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     experiment = Experiment.from_flat(
    ...         {"task": "superdiagnostic", "branches": {"time": "cnn"}}, dataset
    ...     )
    ...     checker = ExperimentChecker(dataset)
    ...     [checker.check(experiment.replace(seed=seed)) for seed in (0, 1)]
    [('synthetic data',), ('synthetic data',)]
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._examined: dict[tuple, _ExaminedWindows] = {}

    def check(self, experiment: Experiment) -> tuple[str, ...]:
        """Refuse an experiment that does not fit the dataset, or return the caveats of its run.

        Raises
        ------
        EcgError
            As for `check_experiment`.
        """
        dataset, data, inputs = self.dataset, experiment.data, experiment.inputs
        if data.fingerprint != dataset.fingerprint:
            raise ExperimentError(
                f"The experiment is for the store {data.dataset}-{data.fingerprint}, not for "
                f"{dataset.name}-{dataset.fingerprint}. Open that store, or create the experiment "
                f"for this one."
            )
        _check_filters(inputs, dataset.signal.sampling_rate_hz)
        if inputs.crop_s:
            _check_crops(inputs, dataset.signal)
        task = dataset.find_task(data.task)
        _check_class_weights(experiment, task)
        examined = self._examine(experiment)
        if examined.problems:
            raise ExperimentError(
                f"Task {task.name!r} cannot be trained on these splits. {examined.problems[0]}"
            )
        caveats = list(dataset.caveats)
        if data.n_folds:
            caveats.append(f"cross-validation in {data.n_folds} folds, the test split was not used")
        where = f"dataset {dataset.name!r}, task {data.task!r}"
        leaks = check_leaks(examined.leaks, data.allow_leaks, where)
        for revealing in examined.revealing:
            warnings.warn(
                f"The {revealing.caveat} (AUROC {revealing.auroc:.2f} on the training split). It "
                f"may hold the label in another form: leave it out of the representation "
                f"'tabular', or explain it wherever the scores are shown.",
                stacklevel=3,
            )
        return (*caveats, *leaks, *(revealing.caveat for revealing in examined.revealing))

    def _examine(self, experiment: Experiment) -> _ExaminedWindows:
        data, is_baseline = experiment.data, experiment.role == "baseline"
        columns = find_tabular_columns(experiment, self.dataset)
        key = (data.task, data.n_folds, data.fold, columns, is_baseline)
        if key not in self._examined:
            selection = select_windows(experiment, self.dataset)
            problems = find_split_problems(selection)
            leaks = self.dataset.summary["leaks"][selection.task.part]
            if data.n_folds and not problems:
                leaks = self.dataset.report_leaks(selection)
            self._examined[key] = _ExaminedWindows(
                problems=problems,
                leaks=leaks,
                revealing=[] if problems else _find_revealing(experiment, self.dataset, selection),
            )
        return self._examined[key]


def find_tabular_columns(experiment: Experiment, dataset: Dataset) -> tuple[str, ...]:
    """Return the tabular values that the model takes; none without a tabular branch.

    They are ``representation_options["tabular"]["columns"]``, or the default columns of the
    dataset.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    dataset : Dataset
        The prepared store.

    Returns
    -------
    tuple of str
        Names of columns of the window table.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {
    ...         "task": "superdiagnostic",
    ...         "branches": {"tabular": "mlp"},
    ...         "representation_options": {"tabular": {"columns": ["age"]}},
    ...     }
    ...     find_tabular_columns(Experiment.from_flat(settings, dataset), dataset)
    ('age',)
    """
    if TABULAR not in experiment.representations:
        return ()
    options = experiment.inputs.representation_options.get(TABULAR, {})
    return tuple(options.get("columns", dataset.default_tabular))


def select_windows(experiment: Experiment, dataset: Dataset) -> Selection:
    """Select the windows of an experiment's task, with the tabular values that its model takes.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    dataset : Dataset
        The prepared store.

    Returns
    -------
    Selection
        The windows of all splits, or of the splits of one fold.

    Raises
    ------
    DatasetError
        If the dataset has no such task or no such tabular column.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     experiment = Experiment.from_flat(
    ...         {"task": "superdiagnostic", "branches": {"time": "cnn"}}, dataset
    ...     )
    ...     select_windows(experiment, dataset).classes
    ['NORM', 'MI', 'STTC', 'CD', 'HYP']
    """
    data = experiment.data
    columns = find_tabular_columns(experiment, dataset)
    return dataset.select(data.task, columns, data.n_folds, data.fold)


def _check_class_weights(experiment: Experiment, task: Task) -> None:
    class_weights = experiment.training.class_weights
    if task.kind == "multi_label" and class_weights != "none":
        raise ExperimentError(
            f"class_weights={class_weights!r} with the multi-label task {task.name!r}: a window "
            f"can have several classes. Use class_weights='none', or sampling='balanced'."
        )


def find_split_problems(selection: Selection) -> list[str]:
    """Find why nothing could be trained or scored on the splits of a task.

    Parameters
    ----------
    selection : Selection
        The windows of the task.

    Returns
    -------
    list of str
        One sentence for each problem, with what to do; empty if there is none: each split has
        windows of at least two patients, each class has positive training windows, and the
        validation and the test split have a class with and without which there are windows.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     find_split_problems(dataset.select("superdiagnostic"))
    []
    """
    counts = selection.count_windows()
    problems = []
    for split in counts:
        in_split = selection.part == split
        n_patients = len(set(selection.patients[in_split]))
        if not in_split.any():
            problems.append(f"The {split} split has no window. {WAY_OUT}")
        elif n_patients < MIN_PATIENTS:
            problems.append(
                f"The {split} split has {n_patients} patient, at least {MIN_PATIENTS} are needed: "
                f"the uncertainty of a score comes from the differences between patients. {WAY_OUT}"
            )
        elif split != "train" and not _find_varied_classes(selection.y[in_split]).any():
            problems.append(
                f"In the {split} split no class has windows with and without it, so nothing can be "
                f"scored. {WAY_OUT}"
            )
    if absent := list(counts.index[counts["train"] == 0]):
        problems.append(
            f"No training window has the classes {absent}, so they cannot be learned. Choose a "
            f"task without them, or another split."
        )
    return problems


def _find_varied_classes(y: np.ndarray) -> np.ndarray:
    """Find the classes that some windows have and others have not."""
    return np.any(y, axis=0) & ~np.all(y, axis=0)


def _find_revealing(
    experiment: Experiment, dataset: Dataset, selection: Selection
) -> list[RevealingColumn]:
    """Find inputs from a table that give the label away; those from signals cannot."""
    columns = find_tabular_columns(experiment, dataset)
    if experiment.role == "baseline":
        columns = dataset.default_tabular
    columns = tuple(name for name in columns if name not in HEART_RATE)
    training = selection.in_split("train")
    values = dataset.read_tabular(training.rows, columns)
    return find_revealing_columns(training, values, columns)


def _check_filters(inputs: InputSettings, rate_hz: float) -> None:
    low, high = inputs.band_hz
    nyquist_hz = rate_hz / 2
    if not (0 <= low < nyquist_hz and (high == 0 or low < high < nyquist_hz)):
        raise ExperimentError(
            f"band_hz={inputs.band_hz} at {rate_hz:g} Hz: expected low < high, both below "
            f"{nyquist_hz:g} Hz (Nyquist), or 0 for an open side. Lower the edge, or prepare the "
            f"dataset at a higher rate."
        )
    if inputs.notch_hz >= nyquist_hz:
        raise ExperimentError(
            f"notch_hz={inputs.notch_hz:g} at {rate_hz:g} Hz: expected below {nyquist_hz:g} Hz "
            f"(Nyquist). Use notch_hz=0: these windows cannot contain that frequency."
        )


def _check_crops(inputs: InputSettings, signal: SignalSpec) -> None:
    window_s = signal.n_samples / signal.sampling_rate_hz
    sample_s = 1 / signal.sampling_rate_hz
    if signal.around_beats:
        raise ExperimentError(
            f"crop_s={inputs.crop_s:g} with windows around a beat: a crop elsewhere would show "
            f"another beat than the labelled one. Use crop_s=0."
        )
    if inputs.crop_s > window_s:
        raise ExperimentError(
            f"crop_s={inputs.crop_s:g} is longer than the windows of {window_s:g} s. Use at most "
            f"{window_s:g}, or 0 for the whole window."
        )
    for name, given_s in (("crop_s", inputs.crop_s), ("crop_hop_s", inputs.crop_hop_s)):
        if given_s and given_s < sample_s:
            raise ExperimentError(
                f"{name}={given_s:g} is shorter than a sample, {sample_s:g} s. Give a length in s."
            )
