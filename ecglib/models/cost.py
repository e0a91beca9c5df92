"""What a model costs: the multiply-adds of one window."""

import math

import keras
from keras import layers

from ecglib.errors import ExperimentError
from ecglib.models.fusion.layers import LearnedTokens, LowRankProduct, Stacking
from ecglib.models.layers import (
    Interpolate,
    PositionEmbedding,
    RandomConvolutions,
    WeightedAverage,
)
from ecglib.models.state_space import CHUNK, StateSpace

# What has weights and multiplies or adds each value once at most: as activations, poolings and
# sums of branches it is not counted, next to what multiplies each value with many others.
ELEMENTWISE = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.Normalization,
    LearnedTokens,
    PositionEmbedding,
    Stacking,
)


def count_multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of a forward pass of one window: those of its convolutions and matrix products.

    One is two floating-point operations. Convolutions count their padding, as TensorFlow's profiler
    does. What is done once for each value (normalization, activation, pooling, gate, bias) is left
    out: all operations of a small network are 2 to 10 % more.

    Parameters
    ----------
    model : keras.Model
        A functional model of `build_model`, or one of `build_ensemble`, whose shapes are known but
        for the number of windows.

    Raises
    ------
    ExperimentError
        If a layer has weights and no rule: nothing is left out without a word.
    """
    return sum(_of_call(node) for node in _nodes(model))


def _nodes(model: keras.Model) -> list:
    """Every call of a layer between the inputs and outputs; a shared layer has one for each."""
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def _of_call(node) -> int:
    layer = node.operation
    taken = [tuple(x.shape) for x in node.arguments.keras_tensors]
    given = [tuple(x.shape) for x in node.outputs]
    if isinstance(layer, keras.Model):
        return count_multiply_adds(layer)
    for kinds, rule in RULES.items():
        if isinstance(layer, kinds):
            return rule(layer, taken, given)
    if getattr(layer, "weights", ()) and not isinstance(layer, ELEMENTWISE):
        seeds = all("seed_generator" in weight.path for weight in layer.weights)
        if not seeds:
            raise ExperimentError(
                f"The layer {layer.name!r} is a {type(layer).__name__}, whose multiply-adds are "
                f"not known. Give it a rule in `ecglib.models.cost`."
            )
    return 0


def _values(shape: tuple) -> int:
    """Values of one window."""
    return math.prod(shape[1:])


def _of_dense(layer, taken, given) -> int:
    return _values(given[0]) * taken[0][-1]


def _of_convolution(layer, taken, given) -> int:
    # A kernel is (*size, channels of its group, filters).
    return _values(given[0]) * math.prod(layer.kernel.shape[:-1])


def _of_lstm(layer, taken, given) -> int:
    _, n_steps, n_channels = taken[0]
    # Four gates, each of the input and of what went before.
    return n_steps * 4 * layer.units * (n_channels + layer.units)


def _of_both_directions(layer, taken, given) -> int:
    return sum(_of_lstm(own, taken, given) for own in (layer.forward_layer, layer.backward_layer))


def _of_attention(layer, taken, given) -> int:
    query, value, key = (*taken, taken[-1])[:3]
    n_asked, n_answers = query[1], value[1]
    keys, values = layer.num_heads * layer.key_dim, layer.num_heads * layer.value_dim
    projected = n_asked * query[2] * keys + n_answers * (key[2] * keys + value[2] * values)
    attended = n_asked * n_answers * (keys + values)
    return projected + attended + n_asked * values * given[0][-1]


def _of_dot(layer, taken, given) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return _values(given[0]) * taken[0][axis]


def _of_random_convolutions(layer, taken, given) -> int:
    n_steps, n_channels = taken[0][1:]
    return n_steps * layer.LENGTH * n_channels * layer.n_kernels


def _of_interpolation(layer, taken, given) -> int:
    return _values(given[0]) * taken[0][1]


def _of_product_of_branches(layer, taken, given) -> int:
    return sum(_values(shape) for shape in taken) * layer.rank * layer.units


def _of_state_space(layer, taken, given) -> int:
    """What is done to the windows; the system, made once a batch of its weights, is not."""
    n_steps, n_channels = taken[0][1:]
    length = min(CHUNK, n_steps)
    n_chunks = math.ceil(n_steps / length)
    within = n_chunks * length**2
    if n_chunks == 1:
        return n_channels * within
    # Of both directions, `n_states` numbers each: into the states, between chunks, out of them.
    ends = 2 * n_chunks * length * 2 * layer.n_states
    between = layer.n_states * (2 * n_chunks) ** 2
    return n_channels * (within + ends + between)


RULES = {
    (layers.Dense,): _of_dense,
    (layers.Conv1D, layers.Conv2D): _of_convolution,
    (layers.LSTM,): _of_lstm,
    (layers.Bidirectional,): _of_both_directions,
    (layers.MultiHeadAttention,): _of_attention,
    (layers.Dot,): _of_dot,
    (RandomConvolutions,): _of_random_convolutions,
    (LowRankProduct,): _of_product_of_branches,
    (StateSpace,): _of_state_space,
    (Interpolate,): _of_interpolation,
    (WeightedAverage,): lambda layer, taken, given: _values(taken[0]),
}
