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

from ecglib.evaluation.metrics import check_arrays, check_predictions, check_probabilities

# Added to p and 1 - p before the logarithm. To a model in float32, 0.9999999 and 1 are the same
# answer; without this, scaling would make two very different answers of the two.
PROBABILITY_ROUNDING = {"multi_label": 3e-4, "multi_class": 1e-7}
SCALE_BOUNDS = (0.02, 50.0)
MAX_BIAS = 20.0
N_BINS = 15
# Variance of a bin's number of positive windows from which the normal approximation of its mean
# deviation is good to 0.2 %.
NORMAL_VARIANCE = 60.0


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
        Between 0 and 1. A perfectly calibrated model has the value of
        `compute_calibration_floor`, not 0.

    Raises
    ------
    EcgError
        If the arrays are invalid.

    Notes
    -----
    The windows are sorted by the probability of a class and split into 15 bins of equal counts.
    The error of a bin is the distance between its mean probability and its fraction of positive
    windows; bins are averaged, weighted by their windows (Nixon et al. 2019, arXiv:1904.01685,
    "adaptive"). Windows of equal probability are one run and stay in one bin, that of the middle
    of the run, so the order of the rows does not matter.

    Examples
    --------
    >>> round(compute_calibration_error([[0], [1]], [[0.2], [0.6]]), 3)
    0.3
    """
    labels, p = check_arrays(y, p)
    errors = []
    for k in range(p.shape[1]):
        excess = np.bincount(_assign_bins(p[:, k]), weights=labels[:, k] - p[:, k])
        errors.append(np.abs(excess).sum() / len(p))
    return float(np.mean(errors))


def compute_calibration_floor(p: ArrayLike) -> float:
    """Compute the calibration error to expect if every probability is right.

    A finite number of windows never matches its probabilities exactly. This is the mean of
    `compute_calibration_error` over labels drawn with these probabilities.

    Parameters
    ----------
    p : array of shape (n_windows, n_classes)
        Probabilities.

    Returns
    -------
    float
        Between 0 and 1; an error near it shows no miscalibration.

    Raises
    ------
    EcgError
        If the probabilities are invalid.

    Notes
    -----
    The number of positive windows of a bin has a Poisson binomial distribution, of which the error
    needs the mean absolute deviation. It is computed exactly, from the probabilities of all
    numbers below the mean; in bins with a variance of 60 and more it is that of the normal
    distribution, ``sqrt(2 variance / pi)``. The labels of different classes may depend on each
    other, as in a multi-class task: the mean does not.

    Examples
    --------
    >>> round(compute_calibration_floor([[0.5]]), 3)
    0.5
    >>> round(compute_calibration_floor(np.full((1000, 1), 0.5)), 3)
    0.013
    """
    p = check_probabilities(p)
    bins = np.stack([_assign_bins(p[:, k]) for k in range(p.shape[1])], axis=1)
    bins += np.arange(p.shape[1]) * N_BINS
    order = np.argsort(bins, axis=None, kind="stable")
    n_windows = np.bincount(bins.ravel())
    n_windows = n_windows[n_windows > 0]
    deviations = _compute_mean_deviations(p.ravel()[order], n_windows)
    return float(deviations.sum() / p.size)


def _assign_bins(p: np.ndarray) -> np.ndarray:
    """Return the bin of each probability, from 0; bins may be empty."""
    from scipy.stats import rankdata

    middle = (rankdata(p, method="average") - 0.5) / len(p)
    return (middle * min(N_BINS, len(p))).astype(np.intp)


def _compute_mean_deviations(p: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return E|X - E X| for sums X of independent 0s and 1s.

    `p` holds the probabilities of the first sum, then those of the second, and so on; `sizes` says
    how many each sum has.
    """
    starts = np.cumsum(sizes) - sizes
    variances = np.add.reduceat(p * (1 - p), starts)
    # |X - E X| is the same if 0s and 1s are exchanged: the smaller mean needs fewer terms.
    is_high = np.add.reduceat(p, starts) > sizes / 2
    p = np.where(np.repeat(is_high, sizes), 1 - p, p)
    means = np.add.reduceat(p, starts)
    deviations = np.sqrt(2 * variances / np.pi)

    exact = np.flatnonzero(variances < NORMAL_VARIANCE)
    if not len(exact):
        return deviations
    exact = exact[np.argsort(-sizes[exact], kind="stable")]
    starts, sizes, means = starts[exact], sizes[exact], means[exact]
    n_terms = int(means.max()) + 1
    probabilities = np.zeros((len(exact), n_terms))
    probabilities[:, 0] = 1
    for step in range(sizes[0]):
        n_active = int(np.searchsorted(-sizes, -step))
        q = p[starts[:n_active] + step, None]
        added = probabilities[:n_active, :-1] * q
        probabilities[:n_active] *= 1 - q
        probabilities[:n_active, 1:] += added
    # E|X - m| = 2 E max(m - X, 0): the probabilities of X < m are enough.
    shortfall = np.maximum(means[:, None] - np.arange(n_terms), 0)
    deviations[exact] = 2 * np.einsum("bn,bn->b", shortfall, probabilities)
    return deviations
