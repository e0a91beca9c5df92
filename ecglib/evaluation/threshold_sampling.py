"""How much a score varies because its thresholds were fitted on a sample of validation patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.decision_metrics import DECISION_METRICS
from ecglib.evaluation.predictions import Predictions

N_DRAWS = 50
# Variance of a score at thresholds fitted on all validation patients, over that on half of them. A
# threshold that maximizes F1 converges with the cube root of the number of patients (Kim and
# Pollard, Ann. Stat. 18, 1990), the score at it with the power 2/3, and its variance with 4/3.
VARIANCE_PER_HALF = 2 ** (-4 / 3)
N_HALVINGS = 4


def draw_scores_over_thresholds(
    models: Mapping[str, Sequence[Contestant]], metric: str
) -> dict[str, np.ndarray]:
    """Score multi-label models with thresholds fitted on halves of the validation patients.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds. All are scored on the same windows.
    metric : str
        A name in `ecglib.evaluation.decision_metrics.DECISION_METRICS`.

    Returns
    -------
    dict of str to array of shape (n_halvings, 2, n_draws, n_classes)
        Scores of each model on both halves of the test patients, for several random halvings,
        averaged over seeds. Draws 2i and 2i + 1 are fitted on the two halves of one division of
        the validation patients. Draws and halves depend on the patients alone, so they are paired
        between models.

    Notes
    -----
    Subsampling (Politis, Romano and Wolf, Subsampling, 1999): thresholds are fitted on random
    halves of the validation patients. The bootstrap is not consistent for a threshold that
    maximizes a score; its intervals were wider. The two halves of one division share no patient,
    so their scores differ as those of two independent samples do. In a cross-validation each fold
    has its validation patients, which are divided independently of those of the other folds.

    Scored on all test patients, the draws would vary too much: besides the true score at each
    threshold they follow the chance of these test patients, which the variance over test patients
    contains already. Two halves of the test patients share the true score, but not that chance, so
    the covariance of their scores is what sampling the validation patients adds
    (`compute_threshold_variance`).

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
    >>> draw_scores_over_thresholds({"time:cnn": [contestant]}, "f1")["time:cnn"].shape
    (4, 2, 50, 1)
    """
    first = next(iter(models.values()))[0]
    drawn = [
        draw_half_samples(first.validation.patients[rows], N_DRAWS, fold)
        for fold, (_, rows) in enumerate(_list_folds(first.predictions, first.validation))
    ]
    halves = np.array(draw_halves(first.predictions.patients))
    return {
        name: np.mean([_draw_scores(one, metric, drawn, halves) for one in seeds], axis=0)
        for name, seeds in models.items()
    }


def compute_threshold_variance(draws: np.ndarray) -> float:
    """Compute the variance of a macro score, or of a difference, over the sampled thresholds.

    Parameters
    ----------
    draws : array of shape (n_halvings, 2, n_draws)
        Macro scores on both halves of the test patients, or their differences between models.

    Returns
    -------
    float
        Mean covariance of the halves between the draws of a division, at least zero, times
        `VARIANCE_PER_HALF`.

    Examples
    --------
    >>> half = np.array([0.1, 0.3])
    >>> round(compute_threshold_variance(np.array([[half, half]])), 6)
    0.007937
    """
    apart = draws[:, :, 0::2] - draws[:, :, 1::2]
    covariance = float((apart[:, 0] * apart[:, 1]).mean()) / 2
    return VARIANCE_PER_HALF * max(0.0, covariance)


def draw_half_samples(patients: np.ndarray, n_draws: int, seed: int) -> np.ndarray:
    """Divide the patients into random halves, several times.

    Parameters
    ----------
    patients : array of shape (n_windows,)
        Patient of each window.
    n_draws : int
        Number of halves; even.
    seed : int
        Seed of the draws.

    Returns
    -------
    bool array of shape (n_draws, n_windows)
        Whether the patient of each window is drawn. Rows 2i and 2i + 1 are the two halves of one
        division.

    Examples
    --------
    >>> drawn = draw_half_samples(np.array(["a", "a", "b", "c", "d"]), n_draws=4, seed=0)
    >>> drawn.shape, bool((drawn[0::2] != drawn[1::2]).all())
    ((4, 5), True)
    """
    names, index = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n_draws, len(names)), dtype=bool)
    for first, second in zip(drawn[0::2], drawn[1::2], strict=True):
        first[rng.permutation(len(names))[: (len(names) + 1) // 2]] = True
        second[:] = ~first
    return drawn[:, index]


def draw_halves(patients: np.ndarray) -> list[np.ndarray]:
    """Draw random halves of the patients, several times.

    Parameters
    ----------
    patients : array of shape (n_windows,)
        Patient of each window.

    Returns
    -------
    list of int array of shape (n_windows,)
        For each halving the half of each window, 0 or 1. They depend on the set of patients alone.

    Examples
    --------
    >>> halves = draw_halves(np.array(["a", "a", "b"]))
    >>> len(halves), bool(halves[0][0] == halves[0][1] != halves[0][2])
    (4, True)
    """
    names, index = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(0)
    return [(rng.permutation(len(names)) % 2)[index] for _ in range(N_HALVINGS)]


def _draw_scores(
    contestant: Contestant, metric: str, drawn: Sequence[np.ndarray], halves: np.ndarray
) -> np.ndarray:
    test, validation = contestant.predictions, contestant.validation
    counts = np.zeros((4, N_HALVINGS, 2, N_DRAWS, len(test.classes)))
    fitted = np.atleast_2d(contestant.thresholds)
    for fold, (test_rows, rows) in enumerate(_list_folds(test, validation)):
        for k in range(len(test.classes)):
            y, p = validation.y[rows, k] == 1, validation.p[rows, k].astype(np.float64)
            thresholds = _fit_thresholds(y, p, drawn[fold], fitted[fold, k])
            labels, scores = test.y[test_rows, k] == 1, test.p[test_rows, k].astype(np.float64)
            counts[..., k] += _count(labels, scores, halves[:, test_rows], thresholds)
    tp, fp, fn, tn = counts
    return np.nan_to_num(DECISION_METRICS[metric](tp, fp, fn, tn))


def _list_folds(test: Predictions, validation: Predictions) -> list[tuple[np.ndarray, np.ndarray]]:
    """List the rows of the test and of the validation windows of each fold."""
    if test.folds is None or validation.folds is None:
        return [(np.arange(test.n_windows), np.arange(validation.n_windows))]
    return [
        (np.flatnonzero(test.folds == fold), np.flatnonzero(validation.folds == fold))
        for fold in np.unique(test.folds)
    ]


def _fit_thresholds(y: np.ndarray, p: np.ndarray, drawn: np.ndarray, default: float) -> np.ndarray:
    """Return the threshold with the largest F1 for each draw: (n_draws,).

    As `ecglib.evaluation.thresholds.fit_thresholds` on the windows that are drawn.
    """
    order = np.argsort(-p, kind="stable")
    y, p, drawn = y[order], p[order], drawn[:, order]
    hits = np.cumsum(drawn & y, axis=1, dtype=np.int32)
    n_positives = hits[:, -1:]
    f1 = hits / np.maximum(np.cumsum(drawn, axis=1, dtype=np.int32) + n_positives, 1)
    cuts = np.flatnonzero(np.append(p[1:] != p[:-1], True))
    best = cuts[np.argmax(f1[:, cuts], axis=1)]
    thresholds, below = np.full(len(drawn), default), np.append(p, 0.0)
    for i in np.flatnonzero(n_positives):
        # The threshold lies halfway to the next window that is drawn.
        refused = drawn[i, best[i] + 1 :]
        n_between = refused.argmax() if refused.any() else len(refused)
        thresholds[i] = (p[best[i]] + below[best[i] + 1 + n_between]) / 2
    return thresholds


def _count(y: np.ndarray, p: np.ndarray, halves: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Count true and false positives and negatives: (4, n_halvings, 2, n_draws)."""
    order = np.argsort(p)
    y, p, halves = y[order], p[order], halves[:, order]
    counts = np.zeros((4, len(halves), 2, len(thresholds)))
    for i, is_second in enumerate(halves):
        for half in (0, 1):
            positives, negatives = p[y & (is_second == half)], p[~y & (is_second == half)]
            fn = np.searchsorted(positives, thresholds)
            tn = np.searchsorted(negatives, thresholds)
            counts[:, i, half] = len(positives) - fn, len(negatives) - tn, fn, tn
    return counts
