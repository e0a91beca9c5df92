"""Encoders of convolutions and two pre-norm transformer blocks."""

from keras import layers

from ecglib.models.blocks import convolve, dense, transformer_block
from ecglib.models.encoders.cnn import time_front_end
from ecglib.models.layers import PositionEmbedding, seed_stream


def time_cnn_transformer(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over time, then two pre-norm transformer blocks.

    Input (n_windows, n_samples, n_leads); the blocks see n_samples / 16 steps.
    """
    seeds = seed_stream(seed)
    return _attending(time_front_end(x, width, seeds), feature_dim, dropout, seeds)


def frequency_cnn_transformer(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over frequency, then two pre-norm transformer blocks.

    Input (n_windows, n_bins, n_leads); the blocks see n_bins / 8 steps.
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 7, 4, seeds)
    x = convolve(x, 2 * width, 5, 2, seeds)
    return _attending(x, feature_dim, dropout, seeds)


def _attending(x, feature_dim: int, dropout: float, seeds):
    x = PositionEmbedding(seed=next(seeds))(x)
    for _ in range(2):
        x = transformer_block(x, dropout, seeds)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return dense(x, feature_dim, seeds)
