"""Metrics of decisions, each written once, as a function of the counts of a confusion table.

The functions take true positives, false positives, false negatives and true negatives of any
broadcastable shape, so that one call scores classes, models, seeds and patient resamples together.
Counts may be weighted, and may be complex: apart from the choice of undefined entries, which looks
at real parts alone, the functions are analytic, so a complex step gives exact derivatives (Squire
and Trapp 1998, "Using complex variables to estimate derivatives of real functions").

Undefined cases follow one rule, here and for AUROC and AUPRC: *the labels alone decide whether a
metric exists, the predictions never do.*

- Sensitivity needs a positive window, specificity a negative one, accuracy any window, and every
  other metric of a class both a positive and a negative window. What lacks them is nan, is listed
  as undefined, and is excluded from macro means.
- Where the predictions make a denominator zero, the metric is 0. A class that has positive windows
  but is never predicted has a PPV, F1, F2, G2 and Matthews coefficient of 0, and a class that is
  always predicted a Matthews coefficient of 0.

So all models are averaged over the same classes, and none gains by never predicting a class. These
are the values of scikit-learn with ``zero_division=np.nan`` where labels are missing, and with its
default of 0 where predictions are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ecglib.errors import EcgError

DecisionMetric: TypeAlias = Callable[[ArrayLike, ArrayLike, ArrayLike, ArrayLike], np.ndarray]


class Counts(NamedTuple):
    """Outcomes of decisions, counted over windows.

    Parameters
    ----------
    tp : int array of shape (..., n_classes)
        Windows of the class that are predicted (true positives).
    fp : int array of shape (..., n_classes)
        Windows of other classes that are predicted (false positives).
    fn : int array of shape (..., n_classes)
        Windows of the class that are not predicted (false negatives).
    tn : int array of shape (..., n_classes)
        Windows of other classes that are not predicted (true negatives).

    Examples
    --------
    >>> counts = Counts(tp=np.array([3]), fp=np.array([1]), fn=np.array([2]), tn=np.array([4]))
    >>> counts.tp + counts.fn
    array([5])
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray


def count_outcomes(y: ArrayLike, decisions: ArrayLike, weights: ArrayLike | None = None) -> Counts:
    """Count true and false positives and negatives of each class over windows.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    decisions : array of shape (..., n_windows, n_classes)
        Which classes are predicted; leading axes hold models, seeds or resamples.
    weights : array of shape (n_windows,), optional
        What each window counts; 1 by default.

    Returns
    -------
    Counts
        Each field an array of shape (..., n_classes), of int without weights.

    Raises
    ------
    EcgError
        If the shapes do not fit together.

    Examples
    --------
    >>> counts = count_outcomes([[1, 0], [1, 1], [0, 1]], [[1, 1], [0, 1], [0, 1]])
    >>> counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), counts.tn.tolist()
    ([1, 2], [0, 1], [1, 0], [1, 0])
    """
    y, decisions = np.asarray(y, dtype=bool), np.asarray(decisions, dtype=bool)
    if y.ndim != 2 or decisions.shape[-2:] != y.shape:
        raise EcgError(
            f"Labels have shape {y.shape} and decisions {decisions.shape}; expected "
            "(n_windows, n_classes) and (..., n_windows, n_classes), row by row for the same "
            "windows."
        )
    if weights is None:
        n_positive = np.count_nonzero(y, axis=-2)
        n_predicted = np.count_nonzero(decisions, axis=-2)
        tp = np.count_nonzero(y & decisions, axis=-2)
        fp, fn = n_predicted - tp, n_positive - tp
        return Counts(tp=tp, fp=fp, fn=fn, tn=len(y) - tp - fp - fn)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (len(y),):
        raise EcgError(
            f"Weights have shape {weights.shape}; expected ({len(y)},), one for each window."
        )
    # Each by itself: differences of sums would leave rounding errors where a count is zero.
    return Counts(
        tp=weights @ (y & decisions),
        fp=weights @ (~y & decisions),
        fn=weights @ (y & ~decisions),
        tn=weights @ ~(y | decisions),
    )


