"""Class weights and balanced sampling."""

import numpy as np

from ecglib.experiment.settings import TrainingSettings


def compute_class_weights(y: np.ndarray, rule: str) -> np.ndarray | None:
    """Compute the weight of each window in the loss.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        One-hot labels of the training split.
    rule : {"none", "sqrt", "balanced"}
        ``"balanced"`` weighs a window by the inverse frequency of its class, ``"sqrt"`` by the
        square root of that.

    Returns
    -------
    array of shape (n_windows,) or None
        Weights with mean 1; None where all are equal.

    Examples
    --------
    >>> y = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    >>> compute_class_weights(y, "balanced").round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    if rule == "none":
        return None
    inverse = 1.0 / y.mean(axis=0)
    weights = y @ (np.sqrt(inverse) if rule == "sqrt" else inverse)
    return weights / weights.mean()


def compute_tree_weights(settings: TrainingSettings, y: np.ndarray) -> np.ndarray | None:
    """Compute the weight of each training window for trees.

    Where a network sees a window more often, trees see it once and weigh it as much.

    Parameters
    ----------
    settings : TrainingSettings
        Gives `sampling` and `class_weights`.
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1, of the training split.

    Returns
    -------
    array of shape (n_windows,) or None
        Weights with mean 1; None where all are equal.

    Examples
    --------
    >>> compute_tree_weights(TrainingSettings(), np.array([[1, 0], [0, 1]])) is None
    True
    """
    if settings.sampling == "balanced":
        return len(y) * compute_sampling_weights(y)
    return compute_class_weights(y, settings.class_weights)


def compute_sampling_weights(y: np.ndarray) -> np.ndarray:
    """Compute the probability with which each window is drawn.

    It is inverse to the fraction of windows that have the window's rarest class; windows without
    a class count as a further class.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1, of the training split.

    Returns
    -------
    array of shape (n_windows,)
        Probabilities with the sum 1.

    Examples
    --------
    >>> y = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    >>> compute_sampling_weights(y).round(3).tolist()
    [0.167, 0.167, 0.167, 0.5]
    """
    y = np.concatenate([y, 1 - y.max(axis=1, keepdims=True)], axis=1)
    rarest = np.where(y > 0, y.mean(axis=0), np.inf).min(axis=1)
    return 1 / rarest / (1 / rarest).sum()
