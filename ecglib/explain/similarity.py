"""How similar two explanations of the same windows are."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import rankdata

from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.scores import ClassScore

Attributions = Mapping[str, Attribution]
Method = Callable[[ClassScore], Attributions]


def compute_similarity(
    one: Attributions, other: Attributions, *, by_size: bool = False
) -> dict[str, float]:
    """Compute the mean rank correlation of two explanations over the windows.

    Parameters
    ----------
    one, other : mapping of str to Attribution
        Attributions of the same inputs and windows.
    by_size : bool, default False
        Whether absolute values are compared. By default, it is what an explanation ranks by,
        `Attribution.importance`: of contributions their values with the sign, of sensitivities
        their size.

    Returns
    -------
    dict of str to float
        Name of an input -> mean over the windows of Spearman's rank correlation, from -1 to 1; 0
        for a window in which an attribution is constant.

    Raises
    ------
    EcgError
        If the inputs or the shapes differ.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> found = attribute_by_gradient(make_class_score())
    >>> round(compute_similarity(found, found)["signal"], 6)
    1.0
    """
    _check_shapes(one, other)
    found = {}
    for name in one:
        pairs = zip(_rank_by(one[name], by_size), _rank_by(other[name], by_size), strict=True)
        found[name] = float(
            np.mean([_correlate(rankdata(a.ravel()), rankdata(b.ravel())) for a, b in pairs])
        )
    return found


def compute_shown_similarity(one: Attributions, other: Attributions) -> dict[str, float]:
    """Compute the mean correlation of what a page shows of two explanations.

    Parameters
    ----------
    one, other : mapping of str to Attribution
        Attributions of the same inputs and windows.

    Returns
    -------
    dict of str to float
        Name of an input -> mean over the windows of Pearson's correlation of `Attribution.shown`,
        from -1 to 1; 0 for a window in which an attribution is constant.

    Raises
    ------
    EcgError
        If the inputs or the shapes differ.

    Notes
    -----
    A color is linear in its value. Most squares of a page are nearly white: their ranks are noise,
    and would count as much as those of the few that a reader sees.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> found = attribute_by_gradient(make_class_score())
    >>> round(compute_shown_similarity(found, found)["signal"], 6)
    1.0
    """
    _check_shapes(one, other)
    found = {}
    for name in one:
        pairs = zip(one[name].shown, other[name].shown, strict=True)
        found[name] = float(np.mean([_correlate(a.ravel(), b.ravel()) for a, b in pairs]))
    return found


def _check_shapes(one: Attributions, other: Attributions) -> None:
    shapes = [{name: x.values.shape for name, x in given.items()} for given in (one, other)]
    if shapes[0] != shapes[1]:
        raise EcgError(
            f"The attributions have shapes {shapes[0]} and {shapes[1]}. Compare those of the same "
            f"inputs and windows."
        )


def _rank_by(attribution: Attribution, by_size: bool) -> np.ndarray:
    return np.abs(attribution.values) if by_size else attribution.importance


def _correlate(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (np.asarray(x, float) - np.mean(x, dtype=float) for x in (a, b))
    size = np.sqrt(np.sum(a**2) * np.sum(b**2))
    return float(np.clip(np.sum(a * b) / size, -1, 1)) if size else 0.0
