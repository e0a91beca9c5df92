"""The search space: what a trial may choose from."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import keras_tuner

from ecglib.datasets.schema import SignalSpec
from ecglib.experiment.registry import FUSIONS, NO_FUSION, REPRESENTATIONS

# Encoders of networks only: the baseline of trees is not searched.
ENCODERS = {name: tuple(one.encoders) for name, one in REPRESENTATIONS.items()}
SUBSETS = [
    "+".join(names)
    for size in range(1, len(ENCODERS) + 1)
    for names in combinations(ENCODERS, size)
]
CROPS_S = (0.0, 2.5, 5.0)
SIGNIFICANT_DIGITS = 3  # of a rate: enough, and readable in a file


def list_crop_lengths(signal: SignalSpec) -> list[float]:
    """List the lengths of crops that the windows of a dataset can be cut into.

    Parameters
    ----------
    signal : SignalSpec
        The signal spec of the dataset.

    Returns
    -------
    list of float
        Lengths in s, 0 for the whole window; only that for windows around beats.

    Examples
    --------
    >>> list_crop_lengths(SignalSpec(100.0, 400, ("I", "II")))
    [0.0, 2.5]
    """
    window_s = signal.n_samples / signal.sampling_rate_hz
    return [s for s in CROPS_S if not s or (s < window_s and not signal.around_beats)]


def suggest(hp: keras_tuner.HyperParameters, crops_s: Sequence[float] = (0.0,)) -> dict[str, Any]:
    """Suggest the settings of one trial.

    Every hyperparameter is declared in every call, in the same order, so that one call declares
    the whole space. One that this trial does not use (an encoder of a representation that was not
    chosen, the fusion of a single branch) is inactive, and its value is None.

    Parameters
    ----------
    hp : keras_tuner.HyperParameters
        The hyperparameters of the trial.
    crops_s : sequence of float, default (0.0,)
        Lengths of crops to choose from, in s (`list_crop_lengths`).

    Returns
    -------
    dict of str to object
        The settings branches, fusion, crop_s, width, feature_dim, dropout, learning_rate and
        weight_decay, as plain values.

    Examples
    --------
    >>> settings = suggest(keras_tuner.HyperParameters())  # the defaults of the space
    >>> settings["branches"], settings["fusion"], settings["width"]
    ({'time': 'cnn'}, 'none', 16)
    """
    hp.Choice("representations", SUBSETS)
    branches = {}
    for representation, encoders in ENCODERS.items():
        subsets = [subset for subset in SUBSETS if representation in subset.split("+")]
        with hp.conditional_scope("representations", subsets):
            branches[representation] = hp.Choice(f"{representation}_encoder", list(encoders))
    with hp.conditional_scope("representations", [s for s in SUBSETS if "+" in s]):
        fusion = hp.Choice("fusion", list(FUSIONS))
    return {
        "branches": {name: encoder for name, encoder in branches.items() if encoder},
        "fusion": fusion or NO_FUSION,
        "crop_s": hp.Choice("crop_s", list(crops_s)),
        "width": hp.Choice("width", [16, 24, 32]),
        "feature_dim": hp.Choice("feature_dim", [32, 64, 128]),
        "dropout": hp.Choice("dropout", [0.0, 0.1, 0.2, 0.3, 0.5]),
        "learning_rate": _round(hp.Float("learning_rate", 3e-4, 1e-2, sampling="log")),
        "weight_decay": _round(hp.Float("weight_decay", 1e-4, 1e-1, sampling="log")),
    }


def _round(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
