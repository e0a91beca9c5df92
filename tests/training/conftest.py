"""A small model, compiled as the training compiles its models."""

import keras
import pytest

from ecglib.experiment.settings import TrainingSettings
from ecglib.training.optimizers import compile_model


def build_small_model(seed=0):
    keras.utils.set_random_seed(seed)
    x = keras.Input((4,))
    y = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dense(3)(x))
    return keras.Model(x, keras.layers.Dense(1, activation="sigmoid")(y))


@pytest.fixture
def compile_small_model():
    """Build and compile the model with other settings; return it and its optimizer."""

    def compile_with(**settings):
        model, loss = build_small_model(), keras.losses.BinaryCrossentropy()
        return model, compile_model(model, loss, TrainingSettings(**settings), n_steps=9)

    return compile_with
