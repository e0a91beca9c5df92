"""Encoders: from one scaled representation to a vector of features.

Each takes ``(x, width, features, dropout, seed)`` and returns a tensor of shape
(n_windows, features). Those that pool over time first add a learned embedding of the place: a
finding may stand anywhere in a ten-second record, but of the beats around the one that is to be
classified, only that one counts. Frequency encoders keep the place of each bin.
"""

from collections.abc import Callable

from keras import layers

from ecglib.models.blocks import (
    attend,
    attention_pool,
    average_and_maximum,
    convolve,
    dense,
    kernel,
    transformer_block,
)
from ecglib.models.layers import PositionEmbedding, seed_stream

# Fewest steps a view may have on each axis before the leads: two are left for an attention.
SHORTEST = {"time": (32,), "frequency": (16,), "spectrogram": (4, 4), "scalogram": (4, 4)}


def time_front_end(x, width: int, seeds):
    """Reduce (n_windows, n_samples, n_leads) to (n_windows, ceil(n_samples / 16), 2 * width)."""
    x = convolve(x, width, 9, 4, seeds)
    x = convolve(x, 2 * width, 5, 2, seeds)
    return convolve(x, 2 * width, 5, 2, seeds)


def time_cnn(x, width: int, features: int, dropout: float, seed: int):
    """Convolutions over time that know where they are, then the average and maximum over time.

    Input (n_windows, n_samples, n_leads); the time axis is shortened 32 times.
    """
    seeds = seed_stream(seed)
    x = PositionEmbedding(seed=next(seeds))(time_front_end(x, width, seeds))
    x = convolve(x, 4 * width, 3, 2, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(average_and_maximum(x))
    return dense(x, features, seeds)


def time_cnn_bilstm(x, width: int, features: int, dropout: float, seed: int):
    """Convolutions over time, then an LSTM in each direction.

    Input (n_windows, n_samples, n_leads); the LSTMs see n_samples / 16 steps. Each direction
    gives the output after its own last step, which for the backward one is the *first* step
    of the window, so that both have seen all of it.
    """
    seeds = seed_stream(seed)
    x = time_front_end(x, width, seeds)
    # Made one by one: `Bidirectional` alone copies the seeds, and both would start equal.
    forward, backward = (
        layers.LSTM(
            width,
            go_backwards=go_backwards,
            kernel_initializer=kernel(seeds, "GlorotUniform"),
            recurrent_initializer=kernel(seeds, "Orthogonal"),
        )
        for go_backwards in (False, True)
    )
    x = layers.Bidirectional(forward, backward_layer=backward)(x)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, features, seeds)


def time_cnn_attention(x, width: int, features: int, dropout: float, seed: int):
    """Convolutions over time, self-attention between what they found, pooling by attention.

    Input (n_windows, n_samples, n_leads); the attention sees n_samples / 16 steps.
    """
    seeds = seed_stream(seed)
    x = PositionEmbedding(seed=next(seeds))(time_front_end(x, width, seeds))
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    x = layers.Dropout(dropout, seed=next(seeds))(attention_pool(x, seeds))
    return dense(x, features, seeds)


def frequency_cnn(x, width: int, features: int, dropout: float, seed: int):
    """Convolutions over frequency, with the place of each bin kept.

    Input (n_windows, n_bins, n_leads); the frequency axis is shortened 16 times.
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 7, 4, seeds)
    x = convolve(x, width, 5, 2, seeds)
    x = convolve(x, 2 * width, 3, 2, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(layers.Flatten()(x))
    return dense(x, features, seeds)


def frequency_cnn_transformer(x, width: int, features: int, dropout: float, seed: int):
    """Convolutions over frequency, then two pre-norm transformer blocks.

    Input (n_windows, n_bins, n_leads); the blocks see n_bins / 8 steps.
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 7, 4, seeds)
    x = convolve(x, 2 * width, 5, 2, seeds)
    x = PositionEmbedding(seed=next(seeds))(x)
    for _ in range(2):
        x = transformer_block(x, dropout, seeds)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return dense(x, features, seeds)


def time_frequency_cnn2d(x, width: int, features: int, dropout: float, seed: int):
    """Convolutions over time and frequency; pooled over time, with the place of each bin kept.

    Input (n_windows, n_frames, n_bins, n_leads); both axes are shortened 8 times.
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 3, 2, seeds)
    x = convolve(x, width, 3, 2, seeds)
    x = PositionEmbedding(seed=next(seeds))(x)
    x = convolve(x, 2 * width, 3, 2, seeds)
    n_frames, n_bins, channels = x.shape[1:]
    x = average_and_maximum(layers.Reshape((n_frames, n_bins * channels))(x))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, features, seeds)


ENCODERS: dict[str, dict[str, Callable]] = {
    "time": {
        "cnn": time_cnn,
        "cnn_bilstm": time_cnn_bilstm,
        "cnn_attention": time_cnn_attention,
    },
    "frequency": {"cnn": frequency_cnn, "cnn_transformer": frequency_cnn_transformer},
    "spectrogram": {"cnn2d": time_frequency_cnn2d},
    "scalogram": {"cnn2d": time_frequency_cnn2d},
}
