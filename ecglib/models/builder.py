"""From plain values to a model, and from models to an ensemble."""

import keras
from keras import layers

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.branches import (
    check_branches,
    in_order,
    representation_of,
    representations_of,
)
from ecglib.models.encoders import ENCODERS, SHORTEST
from ecglib.models.fusion import FUSIONS, OUTPUT, Branches, alone
from ecglib.models.fusion.branches import ACTIVATIONS
from ecglib.models.fusion.layers import FillMissing
from ecglib.models.layers import MarkMissing, seed_stream

# What of each representation is scaled one by one: leads, each bin of each lead, or columns.
SCALED_AXES = {
    "time": (-1,),
    "frequency": (-2, -1),
    "spectrogram": (-2, -1),
    "scalogram": (-2, -1),
    "tabular": (-1,),
}
AXES = {
    "time": ("n_samples", "n_leads"),
    "frequency": ("n_bins", "n_leads"),
    "spectrogram": ("n_frames", "n_bins", "n_leads"),
    "scalogram": ("n_frames", "n_bins", "n_leads"),
    "tabular": ("n_columns",),
}


def build_model(
    inputs: dict[str, tuple],
    branches: dict[str, str],
    fusion: str,
    n_classes: int,
    kind: str,
    width: int = 32,
    feature_dim: int = 64,
    dropout: float = 0.2,
    seed: int = 0,
    branch_dropout: float = 0.0,
    missing_branches: bool = False,
) -> keras.Model:
    """Build a model with one named input a representation and one output, "probabilities".

    The inputs stand in the order time, frequency, spectrogram, scalogram, tabular. Feed a dict
    of representation -> array, and see `check_inputs`. Each is first scaled by a layer
    "<representation>_scaling" that does nothing until `set_scaling` is called. A tabular value
    that is missing is NaN; the encoders see 0 and a caveat in its place (`layers.MarkMissing`).

    Parameters
    ----------
    inputs : dict of str to tuple of int
        Representation -> shape of one window: time (n_samples, n_leads), frequency (n_bins,
        n_leads), spectrogram and scalogram (n_frames, n_bins, n_leads), tabular (n_columns,).
    branches : dict of str to str
        Representation -> name of its encoder in `ENCODERS`. Further encoders on one view are
        numbered, ``{"time": "cnn", "time_2": "s4d"}``: the input "time" goes to both. `inputs`
        has the same representations.
    fusion : str
        A name in `FUSIONS`, or "none" for a single branch.
    n_classes : int
        Number of classes.
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent (sigmoid) or exclude each other (softmax).
    width : int
        Channels of the first convolution of each encoder; the later ones follow from it.
    feature_dim : int
        Length of the vector of features of each branch.
    dropout : float
        Share of the features that is dropped in training, at least 0, below 1.
    seed : int
        Decides the initial weights and what is dropped. The same values give the same model,
        bit for bit; the state of other random generators neither matters nor changes.
    branch_dropout : float
        Chance that a whole branch is dropped from a window in training, never all of them
        (`fusion.layers.BranchDropout`); at least 0, below 1. Not of late fusions, whose branches
        are trained each by itself.
    missing_branches : bool
        Whether a view that is NaN throughout says that its branches are missing from that window,
        instead of making the answer NaN. An early or intermediate fusion then sees zeros for
        them, as under `branch_dropout`, and should be trained with that; a late one joins the
        answers of the others. A window that lacks every branch is answered as the mean window of
        the training part is.

    Returns
    -------
    keras.Model
        A functional model, not compiled; its output is (n_windows, n_classes) in float32.

    Raises
    ------
    ExperimentError
        If a name is unknown or the values do not fit together.
    """
    _check_branches(inputs, branches, fusion)
    branches = in_order(branches, AXES)
    _check_numbers(n_classes, kind, width, feature_dim, dropout)
    _check_options(fusion, branch_dropout, missing_branches)
    names = representations_of(branches)
    tensors = [keras.Input(inputs[name], name=name) for name in names]
    scaled = {
        # In float32 also where the rest is in float16: a variance of 1e-9 is zero there.
        name: layers.Normalization(SCALED_AXES[name], name=f"{name}_scaling", dtype="float32")(x)
        for name, x in zip(names, tensors, strict=True)
    }
    views, present = {branch: scaled[representation_of(branch)] for branch in branches}, None
    if missing_branches:
        *filled, present = FillMissing(name="fill_missing", dtype="float32")(list(views.values()))
        views = dict(zip(branches, filled, strict=True))
    if "tabular" in names:
        caveat = MarkMissing(seed=next(seed_stream(seed, "tabular_missing")))
        views = {b: caveat(x) if representation_of(b) == "tabular" else x for b, x in views.items()}
    encoders = {name: ENCODERS[representation_of(name)][own] for name, own in branches.items()}
    values = (n_classes, kind, width, feature_dim, dropout, seed, branch_dropout, present)
    fuse = FUSIONS.get(fusion, alone)
    output = fuse(Branches(views, encoders, *values))
    return keras.Model(tensors, output, name=fusion if fusion != "none" else f"{names[0]}_branch")


