"""Grad-CAM: where the last convolution of a branch finds evidence for a class."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import keras
import numpy as np

from ecglib.errors import EcgError
from ecglib.experiment.branches import get_representation
from ecglib.explain.attribution import Attribution, describe
from ecglib.explain.branch_layers import list_branch_layers, resample_axis
from ecglib.explain.gradients import compute_gradients, compute_outputs
from ecglib.explain.scores import ClassScore

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
        values = resample_axis(values, place, len(axis.values))
    return describe(target, {representation: values}, "Grad-CAM", "", axes)[representation]


def _find_activation(model: keras.Model, branch: str) -> Tensor:
    """Find the output of the last convolution of a branch with what belongs to it."""
    layers = list_branch_layers(model, branch, "Grad-CAM")
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


def _takes(layer: keras.layers.Layer, tensor: Tensor) -> bool:
    return any(x is tensor for x in keras.tree.flatten(layer.input))
