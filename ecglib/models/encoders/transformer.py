"""Encoders of convolutions and two pre-norm transformer blocks."""

from ecglib._keras import Tensor

from collections.abc import Iterator

from keras import layers

from ecglib.models.blocks import convolve, dense, transformer_block
from ecglib.models.encoders.cnn import time_front_end
from ecglib.models.layers import PositionEmbedding, seed_stream


def time_cnn_transformer(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Convolutions over time, then two pre-norm transformer blocks.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the blocks attend over n_samples / 16 steps.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> x = layers.Input((250, 12))
    >>> time_cnn_transformer(x, width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    return _apply_transformer(time_front_end(x, width, seeds), feature_dim, dropout, seeds)


def frequency_cnn_transformer(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Convolutions over frequency, then two pre-norm transformer blocks.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_bins, n_leads)
        Scaled spectrum; the blocks attend over n_bins / 8 steps.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> x = layers.Input((40, 12))
    >>> frequency_cnn_transformer(x, width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 7, 4, seeds)
    x = convolve(x, 2 * width, 5, 2, seeds)
    return _apply_transformer(x, feature_dim, dropout, seeds)


def _apply_transformer(x: Tensor, feature_dim: int, dropout: float, seeds: Iterator[int]) -> Tensor:
    x = PositionEmbedding(seed=next(seeds))(x)
    for _ in range(2):
        x = transformer_block(x, dropout, seeds)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return dense(x, feature_dim, seeds)
