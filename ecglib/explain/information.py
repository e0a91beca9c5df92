"""The check that an attribution has information about the signal that it explains."""

import dataclasses

import numpy as np
from sklearn.feature_selection import mutual_info_regression

from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.checks import SanityCheck
from ecglib.explain.curves import MAX_P_VALUE, align_importance
from ecglib.explain.scores import ClassScore

N_SHIFTS = 19  # as many as it takes for a p-value of 0.05
MAX_VALUES = 2000  # of one window


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class InformationCheck(SanityCheck):
    """A check by mutual information, with its null distribution.

    Parameters
    ----------
    information : float
        Mutual information of attribution and input in nats, mean over the windows.
    shifted : array of shape (n_shifts,)
        The same with the attribution shifted in time.

    Examples
    --------
    >>> check = InformationCheck(
    ...     name="mutual information",
    ...     figure=0.05,
    ...     min_accepted=0.0,
    ...     max_accepted=0.05,
    ...     information=0.4,
    ...     shifted=np.array([0.1, 0.2]),
    ... )
    >>> check.passed
    True
    """

    information: float
    shifted: np.ndarray


def check_mutual_information(
    target: ClassScore, attribution: Attribution, seed: int = 0
) -> InformationCheck:
    """Check that an attribution has more information about its input than when it is shifted.

    Parameters
    ----------
    target : ClassScore
        What was explained.
    attribution : Attribution
        Of one input with a time axis.
    seed : int, default 0
        Seed of the shifts.

    Returns
    -------
    InformationCheck
        The figure is the p-value of the mutual information of attribution and input among those
        with the attribution shifted in time, 19 times. Accepted: at most 0.05, that is, more
        information than at every other place.

    Raises
    ------
    EcgError
        If the input has no time axis, or the attribution parts of an axis.

    Notes
    -----
    The estimate is that of Kraskov, Stögbauer and Grassberger (Physical Review E 69, 2004) with
    three neighbors, as `sklearn.feature_selection.mutual_info_regression` computes it, over at most
    2,000 values of a window, the same for all shifts. It is above 0 also for a map that has nothing
    to do with the signal, because both are smooth: that is why the value alone says nothing. The
    shifts are circular, the same for all leads and other axes of a window, and different between
    windows, so that attribution and input each remain as they are over time (Harris, "Nonsense
    correlations in neuroscience", 2020, discusses such tests). In a regular rhythm a shift by whole
    beats changes little, which makes the check stricter.

    A map can pass that does not depend on the model, as the slope of the signal:
    `check_weight_randomization` is the check for that.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> check_mutual_information(target, attribute_by_gradient(target)["signal"]).shifted.shape
    (19,)
    """
    described = target.scores.inputs[attribution.input_name]
    names = [axis.name for axis in described.axes]
    if "time" not in names:
        raise EcgError(
            f"The input {attribution.input_name!r} has the axes {names}, and nothing that could be "
            f"shifted in time. Check an input with a time axis."
        )
    place = names.index("time")
    rng = np.random.default_rng(seed)
    importance = align_importance(attribution, described)
    found = np.zeros(1 + N_SHIFTS)
    for x, values in zip(target.inputs[attribution.input_name], importance, strict=True):
        chosen = rng.permutation(x.size)[:MAX_VALUES]
        shifts = [0, *rng.integers(1, max(2, x.shape[place]), size=N_SHIFTS)]
        shifted = [np.roll(values, shift, axis=place).ravel()[chosen] for shift in shifts]
        found += _estimate_information(np.stack(shifted, axis=1), x.ravel()[chosen])
    found /= len(target.windows)
    return InformationCheck(
        name="mutual information",
        figure=(1 + int(np.sum(found[1:] >= found[0]))) / (1 + N_SHIFTS),
        min_accepted=0.0,
        max_accepted=MAX_P_VALUE,
        information=float(found[0]),
        shifted=found[1:],
    )


def _estimate_information(maps: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Estimate the mutual information of each map, (n_values, n_maps), with the input."""
    return mutual_info_regression(maps, x, discrete_features=False, n_neighbors=3, random_state=0)
