"""Scores and their gradients with respect to the inputs of a model, on the backend of Keras.

This module alone knows how TensorFlow, JAX and PyTorch differentiate.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
from keras import ops

BATCH_SIZE = 64

SumScores = Callable[[list[Tensor]], Tensor]


def compute_scores(
    model: keras.Model, inputs: Mapping[str, np.ndarray], class_index: int
) -> np.ndarray:
    """Compute the score of one class.

    Parameters
    ----------
    model : keras.Model
        A functional model with one output, (n_windows, n_classes).
    inputs : mapping of str to array of shape (n_windows, ...)
        Name of an input -> its values.
    class_index : int
        The class.

    Returns
    -------
    array of shape (n_windows,)
        What the model predicts for the class, not in training.

    Examples
    --------
    >>> x = keras.Input((2,), name="x")
    >>> model = keras.Model(x, keras.layers.Dense(1, kernel_initializer="ones")(x))
    >>> compute_scores(model, {"x": np.array([[1.0, 2.0]])}, 0).tolist()
    [3.0]
    """
    batches = _iterate_batches(model, inputs)
    return np.concatenate(
        [ops.convert_to_numpy(_call(model, batch)[:, class_index]) for batch in batches]
    )


def compute_gradients(
    model: keras.Model, inputs: Mapping[str, np.ndarray], class_index: int
) -> dict[str, np.ndarray]:
    """Compute the gradient of the score of one class with respect to each input.

    Parameters
    ----------
    model : keras.Model
        A functional model with one output, (n_windows, n_classes), in which a window does not
        depend on the others. The output has to be the score: for probabilities, use the logits of
        `ecglib.explain.build_score_model`.
    inputs : mapping of str to array of shape (n_windows, ...)
        Name of an input -> its values.
    class_index : int
        The class.

    Returns
    -------
    dict of str to array of shape (n_windows, ...)
        Name of an input -> gradient, in units of the score per unit of the input; 0 for an input
        that the model does not use.

    Examples
    --------
    >>> x = keras.Input((2,), name="x")
    >>> model = keras.Model(x, keras.layers.Dense(1, kernel_initializer="ones")(x))
    >>> compute_gradients(model, {"x": np.array([[1.0, 2.0]])}, 0)["x"].tolist()
    [[1.0, 1.0]]
    """
    differentiate = _DIFFERENTIATE[keras.backend.backend()]

    def sum_scores(tensors: list[Tensor]) -> Tensor:
        return ops.sum(_call(model, tensors)[:, class_index])

    found = [differentiate(sum_scores, batch) for batch in _iterate_batches(model, inputs)]
    return {
        x.name: np.concatenate(parts)
        for x, parts in zip(model.inputs, zip(*found, strict=True), strict=True)
    }


def _iterate_batches(
    model: keras.Model, inputs: Mapping[str, np.ndarray]
) -> Iterator[list[Tensor]]:
    """Yield the inputs of the model, in its order, for some windows at a time."""
    arrays = [inputs[x.name] for x in model.inputs]
    for start in range(0, len(arrays[0]), BATCH_SIZE):
        stop = start + BATCH_SIZE
        yield [ops.convert_to_tensor(array[start:stop], "float32") for array in arrays]


def _call(model: keras.Model, tensors: list[Tensor]) -> Tensor:
    return model(keras.tree.pack_sequence_as(model.input, tensors), training=False)


def _differentiate_on_tensorflow(function: SumScores, tensors: list[Tensor]) -> list[np.ndarray]:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        y = function(tensors)
    return [x.numpy() for x in tape.gradient(y, tensors, unconnected_gradients="zero")]


def _differentiate_on_jax(function: SumScores, tensors: list[Tensor]) -> list[np.ndarray]:
    import jax

    return [np.asarray(x) for x in jax.grad(function)(tensors)]


def _differentiate_on_torch(function: SumScores, tensors: list[Tensor]) -> list[np.ndarray]:
    import torch

    leaves = [x.detach().requires_grad_() for x in tensors]
    gradients = torch.autograd.grad(function(leaves), leaves, allow_unused=True)
    return [
        np.zeros(x.shape, np.float32) if gradient is None else gradient.cpu().numpy()
        for x, gradient in zip(leaves, gradients, strict=True)
    ]


_DIFFERENTIATE: Mapping[str, Callable[[SumScores, list[Tensor]], list[np.ndarray]]] = {
    "tensorflow": _differentiate_on_tensorflow,
    "jax": _differentiate_on_jax,
    "torch": _differentiate_on_torch,
}
