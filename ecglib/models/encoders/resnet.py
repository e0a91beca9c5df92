"""Residual encoders of basic blocks, over one axis or two."""

from keras import layers

from ecglib.models.blocks import add_shortcut, average_and_maximum, convolve, convolve_linear, dense
from ecglib.models.layers import PositionEmbedding, seed_stream

# Of each block of resnet1d; a stem of stride 1 stands before the first.
STRIDES = (1, 2, 2)


def basic_block(x, filters: int, sizes: tuple[int, int], stride: int, seeds):
    """Two convolutions and a shortcut around them (He et al., 2016, arXiv:1512.03385)."""
    inner = convolve(x, filters, sizes[0], stride, seeds)
    inner = convolve_linear(inner, filters, sizes[1], 1, seeds)
    if stride != 1 or x.shape[-1] != filters:
        x = convolve_linear(every(x, stride), filters, 1, 1, seeds)
    return add_shortcut(inner, x)


def every(x, stride: int):
    """Take each `stride`-th step of each axis, as a convolution of kernel 1 with this stride takes.

    That convolution itself kills the process in TensorFlow 2.21 on CPU, where the gradient of a
    batch of one window is taken with several threads.
    """
    pooling = layers.AveragePooling1D if len(x.shape) == 3 else layers.AveragePooling2D
    return x if stride == 1 else pooling(1, strides=stride, padding="same")(x)


def resnet1d(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Three residual blocks over time, then the average and maximum over time.

    This is `resnet1d_wang` of Strodthoff et al., "Deep learning for ECG analysis: benchmarks
    and insights from PTB-XL" (2021, arXiv:2004.13701), after Wang, Yan and Oates, "Time series
    classification from scratch" (IJCNN 2017, arXiv:1611.06455): a stem of kernel 7, blocks of
    kernels 5 and 3, the second and third of stride 2, all of ``2 * width`` channels. Theirs
    has 128, which is ``width=64``; a hidden layer of `features` stands before the classes here.

    Input (n_windows, n_samples, n_leads); the time axis is shortened 4 times.
    """
    seeds = seed_stream(seed)
    x = convolve(x, 2 * width, 7, 1, seeds)
    for stride in STRIDES:
        x = basic_block(x, 2 * width, (5, 3), stride, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(average_and_maximum(x))
    return dense(x, feature_dim, seeds)


def frequency_resnet1d(x, width: int, feature_dim: int, dropout: float, seed: int):
    """The blocks of `resnet1d` over frequency; the last one knows which bin it looks at.

    No paper has it for spectra: the blocks are those of `resnet1d`, 128 channels at ``width=64``,
    and an embedding of the place is added before the last, since it is pooled over frequency.

    Input (n_windows, n_bins, n_leads); the frequency axis is shortened 4 times.
    """
    seeds = seed_stream(seed)
    x = convolve(x, 2 * width, 7, 1, seeds)
    for stride in STRIDES[:-1]:
        x = basic_block(x, 2 * width, (5, 3), stride, seeds)
    x = PositionEmbedding(seed=next(seeds))(x)
    x = basic_block(x, 2 * width, (5, 3), STRIDES[-1], seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(average_and_maximum(x))
    return dense(x, feature_dim, seeds)


def resnet2d(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Residual blocks over time and frequency; the last ones know which bin they look at.

    He et al., "Deep residual learning for image recognition" (CVPR 2016, arXiv:1512.03385): at
    ``width=64`` the first three of the four stages of their ResNet-18, of two blocks and 64, 128
    and 256 channels each. Spectrograms are small pictures, so the stem is a convolution of
    kernel 3 and stride 2 in place of kernel 7, stride 2 and a pooling of stride 2. An embedding
    of the place is added before the third stage, and pooled is the average and the maximum.

    Input (n_windows, n_frames, n_bins, n_leads); both axes are shortened 8 times.
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 3, 2, seeds)
    for stage in range(3):
        if stage == 2:
            x = PositionEmbedding(seed=next(seeds))(x)
        for stride in (1 if stage == 0 else 2, 1):
            x = basic_block(x, width * 2**stage, (3, 3), stride, seeds)
    n_frames, n_bins, channels = x.shape[1:]
    x = average_and_maximum(layers.Reshape((n_frames * n_bins, channels))(x))
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
