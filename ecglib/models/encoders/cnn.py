"""Small convolutional encoders."""

from ecglib._keras import Tensor

from collections.abc import Iterator

from keras import layers

from ecglib.models.blocks import (
    attend,
    attention_pool,
    convolve,
    dense,
    pool_average_and_maximum,
)
from ecglib.models.layers import PositionEmbedding, seed_stream


def time_front_end(x: Tensor, width: int, seeds: Iterator[int]) -> Tensor:
    """Apply three convolutions over time, which shorten it 16 times.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Time series.
    width : int
        Channels of the first convolution.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor of shape (n_windows, ceil(n_samples / 16), 2 * width)

    Examples
    --------
    >>> time_front_end(layers.Input((250, 12)), 32, seed_stream(0)).shape
    (None, 16, 64)
    """
    x = convolve(x, width, 9, 4, seeds)
    x = convolve(x, 2 * width, 5, 2, seeds)
    return convolve(x, 2 * width, 5, 2, seeds)


def time_cnn(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Convolutions over time with a position embedding, then average and maximum over time.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the time axis is shortened 32 times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> time_cnn(layers.Input((250, 12)), width=32, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = PositionEmbedding(seed=next(seeds))(time_front_end(x, width, seeds))
    x = convolve(x, 4 * width, 3, 2, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(pool_average_and_maximum(x))
    return dense(x, feature_dim, seeds)


def time_cnn_attention(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Convolutions over time, self-attention between their outputs, pooling by attention.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the attention is over n_samples / 16 steps.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> x = layers.Input((250, 12))
    >>> time_cnn_attention(x, width=32, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = PositionEmbedding(seed=next(seeds))(time_front_end(x, width, seeds))
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    x = layers.Dropout(dropout, seed=next(seeds))(attention_pool(x, seeds))
    return dense(x, feature_dim, seeds)


def frequency_cnn(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Convolutions over frequency, which keep the position of each bin.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_bins, n_leads)
        Scaled spectrum; the frequency axis is shortened 16 times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> frequency_cnn(layers.Input((40, 12)), width=32, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 7, 4, seeds)
    x = convolve(x, width, 5, 2, seeds)
    x = convolve(x, 2 * width, 3, 2, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(layers.Flatten()(x))
    return dense(x, feature_dim, seeds)


def time_frequency_cnn2d(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Convolutions over time and frequency; pooled over time, with the position of each bin kept.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_frames, n_bins, n_leads)
        Scaled spectrogram or scalogram; both axes are shortened 8 times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> x = layers.Input((32, 26, 12))
    >>> time_frequency_cnn2d(x, width=32, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 3, 2, seeds)
    x = convolve(x, width, 3, 2, seeds)
    x = PositionEmbedding(seed=next(seeds))(x)
    x = convolve(x, 2 * width, 3, 2, seeds)
    n_frames, n_bins, channels = x.shape[1:]
    x = pool_average_and_maximum(layers.Reshape((n_frames, n_bins * channels))(x))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
