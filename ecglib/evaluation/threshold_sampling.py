"""How much a score varies because its thresholds were fitted on a sample of validation patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.decision_metrics import DECISION_METRICS
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.resampling import draw_patient_counts

N_DRAWS = 100
DRAWS_AT_ONCE = 20


def draw_scores_over_thresholds(seeds: Sequence[Contestant], metric: str) -> np.ndarray:
    """Score a multi-label model with thresholds fitted on resampled validation patients.

    Parameters
    ----------
    seeds : sequence of Contestant
        The seeds of one model.
    metric : str
        A name in `ecglib.evaluation.decision_metrics.DECISION_METRICS`.

    Returns
    -------
    array of shape (n_draws, n_classes)
        Scores on the test split, averaged over seeds. The draws depend on the validation patients
        alone, so they are paired between models.

    Notes
    -----
    A bootstrap over validation patients. In a cross-validation each fold has its validation
    patients, which are drawn independently of those of the other folds.

    Examples
    --------
    >>> y = np.array([[0], [0], [1], [1]] * 5)
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.arange(20),
    ...     records=np.array([f"r{i}" for i in range(20)]),
    ...     patients=np.array([f"p{i}" for i in range(20)]),
    ...     y=y,
    ...     p=np.linspace(0, 0.5, 20)[:, None] + 0.4 * y,
    ... )
    >>> contestant = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=predictions,
    ...     thresholds=np.array([0.5]),
    ...     validation=predictions,
    ...     parameters=1000,
    ... )
    >>> draw_scores_over_thresholds([contestant], "f1").shape
    (100, 1)
    """
    return np.mean([_draw_scores(one, metric) for one in seeds], axis=0)


def _draw_scores(contestant: Contestant, metric: str) -> np.ndarray:
    test, validation = contestant.predictions, contestant.validation
    n_classes = len(test.classes)
    counts = np.zeros((4, N_DRAWS, n_classes))
    fitted = np.atleast_2d(contestant.thresholds)
    for fold, (test_rows, rows) in enumerate(_list_folds(test, validation)):
        patients = validation.patients[rows]
        weights = draw_patient_counts(patients, N_DRAWS, fold)
        weights = weights[:, np.unique(patients, return_inverse=True)[1]]
        for k in range(n_classes):
            y, p = validation.y[rows, k] == 1, validation.p[rows, k].astype(np.float64)
            thresholds = _fit_thresholds(y, p, weights, fitted[fold, k])
            counts[:, :, k] += _count(
                test.y[test_rows, k] == 1, test.p[test_rows, k].astype(np.float64), thresholds
            )
    tp, fp, fn, tn = counts
    return DECISION_METRICS[metric](tp, fp, fn, tn)


def _list_folds(test: Predictions, validation: Predictions) -> list[tuple[np.ndarray, np.ndarray]]:
    """List the rows of the test and of the validation windows of each fold."""
    if test.folds is None or validation.folds is None:
        return [(np.arange(test.n_windows), np.arange(validation.n_windows))]
    return [
        (np.flatnonzero(test.folds == fold), np.flatnonzero(validation.folds == fold))
        for fold in np.unique(test.folds)
    ]


def _fit_thresholds(
    y: np.ndarray, p: np.ndarray, weights: np.ndarray, default: float
) -> np.ndarray:
    """Return the threshold with the largest weighted F1 for each draw: (n_draws,).

    As `ecglib.evaluation.thresholds.fit_thresholds` on windows repeated as often as they are drawn.
    """
    order = np.argsort(-p, kind="stable")
    y, p = y[order], p[order]
    is_cut = np.append(p[1:] != p[:-1], True)
    position, below = np.arange(len(p)), np.append(p, 0.0)
    thresholds = np.empty(len(weights))
    for start in range(0, len(weights), DRAWS_AT_ONCE):
        chunk = slice(start, start + DRAWS_AT_ONCE)
        drawn = weights[chunk, order].astype(np.float64)
        hits = np.cumsum(drawn * y, axis=1)
        f1 = 2 * hits / np.maximum(np.cumsum(drawn, axis=1) + hits[:, -1:], 1)
        best = np.argmax(np.where(is_cut, f1, -1.0), axis=1)
        # The threshold lies halfway to the next window that is drawn.
        refused = (drawn > 0) & (position > best[:, None])
        following = np.where(refused.any(axis=1), refused.argmax(axis=1), len(p))
        middle = (p[best] + below[following]) / 2
        thresholds[chunk] = np.where(hits[:, -1] > 0, middle, default)
    return thresholds


def _count(y: np.ndarray, p: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Count true and false positives and negatives for each threshold: (4, n_draws)."""
    positives, negatives = np.sort(p[y]), np.sort(p[~y])
    fn = np.searchsorted(positives, thresholds)
    tn = np.searchsorted(negatives, thresholds)
    return np.array([len(positives) - fn, len(negatives) - tn, fn, tn], dtype=float)