def compute_sensitivity(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute sensitivity, the fraction of positive windows that are predicted.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``tp / (tp + fn)``; nan without positive windows.

    Examples
    --------
    >>> compute_sensitivity(3, 1, 2, 4)
    array(0.6)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    return _divide(tp, tp + fn, exists=_is_positive(tp + fn))


def compute_specificity(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute specificity, the fraction of negative windows that are not predicted.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``tn / (tn + fp)``; nan without negative windows.

    Examples
    --------
    >>> compute_specificity(3, 1, 2, 4)
    array(0.8)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    return _divide(tn, tn + fp, exists=_is_positive(tn + fp))


def compute_ppv(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the positive predictive value (precision), the right fraction of predictions.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``tp / (tp + fp)``; 0 if the class is never predicted, nan if it lacks positive or negative
        windows.

    Examples
    --------
    >>> compute_ppv(3, 1, 2, 4)
    array(0.75)
    >>> compute_ppv(0, 0, 5, 5)
    array(0.)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    return _divide(tp, tp + fp, exists=_has_both(tp, fp, fn, tn))


def compute_accuracy(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the accuracy of a class against the rest, the fraction of right decisions.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``(tp + tn) / (tp + fp + fn + tn)``; nan without windows.

    Examples
    --------
    >>> compute_accuracy(3, 1, 2, 4)
    array(0.7)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    n_windows = tp + fp + fn + tn
    return _divide(tp + tn, n_windows, exists=_is_positive(n_windows))


def compute_g_mean(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the geometric mean of sensitivity and specificity.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``sqrt(sensitivity * specificity)``; nan if positive or negative windows are lacking.

    Notes
    -----
    Kubat and Matwin 1997, "Addressing the curse of imbalanced training sets".

    Examples
    --------
    >>> compute_g_mean(3, 1, 2, 4).round(4)
    np.float64(0.6928)
    """
    sensitivity = compute_sensitivity(tp, fp, fn, tn)
    return np.asarray(np.sqrt(sensitivity * compute_specificity(tp, fp, fn, tn)))


def compute_mcc(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the Matthews correlation coefficient between labels and decisions.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        Between -1 and 1; 0 if the class is never or always predicted, nan if it lacks positive or
        negative windows.

    Notes
    -----
    Matthews 1975, "Comparison of the predicted and observed secondary structure of T4 phage
    lysozyme".

    Examples
    --------
    >>> compute_mcc(3, 1, 2, 4).round(4)
    np.float64(0.4082)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    # Two square roots: the product of four counts of millions of windows loses digits.
    spread = np.sqrt((tp + fp) * (tn + fn)) * np.sqrt((tp + fn) * (tn + fp))
    return _divide(tp * tn - fp * fn, spread, exists=_has_both(tp, fp, fn, tn))


def compute_f1(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the F1 score, the harmonic mean of sensitivity and PPV.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``2 tp / (2 tp + fp + fn)``; nan if positive or negative windows are lacking.

    Examples
    --------
    >>> compute_f1(3, 1, 2, 4).round(4)
    np.float64(0.6667)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    return _divide(2 * tp, 2 * tp + fp + fn, exists=_has_both(tp, fp, fn, tn))


def compute_f2(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the F-beta score with beta 2, in which sensitivity weighs more than PPV.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``5 tp / (5 tp + fp + 4 fn)``; nan if positive or negative windows are lacking.

    Notes
    -----
    A metric of the PhysioNet/CinC Challenge 2020 (Perez Alday et al. 2020,
    doi:10.1088/1361-6579/abc960) and of the PTB-XL benchmark (Strodthoff et al. 2021,
    doi:10.1109/JBHI.2020.3022989). Both weight each window by one over its number of labels, at
    least one: give `count_outcomes` these weights to compare with their figures.

    Examples
    --------
    >>> compute_f2(3, 1, 2, 4).round(4)
    np.float64(0.625)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    return _divide(5 * tp, 5 * tp + fp + 4 * fn, exists=_has_both(tp, fp, fn, tn))


def compute_g2(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> np.ndarray:
    """Compute the G-beta score with beta 2, a Jaccard index in which a missed window counts twice.

    Parameters
    ----------
    tp, fp, fn, tn : array of any shape
        Counts, see `Counts`.

    Returns
    -------
    array of the counts' common shape
        ``tp / (tp + fp + 2 fn)``; nan if positive or negative windows are lacking.

    Notes
    -----
    Of the same sources as `compute_f2`, which see for their weights of the windows.

    Examples
    --------
    >>> compute_g2(3, 1, 2, 4)
    array(0.375)
    """
    tp, fp, fn, tn = _convert(tp, fp, fn, tn)
    return _divide(tp, tp + fp + 2 * fn, exists=_has_both(tp, fp, fn, tn))


#: Metrics computed from the counts of decisions, by name.
DECISION_METRICS: Mapping[str, DecisionMetric] = MappingProxyType(
    {
        "f1": compute_f1,
        "sensitivity": compute_sensitivity,
        "specificity": compute_specificity,
        "ppv": compute_ppv,
        "accuracy": compute_accuracy,
        "g_mean": compute_g_mean,
        "mcc": compute_mcc,
        "f2": compute_f2,
        "g2": compute_g2,
    }
)


def _convert(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the counts as floats, or as complex numbers if they are, so that none overflows."""
    tp, fp, fn, tn = np.broadcast_arrays(tp, fp, fn, tn)
    dtype = np.result_type(tp, fp, fn, tn, np.float64)
    return tp.astype(dtype), fp.astype(dtype), fn.astype(dtype), tn.astype(dtype)


def _is_positive(counts: np.ndarray) -> np.ndarray:
    return np.asarray(np.real(counts) > 0)


def _has_both(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    return _is_positive(tp + fn) & _is_positive(fp + tn)


def _divide(numerator: np.ndarray, denominator: np.ndarray, exists: np.ndarray) -> np.ndarray:
    """Return the ratio, 0 where only the denominator is zero and nan where it does not exist."""
    ratio = np.divide(
        numerator,
        denominator,
        out=np.zeros_like(denominator),
        where=_is_positive(denominator),
    )
    return np.where(exists, ratio, np.nan)
