"""The encoder with kernels of several lengths in parallel."""

from ecglib._keras import Tensor

from collections.abc import Iterator

from keras import layers

from ecglib.models.blocks import (
    add_shortcut,
    convolution,
    convolve_linear,
    dense,
    normalize,
    pool_average_and_maximum,
)
from ecglib.models.layers import seed_stream

KERNELS = (39, 19, 9)
DEPTH = 6


def inception_module(x: Tensor, filters: int, seeds: Iterator[int]) -> Tensor:
    """Apply kernels of three lengths and a pooling in parallel.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_channels)
        Input.
    filters : int
        Channels of the bottleneck and of each of the four paths.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor of shape (n_windows, n_samples, 4 * filters)

    Examples
    --------
    >>> inception_module(layers.Input((250, 12)), 32, seed_stream(0)).shape
    (None, 250, 128)
    """
    narrow = x if x.shape[-1] == 1 else convolution(x, filters, 1, 1, seeds)
    paths = [convolution(narrow, filters, size, 1, seeds) for size in KERNELS]
    pooled = layers.MaxPooling1D(3, strides=1, padding="same")(x)
    paths.append(convolution(pooled, filters, 1, 1, seeds))
    return layers.Activation("relu")(normalize(layers.Concatenate()(paths)))


def inception_time(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Six inception modules over time, with a shortcut around every three.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the time axis is never shortened, so this is the most expensive
        encoder.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    Fawaz et al., "InceptionTime: finding AlexNet for time series classification" (2020,
    arXiv:1909.04939), one network of their five: ``width // 2`` filters per path and in the
    bottleneck; theirs have 32, which is ``width=64``. The odd kernels, and the maximum pooled in
    addition to the average, are those of the benchmark of PTB-XL (Strodthoff et al., 2021).

    Examples
    --------
    >>> inception_time(layers.Input((250, 12)), width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    shortcut = x
    for module in range(DEPTH):
        x = inception_module(x, max(1, width // 2), seeds)
        if module % 3 == 2:
            x = add_shortcut(x, convolve_linear(shortcut, x.shape[-1], 1, 1, seeds))
            shortcut = x
    x = layers.Dropout(dropout, seed=next(seeds))(pool_average_and_maximum(x))
    return dense(x, feature_dim, seeds)
