"""What is done about rare classes: weights in the loss, sampling_weights to be drawn."""

import numpy as np

from ecglib.experiment import Experiment


def class_weights(y: np.ndarray, rule: str) -> np.ndarray | None:
    """Weight of each window, shape (n_windows,), with mean 1; None where all are equal.

    ``"balanced"`` weighs a window by the inverse frequency of its class, ``"sqrt"`` by the root
    of that.
    """
    if rule == "none":
        return None
    inverse = 1.0 / y.mean(axis=0)
    weights = y @ (np.sqrt(inverse) if rule == "sqrt" else inverse)
    return weights / weights.mean()


def weights_of(experiment: Experiment, y: np.ndarray) -> np.ndarray | None:
    """Weight of each training window for trees, shape (n_windows,), with mean 1, or None.

    Where a network is shown a window more often, trees look at it once and weigh it as much.
    """
    if experiment.sampling == "balanced":
        return len(y) * sampling_weights(y)
    return class_weights(y, experiment.class_weights)


def sampling_weights(y: np.ndarray) -> np.ndarray:
    """How likely each window is drawn, shape (n_windows,), with the sum 1.

    Inverse to the share of windows that show its rarest class; windows that show none are
    counted as a class of their own.
    """
    y = np.concatenate([y, 1 - y.max(axis=1, keepdims=True)], axis=1)
    rarest = np.where(y > 0, y.mean(axis=0), np.inf).min(axis=1)
    return 1 / rarest / (1 / rarest).sum()
