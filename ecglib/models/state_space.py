"""A state space layer: each channel is filtered by a small linear system that is learned.

A complex number is a pair (real, imaginary) of tensors here: Keras has no complex weights.
"""

import math

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError

# Shortest and longest time step of a channel at the start, as a share of a unit of its time.
FIRST_STEPS = (0.001, 0.1)
# Below this a state forgets nothing within any window, and 1 / A would overflow.
SLOWEST_DECAY = 1e-4
# Steps that are convolved at once; on a CPU 64 took the least time of 16, 32 and 64.
CHUNK = 64


@keras.saving.register_keras_serializable(package="ecglib")
class StateSpace(keras.layers.Layer):
    """Filter each channel by a diagonal linear system, once in each direction of time.

    This is S4D of Gu, Gupta, Goel and Ré (NeurIPS 2022). A channel u drives the states
    ``x' = A x + u``, each a complex number of its own with ``A = -exp(log_decay) + i frequency``,
    at steps of ``exp(log_step)``, over each of which u is held. A second set of states runs back
    from the end of the window, and at a step it has seen only what comes later. The output is
    ``2 Re(C x) + 2 Re(C_back x_back) + D u``: both directions share A and the step, as in the
    published code, and ``skip`` is D. The states stand for conjugate pairs, hence the 2.
    A starts as S4D-Lin, ``-1/2 + i pi n``, and the steps evenly in their logarithm.

    The system is neither stepped through nor unrolled to one convolution as long as the window:
    steps are convolved within chunks, and between chunks the states are carried. That is the
    way of Dao and Gu (ICML 2024), in matrix products only; on a CPU it takes less than half
    the time of the Fourier transforms of the published code, which give the same.

    It is computed in the precision of the weights, also where the rest is in float16.

    Parameters
    ----------
    n_states : int
        Number of states of a channel and direction, even: half as many conjugate pairs.
    seed : int or None
        Seed of the initial C.

    Input shape
        (n_windows, n_steps, n_channels), with `n_steps` known.

    Output shape
        As the input.

    Raises
    ------
    ExperimentError
        If `n_states` is not even and at least 2, or the number of steps is not known.
    """

    def __init__(self, n_states: int = 8, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if n_states < 2 or n_states % 2:
            raise ExperimentError(
                f"n_states={n_states}, expected an even number of at least 2: the states of a "
                f"real signal come in conjugate pairs."
            )
        self.n_states = n_states
        self.seed = seed

    def build(self, input_shape):
        if input_shape[1] is None:
            raise ExperimentError(
                f"Input of shape {tuple(input_shape)} for StateSpace, expected (n_windows, "
                f"n_steps, n_channels) with n_steps known. Give the shape in keras.Input."
            )
        n_channels, n_pairs = input_shape[2], self.n_states // 2
        first_steps = np.geomspace(*FIRST_STEPS, n_channels)
        frequencies = np.tile(math.pi * np.arange(n_pairs), (n_channels, 1))
        # Of variance 1 as complex numbers: half of it in each part.
        normal = keras.initializers.RandomNormal(stddev=math.sqrt(0.5), seed=self.seed)
        of_channel, of_state = (n_channels,), (n_channels, n_pairs)
        self.log_step = self._weight("log_step", of_channel, _values(np.log(first_steps)))
        self.log_decay = self._weight("log_decay", of_state, _values(np.log(0.5)))
        self.frequency = self._weight("frequency", of_state, _values(frequencies))
        # C: real and imaginary part, each forward and backward.
        self.readout = self._weight("readout_kernel", (2, 2, *of_state), normal)
        self.skip = self._weight("skip", of_channel, "ones")

    def _weight(self, name: str, shape: tuple, initializer) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def call(self, inputs):
        n_steps, n_channels = inputs.shape[1:]
        length = min(CHUNK, n_steps)
        n_chunks = math.ceil(n_steps / length)
        rate, gain = self._system()
        powers = _powers(rate, np.arange(length + 1))
        responses = _times([part[..., None] for part in gain], powers)

        x = ops.cast(inputs, self.variable_dtype)
        x = ops.pad(x, ((0, 0), (0, n_chunks * length - n_steps), (0, 0)))
        x = ops.transpose(ops.reshape(x, (-1, n_chunks, length, n_channels)), (3, 1, 0, 2))
        x = ops.reshape(x, (n_channels, -1, length))
        y = ops.einsum("cmj,cij->cmi", x, _within_a_chunk(responses, self.skip))
        if n_chunks > 1:
            states = ops.einsum("csj,cmj->csm", _into_states(powers), x)
            states = ops.reshape(states, (n_channels * self.n_states, 2 * n_chunks, -1))
            # Not `ops.matmul`, which on PyTorch takes float64 to float32.
            states = ops.einsum("sij,sjm->sim", _between_chunks(rate, length, n_chunks), states)
            states = ops.reshape(states, (n_channels, 2 * self.n_states, -1))
            y = y + ops.einsum("csm,csi->cmi", states, _out_of_states(responses))
        y = ops.transpose(ops.reshape(y, (n_channels, n_chunks, -1, length)), (2, 1, 3, 0))
        y = ops.reshape(y, (-1, n_chunks * length, n_channels))[:, :n_steps]
        return ops.cast(y, self.compute_dtype)

    def _system(self):
        """Return the system in steps: after k of them 2 Re(gain exp(rate k)) is left of a 1.

        Rate is (n_channels, n_pairs), gain (2, n_channels, n_pairs), forward and backward.
        """
        step = ops.exp(self.log_step)[:, None]
        real, imag = -ops.maximum(ops.exp(self.log_decay), SLOWEST_DECAY), self.frequency * 1.0
        rate = step * real, step * imag
        # Held over a step (zero-order hold), a 1 brings a state to (exp(rate) - 1) / A.
        size = real**2 + imag**2
        held = _times(_exp_minus_1(rate), (real / size, -imag / size))
        return rate, _times((2 * self.readout[0], 2 * self.readout[1]), held)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "n_states": self.n_states, "seed": self.seed}


