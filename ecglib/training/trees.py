"""The classical baseline: trees on RR intervals, band amplitudes and the shape of the beat.

What a network does not beat, it need not have learned. A forest takes seconds on a few thousand
windows and minutes on the 100,000 beats of MIT-BIH.

The estimators are those of scikit-learn. A fitted one is not kept on disk: it would be a pickle,
which runs whatever is in it. Its recipe is enough, since equal values give the same trees: the run
of an experiment with ``branches={"handcrafted": "random_forest"}`` holds that in place of a model.
"""

import ecglib._keras  # noqa: F401

import os

import keras
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.multioutput import MultiOutputClassifier
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.config import BASELINES
from ecglib.representations import build_representations

BLOCK_VALUES = 1 << 21  # values of the windows that are read together: 8 MB
N_BANDS = 8
# Around a beat: from before the QRS complex into the T wave, a value each 25 ms.
BEFORE_S, AFTER_S, STEP_S = 0.25, 0.45, 0.025
ALIGNED_WINDOWS = 512
N_TREES, LEAST_IN_A_LEAF = 300, 3
N_ROUNDS, LEARNING_RATE, SMALL_TREES = 150, 0.05, 15


def features(
    dataset: Dataset,
    selection: Selection,
    band_hz: tuple[float, float] = (0.5, 40.0),
    *,
    notch_hz: float = 0.0,
    denoise: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Values that describe each window.

    - the tabular values that are usual for the dataset;
    - of each lead the amplitude in 8 bands, evenly wide in the logarithm of frequency, in dB re
      1 mV, from the view `frequency`;
    - of each lead least, greatest and standard deviation, in mV, of the view `time`;
    - where the windows stand around beats, of each lead the mean of every 25 ms from 0.25 s before
      the beat to 0.45 s after it, in mV.

    Parameters
    ----------
    dataset
        the opened store; its windows are read block by block.
    selection
        the windows, of all parts (`Dataset.select`).
    band_hz
        band-pass before everything that is taken from the signal, in Hz; 0 leaves a side open.
    notch_hz, denoise
        the other filters (`ecglib.representations.build_representations`).

    Returns
    -------
    float32 array of shape (n_windows, n_features) in the order of the selection, NaN where a value
    is missing, and the names of the features.
    """
    signal = dataset.signal
    views = build_representations(
        signal, ["time", "frequency"], band_hz, notch_hz=notch_hz, denoise=denoise
    )
    axes = views.get_layer("frequency").axes(signal.n_samples)
    bands = _bands(axes["frequency_hz"])
    steps = _steps_around(_beat_at(dataset, selection), signal) if signal.around_beats else []
    names = _names_of_leads(axes["frequency_hz"], bands, steps, signal)
    values = np.empty((len(selection.rows), len(names)), np.float32)
    block = max(1, BLOCK_VALUES // (signal.n_samples * len(signal.leads)))
    # The bar comes only where it takes longer than a second.
    with tqdm(total=len(values), desc="features", unit="window", delay=1.0) as bar:
        for start in range(0, len(values), block):
            own = slice(start, start + block)
            of_view = views(dataset.read(selection.rows[own]))
            of_view = {name: keras.ops.convert_to_numpy(x) for name, x in of_view.items()}
            values[own] = _of_leads(of_view["time"], of_view["frequency"], bands, steps)
            bar.update(len(values[own]))
    tabular = dataset.read_tabular(selection.rows, dataset.default_tabular)
    return np.concatenate([tabular, values], axis=1), [*dataset.default_tabular, *names]


def fit_baseline(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    kind: str,
    seed: int = 0,
    weights: np.ndarray | None = None,
):
    """Fit trees to the windows of the training part; equal values give the same trees.

    Parameters
    ----------
    name
        ``"random_forest"`` (Breiman, Machine Learning 45, 2001), or ``"gradient_boosting"``
        (Friedman, Annals of Statistics 29, 2001) on histograms. Both know missing values. Nothing
        stops the boosting early: scikit-learn would part windows, not patients.
    x
        float32 array of shape (n_windows, n_features), NaN where a value is missing.
    y
        array of shape (n_windows, n_classes), multi-hot or one-hot.
    kind
        ``"multi_label"`` or ``"multi_class"``.
    seed
        seed of the trees; boosting draws nothing from fewer than 200,000 windows.
    weights
        array of shape (n_windows,), weight of each window (`ecglib.training.class_balance.weights_of`).

    Returns
    -------
    The fitted estimator of scikit-learn, for `predict_baseline`.

    Raises
    ------
    ExperimentError
        no such baseline, or x and y are not of the same windows.
    """
    require_one_of("the baseline", name, BASELINES)
    if len(x) != len(y):
        raise ExperimentError(
            f"x has {len(x)} windows and y has {len(y)}, expected the same. Give both of one part."
        )
    multi_label = kind == "multi_label"
    estimator = _unfitted(name, seed)
    # A forest knows several labels at once, but of one it would want a flat array.
    if multi_label and (name != "random_forest" or y.shape[1] == 1):
        estimator = MultiOutputClassifier(estimator)
    # The boosting cannot take a column without any value; a constant one is never split at.
    x = np.where(np.isfinite(x).any(axis=0), x, np.float32(0))
    labels = y.astype(int) if multi_label else y.argmax(axis=1)
    with threadpool_limits(_n_threads(), "openmp"):  # of the boosting
        return estimator.fit(x, labels, weights)


def _unfitted(name: str, seed: int):
    if name == "random_forest":
        return RandomForestClassifier(
            N_TREES, min_samples_leaf=LEAST_IN_A_LEAF, random_state=seed, n_jobs=_n_threads() or -1
        )
    return HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=N_ROUNDS,
        max_leaf_nodes=SMALL_TREES,
        early_stopping=False,
        random_state=seed,
    )


def predict_baseline(estimator, x: np.ndarray, n_classes: int, kind: str) -> np.ndarray:
    """Probabilities of the windows of `x`, in its order: float32 array (n_windows, n_classes).

    A class that was in no training window, or a label that was in none, has the probability 0.
    """
    several = isinstance(estimator, MultiOutputClassifier)
    for own in estimator.estimators_ if several else [estimator]:
        if isinstance(own, RandomForestClassifier):
            own.n_jobs = 1  # several threads would add up the trees' answers in any order
    found = estimator.predict_proba(x)
    p = np.zeros((len(x), n_classes), np.float32)
    if kind == "multi_class":
        p[:, estimator.classes_] = found
        return p
    for k, (of_label, known) in enumerate(zip(found, estimator.classes_, strict=True)):
        if 1 in known:
            p[:, k] = of_label[:, list(known).index(1)]
    return p


def n_nodes(estimator) -> int:
    """Nodes of all trees of a fitted baseline, leaves included: what it has in place of weights."""
    if isinstance(estimator, MultiOutputClassifier):
        return sum(n_nodes(of_class) for of_class in estimator.estimators_)
    if isinstance(estimator, RandomForestClassifier):
        return sum(tree.tree_.node_count for tree in estimator.estimators_)
    # scikit-learn tells the nodes of its boosting nowhere else.
    return sum(len(tree.nodes) for trees in estimator._predictors for tree in trees)


def recipe_of(estimator, names: list[str]) -> dict:
    """What it takes to fit a baseline again, as plain values: ``features.json`` of a run.

    Parameters
    ----------
    estimator
        of `fit_baseline`.
    names
        of its features.
    """
    each_class = isinstance(estimator, MultiOutputClassifier)
    own = estimator.estimator if each_class else estimator
    settings = own.get_params()
    settings.pop("n_jobs", None)  # decides speed alone
    return {
        "estimator": type(own).__name__,
        "one_for_each_class": each_class,
        "settings": settings,
        "scikit-learn": sklearn.__version__,
        "features": names,
    }


def _n_threads() -> int | None:
    """As `ecglib.training.input_pipeline.configure`; None for all cores."""
    return int(os.environ.get("ECGLIB_THREADS", "0")) or None


def _bands(frequency_hz: np.ndarray) -> list[np.ndarray]:
    """Which bins each band has; at low frequencies a band may lie between two bins and is left
    out."""
    edges = np.geomspace(frequency_hz[0], frequency_hz[-1], N_BANDS + 1)
    band = np.searchsorted(edges[1:-1], frequency_hz, side="right")
    return [np.flatnonzero(band == k) for k in np.unique(band)]


def _beat_at(dataset: Dataset, selection: Selection) -> int:
    """The sample at which the windows have their beat: where they are steepest on average.

    The beats beside it stand elsewhere in each window. The training part is looked at.
    """
    own = selection.in_split("train")
    rows = own.rows[:: -(-len(own.rows) // ALIGNED_WINDOWS)]
    steepness = np.abs(np.diff(dataset.read(rows), axis=1)).mean(axis=(0, 2))
    return int(np.convolve(steepness, np.ones(5), "same").argmax())


def _steps_around(beat: int, signal: SignalSpec) -> list[slice]:
    """Stretches of 25 ms, as samples, that lie within the window."""
    rate_hz = signal.sampling_rate_hz
    length = max(1, round(STEP_S * rate_hz))
    first = max(0, beat - round(BEFORE_S * rate_hz))
    last = min(signal.n_samples, beat + round(AFTER_S * rate_hz)) - length
    return [slice(start, start + length) for start in range(first, last + 1, length)]


def _of_leads(
    signal_mv: np.ndarray, spectrum_db: np.ndarray, bands: list[np.ndarray], steps: list[slice]
) -> np.ndarray:
    """What is taken of the views: (n_windows, n_features), the leads of one value side by side."""
    power = 10 ** (spectrum_db / 10)
    parts = [10 * np.log10(power[:, bins].mean(axis=1)) for bins in bands]
    parts += [signal_mv.min(axis=1), signal_mv.max(axis=1), signal_mv.std(axis=1)]
    parts += [signal_mv[:, step].mean(axis=1) for step in steps]
    return np.concatenate(parts, axis=1)


def _names_of_leads(frequency_hz, bands, steps, signal: SignalSpec) -> list[str]:
    kinds = [f"{frequency_hz[b[0]]:.3g}-{frequency_hz[b[-1]]:.3g}_hz_db" for b in bands]
    kinds += ["min_mv", "max_mv", "sd_mv"]
    kinds += [f"at_{step.start / signal.sampling_rate_hz:.3f}_s_mv" for step in steps]
    return [f"{lead}_{kind}" for kind in kinds for lead in signal.leads]
