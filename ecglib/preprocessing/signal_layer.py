"""What the layers that take ECG windows share."""

import ecglib._keras  # noqa: F401

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from ecglib.errors import ExperimentError


def number(name: str, value: float, unit: str, minimum: float = 0.0) -> float:
    """Give ``value`` as a float, or say that it is no finite number of at least ``minimum``."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < minimum:
        raise ExperimentError(
            f"{name} must be a number of at least {minimum:g} {unit}. Received: {name}={value!r}."
        )
    return float(value)


def quantiles_over_time(x, shares: Sequence[float]) -> list:
    """Give quantiles of each lead over the samples, interpolated as NumPy does.

    The same on all backends: on PyTorch `keras.ops.median` takes the lower of two middles, and
    `keras.ops.quantile` computes in float32.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads), with a known n_samples
    shares : sequence of float
        From 0 to 1; 0.5 is the median.

    Returns
    -------
    list of tensors of shape (n_windows, 1, n_leads)
    """
    ordered, last = ops.sort(x, axis=1), x.shape[1] - 1
    quantiles = []
    for share in shares:
        low = math.floor(share * last)
        high = min(low + 1, last)
        below, above = ordered[:, low : low + 1], ordered[:, high : high + 1]
        quantiles.append(below + (above - below) * (share * last - low))
    return quantiles


class SignalLayer(keras.layers.Layer):
    """What the layers that take ECG windows share.

    They compute in ``keras.config.floatx()`` also under a mixed-precision policy, because
    millivolts filtered in half precision are off by more than the noise of an electrode.

    Parameters
    ----------
    sampling_rate : float
        Samples a second of the windows, in Hz.
    """

    def __init__(self, sampling_rate: float, **kwargs):
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = keras.config.floatx()
        super().__init__(**kwargs)
        self.sampling_rate = number("sampling_rate", sampling_rate, "Hz")
        if self.sampling_rate == 0:
            raise ExperimentError("sampling_rate must be above 0 Hz. Received: sampling_rate=0.")

    def n_samples_of(self, input_shape: tuple) -> int:
        """Give the length of the windows, or say that ``input_shape`` is not that of windows."""
        if len(input_shape) != 3 or input_shape[1] is None or input_shape[1] < 2:
            raise ExperimentError(
                f"{type(self).__name__} takes windows of shape (n_windows, n_samples, n_leads) "
                f"with a known n_samples of at least 2. Received shape: {tuple(input_shape)}. "
                "Give the Input the n_samples of the dataset's signal contract."
            )
        return input_shape[1]

    def get_config(self):
        return {**super().get_config(), "sampling_rate": self.sampling_rate}
