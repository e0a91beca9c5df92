"""Checks of an attribution by deleting or inserting what it ranks first."""

import dataclasses

import numpy as np
from scipy.special import expit

from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.checks import SanityCheck
from ecglib.explain.gradients import compute_scores
from ecglib.explain.scores import LEAD, ClassScore, ModelInput

MAX_P_VALUE = 0.05
N_PARTS = 50  # of an axis
N_STEPS = 10  # of a curve
N_RANDOM_ORDERS = 19  # as many as it takes for a p-value of 0.05


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


def align_importance(attribution: Attribution, described: ModelInput) -> np.ndarray:
    """Give the importance the axes of its input; it is the same along those that it lacks.

    Parameters
    ----------
    attribution : Attribution
        An attribution, such as of Grad-CAM, which has no leads.
    described : ModelInput
        Its input.

    Returns
    -------
    array of shape (n_windows, ...)

    Raises
    ------
    EcgError
        If the attribution has parts of an axis, as occlusion by segments and bands has.

    Examples
    --------
    >>> from ecglib.explain import occlude_leads
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> attribution = occlude_leads(target)["signal"]
    >>> align_importance(attribution, target.scores.inputs["signal"]).shape
    (2, 200, 2)
    """
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


def _compute_curves(
    target: ClassScore, attribution: Attribution, seed: int, *, is_insertion: bool
) -> np.ndarray:
    """Compute the mean probabilities, (1 + N_RANDOM_ORDERS, N_STEPS + 1); random orders last."""
    name = attribution.input_name
    described = target.scores.inputs[name]
    importance = align_importance(attribution, described)
    cells = _number_cells(described)
    n_cells = int(cells.max()) + 1
    rng = np.random.default_rng(seed)
    n_deleted = np.round(np.linspace(0, n_cells, N_STEPS + 1)).astype(int)
    curves = np.zeros((1 + N_RANDOM_ORDERS, N_STEPS + 1))
    for row, (x, values) in enumerate(zip(target.inputs[name], importance, strict=True)):
        mean = np.bincount(cells.ravel(), values.ravel()) / np.bincount(cells.ravel())
        orders = [np.argsort(-mean, kind="stable")]
        orders += [rng.permutation(n_cells) for _ in range(N_RANDOM_ORDERS)]
        ranks = np.argsort(orders, axis=1)[:, cells]
        is_first = ranks[:, None] < n_deleted.reshape(-1, *[1] * x.ndim)
        is_given = is_first if is_insertion else ~is_first
        variants = np.where(is_given, x, described.baseline).reshape(-1, *x.shape)
        curves += _compute_probabilities(target, row, name, variants).reshape(curves.shape)
    return curves / len(target.windows)


def _compute_probabilities(
    target: ClassScore, row: int, name: str, variants: np.ndarray
) -> np.ndarray:
    inputs = {
        other: np.repeat(x[row][None], len(variants), axis=0) for other, x in target.inputs.items()
    }
    return expit(compute_scores(target.model, {**inputs, name: variants}, target.class_index))


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
