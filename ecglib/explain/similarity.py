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
    shapes = [{name: x.values.shape for name, x in given.items()} for given in (one, other)]
    if shapes[0] != shapes[1]:
        raise EcgError(
            f"The attributions have shapes {shapes[0]} and {shapes[1]}. Compare those of the same "
            f"inputs and windows."
        )
    found = {}
    for name in one:
        pairs = zip(_rank_by(one[name], by_size), _rank_by(other[name], by_size), strict=True)
        found[name] = float(np.mean([_correlate_ranks(a.ravel(), b.ravel()) for a, b in pairs]))
    return found


def _rank_by(attribution: Attribution, by_size: bool) -> np.ndarray:
    return np.abs(attribution.values) if by_size else attribution.importance


def _correlate_ranks(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (rankdata(x) - (len(x) + 1) / 2 for x in (a, b))
    size = np.sqrt(np.sum(a**2) * np.sum(b**2))
    return float(np.sum(a * b) / size) if size else 0.0
