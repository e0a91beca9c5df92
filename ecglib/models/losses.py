"""Losses of single branches, and the models that are fitted with them."""

from ecglib._keras import Tensor

from typing import Any, Self

import keras
from keras import layers, ops

from ecglib.errors import ExperimentError
from ecglib.models.fusion.branches import BRANCH_OUTPUT, OUTPUT, add_head, find_branches
from ecglib.models.layers import seed_stream


def build_training_model(model: keras.Model) -> tuple[keras.Model, bool]:
    """Build the model to fit, which for a late fusion outputs its branches one by one.

    The branches of a late fusion are trained each by a separate loss, as if alone. The model to
    fit then has the output (n_windows, n_branches, n_classes), to be used with `BranchLoss`, and
    shares its weights with `model`. Any other model is returned as it is.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` or `build_ensemble`.

    Returns
    -------
    training_model : keras.Model
        The model to fit.
    has_branch_output : bool
        Whether its output holds the branches one by one.

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
    >>> training_model, has_branch_output = build_training_model(model)
    >>> training_model.output_shape, has_branch_output
    ((None, 2, 5), True)
    """
    if BRANCH_OUTPUT not in {layer.name for layer in model.layers}:
        return model, False
    branches = model.get_layer(BRANCH_OUTPUT).output
    return keras.Model(model.inputs, branches, name=f"{model.name}_branches"), True


def build_auxiliary_model(model: keras.Model, dropout: float, seed: int) -> keras.Model:
    """Build the model to fit where each branch has a loss besides that of the fusion.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with an intermediate fusion. It stays as it is, without auxiliary
        heads.
    dropout : float
        Dropout of the auxiliary heads, as in the settings of `model`.
    seed : int
        Seed of the auxiliary heads, as in the settings of `model`.

    Returns
    -------
    keras.Model
        Its output is (n_windows, 1 + n_branches, n_classes), the fusion's probabilities first,
        to be used with `AuxiliaryLoss`. It shares its weights with `model`.

    Raises
    ------
    ExperimentError
        If the model does not join features of several branches.

    Notes
    -----
    Auxiliary heads keep a branch learning where another one, which learns faster, already
    explains the labels: Wang, Tran and Feiszli, "What makes training multi-modal classification
    networks hard?" (2020, arXiv:1905.12681). Their initial weights are those of the branch alone.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_concat",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> build_auxiliary_model(model, dropout=0.2, seed=0).output_shape
    (None, 3, 5)
    """
    found = {layer.name: layer for layer in model.layers}
    names = find_branches(model)
    if len(names) < 2 or BRANCH_OUTPUT in found:
        raise ExperimentError(
            f"Auxiliary losses need an intermediate fusion, but the model is {model.name!r}: a "
            f"single branch and those of a late fusion have a separate loss already, and an early "
            f"fusion has one encoder for all. Use no auxiliary loss."
        )
    head, outputs = found[OUTPUT], [model.output]
    for name in names:
        head_name = f"{name}_probabilities"
        probabilities = add_head(
            found[f"{name}_features"].output,
            n_classes=head.units,
            activation=head.activation,
            dropout=dropout,
            seeds=seed_stream(seed, head_name),
            name=head_name,
        )
        outputs.append(probabilities)
    rows = [layers.Reshape((1, head.units), dtype="float32")(p) for p in outputs]
    output = layers.Concatenate(axis=1, dtype="float32")(rows)
    return keras.Model(model.inputs, output, name=f"{model.name}_auxiliary")


@keras.saving.register_keras_serializable(package="ecglib")
class BranchLoss(keras.losses.Loss):
    """Mean of the losses of the branches.

    As no weight belongs to two branches, each is trained as if it were alone. Labels have the
    shape (n_windows, n_classes), predictions (n_windows, n_branches, n_classes), sample weights
    (n_windows,).

    Parameters
    ----------
    base_loss : keras.losses.Loss
        Loss of one branch, on (n_windows, n_classes); its reduction is not used.
    name : str, default "branch_loss"
        Name of the loss.
    reduction : str, default "sum_over_batch_size"
        Reduction over the windows.
    dtype : str, optional
        Data type of the computation; that of Keras by default.

    Examples
    --------
    >>> import numpy as np
    >>> loss = BranchLoss(keras.losses.BinaryCrossentropy())
    >>> y = np.array([[1.0], [0.0]])
    >>> p = np.array([[[0.9], [0.6]], [[0.1], [0.4]]])
    >>> round(float(loss(y, p)), 3)
    0.308
    """

    def __init__(
        self,
        base_loss: keras.losses.Loss,
        name: str = "branch_loss",
        reduction: str = "sum_over_batch_size",
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.base_loss = base_loss

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        n_branches = y_pred.shape[1]
        losses = [self.base_loss.call(y_true, y_pred[:, branch]) for branch in range(n_branches)]
        return ops.mean(ops.stack(losses), axis=0)

    def get_config(self) -> dict[str, Any]:
        base_loss = keras.saving.serialize_keras_object(self.base_loss)
        return {**super().get_config(), "base_loss": base_loss}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        base_loss = keras.saving.deserialize_keras_object(config["base_loss"])
        return cls(**(config | {"base_loss": base_loss}))


@keras.saving.register_keras_serializable(package="ecglib")
class AuxiliaryLoss(BranchLoss):
    """Loss of the fusion plus a weight times the sum of the losses of the branches.

    Labels have the shape (n_windows, n_classes), predictions (n_windows, 1 + n_branches,
    n_classes), the fusion first, sample weights (n_windows,).

    Parameters
    ----------
    base_loss : keras.losses.Loss
        Loss of the fusion or of one branch, on (n_windows, n_classes); its reduction is not used.
    weight : float
        Weight of the loss of each branch, where that of the fusion has weight 1.
    name : str, default "auxiliary_loss"
        Name of the loss.
    **options
        `reduction` and `dtype` of `BranchLoss`.

    Examples
    --------
    >>> import numpy as np
    >>> loss = AuxiliaryLoss(keras.losses.BinaryCrossentropy(), weight=0.5)
    >>> y = np.array([[1.0]])
    >>> p = np.array([[[0.9], [0.9], [0.9]]])
    >>> round(float(loss(y, p)), 3), round(-2 * float(np.log(0.9)), 3)
    (0.211, 0.211)
    """

    def __init__(
        self,
        base_loss: keras.losses.Loss,
        weight: float,
        name: str = "auxiliary_loss",
        **options: Any,
    ):
        super().__init__(base_loss, name=name, **options)
        self.weight = weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        fusion_loss = self.base_loss.call(y_true, y_pred[:, 0])
        n_branches = y_pred.shape[1] - 1
        return fusion_loss + self.weight * n_branches * super().call(y_true, y_pred[:, 1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
