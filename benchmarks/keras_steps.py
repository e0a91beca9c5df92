"""Training steps of our models: ``python -m benchmarks.keras_steps time cnn``.

This is a worker (`benchmarks.worker`). ``step`` is what `fit` calls for a batch, compiled as by
`ecglib.training.optimizers`, on one batch of noise in memory. ``convolutions`` is the part of it
that TensorFlow's convolutions take, forward and backward, without anything between them.
``tensorflow`` and ``numpy`` are matrix products, which show what the machine can do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.noise import LEADS, RATE_HZ
from benchmarks.worker import serve

if TYPE_CHECKING:
    import keras

BATCH = 64
N_SAMPLES = 1000
N_CLASSES = 5
PRODUCT_SIZE = 2048  # rows and columns of the matrices


def main(representation: str, encoder: str) -> None:
    """Build the model and wait for work."""
    from ecglib import models
    from ecglib.training import devices

    # As many threads as PyTorch takes in the other process; a run takes one.
    os.environ.setdefault("ECGLIB_THREADS", str(os.cpu_count() or 1))
    devices.make_deterministic(0)
    model = build_branch(representation, encoder)
    works = {"step": make_training_step(model), "convolutions": make_convolutions(model)}
    serve(
        works | make_products(),
        parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        multiply_adds=models.count_multiply_adds(model),
    )


def build_branch(representation: str, encoder: str) -> keras.Model:
    """Build the model of one branch that an experiment with default values has."""
    from ecglib import models

    settings = models.ModelSpec(
        branches={representation: encoder},
        fusion="none",
        n_classes=N_CLASSES,
        kind="multi_label",
    )
    return models.build_model({representation: compute_shape(representation)}, settings)


def compute_shape(representation: str) -> tuple[int, ...]:
    """Compute the shape of the representation of one window of ten seconds."""
    from ecglib.datasets.schema import SignalSpec
    from ecglib.representations import build_representations

    signal = SignalSpec(RATE_HZ, N_SAMPLES, LEADS)
    model = build_representations(signal, [representation], (0.0, 0.0))
    return tuple(model.output[representation].shape[1:])


def make_training_step(model: keras.Model) -> Callable[[], object]:
    """Return a function that does one training step, always on the same batch."""
    import tensorflow as tf

    from ecglib.experiment.settings import TrainingSettings
    from ecglib.training.losses import build_loss
    from ecglib.training.optimizers import compile_model

    settings = TrainingSettings()
    loss = build_loss(settings, "multi_label")
    compile_model(model, loss, settings, n_steps=10**6)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, *model.inputs[0].shape[1:]), np.float32)
    y = (rng.random((BATCH, N_CLASSES)) < 0.3).astype(np.float32)
    batches = iter(tf.data.Dataset.from_tensors(({model.inputs[0].name: x}, y)).repeat())
    model.make_train_function()
    return lambda: model.train_function(batches)


def make_convolutions(model: keras.Model) -> Callable[[], object]:
    """Return a function that does the convolutions of a step: forward and both gradients.

    The layers are run one after the other. The gradient with respect to the input is omitted for
    the first layer, which does not need it.
    """
    import keras
    import tensorflow as tf

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv1D)]
    rng = np.random.default_rng(0)
    shapes = [(BATCH, *layer.input.shape[1:]) for layer in layers]
    inputs = [tf.constant(rng.standard_normal(shape, np.float32)) for shape in shapes]

    @tf.function
    def work() -> list:
        gradients: list = []
        for number, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            # The output serves as its own gradient, so that nothing else has to be computed.
            sources = [layer.kernel.value] + ([x] if number else [])
            gradients += tape.gradient(y, sources, output_gradients=y)
        return gradients

    return work


def make_products() -> dict[str, Callable[[], object]]:
    """Return functions that multiply square float32 matrices, by each library."""
    import tensorflow as tf

    matrix = np.random.default_rng(0).standard_normal((PRODUCT_SIZE, PRODUCT_SIZE), np.float32)
    tensor = tf.constant(matrix)
    return {
        "tensorflow": lambda: tf.matmul(tensor, tensor).numpy(),
        "numpy": lambda: matrix @ matrix,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
