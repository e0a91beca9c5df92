"""What is fitted on the validation part after training: thresholds and late-fusion weights.

Neither may ever see the test part.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import check_branches, check_predictions

DEFAULT_THRESHOLD = 0.5
# A probability of exactly zero for what then happened would make the log loss infinite.
SMALLEST_PROBABILITY = 1e-12
LARGEST_EXCESS_LOSS = 1e-4


def fit_thresholds(
    y: np.ndarray, p: np.ndarray, kind: str, classes: Sequence[str] | None = None
) -> np.ndarray:
    """Thresholds for `decide`, from the validation part.

    ``multi_label``: for each class the threshold with the largest F1, found exactly by trying
    every cut between neighbouring scores; it lies halfway between the two scores it separates
    (zero takes the place of the score below the lowest). Among cuts of equal F1 the highest
    wins. A class without positive windows gets 0.5 and a warning that names it.
    ``multi_class``: ones, which is the plain argmax.

    Parameters
    ----------
    y : array (n_windows, n_classes) of 0 and 1.
    p : array (n_windows, n_classes), probabilities.
    kind : "multi_label" or "multi_class".
    classes : names for the warning; the columns are numbered where they are not given.

    Returns
    -------
    float64 array (n_classes,)

    Raises
    ------
    EcgError
        If the arrays or the kind cannot be used.
    """
    y, p = check_predictions(y, p, kind)
    n_classes = y.shape[1]
    if kind == "multi_class":
        return np.ones(n_classes)
    without = np.flatnonzero(~y.any(axis=0))
    if len(without):
        names = [str(classes[k]) if classes is not None else f"column {k}" for k in without]
        warnings.warn(
            f"No positive window to fit a threshold on for {', '.join(names)}: "
            f"{DEFAULT_THRESHOLD} is used.",
            stacklevel=2,
        )
    return np.array([_best_f1_threshold(y[:, k], p[:, k]) for k in range(n_classes)])


def _best_f1_threshold(y: np.ndarray, p: np.ndarray) -> float:
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


def fit_weights(y: np.ndarray, branch_p: np.ndarray, kind: str) -> np.ndarray:
    """Weights of the branches in a late fusion, from the validation part.

    The fused probability is ``sum(weight[b] * p[b])`` with weights that are not negative and sum
    to one. In both kinds of task the probability of what was observed is then a mixture with
    these weights, so the log loss is convex in them and the minimum found is the global one.
    With the loss gradient ``g`` the loss exceeds its minimum by at most ``max(-g) - 1``, which
    is what the result is checked with.

    Parameters
    ----------
    y : array (n_windows, n_classes) of 0 and 1.
    branch_p : array (n_windows, n_branches, n_classes), probabilities.
    kind : "multi_label" or "multi_class".

    Returns
    -------
    float64 array (n_branches,)

    Raises
    ------
    EcgError
        If the arrays or the kind cannot be used, or if no minimum is found.
    """
    from scipy.optimize import minimize

    observed = _observed_probability(y, branch_p, kind)
    n_branches = observed.shape[1]

    def loss_and_gradient(weights: np.ndarray) -> tuple[float, np.ndarray]:
        # SLSQP may try a point just outside the bounds.
        mixture = np.maximum(observed @ weights, SMALLEST_PROBABILITY)
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
    if not excess <= LARGEST_EXCESS_LOSS:
        raise EcgError(
            f"No fusion weights found: the log loss of {weights.round(4).tolist()} may be "
            f"{excess:.2g} above its minimum ({found.message}). Look at the probabilities of "
            "the branches, or fuse with equal weights."
        )
    return weights


def _observed_probability(y: np.ndarray, branch_p: np.ndarray, kind: str) -> np.ndarray:
    """What each branch gave to what was then observed: (n_observations, n_branches)."""
    labels, branch_p = check_branches(y, branch_p, kind)
    if kind == "multi_class":
        observed = (branch_p * labels[:, None, :]).sum(axis=2)
    else:
        observed = np.where(labels[:, None, :], branch_p, 1 - branch_p)
        observed = np.moveaxis(observed, 1, 2).reshape(-1, branch_p.shape[1])
    return np.maximum(observed, SMALLEST_PROBABILITY)
