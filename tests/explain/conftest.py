"""Small models of two inputs."""

import keras
import pytest


@pytest.fixture
def linear_model():
    """Two inputs, two classes; the logits are linear."""
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((20, 3), name="first"), keras.Input((10, 3), name="second")]
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(x) for x in inputs])
    p = keras.layers.Dense(2, "sigmoid", bias_initializer="ones", name="probabilities")(flat)
    return keras.Model(inputs, p)


@pytest.fixture
def smooth_model():
    """Two inputs, three exclusive classes, two hidden layers of tanh."""
    keras.utils.set_random_seed(1)
    inputs = [keras.Input((20, 3), name="first"), keras.Input((10, 3), name="second")]
    x = keras.layers.Concatenate()([keras.layers.Flatten()(x) for x in inputs])
    for _ in range(2):
        x = keras.layers.Dense(16, "tanh")(x)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="probabilities")(x))
