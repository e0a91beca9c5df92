"""The encoder of state space layers."""

from keras import layers

from ecglib.models.blocks import attention_pool, dense
from ecglib.models.layers import PositionEmbedding, seed_stream
from ecglib.models.state_space import StateSpace

N_LAYERS = 4
N_STATES = 8
POOLED = 16


def state_space_block(x, dropout: float, seeds):
    """Filter over time, mix the channels by a gated unit, add what came in, normalize."""
    # Not GELU as in the paper: its error function is unknown to ONNX, and slow on a CPU.
    y = layers.Activation("silu")(StateSpace(N_STATES, seed=next(seeds))(x))
    y = layers.SpatialDropout1D(dropout, seed=next(seeds))(y)
    mixed = dense(y, x.shape[-1], seeds, activation=None)
    y = layers.Multiply()([mixed, dense(y, x.shape[-1], seeds, "sigmoid")])
    y = layers.SpatialDropout1D(dropout, seed=next(seeds))(y)
    return layers.LayerNormalization()(layers.Add()([x, y]))


def time_s4d(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Four state space layers over all samples, in both directions; pooled over time.

    This is the model of Mehari and Strodthoff, "Towards quantitative precision for ECG analysis:
    leveraging state space models, self-supervision and patient metadata" (2023), with the
    diagonal layer `StateSpace` in the place of S4: four layers of 8 states a channel and
    direction, layer normalization. It has ``2 * width`` channels; theirs has 512, which is
    ``width=256``, with ``dropout=0.2`` and windows of 2.5 s at 100 Hz. They average over time.
    Here the activation is SiLU, averages over 16 samples are told their place and weighted by
    `attention_pool`, and a hidden layer of `features` stands before the classes.

    Input (n_windows, n_samples, n_leads); the time axis is not shortened.
    """
    seeds = seed_stream(seed)
    x = dense(x, 2 * width, seeds, activation=None)
    for _ in range(N_LAYERS):
        x = state_space_block(x, dropout, seeds)
    x = layers.AveragePooling1D(POOLED, padding="same")(x)
    x = attention_pool(PositionEmbedding(seed=next(seeds))(x), seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
