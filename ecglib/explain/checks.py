"""Checks that an explanation can fail."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops
from scipy.special import expit
from scipy.stats import rankdata

from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.gradients import compute_scores
from ecglib.explain.scores import LEAD, ClassScore, ModelInput

Attributions = Mapping[str, Attribution]
Method = Callable[[ClassScore], Attributions]

MAX_GAP = 0.05
MAX_SIMILARITY = 0.2
MAX_P_VALUE = 0.05
N_STAGES = 4  # of a cascade
N_PARTS = 50  # of an axis, in deletion and insertion
N_STEPS = 10  # of a curve
N_RANDOM_ORDERS = 19  # as many as it takes for a p-value of 0.05


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


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CurveCheck(SanityCheck):
    """A check by deletion or insertion, with its curves.

    Parameters
    ----------
    fractions : array of shape (n_steps,)
        Fraction of the input that is deleted or inserted.
    curve : array of shape (n_steps,)
        Mean probability of the class over the windows, in the order of the attribution.
    random_curves : array of shape (n_orders, n_steps)
        The same in random orders.

    Examples
    --------
    >>> check = CurveCheck(
    ...     name="deletion",
    ...     figure=0.05,
    ...     min_accepted=0.0,
    ...     max_accepted=0.05,
    ...     fractions=np.array([0.0, 1.0]),
    ...     curve=np.array([0.9, 0.1]),
    ...     random_curves=np.array([[0.9, 0.1]]),
    ... )
    >>> check.passed
    True
    """

    fractions: np.ndarray
    curve: np.ndarray
    random_curves: np.ndarray


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


def check_deletion(target: ClassScore, attribution: Attribution, seed: int = 0) -> CurveCheck:
    """Check that deleting what the attribution ranks first lowers the probability faster.

    Parameters
    ----------
    target : ClassScore
        What was explained: windows to which the model gives the class. Where the baseline has a
        higher probability than the window, there is no evidence that could be deleted.
    attribution : Attribution
        Of one input. Other inputs do not change.
    seed : int, default 0
        Seed of the random orders.

    Returns
    -------
    CurveCheck
        The figure is the p-value of the area under the curve among those of 19 random orders.
        Accepted: at most 0.05, that is, lower than all of them.

    Raises
    ------
    EcgError
        If the attribution has parts of an axis, as occlusion by segments and bands has.

    Notes
    -----
    Petsiuk, Das and Saenko, "RISE" (BMVC 2018, arXiv:1806.07421). What is deleted takes the
    baseline. Each axis but the leads is cut into at most 50 parts: deleting single samples would
    add high frequencies, more in a random order than in one of neighbors.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_integrated_gradients
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> attribution = attribute_by_integrated_gradients(target, n_steps=8)["signal"]
    >>> check = check_deletion(target, attribution)
    >>> check.random_curves.shape
    (19, 11)
    """
    curves = _compute_curves(target, attribution, seed, is_insertion=False)
    return _rank_curve("deletion", curves)


def check_insertion(target: ClassScore, attribution: Attribution, seed: int = 0) -> CurveCheck:
    """Check that inserting what the attribution ranks first raises the probability faster.

    Parameters
    ----------
    target, attribution, seed
        As for `check_deletion`.

    Returns
    -------
    CurveCheck
        As of `check_deletion`, from the baseline to the window: the area must be higher than in
        all random orders.

    Raises
    ------
    EcgError
        As `check_deletion`.

    Notes
    -----
    See `check_deletion`.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_integrated_gradients
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> attribution = attribute_by_integrated_gradients(target, n_steps=8)["signal"]
    >>> check = check_insertion(target, attribution)
    >>> check.fractions.round(1).tolist()
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    """
    curves = _compute_curves(target, attribution, seed, is_insertion=True)
    return _rank_curve("insertion", curves)


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


def _compute_curves(
    target: ClassScore, attribution: Attribution, seed: int, *, is_insertion: bool
) -> np.ndarray:
    """Compute the mean probabilities, (1 + N_RANDOM_ORDERS, N_STEPS + 1); random orders last."""
    name = attribution.input_name
    described = target.scores.inputs[name]
    importance = _align(attribution, described)
    cells = _number_cells(described)
    n_cells = int(cells.max()) + 1
    rng = np.random.default_rng(seed)
    n_deleted = np.round(np.linspace(0, n_cells, N_STEPS + 1)).astype(int)
    curves = np.zeros((1 + N_RANDOM_ORDERS, N_STEPS + 1))
    for row, (x, values) in enumerate(zip(target.inputs[name], importance, strict=True)):
        mean = np.bincount(cells.ravel(), values.ravel()) / np.bincount(cells.ravel())
        orders = [np.argsort(-mean, kind="stable")]
        orders += [rng.permutation(n_cells) for _ in range(N_RANDOM_ORDERS)]
        for number, order in enumerate(orders):
            rank = np.argsort(order)[cells]
            is_first = rank < n_deleted.reshape(-1, *[1] * x.ndim)
            is_given = is_first if is_insertion else ~is_first
            variants = np.where(is_given, x, described.baseline)
            curves[number] += _compute_probabilities(target, row, name, variants)
    return curves / len(target.windows)


def _compute_probabilities(
    target: ClassScore, row: int, name: str, variants: np.ndarray
) -> np.ndarray:
    inputs = {
        other: np.repeat(x[row][None], len(variants), axis=0) for other, x in target.inputs.items()
    }
    return expit(compute_scores(target.model, {**inputs, name: variants}, target.class_index))


def _align(attribution: Attribution, described: ModelInput) -> np.ndarray:
    """Give the importance the axes of its input; it is the same along those that it lacks."""
    sizes = {axis.name: len(axis.values) for axis in attribution.axes}
    shape = [sizes.get(axis.name, 1) for axis in described.axes]
    fits = all(n in (1, size) for n, size in zip(shape, described.shape, strict=True))
    if not fits:
        raise EcgError(
            f"{attribution.method} has the axes {sizes}, and the input {described.shape}. Check a "
            f"method that gives a value for each entry of an axis."
        )
    n_windows = len(attribution.windows)
    values = attribution.importance.reshape(n_windows, *shape)
    return np.broadcast_to(values, (n_windows, *described.shape))


def _number_cells(described: ModelInput) -> np.ndarray:
    """Number what is deleted at once: a part of each axis, of one lead."""
    cells = np.zeros(described.shape, int)
    for place, axis in enumerate(described.axes):
        n = len(axis.values)
        n_parts = n if axis.name == LEAD else min(n, N_PARTS)
        shape = [n if k == place else 1 for k in range(len(described.axes))]
        cells = cells * n_parts + (np.arange(n) * n_parts // n).reshape(shape)
    return cells


def _rank_curve(name: str, curves: np.ndarray) -> CurveCheck:
    fractions = np.linspace(0, 1, N_STEPS + 1)
    areas = np.trapezoid(curves, fractions, axis=1)
    if name == "deletion":
        areas = -areas
    n_better = int(np.sum(areas[1:] >= areas[0]))
    return CurveCheck(
        name=name,
        figure=(1 + n_better) / (1 + N_RANDOM_ORDERS),
        min_accepted=0.0,
        max_accepted=MAX_P_VALUE,
        fractions=fractions,
        curve=curves[0],
        random_curves=curves[1:],
    )
