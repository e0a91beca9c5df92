"""How many patients a score really rests on.

A score over 22 patients of whom one has three quarters of a class's windows varies like a score
over far fewer. The effective number of patients is the number of equally important patients whose
sum would vary as much; it gives the degrees of freedom of the variance that is estimated from the
patients (Satterthwaite, Biometrics Bulletin 2, 1946).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecglib.evaluation.influence import Windows

# Windows of one patient resemble each other: the variance of their mean falls with their number to
# this fraction of that of one window, not to zero. Verified by simulation, see
# docs/reference/verdict.md.
COMMON_VARIANCE = 0.35

# With fewer effective patients there is no degree of freedom left, so no interval.
MIN_EFFECTIVE_PATIENTS = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class EffectivePatients:
    """The effective number of patients of a split.

    Parameters
    ----------
    total : float
        For macro scores over all scored classes.
    by_class : array of shape (n_classes,)
        For the scores of each class; nan for a class that is not scored.
    max_positive_fraction : array of shape (n_classes,)
        Largest fraction of the positive windows of each class that one patient has; nan without
        positive windows.
    max_positive_patient : int array of shape (n_classes,)
        Index of that patient.

    Examples
    --------
    >>> windows = Windows(y=np.array([[1], [1], [0], [0]]) == 1, patient=np.arange(4))
    >>> found = compute_effective_patients(windows)
    >>> round(found.total, 6), found.max_positive_fraction.tolist()
    (4.0, [0.5])
    """

    total: float
    by_class: np.ndarray
    max_positive_fraction: np.ndarray
    max_positive_patient: np.ndarray


def compute_effective_patients(windows: Windows) -> EffectivePatients:
    """Compute the effective number of patients from how the windows are distributed over them.

    Parameters
    ----------
    windows : Windows
        Labels and patients of a split.

    Returns
    -------
    EffectivePatients
        In all and for each class.

    Notes
    -----
    With m of the M positive and q of the N negative windows of a class, a patient contributes
    ``(m / M)**2 * d(m) + (q / N)**2 * d(q)`` to the variance of the class's score, where
    ``d(m) = 0.35 + 0.65 / m`` is the variance of the mean of m windows that resemble each other.
    With v the sum over classes, the effective number is ``sum(v)**2 / sum(v**2)``.

    Examples
    --------
    One patient has most of the windows:

    >>> patient = np.array([0] * 12 + [1, 1, 2, 2])
    >>> windows = Windows(y=np.array([[1], [0]] * 8) == 1, patient=patient)
    >>> round(compute_effective_patients(windows).total, 2)
    1.25
    """
    positives = windows.sum_by_patient(windows.y.T.astype(float)).T  # (n_patients, n_classes)
    negatives = windows.sum_by_patient(~windows.y.T * 1.0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = positives / positives.sum(axis=0)
        contribution = _compute_contribution(positives) + _compute_contribution(negatives)
        by_class = contribution.sum(axis=0) ** 2 / (contribution**2).sum(axis=0)
    scored = windows.scored
    total = contribution[:, scored].sum(axis=1)
    return EffectivePatients(
        total=float(total.sum() ** 2 / (total**2).sum()) if scored.any() else float("nan"),
        by_class=np.where(scored, by_class, np.nan),
        max_positive_fraction=fraction.max(axis=0),
        max_positive_patient=fraction.argmax(axis=0),
    )


def _compute_contribution(counts: np.ndarray) -> np.ndarray:
    """Return each patient's contribution to the variance: (n_patients, n_classes)."""
    similarity = COMMON_VARIANCE + (1 - COMMON_VARIANCE) / np.maximum(counts, 1)
    return (counts / counts.sum(axis=0)) ** 2 * similarity


def is_measurable(effective_patients: float) -> bool:
    """Return whether there are enough effective patients for an interval.

    Parameters
    ----------
    effective_patients : float
        Effective number of patients; nan if no class is scored.

    Returns
    -------
    bool
        Whether it is at least two.

    Examples
    --------
    >>> is_measurable(1.3), is_measurable(2.5)
    (False, True)
    """
    return effective_patients >= MIN_EFFECTIVE_PATIENTS