def _values(values):
    """Return an initializer that gives these values, each repeated to fill the shape."""
    return lambda shape, dtype=None: ops.convert_to_tensor(np.full(shape, values), dtype)


def _times(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _powers(rate, exponents: np.ndarray):
    """Give exp(rate * exponent) as the last axis."""
    exponents = ops.convert_to_tensor(exponents, rate[0].dtype)
    real, imag = (part[..., None] * exponents for part in rate)
    return ops.exp(real) * ops.cos(imag), ops.exp(real) * ops.sin(imag)


def _exp_minus_1(z):
    """Give exp(z) - 1 without losing what a small z has."""
    real = ops.expm1(z[0]) * ops.cos(z[1]) - 2 * ops.sin(z[1] / 2) ** 2
    return real, ops.exp(z[0]) * ops.sin(z[1])


def _toeplitz(later, earlier):
    """Give the matrix (..., n, n) with later[i - j] at [i, j], and above it earlier[j - i - 1].

    Both are (..., n). Of two rows that follow each other the second is the first moved by one:
    what is repeated with a period of 2 n and cut into rows of 2 n - 1 has them. A gather would
    do it too, but has a gradient whose sums differ from run to run on a GPU.
    """
    *others, n = later.shape
    period = ops.concatenate([later, ops.flip(earlier, axis=-1)], axis=-1)
    repeated = ops.tile(period, n)[..., : n * (2 * n - 1)]
    columns = ops.reshape(repeated, (*others, n, 2 * n - 1))[..., :n]
    return ops.swapaxes(columns, -1, -2)


def _within_a_chunk(responses, skip):
    """Give (n_channels, length, length): from the input of a chunk to its own output."""
    both = ops.sum(responses[0][..., :-1], axis=2)
    at_once = ops.pad(skip[:, None], ((0, 0), (0, both.shape[-1] - 1)))
    return _toeplitz(both[0] + at_once, both[1])


def _into_states(powers):
    """Give (n_channels, 2 * n_states, length): from a chunk to the states it leaves behind.

    The states stand as direction, pair, part. Forward they are those at the last step of the
    chunk, backward those at its first.
    """
    backward = ops.stack([part[..., :-1] for part in powers], axis=2)
    both = ops.stack([ops.flip(backward, axis=-1), backward], axis=1)
    return ops.reshape(both, (both.shape[0], -1, both.shape[-1]))


def _between_chunks(rate, length: int, n_chunks: int):
    """Give (n_channels * n_states, 2 * n_chunks, 2 * n_chunks), from states left to states met."""
    jumps = _powers(rate, length * np.arange(n_chunks))
    none = ops.zeros_like(jumps[0])
    # A chunk meets, one chunk on, what another left behind, and does not meet its own.
    real, imag = (
        _toeplitz(ops.concatenate([none[..., :1], jump[..., :-1]], axis=-1), none) for jump in jumps
    )
    directions = [(real, imag), (ops.swapaxes(real, -1, -2), ops.swapaxes(imag, -1, -2))]
    matrices = [
        ops.concatenate(
            [ops.concatenate([re, -im], axis=-1), ops.concatenate([im, re], axis=-1)], axis=-2
        )
        for re, im in directions
    ]
    return ops.reshape(ops.stack(matrices, axis=1), (-1, 2 * n_chunks, 2 * n_chunks))


def _out_of_states(responses):
    """Give (n_channels, 2 * n_states, length): from the states a chunk meets to its output."""
    forward = ops.stack([responses[0][0, ..., 1:], -responses[1][0, ..., 1:]], axis=2)
    backward = ops.stack([responses[0][1, ..., :-1], -responses[1][1, ..., :-1]], axis=2)
    both = ops.stack([forward, ops.flip(backward, axis=-1)], axis=1)
    return ops.reshape(both, (both.shape[0], -1, both.shape[-1]))
