"""Calibration: probabilities that mean what they say, fitted on the validation part.

``multi_label``: each class by itself, ``sigmoid(scale * log_odds(p) + bias)``, the scaling of
Platt (1999, "Probabilistic outputs for support vector machines") with his smoothed targets, so
that a class with few positive windows does not become certain. ``multi_class``:
``softmax(scale * log(p))``, the temperature scaling of Guo et al. (2017, arXiv:1706.04599) with
the temperature ``1 / scale``. Scales are above zero: within a class of a multi-label task, and
between the classes of a window of a multi-class task, the order stays.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ecglib.evaluation.metrics import check_arrays, check_predictions

# Added to p and 1 - p before the logarithm. A model in float32 that says 0.9999999 may as well say
# 1; without this, scaling would make two very different answers of the two.
ROUNDING = {"multi_label": 3e-4, "multi_class": 1e-7}
SCALES = (0.02, 50.0)
LARGEST_BIAS = 20.0
N_BINS = 15


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How probabilities are calibrated.

    Parameters
    ----------
    kind
        ``"multi_label"`` or ``"multi_class"``.
    scale, bias
        one a class; in a multi-class task all scales are equal and the biases 0.
    """

    kind: str
    scale: tuple[float, ...]
    bias: tuple[float, ...]

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float32, of p, array of shape (n_windows, n_classes)."""
        z = evidence(p, self.kind) * np.asarray(self.scale) + np.asarray(self.bias)
        if self.kind == "multi_label":
            return (1 / (1 + np.exp(-z))).astype(np.float32)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return (z / z.sum(axis=1, keepdims=True)).astype(np.float32)


def evidence(p: np.ndarray, kind: str) -> np.ndarray:
    """Log-odds of independent classes, logarithms of classes that exclude each other; float64."""
    p, rounding = np.asarray(p, np.float64), ROUNDING[kind]
    if kind == "multi_label":
        return np.log(p + rounding) - np.log(1 - p + rounding)
    return np.log(p + rounding)


def fit_calibration(y: np.ndarray, p: np.ndarray, kind: str) -> Calibration:
    """The calibration with the smallest log loss on the validation part.

    Parameters
    ----------
    y : array (n_windows, n_classes) of 0 and 1.
    p : array (n_windows, n_classes), probabilities.
    kind : "multi_label" or "multi_class".

    Raises
    ------
    EcgError
        If the arrays or the kind cannot be used.
    """
    y, p = check_predictions(y, p, kind)
    z = evidence(p, kind)
    if kind == "multi_class":
        scale, n_classes = _temperature(y, z), y.shape[1]
        return Calibration(kind, (scale,) * n_classes, (0.0,) * n_classes)
    scale, bias = zip(*(_platt(y[:, k], z[:, k]) for k in range(y.shape[1])), strict=True)
    return Calibration(kind, scale, bias)


def _platt(y: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    from scipy.optimize import minimize

    n_positive = int(y.sum())
    target = np.where(y, (n_positive + 1) / (n_positive + 2), 1 / (len(y) - n_positive + 2))

    def loss_and_gradient(values):
        a = values[0] * z + values[1]
        error = 1 / (1 + np.exp(-a)) - target
        # log(1 + exp(a)) - target * a is the cross-entropy of sigmoid(a)
        return np.mean(np.logaddexp(0, a) - target * a), [np.mean(error * z), np.mean(error)]

    bounds = [SCALES, (-LARGEST_BIAS, LARGEST_BIAS)]
    found = minimize(loss_and_gradient, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])


def _temperature(y: np.ndarray, z: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    def loss(log_scale: float) -> float:
        a = np.exp(log_scale) * z
        return np.mean(logsumexp(a, axis=1) - a[y])

    found = minimize_scalar(loss, bounds=np.log(SCALES), method="bounded")
    return float(np.exp(found.x))


def calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over the classes of the expected calibration error with bins of equal counts.

    Of a class: the mean over 15 bins of windows with neighbouring probabilities of the distance
    between their mean probability and the share of positive windows (Nixon et al. 2019,
    arXiv:1904.01685, "adaptive").

    Parameters
    ----------
    y, p : arrays (n_windows, n_classes), labels and probabilities.
    """
    y, p = check_arrays(y, p)
    errors = []
    for k in range(y.shape[1]):
        order = np.argsort(p[:, k], kind="stable")
        bins = np.array_split(order, min(N_BINS, len(order)))
        gaps = [len(own) * abs(p[own, k].mean() - y[own, k].mean()) for own in bins]
        errors.append(sum(gaps) / len(order))
    return float(np.mean(errors))


def log_loss(y: np.ndarray, p: np.ndarray, kind: str) -> float:
    """Mean cross-entropy over windows and, multi-label, classes, in nat."""
    y, p = check_arrays(y, p)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    if kind == "multi_class":
        return float(-np.mean(np.log(p[y])))
    return float(-np.mean(np.where(y, np.log(p), np.log(1 - p))))
