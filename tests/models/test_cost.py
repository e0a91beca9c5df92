import math

import keras
import pytest
from backends import BACKEND
from check import build_tiny_model
from keras import layers

from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS
from ecglib.models import build_ensemble, count_multiply_adds
from ecglib.models.cost import find_uncounted_layers

# The encoders of a scalogram are those of a spectrogram.
ALL = [
    (name, encoder)
    for name, representation in REPRESENTATIONS.items()
    if name != "scalogram"
    for encoder in representation.encoders
]
FOUR = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d", "tabular": "mlp"}


def count_by_tensorflow(model) -> float:
    """Count the multiply-adds in TensorFlow's graph of one window.

    Its profiler counts all convolutions and matrix products except einsums; those are counted by
    their equations. It counts a loop once, so the LSTMs are unrolled.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    for layer in model._flatten_layers():
        if hasattr(layer, "unroll"):
            layer.unroll = True
    specs = [tf.TensorSpec((1, *x.shape[1:])) for x in model.inputs]
    traced = tf.function(lambda *x: model(list(x), training=False)).get_concrete_function(*specs)
    graph = convert_variables_to_constants_v2(traced).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    options = options.with_accounted_types([".*MatMul.*", "Conv.*"]).with_empty_output().build()
    counted = profiler.profile(graph, options=options).total_float_ops / 2
    einsums = [op for op in graph.get_operations() if op.type == "Einsum"]
    return counted + sum(map(count_einsum, einsums))


def count_einsum(op) -> int:
    sizes = {}
    operands = op.get_attr("equation").decode().split("->")[0].split(",")
    for letters, tensor in zip(operands, op.inputs, strict=True):
        sizes.update(zip(letters, tensor.shape, strict=True))
    return math.prod(sizes.values())


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs the profiler of TensorFlow")
@pytest.mark.parametrize(("name", "encoder"), ALL)
def test_every_encoder_costs_what_tensorflow_counts(name, encoder):
    model = build_tiny_model({name: encoder}, "none")
    assert count_multiply_adds(model) == count_by_tensorflow(model)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs the profiler of TensorFlow")
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_costs_what_tensorflow_counts(fusion):
    model = build_tiny_model(FOUR, fusion)
    assert count_multiply_adds(model) == count_by_tensorflow(model)


def test_a_small_model_costs_what_is_counted_by_hand():
    x = keras.Input((10, 3))
    y = layers.Conv1D(4, 5, strides=2, padding="same")(x)  # 5 steps
    y = layers.BatchNormalization()(y)
    y = layers.Bidirectional(layers.LSTM(6))(y)
    y = layers.Dense(2, "softmax")(y)
    lstm = 5 * 4 * 6 * (4 + 6)
    assert count_multiply_adds(keras.Model(x, y)) == 5 * 4 * (5 * 3) + 2 * lstm + 12 * 2


def test_attention_costs_what_is_counted_by_hand():
    x, context = keras.Input((3, 8)), keras.Input((5, 6))
    y = layers.MultiHeadAttention(num_heads=2, key_dim=4, value_dim=3)(x, context)
    projected = 3 * 8 * 8 + 5 * 6 * 8 + 5 * 6 * 6
    assert (
        count_multiply_adds(keras.Model([x, context], y)) == projected + 3 * 5 * (8 + 6) + 3 * 6 * 8
    )


def test_a_layer_that_is_called_twice_costs_twice():
    x, layer = keras.Input((7,)), layers.Dense(7)
    assert count_multiply_adds(keras.Model(x, layer(layer(x)))) == 2 * 49


def test_a_layer_that_does_not_reach_the_output_costs_nothing():
    x = keras.Input((7,))
    layers.Dense(100)(x)
    assert count_multiply_adds(keras.Model(x, layers.Dense(2)(x))) == 14


def test_an_ensemble_costs_the_sum_of_its_models():
    models = [build_tiny_model({"frequency": "cnn"}, "none", seed=seed) for seed in (1, 2)]
    assert count_multiply_adds(build_ensemble(models)) == 2 * count_multiply_adds(models[0])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.GRU(3), 7 * 3 * 3 * (2 + 3)),
        (layers.Bidirectional(layers.SimpleRNN(3)), 2 * 7 * 3 * (2 + 3)),
        (layers.DepthwiseConv1D(4, depth_multiplier=3), 4 * 6 * 4),
        # a depthwise convolution to 2 channels, then a product with 3 filters
        (layers.SeparableConv1D(3, 4), 4 * (2 * 4 + 2 * 3)),
    ],
)
def test_the_cost_of_other_layers_of_keras(layer, expected):
    x = keras.Input((7, 2))
    assert count_multiply_adds(keras.Model(x, layer(x))) == expected


class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=shape[1:])

    def call(self, x):
        return x * self.scale


class Counted(Scaled):
    def count_multiply_adds(self, inputs, outputs):
        return inputs[0][1] * outputs[0][2]


def test_the_cost_of_a_layer_without_a_rule_is_not_known():
    x = keras.Input((7, 2))
    model = keras.Model(x, layers.Dense(1)(Scaled(name="scaled")(x)))
    assert count_multiply_adds(model) is None
    assert [layer.name for layer in find_uncounted_layers(model)] == ["scaled"]


def test_a_layer_may_count_its_multiply_adds_itself():
    x = keras.Input((7, 2))
    assert count_multiply_adds(keras.Model(x, Counted()(x))) == 7 * 2
