"""A state space layer: each channel is filtered by a small learned linear system.

A complex number is a pair (real, imaginary) of tensors here: Keras has no complex weights.
"""

from ecglib._keras import Tensor

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError
from ecglib.models.layers import Shape

Complex = tuple[Tensor, Tensor]

# Initial time steps of the first and the last channel, as a fraction of a unit of their time.
FIRST_STEPS = (0.001, 0.1)
# Below this a state forgets nothing within any window, and 1 / A would overflow.
MIN_DECAY = 1e-4
# Steps that are convolved at once; on a CPU 64 was the fastest of 16, 32 and 64.
CHUNK = 64


@keras.saving.register_keras_serializable(package="ecglib")
class StateSpace(keras.layers.Layer):
    """Filter each channel by a diagonal linear system, once in each direction of time.

    It is computed in the precision of the weights, also where the other layers are in float16.

    Input shape
        (n_windows, n_steps, n_channels), with `n_steps` known.

    Output shape
        As the input.

    Parameters
    ----------
    n_states : int, default 8
        Number of states per channel and direction, even: half as many conjugate pairs.
    seed : int, optional
        Seed of the initial C.
    **kwargs
        Options of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If `n_states` is not even and at least 2, or the number of steps is not known.

    Notes
    -----
    This is S4D of Gu, Gupta, Goel and Ré (NeurIPS 2022). A channel u drives the states
    ``x' = A x + u``, each a complex number with ``A = -exp(log_decay) + i frequency``, at steps of
    ``exp(log_step)``, over each of which u is held. A second set of states runs back from the end
    of the window, and at a step it has seen only what comes later. The output is
    ``2 Re(C x) + 2 Re(C_back x_back) + D u``: both directions share A and the step, as in the
    published code, and ``skip`` is D. The states represent conjugate pairs, hence the 2. The
    initial A is S4D-Lin, ``-1/2 + i pi n``, and the logarithms of the initial steps are evenly
    spaced.

    The system is neither stepped through nor unrolled to one convolution as long as the window:
    steps are convolved within chunks, and the states are carried between chunks. This is the
    method of Dao and Gu (ICML 2024), in matrix products only; on a CPU it takes less than half
    the time of the Fourier transforms of the published code, which give the same result.

    Examples
    --------
    >>> layer = StateSpace(n_states=8, seed=0)
    >>> tuple(layer(np.zeros((2, 250, 4))).shape)
    (2, 250, 4)
    """

    def __init__(self, n_states: int = 8, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if n_states < 2 or n_states % 2:
            raise ExperimentError(
                f"n_states={n_states} must be an even number of at least 2: the states of a real "
                f"signal come in conjugate pairs."
            )
        self.n_states = n_states
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        if input_shape[1] is None:
            raise ExperimentError(
                f"The input of StateSpace has shape {tuple(input_shape)}, but must be (n_windows, "
                f"n_steps, n_channels) with n_steps known. Give the shape in keras.Input."
            )
        n_channels, n_pairs = input_shape[2], self.n_states // 2
        first_steps = np.geomspace(*FIRST_STEPS, n_channels)
        frequencies = np.tile(math.pi * np.arange(n_pairs), (n_channels, 1))
        # Variance 1 as complex numbers: half of it in each part.
        normal = keras.initializers.RandomNormal(stddev=math.sqrt(0.5), seed=self.seed)
        channels, states = (n_channels,), (n_channels, n_pairs)
        self.log_step = self._add_weight("log_step", channels, _fill(np.log(first_steps)))
        self.log_decay = self._add_weight("log_decay", states, _fill(np.log(0.5)))
        self.frequency = self._add_weight("frequency", states, _fill(frequencies))
        # C: real and imaginary part, each forward and backward.
        self.readout = self._add_weight("readout_kernel", (2, 2, *states), normal)
        self.skip = self._add_weight("skip", channels, "ones")

    def _add_weight(
        self, name: str, shape: tuple[int, ...], initializer: str | Callable[..., Tensor]
    ) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def call(self, inputs: Tensor) -> Tensor:
        n_steps, n_channels = inputs.shape[1:]
        length = min(CHUNK, n_steps)
        n_chunks = math.ceil(n_steps / length)
        rate, gain = self._compute_system()
        powers = _compute_powers(rate, np.arange(length + 1))
        responses = _multiply((gain[0][..., None], gain[1][..., None]), powers)

        x = ops.cast(inputs, self.variable_dtype)
        x = ops.pad(x, ((0, 0), (0, n_chunks * length - n_steps), (0, 0)))
        x = ops.transpose(ops.reshape(x, (-1, n_chunks, length, n_channels)), (3, 1, 0, 2))
        x = ops.reshape(x, (n_channels, -1, length))
        y = ops.einsum("cmj,cij->cmi", x, _build_within_chunk(responses, self.skip))
        if n_chunks > 1:
            states = ops.einsum("csj,cmj->csm", _build_into_states(powers), x)
            states = ops.reshape(states, (n_channels * self.n_states, 2 * n_chunks, -1))
            # Not `ops.matmul`, which on PyTorch takes float64 to float32.
            states = ops.einsum(
                "sij,sjm->sim", _build_between_chunks(rate, length, n_chunks), states
            )
            states = ops.reshape(states, (n_channels, 2 * self.n_states, -1))
            y = y + ops.einsum("csm,csi->cmi", states, _build_out_of_states(responses))
        y = ops.transpose(ops.reshape(y, (n_channels, n_chunks, -1, length)), (2, 1, 3, 0))
        y = ops.reshape(y, (-1, n_chunks * length, n_channels))[:, :n_steps]
        return ops.cast(y, self.compute_dtype)

    def _compute_system(self) -> tuple[Complex, Complex]:
        """Compute the rate (n_channels, n_pairs) and gain (2, n_channels, n_pairs) per step.

        The response to an impulse after k steps is Re(gain exp(rate k)), summed over the pairs;
        the gain is forward and backward.
        """
        step = ops.exp(self.log_step)[:, None]
        real, imag = -ops.maximum(ops.exp(self.log_decay), MIN_DECAY), self.frequency * 1.0
        rate = step * real, step * imag
        # Held over a step (zero-order hold), an input of 1 moves a state to (exp(rate) - 1) / A.
        size = real**2 + imag**2
        held = _multiply(_compute_expm1(rate), (real / size, -imag / size))
        return rate, _multiply((2 * self.readout[0], 2 * self.readout[1]), held)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_states": self.n_states, "seed": self.seed}


def _fill(values: np.ndarray) -> Callable[..., Tensor]:
    """Create an initializer that returns these values, broadcast to the shape."""
    return lambda shape, dtype=None: ops.convert_to_tensor(np.full(shape, values), dtype)


def _multiply(a: Complex, b: Complex) -> Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _compute_powers(rate: Complex, exponents: np.ndarray) -> Complex:
    """Compute exp(rate * exponent), with the exponents as the last axis."""
    exponents = ops.convert_to_tensor(exponents, rate[0].dtype)
    real, imag = (part[..., None] * exponents for part in rate)
    return ops.exp(real) * ops.cos(imag), ops.exp(real) * ops.sin(imag)


def _compute_expm1(z: Complex) -> Complex:
    """Compute exp(z) - 1 without loss of precision at a small z."""
    real = ops.expm1(z[0]) * ops.cos(z[1]) - 2 * ops.sin(z[1] / 2) ** 2
    return real, ops.exp(z[0]) * ops.sin(z[1])


def _build_toeplitz(later: Tensor, earlier: Tensor) -> Tensor:
    """Build the matrix (..., n, n) with later[i - j] at [i, j], above it earlier[j - i - 1]."""
    # Both are (..., n). Each row is the previous one shifted by one: values repeated with a period
    # of 2 n and cut into rows of 2 n - 1 have such rows. A gather would do too, but has a gradient
    # whose sums differ from run to run on a GPU.
    *others, n = later.shape
    period = ops.concatenate([later, ops.flip(earlier, axis=-1)], axis=-1)
    repeated = ops.tile(period, n)[..., : n * (2 * n - 1)]
    columns = ops.reshape(repeated, (*others, n, 2 * n - 1))[..., :n]
    return ops.swapaxes(columns, -1, -2)


def _build_within_chunk(responses: Complex, skip: Tensor) -> Tensor:
    """Build (n_channels, length, length): from the input of a chunk to its output."""
    both = ops.sum(responses[0][..., :-1], axis=2)
    at_once = ops.pad(skip[:, None], ((0, 0), (0, both.shape[-1] - 1)))
    return _build_toeplitz(both[0] + at_once, both[1])


def _build_into_states(powers: Complex) -> Tensor:
    """Build (n_channels, 2 * n_states, length): from a chunk to the states at its end."""
    # The states are ordered by direction, pair, part. Forward they are those at the last step of
    # the chunk, backward those at its first.
    backward = ops.stack([part[..., :-1] for part in powers], axis=2)
    both = ops.stack([ops.flip(backward, axis=-1), backward], axis=1)
    return ops.reshape(both, (both.shape[0], -1, both.shape[-1]))


def _build_between_chunks(rate: Complex, length: int, n_chunks: int) -> Tensor:
    """Build (n_channels * n_states, 2 * n_chunks, 2 * n_chunks), from final to initial states."""
    jumps = _compute_powers(rate, length * np.arange(n_chunks))
    zeros = ops.zeros_like(jumps[0])
    # The initial states of a chunk come from the final states of the chunks before it.
    real, imag = (
        _build_toeplitz(ops.concatenate([zeros[..., :1], jump[..., :-1]], axis=-1), zeros)
        for jump in jumps
    )
    directions = [(real, imag), (ops.swapaxes(real, -1, -2), ops.swapaxes(imag, -1, -2))]
    matrices = [
        ops.concatenate(
            [ops.concatenate([re, -im], axis=-1), ops.concatenate([im, re], axis=-1)], axis=-2
        )
        for re, im in directions
    ]
    return ops.reshape(ops.stack(matrices, axis=1), (-1, 2 * n_chunks, 2 * n_chunks))


def _build_out_of_states(responses: Complex) -> Tensor:
    """Build (n_channels, 2 * n_states, length): from a chunk's initial states to its output."""
    forward = ops.stack([responses[0][0, ..., 1:], -responses[1][0, ..., 1:]], axis=2)
    backward = ops.stack([responses[0][1, ..., :-1], -responses[1][1, ..., :-1]], axis=2)
    both = ops.stack([forward, ops.flip(backward, axis=-1)], axis=1)
    return ops.reshape(both, (both.shape[0], -1, both.shape[-1]))
