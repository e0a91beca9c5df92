"""The residual encoder with the changes of the "bag of tricks"."""

from ecglib._keras import Tensor

from collections.abc import Iterator

from keras import layers

from ecglib.models.blocks import (
    add_shortcut,
    convolve,
    convolve_linear,
    dense,
    pool_average_and_maximum,
)
from ecglib.models.layers import seed_stream

EXPANSION = 4
# Bottleneck blocks of each stage: 26 layers with weights; (3, 4, 6, 3) has 50.
DEPTHS = (2, 2, 2, 2)


def bottleneck_block(x: Tensor, filters: int, stride: int, seeds: Iterator[int]) -> Tensor:
    """Apply convolutions of kernel 1, 5 and 1 with a shortcut around them.

    The initial scale of the last is 0, so that a block without a convolution in its shortcut
    starts as the identity; the shortcut averages before it convolves, so that no sample is ignored
    (He et al., "Bag of tricks for image classification", CVPR 2019, arXiv:1812.01187).

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_channels)
        Input.
    filters : int
        Channels of the inner convolutions.
    stride : int
        Stride of the middle convolution and of the shortcut.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor of shape (n_windows, ceil(n_samples / stride), 4 * filters)

    Examples
    --------
    >>> bottleneck_block(layers.Input((25, 12)), 8, 2, seed_stream(0)).shape
    (None, 13, 32)
    """
    inner = convolve(x, filters, 1, 1, seeds)
    inner = convolve(inner, filters, 5, stride, seeds)
    inner = convolve_linear(inner, EXPANSION * filters, 1, 1, seeds, gamma="zeros")
    if stride != 1:
        x = layers.AveragePooling1D(stride, padding="same")(x)
    if x.shape[-1] != EXPANSION * filters:
        x = convolve_linear(x, EXPANSION * filters, 1, 1, seeds)
    return add_shortcut(inner, x)


def xresnet1d(
    x: Tensor,
    width: int,
    feature_dim: int,
    dropout: float,
    seed: int,
    depths: tuple[int, ...] = DEPTHS,
) -> Tensor:
    """Bottleneck blocks over time in four stages, then the average and maximum over time.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the time axis is shortened 32 times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.
    depths : tuple of int, default (2, 2, 2, 2)
        Number of blocks of each stage.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    This is the family of `xresnet1d101` of Strodthoff et al., "Deep learning for ECG analysis:
    benchmarks and insights from PTB-XL" (2021, arXiv:2004.13701): a stem of three convolutions
    of kernel 5 and a pooling, then stages of `width` channels, four times as many between the
    blocks. ``width=64`` gives their channels, and ``depths=(3, 4, 23, 3)`` their depth: as an
    encoder it is ``functools.partial(xresnet1d, depths=(3, 4, 23, 3))``.

    Examples
    --------
    >>> xresnet1d(layers.Input((250, 12)), width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    narrow = max(1, width // 2)
    for filters, stride in ((narrow, 2), (narrow, 1), (width, 1)):
        x = convolve(x, filters, 5, stride, seeds)
    x = layers.MaxPooling1D(3, strides=2, padding="same")(x)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            x = bottleneck_block(x, width, 2 if stage > 0 and block == 0 else 1, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(pool_average_and_maximum(x))
    return dense(x, feature_dim, seeds)
