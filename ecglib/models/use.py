"""What is done to a model that is built: scaling it, feeding it, fitting it."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import layers, ops

from ecglib.errors import ExperimentError
from ecglib.experiment.branches import names_on
from ecglib.models.builder import SCALED_AXES
from ecglib.models.fusion import BRANCH_OUTPUT, OUTPUT, head
from ecglib.models.fusion.layers import Stacking
from ecglib.models.layers import WeightedAverage, seed_stream


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
        spectrogram and scalogram, (n_columns,) for tabular, in the unit of the representation
        and its square. Missing tabular values (NaN) must be left out of both.

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
            f"variance. Look for NaN in the training windows, and for a tabular column without any "
            f"value there."
        )
    # In float32 a spread below a millionth of the mean is nothing but rounding.
    constant = variance <= (1e-6 * mean) ** 2
    return mean, np.where(constant, 1.0, variance)


def branches_of(model: keras.Model) -> list[str]:
    """Names of the branches with an encoder of their own, in the order of the inputs.

    None in an early fusion, whose one encoder sees all views, and in an ensemble.
    """
    found = {layer.name for layer in model.layers}
    names = [name for x in model.inputs for name in names_on(x.name)]
    return [name for name in names if f"{name}_features" in found]


def take_branch(model: keras.Model, name: str, alone: keras.Model, frozen: bool = False) -> None:
    """Give a branch of a fusion the weights of a model of that branch alone.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with an intermediate or a late fusion, already scaled.
    name : str
        The branch, one of `branches_of`.
    alone : keras.Model
        The trained model of that encoder alone, for the same view, classes and sizes, under the
        same scaling. A late fusion takes over its answer too.
    frozen : bool
        Whether the weights taken over stay as they are in all further training, the statistics of
        batch normalisation included.

    Raises
    ------
    ExperimentError
        If the model has no such branch of its own, or `alone` is another one.
    """
    if name not in branches_of(model):
        raise ExperimentError(
            f"The model {model.name!r} has no branch {name!r} of its own, expected one of "
            f"{branches_of(model)}."
        )
    (own,) = branches_of(alone)
    pairs = [(_encoder(model, name), _encoder(alone, own))]
    found = {layer.name: layer for layer in model.layers}
    if f"{name}_{OUTPUT}" in found and BRANCH_OUTPUT in found:
        pairs.append((found[f"{name}_{OUTPUT}"], alone.get_layer(OUTPUT)))
    for to, source in pairs:
        shapes = [[tuple(w.shape) for w in one.weights] for one in (to, source)]
        if shapes[0] != shapes[1]:
            raise ExperimentError(
                f"The branch {name!r} has weights of shapes {shapes[0]}, the model given "
                f"{shapes[1]}. Give it a model of the same encoder, view and width."
            )
    for to, source in pairs:
        to.set_weights(source.get_weights())
        if frozen:
            to.trainable = False


def _encoder(model: keras.Model, name: str) -> keras.Model:
    """One encoder, which shares its layers with the model."""
    ends = [model.get_layer(f"{name}_{end}").output for end in ("view", "features")]
    return keras.Model(*ends)


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


def auxiliary_view(model: keras.Model, dropout: float, seed: int) -> keras.Model:
    """Return the model to fit where each branch is to have a loss of its own besides the fusion's.

    Auxiliary heads keep a branch learning where another one, which learns faster, already
    explains the labels: Wang, Tran and Feiszli, "What makes training multi-modal classification
    networks hard?" (2020, arXiv:1905.12681). Their weights start as those of the branch alone.
    `model` itself stays as it is and has no auxiliary heads.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with an intermediate fusion.
    dropout, seed
        As given to `build_model`.

    Returns
    -------
    keras.Model
        Its output is (n_windows, 1 + n_branches, n_classes), the fusion's probabilities first,
        to be used with `AuxiliaryLoss`. It shares its weights with `model`.

    Raises
    ------
    ExperimentError
        If the model does not join features of several branches.
    """
    found = {layer.name: layer for layer in model.layers}
    names = branches_of(model)
    if len(names) < 2 or BRANCH_OUTPUT in found:
        raise ExperimentError(
            f"Auxiliary losses for the model {model.name!r}, expected an intermediate fusion: a "
            f"single branch and those of a late fusion have their own loss already, and an early "
            f"fusion has one encoder for all. Use none."
        )
    answer, outputs = found[OUTPUT], [model.output]
    for name in names:
        x, part = found[f"{name}_features"].output, f"{name}_probabilities"
        seeds = seed_stream(seed, part)
        outputs.append(head(x, answer.units, answer.activation, dropout, seeds, part))
    rows = [layers.Reshape((1, answer.units), dtype="float32")(p) for p in outputs]
    output = layers.Concatenate(axis=1, dtype="float32")(rows)
    return keras.Model(model.inputs, output, name=f"{model.name}_auxiliary")


def set_weights_of_branches(model: keras.Model, weights: Sequence[float]) -> None:
    """Set the weights of the fusion `late_weighted`.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with ``fusion="late_weighted"``.
    weights : sequence of float
        One a branch, in the order of `branches_of`, none negative, with the sum 1.

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
    names = branches_of(model)
    given = np.asarray(weights, "float64")
    valid = given.shape == (len(names),) and np.isfinite(given).all() and (given >= 0).all()
    if not valid or abs(given.sum() - 1) > 1e-5:
        raise ExperimentError(
            f"weights={given.tolist()}, expected one for each of {names} in this order, none "
            f"negative, with the sum 1."
        )
    layer.set_weights([given])


