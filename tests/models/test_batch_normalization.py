"""The fused kernel computes the same as Keras."""

import keras
import numpy as np
import pytest
from backends import compute_weight_gradients

from ecglib.models.batch_normalization import BatchNormalization

RANDOM = np.random.default_rng(0)


def build_both(shape):
    """Build a model with our layer and one with that of Keras, with the same weights."""
    models = []
    for layer in (BatchNormalization, keras.layers.BatchNormalization):
        normalization = layer(
            momentum=0.9,
            gamma_initializer=keras.initializers.RandomUniform(0.5, 2, seed=0),
            beta_initializer=keras.initializers.RandomUniform(0.5, 2, seed=1),
        )
        x = keras.Input(shape[1:], name="x")
        models.append(keras.Model([x], normalization(x)))
    return models


def compute_error(target):
    """Return the function from an output to its mean squared error."""
    return lambda y: keras.ops.mean(keras.ops.subtract(y, target) ** 2)


def array(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("shape", [(8, 5), (6, 50, 3), (4, 7, 5, 3), (1, 1, 3)])
def test_training_and_prediction_are_those_of_keras(shape):
    x = RANDOM.normal(3.0, 0.5, shape).astype("float32")
    target = RANDOM.normal(size=shape).astype("float32")
    found = []
    for model in build_both(shape):
        gradients = compute_weight_gradients(model, [x], compute_error(target))
        trained = model([x], training=True)
        moving = [array(weight) for weight in model.layers[-1].non_trainable_weights]
        found.append([*map(array, gradients), array(trained), *moving, array(model([x]))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_the_input_is_that_of_keras():
    x = RANDOM.normal(3.0, 0.5, (6, 50, 3)).astype("float32")
    target = RANDOM.normal(size=(6, 50, 3)).astype("float32")
    found = []
    for layer in (BatchNormalization, keras.layers.BatchNormalization):
        inputs = keras.Input((50, 3), name="x")
        scale = keras.layers.Dense(3, kernel_initializer="identity")
        model = keras.Model([inputs], layer()(scale(inputs)))
        found.append([*map(array, compute_weight_gradients(model, [x], compute_error(target)))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_keeps_its_statistics():
    model, _ = build_both((6, 50, 3))
    model.layers[-1].trainable = False
    before = model.get_weights()
    model(np.ones((6, 50, 3), "float32"), training=True)
    for expected, weight in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
