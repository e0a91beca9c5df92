"""The representation `time`: the samples of a window."""

from ecglib._keras import Tensor

from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.errors import require_one_of
from ecglib.preprocessing import SignalLayer, compute_quantiles_over_time

NORMAL_IQR = 1.349  # interquartile range of a normal distribution of standard deviation 1
MIN_IQR_MV = 0.01  # about the noise of an electrode: silence is not amplified further


@keras.saving.register_keras_serializable(package="ecglib")
class TimeSeries(SignalLayer):
    """Represent a window by its samples, as they are or with each lead scaled.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV, or in robust standard deviations if scaled.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    scale : {"none", "window"}, default "none"
        ``"window"`` scales each lead of each window: it subtracts the median and divides by the
        interquartile range over 1.349. Peaks of beats and artifacts hardly change these. Use it
        for recordings whose gains are not comparable. A range below 0.01 mV counts as 0.01 mV.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If `scale` is neither.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 5, 1)
    >>> np.asarray(TimeSeries(100)(x)).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    >>> scaled = TimeSeries(100, scale="window", dtype="float64")(x)
    >>> np.asarray(scaled).ravel().round(2).tolist()
    [-1.35, -0.67, 0.0, 0.67, 1.35]
    """

    def __init__(self, sampling_rate: float, scale: str = "none", **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        require_one_of("scale", scale, ("none", "window"))
        self.scale = scale

    @property
    def unit(self) -> str:
        """Unit of the output: mV, or robust standard deviations of the window."""
        return "mV" if self.scale == "none" else "deviations"

    def compute_axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Return ``{"time_s": array of shape (n_samples,)}``, from the start of the window."""
        return {"time_s": np.arange(n_samples) / self.sampling_rate}

    def call(self, inputs: Tensor) -> Tensor:
        if self.scale == "none":
            return inputs
        low, median, high = compute_quantiles_over_time(inputs, (0.25, 0.5, 0.75))
        return (inputs - median) * NORMAL_IQR / ops.maximum(high - low, MIN_IQR_MV)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self.get_n_samples(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
