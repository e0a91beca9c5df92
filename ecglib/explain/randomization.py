"""Checks that an explanation depends on what the model has learned."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from ecglib.explain.checks import SanityCheck
from ecglib.explain.scores import ClassScore, ScoreModel
from ecglib.explain.similarity import Attributions, Method, compute_similarity

MAX_SIMILARITY = 0.2
N_STAGES = 4  # of a cascade
N_DRAWS = 3  # of all weights


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RandomizationCheck(SanityCheck):
    """A check by randomized weights, with the similarity at each stage.

    Parameters
    ----------
    randomized : array of shape (n_stages,)
        Fraction of the weight tensors that are randomized, from the output down.
    similarity : array of shape (n_stages,)
        Mean rank correlation with the original attribution.
    size_similarity : float
        The same of absolute values, with all weights randomized.

    Examples
    --------
    >>> check = RandomizationCheck(
    ...     name="weight randomization",
    ...     figure=0.1,
    ...     min_accepted=0.0,
    ...     max_accepted=0.2,
    ...     randomized=np.array([0.5, 1.0]),
    ...     similarity=np.array([0.3, 0.1]),
    ...     size_similarity=0.4,
    ... )
    >>> check.passed
    True
    """

    randomized: np.ndarray
    similarity: np.ndarray
    size_similarity: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RandomizedAttributions:
    """Attributions of a model with randomized weights.

    Parameters
    ----------
    cascade : list of mapping of str to Attribution
        At each stage of the cascade, from the output down.
    draws : list of mapping of str to Attribution
        With all weights randomized, several times.

    Examples
    --------
    >>> RandomizedAttributions(cascade=[], draws=[]).draws
    []
    """

    cascade: list[Attributions]
    draws: list[Attributions]


def check_weight_randomization(
    target: ClassScore, method: Method, seed: int = 0
) -> RandomizationCheck:
    """Check that the attribution changes when the weights of the model are randomized.

    The weights are randomized from the output down in four stages, then twice more altogether, and
    at last restored.

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
        The figure is the similarity after all weights are randomized: the absolute value of the
        rank correlation (`compute_similarity`), averaged over the windows and the three times; of
        several inputs, the max. Accepted: at most 0.2.

    Notes
    -----
    Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018, arXiv:1810.03292): cascading
    randomization. A weight tensor is randomized by shuffling its values, which leaves their
    distribution as it was.

    What is compared is what a method ranks by. Contributions have a sign, and with it they pass.
    Their sizes remain similar, because they are products with the input, which does not change:
    `size_similarity` states it, so do not read a large contribution as evidence that the model has
    learned to look there. For 8 ventricular beats of MIT-BIH, 4 s of two leads, and trained models,
    the figure and the similarity of sizes were

    - of a CNN of the time series: gradient 0.12, SmoothGrad 0.13, integrated gradients 0.02 and
      0.42, occlusion of segments 0.04 and 0.46, of bands 0.06 and 0.63, Grad-CAM 0.03;
    - of a fusion of spectrum and spectrogram, on these: gradient 0.15, SmoothGrad 0.13, Grad-CAM
      0.14 and 0.08;
    - of this fusion, on the signal: gradient 0.47 and SmoothGrad 0.43, which fail. The gradient of
      a level in dB is inverse to the power, whatever follows.

    With two or three values, as of two leads, a rank correlation says nothing.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> check = check_weight_randomization(make_class_score(), attribute_by_gradient)
    >>> check.randomized.tolist()
    [0.25, 0.5, 0.75, 1.0]
    """
    return compare_with_randomized(
        method(target), attribute_with_randomized_weights(target, method, seed)
    )


def attribute_with_randomized_weights(
    target: ClassScore, method: Method, seed: int = 0
) -> RandomizedAttributions:
    """Attribute the score while the weights of the model are randomized, then restore them.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    method : callable
        From a `ClassScore` to attributions.
    seed : int, default 0
        Seed of the randomization.

    Returns
    -------
    RandomizedAttributions
        Of all inputs that the method explains.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> found = attribute_with_randomized_weights(make_class_score(), attribute_by_gradient)
    >>> len(found.cascade), len(found.draws)
    (4, 3)
    """
    rng = np.random.default_rng(seed)
    weights = list(reversed(target.model.trainable_weights))
    stages = np.array_split(np.arange(len(weights)), N_STAGES)
    cascade, draws = [], []
    with _restore_weights(weights):
        for stage in stages:
            _shuffle([weights[number] for number in stage], rng)
            cascade.append(method(target))
        draws.append(cascade[-1])
        for _ in range(N_DRAWS - 1):
            _shuffle(weights, rng)
            draws.append(method(target))
    return RandomizedAttributions(cascade=cascade, draws=draws)


def compare_with_randomized(
    original: Attributions, randomized: RandomizedAttributions
) -> RandomizationCheck:
    """Compare attributions with those of randomized weights.

    Parameters
    ----------
    original : mapping of str to Attribution
        Of the trained model; inputs that are not in it are not compared.
    randomized : RandomizedAttributions
        Of the same windows.

    Returns
    -------
    RandomizationCheck
        As of `check_weight_randomization`.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> randomized = attribute_with_randomized_weights(target, attribute_by_gradient)
    >>> compare_with_randomized(attribute_by_gradient(target), randomized).name
    'weight randomization'
    """
    cascade, draws = (
        [{name: one[name] for name in original} for one in given]
        for given in (randomized.cascade, randomized.draws)
    )
    return RandomizationCheck(
        name="weight randomization",
        figure=_compare(original, draws),
        min_accepted=0.0,
        max_accepted=MAX_SIMILARITY,
        randomized=np.arange(1, N_STAGES + 1) / N_STAGES,
        similarity=np.array([_compare(original, [one]) for one in cascade]),
        size_similarity=_compare(original, draws, by_size=True),
    )


def check_label_randomization(
    target: ClassScore, method: Method, others: Sequence[ScoreModel]
) -> SanityCheck:
    """Check that the attribution differs from that of models trained on permuted labels.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    method : callable
        From a `ClassScore` to attributions, such as `attribute_by_gradient`.
    others : sequence of ScoreModel
        One or more models of the same architecture, trained on permuted labels, for example by
        `train_on_permuted_labels`.

    Returns
    -------
    SanityCheck
        The figure is the absolute value of the rank correlation (`compute_similarity`), averaged
        over the windows and the models; of several inputs, the max. Accepted: at most 0.2.

    Raises
    ------
    EcgError
        If the inputs of a model are not those of the target.

    Notes
    -----
    Adebayo et al. (2018, arXiv:1810.03292): data randomization. See `check_weight_randomization`
    for what is compared, and for the windows and the CNN for which the figure was 0.08 of the
    gradient, 0.13 of SmoothGrad and 0.00 of integrated gradients.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> same = check_label_randomization(target, attribute_by_gradient, [target.scores])
    >>> round(same.figure, 6), same.passed
    (1.0, False)
    """
    found = [method(dataclasses.replace(target, scores=scores)) for scores in others]
    return SanityCheck(
        name="label randomization",
        figure=_compare(method(target), found),
        min_accepted=0.0,
        max_accepted=MAX_SIMILARITY,
    )


@contextmanager
def _restore_weights(weights: Sequence[keras.Variable]) -> Iterator[None]:
    values = [ops.convert_to_numpy(weight).copy() for weight in weights]
    try:
        yield
    finally:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)


def _shuffle(weights: Sequence[keras.Variable], rng: np.random.Generator) -> None:
    for weight in weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(rng.permutation(value.ravel()).reshape(value.shape))


def _compare(
    original: Attributions, others: Sequence[Attributions], *, by_size: bool = False
) -> float:
    """Average the absolute similarity to several explanations; of several inputs, the max."""
    found = [compute_similarity(original, other, by_size=by_size) for other in others]
    return max(float(np.mean([abs(one[name]) for one in found])) for name in original)