def join_members(models: list[keras.Model]) -> keras.Model:
    """Join trained models of the same task to one whose probabilities are their mean.

    This is the control that a fusion has to beat: as many networks, but no other view. The
    members keep their weights and their scaling, and share them with the model returned.

    Parameters
    ----------
    models : list of keras.Model
        At least two models of `build_model` with the same inputs and the same classes.

    Raises
    ------
    ExperimentError
        If there are fewer than two, or if their inputs or outputs differ.
    """
    if len(models) < 2:
        raise ExperimentError(
            f"{len(models)} model given to join_members, expected at least 2; a single model is "
            f"no ensemble, use it as it is."
        )
    signatures = [({x.name: x.shape for x in m.inputs}, m.output_shape) for m in models]
    for number, signature in enumerate(signatures):
        if signature != signatures[0]:
            raise ExperimentError(
                f"Member {number} has inputs and output {signature}, member 0 has "
                f"{signatures[0]}. Members of an ensemble must be the same but for their seed."
            )
    tensors = [keras.Input(x.shape[1:], name=x.name) for x in models[0].inputs]
    outputs = []
    for number, model in enumerate(models):
        # Members come with the same name, and Keras wants the layers of a model to differ.
        member = keras.Model(model.inputs, model.outputs[0], name=f"member_{number}")
        outputs.append(member(tensors))
    output = layers.Average(name=OUTPUT, dtype="float32")(outputs)
    return keras.Model(tensors, output, name="ensemble")


def _check_branches(inputs: dict, branches: dict, fusion: str) -> None:
    if not branches:
        raise ExperimentError("No branches were given, expected as in {'time': 'cnn'}.")
    check_branches(branches, fusion, ENCODERS)
    if set(inputs) != set(names := representations_of(branches)):
        raise ExperimentError(
            f"Shapes were given for {sorted(inputs)}, expected one for each representation and "
            f"no other: {sorted(names)}."
        )
    for name, shape in inputs.items():
        _check_shape(name, shape)
    require_one_of("fusion", fusion, ["none", *FUSIONS])
    if fusion == "none" and len(branches) > 1:
        raise ExperimentError(
            f"fusion='none' with the branches {list(branches)}; choose one of {list(FUSIONS)}, "
            f"or leave one branch."
        )
    if fusion != "none" and len(branches) == 1:
        raise ExperimentError(
            f"fusion={fusion!r} with the only branch {list(branches)}; use fusion='none', or add "
            f"a branch."
        )


def _check_shape(name: str, shape: tuple) -> None:
    expected = f"({', '.join(AXES[name])})"
    if len(shape) != len(AXES[name]) or not all(n is not None and n >= 1 for n in shape):
        raise ExperimentError(
            f"Shape {tuple(shape)} for {name!r}, expected {expected} without the windows, each "
            f"known and at least 1."
        )
    # The shortest allowed view stands for the axes before the leads.
    for axis, n, least in zip(AXES[name], shape, SHORTEST[name], strict=False):
        if n < least:
            raise ExperimentError(
                f"{axis}={n} for {name!r}, expected at least {least}: its encoders shorten this "
                f"axis step by step. Use a longer window, or a view with finer steps."
            )


def _check_numbers(n_classes: int, kind: str, width: int, feature_dim: int, dropout: float) -> None:
    require_one_of("kind", kind, ACTIVATIONS)
    least_classes = 2 if kind == "multi_class" else 1
    for name, value, least in (
        ("n_classes", n_classes, least_classes),
        ("width", width, 1),
        ("feature_dim", feature_dim, 1),
    ):
        if value < least:
            raise ExperimentError(f"{name}={value}, expected at least {least} for a {kind} task.")
    if not 0 <= dropout < 1:
        raise ExperimentError(f"dropout={dropout}, expected a share of at least 0 and below 1.")


def _check_options(fusion: str, branch_dropout: float, missing_branches: bool) -> None:
    if not 0 <= branch_dropout < 1:
        raise ExperimentError(
            f"branch_dropout={branch_dropout}, expected a chance of at least 0 and below 1."
        )
    if branch_dropout and (fusion == "none" or fusion.startswith("late_")):
        raise ExperimentError(
            f"branch_dropout={branch_dropout} with fusion={fusion!r}, expected an early or an "
            f"intermediate fusion: here no branch is trained together with others. Use 0."
        )
    if missing_branches and fusion == "none":
        raise ExperimentError(
            "missing_branches=True with fusion='none': without its only branch a model has "
            "nothing to answer from. Use False, or add a branch."
        )
