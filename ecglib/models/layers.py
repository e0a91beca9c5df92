"""The few layers Keras has not, and the seeds that make a model the same twice."""

import random
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops


def seed_stream(seed: int, name: str = "") -> Iterator[int]:
    """Return an endless stream of seeds that depends on `seed` and `name` only.

    Every initialiser and every dropout takes its own seed from such a stream: equal seeds in
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
class WeightedAverage(keras.layers.Layer):
    """Average the branches with weights that are chosen on validation, not by the gradient.

    The weights start equal; `ecglib.models.set_weights_of_branches` sets them.

    Input shape
        (n_windows, n_branches, n_classes), with `n_branches` known.

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

    def call(self, inputs):
        return ops.einsum("n,bnc->bc", self.branch_weights, inputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])
