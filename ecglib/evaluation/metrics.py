"""Decisions and scores of one set of predictions.

Nothing that cannot be scored is hidden: a class without positive or without negative windows has
no AUROC, so its value is ``nan``, the class is listed as undefined and excluded from the macro
mean. A class that is never predicted has no precision, so that is ``nan`` and the class is listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import EcgError

# The scores that models are compared by, and how text and figures name them.
METRIC_NAMES: Mapping[str, str] = MappingProxyType(
    {"auroc": "macro AUROC", "auprc": "macro AUPRC", "f1": "macro F1"}
)
MACRO_METRICS = tuple(METRIC_NAMES)


def check_kind(kind: str) -> None:
    """Refuse an unknown kind of task.

    Parameters
    ----------
    kind : str
        Kind of the task.

    Raises
    ------
    EcgError
        If `kind` is neither "multi_label" nor "multi_class".

    Examples
    --------
    >>> check_kind("multi_label")
    """
    if kind not in TASK_KINDS:
        raise EcgError(f"Unknown task kind {kind!r}; expected one of {', '.join(TASK_KINDS)}.")


def check_arrays(y: ArrayLike, p: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Validate labels and probabilities.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.

    Returns
    -------
    y : bool array of shape (n_windows, n_classes)
        The labels.
    p : float64 array of shape (n_windows, n_classes)
        The probabilities.

    Raises
    ------
    EcgError
        If the shapes differ or are not two-dimensional, if there is no window, if a label is
        neither 0 nor 1, or if a probability is NaN or outside [0, 1].

    Examples
    --------
    >>> y, p = check_arrays([[0], [1]], [[0.2], [0.7]])
    >>> y.tolist(), p.tolist()
    ([[False], [True]], [[0.2], [0.7]])
    """
    y, p = np.asarray(y), _check_probabilities(p)
    if y.shape != p.shape:
        raise EcgError(
            f"Labels have shape {y.shape} and probabilities {p.shape}; both must be "
            "(n_windows, n_classes), row by row for the same windows."
        )
    wrong = ~((y == 0) | (y == 1))
    if wrong.any():
        raise EcgError(
            f"{int(wrong.sum())} labels are neither 0 nor 1, the first is {y[wrong][0]!r}. Give "
            "multi-hot or one-hot labels."
        )
    return y == 1, p


def check_one_hot(y: ArrayLike, kind: str) -> None:
    """Refuse multi-class labels that are not one-hot.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    kind : {"multi_label", "multi_class"}
        Kind of the task; multi-label labels always pass.

    Raises
    ------
    EcgError
        If a window of a multi-class task has no class or several.

    Examples
    --------
    >>> check_one_hot([[0, 1], [1, 0]], "multi_class")
    """
    wrong = np.asarray(y).sum(axis=1) != 1
    if kind == "multi_class" and wrong.any():
        raise EcgError(
            f"{int(wrong.sum())} windows of a multi_class task do not have exactly one class, "
            f"the first is row {int(np.flatnonzero(wrong)[0])}. Give one-hot labels, or make the "
            "task multi_label."
        )


