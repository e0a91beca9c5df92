"""Decisions and scores of one set of predictions.

Nothing is scored silently: a class without positive or without negative windows has no AUROC,
so it is ``nan``, is listed as undefined and is left out of the macro mean; a class that is never
predicted has no precision, so it is ``nan`` and is listed as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import EcgError

MACRO_METRICS = ("auroc", "auprc", "f1")


def check_kind(kind: str) -> None:
    """Raise EcgError unless `kind` is "multi_label" or "multi_class"."""
    if kind not in TASK_KINDS:
        raise EcgError(f"Unknown kind of task {kind!r}; expected one of {', '.join(TASK_KINDS)}.")


def check_arrays(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as bool and probabilities as float64, both (n_windows, n_classes).

    Raises
    ------
    EcgError
        If the shapes differ or are not two-dimensional, if there is no window, if a label is
        neither 0 nor 1, or if a probability is NaN or lies outside [0, 1].
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
            f"Labels must be 0 or 1, but {int(wrong.sum())} are not, the first is "
            f"{y[wrong][0]!r}. Give multi-hot or one-hot labels."
        )
    return y == 1, p


def check_one_hot(y: np.ndarray, kind: str) -> None:
    """Raise EcgError if a multi-class task has windows with no class or with several."""
    wrong = np.asarray(y).sum(axis=1) != 1
    if kind == "multi_class" and wrong.any():
        raise EcgError(
            f"{int(wrong.sum())} windows of a multi_class task do not have exactly one class, "
            f"the first is row {int(np.flatnonzero(wrong)[0])}. Give one-hot labels, or make the "
            "task multi_label."
        )


def check_predictions(y: np.ndarray, p: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of a task, as `check_arrays` gives them; both must fit its kind."""
    check_kind(kind)
    y, p = check_arrays(y, p)
    check_one_hot(y, kind)
    return y, p


def check_class_names(classes: Sequence[str], n_classes: int) -> None:
    """Raise EcgError unless there is one distinct name for each column."""
    if len(classes) != n_classes or len(set(classes)) != len(classes):
        raise EcgError(
            f"{len(classes)} class names ({', '.join(map(str, classes))}) for {n_classes} "
            "columns; expected one distinct name for each column."
        )


def check_branches(y: np.ndarray, branch_p: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """As `check_predictions`, of the probabilities of several branches.

    Parameters
    ----------
    y : array (n_windows, n_classes) of 0 and 1.
    branch_p : array (n_windows, n_branches, n_classes), probabilities.
    kind : "multi_label" or "multi_class".
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


def _check_probabilities(p: np.ndarray) -> np.ndarray:
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
            "held NaN: look at the training loss and at the signal of that window."
        )
    if p.min() < 0 or p.max() > 1:
        raise EcgError(
            f"Probabilities lie between {p.min():.4g} and {p.max():.4g}; expected [0, 1]. "
            "Logits must go through a sigmoid (multi_label) or a softmax (multi_class)."
        )
    return p


def decide(p: np.ndarray, thresholds: Sequence[float], kind: str) -> np.ndarray:
    """Turn probabilities into decisions.

    ``multi_label``: a class is predicted where ``p >= threshold``. ``multi_class``: exactly one
    class is predicted, the first with the largest ``p / threshold``: the Bayes decision when
    missing class k costs ``1 / threshold[k]``, and the plain argmax where all thresholds are one.

    Parameters
    ----------
    p : array (n_windows, n_classes), probabilities.
    thresholds : (n_classes,), as `fit_thresholds` returns them, or (n_windows, n_classes) where
        windows have their own.
    kind : "multi_label" or "multi_class".

    Returns
    -------
    bool array (n_windows, n_classes)

    Raises
    ------
    EcgError
        If the probabilities, the thresholds or the kind cannot be used.
    """
    check_kind(kind)
    p = _check_probabilities(p)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.shape not in ((p.shape[1],), p.shape) or not np.isfinite(thresholds).all():
        raise EcgError(
            f"Thresholds are {thresholds.tolist()}; expected {p.shape[1]} finite numbers, one a "
            "class. Fit them with fit_thresholds on the validation part."
        )
    if kind == "multi_label":
        return p >= thresholds
    if thresholds.min() <= 0:
        raise EcgError(
            f"Thresholds are {thresholds.tolist()}; a multi_class task divides by them, so they "
            "must be above zero. All ones give the plain argmax."
        )
    decisions = np.zeros(p.shape, dtype=bool)
    decisions[np.arange(len(p)), np.argmax(p / thresholds, axis=1)] = True
    return decisions


def scores(
    y: np.ndarray,
    p: np.ndarray,
    thresholds: Sequence[float],
    kind: str,
    classes: Sequence[str],
) -> dict:
    """Score probabilities, and the decisions that `thresholds` make of them.

    Parameters
    ----------
    y : array (n_windows, n_classes) of 0 and 1.
    p : array (n_windows, n_classes), probabilities.
    thresholds : (n_classes,), see `decide`.
    kind : "multi_label" or "multi_class".
    classes : the names of the classes, in the order of the columns.

    Returns
    -------
    dict of plain values:

    ``per_class``
        {class: {auroc, auprc, f1, precision, sensitivity, specificity, n_positive,
        n_predicted}}; AUPRC is the average precision. nan where a score does not exist.
    ``macro``
        {auroc, auprc, f1}, each the mean over the classes with positive and negative windows;
        a class that is never predicted counts there with its F1 of zero.
    ``undefined``
        the classes without positive or without negative windows: no AUROC, AUPRC or F1.
    ``never_predicted``
        the classes that no window was given: their precision is nan.

    Raises
    ------
    EcgError
        If the arrays, the thresholds, the kind or the number of classes do not fit.
    """
    decisions = decide(p, thresholds, kind)
    y, p = check_predictions(y, p, kind)
    check_class_names(classes, n_classes=y.shape[1])
    per_class = {
        name: _class_scores(y[:, k], p[:, k], decisions[:, k]) for k, name in enumerate(classes)
    }
    defined = [name for name, both in zip(classes, has_both_outcomes(y), strict=True) if both]
    macro = {
        metric: _mean([per_class[name][metric] for name in defined]) for metric in MACRO_METRICS
    }
    return {
        "per_class": per_class,
        "macro": macro,
        "undefined": [name for name in classes if name not in defined],
        "never_predicted": [name for name in classes if not per_class[name]["n_predicted"]],
    }


def has_both_outcomes(y: np.ndarray) -> np.ndarray:
    """Which classes have positive and negative windows: bool (n_classes,)."""
    n_positive = np.asarray(y, dtype=bool).sum(axis=0)
    return (n_positive > 0) & (n_positive < len(y))


def _class_scores(y: np.ndarray, p: np.ndarray, decided: np.ndarray) -> dict:
    from sklearn.metrics import average_precision_score, roc_auc_score

    n_positive, n_predicted = int(y.sum()), int(decided.sum())
    n_hit = int((y & decided).sum())
    n_negative = len(y) - n_positive
    defined = n_positive > 0 and n_negative > 0
    return {
        "auroc": float(roc_auc_score(y, p)) if defined else float("nan"),
        "auprc": float(average_precision_score(y, p)) if defined else float("nan"),
        "f1": 2 * n_hit / (n_positive + n_predicted) if defined else float("nan"),
        "precision": _share(n_hit, n_predicted),
        "sensitivity": _share(n_hit, n_positive),
        "specificity": _share(n_negative - (n_predicted - n_hit), n_negative),
        "n_positive": n_positive,
        "n_predicted": n_predicted,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
