"""The weights that a fusion gives its branches, beside what the branches contribute."""

import ecglib._keras  # noqa: F401

import dataclasses

import keras
import numpy as np
from keras import ops

from ecglib.errors import EcgError
from ecglib.explain.contributions import BranchContributions
from ecglib.explain.gradients import compute_outputs
from ecglib.explain.rollout import compute_attention, roll_out_attention
from ecglib.explain.scores import ClassScore
from ecglib.models.fusion.branches import OUTPUT, find_branches
from ecglib.models.fusion.layers import Stacking
from ecglib.models.layers import WeightedAverage

# Layers of the fusions intermediate_attention and intermediate_cross_attention.
BRANCH_EMBEDDING, FUSION_TOKEN = "branch_embedding", "fusion_token"
TOLERANCE = 1e-6  # of equal weights


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FusionWeights:
    """The weight that a fusion gives each of its branches.

    Parameters
    ----------
    branches : tuple of str
        The branches.
    values : array of shape (n_windows, n_branches)
        Their weights.
    kind : str
        What the weights are.

    Examples
    --------
    >>> weights = FusionWeights(
    ...     branches=("time", "frequency"), values=np.array([[0.7, 0.3]]), kind="mean gate"
    ... )
    >>> weights.values.shape
    (1, 2)
    """

    branches: tuple[str, ...]
    values: np.ndarray
    kind: str


def compute_fusion_weights(target: ClassScore) -> FusionWeights | None:
    """Compute the weight that the fusion of a model gives each branch in each window.

    Parameters
    ----------
    target : ClassScore
        What is explained, as a function of the representations (`build_representation_scores`).

    Returns
    -------
    FusionWeights or None
        None for a fusion without such weights: of ``intermediate_gated``, the mean of the gate over
        the features of a branch; of ``intermediate_attention``, the attention rollout over the
        branches, weighted by the pooling; of ``intermediate_cross_attention``, the attention of
        the fusion token, summed over the tokens of a branch and averaged over heads and layers; of
        ``late_weighted`` and ``late_stacking``, the fitted weights, the same in each window.

    Notes
    -----
    A weight says how much of a branch gets through, not what it says there: a branch with a high
    weight may have features that speak neither for nor against the class. Jain and Wallace,
    "Attention is not explanation" (NAACL 2019, arXiv:1902.10186), therefore
    `describe_disagreements`.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> from ecglib.explain.run_scores import build_representation_scores
    >>> contract = make_contract(["time", "frequency"])
    >>> scores = build_representation_scores(contract, make_network(contract))
    >>> windows = {name: np.zeros((1, *x.shape)) for name, x in scores.inputs.items()}
    >>> target = ClassScore(scores=scores, inputs=windows, class_name="MI", windows=("zeros",))
    >>> compute_fusion_weights(target) is None  # features are concatenated
    True
    """
    branches = find_branches(target.model)
    names = [layer.name for layer in target.model.layers]
    gates = [f"{name}_gate" for name in branches]
    output = next((layer for layer in target.model.layers if layer.name == OUTPUT), None)
    if branches and all(gate in names for gate in gates):
        return _describe(branches, _average_gates(target, gates), "mean gate")
    if BRANCH_EMBEDDING in names:
        values = _roll_out_branches(target, names.index(BRANCH_EMBEDDING))
        return _describe(branches, values, "attention rollout over branches")
    if FUSION_TOKEN in names:
        values = _sum_attention(target, names.index(FUSION_TOKEN), len(branches))
        return _describe(branches, values, "attention of the fusion token")
    if isinstance(output, WeightedAverage | Stacking):
        fitted = ops.convert_to_numpy(output.branch_weights)
        if isinstance(output, Stacking):
            fitted = fitted[:, target.class_index]
        values = np.tile(fitted, (len(target.windows), 1))
        return _describe(branches, values, "weight fitted on the validation split")
    return None


def describe_disagreements(
    contributions: BranchContributions, weights: FusionWeights
) -> tuple[str, ...]:
    """Say where the weights of a fusion and the contributions of its branches disagree.

    They disagree where the branch with the max weight, by its size, is not the one with the max
    contribution, by its size. Equal weights do not disagree with anything.

    Parameters
    ----------
    contributions : BranchContributions
        Of `compute_branch_contributions`.
    weights : FusionWeights
        Of the same windows.

    Returns
    -------
    tuple of str
        A sentence for each window; empty where the two agree.

    Raises
    ------
    EcgError
        If the two are of other branches or numbers of windows.

    Examples
    --------
    >>> contributions = BranchContributions(
    ...     branches=("time", "frequency"),
    ...     values=np.array([[0.5, -1.5]]),
    ...     base=np.array([0.0]),
    ...     score=np.array([-1.0]),
    ...     replaced_by="its mean",
    ...     class_name="MI",
    ...     windows=("record 100",),
    ... )
    >>> weights = FusionWeights(
    ...     branches=("time", "frequency"), values=np.array([[0.7, 0.3]]), kind="mean gate"
    ... )
    >>> describe_disagreements(contributions, weights)[0]
    'time has the max mean gate (0.7), but frequency contributes most (-1.5 logits).'
    """
    if (contributions.branches, contributions.values.shape) != (
        weights.branches,
        weights.values.shape,
    ):
        raise EcgError(
            f"The contributions are of {contributions.branches} in {len(contributions.values)} "
            f"windows, and the weights of {weights.branches} in {len(weights.values)}. Compute "
            f"both for the same class score."
        )
    rows = zip(contributions.values, weights.values, strict=True)
    return tuple(_describe_row(weights, *row) for row in rows)


def _describe_row(weights: FusionWeights, contribution: np.ndarray, weight: np.ndarray) -> str:
    size = np.abs(weight)
    first = int(np.argmax(np.abs(contribution)))
    if size[first] >= size.max() - TOLERANCE:
        return ""
    heaviest = int(np.argmax(size))
    return (
        f"{weights.branches[heaviest]} has the max {weights.kind} ({weight[heaviest]:.2g}), but "
        f"{weights.branches[first]} contributes most ({contribution[first]:+.2g} logits)."
    )


def _describe(branches: list[str], values: np.ndarray, kind: str) -> FusionWeights:
    return FusionWeights(branches=tuple(branches), values=values, kind=kind)


def _average_gates(target: ClassScore, gates: list[str]) -> np.ndarray:
    outputs = [target.model.get_layer(gate).output for gate in gates]
    found = compute_outputs(keras.Model(target.model.inputs, outputs), target.inputs)
    return np.stack([x.mean(axis=1) for x in found], axis=1)


def _list_attention(target: ClassScore, start: int) -> list[keras.layers.MultiHeadAttention]:
    after = target.model.layers[start:]
    return [layer for layer in after if isinstance(layer, keras.layers.MultiHeadAttention)]


def _roll_out_branches(target: ClassScore, start: int) -> np.ndarray:
    after = target.model.layers[start:]
    softmax = next(layer for layer in after if isinstance(layer, keras.layers.Softmax))
    pooling = compute_outputs(keras.Model(target.model.inputs, softmax.output), target.inputs)
    attention = compute_attention(target.model, _list_attention(target, start), target.inputs)
    return np.einsum("wi,wij->wj", pooling[..., 0], roll_out_attention(attention))


def _sum_attention(target: ClassScore, start: int, n_branches: int) -> np.ndarray:
    found = compute_attention(target.model, _list_attention(target, start), target.inputs)
    per_token = np.mean([x.mean(axis=(1, 2)) for x in found], axis=0)
    return per_token.reshape(len(per_token), n_branches, -1).sum(axis=2)
