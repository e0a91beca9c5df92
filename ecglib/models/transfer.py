"""Weights of trained branches for a fusion."""

import keras

from ecglib.errors import ExperimentError
from ecglib.models.fusion.branches import BRANCH_OUTPUT, OUTPUT, find_branches


def copy_branch_weights(
    model: keras.Model, name: str, branch_model: keras.Model, frozen: bool = False
) -> None:
    """Copy the weights of a model of one branch to that branch of a fusion.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` with an intermediate or a late fusion, already scaled.
    name : str
        The branch, one of `find_branches`.
    branch_model : keras.Model
        A trained model of the same encoder, for the same representation, classes and sizes, with
        the same scaling. A late fusion copies its head too.
    frozen : bool, default False
        Whether the copied weights, including the statistics of batch normalization, are kept from
        changing in all further training.

    Raises
    ------
    ExperimentError
        If the model has no such branch, or the weights have different shapes.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> shapes = {"time": (250, 2), "frequency": (40, 2)}
    >>> fused = build_model(
    ...     shapes,
    ...     ModelSpec(
    ...         branches={"time": "cnn", "frequency": "mlp"},
    ...         fusion="late_average",
    ...         n_classes=2,
    ...         kind="multi_label",
    ...         seed=1,
    ...     ),
    ... )
    >>> single = build_model(
    ...     {"frequency": (40, 2)},
    ...     ModelSpec(
    ...         branches={"frequency": "mlp"}, fusion="none", n_classes=2, kind="multi_label"
    ...     ),
    ... )
    >>> copy_branch_weights(fused, "frequency", single)
    >>> head, copied = single.get_layer("probabilities"), fused.get_layer("frequency_probabilities")
    >>> bool((head.get_weights()[0] == copied.get_weights()[0]).all())
    True
    """
    if name not in find_branches(model):
        raise ExperimentError(
            f"The model {model.name!r} has no encoder for the branch {name!r}; choose one of "
            f"{find_branches(model)}."
        )
    (branch_name,) = find_branches(branch_model)
    pairs = [(_extract_encoder(model, name), _extract_encoder(branch_model, branch_name))]
    found = {layer.name: layer for layer in model.layers}
    if f"{name}_{OUTPUT}" in found and BRANCH_OUTPUT in found:
        pairs.append((found[f"{name}_{OUTPUT}"], branch_model.get_layer(OUTPUT)))
    for target, source in pairs:
        target_shapes, source_shapes = (
            [tuple(weight.shape) for weight in part.weights] for part in (target, source)
        )
        if target_shapes != source_shapes:
            raise ExperimentError(
                f"The branch {name!r} has weights of shapes {target_shapes}, but branch_model has "
                f"{source_shapes}. Use a model of the same encoder, representation and width."
            )
    for target, source in pairs:
        target.set_weights(source.get_weights())
        if frozen:
            target.trainable = False


def _extract_encoder(model: keras.Model, name: str) -> keras.Model:
    """Build a model of one encoder, which shares its layers with `model`."""
    start, end = (model.get_layer(f"{name}_{part}").output for part in ("scaled", "features"))
    return keras.Model(start, end)
