"""The check that runs with other seeds have the same explanation."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ecglib.errors import EcgError
from ecglib.explain.checks import SanityCheck
from ecglib.explain.scores import ClassScore, ScoreModel
from ecglib.explain.similarity import Attributions, Method, compute_shown_similarity

MIN_AGREEMENT = 0.5


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
    ...     figure=0.6,
    ...     min_accepted=0.5,
    ...     max_accepted=1.0,
    ...     min_similarity=0.55,
    ...     max_similarity=0.65,
    ... )
    >>> check.passed, check.accepted
    (True, 'at least 0.5')
    """

    min_similarity: float
    max_similarity: float

    @property
    def accepted(self) -> str:
        """The accepted range in words; no correlation is above 1."""
        return f"at least {self.min_accepted:g}"


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
        The figure is the mean over the other seeds of the correlation of what a page shows
        (`compute_shown_similarity`), which of a signal is squares of 40 ms; of several inputs, the
        min. Accepted: at least 0.5.

    Raises
    ------
    EcgError
        If there is no other model, or its inputs are not those of the target.

    Notes
    -----
    All of the models may be equally good. What they do not agree on is a property of one training,
    not of the signal: Brunet, Anderson and Zemel, "Implications of model indeterminacy for
    explanations of automated decisions" (NeurIPS 2022); Woerl, Disselhoff and Wand,
    "Initialization noise in image gradients and saliency maps" (CVPR 2023).

    The threshold is above what two explanations reach that have only the method and the input in
    common: those of this network and of one trained on permuted labels. The guide of explanations
    has the measurements; through a spectrogram the gradient is an exception, where it fails weight
    randomization.

    Other windows are a second comparison, as in Arun et al., "Assessing the trustworthiness of
    saliency maps for localizing abnormalities in medical imaging" (Radiology: Artificial
    Intelligence 2021). The sizes of gradients agree with those of another window about as much: the
    check says that a picture does not depend on the seed, not that it is about this window.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> check = check_seed_agreement(target, attribute_by_gradient, [target.scores])
    >>> round(check.figure, 6)
    1.0
    """
    return compare_with_other_seeds(
        method(target), attribute_with_other_seeds(target, method, others)
    )


def attribute_with_other_seeds(
    target: ClassScore, method: Method, others: Sequence[ScoreModel]
) -> list[Attributions]:
    """Attribute the score of the same class and windows by models with other seeds.

    Parameters
    ----------
    target, method, others
        As for `check_seed_agreement`.

    Returns
    -------
    list of mapping of str to Attribution
        One for each model.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> len(attribute_with_other_seeds(target, attribute_by_gradient, [target.scores]))
    1
    """
    return [method(dataclasses.replace(target, scores=scores)) for scores in others]


def compare_with_other_seeds(
    original: Attributions, others: Sequence[Attributions]
) -> AgreementCheck:
    """Compare attributions with those of models with other seeds.

    Parameters
    ----------
    original : mapping of str to Attribution
        Of the run; inputs that are not in it are not compared.
    others : sequence of mapping of str to Attribution
        Of the same windows, one for each model.

    Returns
    -------
    AgreementCheck
        As of `check_seed_agreement`.

    Raises
    ------
    EcgError
        If there is no other model.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> found = attribute_by_gradient(make_class_score())
    >>> compare_with_other_seeds(found, [found]).passed
    True
    """
    if not others:
        raise EcgError("There is no model with another seed. Give those of one run or more.")
    found = [
        compute_shown_similarity(original, {name: other[name] for name in original})
        for other in others
    ]
    per_input = {name: np.array([one[name] for one in found]) for name in original}
    lowest = min(per_input.values(), key=np.mean)
    return AgreementCheck(
        name="agreement between seeds",
        figure=float(lowest.mean()),
        min_accepted=MIN_AGREEMENT,
        max_accepted=1.0,
        min_similarity=float(lowest.min()),
        max_similarity=float(lowest.max()),
    )
