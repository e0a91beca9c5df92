"""Seeded pieces that several encoders and fusions are made of."""

from collections.abc import Iterator

import keras
from keras import layers

from ecglib.models.batch_normalization import BatchNormalization


def kernel(seeds: Iterator[int], name: str = "HeUniform") -> keras.Initializer:
    """Return an initializer of its own seed, `name` as in `keras.initializers`."""
    return getattr(keras.initializers, name)(seed=next(seeds))


def dense(x, units: int, seeds: Iterator[int], activation: str | None = "relu", **options):
    """Apply a dense layer to the last axis."""
    name = "HeUniform" if activation == "relu" else "GlorotUniform"
    layer = layers.Dense(units, activation, kernel_initializer=kernel(seeds, name), **options)
    return layer(x)


def convolution(x, filters: int, size: int, stride: int | tuple[int, int], seeds: Iterator[int]):
    """Convolve over one axis, or two if `x` has two, without a bias.

    The padding is such that any length is taken: n steps become ceil(n / stride).
    """
    layer = layers.Conv1D if len(x.shape) == 3 else layers.Conv2D
    # No bias: the batch normalization that follows would take it out again.
    return layer(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=kernel(seeds),
    )(x)


def normalize(x, gamma: str = "ones"):
    """Normalize each channel over the batch; `gamma` is what its scale starts as."""
    # Keras's momentum of 0.99 needs hundreds of steps before prediction agrees with training.
    return BatchNormalization(momentum=0.9, gamma_initializer=gamma)(x)


def convolve_linear(
    x, filters: int, size: int, stride: int, seeds: Iterator[int], gamma: str = "ones"
):
    """Convolve, then normalize: the end of a residual block, or its shortcut."""
    return normalize(convolution(x, filters, size, stride, seeds), gamma)


def convolve(x, filters: int, size: int, stride: int | tuple[int, int], seeds: Iterator[int]):
    """Convolve over one axis, or two if `x` has two, then normalize and rectify.

    The padding is such that any length is taken: n steps become ceil(n / stride).
    """
    return layers.Activation("relu")(normalize(convolution(x, filters, size, stride, seeds)))


def add_shortcut(x, shortcut):
    """Close a residual block: add what went around it, then rectify."""
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def both_directions(x, units: int, seeds: Iterator[int]):
    """Read the steps with an LSTM in each direction; what each has read after its last step.

    The last step of the backward one is the *first* of `x`.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)

    Returns
    -------
    tensor of shape (n_windows, 2 * units)
    """
    # Made one by one: `Bidirectional` alone copies the seeds, and both would start equal.
    forward, backward = (
        layers.LSTM(
            units,
            go_backwards=go_backwards,
            kernel_initializer=kernel(seeds, "GlorotUniform"),
            recurrent_initializer=kernel(seeds, "Orthogonal"),
        )
        for go_backwards in (False, True)
    )
    return layers.Bidirectional(forward, backward_layer=backward)(x)


def attend(x, seeds: Iterator[int], context=None, heads: int = 4):
    """Apply multi-head attention (Vaswani et al., 2017) of `x` to itself, or to a context.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)
    context : tensor of shape (n_windows, n_other_steps, n_channels) or None
        What is attended to; None for `x` itself.
    """
    attention = layers.MultiHeadAttention(
        num_heads=heads,
        key_dim=max(1, x.shape[-1] // heads),
        use_bias=False,  # a bias of the keys is without effect: the softmax takes it out
    )
    output = attention(x, x if context is None else context)
    # A seeded initializer given to the layer is copied, seed and all, to queries, keys and
    # values, which would then start equal. So each is filled here from a seed of its own.
    for variable in attention.trainable_variables:
        variable.assign(kernel(seeds, "GlorotUniform")(variable.shape, variable.dtype))
    return output


def attention_pool(x, seeds: Iterator[int]):
    """Average over the steps, weighted by how well each answers to a learned query.

    This is the pooling of Lee et al., "Set Transformer" (ICML 2019), with one query, one head.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)

    Returns
    -------
    tensor of shape (n_windows, n_channels)
    """
    scores = dense(x, 1, seeds, activation=None, use_bias=False)
    weights = layers.Softmax(axis=1)(scores)
    return layers.Flatten()(layers.Dot(axes=(1, 1))([weights, x]))


def transformer_block(x, dropout: float, seeds: Iterator[int]):
    """Apply one pre-norm transformer block (Xiong et al., ICML 2020)."""
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.Add()([x, layers.Dropout(dropout, seed=next(seeds))(attended)])
    hidden = dense(layers.LayerNormalization()(x), 2 * x.shape[-1], seeds)
    hidden = dense(hidden, x.shape[-1], seeds, activation=None)
    return layers.Add()([x, layers.Dropout(dropout, seed=next(seeds))(hidden)])


def average_and_maximum(x):
    """Pool (n_windows, n_steps, n_channels) over the steps to (n_windows, 2 * n_channels)."""
    return layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    )
