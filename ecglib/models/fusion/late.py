"""Late fusions: each branch is classified alone, and the probabilities are combined.

Each branch is trained by a separate loss (`ecglib.models.build_training_model`), so the gradient
trains nothing here. A branch that is missing from a window has no influence on its probabilities.
"""

from ecglib._keras import Tensor

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from ecglib.errors import ExperimentError
from ecglib.models.fusion.branches import BRANCH_OUTPUT, OUTPUT, Branches, find_branches
from ecglib.models.fusion.layers import ProductOfExperts, Stacking
from ecglib.models.layers import WeightedAverage


def late_average(branches: Branches) -> Tensor:
    """Average the probabilities of the branches.

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_average",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("branch_probabilities").output.shape
    (None, 2, 5)
    """
    layer = layers.GlobalAveragePooling1D(name=OUTPUT, dtype="float32")
    stacked = stack_probabilities(branches)
    return layer(stacked) if branches.present is None else layer(stacked, mask=branches.present)


def late_weighted(branches: Branches) -> Tensor:
    """Average the probabilities of the branches with weights that are set after training.

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_weighted",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("probabilities").get_weights()[0].tolist()
    [0.5, 0.5]
    """
    return _combine(branches, WeightedAverage(name=OUTPUT, dtype="float32"))


def late_product(branches: Branches) -> Tensor:
    """Compute the normalized geometric mean of the branches' probabilities (`ProductOfExperts`).

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_product",
    ...     n_classes=5,
    ...     kind="multi_class",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("probabilities").kind
    'multi_class'
    """
    layer = ProductOfExperts(branches.settings.kind, name=OUTPUT, dtype="float32")
    return _combine(branches, layer)


def late_stacking(branches: Branches) -> Tensor:
    """Combine the branches by a logistic regression that is fitted after training (`Stacking`).

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_stacking",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> [weight.shape for weight in model.get_layer("probabilities").get_weights()]
    [(2, 5), (5,)]
    """
    layer = Stacking(branches.settings.kind, name=OUTPUT, dtype="float32")
    return _combine(branches, layer)


def set_branch_weights(model: keras.Model, weights: Sequence[float] | np.ndarray) -> None:
    """Set the weights of the fusion `late_weighted`.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with ``fusion="late_weighted"``.
    weights : sequence of float
        One per branch, in the order of `find_branches`, none negative, with the sum 1.

    Raises
    ------
    ExperimentError
        If the model has another fusion, or the weights are not as above.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_weighted",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> set_branch_weights(model, [0.75, 0.25])
    >>> model.get_layer("probabilities").get_weights()[0].tolist()
    [0.75, 0.25]
    """
    layer = next((layer for layer in model.layers if layer.name == OUTPUT), None)
    if not isinstance(layer, WeightedAverage):
        raise ExperimentError(
            f"The model {model.name!r} has no branch weights; build it with fusion='late_weighted'."
        )
    names = find_branches(model)
    values = np.asarray(weights, "float64")
    is_valid = values.shape == (len(names),) and np.isfinite(values).all() and (values >= 0).all()
    if not is_valid or abs(values.sum() - 1) > 1e-5:
        raise ExperimentError(
            f"weights={values.tolist()} must have one value for each of {names} in this order, "
            f"none negative, with the sum 1."
        )
    layer.set_weights([values])


def set_stacking_weights(model: keras.Model, weights: np.ndarray, bias: np.ndarray) -> None:
    """Set the weights of the fusion `late_stacking`.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with ``fusion="late_stacking"``.
    weights : array of shape (n_branches, n_classes)
        Weights, the branches in the order of `find_branches`; see `ecglib.evaluation.stacking`.
    bias : array of shape (n_classes,)
        Bias of each class.

    Raises
    ------
    ExperimentError
        If the model has another fusion, or an array has the wrong shape or values that are not
        finite.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_stacking",
    ...     n_classes=2,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> set_stacking_weights(model, np.array([[1.0, 0.5], [0.0, 0.5]]), np.zeros(2))
    >>> model.get_layer("probabilities").get_weights()[0].tolist()
    [[1.0, 0.5], [0.0, 0.5]]
    """
    layer = next((layer for layer in model.layers if layer.name == OUTPUT), None)
    if not isinstance(layer, Stacking):
        raise ExperimentError(
            f"The model {model.name!r} has no stacking weights; build it with "
            f"fusion='late_stacking'."
        )
    values = [np.asarray(weights, "float64"), np.asarray(bias, "float64")]
    shapes = [tuple(variable.shape) for variable in layer.weights]
    if [x.shape for x in values] != shapes or not all(np.isfinite(x).all() for x in values):
        raise ExperimentError(
            f"weights has shape {values[0].shape} and bias {values[1].shape}; they must have "
            f"{shapes[0]} and {shapes[1]}, branches {find_branches(model)} by classes, all finite."
        )
    layer.set_weights(values)


def stack_probabilities(branches: Branches) -> Tensor:
    """Classify each branch alone: what a late fusion combines, and what is trained.

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_branches, n_classes)
        Probabilities of the branches.

    Examples
    --------
    The fusion `late_average` without branches that may be missing:

    >>> def late_mean(branches):
    ...     return layers.GlobalAveragePooling1D(name=OUTPUT)(stack_probabilities(branches))
    """
    heads = [branches.classify(x, f"{name}_{OUTPUT}") for name, x in branches.encode_all().items()]
    rows = [layers.Reshape((1, head.shape[-1]), dtype="float32")(head) for head in heads]
    return layers.Concatenate(axis=1, name=BRANCH_OUTPUT, dtype="float32")(rows)


def _combine(branches: Branches, layer: keras.layers.Layer) -> Tensor:
    stacked = stack_probabilities(branches)
    if branches.present is None:
        return layer(stacked)
    return layer(stacked, present=branches.present)
