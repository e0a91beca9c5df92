"""Early fusion: one encoder looks at all views at once."""

from keras import layers

from ecglib.models.blocks import dense, normalise
from ecglib.models.encoders import ENCODERS
from ecglib.models.fusion.branches import OUTPUT, Branches, encode
from ecglib.models.layers import Interpolate, seed_stream

# The axis of the first of these is the one that all are joined over.
ORDER = ("time", "spectrogram", "scalogram", "frequency", "tabular")


def early_concat(branches: Branches):
    """Join the views as channels over one time axis; one encoder sees them all.

    The time axis is that of the first view in the order time, spectrogram, scalogram; a spectrum
    and the tabular values, which have none, are repeated over it. With these two alone the axis
    is that of the frequencies. Each view is first brought to `width` channels of unit variance,
    so that a view of many values (a spectrogram has 25 times the channels of a time series) does
    not drown the others. The encoder is that of the time branch, or the time `cnn` where there
    is none; over frequencies, that of the frequency branch.
    """
    views = branches.views
    seeds = seed_stream(branches.seed, "early_concat")
    first = next(name for name in ORDER if name in views)
    n_steps = views[first].shape[1]

    def on_the_grid(name, x):
        has_frames = name in ("spectrogram", "scalogram")
        repeated = name in ("frequency", "tabular") and name != first
        if has_frames:
            x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
        elif repeated:
            x = layers.Flatten()(x)
        # No bias: the batch normalisation would take it out again.
        x = dense(x, branches.width, seeds, activation=None, use_bias=False)
        x = normalise(x)
        if has_frames and x.shape[1] != n_steps:
            return Interpolate(n_steps)(x)
        return layers.RepeatVector(n_steps)(x) if repeated else x

    on_grid = branches.keep({name: on_the_grid(name, x) for name, x in views.items()})
    x = layers.Concatenate()(list(on_grid.values()))
    of_axis = "frequency" if first == "frequency" else "time"
    encoder = branches.encoders.get(of_axis, ENCODERS["time"]["cnn"])
    values = (branches.width, branches.feature_dim, branches.dropout, branches.seed)
    return branches.classify(encode("fused", x, encoder, *values), OUTPUT)
