"""The baseline of trees on RR intervals, band amplitudes and the shape of the beat.

Every network should beat it. A forest takes seconds on a few thousand windows and minutes on the
100,000 beats of MIT-BIH.

The estimators are those of scikit-learn. A fitted one is not saved: its file would be a pickle,
which executes what it holds. Its settings are enough, since equal values give the same trees: the
run of an experiment with ``branches={"handcrafted": "random_forest"}`` holds these in place of a
model.
"""

import ecglib._keras  # noqa: F401

import dataclasses
from typing import Any, NamedTuple

import keras
import numpy as np
import sklearn
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.multioutput import MultiOutputClassifier
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.registry import BASELINES
from ecglib.experiment.settings import InputSettings
from ecglib.representations import build_representations
from ecglib.training.devices import choose_threads

BLOCK_VALUES = 1 << 21  # values of the windows that are read together: 8 MB
N_BANDS = 8
# Around a beat: from before the QRS complex into the T wave, a value each 25 ms.
BEFORE_S, AFTER_S, STEP_S = 0.25, 0.45, 0.025
N_ALIGNED_WINDOWS = 512
N_TREES, MIN_SAMPLES_LEAF = 300, 3
N_ROUNDS, LEARNING_RATE, MAX_LEAF_NODES = 150, 0.05, 15


