"""The inputs of a model that is built: checking batches, and setting the scaling."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError
from ecglib.experiment.branches import describe_kind

# What takes the place of a representation that a model does not get.
MISSING = "missing, as the fusion may lack branches"
CENTER = "the center of its scaling over the training windows"


def check_inputs(model: keras.Model, batch: Mapping) -> None:
    """Refuse a batch that does not have exactly the inputs of the model.

    Keras itself silently ignores unknown keys, and takes a list in any order in which the shapes
    fit. Call this before the first batch: it reads only names and shapes.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` or `build_ensemble`.
    batch : mapping of str to array or tf.TensorSpec
        Representation -> windows, as in ``dataset.element_spec[0]``.

    Raises
    ------
    ExperimentError
        If `batch` is not a mapping, or its names or shapes are not those of the model.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"frequency": "mlp"}, fusion="none", n_classes=2, kind="multi_label"
    ... )
    >>> model = build_model({"frequency": (40, 2)}, settings)
    >>> check_inputs(model, {"frequency": np.zeros((8, 40, 2))})
    """
    expected = {x.name: tuple(x.shape) for x in model.inputs}
    if not isinstance(batch, Mapping):
        raise ExperimentError(
            f"The batch is a {type(batch).__name__}, but must be a dict with the keys "
            f"{list(expected)}: in a list, inputs of the same shape can be mixed up."
        )
    if set(batch) != set(expected):
        raise ExperimentError(
            f"The batch has the keys {sorted(batch)}, but the model takes {sorted(expected)}: "
            f"missing {sorted(set(expected) - set(batch))}, unknown "
            f"{sorted(set(batch) - set(expected))}."
        )
    for name, shape in expected.items():
        batch_shape = tuple(batch[name].shape)
        if len(batch_shape) != len(shape) or batch_shape[1:] != shape[1:]:
            raise ExperimentError(
                f"The batch has windows of shape {batch_shape[1:]} for {name!r}, but the model "
                f"takes {shape[1:]}, after the axis of the windows. Build the model for these "
                f"windows, or resample them."
            )


def find_scaling_axes(representation: str, n_axes: int) -> tuple[int, ...]:
    """Find the axes over which the mean and variance of a representation are computed.

    Parameters
    ----------
    representation : str
        Name of the representation.
    n_axes : int
        Number of axes of the array, including the axis of the windows.

    Returns
    -------
    tuple of int
        All axes but those whose entries are scaled one by one.

    Raises
    ------
    ExperimentError
        If there is no such representation.

    Examples
    --------
    >>> find_scaling_axes("time", 3)
    (0, 1)
    >>> find_scaling_axes("spectrogram", 4)
    (0, 1)
    """
    scaled = {axis % n_axes for axis in describe_kind(representation).scaled_axes}
    return tuple(axis for axis in range(n_axes) if axis not in scaled)


def set_scaling(model: keras.Model, scaling: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the mean and the variance by which each input is scaled.

    Call it before training, with values of the training split, and before `build_ensemble`.
    Where the training windows are constant only the mean is subtracted, as by `StandardScaler` of
    scikit-learn.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model`.
    scaling : mapping of str to (mean, variance)
        Representation -> arrays of shape (n_leads,) for time, (n_bins, n_leads) for frequency,
        spectrogram and scalogram, and (n_columns,) for tabular, in the unit of the representation
        and its square. Missing tabular values (NaN) must be excluded from both.

    Raises
    ------
    ExperimentError
        If the names are not those of the model's inputs, or an array has the wrong shape, values
        that are not finite or, for a variance, negative values.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn"}, fusion="none", n_classes=2, kind="multi_label"
    ... )
    >>> model = build_model({"time": (250, 2)}, settings)
    >>> set_scaling(model, {"time": (np.zeros(2), np.full(2, 0.04))})
    >>> layer = model.get_layer("time_scaling")
    >>> float(layer(np.full((1, 250, 2), 0.1))[0, 0, 0])
    0.5
    """
    expected = [x.name for x in model.inputs]
    found = {layer.name: layer for layer in model.layers}
    if any(f"{name}_scaling" not in found for name in expected):
        raise ExperimentError(
            f"The model {model.name!r} has no scaling layers. Set the scaling of the models of an "
            f"ensemble before you build the ensemble."
        )
    if set(scaling) != set(expected):
        raise ExperimentError(
            f"The scaling is for {sorted(scaling)}, but must be for exactly {sorted(expected)}."
        )
    statistics = {}
    for name in expected:
        mean, variance = (np.asarray(values, "float64") for values in scaling[name])
        _check_statistics(name, mean, variance, tuple(found[f"{name}_scaling"].weights[0].shape))
        # In float32 a spread below a millionth of the mean is only rounding.
        is_constant = variance <= (1e-6 * mean) ** 2
        statistics[name] = (mean, np.where(is_constant, 1.0, variance))
    for name, (mean, variance) in statistics.items():
        layer = found[f"{name}_scaling"]
        layer.set_weights([mean, variance, np.array(0)])
        # `Normalization` computes with copies of its weights, and a compiled function holds the
        # old copies.
        layer.finalize_state()
    model.train_function = model.test_function = model.predict_function = None


def get_center(model: keras.Model, representation: str) -> np.ndarray:
    """Return the center of the training windows of a representation, which its scaling subtracts.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model`.
    representation : str
        Name of the representation.

    Returns
    -------
    array
        The mean, or the median of a robust scaling, in the unit of the representation, with axes
        of size 1 where one window has more values; 0 for a representation that is not scaled.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn"}, fusion="none", n_classes=2, kind="multi_label"
    ... )
    >>> model = build_model({"time": (250, 2)}, settings)
    >>> set_scaling(model, {"time": (np.array([0.5, 0.25]), np.ones(2))})
    >>> get_center(model, "time").tolist()
    [[[0.5, 0.25]]]
    """
    mean = model.get_layer(f"{representation}_scaling").mean
    return np.zeros(()) if mean is None else np.asarray(ops.convert_to_numpy(mean))


def _check_statistics(
    name: str, mean: np.ndarray, variance: np.ndarray, shape: tuple[int, ...]
) -> None:
    if mean.shape != shape or variance.shape != shape:
        raise ExperimentError(
            f"The mean of {name!r} has shape {mean.shape} and the variance {variance.shape}; both "
            f"must have shape {shape}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
        raise ExperimentError(
            f"The mean or variance of {name!r} has values that are not finite, or a negative "
            f"variance. Look for NaN in the training windows, and for a tabular column without any "
            f"value there."
        )
