"""The base of all layers that take ECG windows, and helpers that these layers use."""

from ecglib._keras import Tensor

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError


def check_number(name: str, value: float, unit: str, minimum: float = 0.0) -> float:
    """Check that an argument is a finite number, and return it as a float.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : float
        The argument as it was given.
    unit : str
        Its unit, for the error.
    minimum : float, default 0.0
        Smallest value that is accepted.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    ExperimentError
        If `value` is not a finite number of at least `minimum`.

    Examples
    --------
    >>> check_number("hop_s", 1, "s")
    1.0
    >>> check_number("hop_s", -1, "s")
    Traceback (most recent call last):
    ecglib.errors.ExperimentError: `hop_s=-1` must be a number of at least 0 s.
    """
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < minimum:
        raise ExperimentError(
            f"`{name}={value!r}` must be a number of at least {minimum:g} {unit}."
        )
    return float(value)


def compute_quantiles_over_time(x: Tensor, levels: Sequence[float]) -> list[Tensor]:
    """Compute quantiles of each lead over its samples, interpolated linearly as NumPy does.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Windows; `n_samples` must be known.
    levels : sequence of float
        Levels of the quantiles, each from 0 to 1; 0.5 is the median.

    Returns
    -------
    list of tensors of shape (n_windows, 1, n_leads)
        One tensor per level.

    Notes
    -----
    The result is the same on all backends. On PyTorch `keras.ops.median` returns the lower of the
    two middle values, and `keras.ops.quantile` computes in float32.

    Examples
    --------
    >>> x = np.array([1.0, 4.0, 2.0, 3.0]).reshape(1, 4, 1)
    >>> median, maximum = compute_quantiles_over_time(x, (0.5, 1.0))
    >>> float(median[0, 0, 0]), float(maximum[0, 0, 0])
    (2.5, 4.0)
    """
    ordered, last = ops.sort(x, axis=1), x.shape[1] - 1
    quantiles = []
    for level in levels:
        low = math.floor(level * last)
        high = min(low + 1, last)
        below, above = ordered[:, low : low + 1], ordered[:, high : high + 1]
        quantiles.append(below + (above - below) * (level * last - low))
    return quantiles


class SignalLayer(keras.layers.Layer):
    """Base of the layers that take ECG windows.

    Such a layer computes in ``keras.config.floatx()`` even under a mixed-precision policy, because
    the rounding error of filtering millivolts in half precision exceeds the noise of an electrode.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    **kwargs
        Arguments of `keras.layers.Layer`, such as ``name`` or ``dtype``.

    Raises
    ------
    ExperimentError
        If `sampling_rate` is not a number above 0.

    Examples
    --------
    >>> layer = SignalLayer(100)
    >>> layer.get_n_samples((None, 1000, 12))
    1000
    """

    def __init__(self, sampling_rate: float, **kwargs: Any) -> None:
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = keras.config.floatx()
        super().__init__(**kwargs)
        self.sampling_rate = check_number("sampling_rate", sampling_rate, "Hz")
        if self.sampling_rate == 0:
            raise ExperimentError("`sampling_rate=0` must be above 0 Hz.")

    def get_n_samples(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the length of the windows in samples, read from the shape of a batch.

        Parameters
        ----------
        input_shape : tuple
            ``(n_windows, n_samples, n_leads)``; the number of windows may be None.

        Returns
        -------
        int
            `n_samples`.

        Raises
        ------
        ExperimentError
            If there are not three axes, or if `n_samples` is unknown or below 2.
        """
        n_samples = input_shape[1] if len(input_shape) == 3 else None
        if n_samples is None or n_samples < 2:
            raise ExperimentError(
                f"{type(self).__name__} takes windows of shape (n_windows, n_samples, n_leads) "
                f"with a known n_samples of at least 2, not {tuple(input_shape)}. Build the Input "
                "with the n_samples of the dataset's signal spec."
            )
        return n_samples

    def name_channels(self, leads: Sequence[str]) -> list[str]:
        """Name the entries of the last axis of the output; a layer that changes it overrides this.

        Parameters
        ----------
        leads : sequence of str
            Names of the leads of the windows.

        Returns
        -------
        list of str
            The leads.
        """
        return list(leads)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sampling_rate": self.sampling_rate}
