"""The spectrogram of a window."""

import keras
import numpy as np
from keras import ops
from scipy.signal import get_window

from ecglib.errors import ExperimentError
from ecglib.preprocessing import number
from ecglib.representations.bands import FrequencyBandLayer


@keras.saving.register_keras_serializable(package="ecglib")
class Spectrogram(FrequencyBandLayer):
    """Power spectral density over time, in dB re 1 mV^2/Hz.

    The density is that of ``scipy.signal.spectrogram(window="hann", detrend="constant",
    scaling="density")``: frames that lie wholly in the window, the mean of each removed. The
    output is ``10 * log10(density + floor_mv2_per_hz)``.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    window_s, hop_s : float
        Length of a frame and distance between the starts of two, in s, rounded to whole samples.
    low_hz, high_hz : float
        Band of the bins that are kept, in Hz, edges included. ``low_hz=0`` starts at the first
        bin above 0 Hz (1.56 Hz for a frame of 0.64 s), ``high_hz=0`` ends at Nyquist.
    floor_mv2_per_hz : float
        Density in mV^2/Hz that silence reads; 1e-6 mV^2/Hz is -60 dB, about the noise of an
        electrode.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_frames, n_bins, n_leads) in dB re 1 mV^2/Hz.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency or holds no bin, if a frame holds less than
        two periods of ``low_hz``, if frames leave gaps, or, once the length of the window is
        known, if a frame is longer.
    """

    unit = "dB re 1 mV²/Hz"

    def __init__(
        self,
        sampling_rate: float,
        window_s: float = 0.64,
        hop_s: float = 0.16,
        low_hz: float = 0.0,
        high_hz: float = 40.0,
        floor_mv2_per_hz: float = 1e-6,
        **kwargs,
    ):
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        self.window_s = number("window_s", window_s, "s")
        self.hop_s = number("hop_s", hop_s, "s")
        self.floor_mv2_per_hz = number("floor_mv2_per_hz", floor_mv2_per_hz, "mV²/Hz", 1e-24)
        self.n_window = round(self.window_s * self.sampling_rate)
        self.n_hop = round(self.hop_s * self.sampling_rate)
        if not 1 <= self.n_hop <= self.n_window:
            raise ExperimentError(
                f"hop_s must be from one sample ({1 / self.sampling_rate:.4g} s) to window_s, or "
                f"samples between frames are lost. Received: hop_s={self.hop_s:g}, "
                f"window_s={self.window_s:g}."
            )
        self._bins = self.bins(self.n_window)

    def n_frames(self, n_samples: int) -> int:
        """Give the number of frames in a window, or say that it is shorter than one."""
        if n_samples < self.n_window:
            seconds = n_samples / self.sampling_rate
            raise ExperimentError(
                f"A spectrogram frame of window_s={self.window_s:g} s is longer than the ECG "
                f"window of {seconds:.4g} s. Set window_s to {seconds:.4g} or less."
            )
        return 1 + (n_samples - self.n_window) // self.n_hop

    def lowest_hz(self, n_samples: int) -> float:
        """Give the lowest ``low_hz`` in Hz: two periods in a frame, however long the window."""
        return 2 * self.sampling_rate / self.n_window

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``time_s`` (n_frames,), the middle of each frame, and ``frequency_hz`` (n_bins,)."""
        starts = np.arange(self.n_frames(n_samples)) * self.n_hop
        return {
            "time_s": (starts + self.n_window / 2) / self.sampling_rate,
            "frequency_hz": self._bins * self.sampling_rate / self.n_window,
        }

    def build(self, input_shape):
        self.n_frames(self.n_samples_of(input_shape))
        hann = get_window("hann", self.n_window)
        scale = self.scale(self._bins, self.n_window) / (self.sampling_rate * np.sum(hann**2))
        phase = 2 * np.pi * np.outer(np.arange(self.n_window), self._bins) / self.n_window
        kernel = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        kernel *= hann[:, None] * np.sqrt(np.tile(scale, 2))
        # A kernel without a mean takes the mean off the frame.
        self._kernel = (kernel - kernel.mean(axis=0))[:, None, :]
        self.built = True

    def call(self, inputs):
        n_samples, n_leads = inputs.shape[1:]
        n_bins = len(self._bins)
        # A convolution with Fourier kernels of the band alone is faster than ops.stft on a CPU.
        x = ops.reshape(ops.transpose(inputs, (0, 2, 1)), (-1, n_samples, 1))
        kernel = ops.convert_to_tensor(self._kernel, self.compute_dtype)
        x = ops.conv(x, kernel, strides=self.n_hop, padding="valid", data_format="channels_last")
        density = ops.square(x[..., :n_bins]) + ops.square(x[..., n_bins:])
        decibel = 10.0 * ops.log10(density + self.floor_mv2_per_hz)
        decibel = ops.reshape(decibel, (-1, n_leads, self.n_frames(n_samples), n_bins))
        return ops.transpose(decibel, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape):
        n_frames = self.n_frames(self.n_samples_of(input_shape))
        return (input_shape[0], n_frames, len(self._bins), input_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "floor_mv2_per_hz": self.floor_mv2_per_hz,
        }