def set_stacking(model: keras.Model, weights, bias) -> None:
    """Set the weights of the fusion `late_stacking`.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with ``fusion="late_stacking"``.
    weights : array (n_branches, n_classes)
        The branches in the order of `branches_of`; see `ecglib.evaluation.stacking`.
    bias : array (n_classes,)

    Raises
    ------
    ExperimentError
        If the model has another fusion, or the arrays have another shape or values that are not
        finite.
    """
    layer = next((layer for layer in model.layers if layer.name == OUTPUT), None)
    if not isinstance(layer, Stacking):
        raise ExperimentError(
            f"The model {model.name!r} is not stacked; build it with fusion='late_stacking'."
        )
    given = [np.asarray(weights, "float64"), np.asarray(bias, "float64")]
    shapes = [tuple(variable.shape) for variable in layer.weights]
    if [x.shape for x in given] != shapes or not all(np.isfinite(x).all() for x in given):
        raise ExperimentError(
            f"Weights of shape {given[0].shape} and bias of shape {given[1].shape}, expected "
            f"{shapes[0]} and {shapes[1]}, branches {branches_of(model)} by classes, "
            f"all finite."
        )
    layer.set_weights(given)


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


@keras.saving.register_keras_serializable(package="ecglib")
class AuxiliaryLoss(BranchLoss):
    """The loss of the fusion plus that of each branch's auxiliary head, times a weight.

    Parameters
    ----------
    base_loss : keras.losses.Loss
        The loss of one answer, on (n_windows, n_classes); its own reduction is not used.
    weight : float
        What the loss of each branch counts, where that of the fusion counts 1.

    `y_true` is of shape (n_windows, n_classes), `y_pred` of shape (n_windows, 1 + n_branches,
    n_classes), the fusion first, a sample weight of shape (n_windows,).
    """

    def __init__(
        self, base_loss: keras.losses.Loss, weight: float, name="auxiliary_loss", **kwargs
    ):
        super().__init__(base_loss, name=name, **kwargs)
        self.weight = weight

    def call(self, y_true, y_pred):
        of_fusion = self.base_loss.call(y_true, y_pred[:, 0])
        n_branches = y_pred.shape[1] - 1
        return of_fusion + self.weight * n_branches * super().call(y_true, y_pred[:, 1:])

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}
