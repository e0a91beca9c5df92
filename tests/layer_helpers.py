"""A layer of another package in the place of `time`, with one fault at a time."""

from pathlib import Path

CALL = "return x[:, self.n :] - x[:, : -self.n]"
SOURCE = f'''
import keras
import numpy as np
from keras import ops

from ecglib.preprocessing import SignalLayer


@keras.saving.register_keras_serializable(package="tested_layers")
class Slope(SignalLayer):
    """Difference of the signal over a distance in time, in mV."""

    unit = "mV"

    def __init__(self, sampling_rate, distance_s=0.02, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.distance_s = distance_s
        self.n = round(distance_s * sampling_rate)

    def call(self, x):
        {CALL}

    def compute_axes(self, n_samples):
        return {{"time_s": np.arange(n_samples - self.n) / self.sampling_rate}}

    def get_config(self):
        return super().get_config() | {{"distance_s": self.distance_s}}
'''


def write_layer(replacements: dict[str, str] | None = None) -> None:
    """Write tested_layers.py into the working directory, with some text replaced."""
    text = SOURCE
    for old, new in (replacements or {}).items():
        assert old in text
        text = text.replace(old, new)
    Path("tested_layers.py").write_text(text)
