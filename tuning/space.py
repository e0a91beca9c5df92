"""What the search chooses from."""

from itertools import combinations

from ecglib.experiment import ENCODERS, FUSIONS

SIZES = range(1, len(ENCODERS) + 1)
SUBSETS = ["+".join(names) for size in SIZES for names in combinations(ENCODERS, size)]


def suggest(hp) -> dict:
    """Parameters of ``03_train`` for one trial.

    Every hyperparameter is declared in every call, so that one call declares the whole space;
    one that this trial has no use for (an encoder of a representation that is not taken, the
    fusion of a single branch) is inactive and comes back as None.

    Parameters
    ----------
    hp
        the trial's hyperparameters (`keras_tuner.HyperParameters`).

    Returns
    -------
    branches, fusion, width, features, dropout, learning_rate and weight_decay, as plain
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
        "width": hp.Choice("width", [16, 24, 32]),
        "features": hp.Choice("features", [32, 64, 128]),
        "dropout": hp.Choice("dropout", [0.0, 0.1, 0.2, 0.3, 0.5]),
        "learning_rate": _short(hp.Float("learning_rate", 3e-4, 1e-2, sampling="log")),
        "weight_decay": _short(hp.Float("weight_decay", 1e-4, 1e-1, sampling="log")),
    }


def _short(value: float) -> float:
    """Three digits are enough, and stay readable in a file."""
    return float(f"{value:.3g}")
