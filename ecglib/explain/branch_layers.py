"""The layers of one branch of a model, and maps of what they see on the axes of its input."""

import ecglib._keras  # noqa: F401

import keras
import numpy as np

from ecglib.errors import EcgError
from ecglib.models.fusion.branches import find_branches


def list_branch_layers(model: keras.Model, branch: str, method: str) -> list[keras.layers.Layer]:
    """List the layers between the input and the features of a branch, in the model's order.

    Parameters
    ----------
    model : keras.Model
        A model from the representations.
    branch : str
        Name of the branch.
    method : str
        Name of the method that needs them, for the error.

    Returns
    -------
    list of keras.layers.Layer

    Raises
    ------
    EcgError
        If the model has no such branch with an encoder.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> network = make_network(make_contract(["time", "frequency"]))
    >>> [layer.name for layer in list_branch_layers(network, "time", "Grad-CAM")][:2]
    ['time', 'time_scaling']
    """
    if branch not in (branches := find_branches(model)):
        raise EcgError(
            f"The model has no branch {branch!r} with an encoder, only {branches}. {method} needs "
            f"a branch of a model from the representations (`build_representation_scores`)."
        )
    makers = {id(x): layer for layer in model.layers for x in keras.tree.flatten(layer.output)}
    found, waiting = set(), [model.get_layer(f"{branch}_features")]
    while waiting:
        layer = waiting.pop()
        if layer not in found:
            found.add(layer)
            waiting += [makers[id(x)] for x in keras.tree.flatten(layer.input) if id(x) in makers]
    return [layer for layer in model.layers if layer in found]


def resample_axis(values: np.ndarray, place: int, n: int) -> np.ndarray:
    """Interpolate one axis linearly to `n` places that cover the same length.

    Parameters
    ----------
    values : array
        Values at the centers of places of equal length.
    place : int
        The axis.
    n : int
        Its new length.

    Returns
    -------
    array
        As `values`, with another length of the axis.

    Examples
    --------
    >>> resample_axis(np.array([[0.0, 4.0]]), 1, 4).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    n_given = values.shape[place]
    centers = (np.arange(n) + 0.5) * n_given / n - 0.5
    matrix = np.stack([np.interp(centers, np.arange(n_given), row) for row in np.eye(n_given)])
    return np.moveaxis(np.tensordot(values, matrix, axes=(place, 0)), -1, place)
