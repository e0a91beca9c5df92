"""How many patients and seeds would decide a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecglib.evaluation.differences import Difference
from ecglib.evaluation.rules import ALPHA, MIN_SEEDS, POWER


@dataclass(frozen=True, kw_only=True)
class Needs:
    """How much data would decide a verdict, with a probability of 80 % if the gain is the margin.

    Parameters
    ----------
    min_patients, max_patients : int
        Range of the number of patients with scores like these.
    seeds : int
        Number of seeds of each model.

    Examples
    --------
    >>> Needs(min_patients=300, max_patients=700, seeds=5).format()
    'needs about 300 to 700 patients, 5 seeds'
    """

    min_patients: int
    max_patients: int
    seeds: int

    def format(self) -> str:
        """Return the needs as text.

        Returns
        -------
        str
            For example "needs about 300 to 700 patients, 5 seeds".
        """
        patients = f"{_round(self.min_patients):,} to {_round(self.max_patients):,}"
        if self.min_patients == self.max_patients:
            patients = f"{_round(self.min_patients):,}"
        return f"needs about {patients} patients, {self.seeds} seeds"


def estimate_needs(
    difference: Difference, n_patients: int, n_seeds: int, margin: float
) -> Needs | None:
    """Estimate how many patients and seeds would show a gain of the margin.

    Parameters
    ----------
    difference : Difference
        From the rival that is hardest to beat.
    n_patients : int
        Number of patients that it was measured on.
    n_seeds : int
        Number of seeds of each model.
    margin : float
        The gain.

    Returns
    -------
    Needs or None
        None if the variance over patients is not known.

    Notes
    -----
    The variance must fall to (margin / (z(0.975) + z(0.8)))^2. Seeds are added until theirs takes
    at most half of it, or what the patients that were measured leave, if that is more; the rest is
    that of the patients. The range of their number reflects how well their variance is known (80 %
    interval of a scaled chi-squared distribution). It is never below the number of patients that
    were measured.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> seeds = (Variance(0.002**2, 20), Variance(0.002**2, 20))
    >>> difference = Difference(
    ...     name="time:cnn",
    ...     estimate=0.0,
    ...     patients=Variance(0.004**2, 80),
    ...     seeds=seeds,
    ...     cautious_seeds=seeds,
    ... )
    >>> estimate_needs(difference, n_patients=250, n_seeds=5, margin=0.01)
    Needs(min_patients=472, max_patients=709, seeds=7)
    """
    from scipy.stats import chi2, norm

    degrees = difference.patients.degrees_of_freedom
    if not degrees > 0:
        return None
    target = (margin / (norm.ppf(1 - ALPHA) + norm.ppf(POWER))) ** 2
    seeds = sum(part.value for part in difference.cautious_seeds if not math.isnan(part.value))
    of_seeds = max(target / 2, target - difference.patients.value)
    needed_seeds = max(n_seeds, MIN_SEEDS, math.ceil(seeds * n_seeds / of_seeds))
    left = target - seeds * n_seeds / needed_seeds
    needed = n_patients * difference.patients.value / left
    low, high = (degrees / chi2.ppf(q, degrees) for q in (0.9, 0.1))
    return Needs(
        min_patients=max(n_patients, math.ceil(needed * low)),
        max_patients=max(n_patients, math.ceil(needed * high)),
        seeds=needed_seeds,
    )


def _round(number: int) -> int:
    """Round a number of patients to two digits."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
