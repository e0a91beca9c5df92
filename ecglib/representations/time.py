"""The time series itself."""

import keras
import numpy as np
from keras import ops

from ecglib.errors import require_one_of
from ecglib.preprocessing import SignalLayer, quantiles_over_time

NORMAL_RANGE = 1.349  # interquartile range of a normal distribution of deviation 1
SMALLEST_RANGE_MV = 0.01  # about the noise of an electrode: silence is not blown up


@keras.saving.register_keras_serializable(package="ecglib")
class TimeSeries(SignalLayer):
    """The window as it is, or with each lead scaled by itself.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    scale : {"none", "window"}
        ``"window"`` takes off the median of each lead of each window and divides by its
        interquartile range over 1.349, which the peaks of the beats and artefacts hardly move: for
        recordings whose gain cannot be compared. A range below 0.01 mV counts as 0.01 mV.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV, or without unit if scaled.

    Raises
    ------
    ExperimentError
        If ``scale`` is neither.
    """

    def __init__(self, sampling_rate: float, scale: str = "none", **kwargs):
        super().__init__(sampling_rate, **kwargs)
        require_one_of("scale", scale, ("none", "window"))
        self.scale = scale

    @property
    def unit(self) -> str:
        """mV, or robust deviations of the window."""
        return "mV" if self.scale == "none" else "deviations"

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``{"time_s": array of shape (n_samples,)}``, from the start of the window."""
        return {"time_s": np.arange(n_samples) / self.sampling_rate}

    def call(self, inputs):
        if self.scale == "none":
            return inputs
        low, median, high = quantiles_over_time(inputs, (0.25, 0.5, 0.75))
        return (inputs - median) * NORMAL_RANGE / ops.maximum(high - low, SMALLEST_RANGE_MV)

    def compute_output_shape(self, input_shape):
        self.n_samples_of(input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}
