"""Seeded building blocks of encoders and fusions."""

from ecglib._keras import Tensor

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from ecglib.models.batch_normalization import BatchNormalization


def create_initializer(seeds: Iterator[int], name: str = "HeUniform") -> keras.Initializer:
    """Create an initializer with a separate seed.

    Parameters
    ----------
    seeds : iterator of int
        Seeds, of which one is used.
    name : str, default "HeUniform"
        Name in `keras.initializers`.

    Returns
    -------
    keras.Initializer

    Examples
    --------
    >>> create_initializer(iter([7]), "GlorotUniform").seed
    7
    """
    return getattr(keras.initializers, name)(seed=next(seeds))


def dense(
    x: Tensor,
    units: int,
    seeds: Iterator[int],
    activation: str | None = "relu",
    **options: Any,
) -> Tensor:
    """Apply a dense layer to the last axis.

    Parameters
    ----------
    x : tensor of shape (..., n_channels)
        Input.
    units : int
        Channels of the output.
    seeds : iterator of int
        Seeds of the weights.
    activation : str or None, default "relu"
        Name of the activation, None for a linear layer.
    **options
        Options of `keras.layers.Dense`.

    Returns
    -------
    tensor of shape (..., units)

    Examples
    --------
    >>> dense(keras.Input((10, 4)), 8, iter([0])).shape
    (None, 10, 8)
    """
    name = "HeUniform" if activation == "relu" else "GlorotUniform"
    initializer = create_initializer(seeds, name)
    return layers.Dense(units, activation, kernel_initializer=initializer, **options)(x)


def convolution(
    x: Tensor, filters: int, size: int, stride: int | tuple[int, int], seeds: Iterator[int]
) -> Tensor:
    """Convolve without a bias, over one axis or two.

    The padding accepts any length: n steps become ceil(n / stride).

    Parameters
    ----------
    x : tensor
        Input of shape (n_windows, n_steps, n_channels) or (n_windows, n_frames, n_bins,
        n_channels).
    filters : int
        Channels of the output.
    size : int
        Size of the kernel on each axis.
    stride : int or tuple of int
        Stride, of each axis if it is a tuple.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor
        With as many axes as `x`.

    Examples
    --------
    >>> convolution(keras.Input((15, 4)), 8, 3, 2, iter([0])).shape
    (None, 8, 8)
    """
    layer = layers.Conv1D if len(x.shape) == 3 else layers.Conv2D
    # No bias: the batch normalization that follows would remove it.
    return layer(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=create_initializer(seeds),
    )(x)


def normalize(x: Tensor, gamma: str = "ones") -> Tensor:
    """Normalize each channel over the batch.

    Parameters
    ----------
    x : tensor of shape (n_windows, ..., n_channels)
        Input.
    gamma : str, default "ones"
        Initializer of the scale.

    Returns
    -------
    tensor of the shape of `x`

    Examples
    --------
    >>> normalize(keras.Input((15, 4))).shape
    (None, 15, 4)
    """
    # Keras's momentum of 0.99 needs hundreds of steps before prediction agrees with training.
    return BatchNormalization(momentum=0.9, gamma_initializer=gamma)(x)


def convolve_linear(
    x: Tensor, filters: int, size: int, stride: int, seeds: Iterator[int], gamma: str = "ones"
) -> Tensor:
    """Convolve, then normalize: the end of a residual block, or its shortcut.

    Parameters
    ----------
    x, filters, size, stride, seeds
        As in `convolution`.
    gamma : str, default "ones"
        Initializer of the scale of the normalization.

    Returns
    -------
    tensor
        With as many axes as `x`.

    Examples
    --------
    >>> convolve_linear(keras.Input((15, 4)), 8, 3, 2, iter([0]), gamma="zeros").shape
    (None, 8, 8)
    """
    return normalize(convolution(x, filters, size, stride, seeds), gamma)


def convolve(
    x: Tensor, filters: int, size: int, stride: int | tuple[int, int], seeds: Iterator[int]
) -> Tensor:
    """Convolve over one axis or two, then normalize and apply a ReLU.

    Parameters
    ----------
    x, filters, size, stride, seeds
        As in `convolution`.

    Returns
    -------
    tensor
        With as many axes as `x`.

    Examples
    --------
    >>> convolve(keras.Input((15, 9, 4)), 8, 3, (1, 2), iter([0])).shape
    (None, 15, 5, 8)
    """
    return layers.Activation("relu")(normalize(convolution(x, filters, size, stride, seeds)))


