"""The representation `spectrogram`: power spectral density over time."""

from ecglib._keras import Tensor

from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.signal import get_window

from ecglib.errors import ExperimentError
from ecglib.preprocessing import check_number
from ecglib.representations.bands import FrequencyBandLayer


@keras.saving.register_keras_serializable(package="ecglib")
class Spectrogram(FrequencyBandLayer):
    """Represent a window by its power spectral density over time, in dB re 1 mV^2/Hz.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_frames, n_bins, n_leads) in dB re 1 mV^2/Hz.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    window_s, hop_s : float, default 0.64 and 0.16
        Length of a frame and distance between the starts of two frames, in s, rounded to whole
        samples.
    low_hz, high_hz : float, default 0.0 and 40.0
        Band of the bins in Hz, both edges included. ``low_hz=0`` starts at the first bin above
        0 Hz (1.56 Hz for a frame of 0.64 s), ``high_hz=0`` ends at the Nyquist frequency.
    floor_mv2_per_hz : float, default 1e-6
        Density in mV^2/Hz of the output for silence; 1e-6 mV^2/Hz is -60 dB, about the noise of
        an electrode.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency or has no bin, if a frame covers less than
        two periods of `low_hz`, if there are gaps between frames, or, once the length of the
        windows is known, if a frame is longer.

    Notes
    -----
    The density is that of ``scipy.signal.spectrogram(window="hann", detrend="constant",
    scaling="density")``: frames lie entirely in the window, and the mean of each is removed. The
    output is ``10 * log10(density + floor_mv2_per_hz)``.

    Examples
    --------
    >>> layer = Spectrogram(100, window_s=1.0, hop_s=0.5)
    >>> layer.compute_output_shape((None, 300, 12))
    (None, 5, 40, 12)
    >>> axes = layer.compute_axes(300)
    >>> axes["time_s"].tolist(), axes["frequency_hz"][:3].tolist()
    ([0.5, 1.0, 1.5, 2.0, 2.5], [1.0, 2.0, 3.0])
    >>> sine = np.sin(2 * np.pi * 5 * np.arange(300) / 100).astype("float32")
    >>> density = np.asarray(layer(sine.reshape(1, 300, 1)))
    >>> density[0, :, :, 0].argmax(axis=1).tolist()  # the bin of 5 Hz in every frame
    [4, 4, 4, 4, 4]
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
        **kwargs: Any,
    ) -> None:
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        self.window_s = check_number("window_s", window_s, "s")
        self.hop_s = check_number("hop_s", hop_s, "s")
        self.floor_mv2_per_hz = check_number("floor_mv2_per_hz", floor_mv2_per_hz, "mV²/Hz", 1e-24)
        self.n_window = round(self.window_s * self.sampling_rate)
        self.n_hop = round(self.hop_s * self.sampling_rate)
        if not 1 <= self.n_hop <= self.n_window:
            raise ExperimentError(
                f"`hop_s={self.hop_s:g}` must be at least one sample "
                f"({1 / self.sampling_rate:.4g} s) and at most `window_s={self.window_s:g}`, or "
                "samples between frames are lost."
            )
        self._bins = self.find_bins(self.n_window)

    def count_frames(self, n_samples: int) -> int:
        """Return the number of frames in a window of `n_samples`.

        Raises
        ------
        ExperimentError
            If the window is shorter than a frame.
        """
        if n_samples < self.n_window:
            seconds = n_samples / self.sampling_rate
            raise ExperimentError(
                f"A spectrogram frame of `window_s={self.window_s:g}` is longer than the ECG "
                f"window of {seconds:.4g} s. Set window_s to {seconds:.4g} or less."
            )
        return 1 + (n_samples - self.n_window) // self.n_hop

    def find_min_low_hz(self, n_samples: int) -> float:
        """Return the smallest `low_hz` in Hz: two periods in a frame, whatever the window."""
        return 2 * self.sampling_rate / self.n_window

    def compute_axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Return ``time_s`` (n_frames,), the frames' centers, and ``frequency_hz`` (n_bins,)."""
        starts = np.arange(self.count_frames(n_samples)) * self.n_hop
        return {
            "time_s": (starts + self.n_window / 2) / self.sampling_rate,
            "frequency_hz": self._bins * self.sampling_rate / self.n_window,
        }

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.count_frames(self.get_n_samples(input_shape))
        hann = get_window("hann", self.n_window)
        scale = self.compute_one_sided_scale(self._bins, self.n_window) / (
            self.sampling_rate * np.sum(hann**2)
        )
        phase = 2 * np.pi * np.outer(np.arange(self.n_window), self._bins) / self.n_window
        kernel = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        kernel *= hann[:, None] * np.sqrt(np.tile(scale, 2))
        # A kernel of mean zero removes the mean of the frame.
        self._kernel = (kernel - kernel.mean(axis=0))[:, None, :]
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        n_samples, n_leads = inputs.shape[1:]
        n_bins = len(self._bins)
        # On a CPU, a convolution with the Fourier kernels of the band is faster than `ops.stft`.
        x = ops.reshape(ops.transpose(inputs, (0, 2, 1)), (-1, n_samples, 1))
        kernel = ops.convert_to_tensor(self._kernel, self.compute_dtype)
        x = ops.conv(x, kernel, strides=self.n_hop, padding="valid", data_format="channels_last")
        density = ops.square(x[..., :n_bins]) + ops.square(x[..., n_bins:])
        decibel = 10.0 * ops.log10(density + self.floor_mv2_per_hz)
        decibel = ops.reshape(decibel, (-1, n_leads, self.count_frames(n_samples), n_bins))
        return ops.transpose(decibel, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        n_frames = self.count_frames(self.get_n_samples(input_shape))
        return (input_shape[0], n_frames, len(self._bins), input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "floor_mv2_per_hz": self.floor_mv2_per_hz,
        }
