"""Checks that an explanation can fail."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops
from scipy.stats import rankdata

from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.gradients import compute_scores
from ecglib.explain.scores import ClassScore

Attributions = Mapping[str, Attribution]
Method = Callable[[ClassScore], Attributions]

MAX_GAP = 0.05
MAX_SIMILARITY = 0.2
N_STAGES = 4  # of a cascade


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SanityCheck:
    """A check of an explanation: its figure and the range in which it passes.

    Parameters
    ----------
    name : str
        Name of the check.
    figure : float
        What was measured.
    min_accepted, max_accepted : float
        The check passes from the first to the second, both included.

    Examples
    --------
    >>> SanityCheck(name="completeness", figure=0.2, min_accepted=0.0, max_accepted=0.01).passed
    False
    """

    name: str
    figure: float
    min_accepted: float
    max_accepted: float

    @property
    def passed(self) -> bool:
        """Whether the figure is in the accepted range; NaN is not."""
        return self.min_accepted <= self.figure <= self.max_accepted


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RandomizationCheck(SanityCheck):
    """A check by randomized weights, with the similarity at each stage.

    Parameters
    ----------
    randomized : array of shape (n_stages,)
        Fraction of the weight tensors that are randomized, from the output down.
    similarity : array of shape (n_stages,)
        Mean over the windows of the absolute rank correlation with the original attribution.

    Examples
    --------
    >>> check = RandomizationCheck(
    ...     name="weight randomization",
    ...     figure=0.1,
    ...     min_accepted=0.0,
    ...     max_accepted=0.2,
    ...     randomized=np.array([0.5, 1.0]),
    ...     similarity=np.array([0.3, 0.1]),
    ... )
    >>> check.passed
    True
    """

    randomized: np.ndarray
    similarity: np.ndarray


def check_completeness(target: ClassScore, attributions: Attributions) -> SanityCheck:
    """Check that contributions add up to the score minus the score of the baseline.

    Parameters
    ----------
    target : ClassScore
        What was explained.
    attributions : mapping of str to Attribution
        Contributions of every input, as of integrated gradients.

    Returns
    -------
    SanityCheck
        The figure is the max over the windows of the gap, over the difference of the two scores,
        or over 1 logit where that is smaller. Accepted: at most 0.05.

    Raises
    ------
    EcgError
        If an input has no attribution.

    Notes
    -----
    Sundararajan, Taly and Yan (2017, arXiv:1703.01365), who accept this gap. A larger one means
    too few steps.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_integrated_gradients
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> check_completeness(target, attribute_by_integrated_gradients(target)).passed
    True
    """
    if missing := set(target.inputs) - set(attributions):
        raise EcgError(
            f"{sorted(missing)} have no attribution. Give those of all inputs "
            f"{list(target.inputs)}: only together they are complete."
        )
    difference = compute_scores(target.model, target.inputs, target.class_index) - compute_scores(
        target.model, target.make_baselines(), target.class_index
    )
    n_windows = len(target.windows)
    total = sum(attributions[name].values.reshape(n_windows, -1).sum(1) for name in target.inputs)
    gaps = np.abs(total - difference) / np.maximum(np.abs(difference), 1)
    return SanityCheck(
        name="completeness", figure=float(gaps.max()), min_accepted=0.0, max_accepted=MAX_GAP
    )


def check_weight_randomization(
    target: ClassScore, method: Method, seed: int = 0
) -> RandomizationCheck:
    """Check that the attribution changes when the weights of the model are randomized.

    The weights are randomized from the output down in four stages, and then restored.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    method : callable
        From a `ClassScore` to attributions, such as `attribute_by_gradient`.
    seed : int, default 0
        Seed of the randomization.

    Returns
    -------
    RandomizationCheck
        The figure is the similarity after all weights are randomized: the mean over the windows of
        the absolute value of Spearman's rank correlation of absolute attributions; of several
        inputs, the largest. Accepted: at most 0.2.

    Notes
    -----
    Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018, arXiv:1810.03292): cascading
    randomization. A weight tensor is randomized by shuffling its values, which leaves their
    distribution as it was. Contributions are products with the input, which does not change, so
    they remain more similar than gradients.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> check = check_weight_randomization(make_class_score(), attribute_by_gradient)
    >>> check.randomized.tolist()
    [0.25, 0.5, 0.75, 1.0]
    """
    original = method(target)
    rng = np.random.default_rng(seed)
    weights = list(reversed(target.model.trainable_weights))
    similarity = []
    with _restore_weights(weights):
        for stage in np.array_split(np.arange(len(weights)), N_STAGES):
            for number in stage:
                value = ops.convert_to_numpy(weights[number])
                weights[number].assign(rng.permutation(value.ravel()).reshape(value.shape))
            similarity.append(_compare_attributions(original, method(target)))
    return RandomizationCheck(
        name="weight randomization",
        figure=similarity[-1],
        min_accepted=0.0,
        max_accepted=MAX_SIMILARITY,
        randomized=np.arange(1, N_STAGES + 1) / N_STAGES,
        similarity=np.array(similarity),
    )


@contextmanager
def _restore_weights(weights: Sequence[keras.Variable]) -> Iterator[None]:
    values = [ops.convert_to_numpy(weight).copy() for weight in weights]
    try:
        yield
    finally:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)


def _compare_attributions(original: Attributions, other: Attributions) -> float:
    return max(
        float(
            np.mean(
                [
                    _correlate_ranks(np.abs(a).ravel(), np.abs(b).ravel())
                    for a, b in zip(original[name].values, other[name].values, strict=True)
                ]
            )
        )
        for name in original
    )


def _correlate_ranks(a: np.ndarray, b: np.ndarray) -> float:
    """Return the absolute rank correlation, 0 where one side is constant."""
    a, b = (rankdata(x) - (len(x) + 1) / 2 for x in (a, b))
    size = np.sqrt(np.sum(a**2) * np.sum(b**2))
    return float(abs(np.sum(a * b)) / size) if size else 0.0
