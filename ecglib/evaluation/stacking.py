"""Stacking: the logistic regression that joins the branches of `late_stacking`.

It is fitted on the validation part after training, and may never see the test part.
"""

from __future__ import annotations

import numpy as np

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import check_branches

# The least and, taken from 1, the largest probability whose logarithm is used; the same as in
# the layer `ecglib.models.fusion.layers.Stacking`.
SMALLEST_PROBABILITY = 2.0**-23
LARGEST_EXCESS_LOSS = 1e-4


def fit_stacking(
    y: np.ndarray, branch_p: np.ndarray, kind: str, l2: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of a stacked fusion, from the validation part.

    The fused log odds of a class are ``sum(weight[b, class] * log_odds[b, class]) + bias[class]``:
    logit(p) in a multi-label task, log(p) before a softmax in a multi-class one. The log loss,
    summed over the windows, is minimised together with ``l2 / 2`` times the squared distance of
    the weights from the equal average and of the biases from zero. Where windows are few, as
    those of a rare class, the average is kept; where they are many, the data decide. The
    objective is strictly convex: its minimum is one, and finite also for a class without
    positives or one that is separated perfectly.

    Parameters
    ----------
    y : array (n_windows, n_classes) of 0 and 1.
    branch_p : array (n_windows, n_branches, n_classes), probabilities.
    kind : "multi_label" or "multi_class".
    l2 : strength of the pull towards the equal average, above 0; as ``1 / C`` in scikit-learn's
        ``LogisticRegression``.

    Returns
    -------
    weights : float64 array (n_branches, n_classes)
    bias : float64 array (n_classes,)

    Raises
    ------
    EcgError
        If the arrays, the kind or `l2` cannot be used, or if no minimum is found.
    """
    from scipy.optimize import minimize

    y, x = _labels_and_log_odds(y, branch_p, kind)
    if not l2 > 0:
        raise EcgError(f"l2={l2}, expected above 0: without it a rare class has no finite weights.")
    n_branches, n_classes = x.shape[1:]
    # One row for each branch and one for the bias, whose "log odds" are always 1.
    x = np.concatenate([x, np.ones((len(x), 1, n_classes))], axis=1)
    average = np.append(np.full(n_branches, 1 / n_branches), 0.0)[:, None]

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(n_branches + 1, n_classes)
        loss, residuals = _loss_and_residuals(y, np.einsum("bk,wbk->wk", weights, x), kind)
        gradient = np.einsum("wk,wbk->bk", residuals, x) + l2 * (weights - average)
        return loss + l2 / 2 * np.sum((weights - average) ** 2), gradient.ravel()

    start = np.tile(average, n_classes).ravel()
    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-14, "gtol": 1e-7, "maxcor": 30}
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    # As the curvature is l2 at least, this is the most by which the loss exceeds its minimum.
    excess = np.sum(loss_and_gradient(found.x)[1] ** 2) / (2 * l2 * len(x))
    if not excess <= LARGEST_EXCESS_LOSS:
        raise EcgError(
            f"No weights found for stacking: the log loss may be {excess:.2g} above its minimum "
            f"({found.message}). Look at the probabilities of the branches, or raise l2={l2:g}."
        )
    fitted = found.x.reshape(n_branches + 1, n_classes)
    return fitted[:-1], fitted[-1]


def _labels_and_log_odds(y, branch_p, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Checked labels (n_windows, n_classes) and log odds (n_windows, n_branches, n_classes)."""
    labels, branch_p = check_branches(y, branch_p, kind)
    p = np.clip(branch_p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return labels, np.log(p) - np.log1p(-p) if kind == "multi_label" else np.log(p)


def _loss_and_residuals(y: np.ndarray, x: np.ndarray, kind: str) -> tuple[float, np.ndarray]:
    """Log loss, summed over the windows, of log odds (n_windows, n_classes); and p - y."""
    from scipy.special import expit, logsumexp

    if kind == "multi_label":
        return float(np.sum(np.logaddexp(0, x) - y * x)), expit(x) - y
    total = logsumexp(x, axis=1, keepdims=True)
    return float(np.sum(total) - np.sum(x[y])), np.exp(x - total) - y
