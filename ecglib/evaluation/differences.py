"""The difference between two models' scores, with the variance of all that is sampled in it.

Three things are sampled: the test patients, the seeds of the trainings, and, where decisions are
scored, the validation patients that the thresholds were fitted on. Their variances are added, and
the difference is compared with Student's t distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecglib.evaluation.variances import Variance, add_variances

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The score of one model minus that of another on the same test windows.

    Parameters
    ----------
    name : str
        The other model.
    estimate : float
        The difference, averaged over seeds; above zero if the first model is better, also for
        metrics of which less is better.
    patients : Variance
        Over samples of test patients, and of validation patients where decisions are scored.
    seeds : tuple of Variance
        Over seeds of each of the two models, as the interval contains it.
    cautious_seeds : tuple of Variance
        The same, not less than the pooled variance of all models, as verdicts use it.

    Examples
    --------
    >>> difference = Difference(
    ...     name="time:cnn",
    ...     estimate=0.02,
    ...     patients=Variance(value=0.004**2, degrees_of_freedom=60),
    ...     seeds=(Variance(value=0.002**2, degrees_of_freedom=4),) * 2,
    ...     cautious_seeds=(Variance(value=0.002**2, degrees_of_freedom=4),) * 2,
    ... )
    >>> round(difference.standard_error, 4)
    0.0049
    >>> difference.format(), round(difference.compute_p_value(), 5)
    ('+0.020 [+0.010, +0.030]', 9e-05)
    """

    name: str
    estimate: float
    patients: Variance
    seeds: tuple[Variance, ...]
    cautious_seeds: tuple[Variance, ...]

    @property
    def standard_error(self) -> float:
        """Standard error, as the interval uses it."""
        return math.sqrt(add_variances([self.patients, *self.seeds]).value)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.compute_interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.compute_interval()[1]

    def compute_interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Compute the interval of the difference.

        Parameters
        ----------
        level : float, default 0.95
            Probability that the interval contains the true difference.

        Returns
        -------
        low, high : float
            nan if there are too few patients for an interval.
        """
        from scipy.special import stdtrit

        total = add_variances([self.patients, *self.seeds])
        if not total.degrees_of_freedom > 0:
            return float("nan"), float("nan")
        half = stdtrit(total.degrees_of_freedom, (1 + level) / 2) * math.sqrt(total.value)
        return self.estimate - float(half), self.estimate + float(half)

    def compute_p_value(self, margin: float = 0.0, below: bool = False) -> float:
        """Compute the p value of the claim that the difference is above a margin, or below it.

        Parameters
        ----------
        margin : float, default 0.0
            The margin.
        below : bool, default False
            Whether the claim is that the difference is below the margin.

        Returns
        -------
        float
            One-sided p value; 1 if there are too few patients to tell, or if no patient and no
            seed differs.
        """
        from scipy.special import stdtr

        total = add_variances([self.patients, *self.cautious_seeds])
        # Without any variance, as between two perfect models, nothing was learned about it.
        if not total.degrees_of_freedom > 0 or total.value == 0:
            return 1.0
        distance = (margin - self.estimate) if below else (self.estimate - margin)
        return float(stdtr(total.degrees_of_freedom, -distance / math.sqrt(total.value)))

    def compute_two_sided_p_value(self) -> float:
        """Compute the p value of the claim that the difference is not zero.

        Returns
        -------
        float
            Two-sided p value.
        """
        return min(1.0, 2 * min(self.compute_p_value(), self.compute_p_value(below=True)))

    def format(self) -> str:
        """Return the difference and its interval as text.

        Returns
        -------
        str
            For example "+0.012 [+0.003, +0.020]".
        """
        return format_difference(self.estimate, self.low, self.high)


def format_difference(estimate: float, low: float, high: float) -> str:
    """Return a difference and its interval as text.

    Parameters
    ----------
    estimate : float
        The difference.
    low, high : float
        Ends of its interval; nan if it has none.

    Examples
    --------
    >>> format_difference(0.0118, 0.0031, 0.0204)
    '+0.012 [+0.003, +0.020]'
    """
    # Adding zero turns a rounded -0.0 into 0.0.
    estimate, low, high = (round(value, 3) + 0.0 for value in (estimate, low, high))
    if math.isnan(low):
        return f"{estimate:+.3f} [no interval]"
    return f"{estimate:+.3f} [{low:+.3f}, {high:+.3f}]"


def format_p_value(p: float) -> str:
    """Return a p value as text.

    Parameters
    ----------
    p : float
        The p value; nan if there is none.

    Examples
    --------
    >>> format_p_value(0.0312), format_p_value(0.0000004), format_p_value(float("nan"))
    ('0.031', '<0.001', '-')
    """
    if math.isnan(p):
        return "-"
    return f"{p:.3f}" if p >= 0.001 else "<0.001"
