"""The computational cost of a model: the multiply-adds of one window."""

from ecglib._keras import Tensor

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from ecglib.models.fusion.layers import LearnedTokens, LowRankProduct, Stacking
from ecglib.models.layers import (
    Interpolate,
    PositionEmbedding,
    RandomConvolutions,
    WeightedAverage,
)
from ecglib.models.state_space import CHUNK, StateSpace

Shapes = list[tuple[Any, ...]]
Rule = Callable[[Any, Shapes, Shapes], int | None]

GATES = {layers.LSTM: 4, layers.GRU: 3, layers.SimpleRNN: 1}

# Layers with weights that multiply or add each value at most once. Like activations, poolings and
# sums of branches they are not counted: that is little next to products of each value with many.
ELEMENTWISE = (
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.UnitNormalization,
    LearnedTokens,
    PositionEmbedding,
    Stacking,
)


def count_multiply_adds(model: keras.Model) -> int | None:
    """Count the multiply-adds of the convolutions and matrix products of one window.

    Parameters
    ----------
    model : keras.Model
        A functional model of `build_model` or `build_ensemble`, of which all sizes but the number
        of windows are known.

    Returns
    -------
    int or None
        Multiply-adds of a forward pass; None if a layer has weights, but neither a rule here nor a
        method ``count_multiply_adds(inputs, outputs)``, which gets the shapes of its tensors and
        returns their number. So nothing is silently left uncounted.

    Notes
    -----
    A multiply-add is two floating-point operations. Convolutions include their padding, as in
    TensorFlow's profiler. Operations done once for each value (normalization, activation, pooling,
    gate, bias) are not counted: all operations of a small network are 2 to 10 % more.

    Examples
    --------
    >>> x = keras.Input((7,))
    >>> count_multiply_adds(keras.Model(x, layers.Dense(2)(x)))
    14
    """
    counts = [_count_call(node) for node in _list_calls(model)]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def find_uncounted_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Find the layers whose multiply-adds are not known.

    Parameters
    ----------
    model : keras.Model
        As for `count_multiply_adds`.

    Examples
    --------
    >>> x = keras.Input((7, 2))
    >>> find_uncounted_layers(keras.Model(x, layers.GRU(3)(x)))
    []
    """
    return [node.operation for node in _list_calls(model) if _count_call(node) is None]


def _list_calls(model: keras.Model) -> list[Any]:
    """List the calls of layers between the inputs and outputs; a shared layer has several."""
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def _count_call(node: Any) -> int | None:
    layer = node.operation
    if isinstance(layer, keras.Model):
        return count_multiply_adds(layer)
    inputs = _list_shapes(node.arguments.keras_tensors)
    outputs = _list_shapes(node.outputs)
    for kinds, rule in RULES.items():
        if isinstance(layer, kinds):
            return rule(layer, inputs, outputs)
    if hasattr(layer, "count_multiply_adds"):
        return int(layer.count_multiply_adds(inputs, outputs))
    if getattr(layer, "weights", ()) and not isinstance(layer, ELEMENTWISE):
        has_only_seeds = all("seed_generator" in weight.path for weight in layer.weights)
        if not has_only_seeds:
            return None
    return 0


def _list_shapes(tensors: list[Tensor]) -> Shapes:
    return [tuple(x.shape) for x in tensors]


def _count_values(shape: tuple[Any, ...]) -> int:
    """Count the values of one window."""
    return math.prod(shape[1:])


def _count_dense(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    return _count_values(outputs[0]) * inputs[0][-1]


def _count_convolution(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    # A kernel is (*size, channels of its group, filters).
    return _count_values(outputs[0]) * math.prod(layer.kernel.shape[:-1])


def _count_depthwise(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    return _count_values(outputs[0]) * math.prod(layer.kernel_size)


def _count_separable(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    n_between = inputs[0][-1] * layer.depth_multiplier  # channels between its two convolutions
    n_steps = math.prod(outputs[0][1:-1])
    return n_steps * n_between * (math.prod(layer.kernel_size) + layer.filters)


def _count_recurrent(layer: Any, inputs: Shapes, outputs: Shapes) -> int | None:
    _, n_steps, n_channels = inputs[0]
    if type(layer) not in GATES:
        return None
    # Each gate is a product with the input and with the previous output.
    return n_steps * GATES[type(layer)] * layer.units * (n_channels + layer.units)


def _count_bidirectional(layer: Any, inputs: Shapes, outputs: Shapes) -> int | None:
    forward = _count_recurrent(layer.forward_layer, inputs, outputs)
    backward = _count_recurrent(layer.backward_layer, inputs, outputs)
    return None if forward is None or backward is None else forward + backward


def _count_attention(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    query, value, key = (*inputs, inputs[-1])[:3]
    n_queries, n_keys = query[1], value[1]
    key_channels = layer.num_heads * layer.key_dim
    value_channels = layer.num_heads * layer.value_dim
    projection = n_queries * query[2] * key_channels
    projection += n_keys * (key[2] * key_channels + value[2] * value_channels)
    attention = n_queries * n_keys * (key_channels + value_channels)
    return projection + attention + n_queries * value_channels * outputs[0][-1]


def _count_dot(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return _count_values(outputs[0]) * inputs[0][axis]


def _count_random_convolutions(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    n_steps, n_channels = inputs[0][1:]
    return n_steps * layer.LENGTH * n_channels * layer.n_kernels


def _count_interpolation(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    return _count_values(outputs[0]) * inputs[0][1]


def _count_low_rank_product(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    return sum(_count_values(shape) for shape in inputs) * layer.rank * layer.units


def _count_state_space(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    """Count the operations on the windows, without those on the weights once per batch."""
    n_steps, n_channels = inputs[0][1:]
    length = min(CHUNK, n_steps)
    n_chunks = math.ceil(n_steps / length)
    within = n_chunks * length**2
    if n_chunks == 1:
        return n_channels * within
    # `n_states` numbers for each direction: into the states, between chunks, out of the states.
    ends = 2 * n_chunks * length * 2 * layer.n_states
    between = layer.n_states * (2 * n_chunks) ** 2
    return n_channels * (within + ends + between)


def _count_weighted_average(layer: Any, inputs: Shapes, outputs: Shapes) -> int:
    return _count_values(inputs[0])


RULES: dict[tuple[type, ...], Rule] = {
    (layers.Dense,): _count_dense,
    (layers.Conv1D, layers.Conv2D): _count_convolution,
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D): _count_depthwise,
    (layers.SeparableConv1D, layers.SeparableConv2D): _count_separable,
    tuple(GATES): _count_recurrent,
    (layers.Bidirectional,): _count_bidirectional,
    (layers.MultiHeadAttention,): _count_attention,
    (layers.Dot,): _count_dot,
    (RandomConvolutions,): _count_random_convolutions,
    (LowRankProduct,): _count_low_rank_product,
    (StateSpace,): _count_state_space,
    (Interpolate,): _count_interpolation,
    (WeightedAverage,): _count_weighted_average,
}
