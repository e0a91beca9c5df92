"""Columns of numbers that give the label away: an index of a table sorted by class, a code."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecglib.datasets.selection import Selection

MIN_AUROC = 0.98
MIN_PATIENTS = 5  # with the class, and without it: of fewer, a column can separate any by chance


class RevealingColumn(NamedTuple):
    """A column that alone predicts a class nearly perfectly.

    Parameters
    ----------
    column : str
        Name of the column.
    class_name : str
        The class that it predicts best.
    auroc : float
        How well, on the training split.

    Examples
    --------
    >>> RevealingColumn("index", "AF", 1.0).caveat
    "tabular column 'index' alone predicts class 'AF' nearly perfectly"
    """

    column: str
    class_name: str
    auroc: float

    @property
    def caveat(self) -> str:
        """What is shown with every number; the same in all folds of a cross-validation."""
        return (
            f"tabular column {self.column!r} alone predicts class {self.class_name!r} nearly "
            f"perfectly"
        )


def find_revealing_columns(
    selection: Selection, values: np.ndarray, columns: Sequence[str]
) -> list[RevealingColumn]:
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
    list of RevealingColumn
        One for each such column.

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
    [RevealingColumn(column='index', class_name='AF', auroc=1.0)]
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
            found.append(RevealingColumn(name, label, scores[label]))
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
