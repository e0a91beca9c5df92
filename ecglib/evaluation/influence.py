"""How much each patient changes a score: the influence values that variances are computed from.

The influence of a patient is the derivative of the score with respect to the weight of the
patient's windows. The sum of the squared influences estimates the variance of the score over
samples of patients (infinitesimal jackknife), for AUROC the same as the sum of DeLong's placements
by patient (DeLong et al., Biometrics 44, 1988; Obuchowski, Biometrics 53, 1997).

In a cross-validation only windows of one fold are ranked against each other, because the models
of different folds need not give comparable probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ecglib.errors import EcgError
from ecglib.evaluation.decision_metrics import DECISION_METRICS
from ecglib.evaluation.metrics import METRICS, has_both_outcomes

COMPLEX_STEP = 1e-30


@dataclass(frozen=True, eq=False, kw_only=True)
class Windows:
    """The labels of a split, as all models that are compared on it share them.

    Parameters
    ----------
    y : bool array of shape (n_windows, n_classes)
        Labels.
    patient : int array of shape (n_windows,)
        Index of each window's patient, from 0 to n_patients - 1.
    fold : int array of shape (n_windows,), optional
        Fold of each window in a cross-validation; by default one fold.

    Examples
    --------
    >>> windows = Windows(y=np.array([[True], [False]]), patient=np.array([0, 1]))
    >>> windows.n_patients, windows.sum_by_patient(np.array([[2.0, 3.0]])).tolist()
    (2, [[2.0, 3.0]])
    """

    y: np.ndarray
    patient: np.ndarray
    fold: np.ndarray | None = None

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return int(self.patient.max()) + 1

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.y.shape[1]

    @property
    def scored(self) -> np.ndarray:
        """Which classes have positive and negative windows, in one fold at least: (n_classes,)."""
        return np.any([has_both_outcomes(self.y[rows]) for rows in self.folds], axis=0)

    @cached_property
    def folds(self) -> list[np.ndarray | slice]:
        """The windows of each fold, as an index."""
        if self.fold is None:
            return [slice(None)]
        return [np.flatnonzero(self.fold == fold) for fold in np.unique(self.fold)]

    def sum_by_patient(self, values: np.ndarray) -> np.ndarray:
        """Sum values over the windows of each patient.

        Parameters
        ----------
        values : array of shape (n_models, n_windows)
            One value for each model and window.

        Returns
        -------
        array of shape (n_models, n_patients)
            The sums.
        """
        return (self._indicator @ values.T).T

    @cached_property
    def _indicator(self) -> sparse.csr_array:
        """1 where a window is a patient's: (n_patients, n_windows)."""
        n_windows = len(self.patient)
        cells = (np.ones(n_windows), (self.patient, np.arange(n_windows)))
        return sparse.csr_array(cells, shape=(self.n_patients, n_windows))


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurement:
    """One metric of several models (or seeds of a model) on the same windows.

    Parameters
    ----------
    scores : array of shape (n_models, n_classes)
        The score of each class; nan where it does not exist.
    influence : array of shape (n_models, n_patients, n_classes)
        Derivative of each score with respect to the weight of each patient; zero where the score
        does not exist. The influences of all patients on one score sum to zero.

    Examples
    --------
    >>> measurement = Measurement(
    ...     scores=np.array([[0.9, 0.7, np.nan]]),
    ...     influence=np.array([[[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]]]),
    ... )
    >>> measurement.macro_scores.round(3).tolist(), measurement.macro_influence.tolist()
    ([0.8], [[0.05, -0.05]])
    """

    scores: np.ndarray
    influence: np.ndarray

    @cached_property
    def macro_scores(self) -> np.ndarray:
        """Mean over the classes that have a score: (n_models,)."""
        return self.scores[:, self._has_score].mean(axis=1)

    @cached_property
    def macro_influence(self) -> np.ndarray:
        """Influence of each patient on the macro score: (n_models, n_patients)."""
        return self.influence[:, :, self._has_score].mean(axis=2)

    @cached_property
    def _has_score(self) -> np.ndarray:
        return ~np.isnan(self.scores).any(axis=0)

    def select_class(self, k: int) -> Measurement:
        """Return the measurement of one class.

        Parameters
        ----------
        k : int
            Column of the class.

        Returns
        -------
        Measurement
            With one class.
        """
        return Measurement(scores=self.scores[:, [k]], influence=self.influence[:, :, [k]])


