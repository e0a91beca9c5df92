"""Scores and their gradients with respect to the inputs of a model, on the backend of Keras.

This module alone knows how TensorFlow, JAX and PyTorch differentiate.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

BATCH_SIZE = 64

N_COMPILED = 4  # models whose compiled functions JAX holds


def compute_outputs(model: keras.Model, inputs: Mapping[str, np.ndarray]) -> Any:
    """Compute the output of a model, not in training.

    Parameters
    ----------
    model : keras.Model
        A functional model.
    inputs : mapping of str to array of shape (n_windows, ...)
        Name of an input -> its values.

    Returns
    -------
    array of shape (n_windows, ...), or a dict of them
        As the model returns it.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.representations import build_representations
    >>> model = build_representations(SignalSpec(100.0, 200, ("I", "II")), ["spectrogram"])
    >>> compute_outputs(model, {"signal": np.zeros((1, 200, 2))})["spectrogram"].shape
    (1, 9, 25, 2)
    """
    predict = _predict_on_jax if keras.backend.backend() == "jax" else _call
    found = [
        keras.tree.map_structure(ops.convert_to_numpy, predict(model, batch))
        for batch in _iterate_batches(model, inputs)
    ]
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)


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
    return compute_outputs(model, inputs)[:, class_index]


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
    batches = _iterate_batches(model, inputs)
    found = [differentiate(model, batch, class_index) for batch in batches]
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


def _differentiate_on_tensorflow(
    model: keras.Model, tensors: list[Tensor], class_index: int
) -> list[np.ndarray]:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        y = ops.sum(_call(model, tensors)[:, class_index])
    return [x.numpy() for x in tape.gradient(y, tensors, unconnected_gradients="zero")]


def _differentiate_on_jax(
    model: keras.Model, tensors: list[Tensor], class_index: int
) -> list[np.ndarray]:
    _, differentiate = _compile_on_jax(model)
    return [np.asarray(x) for x in differentiate(tensors, _get_state(model), class_index)]


def _predict_on_jax(model: keras.Model, tensors: list[Tensor]) -> Tensor:
    predict, _ = _compile_on_jax(model)
    return predict(tensors, _get_state(model))


def _get_state(model: keras.Model) -> tuple[list[Tensor], list[Tensor]]:
    trainable, fixed = model.trainable_variables, model.non_trainable_variables
    return [variable.value for variable in trainable], [variable.value for variable in fixed]


@functools.lru_cache(maxsize=N_COMPILED)
def _compile_on_jax(model: keras.Model) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile the scores and their gradient; operation by operation, JAX takes minutes.

    The weights are arguments: in a compiled function, their values would be constants.
    """
    import jax

    def predict(tensors: list[Tensor], state: tuple[list[Tensor], list[Tensor]]) -> Tensor:
        inputs = keras.tree.pack_sequence_as(model.input, tensors)
        outputs, _ = model.stateless_call(*state, inputs, training=False)
        return outputs

    def sum_scores(
        tensors: list[Tensor], state: tuple[list[Tensor], list[Tensor]], class_index: int
    ) -> Tensor:
        return ops.sum(predict(tensors, state)[:, class_index])

    return jax.jit(predict), jax.jit(jax.grad(sum_scores))


def _differentiate_on_torch(
    model: keras.Model, tensors: list[Tensor], class_index: int
) -> list[np.ndarray]:
    import torch

    leaves = [x.detach().requires_grad_() for x in tensors]
    y = ops.sum(_call(model, leaves)[:, class_index])
    gradients = torch.autograd.grad(y, leaves, allow_unused=True)
    return [
        np.zeros(x.shape, np.float32) if gradient is None else gradient.cpu().numpy()
        for x, gradient in zip(leaves, gradients, strict=True)
    ]


_DIFFERENTIATE: Mapping[str, Callable[[keras.Model, list[Tensor], int], list[np.ndarray]]] = {
    "tensorflow": _differentiate_on_tensorflow,
    "jax": _differentiate_on_jax,
    "torch": _differentiate_on_torch,
}
