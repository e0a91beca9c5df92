"""What the search chooses from."""

from collections.abc import Sequence
from itertools import combinations

from ecglib.datasets.schema import SignalSpec
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS

# Of networks: the trees of the classical baseline are not searched.
ENCODERS = {name: tuple(one.encoders) for name, one in REPRESENTATIONS.items()}
SIZES = range(1, len(ENCODERS) + 1)
SUBSETS = ["+".join(names) for size in SIZES for names in combinations(ENCODERS, size)]


CROPS_S = (0.0, 2.5, 5.0)


def crop_lengths(signal: SignalSpec) -> list[float]:
    """Lengths of crops, in s, that windows can be cut into; 0 for the whole window."""
    window_s = signal.n_samples / signal.sampling_rate_hz
    return [s for s in CROPS_S if not s or (s < window_s and not signal.around_beats)]


def suggest(hp, crops_s: Sequence[float] = (0.0,)) -> dict:
    """Parameters of ``03_train`` for one trial.

    Every hyperparameter is declared in every call, so that one call declares the whole space;
    one that this trial has no use for (an encoder of a representation that is not taken, the
    fusion of a single branch) is inactive and comes back as None.

    Parameters
    ----------
    hp
        the trial's hyperparameters (`keras_tuner.HyperParameters`).
    crops_s
        lengths of crops to choose from, in s (`crop_lengths`).

    Returns
    -------
    branches, fusion, crop_s, width, features, dropout, learning_rate and weight_decay, as plain
    values.
    """
    hp.Choice("representations", SUBSETS)
    branches = {}
    for representation, encoders in ENCODERS.items():
        holding = [subset for subset in SUBSETS if representation in subset.split("+")]
        with hp.conditional_scope("representations", holding):
            branches[representation] = hp.Choice(f"{representation}_encoder", list(encoders))
    with hp.conditional_scope("representations", [s for s in SUBSETS if "+" in s]):
        fusion = hp.Choice("fusion", list(FUSIONS))
    return {
        "branches": {name: encoder for name, encoder in branches.items() if encoder},
        "fusion": fusion or "none",
        "crop_s": hp.Choice("crop_s", list(crops_s)),
        "width": hp.Choice("width", [16, 24, 32]),
        "feature_dim": hp.Choice("feature_dim", [32, 64, 128]),
        "dropout": hp.Choice("dropout", [0.0, 0.1, 0.2, 0.3, 0.5]),
        "learning_rate": _short(hp.Float("learning_rate", 3e-4, 1e-2, sampling="log")),
        "weight_decay": _short(hp.Float("weight_decay", 1e-4, 1e-1, sampling="log")),
    }


def _short(value: float) -> float:
    """Three digits are enough, and stay readable in a file."""
    return float(f"{value:.3g}")
