"""Grad-CAM: where the last convolution of a branch finds evidence for a class."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import keras
import numpy as np

from ecglib.errors import EcgError
from ecglib.experiment.branches import get_representation
from ecglib.explain.attribution import Attribution, describe
from ecglib.explain.gradients import compute_gradients, compute_outputs
from ecglib.explain.scores import ClassScore
from ecglib.models.fusion.branches import find_branches

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)
# What belongs to a convolution: the activation that follows it is explained, not its raw sum.
FOLLOWING = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.ReLU,
)


def compute_grad_cam(target: ClassScore, branch: str) -> Attribution:
    """Compute Grad-CAM on the last convolution of a branch.

    Parameters
    ----------
    target : ClassScore
        What is explained, as a function of the representations (`build_representation_scores`).
    branch : str
        Name of the branch, such as "time" or "spectrogram".

    Returns
    -------
    Attribution
        Not negative, in no unit, resampled to the axes of the representation without its leads:
        (n_windows, n_samples), (n_windows, n_bins) or (n_windows, n_frames, n_bins).

    Raises
    ------
    EcgError
        If the model has no such branch, or the branch no convolution.

    Notes
    -----
    Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization" (ICCV 2017, arXiv:1610.02391): the channels of the convolution, after its
    normalization, shortcut and activation, each weighted by the mean gradient of the score over
    their places, are added, and negative sums are set to 0. Between the places, the map is
    interpolated linearly; it cannot be finer than they are.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> from ecglib.explain.run_scores import build_representation_scores
    >>> contract = make_contract(["spectrogram"])
    >>> scores = build_representation_scores(contract, make_network(contract))
    >>> windows = {"spectrogram": np.zeros((1, *scores.inputs["spectrogram"].shape))}
    >>> target = ClassScore(scores=scores, inputs=windows, class_name="MI", windows=("silence",))
    >>> [axis.name for axis in compute_grad_cam(target, "spectrogram").axes]
    ['time', 'frequency']
    """
    activation = _find_activation(target.model, branch)
    to_activation = keras.Model(target.model.inputs, activation)
    from_activation = keras.Model([activation, *target.model.inputs], target.model.outputs[0])
    name = from_activation.inputs[0].name
    a = compute_outputs(to_activation, target.inputs)
    inputs = {name: a, **target.inputs}
    gradients = compute_gradients(from_activation, inputs, target.class_index)[name]
    places = tuple(range(1, a.ndim - 1))
    weights = gradients.mean(axis=places, keepdims=True)
    values = np.maximum((weights * a).sum(axis=-1), 0)
    representation = get_representation(branch)
    axes = target.scores.inputs[representation].axes[: values.ndim - 1]
    for place, axis in enumerate(axes, start=1):
        values = _resample(values, place, len(axis.values))
    return describe(target, {representation: values}, "Grad-CAM", "", axes)[representation]


def _find_activation(model: keras.Model, branch: str) -> Tensor:
    """Find the output of the last convolution of a branch with what belongs to it."""
    branches = find_branches(model)
    if branch not in branches:
        raise EcgError(
            f"The model has no branch {branch!r} with an encoder, only {branches}. Grad-CAM needs "
            f"a branch of a model from the representations (`build_representation_scores`)."
        )
    layers = _list_layers(model, branch)
    convolutions = [layer for layer in layers if isinstance(layer, CONVOLUTIONS)]
    if not convolutions:
        raise EcgError(
            f"The encoder of {branch!r} has no convolution, so there is no Grad-CAM. Use another "
            f"method for this branch."
        )
    found = convolutions[-1].output
    while True:
        following = [layer for layer in layers if _takes(layer, found)]
        if len(following) != 1 or not isinstance(following[0], FOLLOWING):
            return found
        found = following[0].output


def _list_layers(model: keras.Model, branch: str) -> list[keras.layers.Layer]:
    """List the layers between the input and the features of a branch, in the model's order."""
    makers = {id(x): layer for layer in model.layers for x in keras.tree.flatten(layer.output)}
    found, waiting = set(), [model.get_layer(f"{branch}_features")]
    while waiting:
        layer = waiting.pop()
        if layer not in found:
            found.add(layer)
            waiting += [makers[id(x)] for x in keras.tree.flatten(layer.input) if id(x) in makers]
    return [layer for layer in model.layers if layer in found]


def _takes(layer: keras.layers.Layer, tensor: Tensor) -> bool:
    return any(x is tensor for x in keras.tree.flatten(layer.input))


def _resample(values: np.ndarray, place: int, n: int) -> np.ndarray:
    """Interpolate one axis linearly to `n` places that cover the same length."""
    n_given = values.shape[place]
    centers = (np.arange(n) + 0.5) * n_given / n - 0.5
    matrix = np.stack([np.interp(centers, np.arange(n_given), row) for row in np.eye(n_given)])
    return np.moveaxis(np.tensordot(values, matrix, axes=(place, 0)), -1, place)
