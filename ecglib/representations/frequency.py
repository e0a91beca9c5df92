"""The representation `frequency`: the amplitude spectrum of a whole window."""

from ecglib._keras import Tensor

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.signal import get_window
from scipy.signal.windows import dpss

from ecglib.errors import ExperimentError, require_one_of
from ecglib.preprocessing import check_number
from ecglib.representations.bands import FrequencyBandLayer, round_up

METHODS = ("window", "welch", "multitaper")


@keras.saving.register_keras_serializable(package="ecglib")
class FrequencySpectrum(FrequencyBandLayer):
    """Represent a window by its amplitude spectrum, in dB re 1 mV.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_bins, n_leads) in dB re 1 mV. With `phase`, (n_windows, n_bins,
        3 * n_leads): the amplitudes of all leads, their cosines, their sines.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    low_hz, high_hz : float, default 0.5 and 40.0
        Band of the bins in Hz, both edges included. ``low_hz=0`` starts at the first bin above
        0 Hz, ``high_hz=0`` ends at the Nyquist frequency.
    floor_mv : float, default 1e-3
        Amplitude in mV of the output for silence; 1e-3 mV is -60 dB.
    method : {"window", "welch", "multitaper"}, default "window"
        Method of spectral estimation.
    resolution_hz : float, default 0.0
        Smallest distance in Hz at which two sines are separated: half the main lobe, two bins of a
        Hann window. Welch uses segments of ``2 / resolution_hz`` seconds. 0 is twice the finest
        resolution, ``4 / seconds``; a single window always has the finest, ``2 / seconds``.
    phase : bool, default False
        Whether to append the phase at the middle of the window, as cosine and sine so that it has
        no jump. A cosine that peaks in the middle has phase 0. Where the amplitude approaches the
        floor, both approach 0. Only with ``method="window"``.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency or has no bin, if an option does not fit the
        method, or, once the length of the windows is known, if `low_hz` is below the resolution
        (for a single window: less than two periods) or the resolution is finer than possible.

    Notes
    -----
    The mean is removed, and the one-sided amplitude A is scaled so that a sine of 1 mV at the
    frequency of a bin has 1 mV, or 0 dB, in that bin. The output is
    ``10 * log10(A**2 + floor_mv**2)``. Three methods trade resolution for a lower variance:

    - ``"window"``: one periodic Hann window over all samples.
    - ``"welch"`` (Welch, 1967): the mean power of half overlapping segments under a Hann window,
      each without its mean; there are fewer bins.
    - ``"multitaper"`` (Thomson, 1982): the mean power under the orthogonal DPSS tapers whose
      energy lies within `resolution_hz`. There are ``2 * resolution_hz * seconds - 1`` of them.

    All are corrected by the coherent gain, which is the sum of the window, or the root of the
    summed squares of these over the tapers; not by the noise bandwidth. So a sine has the same
    value in each, and noise a higher one with a coarser resolution: its density in mV^2/Hz is
    ``A**2 / 2`` over the equivalent noise bandwidth, which is 1.5 bins for a Hann window.

    Examples
    --------
    >>> layer = FrequencySpectrum(100, low_hz=0.5, high_hz=40.0)
    >>> layer.compute_output_shape((None, 1000, 12))
    (None, 396, 12)
    >>> sine = np.sin(2 * np.pi * 5 * np.arange(1000) / 100).astype("float32")
    >>> spectrum = np.asarray(layer(sine.reshape(1, 1000, 1)))[0, :, 0]
    >>> peak = spectrum.argmax()
    >>> float(layer.compute_axes(1000)["frequency_hz"][peak])
    5.0
    >>> abs(round(float(spectrum[peak]), 3))  # 1 mV is 0 dB
    0.0
    """

    unit = "dB re 1 mV"

    def __init__(
        self,
        sampling_rate: float,
        low_hz: float = 0.5,
        high_hz: float = 40.0,
        floor_mv: float = 1e-3,
        method: str = "window",
        resolution_hz: float = 0.0,
        phase: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        self.floor_mv = check_number("floor_mv", floor_mv, "mV", minimum=1e-12)
        require_one_of("method", method, METHODS)
        self.method = method
        self.resolution_hz = check_number("resolution_hz", resolution_hz, "Hz")
        if not isinstance(phase, bool):
            raise ExperimentError(f"`phase={phase!r}` must be True or False.")
        self.phase = phase
        if self.resolution_hz and method == "window":
            raise ExperimentError(
                f"`resolution_hz={self.resolution_hz:g}` has no effect with method='window', which "
                "has the resolution of the whole window. Set it to 0, or set method to 'welch' or "
                "'multitaper'."
            )
        if phase and method != "window":
            raise ExperimentError(
                f"`phase=True` needs method='window', because method={method!r} averages spectra "
                "whose phases differ. Set method='window' or phase=False."
            )

    def compute_resolution(self, n_samples: int) -> float:
        """Return the resolution in Hz in a window of `n_samples`.

        Raises
        ------
        ExperimentError
            If `resolution_hz` is finer than the window allows.
        """
        finest_hz = 2 * self.sampling_rate / n_samples
        if self.method == "window":
            return finest_hz
        if self.resolution_hz and self.resolution_hz < finest_hz - 1e-9:
            raise ExperimentError(
                f"`resolution_hz={self.resolution_hz:g}` needs a window of "
                f"{2 / self.resolution_hz:.4g} s, and the ECG window has "
                f"{n_samples / self.sampling_rate:.4g} s. Set resolution_hz to "
                f"{round_up(finest_hz)} or more, or to 0 for {round_up(2 * finest_hz)}."
            )
        return self.resolution_hz or 2 * finest_hz

    def name_channels(self, leads: Sequence[str]) -> list[str]:
        """Name the entries of the last axis: the leads, and with `phase` also their directions."""
        parts = ("cosine", "sine") if self.phase else ()
        return [*leads, *(f"{lead} {part}" for part in parts for lead in leads)]

    def find_min_low_hz(self, n_samples: int) -> float:
        """Return the smallest `low_hz` in Hz: the resolution, to separate it from the mean."""
        return self.compute_resolution(n_samples)

    def compute_segment_length(self, n_samples: int) -> int:
        """Return the number of samples of each Fourier transform."""
        if self.method != "welch":
            return n_samples
        resolution_hz = self.compute_resolution(n_samples)
        return min(n_samples, math.ceil(2 * self.sampling_rate / resolution_hz - 1e-9))

    def _find_bins_of_window(self, n_samples: int) -> np.ndarray:
        resolution_hz = self.compute_resolution(n_samples)
        if self.method != "window" and 0 < self.low_hz < resolution_hz - 1e-9:
            raise ExperimentError(
                f"`low_hz={self.low_hz:g}` cannot be separated from the mean of the window: here "
                f"method={self.method!r} resolves {resolution_hz:.4g} Hz. Set low_hz to "
                f"{round_up(resolution_hz)} or more, or to 0 to start at the first bin, or set "
                f"resolution_hz to {self.low_hz:g} or less, in a window of "
                f"{round_up(2 / self.low_hz)} s or more."
            )
        return self.find_bins(self.compute_segment_length(n_samples))

    def compute_axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Return ``{"frequency_hz": array of shape (n_bins,)}``."""
        bins = self._find_bins_of_window(n_samples)
        return {"frequency_hz": bins * self.sampling_rate / self.compute_segment_length(n_samples)}

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        n_samples = self.get_n_samples(input_shape)
        bins = self._find_bins_of_window(n_samples)
        n_segment = self.compute_segment_length(n_samples)
        if self.method == "multitaper":
            half_bandwidth = self.compute_resolution(n_samples) * n_samples / self.sampling_rate
            n_tapers = math.floor(2 * half_bandwidth + 1e-9) - 1
            self._tapers = dpss(n_samples, half_bandwidth, n_tapers)
        else:
            self._tapers = get_window("hann", n_segment)[None]
        self._first, self._stop = int(bins[0]), int(bins[-1]) + 1
        # For the mean power over all segments and tapers.
        coherent_gain = np.mean(self._tapers.sum(axis=1) ** 2)
        scale = self.compute_one_sided_scale(bins, n_segment)
        self._power_scale = scale**2 / coherent_gain
        # The phase of a transform refers to the first sample. In the middle, half a window later,
        # the phase of bin k has advanced by k half turns.
        self._phase_scale = scale / self._tapers[0].sum() * (-1.0) ** bins
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        n_segment = self._tapers.shape[1]
        x = ops.transpose(inputs, (0, 2, 1))
        if self.method == "welch":
            x = ops.extract_sequences(x, n_segment, n_segment - n_segment // 2)
        else:
            x = x[:, :, None]
        x = x - ops.mean(x, axis=-1, keepdims=True)
        real, imag = ops.rfft(x * ops.convert_to_tensor(self._tapers, self.compute_dtype))
        real = real[..., self._first : self._stop]
        imag = imag[..., self._first : self._stop]
        power = ops.mean(ops.square(real) + ops.square(imag), axis=2)
        power = power * ops.convert_to_tensor(self._power_scale, self.compute_dtype)
        # The floor is added to the power, because a square root has no gradient at silence.
        power = power + self.floor_mv**2
        channels = [10.0 * ops.log10(power)]
        if self.phase:
            scale = ops.convert_to_tensor(self._phase_scale, self.compute_dtype)
            channels += [part[:, :, 0] * scale / ops.sqrt(power) for part in (real, imag)]
        return ops.transpose(ops.concatenate(channels, axis=1), (0, 2, 1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        n_bins = len(self._find_bins_of_window(self.get_n_samples(input_shape)))
        n_leads = input_shape[2]
        if n_leads is not None and self.phase:
            n_leads *= 3
        return (input_shape[0], n_bins, n_leads)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "floor_mv": self.floor_mv,
            "method": self.method,
            "resolution_hz": self.resolution_hz,
            "phase": self.phase,
        }