def measure(windows: Windows, p: np.ndarray, decisions: np.ndarray, metric: str) -> Measurement:
    """Compute a metric of several models, and the influence of each patient on it.

    Parameters
    ----------
    windows : Windows
        Labels and patients of the split.
    p : array of shape (n_models, n_windows, n_classes)
        Probabilities.
    decisions : bool array of shape (n_models, n_windows, n_classes)
        Which classes are predicted.
    metric : str
        A name in `ecglib.evaluation.metrics.METRICS`.

    Returns
    -------
    Measurement
        Scores and influences.

    Raises
    ------
    EcgError
        If the shapes do not fit together.

    Examples
    --------
    >>> windows = Windows(y=np.array([[0], [0], [1], [1]]) == 1, patient=np.arange(4))
    >>> p = np.array([[[0.1], [0.6], [0.4], [0.9]]])
    >>> found = measure(windows, p, p >= 0.5, "auroc")
    >>> found.scores.tolist(), found.influence[0, :, 0].tolist()
    ([[0.75]], [0.125, -0.125, -0.125, 0.125])
    """
    if p.shape != decisions.shape or p.shape[1:] != windows.y.shape:
        raise EcgError(
            f"Probabilities have shape {p.shape}, decisions {decisions.shape} and labels "
            f"{windows.y.shape}; expected (n_models, n_windows, n_classes) twice, and "
            "(n_windows, n_classes)."
        )
    family = METRICS[metric].family
    shape = (len(p), windows.n_patients, windows.n_classes)
    scores, influence = np.full((shape[0], shape[2]), np.nan), np.zeros(shape)
    for k in np.flatnonzero(windows.scored).tolist():
        if family == "decision":
            result = _measure_decisions(windows, k, decisions[:, :, k], metric)
        else:
            result = _RATIOS[metric](windows, k, p[:, :, k]).measure()
        scores[:, k], influence[:, :, k] = result
    return Measurement(scores=scores, influence=influence)


