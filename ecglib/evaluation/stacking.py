"""Stacking: the logistic regression that joins the branches of `late_stacking`.

It is fitted on the validation split after training and must not see the test split.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import check_branch_predictions
from ecglib.evaluation.thresholds import MAX_EXCESS_LOSS

# Probabilities are clipped to [MIN_PROBABILITY, 1 - MIN_PROBABILITY] before the logarithm, here and
# in the layer `ecglib.models.fusion.layers.Stacking`. A power of 2, so that the difference from 1
# is exact in float32.
MIN_PROBABILITY = 2.0**-23


class StackingWeights(NamedTuple):
    """Parameters of a stacked fusion.

    Parameters
    ----------
    weights : float64 array of shape (n_branches, n_classes)
        Weights of the branches' log-odds.
    bias : float64 array of shape (n_classes,)
        Added to the weighted sum.

    Examples
    --------
    >>> average = StackingWeights(weights=np.full((2, 1), 0.5), bias=np.zeros(1))
    >>> average.bias.tolist()
    [0.0]
    """

    weights: np.ndarray
    bias: np.ndarray


def fit_stacking(y: ArrayLike, branch_p: ArrayLike, kind: str, l2: float = 1.0) -> StackingWeights:
    """Fit weights and biases of a stacked fusion.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1, of the validation split.
    branch_p : array of shape (n_windows, n_branches, n_classes)
        Probabilities of each branch.
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    l2 : float, default 1.0
        Strength of the regularization towards the equal average, above 0; as ``1 / C`` in
        scikit-learn's ``LogisticRegression``.

    Returns
    -------
    StackingWeights
        Weights and biases.

    Raises
    ------
    EcgError
        If the arrays, the kind or `l2` are invalid, or if no minimum is found.

    Notes
    -----
    The fused log odds of a class are ``sum(weight[b, class] * log_odds[b, class]) + bias[class]``:
    logit(p) in a multi-label task, log(p) before a softmax in a multi-class one. The log loss,
    summed over the windows, is minimized together with ``l2 / 2`` times the squared distance of
    the weights from the equal average and of the biases from zero. With few windows, as for a rare
    class, the weights stay near the average; with many, the data decide. The objective is strictly
    convex, so it has one minimum, which is finite also for a class without positive windows or one
    that is separated perfectly.

    Examples
    --------
    A branch that is right, and one that always gives 0.5:

    >>> y = np.array([[0], [1]] * 100)
    >>> branch_p = np.stack([np.where(y, 0.8, 0.2), np.full(y.shape, 0.5)], axis=1)
    >>> weights, bias = fit_stacking(y, branch_p, "multi_label")
    >>> bool(weights[0, 0] > 1), weights[1, 0].round(3).tolist()
    (True, 0.5)
    """
    from scipy.optimize import minimize

    y, x = _compute_log_odds(y, branch_p, kind)
    if not l2 > 0:
        raise EcgError(
            f"l2={l2}; expected above 0, as the weights of a rare class are not finite without it."
        )
    n_branches, n_classes = x.shape[1:]
    # One row for each branch and one for the bias, whose "log odds" are always 1.
    x = np.concatenate([x, np.ones((len(x), 1, n_classes))], axis=1)
    average = np.append(np.full(n_branches, 1 / n_branches), 0.0)[:, None]

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(n_branches + 1, n_classes)
        loss, residuals = _compute_loss_and_residuals(y, np.einsum("bk,wbk->wk", weights, x), kind)
        gradient = np.einsum("wk,wbk->bk", residuals, x) + l2 * (weights - average)
        return loss + l2 / 2 * np.sum((weights - average) ** 2), gradient.ravel()

    start = np.tile(average, n_classes).ravel()
    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-14, "gtol": 1e-7, "maxcor": 30}
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    # As the curvature is l2 at least, this bounds by how much the loss exceeds its minimum.
    excess = np.sum(loss_and_gradient(found.x)[1] ** 2) / (2 * l2 * len(x))
    if not excess <= MAX_EXCESS_LOSS:
        raise EcgError(
            f"No weights found for stacking: the log loss may be {excess:.2g} above its minimum "
            f"({found.message}). Check the probabilities of the branches, or raise l2={l2:g}."
        )
    fitted = found.x.reshape(n_branches + 1, n_classes)
    return StackingWeights(weights=fitted[:-1], bias=fitted[-1])


def _compute_log_odds(
    y: ArrayLike, branch_p: ArrayLike, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return valid labels and the log odds, of shape (n_windows, n_branches, n_classes)."""
    labels, branch_p = check_branch_predictions(y, branch_p, kind)
    p = np.clip(branch_p, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return labels, np.log(p) - np.log1p(-p) if kind == "multi_label" else np.log(p)


def _compute_loss_and_residuals(
    y: np.ndarray, x: np.ndarray, kind: str
) -> tuple[float, np.ndarray]:
    """Return the log loss, summed over the windows, of log odds `x`, and p - y."""
    from scipy.special import expit, logsumexp

    if kind == "multi_label":
        return float(np.sum(np.logaddexp(0, x) - y * x)), expit(x) - y
    total = logsumexp(x, axis=1, keepdims=True)
    return float(np.sum(total) - np.sum(x[y])), np.exp(x - total) - y
