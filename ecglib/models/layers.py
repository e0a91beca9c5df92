"""The few layers Keras has not, and the seeds that make a model the same twice."""

import random
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError


def seed_stream(seed: int, name: str = "") -> Iterator[int]:
    """Return an endless stream of seeds that depends on `seed` and `name` only.

    Every initializer and every dropout takes its own seed from such a stream: equal seeds in
    two layers of one shape would give equal weights.

    Parameters
    ----------
    seed : int
        Seed of the model or of one of its parts.
    name : str
        The part of the model, so that a part does not change when others are added.
    """
    source = random.Random(f"{seed}/{name}")
    while True:
        yield source.getrandbits(31)


@keras.saving.register_keras_serializable(package="ecglib")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to each step, so that what follows can tell the steps apart.

    Parameters
    ----------
    seed : int or None
        Seed of the initial values, drawn from a normal distribution of deviation 0.02.

    Input shape
        (n_windows, n_steps, n_channels) or (n_windows, n_frames, n_bins, n_channels), with all
        but the first known.

    Output shape
        As the input.
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape):
        self.embedding = self.add_weight(
            name="embedding",
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed),
        )

    def call(self, inputs):
        return inputs + self.embedding

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class Interpolate(keras.layers.Layer):
    """Bring a sequence to another number of steps over the same stretch of time, linearly.

    Each step stands for an equal share of the stretch and its value for the middle of that
    share; before the first and after the last middle the value is held. It is a product with
    a fixed matrix, because a gather has a gradient whose sums differ from run to run on a GPU.

    Parameters
    ----------
    n_steps : int
        Number of steps wanted.

    Input shape
        (n_windows, n_frames, n_channels), with `n_frames` known.

    Output shape
        (n_windows, n_steps, n_channels).
    """

    def __init__(self, n_steps: int, **kwargs):
        super().__init__(**kwargs)
        self.n_steps = n_steps

    def build(self, input_shape):
        n_frames = input_shape[1]
        middles = (np.arange(self.n_steps) + 0.5) / self.n_steps
        frame_middles = (np.arange(n_frames) + 0.5) / n_frames
        columns = [np.interp(middles, frame_middles, unit) for unit in np.eye(n_frames)]
        self.matrix = np.stack(columns, axis=1).astype("float32")

    def call(self, inputs):
        return ops.einsum("sf,bfc->bsc", ops.cast(self.matrix, inputs.dtype), inputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n_steps, input_shape[2])

    def get_config(self):
        return {**super().get_config(), "n_steps": self.n_steps}


@keras.saving.register_keras_serializable(package="ecglib")
class RandomConvolutions(keras.layers.Layer):
    """Convolve with random kernels that are never trained; pool over all steps.

    As ROCKET does (Dempster, Petitjean and Webb, "ROCKET: exceptionally fast and accurate time
    series classification using random convolutional kernels", 2020, arXiv:1910.13051): normal
    weights less their mean, over a random choice of channels, a bias from [-1, 1]; of each the
    proportion of positive values and the maximum. The kernels have 9 weights, the middle of its
    7, 9 and 11, and share out the dilations 1, 2, 4, ... that fit the steps; all are padded.

    The kernels are weights of the layer and saved with it. The proportion has no gradient: an
    attribution by gradients sees the maximum only.

    Parameters
    ----------
    n_kernels : int
        Number of kernels.
    seed : int
        Decides the kernels.

    Input shape
        (n_windows, n_steps, n_channels), with all but the first known.

    Output shape
        (n_windows, 2 * n_kernels).
    """

    LENGTH = 9

    def __init__(self, n_kernels: int, seed: int = 0, **kwargs):
        # In float32 also where the rest is in float16: values near 0 would change sides.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.n_kernels = n_kernels
        self.seed = seed

    def build(self, input_shape):
        n_steps, n_channels = input_shape[1:]
        largest = max(0, int(np.log2(max(1, (n_steps - 1) / (self.LENGTH - 1)))))
        shares = np.array_split(np.arange(self.n_kernels), largest + 1)
        random = np.random.default_rng(self.seed)
        self.groups = []
        for exponent, share in enumerate(shares):
            if len(share):
                kernel = _random_kernels(self.LENGTH, n_channels, len(share), random)
                bias = random.uniform(-1, 1, len(share))
                dilation = 2**exponent
                names = (f"kernel_{dilation}", f"bias_{dilation}")
                weights = map(self._fixed, names, (kernel, bias))
                self.groups.append((dilation, *weights))

    def _fixed(self, name: str, values: np.ndarray):
        weight = self.add_weight(name=name, shape=values.shape, trainable=False)
        weight.assign(values.astype("float32"))
        return weight

    def call(self, inputs):
        proportions, maxima = [], []
        for dilation, kernel, bias in self.groups:
            x = ops.conv(
                inputs, kernel, padding="same", data_format="channels_last", dilation_rate=dilation
            )
            x = x + bias
            proportions.append(ops.mean(ops.cast(x > 0, self.compute_dtype), axis=1))
            maxima.append(ops.max(x, axis=1))
        return ops.concatenate(proportions + maxima, axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2 * self.n_kernels)

    def get_config(self):
        return {**super().get_config(), "n_kernels": self.n_kernels, "seed": self.seed}


