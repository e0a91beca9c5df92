"""Residual encoders of basic blocks, over one axis or two."""

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
from ecglib.models.layers import PositionEmbedding, seed_stream

# Of each block of resnet1d; a stem of stride 1 precedes the first.
STRIDES = (1, 2, 2)


def basic_block(
    x: Tensor, filters: int, sizes: tuple[int, int], stride: int, seeds: Iterator[int]
) -> Tensor:
    """Apply two convolutions with a shortcut around them (He et al., 2016, arXiv:1512.03385).

    Parameters
    ----------
    x : tensor of shape (n_windows, ..., n_channels)
        Input, with one or two axes between the windows and the channels.
    filters : int
        Channels of the output.
    sizes : tuple of two int
        Kernel sizes of the two convolutions.
    stride : int
        Stride of the first convolution and of the shortcut.
    seeds : iterator of int
        Seeds of the weights.

    Returns
    -------
    tensor of shape (n_windows, ..., filters)

    Examples
    --------
    >>> basic_block(layers.Input((25, 12)), 16, (5, 3), 2, seed_stream(0)).shape
    (None, 13, 16)
    """
    inner = convolve(x, filters, sizes[0], stride, seeds)
    inner = convolve_linear(inner, filters, sizes[1], 1, seeds)
    if stride != 1 or x.shape[-1] != filters:
        x = convolve_linear(take_every(x, stride), filters, 1, 1, seeds)
    return add_shortcut(inner, x)


def take_every(x: Tensor, stride: int) -> Tensor:
    """Take each `stride`-th step of each axis, as a convolution of kernel 1 with this stride does.

    That convolution itself kills the process in TensorFlow 2.21 on CPU, where the gradient of a
    batch of one window is computed with several threads.

    Parameters
    ----------
    x : tensor of shape (n_windows, ..., n_channels)
        Input, with one or two axes between the windows and the channels.
    stride : int
        Distance of the steps.

    Returns
    -------
    tensor of shape (n_windows, ..., n_channels)

    Examples
    --------
    >>> take_every(layers.Input((7, 3)), 2).shape
    (None, 4, 3)
    """
    pooling = layers.AveragePooling1D if len(x.shape) == 3 else layers.AveragePooling2D
    return x if stride == 1 else pooling(1, strides=stride, padding="same")(x)


def resnet1d(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Three residual blocks over time, then the average and maximum over time.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the time axis is shortened 4 times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    This is `resnet1d_wang` of Strodthoff et al., "Deep learning for ECG analysis: benchmarks
    and insights from PTB-XL" (2021, arXiv:2004.13701), after Wang, Yan and Oates, "Time series
    classification from scratch" (IJCNN 2017, arXiv:1611.06455): a stem of kernel 7, blocks of
    kernels 5 and 3, the second and third of stride 2, all of ``2 * width`` channels. Theirs
    has 128, which is ``width=64``; here a hidden layer of `feature_dim` units precedes the classes.

    Examples
    --------
    >>> resnet1d(layers.Input((250, 12)), width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, 2 * width, 7, 1, seeds)
    for stride in STRIDES:
        x = basic_block(x, 2 * width, (5, 3), stride, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(pool_average_and_maximum(x))
    return dense(x, feature_dim, seeds)


def frequency_resnet1d(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Residual blocks over frequency; the last one has a position embedding of the bins.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_bins, n_leads)
        Scaled spectrum; the frequency axis is shortened 4 times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    No paper applies it to spectra: the blocks are those of `resnet1d`, with 128 channels at
    ``width=64``, and a position embedding is added before the last, since the output is pooled
    over frequency.

    Examples
    --------
    >>> x = layers.Input((40, 12))
    >>> frequency_resnet1d(x, width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, 2 * width, 7, 1, seeds)
    for stride in STRIDES[:-1]:
        x = basic_block(x, 2 * width, (5, 3), stride, seeds)
    x = PositionEmbedding(seed=next(seeds))(x)
    x = basic_block(x, 2 * width, (5, 3), STRIDES[-1], seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(pool_average_and_maximum(x))
    return dense(x, feature_dim, seeds)


def resnet2d(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Residual blocks over time and frequency; the last ones have a position embedding.

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

    Notes
    -----
    He et al., "Deep residual learning for image recognition" (CVPR 2016, arXiv:1512.03385): at
    ``width=64`` the first three of the four stages of their ResNet-18, of two blocks and 64, 128
    and 256 channels each. Spectrograms are small images, so the stem is a convolution of kernel 3
    and stride 2 instead of kernel 7, stride 2 and a pooling of stride 2. A position embedding is
    added before the third stage, and the output is pooled to the average and the maximum.

    Examples
    --------
    >>> resnet2d(layers.Input((32, 26, 12)), width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 3, 2, seeds)
    for stage in range(3):
        if stage == 2:
            x = PositionEmbedding(seed=next(seeds))(x)
        for stride in (1 if stage == 0 else 2, 1):
            x = basic_block(x, width * 2**stage, (3, 3), stride, seeds)
    n_frames, n_bins, channels = x.shape[1:]
    x = pool_average_and_maximum(layers.Reshape((n_frames * n_bins, channels))(x))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
