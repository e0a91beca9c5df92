"""The layers that Keras lacks, and the seeds that make models reproducible."""

from ecglib._keras import Tensor

import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError

# Shape of a tensor as Keras gives it to a layer: the number of windows is None while a model is
# built; a layer says which other sizes must be known.
Shape = tuple[Any, ...]


def seed_stream(seed: int, name: str = "") -> Iterator[int]:
    """Yield an endless stream of seeds that depends only on `seed` and `name`.

    Every initializer and every dropout takes a separate seed from such a stream: equal seeds in
    two layers of the same shape would give equal weights.

    Parameters
    ----------
    seed : int
        Seed of the model or of one of its parts.
    name : str, default ""
        The part of the model, so that a part does not change when others are added.

    Yields
    ------
    int
        A seed of 31 bits.

    Examples
    --------
    >>> next(seed_stream(0, "time_encoder")) == next(seed_stream(0, "time_encoder"))
    True
    >>> next(seed_stream(0, "time_encoder")) == next(seed_stream(0, "time_2_encoder"))
    False
    """
    source = random.Random(f"{seed}/{name}")
    while True:
        yield source.getrandbits(31)


@keras.saving.register_keras_serializable(package="ecglib")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to each step, so that later layers can distinguish the steps.

    Input shape
        (n_windows, n_steps, n_channels) or (n_windows, n_frames, n_bins, n_channels), with all
        but the first known.

    Output shape
        As the input.

    Parameters
    ----------
    seed : int, optional
        Seed of the initial values, drawn from a normal distribution of standard deviation 0.02.
    **kwargs
        Options of `keras.layers.Layer`.

    Examples
    --------
    >>> layer = PositionEmbedding(seed=0)
    >>> x = np.zeros((2, 5, 3), "float32")
    >>> bool(ops.all(layer(x)[0] == layer.embedding))
    True
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        self.embedding = self.add_weight(
            name="embedding",
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed),
        )

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + self.embedding

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class Interpolate(keras.layers.Layer):
    """Resample a sequence linearly to another number of steps over the same interval of time.

    All steps have the same length, and the value of a step applies to its middle; before the
    first and after the last middle the value is constant. The layer multiplies by a fixed matrix,
    because a gather has a gradient whose sums differ from run to run on a GPU.

    Input shape
        (n_windows, n_frames, n_channels), with `n_frames` known.

    Output shape
        (n_windows, n_steps, n_channels).

    Parameters
    ----------
    n_steps : int
        Number of steps of the output.
    **kwargs
        Options of `keras.layers.Layer`.

    Examples
    --------
    >>> x = np.array([0.0, 1.0]).reshape(1, 2, 1)
    >>> ops.convert_to_numpy(Interpolate(4)(x))[0, :, 0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """

    def __init__(self, n_steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.n_steps = n_steps

    def build(self, input_shape: Shape) -> None:
        n_frames = input_shape[1]
        middles = (np.arange(self.n_steps) + 0.5) / self.n_steps
        frame_middles = (np.arange(n_frames) + 0.5) / n_frames
        columns = [np.interp(middles, frame_middles, unit) for unit in np.eye(n_frames)]
        self.matrix = np.stack(columns, axis=1).astype("float32")

    def call(self, inputs: Tensor) -> Tensor:
        return ops.einsum("sf,bfc->bsc", ops.cast(self.matrix, inputs.dtype), inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.n_steps, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_steps": self.n_steps}


@keras.saving.register_keras_serializable(package="ecglib")
class RandomConvolutions(keras.layers.Layer):
    """Convolve with random kernels that are never trained, and pool over all steps.

    The kernels are weights of the layer and saved with it. The proportion of positive values has
    no gradient: an attribution by gradients sees only the maximum.

    Input shape
        (n_windows, n_steps, n_channels), with all but the first known.

    Output shape
        (n_windows, 2 * n_kernels).

    Parameters
    ----------
    n_kernels : int
        Number of kernels.
    seed : int, default 0
        Seed of the kernels.
    **kwargs
        Options of `keras.layers.Layer`.

    Notes
    -----
    As in ROCKET (Dempster, Petitjean and Webb, "ROCKET: exceptionally fast and accurate time
    series classification using random convolutional kernels", 2020, arXiv:1910.13051), a kernel
    has normal weights minus their mean, on a random choice of channels, and a bias from [-1, 1];
    its features are the proportion of positive values and the maximum. All kernels have 9 weights,
    the middle one of its 7, 9 and 11; they are divided equally among the dilations 1, 2, 4, ...
    that fit the number of steps, and all are padded.

    Examples
    --------
    >>> layer = RandomConvolutions(16)
    >>> tuple(layer(np.zeros((2, 100, 3))).shape), layer.trainable_weights
    ((2, 32), [])
    """

    LENGTH = 9

    def __init__(self, n_kernels: int, seed: int = 0, **kwargs: Any):
        # In float32 also where the other layers are in float16: values near 0 would change sign.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.n_kernels = n_kernels
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        n_steps, n_channels = input_shape[1:]
        max_exponent = max(0, int(np.log2(max(1, (n_steps - 1) / (self.LENGTH - 1)))))
        kernels_by_exponent = np.array_split(np.arange(self.n_kernels), max_exponent + 1)
        rng = np.random.default_rng(self.seed)
        self.groups = []
        for exponent, numbers in enumerate(kernels_by_exponent):
            if len(numbers):
                dilation = 2**exponent
                kernel = _draw_kernels(self.LENGTH, n_channels, len(numbers), rng)
                bias = rng.uniform(-1, 1, len(numbers))
                kernel_weight = self._add_fixed_weight(f"kernel_{dilation}", kernel)
                bias_weight = self._add_fixed_weight(f"bias_{dilation}", bias)
                self.groups.append((dilation, kernel_weight, bias_weight))

    def _add_fixed_weight(self, name: str, values: np.ndarray) -> keras.Variable:
        weight = self.add_weight(name=name, shape=values.shape, trainable=False)
        weight.assign(values.astype("float32"))
        return weight

    def call(self, inputs: Tensor) -> Tensor:
        proportions, maxima = [], []
        for dilation, kernel, bias in self.groups:
            x = ops.conv(
                inputs, kernel, padding="same", data_format="channels_last", dilation_rate=dilation
            )
            x = x + bias
            proportions.append(ops.mean(ops.cast(x > 0, self.compute_dtype), axis=1))
            maxima.append(ops.max(x, axis=1))
        return ops.concatenate(proportions + maxima, axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], 2 * self.n_kernels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_kernels": self.n_kernels, "seed": self.seed}


def _draw_kernels(
    length: int, n_channels: int, n_kernels: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw kernels of shape (length, n_channels, n_kernels), each on a few of the channels."""
    kernels = np.zeros((length, n_channels, n_kernels))
    max_exponent = np.log2(min(n_channels, length) + 1)
    for number in range(n_kernels):
        n_used = int(2 ** rng.uniform(0, max_exponent))
        used = rng.choice(n_channels, n_used, replace=False)
        weights = rng.normal(size=(length, n_used))
        kernels[:, used, number] = weights - weights.mean(axis=0)
    return kernels


@keras.saving.register_keras_serializable(package="ecglib")
class MissingIndicator(keras.layers.Layer):
    """Replace each missing value (NaN) by 0, and append an indicator of the missing values.

    After the scaling 0 is the mean of the training windows. In training a fraction of the values
    is treated as missing: otherwise nothing would be learned from the indicators where no training
    window lacks a value.

    Input shape
        (n_windows, n_columns), NaN where a value is missing.

    Output shape
        (n_windows, 2 * n_columns): the values, then the indicators, 1 for missing, else 0.

    Parameters
    ----------
    rate : float, default 0.1
        Fraction of the values that are treated as missing in training, in [0, 1).
    seed : int, optional
        Seed of the choice of these values.
    **kwargs
        Options of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If `rate` is not in [0, 1).

    Examples
    --------
    >>> ops.convert_to_numpy(MissingIndicator()(np.array([[2.0, np.nan]]))).tolist()
    [[2.0, 0.0, 0.0, 1.0]]
    """

    def __init__(self, rate: float = 0.1, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ExperimentError(f"rate={rate} must be at least 0 and below 1.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        missing = ops.isnan(inputs)
        if training and self.rate > 0:
            drawn = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
            missing = ops.logical_or(missing, drawn < self.rate)
        values = ops.where(missing, ops.zeros_like(inputs), inputs)
        return ops.concatenate([values, ops.cast(missing, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], 2 * input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class WeightedAverage(keras.layers.Layer):
    """Average the branches with weights that are fitted on the validation split.

    The initial weights are equal; `ecglib.models.set_branch_weights` sets them. Where a branch is
    missing, the weights of the others are scaled to the sum 1, or set equal if they are all 0.

    Input shape
        (n_windows, n_branches, n_classes), with `n_branches` known; as the argument `present`,
        where branches may be missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        (n_windows, n_classes).

    Examples
    --------
    >>> layer = WeightedAverage()
    >>> layer.build((None, 2, 1))
    >>> layer.set_weights([np.array([0.75, 0.25])])
    >>> round(float(layer(np.array([[[0.8], [0.4]]]))[0, 0]), 4)
    0.7
    """

    def build(self, input_shape: Shape) -> None:
        self.branch_weights = self.add_weight(
            name="branch_weights",
            shape=(input_shape[1],),
            initializer=keras.initializers.Constant(1.0 / input_shape[1]),
            trainable=False,
        )

    def call(self, inputs: Tensor, present: Tensor | None = None) -> Tensor:
        if present is None:
            return ops.einsum("n,bnc->bc", self.branch_weights, inputs)
        weights = present * self.branch_weights
        total = ops.sum(weights, axis=1, keepdims=True)
        weights = ops.where(total > 0, weights, present)
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        return ops.einsum("bn,bnc->bc", weights, inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])
