"""The encoder with kernels of several lengths side by side."""

from keras import layers

from ecglib.models.blocks import (
    add_shortcut,
    average_and_maximum,
    convolution,
    convolve_linear,
    dense,
    normalize,
)
from ecglib.models.layers import seed_stream

KERNELS = (39, 19, 9)
DEPTH = 6


def inception_module(x, filters: int, seeds):
    """Kernels of three lengths and a pooling side by side; 4 * filters channels."""
    narrow = x if x.shape[-1] == 1 else convolution(x, filters, 1, 1, seeds)
    paths = [convolution(narrow, filters, size, 1, seeds) for size in KERNELS]
    pooled = layers.MaxPooling1D(3, strides=1, padding="same")(x)
    paths.append(convolution(pooled, filters, 1, 1, seeds))
    return layers.Activation("relu")(normalize(layers.Concatenate()(paths)))


def inception_time(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Six inception modules over time, with a shortcut around every three.

    Fawaz et al., "InceptionTime: finding AlexNet for time series classification" (2020,
    arXiv:1909.04939), one network of their five: ``width // 2`` filters a path and as many in
    the bottleneck, theirs 32, which is ``width=64``. The odd kernels, and the maximum pooled
    beside the average, are those of the benchmark of PTB-XL (Strodthoff et al., 2021).

    Input (n_windows, n_samples, n_leads); the time axis is never shortened, so this is the
    most expensive encoder.
    """
    seeds = seed_stream(seed)
    shortcut = x
    for module in range(DEPTH):
        x = inception_module(x, max(1, width // 2), seeds)
        if module % 3 == 2:
            x = add_shortcut(x, convolve_linear(shortcut, x.shape[-1], 1, 1, seeds))
            shortcut = x
    x = layers.Dropout(dropout, seed=next(seeds))(average_and_maximum(x))
    return dense(x, feature_dim, seeds)
