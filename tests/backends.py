"""Gradients on the backend that Keras runs on, and the marker of tests that need TensorFlow."""

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
needs_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason=f"needs tf.data, which the backend {BACKEND} does not run"
)


def compute_gradient(function, x: np.ndarray) -> np.ndarray:
    """Compute the gradient at `x` of a scalar function made of Keras operations."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return np.asarray(tape.gradient(y, x))
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(function)(jax.numpy.asarray(x)))
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).backward()
    return x.grad.numpy()


def compute_weight_gradients(model: keras.Model, batch: dict, loss) -> list[np.ndarray | None]:
    """Compute the gradient of ``loss(outputs)``, in training, for each trainable weight."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            y = loss(model(batch, training=True))
        return tape.gradient(y, [weight.value for weight in model.trainable_weights])
    if BACKEND == "jax":
        import jax

        fixed = [weight.value for weight in model.non_trainable_variables]

        def compute_loss(weights):
            outputs, _ = model.stateless_call(weights, fixed, batch, training=True)
            return loss(outputs)

        return jax.grad(compute_loss)([weight.value for weight in model.trainable_variables])
    model.zero_grad()
    loss(model(batch, training=True)).backward()
    return [weight.value.grad for weight in model.trainable_weights]
