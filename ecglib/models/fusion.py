"""Fusions: how the branches become one vector of probabilities.

Each takes ``(views, encoders, classify, width, features, dropout, seed)``:

views : dict[str, tensor]
    Representation -> scaled input, in the order of the model's inputs.
encoders : dict[str, Callable]
    Representation -> encoder, see `ecglib.models.encoders`.
classify : Callable
    ``classify(x, name)`` -> probabilities (n_windows, n_classes) from a vector of features.

and returns the tensor of probabilities, (n_windows, n_classes).
"""

from collections.abc import Callable

from keras import layers

from ecglib.models.blocks import attend, attention_pool, dense
from ecglib.models.encoders import time_cnn
from ecglib.models.layers import Interpolate, PositionEmbedding, WeightedAverage, seed_stream

OUTPUT = "probabilities"
BRANCH_OUTPUT = "branch_probabilities"


def encode(name: str, x, encoder: Callable, width, features, dropout, seed):
    """Apply one encoder; its output can be found as the layer "<name>_features".

    The seed depends on the name and not on the other branches: a branch starts with the same
    weights alone and in any fusion.
    """
    branch_seed = next(seed_stream(seed, f"{name}_encoder"))
    x = encoder(x, width=width, features=features, dropout=dropout, seed=branch_seed)
    return layers.Identity(name=f"{name}_features")(x)


def encode_each(views, encoders, width, features, dropout, seed) -> dict:
    """Apply to each view its encoder; return representation -> (n_windows, features)."""
    return {
        name: encode(name, x, encoders[name], width, features, dropout, seed)
        for name, x in views.items()
    }


def early_concat(views, encoders, classify, width, features, dropout, seed):
    """Join the views as channels over one time axis; one encoder sees them all.

    The time axis is that of the first view in the order time, spectrogram, scalogram, frequency.
    Each view is first brought to `width` channels of unit variance, so that a view of many values
    (a spectrogram has 25 times the channels of a time series) does not drown the others. The
    encoder is that of the time branch, or the time `cnn` where there is none.
    """
    seeds = seed_stream(seed, "early_concat")
    order = ("time", "spectrogram", "scalogram", "frequency")
    first = next(name for name in order if name in views)
    n_steps = views[first].shape[1]

    def on_the_grid(name, x):
        has_frames = name in ("spectrogram", "scalogram")
        if has_frames:
            x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
        elif name == "frequency":
            x = layers.Flatten()(x)
        # No bias: the batch normalisation would take it out again.
        x = dense(x, width, seeds, activation=None, use_bias=False)
        x = layers.BatchNormalization(momentum=0.9)(x)
        if has_frames and x.shape[1] != n_steps:
            return Interpolate(n_steps)(x)
        return layers.RepeatVector(n_steps)(x) if name == "frequency" else x

    x = layers.Concatenate()([on_the_grid(name, x) for name, x in views.items()])
    encoder = encoders.get("time", time_cnn)
    return classify(encode("fused", x, encoder, width, features, dropout, seed), OUTPUT)


def intermediate_concat(views, encoders, classify, width, features, dropout, seed):
    """Concatenate the branches' features; a dense layer mixes them."""
    seeds = seed_stream(seed, "intermediate_concat")
    vectors = encode_each(views, encoders, width, features, dropout, seed)
    x = layers.Concatenate()(list(vectors.values()))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return classify(dense(x, features, seeds), OUTPUT)


def intermediate_gated(views, encoders, classify, width, features, dropout, seed):
    """Add the branches' features, each times a gate in (0, 1) that all branches decide.

    This is the gated multimodal unit for more than two modalities of Arevalo et al., "Gated
    multimodal units for information fusion" (2017, arXiv:1702.01992). The gates can be found
    as the layers "<representation>_gate", (n_windows, features).
    """
    seeds = seed_stream(seed, "intermediate_gated")
    vectors = encode_each(views, encoders, width, features, dropout, seed)
    everything = layers.Concatenate()(list(vectors.values()))
    gated = []
    for name, vector in vectors.items():
        value = dense(vector, features, seeds, activation="tanh")
        gate = dense(everything, features, seeds, activation="sigmoid", name=f"{name}_gate")
        gated.append(layers.Multiply()([value, gate]))
    return classify(layers.Add()(gated), OUTPUT)


def intermediate_attention(views, encoders, classify, width, features, dropout, seed):
    """Let the branches, as tokens, attend to each other; a learned query pools them.

    Self-attention as in Vaswani et al. (2017, arXiv:1706.03762) over one token a branch, told
    apart by a learned embedding; pooled as in Lee et al. (2019, arXiv:1810.00825).
    """
    seeds = seed_stream(seed, "intermediate_attention")
    vectors = encode_each(views, encoders, width, features, dropout, seed)
    tokens = [
        layers.Reshape((1, features))(dense(vector, features, seeds, activation=None))
        for vector in vectors.values()
    ]
    x = PositionEmbedding(seed=next(seeds), name="branch_embedding")(
        layers.Concatenate(axis=1)(tokens)
    )
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    return classify(attention_pool(x, seeds), OUTPUT)


def stacked_branches(views, encoders, classify, width, features, dropout, seed):
    """Classify each branch by itself; return (n_windows, n_branches, n_classes)."""
    vectors = encode_each(views, encoders, width, features, dropout, seed)
    heads = [classify(vector, f"{name}_probabilities") for name, vector in vectors.items()]
    rows = [layers.Reshape((1, head.shape[-1]), dtype="float32")(head) for head in heads]
    return layers.Concatenate(axis=1, name=BRANCH_OUTPUT, dtype="float32")(rows)


def late_average(views, encoders, classify, width, features, dropout, seed):
    """Average the branches' probabilities."""
    x = stacked_branches(views, encoders, classify, width, features, dropout, seed)
    return layers.GlobalAveragePooling1D(name=OUTPUT, dtype="float32")(x)


def late_weighted(views, encoders, classify, width, features, dropout, seed):
    """Average the branches' probabilities with weights that are set after training."""
    x = stacked_branches(views, encoders, classify, width, features, dropout, seed)
    return WeightedAverage(name=OUTPUT, dtype="float32")(x)


FUSIONS: dict[str, Callable] = {
    "early_concat": early_concat,
    "intermediate_concat": intermediate_concat,
    "intermediate_gated": intermediate_gated,
    "intermediate_attention": intermediate_attention,
    "late_average": late_average,
    "late_weighted": late_weighted,
}
