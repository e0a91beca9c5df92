"""Operations that the converter to ONNX does not know, made of ones that it does.

tf2onnx 1.17 knows no inverse Fourier transform, and a forward one only where nothing but its
magnitude is used. Written as products with constant matrices, both convert.
"""

import ecglib._keras  # noqa: F401

import contextlib
import math
from collections.abc import Iterator
from unittest import mock

import numpy as np
from keras import ops

from ecglib.errors import RunError


@contextlib.contextmanager
def known_to_onnx() -> Iterator[None]:
    """Let layers that are traced meanwhile use the operations of this module."""
    own = {"rfft": rfft, "irfft": irfft, "repeat": repeat}
    with contextlib.ExitStack() as stack:
        for name, function in own.items():
            stack.enter_context(mock.patch.object(ops, name, function))
        yield


def rfft(x, fft_length: int | None = None):
    """As `keras.ops.rfft` over the last axis, whose length must be known and is not changed."""
    _require_length(x.shape[-1], fft_length)
    n_bins = x.shape[-1] // 2 + 1
    real, imag = _transform(x, ops.zeros_like(x), inverse=False)
    return real[..., :n_bins], imag[..., :n_bins]


def irfft(x, fft_length: int | None = None):
    """As `keras.ops.irfft`: (real, imaginary), each (..., fft_length // 2 + 1), to a signal."""
    real, imag = x
    n = fft_length or 2 * (real.shape[-1] - 1)
    _require_length(n // 2 + 1, real.shape[-1])
    mirrored = slice(1, (n + 1) // 2)
    real = ops.concatenate([real, ops.flip(real[..., mirrored], axis=-1)], axis=-1)
    imag = ops.concatenate([imag, -ops.flip(imag[..., mirrored], axis=-1)], axis=-1)
    return _transform(real, imag, inverse=True)[0] / n


def repeat(x, repeats: int, axis: int = -1):
    """As `keras.ops.repeat` over a last axis of length 1, also if repeated 0 times."""
    if axis != -1 or x.shape[-1] != 1:
        raise RunError(
            f"ONNX: repeat over axis {axis} of shape {x.shape}; only a last axis of length 1 can "
            f"be repeated. Export the other formats."
        )
    return x * ops.ones((repeats,), x.dtype)


def _require_length(n: int | None, expected: int | None) -> None:
    if n is None or expected not in (None, n):
        raise RunError(
            f"ONNX: a Fourier transform of an axis of length {n} to {expected}; it must be known "
            f"and stay as it is. Export the other formats."
        )


def _transform(real, imag, inverse: bool):
    """The discrete Fourier transform over the last axis, of length n = rows * columns.

    Cooley and Tukey (1965) in one step: transform the columns, turn the phases, transform the
    rows. The matrices have rows^2 + n + columns^2 entries instead of n^2.
    """
    n = real.shape[-1]
    rows = max(d for d in range(1, math.isqrt(n) + 1) if n % d == 0)
    columns = n // rows
    inner = tuple(real.shape[1:-1])
    x = tuple(ops.reshape(part, (-1, *inner, rows, columns)) for part in (real, imag))
    x = _product(_phases(rows, rows, rows, inverse, real.dtype), x, ops.matmul)
    x = _product(x, _phases(rows, columns, n, inverse, real.dtype), ops.multiply)
    x = _product(x, _phases(columns, columns, columns, inverse, real.dtype), ops.matmul)
    return tuple(ops.reshape(ops.swapaxes(part, -1, -2), (-1, *inner, n)) for part in x)


def _phases(n_rows: int, n_columns: int, period: int, inverse: bool, dtype):
    """Real and imaginary part of exp(-2 pi i j k / period), conjugate for the inverse."""
    turns = np.outer(np.arange(n_rows), np.arange(n_columns)) % period / period
    sign = 1 if inverse else -1
    parts = np.cos(2 * np.pi * turns), sign * np.sin(2 * np.pi * turns)
    return tuple(ops.convert_to_tensor(part, dtype) for part in parts)


def _product(a, b, times):
    """Product of two complex numbers or matrices, each (real, imaginary)."""
    return times(a[0], b[0]) - times(a[1], b[1]), times(a[0], b[1]) + times(a[1], b[0])
