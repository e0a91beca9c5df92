"""Variances that are known only as estimates, and their sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Variance(NamedTuple):
    """One part of the variance of a score or of a difference.

    Parameters
    ----------
    value : float
        The variance; nan if nothing is known about it.
    degrees_of_freedom : float
        Of its estimate; 0 if it cannot be used for an interval.

    Examples
    --------
    >>> Variance(value=0.0004, degrees_of_freedom=21).value
    0.0004
    """

    value: float
    degrees_of_freedom: float


def add_variances(parts: Sequence[Variance]) -> Variance:
    """Add independent variances.

    Parameters
    ----------
    parts : sequence of Variance
        The first one must be known; others are ignored where they are nan.

    Returns
    -------
    Variance
        The sum, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2, 1946). It
        cannot be used for an interval if a part cannot.

    Examples
    --------
    >>> total = add_variances([Variance(1.0, 10), Variance(1.0, 10), Variance(float("nan"), 0)])
    >>> total
    Variance(value=2.0, degrees_of_freedom=20.0)
    """
    known = [part for part in parts if not math.isnan(part.value)]
    value = sum(part.value for part in known)
    if any(part.degrees_of_freedom <= 0 for part in known):
        return Variance(value, 0.0)
    scaled = sum(part.value**2 / part.degrees_of_freedom for part in known)
    return Variance(value, value**2 / scaled if scaled > 0 else known[0].degrees_of_freedom)
