"""Decisions and scores of one set of predictions.

Nothing that cannot be scored is hidden: a class without positive or without negative windows has
no AUROC, so its value is ``nan``, the class is listed as undefined and excluded from every macro
mean. Classes that are never predicted are listed too. The rule for undefined cases is stated in
`ecglib.evaluation.decision_metrics`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import EcgError
from ecglib.evaluation.decision_metrics import DECISION_METRICS, count_outcomes

# Smallest distance of a probability from 0 and 1 in the log loss.
LOG_LOSS_CLIP = 1e-7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A score that models are compared by.

    Parameters
    ----------
    name : str
        Key in ``compute_scores(...)["macro"]``.
    title : str
        Name in text and figures.
    greater_is_better : bool
        Whether the better model has the greater value.
    family : {"ranking", "decision", "probability"}
        What it is computed from: the order of the probabilities, the decisions made with
        thresholds, or the probabilities themselves.
    minimum : float, default 0.0
        The smallest possible value.

    Examples
    --------
    >>> METRICS["brier"].title, METRICS["brier"].greater_is_better
    ('Brier score', False)
    """

    name: str
    title: str
    greater_is_better: bool
    family: str
    minimum: float = 0.0


#: Every metric by name.
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(name="auroc", title="macro AUROC", greater_is_better=True, family="ranking"),
            Metric(name="auprc", title="macro AUPRC", greater_is_better=True, family="ranking"),
            Metric(name="f1", title="macro F1", greater_is_better=True, family="decision"),
            Metric(
                name="sensitivity",
                title="macro sensitivity",
                greater_is_better=True,
                family="decision",
            ),
            Metric(
                name="specificity",
                title="macro specificity",
                greater_is_better=True,
                family="decision",
            ),
            Metric(name="ppv", title="macro PPV", greater_is_better=True, family="decision"),
            Metric(name="accuracy", title="accuracy", greater_is_better=True, family="decision"),
            Metric(name="g_mean", title="macro G-mean", greater_is_better=True, family="decision"),
            Metric(
                name="mcc",
                title="macro Matthews coefficient",
                greater_is_better=True,
                family="decision",
                minimum=-1.0,
            ),
            Metric(name="f2", title="macro F2", greater_is_better=True, family="decision"),
            Metric(name="g2", title="macro G2", greater_is_better=True, family="decision"),
            Metric(
                name="brier", title="Brier score", greater_is_better=False, family="probability"
            ),
            Metric(
                name="log_loss", title="log loss", greater_is_better=False, family="probability"
            ),
        )
    }
)
#: How text and figures name the scores that models are compared by.
METRIC_NAMES: Mapping[str, str] = MappingProxyType(
    {name: metric.title for name, metric in METRICS.items()}
)
#: The scores that are shown with intervals where none is asked for.
MACRO_METRICS = ("auroc", "auprc", "f1")


class RankingScores(NamedTuple):
    """Scores of the order of the probabilities.

    Parameters
    ----------
    auroc : float64 array of shape (n_classes,)
        Areas under the ROC curves.
    auprc : float64 array of shape (n_classes,)
        Average precisions, the areas under the precision-recall curves.

    Examples
    --------
    >>> RankingScores(auroc=np.array([0.9]), auprc=np.array([0.5])).auroc
    array([0.9])
    """

    auroc: np.ndarray
    auprc: np.ndarray


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
    y, p = np.asarray(y), check_probabilities(p)
    if y.shape != p.shape:
        raise EcgError(
            f"Labels have shape {y.shape} and probabilities {p.shape}; both must be "
            "(n_windows, n_classes), row by row for the same windows."
        )
    if y.dtype == bool:
        return y, p
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
    if kind != "multi_class":
        return
    wrong = np.asarray(y).sum(axis=1) != 1
    if wrong.any():
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


def check_probabilities(p: ArrayLike) -> np.ndarray:
    """Validate probabilities.

    Parameters
    ----------
    p : array of shape (n_windows, n_classes)
        Probabilities.

    Returns
    -------
    float64 array of shape (n_windows, n_classes)
        The probabilities.

    Raises
    ------
    EcgError
        If there is no window or no class, or if a probability is NaN or outside [0, 1].

    Examples
    --------
    >>> check_probabilities([[0, 1]])
    array([[0., 1.]])
    """
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
    p = check_probabilities(p)
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
            {class: scores}, the scores of `compute_class_scores` with ``n_positive`` and
            ``n_predicted``, the windows of the class and those predicted as it.
        ``macro``
            One value for each of `METRICS`: the mean of the scores over the classes that have
            positive and negative windows; the log loss of `compute_log_loss`; and in a multi-class
            task the accuracy, the fraction of windows whose class is predicted.
        ``undefined``
            The classes without positive or without negative windows, excluded from the means.
        ``never_predicted``
            The classes predicted for no window: their F1, PPV and Matthews coefficient are 0.

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
    scores = compute_class_scores(y, p, decisions)
    scored = has_both_outcomes(y)
    macro = {name: _average(values[scored]) for name, values in scores.items()}
    macro["log_loss"] = compute_log_loss(y, p, kind)
    if kind == "multi_class":
        macro["accuracy"] = float((y & decisions).any(axis=1).mean())
    n_positive, n_predicted = y.sum(axis=0), decisions.sum(axis=0)
    per_class: dict[str, dict[str, float]] = {}
    for k, name in enumerate(classes):
        per_class[name] = {metric: float(values[k]) for metric, values in scores.items()}
        per_class[name]["n_positive"] = int(n_positive[k])
        per_class[name]["n_predicted"] = int(n_predicted[k])
    return {
        "per_class": per_class,
        "macro": macro,
        "undefined": [name for name, both in zip(classes, scored, strict=True) if not both],
        "never_predicted": [name for name, n in zip(classes, n_predicted, strict=True) if not n],
    }


