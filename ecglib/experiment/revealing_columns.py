"""Columns of numbers that give the label away: an index of a table sorted by class, a code."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecglib.datasets.selection import Selection

MIN_AUROC = 0.98
MIN_PATIENTS = 5  # with the class, and without it: of fewer, a column can separate any by chance


def find_revealing_columns(
    selection: Selection, values: np.ndarray, columns: Sequence[str]
) -> list[str]:
    """Find columns that alone predict a class nearly perfectly.

    Parameters
    ----------
    selection : Selection
        The windows of the training split.
    values : float array of shape (n_windows, n_columns)
        The values of the columns, NaN where one is missing.
    columns : sequence of str
        Names of the columns.

    Returns
    -------
    list of str
        One sentence for each such column, with the class that it predicts best and the AUROC.

    Notes
    -----
    Three scores are made of a column, and the best counts: its values, in either direction; the
    distance of their ranks from the median rank of the class, since a class may lie between others;
    and whether the value is missing. Classes with fewer than `MIN_PATIENTS` patients are left out.

    Examples
    --------
    >>> from ecglib.datasets.schema import Task
    >>> patients = np.arange(20).astype(str)
    >>> selection = Selection(
    ...     task=Task("af", "multi_label", {"AF": ["AF"]}),
    ...     classes=["AF"],
    ...     rows=np.arange(20),
    ...     y=(np.arange(20) >= 10).astype(np.float32)[:, None],
    ...     part=np.array(["train"] * 20),
    ...     patients=patients,
    ...     records=patients,
    ...     tabular=np.zeros((20, 0), np.float32),
    ... )
    >>> find_revealing_columns(selection, np.arange(20.0)[:, None], ["index"])
    ["tabular column 'index' alone predicts class 'AF' (AUROC 1.00 on the training split)"]
    """
    patients = pd.factorize(selection.patients)[0]
    classes = [
        (name, y > 0)
        for name, y in zip(selection.classes, selection.y.T, strict=True)
        if _has_patients(patients, y > 0)
    ]
    found = []
    for column, name in zip(np.asarray(values).T, columns, strict=True):
        ranks = pd.Series(column).rank().to_numpy()
        scores = {
            label: _compute_best_auroc(ranks, positive, patients) for label, positive in classes
        }
        label = max(scores, key=scores.__getitem__, default="")
        if label and scores[label] >= MIN_AUROC:
            found.append(
                f"tabular column {name!r} alone predicts class {label!r} "
                f"(AUROC {scores[label]:.2f} on the training split)"
            )
    return found


def compute_auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Compute the area under the ROC curve from the ranks of the scores (Mann and Whitney).

    Parameters
    ----------
    scores : array of shape (n_windows,)
        Higher for windows that are more likely positive; no NaN.
    positive : bool array of shape (n_windows,)
        Which windows are positive.

    Returns
    -------
    float
        In [0, 1]; NaN if all windows are positive, or none is.

    Examples
    --------
    >>> compute_auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    n_positive = int(positive.sum())
    n_pairs = n_positive * (len(positive) - n_positive)
    if not n_pairs:
        return np.nan
    ranks = pd.Series(scores).rank().to_numpy()
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def _compute_best_auroc(ranks: np.ndarray, positive: np.ndarray, patients: np.ndarray) -> float:
    """Compute the best AUROC of a column from the ranks of its values, NaN where one is missing."""
    missing = np.isnan(ranks)
    known, known_positive = ranks[~missing], positive[~missing]
    aurocs = [compute_auroc(missing.astype(float), positive)]
    if _has_patients(patients[~missing], known_positive):
        distance = np.abs(known - np.median(known[known_positive]))
        aurocs += [compute_auroc(scores, known_positive) for scores in (known, -distance)]
    return max(max(auroc, 1 - auroc) for auroc in aurocs)


def _has_patients(patients: np.ndarray, positive: np.ndarray) -> bool:
    n_patients = (len(np.unique(patients[positive])), len(np.unique(patients[~positive])))
    return min(n_patients) >= MIN_PATIENTS
