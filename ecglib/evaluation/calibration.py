"""Calibration: probabilities that match observed frequencies, fitted on the validation split.

``multi_label``: each class by itself, ``sigmoid(scale * log_odds(p) + bias)``, the scaling of
Platt (1999, "Probabilistic outputs for support vector machines") with his smoothed targets, so
that a class with few positive windows does not become certain. ``multi_class``:
``softmax(scale * log(p))``, the temperature scaling of Guo et al. (2017, arXiv:1706.04599) with
the temperature ``1 / scale``. Scales are above zero, so the order is preserved: within a class of
a multi-label task, and between the classes of a window of a multi-class task.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from ecglib.evaluation.metrics import check_arrays, check_predictions

# Added to p and 1 - p before the logarithm. To a model in float32, 0.9999999 and 1 are the same
# answer; without this, scaling would make two very different answers of the two.
PROBABILITY_ROUNDING = {"multi_label": 3e-4, "multi_class": 1e-7}
SCALE_BOUNDS = (0.02, 50.0)
MAX_BIAS = 20.0
N_BINS = 15
# Smallest distance of a probability from 0 and 1 in the log loss.
LOG_LOSS_CLIP = 1e-7


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A fitted calibration, called with probabilities.

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    scale : tuple of float
        One for each class; all equal in a multi-class task.
    bias : tuple of float
        One for each class; all zero in a multi-class task.

    Examples
    --------
    >>> calibrate = Calibration("multi_label", scale=(0.5,), bias=(0.0,))
    >>> calibrate([[0.1], [0.5], [0.9]]).round(3).tolist()
    [[0.25], [0.5], [0.75]]
    """

    kind: str
    scale: tuple[float, ...]
    bias: tuple[float, ...]

    def __call__(self, p: ArrayLike) -> np.ndarray:
        """Calibrate probabilities.

        Parameters
        ----------
        p : array of shape (n_windows, n_classes)
            The model's probabilities.

        Returns
        -------
        float32 array of shape (n_windows, n_classes)
            Calibrated probabilities.
        """
        z = compute_logits(p, self.kind) * np.asarray(self.scale) + np.asarray(self.bias)
        if self.kind == "multi_label":
            return (1 / (1 + np.exp(-z))).astype(np.float32)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return (z / z.sum(axis=1, keepdims=True)).astype(np.float32)


def compute_logits(p: ArrayLike, kind: str) -> np.ndarray:
    """Compute log-odds (multi-label) or logarithms (multi-class) of probabilities.

    Parameters
    ----------
    p : array of shape (n_windows, n_classes)
        Probabilities.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    float64 array of shape (n_windows, n_classes)
        Finite also for probabilities of 0 and 1, as `PROBABILITY_ROUNDING` is added to each.

    Examples
    --------
    >>> compute_logits([[0.5]], "multi_label").tolist()
    [[0.0]]
    >>> compute_logits([[1.0, 0.0]], "multi_class").round(3).tolist()
    [[0.0, -16.118]]
    """
    p, rounding = np.asarray(p, np.float64), PROBABILITY_ROUNDING[kind]
    if kind == "multi_label":
        return np.log(p + rounding) - np.log(1 - p + rounding)
    return np.log(p + rounding)


def fit_calibration(y: ArrayLike, p: ArrayLike, kind: str) -> Calibration:
    """Fit the calibration with the smallest log loss.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1, of the validation split.
    p : array of shape (n_windows, n_classes)
        The model's probabilities.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    Calibration
        To be called with probabilities.

    Raises
    ------
    EcgError
        If the arrays or the kind are invalid.

    Examples
    --------
    A model that is too sure of itself:

    >>> y = np.array([[0], [1], [0], [1]] * 50)
    >>> p = np.array([[0.1], [0.9], [0.9], [0.9]] * 50)
    >>> calibrate = fit_calibration(y, p, "multi_label")
    >>> round(float(calibrate([[0.9]])[0, 0]), 2)
    0.66
    """
    y, p = check_predictions(y, p, kind)
    z = compute_logits(p, kind)
    if kind == "multi_class":
        scale, n_classes = _fit_temperature(y, z), y.shape[1]
        return Calibration(kind, (scale,) * n_classes, (0.0,) * n_classes)
    scales, biases = zip(*(_fit_platt(y[:, k], z[:, k]) for k in range(y.shape[1])), strict=True)
    return Calibration(kind, scales, biases)


def _fit_platt(y: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """Return scale and bias of one class."""
    from scipy.optimize import minimize

    n_positive = int(y.sum())
    target = np.where(y, (n_positive + 1) / (n_positive + 2), 1 / (len(y) - n_positive + 2))

    def loss_and_gradient(values: np.ndarray) -> tuple[float, list[float]]:
        a = values[0] * z + values[1]
        error = 1 / (1 + np.exp(-a)) - target
        # log(1 + exp(a)) - target * a is the cross-entropy of sigmoid(a)
        return np.mean(np.logaddexp(0, a) - target * a), [np.mean(error * z), np.mean(error)]

    bounds = [SCALE_BOUNDS, (-MAX_BIAS, MAX_BIAS)]
    found = minimize(loss_and_gradient, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])


def _fit_temperature(y: np.ndarray, z: np.ndarray) -> float:
    """Return the scale that all classes share."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    def loss(log_scale: float) -> float:
        a = np.exp(log_scale) * z
        return np.mean(logsumexp(a, axis=1) - a[y])

    found = minimize_scalar(loss, bounds=np.log(SCALE_BOUNDS), method="bounded")
    return float(np.exp(found.x))


def compute_calibration_error(y: ArrayLike, p: ArrayLike) -> float:
    """Compute the expected calibration error with bins of equal counts, averaged over classes.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.

    Returns
    -------
    float
        Between 0 and 1; 0 is perfect calibration.

    Raises
    ------
    EcgError
        If the arrays are invalid.

    Notes
    -----
    The windows are sorted by the probability of a class and split into 15 bins of equal counts.
    The error of a bin is the distance between its mean probability and its fraction of positive
    windows; bins are averaged (Nixon et al. 2019, arXiv:1904.01685, "adaptive").

    Examples
    --------
    >>> round(compute_calibration_error([[0], [1]], [[0.2], [0.6]]), 3)
    0.3
    """
    y, p = check_arrays(y, p)
    errors = []
    for k in range(y.shape[1]):
        order = np.argsort(p[:, k], kind="stable")
        bins = np.array_split(order, min(N_BINS, len(order)))
        gaps = [len(rows) * abs(p[rows, k].mean() - y[rows, k].mean()) for rows in bins]
        errors.append(sum(gaps) / len(order))
    return float(np.mean(errors))


def compute_log_loss(y: ArrayLike, p: ArrayLike, kind: str) -> float:
    """Compute the mean cross-entropy in nat, over windows and, if multi-label, over classes.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    float
        The log loss.

    Raises
    ------
    EcgError
        If the arrays are invalid.

    Examples
    --------
    >>> round(compute_log_loss([[0], [1]], [[0.5], [0.5]], "multi_label"), 4)
    0.6931
    """
    labels, p = check_arrays(y, p)
    clipped = np.clip(p, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    if kind == "multi_class":
        return float(-np.mean(np.log(clipped[labels])))
    return float(-np.mean(np.where(labels, np.log(clipped), np.log(1 - clipped))))