def add_shortcut(x: Tensor, shortcut: Tensor) -> Tensor:
    """End a residual block: add its shortcut, then apply a ReLU.

    Parameters
    ----------
    x : tensor
        Output of the block's convolutions.
    shortcut : tensor of the shape of `x`
        What bypassed them.

    Returns
    -------
    tensor of the shape of `x`

    Examples
    --------
    >>> x = keras.Input((15, 4))
    >>> add_shortcut(x, x).shape
    (None, 15, 4)
    """
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def read_both_directions(x: Tensor, units: int, seeds: Iterator[int]) -> Tensor:
    """Apply an LSTM in each direction, and return the last output of each.

    The last step of the backward direction is the *first* of `x`.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)
        A sequence.
    units : int
        Units of each direction.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor of shape (n_windows, 2 * units)

    Examples
    --------
    >>> from ecglib.models.layers import seed_stream
    >>> read_both_directions(keras.Input((15, 4)), 8, seed_stream(0)).shape
    (None, 16)
    """
    # Created one by one: `Bidirectional` would copy the seeds, and both would start equal.
    forward, backward = (
        layers.LSTM(
            units,
            go_backwards=go_backwards,
            kernel_initializer=create_initializer(seeds, "GlorotUniform"),
            recurrent_initializer=create_initializer(seeds, "Orthogonal"),
        )
        for go_backwards in (False, True)
    )
    return layers.Bidirectional(forward, backward_layer=backward)(x)


def attend(
    x: Tensor, seeds: Iterator[int], context: Tensor | None = None, heads: int = 4
) -> Tensor:
    """Apply multi-head attention (Vaswani et al., 2017) to the sequence itself, or to a context.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)
        The queries.
    seeds : iterator of int
        Seeds of the weights.
    context : tensor of shape (n_windows, n_other_steps, n_channels), optional
        The keys and values; `x` itself by default.
    heads : int, default 4
        Number of heads.

    Returns
    -------
    tensor of the shape of `x`

    Examples
    --------
    >>> from ecglib.models.layers import seed_stream
    >>> attend(keras.Input((5, 16)), seed_stream(0), context=keras.Input((9, 16))).shape
    (None, 5, 16)
    """
    attention = layers.MultiHeadAttention(
        num_heads=heads,
        key_dim=max(1, x.shape[-1] // heads),
        use_bias=False,  # a bias of the keys has no effect: the softmax removes it
    )
    output = attention(x, x if context is None else context)
    # An initializer given to the layer is copied with its seed to queries, keys and values, which
    # would then start equal. So each is initialized here from a separate seed.
    for variable in attention.trainable_variables:
        initializer = create_initializer(seeds, "GlorotUniform")
        variable.assign(initializer(variable.shape, variable.dtype))
    return output


def attention_pool(x: Tensor, seeds: Iterator[int]) -> Tensor:
    """Average over the steps, weighted by their attention to a learned query.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)
        A sequence.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor of shape (n_windows, n_channels)

    Notes
    -----
    This is the pooling of Lee et al., "Set Transformer" (ICML 2019), with one query and one head.

    Examples
    --------
    >>> attention_pool(keras.Input((5, 16)), iter([0])).shape
    (None, 16)
    """
    scores = dense(x, 1, seeds, activation=None, use_bias=False)
    weights = layers.Softmax(axis=1)(scores)
    return layers.Flatten()(layers.Dot(axes=(1, 1))([weights, x]))


def transformer_block(x: Tensor, dropout: float, seeds: Iterator[int]) -> Tensor:
    """Apply a pre-norm transformer block (Xiong et al., ICML 2020).

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)
        A sequence.
    dropout : float
        Fraction of the values dropped in training.
    seeds : iterator of int
        Seeds of the weights and the dropout.

    Returns
    -------
    tensor of the shape of `x`

    Examples
    --------
    >>> from ecglib.models.layers import seed_stream
    >>> transformer_block(keras.Input((5, 16)), 0.1, seed_stream(0)).shape
    (None, 5, 16)
    """
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.Add()([x, layers.Dropout(dropout, seed=next(seeds))(attended)])
    hidden = dense(layers.LayerNormalization()(x), 2 * x.shape[-1], seeds)
    hidden = dense(hidden, x.shape[-1], seeds, activation=None)
    return layers.Add()([x, layers.Dropout(dropout, seed=next(seeds))(hidden)])


def pool_average_and_maximum(x: Tensor) -> Tensor:
    """Pool over the steps: the average and the maximum of each channel.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_steps, n_channels)
        A sequence.

    Returns
    -------
    tensor of shape (n_windows, 2 * n_channels)

    Examples
    --------
    >>> pool_average_and_maximum(keras.Input((5, 16))).shape
    (None, 32)
    """
    return layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    )
