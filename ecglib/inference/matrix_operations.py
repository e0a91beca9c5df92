"""Operations that the converters to ONNX and TFLite do not know, built from ones that they do.

tf2onnx 1.17 knows no inverse Fourier transform, and a forward one only where nothing but its
magnitude is used; the interpreter of TFLite has no kernel for one dimension. Written as products
with constant matrices, both convert.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import contextlib
import math
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
from keras import ops

from ecglib.errors import RunError

Complex = tuple[Tensor, Tensor]  # real and imaginary part


@contextlib.contextmanager
def use_matrix_operations() -> Iterator[None]:
    """Let layers that are traced within the block use the operations of this module.

    Examples
    --------
    >>> with use_matrix_operations():
    ...     ops.rfft is rfft
    True
    >>> ops.rfft is rfft
    False
    """
    replacements = {"rfft": rfft, "irfft": irfft, "repeat": repeat}
    with contextlib.ExitStack() as stack:
        for name, function in replacements.items():
            stack.enter_context(mock.patch.object(ops, name, function))
        yield


def rfft(x: Tensor, fft_length: int | None = None) -> Complex:
    """Compute the Fourier transform of a real signal, like `keras.ops.rfft`.

    Parameters
    ----------
    x : tensor of shape (..., n)
        The signal; n must be known.
    fft_length : int, optional
        The same n; no other length is possible.

    Returns
    -------
    tuple of two tensors of shape (..., n // 2 + 1)
        Real and imaginary part.

    Raises
    ------
    RunError
        If n is not known, or `fft_length` differs from it.

    Examples
    --------
    >>> real, imag = rfft(ops.convert_to_tensor([1.0, 2.0, 3.0, 4.0]))
    >>> np.round(real, 3).ravel().tolist(), np.round(imag, 3).ravel().tolist()
    ([10.0, -2.0, -2.0], [0.0, 2.0, -0.0])
    """
    _require_length(x.shape[-1], fft_length)
    n_bins = x.shape[-1] // 2 + 1
    real, imag = _transform((x, ops.zeros_like(x)), inverse=False)
    return real[..., :n_bins], imag[..., :n_bins]


def irfft(x: Complex, fft_length: int | None = None) -> Tensor:
    """Compute the inverse Fourier transform to a real signal, like `keras.ops.irfft`.

    Parameters
    ----------
    x : tuple of two tensors of shape (..., n // 2 + 1)
        Real and imaginary part.
    fft_length : int, optional
        The length n of the signal; the even one by default.

    Returns
    -------
    tensor of shape (..., n)
        The signal.

    Raises
    ------
    RunError
        If the number of bins is not known, or `fft_length` does not fit it.

    Examples
    --------
    >>> x = ops.convert_to_tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> np.round(irfft(rfft(x)), 3).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    real, imag = x
    n = fft_length or 2 * (real.shape[-1] - 1)
    _require_length(n // 2 + 1, real.shape[-1])
    mirrored = slice(1, (n + 1) // 2)
    real = ops.concatenate([real, ops.flip(real[..., mirrored], axis=-1)], axis=-1)
    imag = ops.concatenate([imag, -ops.flip(imag[..., mirrored], axis=-1)], axis=-1)
    return _transform((real, imag), inverse=True)[0] / n


def repeat(x: Tensor, repeats: int, axis: int = -1) -> Tensor:
    """Repeat along a last axis of length 1, like `keras.ops.repeat`.

    Parameters
    ----------
    x : tensor of shape (..., 1)
        What to repeat.
    repeats : int
        How often; 0 gives an empty axis.
    axis : int, default -1
        Must be -1.

    Returns
    -------
    tensor of shape (..., repeats)
        The repeated tensor.

    Raises
    ------
    RunError
        If the axis is another one, or its length is not 1.

    Examples
    --------
    >>> np.asarray(repeat(ops.ones((1, 1)), 3)).tolist()
    [[1.0, 1.0, 1.0]]
    """
    if axis != -1 or x.shape[-1] != 1:
        raise RunError(
            f"repeat over axis {axis} of shape {x.shape} cannot be converted; only a last "
            f"axis of length 1 can. Export the other formats."
        )
    return x * ops.ones((repeats,), x.dtype)


def _require_length(n: int | None, expected: int | None) -> None:
    if n is None or expected not in (None, n):
        raise RunError(
            f"A Fourier transform from {n} to {expected} samples cannot be converted; the "
            f"length must be known and stay the same. Export the other formats."
        )


def _transform(x: Complex, inverse: bool) -> Complex:
    """Compute the discrete Fourier transform over the last axis, of length n = rows * columns.

    Cooley and Tukey (1965) in one step: transform the columns, turn the phases, transform the
    rows. The matrices have rows^2 + n + columns^2 entries instead of n^2.
    """
    n, dtype = x[0].shape[-1], x[0].dtype
    rows = max(d for d in range(1, math.isqrt(n) + 1) if n % d == 0)
    columns = n // rows
    inner = tuple(x[0].shape[1:-1])
    real, imag = (ops.reshape(part, (-1, *inner, rows, columns)) for part in x)
    x = real, imag
    x = _multiply(_compute_phases(rows, rows, rows, inverse, dtype), x, ops.matmul)
    x = _multiply(x, _compute_phases(rows, columns, n, inverse, dtype), ops.multiply)
    x = _multiply(x, _compute_phases(columns, columns, columns, inverse, dtype), ops.matmul)
    real, imag = (ops.reshape(ops.swapaxes(part, -1, -2), (-1, *inner, n)) for part in x)
    return real, imag


def _compute_phases(n_rows: int, n_columns: int, period: int, inverse: bool, dtype: str) -> Complex:
    """Compute exp(-2 pi i j k / period) for row j and column k, conjugate for the inverse."""
    turns = np.outer(np.arange(n_rows), np.arange(n_columns)) % period / period
    sign = 1 if inverse else -1
    real, imag = np.cos(2 * np.pi * turns), sign * np.sin(2 * np.pi * turns)
    return ops.convert_to_tensor(real, dtype), ops.convert_to_tensor(imag, dtype)


def _multiply(a: Complex, b: Complex, multiply: Callable[[Tensor, Tensor], Tensor]) -> Complex:
    """Multiply complex numbers or matrices."""
    real = multiply(a[0], b[0]) - multiply(a[1], b[1])
    imag = multiply(a[0], b[1]) + multiply(a[1], b[0])
    return real, imag