def _random_kernels(length: int, n_channels: int, n_kernels: int, random) -> np.ndarray:
    """Kernels of shape (length, n_channels, n_kernels), each on a few of the channels."""
    kernels = np.zeros((length, n_channels, n_kernels))
    most = np.log2(min(n_channels, length) + 1)
    for number in range(n_kernels):
        n_used = int(2 ** random.uniform(0, most))
        used = random.choice(n_channels, n_used, replace=False)
        weights = random.normal(size=(length, n_used))
        kernels[:, used, number] = weights - weights.mean(axis=0)
    return kernels


@keras.saving.register_keras_serializable(package="ecglib")
class MissingIndicator(keras.layers.Layer):
    """Put 0 for each missing value (NaN), and append which values are missing.

    After the scaling 0 is the mean of the training windows. In training, values that are there
    are now and then taken for missing: else the caveats would never be learnt where the training
    windows lack nothing.

    Parameters
    ----------
    rate : float
        Share of the values taken for missing in training, at least 0, below 1.
    seed : int or None
        Seed of which these are.

    Input shape
        (n_windows, n_columns), NaN where a value is missing.

    Output shape
        (n_windows, 2 * n_columns): the values, then the caveats, 1 for missing and 0 else.
    """

    def __init__(self, rate: float = 0.1, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ExperimentError(f"rate={rate}, expected a share of at least 0 and below 1.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        missing = ops.isnan(inputs)
        if training and self.rate > 0:
            drawn = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
            missing = ops.logical_or(missing, drawn < self.rate)
        values = ops.where(missing, ops.zeros_like(inputs), inputs)
        return ops.concatenate([values, ops.cast(missing, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class WeightedAverage(keras.layers.Layer):
    """Average the branches with weights that are chosen on validation, not by the gradient.

    The weights start equal; `ecglib.models.set_branch_weights` sets them. Where a branch is
    missing those of the others are brought to the sum 1, or made equal if they are all 0.

    Input shape
        (n_windows, n_branches, n_classes), with `n_branches` known; as the argument `present`,
        where branches may be missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        (n_windows, n_classes).
    """

    def build(self, input_shape):
        self.branch_weights = self.add_weight(
            name="branch_weights",
            shape=(input_shape[1],),
            initializer=keras.initializers.Constant(1.0 / input_shape[1]),
            trainable=False,
        )

    def call(self, inputs, present=None):
        if present is None:
            return ops.einsum("n,bnc->bc", self.branch_weights, inputs)
        weights = present * self.branch_weights
        total = ops.sum(weights, axis=1, keepdims=True)
        weights = ops.where(total > 0, weights, present)
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        return ops.einsum("bn,bnc->bc", weights, inputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])
