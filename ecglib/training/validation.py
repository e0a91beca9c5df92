"""Scores of the validation split after each epoch."""

import warnings

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from ecglib.evaluation.metrics import compute_log_loss, decide, has_both_outcomes
from ecglib.evaluation.thresholds import fit_thresholds


def score_validation(y: np.ndarray, p: np.ndarray, kind: str) -> dict[str, float]:
    """Compute the validation scores that a history holds.

    Parameters
    ----------
    y, p : array of shape (n_windows, n_classes)
        Labels, 0 or 1, and probabilities.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    dict of str to float
        ``val_loss`` (cross-entropy), ``val_auroc`` and ``val_f1`` (macro).

    Examples
    --------
    >>> y, p = np.array([[1], [0], [1], [0]]), np.array([[0.8], [0.2], [0.4], [0.1]])
    >>> scores = score_validation(y, p, "multi_label")
    >>> scores["val_auroc"], scores["val_f1"]
    (1.0, 1.0)
    """
    return {
        "val_loss": compute_log_loss(y, p, kind),
        "val_auroc": compute_macro_auroc(y, p),
        "val_f1": compute_macro_f1(y, p, kind),
    }


def compute_macro_auroc(y: np.ndarray, p: np.ndarray) -> float:
    """Compute the mean AUROC over the classes that have both outcomes.

    Parameters
    ----------
    y, p : array of shape (n_windows, n_classes)
        Labels, 0 or 1, and probabilities.

    Examples
    --------
    >>> compute_macro_auroc(np.array([[1], [0], [1]]), np.array([[0.8], [0.5], [0.4]]))
    0.5
    """
    both = has_both_outcomes(y)
    return float(roc_auc_score(y[:, both], p[:, both], average="macro"))


def compute_macro_f1(y: np.ndarray, p: np.ndarray, kind: str) -> float:
    """Compute the mean F1 over the classes that have both outcomes.

    Parameters
    ----------
    y, p : array of shape (n_windows, n_classes)
        Labels, 0 or 1, and probabilities.
    kind : {"multi_label", "multi_class"}
        Multi-label tasks get thresholds fitted on the same windows; multi-class tasks take the
        most probable class.

    Examples
    --------
    >>> y, p = np.array([[1], [0], [1]]), np.array([[0.8], [0.1], [0.4]])
    >>> compute_macro_f1(y, p, "multi_label")
    1.0
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the classes that are left out here
        thresholds = fit_thresholds(y, p, kind)
    both = np.flatnonzero(has_both_outcomes(y))
    decisions = decide(p, thresholds, kind)
    return float(f1_score(y == 1, decisions, labels=both, average="macro", zero_division=0))
