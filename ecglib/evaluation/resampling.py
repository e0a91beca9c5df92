"""Bootstrap by patient.

Windows of one patient resemble each other, so patients, not windows, are drawn with
replacement (cluster bootstrap: Field and Welsh, J. R. Stat. Soc. B 69, 2007). A resample is the
number of times each patient was drawn, used as the weight of every window of that patient: AUROC
and AUPRC are computed from cumulative weights along scores that are sorted once, which is exact,
ties included, and needs no copy of the windows.

With few patients the intervals are too narrow, as every bootstrap's are: verdicts use influence
values (`ecglib.evaluation.influence`), which these resamples check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import MACRO_METRICS, check_arrays

if TYPE_CHECKING:
    from scipy import sparse

# A few resamples side by side keep the working arrays in the cache; their cells (8 bytes each,
# about six arrays) bound the memory where there are very many windows.
RESAMPLES_AT_ONCE = 16
CELLS_AT_ONCE = 3_000_000


def draw_patient_counts(patients: ArrayLike, n_resamples: int, seed: int) -> np.ndarray:
    """Draw how often each patient is in each resample.

    As many patients are drawn as there are, with replacement. Only the set of patients and the
    seed matter, not the windows or their order: models scored on the same patients with the
    same seed get the same resamples, so their differences are paired.

    Parameters
    ----------
    patients : array of shape (n_windows,)
        Patient of each window.
    n_resamples : int
        Number of resamples, at least one.
    seed : int
        Seed of the draws.

    Returns
    -------
    int32 array of shape (n_resamples, n_patients)
        Patients in the order of ``np.unique(patients)``.

    Raises
    ------
    EcgError
        If there are fewer than two patients, or if `n_resamples` is below one.

    Examples
    --------
    >>> counts = draw_patient_counts(["a", "a", "b", "c"], n_resamples=2, seed=0)
    >>> counts.sum(axis=1).tolist()
    [3, 3]
    """
    n_patients = len(np.unique(np.asarray(patients)))
    if n_patients < 2:
        raise EcgError(
            f"{n_patients} patients cannot be resampled; expected at least two. Give the patient "
            "of each window, and score a split that has several."
        )
    if n_resamples < 1:
        raise EcgError(f"`n_resamples` is {n_resamples}; expected at least one, e.g. 1000.")
    rng = np.random.default_rng(seed)
    counts = np.empty((n_resamples, n_patients), dtype=np.int32)
    for row in counts:
        row[:] = np.bincount(rng.integers(n_patients, size=n_patients), minlength=n_patients)
    return counts


def resample_scores(
    y: ArrayLike,
    p: ArrayLike,
    decisions: ArrayLike,
    patients: ArrayLike,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Compute AUROC, AUPRC (average precision) and F1 of each class in each resample.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    decisions : array of shape (n_windows, n_classes)
        0 and 1, as `decide` returns them.
    patients : array of shape (n_windows,)
        Patient of each window.
    n_resamples : int, default 1000
        Number of resamples.
    seed : int, default 0
        Seed of the draws, see `draw_patient_counts`.

    Returns
    -------
    dict of str to float64 array of shape (n_resamples, n_classes)
        By metric ("auroc", "auprc", "f1"); nan where the class lacks positive or negative windows
        in the resample.

    Raises
    ------
    EcgError
        If the arrays do not fit together or cannot be resampled.

    Examples
    --------
    >>> y = np.array([[0], [1], [0], [1]])
    >>> p = np.array([[0.1], [0.9], [0.2], [0.8]])
    >>> scores = resample_scores(y, p, p > 0.5, ["a", "a", "b", "b"], n_resamples=3)
    >>> scores["auroc"].tolist()
    [[1.0], [1.0], [1.0]]
    """
    y, p = check_arrays(y, p)
    decisions, patients = np.asarray(decisions), np.asarray(patients)
    if decisions.shape != y.shape or not np.isin(decisions, (0, 1)).all():
        raise EcgError(
            f"Decisions have shape {decisions.shape} for labels of shape {y.shape}; expected the "
            "same shape with 0 and 1 only, as decide returns them."
        )
    if patients.shape != (len(y),):
        raise EcgError(
            f"Patients have shape {patients.shape}; expected ({len(y)},), one for each window."
        )
    drawn = draw_patient_counts(patients, n_resamples, seed)
    n_patients = drawn.shape[1]
    patient = np.unique(patients, return_inverse=True)[1]
    rankings = [_rank_windows(y[:, k], p[:, k], patient, n_patients) for k in range(y.shape[1])]
    counts = _count_outcomes(y, decisions == 1, patient, n_patients)

    result = {metric: np.full((n_resamples, y.shape[1]), np.nan) for metric in MACRO_METRICS}
    n_rows = max(n_patients, *(ranking.positives.shape[0] for ranking in rankings))
    step = max(1, min(RESAMPLES_AT_ONCE, CELLS_AT_ONCE // n_rows))
    for start in range(0, n_resamples, step):
        chunk = slice(start, start + step)
        weights = np.ascontiguousarray(drawn[chunk].T, dtype=np.float64)
        for k, ranking in enumerate(rankings):
            n_positive, n_negative, n_hit, n_predicted = counts[k] @ weights
            scored = (n_positive > 0) & (n_negative > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                auroc, auprc = _compute_areas(ranking, weights, n_positive, n_negative)
                f1 = 2 * n_hit / (n_positive + n_predicted)
            for metric, values in zip(MACRO_METRICS, (auroc, auprc, f1), strict=True):
                result[metric][chunk, k] = np.where(scored, values, np.nan)
    return result


def compute_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Compute the percentile interval of resampled values.

    Parameters
    ----------
    values : array of shape (n_resamples,)
        Resampled values; nan is ignored.
    level : float, default 0.95
        Fraction of the values inside the interval.

    Returns
    -------
    low, high : float
        Ends of the interval; nan without values.

    Raises
    ------
    EcgError
        If `level` is not between 0 and 1.

    Examples
    --------
    >>> compute_interval([0.0, 1.0, 2.0, 3.0, 4.0, np.nan], level=0.5)
    (1.0, 3.0)
    """
    if not 0 < level < 1:
        raise EcgError(f"`level` is {level}; expected between 0 and 1, e.g. 0.95 for 95 %.")
    scored = np.asarray(values, dtype=np.float64)
    scored = scored[~np.isnan(scored)]
    if not len(scored):
        return float("nan"), float("nan")
    low, high = np.quantile(scored, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class _Ranking(NamedTuple):
    """Windows of one class from the highest score to the lowest, counted by level and patient.

    A level is a distinct score that at least one positive window has; negative windows with
    scores between two levels count with the lower one, those below the last level nowhere.
    """

    positives: sparse.csr_array  # (n_levels, n_patients), positive windows of the level
    negatives: sparse.csr_array  # (n_levels, n_patients), negative windows down to the level
    tied_levels: np.ndarray  # (n_tied,), the levels whose score negative windows share
    tied_negatives: sparse.csr_array  # (n_tied, n_patients), those negative windows


def _rank_windows(y: np.ndarray, p: np.ndarray, patient: np.ndarray, n_patients: int) -> _Ranking:
    from scipy import sparse

    order = np.argsort(-p, kind="stable")
    y, p, patient = y[order], p[order], patient[order]
    distinct = np.concatenate([[0], np.cumsum(p[1:] != p[:-1])])
    is_level = np.zeros(distinct[-1] + 1, dtype=bool)
    is_level[distinct[y]] = True
    n_levels = int(is_level.sum())
    on_level = is_level[distinct]
    level = np.cumsum(is_level)[distinct] - on_level

    def count(rows: np.ndarray, levels: np.ndarray, n: int) -> sparse.csr_array:
        cells = (np.ones(len(levels)), (levels, patient[rows]))
        return sparse.csr_array(cells, shape=(n, n_patients))

    above_last = ~y & (level < n_levels)
    tied = ~y & on_level
    tied_levels, tied_row = np.unique(level[tied], return_inverse=True)
    return _Ranking(
        positives=count(y, level[y], n_levels),
        negatives=count(above_last, level[above_last], n_levels),
        tied_levels=tied_levels,
        tied_negatives=count(tied, tied_row, len(tied_levels)),
    )


def _count_outcomes(
    y: np.ndarray, decided: np.ndarray, patient: np.ndarray, n_patients: int
) -> np.ndarray:
    """Count positive, negative, hit and predicted windows: (n_classes, 4, n_patients)."""
    return np.array(
        [
            [
                np.bincount(patient, weights=column, minlength=n_patients)
                for column in (y[:, k], ~y[:, k], y[:, k] & decided[:, k], decided[:, k])
            ]
            for k in range(y.shape[1])
        ]
    )


def _compute_areas(
    ranking: _Ranking, weights: np.ndarray, n_positive: np.ndarray, n_negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute AUROC and average precision for patient weights (n_patients, n_resamples)."""
    # All counts are whole numbers in float64, hence exact.
    positives = ranking.positives @ weights
    hits = np.cumsum(positives, axis=0)
    false_alarms = ranking.negatives @ weights
    np.cumsum(false_alarms, axis=0, out=false_alarms)

    # A positive window wins against all negatives below it, and half against those tied.
    won = n_positive * n_negative - np.einsum("lr,lr->r", positives, false_alarms)
    tied = ranking.tied_negatives @ weights
    won += np.einsum("lr,lr->r", positives[ranking.tied_levels], tied) / 2
    auroc = won / (n_positive * n_negative)

    predicted = np.add(hits, false_alarms, out=false_alarms)
    precision = np.divide(hits, np.maximum(predicted, 1, out=predicted), out=hits)
    auprc = np.einsum("lr,lr->r", positives, precision) / n_positive
    return auroc, auprc