def check_predictions(y: ArrayLike, p: ArrayLike, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Validate the labels and probabilities of a task of this kind.

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
    y : bool array of shape (n_windows, n_classes)
        The labels.
    p : float64 array of shape (n_windows, n_classes)
        The probabilities.

    Raises
    ------
    EcgError
        As for `check_kind`, `check_arrays` and `check_one_hot`.

    Examples
    --------
    >>> y, p = check_predictions([[0, 1]], [[0.2, 0.8]], "multi_class")
    >>> y.dtype, p.dtype
    (dtype('bool'), dtype('float64'))
    """
    check_kind(kind)
    y, p = check_arrays(y, p)
    check_one_hot(y, kind)
    return y, p


def check_class_names(classes: Sequence[str], n_classes: int) -> None:
    """Refuse class names that do not match the columns of the arrays.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes, in the order of the columns.
    n_classes : int
        Number of columns.

    Raises
    ------
    EcgError
        If there is not one distinct name for each column.

    Examples
    --------
    >>> check_class_names(["NORM", "MI"], n_classes=2)
    """
    if len(classes) != n_classes or len(set(classes)) != len(classes):
        raise EcgError(
            f"{len(classes)} class names ({', '.join(map(str, classes))}) for {n_classes} "
            "columns; expected one distinct name for each column."
        )


def check_branch_predictions(
    y: ArrayLike, branch_p: ArrayLike, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Validate labels and the probabilities of several branches.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    branch_p : array of shape (n_windows, n_branches, n_classes)
        Probabilities of each branch.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    y : bool array of shape (n_windows, n_classes)
        The labels.
    branch_p : float64 array of shape (n_windows, n_branches, n_classes)
        The probabilities.

    Raises
    ------
    EcgError
        If `branch_p` does not have three axes, or as for `check_predictions`.

    Examples
    --------
    >>> y, branch_p = check_branch_predictions([[1]], [[[0.9], [0.6]]], "multi_label")
    >>> branch_p.shape
    (1, 2, 1)
    """
    branch_p = np.asarray(branch_p, dtype=np.float64)
    if branch_p.ndim != 3 or branch_p.shape[1] == 0:
        raise EcgError(
            f"Branch probabilities have shape {branch_p.shape}; expected "
            "(n_windows, n_branches, n_classes)."
        )
    for branch in range(branch_p.shape[1]):
        labels, _ = check_predictions(y, branch_p[:, branch], kind)
    return labels, branch_p


def _check_probabilities(p: ArrayLike) -> np.ndarray:
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or p.size == 0:
        raise EcgError(
            f"Probabilities have shape {p.shape}; expected (n_windows, n_classes) with at least "
            "one window and one class."
        )
    bad_rows = ~np.isfinite(p).all(axis=1)
    if bad_rows.any():
        raise EcgError(
            f"{int(bad_rows.sum())} of {len(p)} windows have a NaN or infinite probability, the "
            f"first is row {int(np.flatnonzero(bad_rows)[0])}. The model diverged or its input "
            "contains NaN: check the training loss and the signal of that window."
        )
    if p.min() < 0 or p.max() > 1:
        raise EcgError(
            f"Probabilities are between {p.min():.4g} and {p.max():.4g}; expected [0, 1]. Apply a "
            "sigmoid (multi_label) or a softmax (multi_class) to logits."
        )
    return p


def decide(p: ArrayLike, thresholds: ArrayLike, kind: str) -> np.ndarray:
    """Turn probabilities into decisions.

    Parameters
    ----------
    p : array of shape (n_windows, n_classes)
        Probabilities.
    thresholds : array of shape (n_classes,) or (n_windows, n_classes)
        Decision thresholds, as `fit_thresholds` returns them; one row for each window where
        windows have different ones.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    bool array of shape (n_windows, n_classes)
        Which classes are predicted.

    Raises
    ------
    EcgError
        If the probabilities, the thresholds or the kind are invalid.

    Notes
    -----
    In a multi-label task a class is predicted where ``p >= threshold``. In a multi-class task
    exactly one class is predicted, the first with the largest ``p / threshold``: the Bayes
    decision if missing class k costs ``1 / threshold[k]``, and the plain argmax if all thresholds
    are one.

    Examples
    --------
    >>> decide([[0.5, 0.2], [0.4, 0.9]], [0.5, 0.9], "multi_label").tolist()
    [[True, False], [False, True]]
    >>> decide([[0.5, 0.3, 0.2]], [1.0, 0.5, 1.0], "multi_class").tolist()
    [[False, True, False]]
    """
    check_kind(kind)
    p = _check_probabilities(p)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.shape not in ((p.shape[1],), p.shape) or not np.isfinite(thresholds).all():
        raise EcgError(
            f"Thresholds are {thresholds.tolist()}; expected {p.shape[1]} finite numbers, one for "
            "each class. Fit them with fit_thresholds on the validation split."
        )
    if kind == "multi_label":
        return p >= thresholds
    if thresholds.min() <= 0:
        raise EcgError(
            f"Thresholds are {thresholds.tolist()}; those of a multi_class task must be above "
            "zero, as probabilities are divided by them. Use ones for the plain argmax."
        )
    decisions = np.zeros(p.shape, dtype=bool)
    decisions[np.arange(len(p)), np.argmax(p / thresholds, axis=1)] = True
    return decisions


def compute_scores(
    y: ArrayLike, p: ArrayLike, thresholds: ArrayLike, kind: str, classes: Sequence[str]
) -> dict[str, Any]:
    """Score probabilities, and the decisions that the thresholds make of them.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    thresholds : array of shape (n_classes,) or (n_windows, n_classes)
        Decision thresholds, see `decide`.
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    classes : sequence of str
        Names of the classes, in the order of the columns.

    Returns
    -------
    dict
        Plain values:

        ``per_class``
            {class: {auroc, auprc, f1, precision, sensitivity, specificity, n_positive,
            n_predicted}}; AUPRC is the average precision. nan where a score does not exist.
        ``macro``
            {auroc, auprc, f1}, each the mean over the classes with positive and negative windows;
            a class that is never predicted contributes an F1 of zero.
        ``undefined``
            The classes without positive or without negative windows: no AUROC, AUPRC or F1.
        ``never_predicted``
            The classes predicted for no window: their precision is nan.

    Raises
    ------
    EcgError
        If the arrays, the thresholds, the kind or the number of classes do not fit together.

    Examples
    --------
    >>> y, p = [[0], [0], [1], [1]], [[0.1], [0.6], [0.4], [0.9]]
    >>> scores = compute_scores(y, p, [0.5], "multi_label", ["AF"])
    >>> scores["macro"]["auroc"], scores["per_class"]["AF"]["sensitivity"]
    (0.75, 0.5)
    """
    decisions = decide(p, thresholds, kind)
    y, p = check_predictions(y, p, kind)
    check_class_names(classes, n_classes=y.shape[1])
    per_class = {
        name: _score_class(y[:, k], p[:, k], decisions[:, k]) for k, name in enumerate(classes)
    }
    defined = [name for name, both in zip(classes, has_both_outcomes(y), strict=True) if both]
    macro = {
        metric: _average([per_class[name][metric] for name in defined]) for metric in MACRO_METRICS
    }
    return {
        "per_class": per_class,
        "macro": macro,
        "undefined": [name for name in classes if name not in defined],
        "never_predicted": [name for name in classes if not per_class[name]["n_predicted"]],
    }


def has_both_outcomes(y: ArrayLike) -> np.ndarray:
    """Find the classes that have positive and negative windows.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.

    Returns
    -------
    bool array of shape (n_classes,)
        Whether each class has both.

    Examples
    --------
    >>> has_both_outcomes([[0, 1, 0], [1, 1, 0]]).tolist()
    [True, False, False]
    """
    y = np.asarray(y, dtype=bool)
    n_positive = y.sum(axis=0)
    return (n_positive > 0) & (n_positive < len(y))


def _score_class(y: np.ndarray, p: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    n_positive, n_predicted = int(y.sum()), int(decided.sum())
    n_hit = int((y & decided).sum())
    n_negative = len(y) - n_positive
    defined = n_positive > 0 and n_negative > 0
    return {
        "auroc": float(roc_auc_score(y, p)) if defined else float("nan"),
        "auprc": float(average_precision_score(y, p)) if defined else float("nan"),
        "f1": 2 * n_hit / (n_positive + n_predicted) if defined else float("nan"),
        "precision": _divide(n_hit, n_predicted),
        "sensitivity": _divide(n_hit, n_positive),
        "specificity": _divide(n_negative - (n_predicted - n_hit), n_negative),
        "n_positive": n_positive,
        "n_predicted": n_predicted,
    }


def _divide(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")


def _average(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
