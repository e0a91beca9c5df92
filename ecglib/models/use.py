"""What is done to a model that is built: scaling it, feeding it, fitting it."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError
from ecglib.models.builder import SCALED_AXES
from ecglib.models.fusion import BRANCH_OUTPUT, OUTPUT
from ecglib.models.layers import WeightedAverage


def check_inputs(model: keras.Model, batch: Mapping) -> None:
    """Refuse a batch that is not exactly what the model takes.

    Keras itself drops a key that the model has not, without a word, and takes a list in any
    order whose shapes fit. Call this before the first batch: it looks only at names and shapes.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` or `join_members`.
    batch : dict of str to array or to `tf.TensorSpec`
        Representation -> windows, as in ``dataset.element_spec[0]``.

    Raises
    ------
    ExperimentError
        If `batch` is not a dict, or its names or shapes are not those of the model.
    """
    expected = {x.name: tuple(x.shape) for x in model.inputs}
    if not isinstance(batch, Mapping):
        raise ExperimentError(
            f"A {type(batch).__name__} was given to the model, expected a dict with the keys "
            f"{list(expected)}: in a list, inputs of one shape can be mixed up."
        )
    if set(batch) != set(expected):
        raise ExperimentError(
            f"The keys {sorted(batch)} were given to the model, expected {sorted(expected)}: "
            f"missing {sorted(set(expected) - set(batch))}, unknown "
            f"{sorted(set(batch) - set(expected))}."
        )
    for name, shape in expected.items():
        given = tuple(batch[name].shape)
        if len(given) != len(shape) or given[1:] != shape[1:]:
            raise ExperimentError(
                f"Windows of shape {given[1:]} were given for {name!r}, expected {shape[1:]}, "
                f"after the axis of the windows. Build the model for these windows, or resample "
                f"them."
            )


def scaling_axes(name: str, n_axes: int) -> tuple[int, ...]:
    """Return the axes to average over for the mean and variance of a representation.

    Parameters
    ----------
    name : str
        The representation.
    n_axes : int
        Number of axes of the array, the axis of the windows included.
    """
    kept = {axis % n_axes for axis in SCALED_AXES[name]}
    return tuple(axis for axis in range(n_axes) if axis not in kept)


def set_scaling(model: keras.Model, scaling: dict[str, tuple]) -> None:
    """Set the mean and the variance by which each input is scaled.

    Call it before training, with values of the training part, and before `join_members`.
    Where the training windows are constant only the mean is taken off, as `StandardScaler` does.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model`.
    scaling : dict of str to (mean, variance)
        Representation -> arrays of shape (n_leads,) for time and (n_bins, n_leads) for frequency,
        spectrogram and scalogram, in the unit of the representation and its square.

    Raises
    ------
    ExperimentError
        If the names are not those of the model's inputs, or an array has another shape or holds
        values that are not finite or, as variances, negative.
    """
    expected = [x.name for x in model.inputs]
    found = {layer.name: layer for layer in model.layers}
    if any(f"{name}_scaling" not in found for name in expected):
        raise ExperimentError(
            f"The model {model.name!r} has no scaling of its own. Set the scaling of the members "
            f"of an ensemble before they are joined."
        )
    if set(scaling) != set(expected):
        raise ExperimentError(
            f"Scaling was given for {sorted(scaling)}, expected exactly {sorted(expected)}."
        )
    checked = {
        name: _mean_and_variance(name, *scaling[name], found[f"{name}_scaling"])
        for name in expected
    }
    for name, (mean, variance) in checked.items():
        layer = found[f"{name}_scaling"]
        layer.set_weights([mean, variance, np.array(0)])
        # `Normalization` works with copies of its weights, and a function that was compiled
        # holds the old copies.
        layer.finalize_state()
    model.train_function = model.test_function = model.predict_function = None


def _mean_and_variance(name: str, mean, variance, layer) -> tuple[np.ndarray, np.ndarray]:
    shape = tuple(layer.weights[0].shape)
    mean, variance = np.asarray(mean, "float64"), np.asarray(variance, "float64")
    if mean.shape != shape or variance.shape != shape:
        raise ExperimentError(
            f"Mean of shape {mean.shape} and variance of shape {variance.shape} for {name!r}, "
            f"expected {shape} for both."
        )
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
        raise ExperimentError(
            f"The mean or variance of {name!r} holds values that are not finite, or a negative "
            f"variance. Look for NaN in the training windows."
        )
    # In float32 a spread below a millionth of the mean is nothing but rounding.
    constant = variance <= (1e-6 * mean) ** 2
    return mean, np.where(constant, 1.0, variance)


def training_view(model: keras.Model) -> tuple[keras.Model, bool]:
    """Return the model to fit, and whether its output holds the branches one by one.

    The branches of a late fusion are trained each by its own loss, as if alone: the model to
    fit then has the output (n_windows, n_branches, n_classes), to be used with `BranchLoss`, and
    shares its weights with `model`. Any other model is returned as it is.
    """
    if BRANCH_OUTPUT not in {layer.name for layer in model.layers}:
        return model, False
    branches = model.get_layer(BRANCH_OUTPUT).output
    return keras.Model(model.inputs, branches, name=f"{model.name}_branches"), True


def set_weights_of_branches(model: keras.Model, weights: Sequence[float]) -> None:
    """Set the weights of the fusion `late_weighted`.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with ``fusion="late_weighted"``.
    weights : sequence of float
        One a branch, in the order of ``model.inputs``, none negative, with the sum 1.

    Raises
    ------
    ExperimentError
        If the model has another fusion, or the weights are not as above.
    """
    layer = next((layer for layer in model.layers if layer.name == OUTPUT), None)
    if not isinstance(layer, WeightedAverage):
        raise ExperimentError(
            f"The model {model.name!r} has no weights of branches; build it with "
            f"fusion='late_weighted'."
        )
    names = [x.name for x in model.inputs]
    given = np.asarray(weights, "float64")
    valid = given.shape == (len(names),) and np.isfinite(given).all() and (given >= 0).all()
    if not valid or abs(given.sum() - 1) > 1e-5:
        raise ExperimentError(
            f"weights={given.tolist()}, expected one for each of {names} in this order, none "
            f"negative, with the sum 1."
        )
    layer.set_weights([given])


@keras.saving.register_keras_serializable(package="ecglib")
class BranchLoss(keras.losses.Loss):
    """Mean over the branches of the loss of each.

    As no weight belongs to two branches, each is trained as if it were alone.

    Parameters
    ----------
    base_loss : keras.losses.Loss
        The loss of one branch, on (n_windows, n_classes); its own reduction is not used.

    `y_true` is of shape (n_windows, n_classes), `y_pred` of shape (n_windows, n_branches,
    n_classes), a sample weight of shape (n_windows,).
    """

    def __init__(
        self,
        base_loss: keras.losses.Loss,
        name: str = "branch_loss",
        reduction: str = "sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.base_loss = base_loss

    def call(self, y_true, y_pred):
        n_branches = y_pred.shape[1]
        losses = [self.base_loss.call(y_true, y_pred[:, branch]) for branch in range(n_branches)]
        return ops.mean(ops.stack(losses), axis=0)

    def get_config(self):
        base_loss = keras.saving.serialize_keras_object(self.base_loss)
        return {**super().get_config(), "base_loss": base_loss}

    @classmethod
    def from_config(cls, config):
        base_loss = keras.saving.deserialize_keras_object(config["base_loss"])
        return cls(**{**config, "base_loss": base_loss})
