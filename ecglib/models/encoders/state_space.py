"""The encoder of state space layers."""

from ecglib._keras import Tensor

from collections.abc import Iterator

from keras import layers

from ecglib.models.blocks import attention_pool, dense
from ecglib.models.layers import PositionEmbedding, seed_stream
from ecglib.models.state_space import StateSpace

N_LAYERS = 4
N_STATES = 8
POOL_SIZE = 16


def state_space_block(x: Tensor, dropout: float, seeds: Iterator[int]) -> Tensor:
    """Filter over time, mix the channels by a gated unit, add the input, normalize.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_channels)
        Input.
    dropout : float
        Fraction of the channels dropped in training.
    seeds : iterator of int
        Seeds of the weights and the dropout.

    Returns
    -------
    tensor of the shape of `x`

    Examples
    --------
    >>> state_space_block(layers.Input((250, 16)), 0.2, seed_stream(0)).shape
    (None, 250, 16)
    """
    # Not GELU as in the paper: its error function is not supported by ONNX, and slow on a CPU.
    y = layers.Activation("silu")(StateSpace(N_STATES, seed=next(seeds))(x))
    y = layers.SpatialDropout1D(dropout, seed=next(seeds))(y)
    mixed = dense(y, x.shape[-1], seeds, activation=None)
    y = layers.Multiply()([mixed, dense(y, x.shape[-1], seeds, "sigmoid")])
    y = layers.SpatialDropout1D(dropout, seed=next(seeds))(y)
    return layers.LayerNormalization()(layers.Add()([x, y]))


def time_s4d(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Four state space layers over all samples, in both directions; pooled over time.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the time axis is not shortened.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    This is the model of Mehari and Strodthoff, "Towards quantitative precision for ECG analysis:
    leveraging state space models, self-supervision and patient metadata" (2023), with the
    diagonal layer `StateSpace` instead of S4: four layers of 8 states per channel and direction,
    layer normalization. It has ``2 * width`` channels; theirs has 512, which is ``width=256``,
    with ``dropout=0.2`` and windows of 2.5 s at 100 Hz. They average over time. Here the
    activation is SiLU, averages over 16 samples get a position embedding and are weighted by
    `attention_pool`, and a hidden layer of `feature_dim` units precedes the classes.

    Examples
    --------
    >>> time_s4d(layers.Input((250, 12)), width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = dense(x, 2 * width, seeds, activation=None)
    for _ in range(N_LAYERS):
        x = state_space_block(x, dropout, seeds)
    x = layers.AveragePooling1D(POOL_SIZE, padding="same")(x)
    x = attention_pool(PositionEmbedding(seed=next(seeds))(x), seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
