"""Training steps of our own models: ``python -m benchmarks.keras_steps time cnn``.

A worker (`benchmarks.worker`): ``step`` is what `fit` calls for a batch, compiled as
`ecglib.training.trainer` does it, on one batch of noise that is there already; ``convolutions`` is what of
that TensorFlow's convolutions take, forward and backward, with nothing between them;
``tensorflow`` and ``numpy`` are the matrix products that tell what the machine can do.
"""

import sys

import numpy as np

from benchmarks.noise import LEADS, RATE_HZ
from benchmarks.worker import serve

BATCH = 64
N_SAMPLES = 1000
N_CLASSES = 5
PRODUCT = 2048  # rows and columns of the matrices


def main(representation: str, encoder: str) -> None:
    """Build the model and wait for work."""
    from ecglib import models
    from ecglib.training import input_pipeline

    input_pipeline.make_deterministic(0)
    model = branch(representation, encoder)
    sides = {"step": training_step(model), "convolutions": convolutions(model), **products()}
    told = {
        "parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "multiply_adds": models.count_multiply_adds(model),
    }
    serve(sides, **told)


def branch(representation: str, encoder: str):
    """A model of one branch as an experiment with the usual values has it."""
    from ecglib import models

    settings = models.ModelSettings(
        branches={representation: encoder},
        fusion="none",
        n_classes=N_CLASSES,
        kind="multi_label",
    )
    return models.build_model({representation: view_shape(representation)}, settings)


def view_shape(representation: str) -> tuple[int, ...]:
    """Shape of the view of one window of ten seconds."""
    from ecglib.datasets.schema import SignalSpec
    from ecglib.representations import build_representations

    signal = SignalSpec(RATE_HZ, N_SAMPLES, LEADS)
    return tuple(
        build_representations(signal, [representation], (0.0, 0.0)).output[representation].shape[1:]
    )


def training_step(model):
    """A function that does one step on the same batch over and over."""
    import tensorflow as tf

    from ecglib.experiment.config import TrainingSettings
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


def convolutions(model):
    """A function that does the convolutions of a step, forward and by weights and input.

    The layers follow one another; of the first not by its input, from which nothing is learned.
    """
    import keras
    import tensorflow as tf

    layers = [own for own in model.layers if isinstance(own, keras.layers.Conv1D)]
    rng = np.random.default_rng(0)
    shapes = [(BATCH, *own.input.shape[1:]) for own in layers]
    inputs = [tf.constant(rng.standard_normal(shape, np.float32)) for shape in shapes]

    @tf.function
    def work():
        gradients = []
        for number, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            # What comes from above is the output itself: nothing else is computed for it.
            wanted = [layer.kernel.value] + ([x] if number else [])
            gradients += tape.gradient(y, wanted, output_gradients=y)
        return gradients

    return work


def products() -> dict:
    """Products of two square float32 matrices, by each library that may be the faster."""
    import tensorflow as tf

    one = np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT), np.float32)
    fixed = tf.constant(one)
    return {"tensorflow": lambda: tf.matmul(fixed, fixed).numpy(), "numpy": lambda: one @ one}


if __name__ == "__main__":
    main(*sys.argv[1:])
