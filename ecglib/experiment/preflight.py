"""Holds an experiment against a dataset before anything is trained."""

import warnings
from collections.abc import Sequence

import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular import HEART_RATE
from ecglib.errors import ExperimentError
from ecglib.experiment.config import Experiment
from ecglib.experiment.registry import TABULAR
from ecglib.experiment.revealing_columns import find_revealing_columns
from ecglib.experiment.settings import InputSettings
from ecglib.splits import check_leaks

MIN_PATIENTS = 2  # of a split
WAY_OUT = (
    "Use cross-validation, which divides the patients of training and validation anew: n_folds=3 "
    "or more, on the command line --set n_folds=3; or prepare the dataset with another split."
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
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     experiment = Experiment.from_flat(
    ...         {"task": "superdiagnostic", "branches": {"time": "cnn"}}, dataset
    ...     )
    ...     check_experiment(experiment, dataset)
    ('synthetic data',)
    """
    data, inputs = experiment.data, experiment.inputs
    if data.fingerprint != dataset.fingerprint:
        raise ExperimentError(
            f"The experiment is for the store {data.dataset}-{data.fingerprint}, not for "
            f"{dataset.name}-{dataset.fingerprint}. Open that store, or create the experiment for "
            f"this one."
        )
    _check_filters(inputs, dataset.signal.sampling_rate_hz)
    if inputs.crop_s:
        _check_crops(inputs, dataset.signal)
    selection = select_windows(experiment, dataset)
    _check_classes(experiment, selection)
    caveats = list(dataset.caveats)
    if data.n_folds:
        caveats.append(f"cross-validation in {data.n_folds} folds, the test split was not used")
        report = dataset.report_leaks(selection)
    else:
        report = dataset.summary["leaks"][selection.task.part]
    where = f"dataset {dataset.name!r}, task {data.task!r}"
    leaks = check_leaks(report, data.allow_leaks, where)
    return (*caveats, *leaks, *_check_tabular(experiment, dataset, selection))


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
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
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
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     experiment = Experiment.from_flat(
    ...         {"task": "superdiagnostic", "branches": {"time": "cnn"}}, dataset
    ...     )
    ...     select_windows(experiment, dataset).classes
    ['NORM', 'MI', 'STTC', 'CD', 'HYP']
    """
    data = experiment.data
    columns = find_tabular_columns(experiment, dataset)
    return dataset.select(data.task, columns, data.n_folds, data.fold)


def _check_classes(experiment: Experiment, selection: Selection) -> None:
    task, class_weights = selection.task, experiment.training.class_weights
    if task.kind == "multi_label" and class_weights != "none":
        raise ExperimentError(
            f"class_weights={class_weights!r} with the multi-label task {task.name!r}: a window "
            f"can have several classes. Use class_weights='none', or sampling='balanced'."
        )
    if problems := find_split_problems(selection):
        raise ExperimentError(
            f"Task {task.name!r} cannot be trained on these splits. {problems[0]}"
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
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
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


def _check_tabular(experiment: Experiment, dataset: Dataset, selection: Selection) -> Sequence[str]:
    """Warn of inputs from a table that give the label away; those from signals cannot."""
    columns = find_tabular_columns(experiment, dataset)
    if experiment.role == "baseline":
        columns = dataset.default_tabular
    columns = tuple(name for name in columns if name not in HEART_RATE)
    training = selection.in_split("train")
    values = dataset.read_tabular(training.rows, columns)
    found = find_revealing_columns(training, values, columns)
    for revealing in found:
        warnings.warn(
            f"The {revealing.caveat} (AUROC {revealing.auroc:.2f} on the training split). It may "
            f"hold the label in another form: leave it out of the representation 'tabular', or "
            f"explain it wherever the scores are shown.",
            stacklevel=3,
        )
    return [revealing.caveat for revealing in found]


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
