"""The time series itself."""

import keras
import numpy as np

from ecglib.preprocessing import SignalLayer


@keras.saving.register_keras_serializable(package="ecglib")
class TimeView(SignalLayer):
    """The window as it is.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.
    """

    unit = "mV"

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``{"time_s": array of shape (n_samples,)}``, from the start of the window."""
        return {"time_s": np.arange(n_samples) / self.sampling_rate}

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        self.n_samples_of(input_shape)
        return tuple(input_shape)