def compute_class_scores(y: ArrayLike, p: ArrayLike, decisions: ArrayLike) -> dict[str, np.ndarray]:
    """Score each class against the rest.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    decisions : array of shape (n_windows, n_classes)
        Which classes are predicted, see `decide`.

    Returns
    -------
    dict of str to float64 array of shape (n_classes,)
        Ranking scores ("auroc", "auprc"), those of `DECISION_METRICS` ("f1", "sensitivity",
        "specificity", "ppv", "accuracy", "g_mean", "mcc", "f2", "g2") and "brier", the mean
        squared difference of probability and label; nan where a score does not exist. The
        multi-class score of Brier (1950) is the sum of the last over the classes.

    Raises
    ------
    EcgError
        If the arrays are invalid or do not fit together.

    Examples
    --------
    >>> scores = compute_class_scores([[0], [1]], [[0.2], [0.6]], [[False], [True]])
    >>> scores["f1"], scores["brier"].round(3)
    (array([1.]), array([0.1]))
    """
    labels, p = check_arrays(y, p)
    counts = count_outcomes(labels, decisions)
    ranking = compute_ranking_scores(labels, p)
    scores = {"auroc": ranking.auroc, "auprc": ranking.auprc}
    for name, compute in DECISION_METRICS.items():
        scores[name] = compute(counts.tp, counts.fp, counts.fn, counts.tn)
    scores["brier"] = np.mean((p - labels) ** 2, axis=0)
    return scores


def compute_ranking_scores(y: ArrayLike, p: ArrayLike) -> RankingScores:
    """Compute AUROC and AUPRC of each class.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities, or any scores of which greater ones mean the class.

    Returns
    -------
    RankingScores
        nan for a class without positive or without negative windows.

    Raises
    ------
    EcgError
        If the shapes differ.

    Notes
    -----
    AUROC is the fraction of pairs of a positive and a negative window in which the positive one
    has the greater probability, ties counting half (Mann-Whitney). AUPRC is the average precision:
    the mean, over positive windows, of the precision at their probability. All counts are whole
    numbers, so both equal scikit-learn's `roc_auc_score` and `average_precision_score` up to
    rounding.

    Examples
    --------
    >>> scores = compute_ranking_scores([[0], [0], [1], [1]], [[0.1], [0.6], [0.4], [0.9]])
    >>> scores.auroc, scores.auprc.round(3)
    (array([0.75]), array([0.833]))
    """
    labels, p = np.asarray(y, dtype=bool), np.asarray(p, dtype=np.float64)
    if labels.ndim != 2 or labels.shape != p.shape:
        raise EcgError(
            f"Labels have shape {labels.shape} and probabilities {p.shape}; both must be "
            "(n_windows, n_classes), row by row for the same windows."
        )
    n_windows = len(p)
    order = np.argsort(-p, axis=0)
    labels, p = np.take_along_axis(labels, order, axis=0), np.take_along_axis(p, order, axis=0)
    # How many windows have a probability at least as great: the end of the run of tied windows.
    n_at_least = np.full(p.shape, n_windows)
    position = np.arange(1, n_windows)[:, None]
    n_at_least[:-1] = np.where(p[1:] != p[:-1], position, n_windows)
    n_at_least = np.minimum.accumulate(n_at_least[::-1], axis=0)[::-1]
    n_hits = np.take_along_axis(np.cumsum(labels, axis=0), n_at_least - 1, axis=0)

    # Pairs that are lost or tied seen from the positive windows, and lost seen from the negative.
    n_positive = labels.sum(axis=0)
    n_pairs = n_positive * (n_windows - n_positive)
    n_lost_or_tied = np.sum(n_at_least - n_hits, axis=0, where=labels)
    n_lost = np.sum(n_positive - n_hits, axis=0, where=~labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        auroc = (2 * n_pairs - n_lost_or_tied - n_lost) / (2 * n_pairs)
        auprc = np.sum(n_hits / n_at_least, axis=0, where=labels) / n_positive
    exists = n_pairs > 0
    return RankingScores(
        auroc=np.where(exists, auroc, np.nan), auprc=np.where(exists, auprc, np.nan)
    )


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


def _average(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