class _Ratio(NamedTuple):
    """A score that is a sum over windows, or pairs of them, over another one."""

    numerator: np.ndarray  # (n_models,)
    denominator: float
    numerator_change: np.ndarray  # (n_models, n_patients), derivative by the patient's weight
    denominator_change: np.ndarray  # (n_patients,)

    def measure(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the score (n_models,) and its influences (n_models, n_patients)."""
        score = self.numerator / self.denominator
        change = self.numerator_change - score[:, None] * self.denominator_change
        return score, change / self.denominator


class _Ranked(NamedTuple):
    """The windows of a fold from the highest probability to the lowest, for each model."""

    order: np.ndarray  # (n_models, n_windows)
    first: np.ndarray  # (n_models, n_windows), position of the first window that is tied with it
    last: np.ndarray  # (n_models, n_windows), position of the last window that is tied with it
    has_ties: bool


def _rank(p: np.ndarray) -> _Ranked:
    order = np.argsort(-p, axis=1)
    ranked = np.take_along_axis(p, order, axis=1)
    n_models, n_windows = p.shape
    position = np.broadcast_to(np.arange(n_windows, dtype=np.int32), p.shape)
    is_new = np.ones((n_models, n_windows + 1), dtype=bool)
    is_new[:, 1:-1] = ranked[:, 1:] != ranked[:, :-1]
    if is_new.all():
        return _Ranked(order, position, position, has_ties=False)
    first = np.maximum.accumulate(np.where(is_new[:, :-1], position, 0), axis=1)
    ends = np.where(is_new[:, 1:], position, n_windows)
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return _Ranked(order, first, last, has_ties=True)


def _accumulate(values: np.ndarray) -> np.ndarray:
    """Return cumulative sums with a leading zero: (n_models, n_windows + 1)."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _look_up(sums: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return np.take_along_axis(sums, positions, axis=1)


def _sum_ranked(values: np.ndarray, ranked: _Ranked, patient: np.ndarray, n: int) -> np.ndarray:
    """Sum values of ranked windows over the windows of each of n patients: (n_models, n)."""
    cells = patient[ranked.order] + n * np.arange(len(values))[:, None]
    sums = np.bincount(cells.ravel(), weights=values.ravel(), minlength=n * len(values))
    return sums.reshape(len(values), n)


def _measure_auroc(windows: Windows, k: int, p: np.ndarray) -> _Ratio:
    y, changes = windows.y[:, k], np.zeros((len(p), windows.n_patients))
    opposite, n_pairs = np.zeros(len(y)), 0
    for rows in windows.folds:
        positive = y[rows]
        n_positive = int(positive.sum())
        n_negative = len(positive) - n_positive
        ranked = _rank(p[:, rows])
        is_positive = positive[ranked.order]
        if ranked.has_ties:
            # Half of the windows that are tied with a window count as above it.
            windows_above = (ranked.first + ranked.last) / 2
            sums = _accumulate(is_positive)
            positives_above = _look_up(sums, ranked.first) + _look_up(sums, ranked.last + 1)
            positives_above = (positives_above - is_positive) / 2
        else:
            windows_above = ranked.first
            positives_above = np.cumsum(is_positive, axis=1, dtype=np.int32) - is_positive
        negatives_above = windows_above - positives_above
        change = np.where(is_positive, n_negative - negatives_above, positives_above)
        changes += _sum_ranked(change, ranked, windows.patient[rows], windows.n_patients)
        n_pairs += n_positive * n_negative
        opposite[rows] = np.where(positive, n_negative, n_positive)
    # Each pair that is won counts for its positive and for its negative window.
    won = changes.sum(axis=1) / 2
    return _Ratio(won, n_pairs, changes, windows.sum_by_patient(opposite[None])[0])


def _measure_auprc(windows: Windows, k: int, p: np.ndarray) -> _Ratio:
    y, precision_sum = windows.y[:, k], np.zeros(len(p))
    changes = np.zeros((len(p), windows.n_patients))
    for rows in windows.folds:
        ranked = _rank(p[:, rows])
        is_positive = y[rows][ranked.order]
        n_accepted = ranked.last + 1
        precision = _look_up(_accumulate(is_positive), n_accepted) / n_accepted
        precision_sum += (precision * is_positive).sum(axis=1)
        # A window more changes the precision at every positive window that is not above it.
        hit = _accumulate(is_positive * (1 - precision) / n_accepted)
        false_alarm = _accumulate(is_positive * precision / n_accepted)
        gain = hit[:, -1:] - _look_up(hit, ranked.first)
        loss = false_alarm[:, -1:] - _look_up(false_alarm, ranked.first)
        change = np.where(is_positive, precision + gain, -loss)
        changes += _sum_ranked(change, ranked, windows.patient[rows], windows.n_patients)
    n_positive = windows.sum_by_patient(y[None].astype(float))[0]
    return _Ratio(precision_sum, y.sum(), changes, n_positive)


def _measure_brier(windows: Windows, k: int, p: np.ndarray) -> _Ratio:
    error = windows.sum_by_patient((p.astype(np.float64) - windows.y[:, k]) ** 2)
    n_windows = windows.sum_by_patient(np.ones((1, p.shape[1])))[0]
    return _Ratio(error.sum(axis=1), p.shape[1], error, n_windows)


_RATIOS = {"auroc": _measure_auroc, "auprc": _measure_auprc, "brier": _measure_brier}

# What models can be compared by: the metrics that are a mean over classes.
MEASURED_METRICS = (*_RATIOS, *(name for name in DECISION_METRICS if name != "accuracy"))


def _measure_decisions(
    windows: Windows, k: int, decisions: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score (n_models,) and its influences (n_models, n_patients)."""
    y, compute = windows.y[:, k], DECISION_METRICS[metric]
    outcomes = (y & decisions, ~y & decisions, y & ~decisions, ~y & ~decisions)
    counts = [windows.sum_by_patient(outcome.astype(float)) for outcome in outcomes]
    totals = [count.sum(axis=1) for count in counts]
    influence = np.zeros(counts[0].shape)
    for i, count in enumerate(counts):
        # The derivative by a complex step is exact (Squire and Trapp, SIAM Review 40, 1998).
        stepped = [total + 1j * COMPLEX_STEP * (j == i) for j, total in enumerate(totals)]
        slope = compute(*stepped).imag / COMPLEX_STEP
        influence += np.nan_to_num(slope)[:, None] * count
    return compute(*totals), influence
