import math

import keras
import pytest
from backends import BACKEND
from check import tiny_model
from keras import layers

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS
from ecglib.models import build_ensemble, count_multiply_adds

# The encoders of a scalogram are those of a spectrogram.
ALL = [
    (name, encoder)
    for name, representation in REPRESENTATIONS.items()
    if name != "scalogram"
    for encoder in representation.encoders
]
FOUR = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d", "tabular": "mlp"}


def by_tensorflow(model) -> float:
    """Multiply-adds of the convolutions and matrix products in TensorFlow's graph of one window.

    Its profiler counts all but the einsums; those are counted by their equations. A loop would be
    counted once, so the LSTMs are unrolled.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    for layer in model._flatten_layers():
        if hasattr(layer, "unroll"):
            layer.unroll = True
    given = [tf.TensorSpec((1, *x.shape[1:])) for x in model.inputs]
    traced = tf.function(lambda *x: model(list(x), training=False)).get_concrete_function(*given)
    graph = convert_variables_to_constants_v2(traced).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    options = options.with_accounted_types([".*MatMul.*", "Conv.*"]).with_empty_output().build()
    counted = profiler.profile(graph, options=options).total_float_ops / 2
    einsums = [op for op in graph.get_operations() if op.type == "Einsum"]
    return counted + sum(map(of_einsum, einsums))


def of_einsum(op) -> int:
    sizes = {}
    taken = op.get_attr("equation").decode().split("->")[0].split(",")
    for letters, tensor in zip(taken, op.inputs, strict=True):
        sizes.update(zip(letters, tensor.shape, strict=True))
    return math.prod(sizes.values())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs the profiler of TensorFlow")
@pytest.mark.parametrize(("name", "encoder"), ALL)
def test_every_encoder_costs_what_tensorflow_counts(name, encoder):
    model = tiny_model({name: encoder}, "none")
    assert count_multiply_adds(model) == by_tensorflow(model)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs the profiler of TensorFlow")
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_costs_what_tensorflow_counts(fusion):
    model = tiny_model(FOUR, fusion)
    assert count_multiply_adds(model) == by_tensorflow(model)


def test_a_small_model_counted_by_hand():
    x = keras.Input((10, 3))
    y = layers.Conv1D(4, 5, strides=2, padding="same")(x)  # 5 steps
    y = layers.BatchNormalization()(y)
    y = layers.Bidirectional(layers.LSTM(6))(y)
    y = layers.Dense(2, "softmax")(y)
    lstm = 5 * 4 * 6 * (4 + 6)
    assert count_multiply_adds(keras.Model(x, y)) == 5 * 4 * (5 * 3) + 2 * lstm + 12 * 2


def test_attention_counted_by_hand():
    x, context = keras.Input((3, 8)), keras.Input((5, 6))
    y = layers.MultiHeadAttention(num_heads=2, key_dim=4, value_dim=3)(x, context)
    projected = 3 * 8 * 8 + 5 * 6 * 8 + 5 * 6 * 6
    assert (
        count_multiply_adds(keras.Model([x, context], y)) == projected + 3 * 5 * (8 + 6) + 3 * 6 * 8
    )


def test_a_layer_that_is_called_twice_costs_twice():
    x, layer = keras.Input((7,)), layers.Dense(7)
    assert count_multiply_adds(keras.Model(x, layer(layer(x)))) == 2 * 49


def test_a_layer_that_is_not_part_of_the_answer_costs_nothing():
    x = keras.Input((7,))
    layers.Dense(100)(x)
    assert count_multiply_adds(keras.Model(x, layers.Dense(2)(x))) == 14


def test_an_ensemble_costs_its_members():
    members = [tiny_model({"frequency": "cnn"}, "none", seed=seed) for seed in (1, 2)]
    assert count_multiply_adds(build_ensemble(members)) == 2 * count_multiply_adds(members[0])


@pytest.mark.parametrize("layer", [layers.GRU(3), layers.SeparableConv1D(3, 2)])
def test_a_layer_without_a_rule_is_refused(layer):
    x = keras.Input((7, 2))
    with pytest.raises(ExperimentError, match=f"{layer.name}.* rule in `ecglib.models.cost`"):
        count_multiply_adds(keras.Model(x, layer(x)))
