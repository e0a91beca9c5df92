"""Models from plain values, and ensembles from models."""

from ecglib._keras import Tensor

from collections.abc import Mapping

import keras
from keras import layers

from ecglib.errors import ExperimentError
from ecglib.experiment.branches import (
    describe_kind,
    get_representation,
    list_representations,
    sort_branches,
)
from ecglib.experiment.import_paths import get_label
from ecglib.experiment.registry import NO_FUSION, TABULAR
from ecglib.models.encoders import load_encoder
from ecglib.models.fusion.branches import OUTPUT, Branches, classify_single_branch
from ecglib.models.fusion.layers import FillMissing
from ecglib.models.fusion.loading import load_fusion
from ecglib.models.layers import MissingIndicator, seed_stream
from ecglib.models.spec import ModelSpec


def build_model(input_shapes: Mapping[str, tuple[int, ...]], settings: ModelSpec) -> keras.Model:
    """Build a model with one named input per representation and the output "probabilities".

    The inputs have the order of `ecglib.experiment.registry.REPRESENTATIONS`. Feed a dict of
    representation -> array, see `check_inputs`. Each input is first scaled by a layer
    "<representation>_scaling", which does nothing until `set_scaling` is called. A missing tabular
    value is NaN; the encoders get 0 in its place, and an indicator (`MissingIndicator`).

    Parameters
    ----------
    input_shapes : mapping of str to tuple of int
        Representation -> shape of one window: time (n_samples, n_leads), frequency (n_bins,
        n_leads), spectrogram and scalogram (n_frames, n_bins, n_leads), tabular (n_columns,).
        Exactly the representations of the branches.
    settings : ModelSpec
        Branches, fusion, classes and sizes.

    Returns
    -------
    keras.Model
        A functional model, not compiled; its output is (n_windows, n_classes) in float32.

    Raises
    ------
    ExperimentError
        If a shape is missing, superfluous, of the wrong number of axes, or too small for the
        encoders.

    Examples
    --------
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "cnn"},
    ...     fusion="intermediate_gated",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> [x.name for x in model.inputs], model.output_shape
    (['time', 'frequency'], (None, 5))
    """
    branches = sort_branches(dict(settings.branches))
    names = list_representations(branches)
    _check_shapes(input_shapes, names)
    inputs = {name: keras.Input(input_shapes[name], name=name) for name in names}
    scaled = {name: _add_scaling(name, x) for name, x in inputs.items()}
    branch_inputs = {branch: scaled[get_representation(branch)] for branch in branches}
    present = None
    if settings.missing_branches:
        fill = FillMissing(name="fill_missing", dtype="float32")
        *filled, present = fill(list(branch_inputs.values()))
        branch_inputs = dict(zip(branches, filled, strict=True))
    if TABULAR in names:
        indicate = MissingIndicator(seed=next(seed_stream(settings.seed, "tabular_missing")))
        branch_inputs = {
            branch: indicate(x) if get_representation(branch) == TABULAR else x
            for branch, x in branch_inputs.items()
        }
    encoders = {
        branch: load_encoder(get_representation(branch), encoder)
        for branch, encoder in branches.items()
    }
    parts = Branches(inputs=branch_inputs, encoders=encoders, settings=settings, present=present)
    if settings.fusion == NO_FUSION:
        name, output = f"{names[0]}_branch", classify_single_branch(parts)
    else:
        name, output = get_label(settings.fusion), load_fusion(settings.fusion)(parts)
    return keras.Model(list(inputs.values()), output, name=name)


def build_ensemble(models: list[keras.Model]) -> keras.Model:
    """Build an ensemble that averages the probabilities of trained models of the same task.

    This is a control that a fusion has to beat: as many networks, but no other representation.
    The models keep their weights and their scaling, and share them with the ensemble.

    Parameters
    ----------
    models : list of keras.Model
        At least two models of `build_model` with the same inputs and the same classes.

    Returns
    -------
    keras.Model
        A functional model with the inputs and the output of each model.

    Raises
    ------
    ExperimentError
        If there are fewer than two models, or if their inputs or outputs differ.

    Examples
    --------
    >>> models = [
    ...     build_model(
    ...         {"frequency": (40, 2)},
    ...         ModelSpec(
    ...             branches={"frequency": "mlp"},
    ...             fusion="none",
    ...             n_classes=5,
    ...             kind="multi_label",
    ...             seed=seed,
    ...         ),
    ...     )
    ...     for seed in range(3)
    ... ]
    >>> build_ensemble(models).count_params() == 3 * models[0].count_params()
    True
    """
    if len(models) < 2:
        raise ExperimentError(
            f"An ensemble needs at least 2 models, but got {len(models)}. Use a single model as "
            f"it is."
        )
    signatures = [({x.name: x.shape for x in m.inputs}, m.output_shape) for m in models]
    for number, signature in enumerate(signatures):
        if signature != signatures[0]:
            raise ExperimentError(
                f"Model {number} of the ensemble has inputs and output {signature}, model 0 has "
                f"{signatures[0]}. The models of an ensemble may differ only in their seed."
            )
    inputs = [keras.Input(x.shape[1:], name=x.name) for x in models[0].inputs]
    outputs = []
    for number, model in enumerate(models):
        # The models have equal names, and Keras requires the layers of a model to differ in name.
        member = keras.Model(model.inputs, model.outputs[0], name=f"member_{number}")
        outputs.append(member(inputs))
    output = layers.Average(name=OUTPUT, dtype="float32")(outputs)
    return keras.Model(inputs, output, name="ensemble")


def _add_scaling(name: str, x: Tensor) -> Tensor:
    # In float32 also where the other layers are in float16: a variance of 1e-9 is zero there.
    axes = describe_kind(name).scaled_axes
    return layers.Normalization(axes, name=f"{name}_scaling", dtype="float32")(x)


def _check_shapes(input_shapes: Mapping[str, tuple[int, ...]], names: list[str]) -> None:
    if set(input_shapes) != set(names):
        raise ExperimentError(
            f"input_shapes has {sorted(input_shapes)}; give exactly the representations of the "
            f"branches, {sorted(names)}."
        )
    for name, shape in input_shapes.items():
        check_shape(name, shape)


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Refuse a shape that the encoders of a representation cannot take.

    Parameters
    ----------
    name : str
        The representation.
    shape : tuple of int
        Shape of one window.

    Raises
    ------
    ExperimentError
        If it has another number of axes, or an axis is too short.

    Examples
    --------
    >>> check_shape("time", (1000, 12))
    """
    representation = describe_kind(name)
    axes = representation.axes
    if len(shape) != len(axes) or not all(n is not None and n >= 1 for n in shape):
        raise ExperimentError(
            f"Shape {tuple(shape)} of {name!r} must be ({', '.join(axes)}): one window, without "
            f"the axis of the windows, each size known and at least 1."
        )
    # The last axis, the leads, may have any size.
    for axis, n, minimum in zip(axes, shape, representation.min_sizes, strict=False):
        if n < minimum:
            raise ExperimentError(
                f"{axis}={n} of {name!r} must be at least {minimum}, because the encoders shorten "
                f"this axis step by step. Use a longer window or a representation with finer "
                f"steps."
            )
