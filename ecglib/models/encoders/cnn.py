"""Small convolutional encoders."""

from keras import layers

from ecglib.models.blocks import attend, attention_pool, average_and_maximum, convolve, dense
from ecglib.models.layers import PositionEmbedding, seed_stream


def time_front_end(x, width: int, seeds):
    """Reduce (n_windows, n_samples, n_leads) to (n_windows, ceil(n_samples / 16), 2 * width)."""
    x = convolve(x, width, 9, 4, seeds)
    x = convolve(x, 2 * width, 5, 2, seeds)
    return convolve(x, 2 * width, 5, 2, seeds)


def time_cnn(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over time that know where they are, then the average and maximum over time.

    Input (n_windows, n_samples, n_leads); the time axis is shortened 32 times.
    """
    seeds = seed_stream(seed)
    x = PositionEmbedding(seed=next(seeds))(time_front_end(x, width, seeds))
    x = convolve(x, 4 * width, 3, 2, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(average_and_maximum(x))
    return dense(x, feature_dim, seeds)


def time_cnn_attention(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over time, self-attention between what they found, pooling by attention.

    Input (n_windows, n_samples, n_leads); the attention sees n_samples / 16 steps.
    """
    seeds = seed_stream(seed)
    x = PositionEmbedding(seed=next(seeds))(time_front_end(x, width, seeds))
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    x = layers.Dropout(dropout, seed=next(seeds))(attention_pool(x, seeds))
    return dense(x, feature_dim, seeds)


def frequency_cnn(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over frequency, with the place of each bin kept.

    Input (n_windows, n_bins, n_leads); the frequency axis is shortened 16 times.
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 7, 4, seeds)
    x = convolve(x, width, 5, 2, seeds)
    x = convolve(x, 2 * width, 3, 2, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(layers.Flatten()(x))
    return dense(x, feature_dim, seeds)


def time_frequency_cnn2d(x, width: int, feature_dim: int, dropout: float, seed: int):
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
    return dense(x, feature_dim, seeds)
