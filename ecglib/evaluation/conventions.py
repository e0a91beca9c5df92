"""Scores that a challenge or a standard defines, for comparison with published figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ecglib.errors import EcgError
from ecglib.evaluation.decision_metrics import compute_ppv, compute_sensitivity, count_outcomes
from ecglib.evaluation.metrics import check_arrays, check_class_names, check_one_hot

# Reference beats that are not false positives where they are taken for the class (AAMI EC57).
AAMI_NOT_COUNTED = {"S": ("Q",), "V": ("F", "Q")}


def compute_challenge_score(
    y: ArrayLike, decisions: ArrayLike, weights: ArrayLike, normal_class: int
) -> float:
    """Compute the score of the PhysioNet/CinC Challenges 2020 and 2021.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1; any number of classes for each window.
    decisions : array of shape (n_windows, n_classes)
        Which classes are predicted, 0 or 1.
    weights : array of shape (n_classes, n_classes)
        ``weights[j, k]`` is the credit for predicting class `k` where class `j` is true. The
        Challenges publish theirs as ``weights.csv``.
    normal_class : int
        Column of the normal class, sinus rhythm in the Challenges.

    Returns
    -------
    float
        1 if every window's classes are predicted and no others, 0 for a model that always predicts
        the normal class alone; may be negative. nan if these two have the same credit.

    Raises
    ------
    EcgError
        If the arrays do not fit together, or if `normal_class` is not one of their columns.

    Notes
    -----
    The credit of a window is the sum of the weights over all pairs of a true and a predicted class,
    divided by the number of classes that are true or predicted (at least one). The sum over windows
    is scaled so that the two models above have 1 and 0 (Perez Alday et al. 2020,
    doi:10.1088/1361-6579/abc960; Reyna et al. 2021, "Will two do?", Computing in Cardiology). Where
    they are equal, the official code returns 0.

    Examples
    --------
    >>> y, weights = [[1, 0], [0, 1]], [[1.0, 0.5], [0.5, 1.0]]
    >>> compute_challenge_score(y, [[1, 0], [1, 0]], weights, normal_class=0)
    0.0
    >>> round(compute_challenge_score(y, [[1, 0], [1, 1]], weights, normal_class=0), 3)
    0.667
    """
    labels, decided = _check_decisions(y, decisions)
    weights = np.asarray(weights, dtype=np.float64)
    n_classes = labels.shape[1]
    if weights.shape != (n_classes, n_classes) or not np.isfinite(weights).all():
        raise EcgError(
            f"Weights have shape {weights.shape}; expected finite numbers of shape "
            f"({n_classes}, {n_classes}), a row for each true class and a column for each "
            "predicted one."
        )
    if not 0 <= normal_class < n_classes:
        raise EcgError(
            f"`normal_class` is {normal_class}; expected the column of the normal class, 0 to "
            f"{n_classes - 1}."
        )
    only_normal = np.zeros_like(labels)
    only_normal[:, normal_class] = True
    observed = _compute_credits(labels, decided, weights).sum()
    inactive = _compute_credits(labels, only_normal, weights).sum()
    perfect = _compute_credits(labels, labels, weights).sum()
    if perfect == inactive:
        return float("nan")
    return float((observed - inactive) / (perfect - inactive))


def compute_aami_scores(
    y: ArrayLike, decisions: ArrayLike, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Compute sensitivity and PPV of supraventricular and ventricular beats as in AAMI EC57.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Classes of the beats, one-hot.
    decisions : array of shape (n_windows, n_classes)
        Predicted classes, one-hot.
    classes : sequence of str
        Names of the classes, "S" and "V" among them; "F" (fusion of a ventricular and a normal
        beat) and "Q" (unknown) have the rules below where they are given.

    Returns
    -------
    dict
        ``{"S": {"sensitivity", "ppv"}, "V": {"sensitivity", "ppv"}}``; nan without such beats.

    Raises
    ------
    EcgError
        If the arrays or the class names do not fit together, if a beat does not have exactly one
        class, or if "S" or "V" is missing.

    Notes
    -----
    Fusion and unknown beats that are taken for V, and unknown beats that are taken for S, are
    neither right nor wrong: they are not counted as false positives (ANSI/AAMI EC57; de Chazal et
    al. 2004, doi:10.1109/TBME.2004.827359; the program ``bxb`` of the WFDB package). A V, S or F
    beat that is taken for another class counts as in any confusion matrix.

    Examples
    --------
    >>> y = np.eye(4, dtype=bool)[[0, 1, 2, 2, 3]]  # N, S, V, V, F
    >>> decisions = np.eye(4, dtype=bool)[[2, 1, 2, 0, 2]]  # V, S, V, N, V
    >>> compute_aami_scores(y, decisions, ["N", "S", "V", "F"])["V"]
    {'sensitivity': 0.5, 'ppv': 0.5}
    """
    labels, decided = _check_decisions(y, decisions)
    check_class_names(classes, n_classes=labels.shape[1])
    check_one_hot(labels, "multi_class")
    check_one_hot(decided, "multi_class")
    missing = [name for name in AAMI_NOT_COUNTED if name not in classes]
    if missing:
        raise EcgError(
            f"The classes {', '.join(classes)} lack {' and '.join(missing)}; AAMI scores are those "
            "of S and V. Use a task of beats in AAMI classes, such as `aami` of MIT-BIH."
        )
    scores = {}
    for name, not_counted in AAMI_NOT_COUNTED.items():
        column = [classes.index(name)]
        exempt = [classes.index(other) for other in not_counted if other in classes]
        counted = ~(labels[:, exempt].any(axis=1) & decided[:, column[0]])
        counts = count_outcomes(labels[counted][:, column], decided[counted][:, column])
        scores[name] = {
            "sensitivity": compute_sensitivity(counts.tp, counts.fp, counts.fn, counts.tn).item(),
            "ppv": compute_ppv(counts.tp, counts.fp, counts.fn, counts.tn).item(),
        }
    return scores


def _check_decisions(y: ArrayLike, decisions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and decisions as bool arrays of the same shape."""
    decided = np.asarray(decisions, dtype=np.float64)
    if not np.isin(decided, (0, 1)).all():
        raise EcgError(
            "Decisions hold values other than 0 and 1; give them as `decide` returns them."
        )
    labels, decided = check_arrays(y, decided)
    return labels, decided == 1


def _compute_credits(labels: np.ndarray, decided: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the credit of each window before it is scaled."""
    credit = np.einsum("wk,wk->w", labels @ weights, decided)
    return credit / np.maximum((labels | decided).sum(axis=1), 1)
