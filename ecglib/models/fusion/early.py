"""Early fusion: one encoder for all representations."""

from ecglib._keras import Tensor

from keras import layers

from ecglib.experiment.branches import describe_kind
from ecglib.models.blocks import dense, normalize
from ecglib.models.encoders.cnn import time_cnn
from ecglib.models.fusion.branches import Branches
from ecglib.models.layers import Interpolate, seed_stream


def early_concat(branches: Branches) -> Tensor:
    """Concatenate the representations as channels over one time axis; one encoder takes them all.

    The time axis is that of the first representation in the order time, spectrogram, scalogram; a
    spectrum and tabular values, which have none, are repeated over it. With only these two the
    axis is that of the frequencies. Each representation is first projected to `width` channels of
    unit variance, so that one with many values (a spectrogram has 25 times the channels of a time
    series) does not dominate the others. The encoder is that of the time branch, or the time `cnn`
    where there is none; over frequencies, that of the frequency branch.

    Parameters
    ----------
    branches : Branches
        At least two branches, each on a different representation.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="early_concat",
    ...     n_classes=2,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("fused_scaled").input.shape
    (None, 250, 64)
    """
    width = branches.settings.width
    seeds = seed_stream(branches.settings.seed, "early_concat")
    kinds = {name: describe_kind(name) for name in branches.inputs}
    first = min(kinds, key=lambda name: kinds[name].early_fusion_rank)
    n_steps = branches.inputs[first].shape[1]

    def align(name: str, x: Tensor) -> Tensor:
        axes = kinds[name].axes
        has_frames, has_steps = "n_frames" in axes, axes[0] in ("n_frames", "n_samples")
        is_repeated = name != first and not has_steps
        if has_frames:
            x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
        elif is_repeated:
            x = layers.Flatten()(x)
        # No bias: the batch normalization would remove it.
        x = dense(x, width, seeds, activation=None, use_bias=False)
        x = normalize(x)
        if has_steps and x.shape[1] != n_steps:
            return Interpolate(n_steps)(x)
        return layers.RepeatVector(n_steps)(x) if is_repeated else x

    aligned = branches.drop({name: align(name, x) for name, x in branches.inputs.items()})
    x = layers.Concatenate()(list(aligned.values()))
    # The encoder of an image cannot take a sequence.
    encoder = time_cnn if "n_frames" in kinds[first].axes else branches.encoders[first]
    return branches.classify(branches.encode("fused", x, encoder))
