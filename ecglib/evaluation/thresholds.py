"""Decision thresholds and late-fusion weights, fitted on the validation split after training.

Neither may see the test split.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import check_branch_predictions, check_predictions

DEFAULT_THRESHOLD = 0.5
# A probability of exactly zero for the observed outcome would make the log loss infinite.
MIN_OUTCOME_PROBABILITY = 1e-12
# Weights of branches are accepted if their log loss is at most this above the minimum.
MAX_EXCESS_LOSS = 1e-4


def fit_thresholds(
    y: ArrayLike, p: ArrayLike, kind: str, classes: Sequence[str] | None = None
) -> np.ndarray:
    """Choose the decision threshold of each class that maximizes its F1 score.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1, of the validation split.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    kind : {"multi_label", "multi_class"}
        Kind of the task. Multi-class tasks get ones, the plain argmax of `decide`.
    classes : sequence of str, optional
        Names for the warning; by default the columns are numbered.

    Returns
    -------
    float64 array of shape (n_classes,)
        Thresholds for `decide`; 0.5, with a warning, for a class without positive windows.

    Raises
    ------
    EcgError
        If the arrays or the kind are invalid.

    Notes
    -----
    The optimum is exact: every cut between neighbouring scores is tried. The threshold lies halfway
    between the two scores it separates (zero takes the place of the score below the lowest). Among
    cuts of equal F1 the highest wins.

    Examples
    --------
    >>> fit_thresholds([[0], [0], [1]], [[0.1], [0.4], [0.6]], "multi_label").tolist()
    [0.5]
    """
    y, p = check_predictions(y, p, kind)
    n_classes = y.shape[1]
    if kind == "multi_class":
        return np.ones(n_classes)
    without = np.flatnonzero(~y.any(axis=0))
    if len(without):
        names = [str(classes[int(k)]) if classes is not None else f"column {k}" for k in without]
        warnings.warn(
            f"No positive window to fit a threshold for {', '.join(names)}: "
            f"{DEFAULT_THRESHOLD} is used.",
            stacklevel=2,
        )
    return np.array([_find_best_f1_threshold(y[:, k], p[:, k]) for k in range(n_classes)])


def _find_best_f1_threshold(y: np.ndarray, p: np.ndarray) -> float:
    if not y.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-p, kind="stable")
    p, hits = p[order], np.cumsum(y[order])
    # Windows of one score are accepted together: only the last of them is a possible cut.
    cuts = np.flatnonzero(np.append(p[1:] != p[:-1], True))
    f1 = 2 * hits[cuts] / (cuts + 1 + y.sum())
    cut = cuts[np.argmax(f1)]
    accepted, refused = p[cut], p[cut + 1] if cut + 1 < len(p) else 0.0
    middle = (accepted + refused) / 2
    # Between two adjacent floats the middle rounds to one of them, possibly the refused one.
    return float(middle if middle > refused else accepted)


def fit_weights(y: ArrayLike, branch_p: ArrayLike, kind: str) -> np.ndarray:
    """Fit the weights of the branches in a late fusion by minimizing the log loss.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1, of the validation split.
    branch_p : array of shape (n_windows, n_branches, n_classes)
        Probabilities of each branch.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    float64 array of shape (n_branches,)
        Weights that are not negative and sum to one.

    Raises
    ------
    EcgError
        If the arrays or the kind are invalid, or if no minimum is found.

    Notes
    -----
    The fused probability is ``sum(weight[b] * p[b])``. In both kinds of task the probability of the
    observed outcome is then a mixture with these weights, so the log loss is convex in them and the
    minimum found is the global one. With the loss gradient ``g`` the loss exceeds its minimum by at
    most ``max(-g) - 1``, which the result is checked with.

    Examples
    --------
    A branch that is right, and one that is wrong:

    >>> y = np.array([[0], [1], [1]])
    >>> branch_p = np.stack([np.where(y, 0.8, 0.2), np.where(y, 0.3, 0.7)], axis=1)
    >>> fit_weights(y, branch_p, "multi_label").round(3).tolist()
    [1.0, 0.0]
    """
    from scipy.optimize import minimize

    observed = _compute_outcome_probability(y, branch_p, kind)
    n_branches = observed.shape[1]

    def loss_and_gradient(weights: np.ndarray) -> tuple[float, np.ndarray]:
        # SLSQP may try a point just outside the bounds.
        mixture = np.maximum(observed @ weights, MIN_OUTCOME_PROBABILITY)
        return -np.log(mixture).mean(), -(1 / mixture) @ observed / len(observed)

    found = minimize(
        loss_and_gradient,
        np.full(n_branches, 1 / n_branches),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * n_branches,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(found.x, 0, 1)
    weights /= weights.sum()
    excess = (-loss_and_gradient(weights)[1]).max() - 1
    if not excess <= MAX_EXCESS_LOSS:
        raise EcgError(
            f"No fusion weights found: the log loss of {weights.round(4).tolist()} may be "
            f"{excess:.2g} above its minimum ({found.message}). Check the probabilities of "
            "the branches, or fuse with equal weights (late_average)."
        )
    return weights


def _compute_outcome_probability(y: ArrayLike, branch_p: ArrayLike, kind: str) -> np.ndarray:
    """Return each branch's probability of the outcome: (n_outcomes, n_branches)."""
    labels, branch_p = check_branch_predictions(y, branch_p, kind)
    if kind == "multi_class":
        observed = (branch_p * labels[:, None, :]).sum(axis=2)
    else:
        observed = np.where(labels[:, None, :], branch_p, 1 - branch_p)
        observed = np.moveaxis(observed, 1, 2).reshape(-1, branch_p.shape[1])
    return np.maximum(observed, MIN_OUTCOME_PROBABILITY)