class Handcrafted(NamedTuple):
    """The handcrafted inputs of windows, float32 (n_windows, n_inputs), and their names.

    Examples
    --------
    >>> inputs = Handcrafted(values=np.array([[62.0, 0.5]], np.float32), names=["age", "I_sd_mv"])
    >>> dict(zip(inputs.names, inputs.values[0].tolist(), strict=True))
    {'age': 62.0, 'I_sd_mv': 0.5}
    """

    values: np.ndarray
    names: list[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TreeSettings:
    """Which trees are fitted, to which kind of task.

    Parameters
    ----------
    name : str
        ``"random_forest"`` (Breiman, Machine Learning 45, 2001), or ``"gradient_boosting"``
        (Friedman, Annals of Statistics 29, 2001) on histograms. Both accept missing values.
        Nothing stops the boosting early: scikit-learn would split windows, not patients.
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    seed : int, default 0
        Seed of the trees; boosting draws nothing from fewer than 200,000 windows.

    Raises
    ------
    ExperimentError
        If there is no such baseline.

    Examples
    --------
    >>> TreeSettings(name="random_forest", kind="multi_label").seed
    0
    """

    name: str
    kind: str
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("the baseline", self.name, BASELINES)


def compute_handcrafted(
    dataset: Dataset, selection: Selection, inputs: InputSettings | None = None
) -> Handcrafted:
    """Compute values that describe each window.

    - the tabular values that are the default of the dataset;
    - of each lead the amplitude in 8 bands, evenly wide in the logarithm of frequency, in dB re
      1 mV, from the representation `frequency`;
    - of each lead minimum, maximum and standard deviation, in mV, of the representation `time`;
    - for windows around a beat, of each lead the mean of every 25 ms from 0.25 s before the beat
      to 0.45 s after it, in mV.

    Parameters
    ----------
    dataset : Dataset
        The prepared store; its windows are read block by block.
    selection : Selection
        The windows of all splits.
    inputs : InputSettings, optional
        The filters before everything that is computed from the signal.

    Returns
    -------
    Handcrafted
        Values in the order of the selection, NaN where one is missing, and their names.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     windows = dataset.select("superdiagnostic")
    ...     values, names = compute_handcrafted(dataset, windows.take(slice(2)))
    >>> values.shape == (2, len(names)), names[-1]
    (True, 'V6_sd_mv')
    """
    inputs, signal = inputs or InputSettings(), dataset.signal
    representations = build_representations(
        signal,
        ["time", "frequency"],
        inputs.band_hz,
        notch_hz=inputs.notch_hz,
        denoise=inputs.denoise,
    )
    frequency_hz = representations.get_layer("frequency").compute_axes(signal.n_samples)[
        "frequency_hz"
    ]
    bands, steps = _split_bands(frequency_hz), []
    if signal.around_beats:
        steps = _list_steps(_find_beat(dataset, selection), signal)
    names = _name_lead_values(frequency_hz, bands, steps, signal)
    values = np.empty((len(selection.rows), len(names)), np.float32)
    block = max(1, BLOCK_VALUES // (signal.n_samples * len(signal.leads)))
    # The bar comes only where it takes longer than a second.
    with tqdm(total=len(values), desc="handcrafted inputs", unit="window", delay=1.0) as bar:
        for start in range(0, len(values), block):
            rows = slice(start, start + block)
            computed = representations(dataset.read(selection.rows[rows]))
            arrays = {name: keras.ops.convert_to_numpy(x) for name, x in computed.items()}
            values[rows] = _summarize_leads(arrays["time"], arrays["frequency"], bands, steps)
            bar.update(len(values[rows]))
    tabular = dataset.read_tabular(selection.rows, dataset.default_tabular)
    return Handcrafted(
        np.concatenate([tabular, values], axis=1), [*dataset.default_tabular, *names]
    )


def fit_trees(
    x: np.ndarray, y: np.ndarray, settings: TreeSettings, weights: np.ndarray | None = None
) -> BaseEstimator:
    """Fit trees to the windows of the training split; equal values give the same trees.

    Parameters
    ----------
    x : float32 array of shape (n_windows, n_inputs)
        NaN where a value is missing.
    y : array of shape (n_windows, n_classes)
        Labels, multi-hot or one-hot.
    settings : TreeSettings
        Which trees.
    weights : array of shape (n_windows,), optional
        Weight of each window (`ecglib.training.class_balance.compute_tree_weights`).

    Returns
    -------
    estimator
        The fitted estimator of scikit-learn, for `predict_trees`.

    Raises
    ------
    ExperimentError
        If x and y have different windows.

    Examples
    --------
    >>> x, y = np.arange(40, dtype="float32")[:, None], np.eye(2)[np.arange(40) // 20]
    >>> trees = fit_trees(x, y, TreeSettings(name="gradient_boosting", kind="multi_class"))
    >>> predict_trees(trees, x[[0, 39]], 2, "multi_class").round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if len(x) != len(y):
        raise ExperimentError(
            f"x has {len(x)} windows and y has {len(y)}, expected the same number. Give both of "
            f"one split."
        )
    multi_label = settings.kind == "multi_label"
    estimator = _create_estimator(settings)
    # A forest fits several labels at once, but of one it would want a flat array.
    if multi_label and (settings.name != "random_forest" or y.shape[1] == 1):
        estimator = MultiOutputClassifier(estimator)
    # The boosting cannot take a column without any value; a constant one is never split at.
    x = np.where(np.isfinite(x).any(axis=0), x, np.float32(0))
    labels = y.astype(int) if multi_label else y.argmax(axis=1)
    with threadpool_limits(choose_threads(), "openmp"):  # of the boosting
        return estimator.fit(x, labels, weights)


def predict_trees(estimator: Any, x: np.ndarray, n_classes: int, kind: str) -> np.ndarray:
    """Predict probabilities with fitted trees.

    Parameters
    ----------
    estimator : estimator
        From `fit_trees`.
    x : float32 array of shape (n_windows, n_inputs)
        NaN where a value is missing.
    n_classes : int
        Number of classes of the task.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    float32 array of shape (n_windows, n_classes)
        A class that no training window had gets the probability 0.

    Examples
    --------
    >>> x, y = np.arange(40, dtype="float32")[:, None], (np.arange(40) >= 20)[:, None]
    >>> trees = fit_trees(x, y, TreeSettings(name="gradient_boosting", kind="multi_label"))
    >>> predict_trees(trees, x[[0, 39]], 1, "multi_label").round().tolist()
    [[0.0], [1.0]]
    """
    one_each = isinstance(estimator, MultiOutputClassifier)
    for fitted in estimator.estimators_ if one_each else [estimator]:
        if isinstance(fitted, RandomForestClassifier):
            fitted.n_jobs = 1  # several threads would add up the trees' answers in any order
    found = estimator.predict_proba(x)
    p = np.zeros((len(x), n_classes), np.float32)
    if kind == "multi_class":
        p[:, estimator.classes_] = found
        return p
    for k, (p_of_label, values) in enumerate(zip(found, estimator.classes_, strict=True)):
        if 1 in values:
            p[:, k] = p_of_label[:, list(values).index(1)]
    return p


def count_nodes(estimator: Any) -> int:
    """Count the nodes of all trees, leaves included: what trees have in place of weights.

    Parameters
    ----------
    estimator : estimator
        From `fit_trees`.

    Examples
    --------
    >>> x, y = np.zeros((40, 1), "float32"), np.eye(2)[np.arange(40) // 20]
    >>> settings = TreeSettings(name="gradient_boosting", kind="multi_class")
    >>> count_nodes(fit_trees(x, y, settings)) == N_ROUNDS  # a leaf each: nothing to split at
    True
    """
    if isinstance(estimator, MultiOutputClassifier):
        return sum(count_nodes(fitted) for fitted in estimator.estimators_)
    if isinstance(estimator, RandomForestClassifier):
        return sum(tree.tree_.node_count for tree in estimator.estimators_)
    # scikit-learn gives the nodes of its boosting nowhere else.
    return sum(len(tree.nodes) for trees in estimator._predictors for tree in trees)


def describe_trees(estimator: Any, names: list[str]) -> dict[str, Any]:
    """Describe what it takes to fit the trees again, as plain values: ``trees.json`` of a run.

    Parameters
    ----------
    estimator : estimator
        From `fit_trees`.
    names : list of str
        Names of its inputs.

    Examples
    --------
    >>> x, y = np.zeros((40, 1), "float32"), np.eye(2)[np.arange(40) // 20]
    >>> settings = TreeSettings(name="gradient_boosting", kind="multi_class")
    >>> describe_trees(fit_trees(x, y, settings), ["age"])["estimator"]
    'HistGradientBoostingClassifier'
    """
    each_class = isinstance(estimator, MultiOutputClassifier)
    inner = estimator.estimator if each_class else estimator
    settings = inner.get_params()
    settings.pop("n_jobs", None)  # decides speed only
    return {
        "estimator": type(inner).__name__,
        "one_for_each_class": each_class,
        "settings": settings,
        "scikit-learn": sklearn.__version__,
        "inputs": names,
    }


def _create_estimator(settings: TreeSettings) -> BaseEstimator:
    if settings.name == "random_forest":
        return RandomForestClassifier(
            N_TREES,
            min_samples_leaf=MIN_SAMPLES_LEAF,
            random_state=settings.seed,
            n_jobs=choose_threads(),
        )
    return HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=N_ROUNDS,
        max_leaf_nodes=MAX_LEAF_NODES,
        early_stopping=False,
        random_state=settings.seed,
    )


def _split_bands(frequency_hz: np.ndarray) -> list[np.ndarray]:
    """The bins of each band; at low frequencies a band may lie between two bins and is left out."""
    edges = np.geomspace(frequency_hz[0], frequency_hz[-1], N_BANDS + 1)
    band = np.searchsorted(edges[1:-1], frequency_hz, side="right")
    return [np.flatnonzero(band == k) for k in np.unique(band)]


def _find_beat(dataset: Dataset, selection: Selection) -> int:
    """The sample at which the windows have their beat: where they are steepest on average.

    Other beats are at another place in each window. The training split is used.
    """
    train = selection.in_split("train")
    rows = train.rows[:: -(-len(train.rows) // N_ALIGNED_WINDOWS)]
    steepness = np.abs(np.diff(dataset.read(rows), axis=1)).mean(axis=(0, 2))
    return int(np.convolve(steepness, np.ones(5), "same").argmax())


def _list_steps(beat: int, signal: SignalSpec) -> list[slice]:
    """Stretches of 25 ms, as samples, that lie within the window."""
    rate_hz = signal.sampling_rate_hz
    length = max(1, round(STEP_S * rate_hz))
    first = max(0, beat - round(BEFORE_S * rate_hz))
    last = min(signal.n_samples, beat + round(AFTER_S * rate_hz)) - length
    return [slice(start, start + length) for start in range(first, last + 1, length)]


def _summarize_leads(
    signal_mv: np.ndarray, spectrum_db: np.ndarray, bands: list[np.ndarray], steps: list[slice]
) -> np.ndarray:
    """Values of shape (n_windows, n_inputs), the leads of one value side by side."""
    power = 10 ** (spectrum_db / 10)
    parts = [10 * np.log10(power[:, bins].mean(axis=1)) for bins in bands]
    parts += [signal_mv.min(axis=1), signal_mv.max(axis=1), signal_mv.std(axis=1)]
    parts += [signal_mv[:, step].mean(axis=1) for step in steps]
    return np.concatenate(parts, axis=1)


def _name_lead_values(
    frequency_hz: np.ndarray, bands: list[np.ndarray], steps: list[slice], signal: SignalSpec
) -> list[str]:
    kinds = [f"{frequency_hz[b[0]]:.3g}-{frequency_hz[b[-1]]:.3g}_hz_db" for b in bands]
    kinds += ["min_mv", "max_mv", "sd_mv"]
    kinds += [f"at_{step.start / signal.sampling_rate_hz:.3f}_s_mv" for step in steps]
    return [f"{lead}_{kind}" for kind in kinds for lead in signal.leads]
