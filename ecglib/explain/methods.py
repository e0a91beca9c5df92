"""The methods of a page by name, and the checks that belong to each."""

import ecglib._keras  # noqa: F401

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ecglib.explain.agreement import attribute_with_other_seeds, compare_with_other_seeds
from ecglib.explain.attribution import (
    CONTRIBUTION,
    Attribution,
    attribute_by_gradient,
    attribute_by_integrated_gradients,
    attribute_by_smoothgrad,
)
from ecglib.explain.checks import SanityCheck, check_completeness
from ecglib.explain.curves import check_deletion, check_insertion
from ecglib.explain.information import check_mutual_information
from ecglib.explain.randomization import (
    attribute_with_randomized_weights,
    compare_with_randomized,
)
from ecglib.explain.scores import ClassScore, ScoreModel

#: The methods of `ecglib explain` by name.
METHODS: Mapping[str, Callable[[ClassScore], dict[str, Attribution]]] = MappingProxyType(
    {
        "integrated_gradients": attribute_by_integrated_gradients,
        "smoothgrad": attribute_by_smoothgrad,
        "gradient": attribute_by_gradient,
    }
)
#: The only one with a sign for and against a class, and that which fails the smallest fraction of
#: the checks (docs/guides/explanations.md).
DEFAULT_METHOD = "integrated_gradients"


#: The same with fewer steps, for models that are only compared: those of randomized weights and of
#: other seeds.
COARSE_METHODS: Mapping[str, Callable[[ClassScore], dict[str, Attribution]]] = MappingProxyType(
    {
        **METHODS,
        "integrated_gradients": functools.partial(attribute_by_integrated_gradients, n_steps=32),
        "smoothgrad": functools.partial(attribute_by_smoothgrad, n_samples=16),
    }
)


def check_attributions(
    target: ClassScore,
    attributions: Mapping[str, Attribution],
    names: Sequence[str],
    method: str,
    other_seeds: Sequence[ScoreModel] = (),
) -> dict[str, tuple[SanityCheck, ...]]:
    """Check the attributions of some inputs of a model, each by itself.

    Parameters
    ----------
    target : ClassScore
        What was explained.
    attributions : mapping of str to Attribution
        Those of all inputs.
    names : sequence of str
        The inputs that are checked.
    method : str
        Name of the method.
    other_seeds : sequence of ScoreModel, default ()
        Models of the same experiment with other seeds.

    Returns
    -------
    dict of str to tuple of SanityCheck
        Name of an input -> weight randomization, deletion and insertion; of contributions also
        completeness, of an input with a time axis mutual information, and with models of other
        seeds agreement with them.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> checks = check_attributions(target, METHODS["gradient"](target), ["signal"], "gradient")
    >>> [check.name for check in checks["signal"]]
    ['weight randomization', 'deletion', 'insertion', 'mutual information']
    """
    randomized = attribute_with_randomized_weights(target, COARSE_METHODS[method])
    others = attribute_with_other_seeds(target, COARSE_METHODS[method], other_seeds)
    found = {}
    for name in names:
        attribution = attributions[name]
        checks: list[SanityCheck] = [
            compare_with_randomized({name: attribution}, randomized),
            check_deletion(target, attribution),
            check_insertion(target, attribution),
        ]
        if attribution.unit == CONTRIBUTION:
            checks.insert(0, check_completeness(target, attributions))
        if any(axis.name == "time" for axis in attribution.axes):
            checks.append(check_mutual_information(target, attribution))
        if others:
            checks.append(compare_with_other_seeds({name: attribution}, others))
        found[name] = tuple(checks)
    return found
