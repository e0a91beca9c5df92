"""Attention rollout: from which part of its input the attention of a branch takes its features."""

import ecglib._keras  # noqa: F401

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from ecglib.errors import EcgError
from ecglib.experiment.branches import get_representation
from ecglib.explain.attribution import Attribution, describe
from ecglib.explain.branch_layers import list_branch_layers, resample_axis
from ecglib.explain.gradients import compute_outputs
from ecglib.explain.scores import ClassScore

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)


def compute_attention_rollout(target: ClassScore, branch: str) -> Attribution:
    """Compute how much of the input of a branch reaches its features through attention.

    The map depends on the window, but not on the class: it says where information is taken from,
    not whether it speaks for the class.

    Parameters
    ----------
    target : ClassScore
        What is explained, as a function of the representations (`build_representation_scores`).
    branch : str
        Name of a branch whose encoder has self-attention, such as ``cnn_attention``,
        ``cnn_transformer`` or ``patch_transformer``.

    Returns
    -------
    Attribution
        Not negative, in no unit, resampled to the axes of the representation without its leads:
        (n_windows, n_samples), (n_windows, n_bins) or (n_windows, n_frames, n_bins).

    Raises
    ------
    EcgError
        If the model has no such branch, or its encoder no self-attention between parts of its
        input.

    Notes
    -----
    Abnar and Zuidema, "Quantifying attention flow in transformers" (ACL 2020, arXiv:2005.00928),
    see `roll_out_attention`. The features are pooled from the tokens by a learned attention, whose
    weights are then those of the tokens, or by the mean. Between the tokens, the map is
    interpolated linearly. A token is the output of convolutions, and depends on more of the input
    than its place.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract
    >>> from ecglib.explain.run_scores import build_representation_scores
    >>> from ecglib.models import ModelSpec, build_model
    >>> spec = ModelSpec(
    ...     branches={"time": "cnn_attention"},
    ...     fusion="none",
    ...     n_classes=2,
    ...     kind="multi_label",
    ...     width=4,
    ... )
    >>> network = build_model({"time": (200, 2)}, spec)
    >>> scores = build_representation_scores(make_contract(["time"]), network)
    >>> windows = {"time": np.random.default_rng(0).normal(size=(1, 200, 2))}
    >>> target = ClassScore(scores=scores, inputs=windows, class_name="MI", windows=("noise",))
    >>> compute_attention_rollout(target, "time").values.shape
    (1, 200)
    """
    layers = list_branch_layers(target.model, branch, "Attention rollout")
    attentions = [one for one in layers if isinstance(one, keras.layers.MultiHeadAttention)]
    if not attentions:
        raise EcgError(
            f"The encoder of {branch!r} has no self-attention, so there is no attention rollout. "
            f"Use another method for this branch."
        )
    grid = _find_grid(layers, attentions[0], branch)
    rolled_out = roll_out_attention(compute_attention(target.model, attentions, target.inputs))
    weights = _compute_pooling(target, layers, attentions[-1], rolled_out.shape[:2])
    values = np.einsum("wi,wij->wj", weights, rolled_out).reshape(-1, *grid)
    representation = get_representation(branch)
    axes = target.scores.inputs[representation].axes[: len(grid)]
    for place, axis in enumerate(axes, start=1):
        values = resample_axis(values, place, len(axis.values))
    return describe(target, {representation: values}, "attention rollout", "", axes)[representation]


def roll_out_attention(attention: Sequence[np.ndarray]) -> np.ndarray:
    """Multiply the attention of layers with a shortcut around each.

    Parameters
    ----------
    attention : sequence of array of shape (n_windows, n_heads, n_tokens, n_tokens)
        Weights of each layer, the first layer first; the rows add up to 1.

    Returns
    -------
    array of shape (n_windows, n_tokens, n_tokens)
        How much of each token of the input, the last axis, is in each token of the output. The
        rows add up to 1.

    Notes
    -----
    Abnar and Zuidema (2020): the heads are averaged; half of a token comes through the shortcut,
    half through the attention; the matrices of the layers are multiplied.

    Examples
    --------
    >>> uniform = np.full((1, 2, 4, 4), 0.25)
    >>> roll_out_attention([uniform])[0, 0].tolist()
    [0.625, 0.125, 0.125, 0.125]
    """
    identity = np.eye(attention[0].shape[-1])
    found = identity[None]
    for weights in attention:
        found = (weights.astype(float).mean(axis=1) + identity) / 2 @ found
    return found


def compute_attention(
    model: keras.Model,
    layers: Sequence[keras.layers.MultiHeadAttention],
    inputs: Mapping[str, np.ndarray],
) -> list[np.ndarray]:
    """Compute the weights of attention layers of a model.

    Parameters
    ----------
    model : keras.Model
        A functional model.
    layers : sequence of keras.layers.MultiHeadAttention
        Layers of the model.
    inputs : mapping of str to array of shape (n_windows, ...)
        Name of an input -> its values.

    Returns
    -------
    list of array of shape (n_windows, n_heads, n_queries, n_keys)

    Examples
    --------
    >>> x = keras.Input((5, 8), name="x")
    >>> attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    >>> model = keras.Model(x, attention(x, x))
    >>> compute_attention(model, [attention], {"x": np.zeros((1, 5, 8))})[0].shape
    (1, 2, 5, 5)
    """
    # A query and a value for each layer; the keys are the values.
    tensors = [x for layer in layers for x in keras.tree.flatten(layer.input)[:2]]
    given = compute_outputs(keras.Model(model.inputs, tensors), inputs)
    pairs = zip(given[::2], given[1::2], strict=True)
    return [_attend(layer, *pair) for layer, pair in zip(layers, pairs, strict=True)]


def _attend(
    layer: keras.layers.MultiHeadAttention, query: np.ndarray, value: np.ndarray
) -> np.ndarray:
    _, weights = layer(query, value, return_attention_scores=True, training=False)
    return ops.convert_to_numpy(weights)


def _find_grid(
    layers: Sequence[keras.layers.Layer], first: keras.layers.MultiHeadAttention, branch: str
) -> tuple[int, ...]:
    """Find which parts of the input the tokens are: (n_steps,) or (n_frames, n_bins)."""
    before = layers[: layers.index(first)]
    shapes = [layer.output.shape for layer in before if isinstance(layer, CONVOLUTIONS)]
    shapes = shapes or [keras.tree.flatten(first.input)[0].shape]
    grid = tuple(shapes[-1][1:-1])
    n_tokens = keras.tree.flatten(first.input)[0].shape[1]
    if int(np.prod(grid)) != n_tokens:
        raise EcgError(
            f"The encoder of {branch!r} attends between {n_tokens} tokens, and its last "
            f"convolution has the places {grid}. Attention rollout needs one token for each place."
        )
    return grid


def _compute_pooling(
    target: ClassScore,
    layers: Sequence[keras.layers.Layer],
    last: keras.layers.MultiHeadAttention,
    shape: tuple[int, int],
) -> np.ndarray:
    """Compute the weights by which the features are pooled from the tokens, (n_windows, n)."""
    after = layers[layers.index(last) :]
    softmax = [layer for layer in after if isinstance(layer, keras.layers.Softmax)]
    if not softmax:
        return np.full((len(target.windows), shape[1]), 1 / shape[1])
    return compute_outputs(keras.Model(target.model.inputs, softmax[0].output), target.inputs)[
        ..., 0
    ]
