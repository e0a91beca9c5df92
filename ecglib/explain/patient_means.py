"""Means over patients, with intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecglib.evaluation.resampling import draw_patient_counts

LEVEL = 0.95


class PatientMean(NamedTuple):
    """A mean over patients, with its interval.

    Parameters
    ----------
    estimate : array
        Mean over patients of the mean of each patient's windows.
    low, high : array
        Ends of the 95 % interval over patients; nan with fewer than two patients.

    Examples
    --------
    >>> PatientMean(np.array(0.5), np.array(0.4), np.array(0.6)).estimate
    array(0.5)
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def average_over_patients(
    values: np.ndarray, patients: np.ndarray, n_resamples: int = 1000, seed: int = 0
) -> PatientMean:
    """Average values over the windows of each patient, then over patients.

    Each patient counts once, so that one with many windows does not decide the mean.

    Parameters
    ----------
    values : array of shape (n_windows, ...)
        Values of each window; nan is ignored.
    patients : array of shape (n_windows,)
        Patient of each window.
    n_resamples : int, default 1000
        Number of resamples.
    seed : int, default 0
        Seed of the resamples.

    Returns
    -------
    PatientMean
        Arrays of the shape of one window's values; nan where no patient has a value.

    Notes
    -----
    The interval is the percentile interval of a bootstrap by patient
    (`ecglib.evaluation.resampling`). With few patients it is too narrow.

    Examples
    --------
    >>> values = np.array([1.0, 1.0, 1.0, 3.0])
    >>> average_over_patients(values, np.array(["a", "a", "a", "b"])).estimate
    array(2.)
    """
    _, patient = np.unique(patients, return_inverse=True)
    n_patients = int(patient.max(initial=-1)) + 1
    cells = values.reshape(len(values), -1).astype(np.float64)
    has_value = ~np.isnan(cells)
    sums, counts = np.zeros((2, n_patients, cells.shape[1]))
    np.add.at(sums, patient, np.where(has_value, cells, 0))
    np.add.at(counts, patient, has_value)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, sums / counts, 0)
        n_used = counts > 0
        estimate = means.sum(axis=0) / n_used.sum(axis=0)
        if n_patients < 2:
            low = high = np.full_like(estimate, np.nan)
        else:
            drawn = draw_patient_counts(np.arange(n_patients), n_resamples, seed)
            resampled = (drawn @ means) / (drawn @ n_used)
            is_known = ~np.isnan(resampled).all(axis=0)
            low, high = np.full((2, len(estimate)), np.nan)
            ends = np.nanquantile(
                resampled[:, is_known], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
            )
            low[is_known], high[is_known] = ends
    shape = values.shape[1:]
    return PatientMean(estimate.reshape(shape), low.reshape(shape), high.reshape(shape))
