"""The representation `scalogram`: the power of a continuous wavelet transform over time."""

from ecglib._keras import Tensor

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError
from ecglib.preprocessing import check_number
from ecglib.representations.bands import FrequencyBandLayer, round_up

MIN_RESPONSE = 1e-4  # responses of a wavelet below this, -80 dB, are neglected


@keras.saving.register_keras_serializable(package="ecglib")
class Scalogram(FrequencyBandLayer):
    """Represent a window by the power of its wavelet transform over time, in dB re 1 mV.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_frames, n_bins, n_leads) in dB re 1 mV.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    low_hz, high_hz : float, default 0.5 and 45.0
        Lowest and highest frequency in Hz, both included. ``low_hz=0`` starts at the lowest one
        whose wavelet fits the window, ``high_hz=0`` ends at the Nyquist frequency. Near the
        Nyquist frequency only the part of a wavelet's band below it counts, as it would for the
        continuous signal.
    bins_per_octave : int, default 6
        Minimum number of frequencies per octave, from 1 to 48. With 6, neighbors are 0.7 standard
        deviations of a wavelet of ``w0=6`` apart.
    hop_s : float, default 0.08
        Length of a frame in s, rounded to whole samples. Frames follow each other without gap or
        overlap from the start of the window; an incomplete last frame is dropped.
    w0 : float, default 6.0
        Cycles in ``2 * pi`` standard deviations of the wavelet, at least 5. A higher value resolves
        frequency better and time worse.
    floor_mv : float, default 1e-3
        Amplitude in mV of the output for silence; 1e-3 mV is -60 dB.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency, if an option is out of its range, or, once
        the length of the windows is known, if they are shorter than a frame or than four standard
        deviations of the lowest wavelet, which contain 95 % of it.

    Notes
    -----
    The wavelets are analytic Morlet wavelets (Torrence and Compo, 1998) at logarithmically spaced
    frequencies. The wavelet of frequency f multiplies the spectrum at the frequency v > 0 by
    ``2 * exp(-(w0 * (v / f - 1))**2 / 2)``: a Gaussian with a standard deviation of ``f / w0``
    over frequency and ``w0 / (2 * pi * f)`` over time. This is the L1 normalization: a sine of
    1 mV has 1 mV, or 0 dB, at its frequency, whatever that is. Each value is the mean power P of
    the wavelet coefficients in one frame, so that nothing falls between frames. The output is
    ``10 * log10(P + floor_mv**2)``.

    The window is extended infinitely as in `ZeroPhaseFilter`, by its odd reflection about the line
    through its ends. Up to a hop of samples on that line are added where they make the FFT fast.
    A value that is closer to an end than the standard deviation of its wavelet depends on this
    extension.

    Examples
    --------
    >>> layer = Scalogram(100, low_hz=1.0, high_hz=32.0, hop_s=0.1)
    >>> layer.compute_output_shape((None, 1000, 12))
    (None, 100, 31, 12)
    >>> layer.compute_axes(1000)["time_s"][:3].round(2).tolist()
    [0.05, 0.15, 0.25]
    >>> layer.compute_axes(1000)["frequency_hz"][::6].round(2).tolist()
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    >>> sine = np.sin(2 * np.pi * 4 * np.arange(1000) / 100).astype("float32")
    >>> power = np.asarray(layer(sine.reshape(1, 1000, 1)))
    >>> int(power[0, 50, :, 0].argmax())  # the bin of 4 Hz
    12
    """

    unit = "dB re 1 mV"

    def __init__(
        self,
        sampling_rate: float,
        low_hz: float = 0.5,
        high_hz: float = 45.0,
        bins_per_octave: int = 6,
        hop_s: float = 0.08,
        w0: float = 6.0,
        floor_mv: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        is_whole = isinstance(bins_per_octave, int) and not isinstance(bins_per_octave, bool)
        if not is_whole or not 1 <= bins_per_octave <= 48:
            raise ExperimentError(
                f"`bins_per_octave={bins_per_octave!r}` must be a whole number from 1 to 48."
            )
        self.bins_per_octave = bins_per_octave
        self.hop_s = check_number("hop_s", hop_s, "s")
        # Below 5, a Morlet wavelet does not vanish at 0 Hz.
        self.w0 = check_number("w0", w0, "radians", minimum=5.0)
        self.floor_mv = check_number("floor_mv", floor_mv, "mV", minimum=1e-12)
        self.n_hop = round(self.hop_s * self.sampling_rate)
        if self.n_hop < 1:
            raise ExperimentError(
                f"`hop_s={self.hop_s:g}` must be at least one sample. Set hop_s to "
                f"{1 / self.sampling_rate:.4g} s or more."
            )

    def count_frames(self, n_samples: int) -> int:
        """Return the number of frames in a window of `n_samples`.

        Raises
        ------
        ExperimentError
            If the window is shorter than a frame.
        """
        if n_samples < self.n_hop:
            seconds = n_samples / self.sampling_rate
            raise ExperimentError(
                f"A scalogram frame of `hop_s={self.hop_s:g}` is longer than the ECG window of "
                f"{seconds:.4g} s. Set hop_s to {seconds:.4g} or less."
            )
        return n_samples // self.n_hop

    def find_min_low_hz(self, n_samples: int) -> float:
        """Return the smallest `low_hz` in Hz: four standard deviations fit the window."""
        return 4 * self.w0 / (2 * math.pi) * self.sampling_rate / n_samples

    def compute_frequencies_hz(self, n_samples: int) -> np.ndarray:
        """Return the frequency of each bin in Hz, in a window of `n_samples`.

        Raises
        ------
        ExperimentError
            If the wavelet of the lowest frequency does not fit the window.
        """
        min_hz = self.find_min_low_hz(n_samples)
        seconds = n_samples / self.sampling_rate
        if self.low_hz and self.low_hz < min_hz - 1e-9:
            max_w0 = self.w0 * self.low_hz / min_hz
            remedy = f", or w0 to {math.floor(max_w0 * 100) / 100:g} or less" if max_w0 >= 5 else ""
            raise ExperimentError(
                f"A wavelet of `low_hz={self.low_hz:g}` and `w0={self.w0:g}` needs "
                f"{round_up(seconds * min_hz / self.low_hz)} s, and the ECG window has "
                f"{seconds:.4g} s. Set low_hz to {round_up(min_hz)} or more, or to 0 to start at "
                f"the lowest that fits{remedy}."
            )
        low_hz, high_hz = self.low_hz or min_hz, self.high_hz or self.sampling_rate / 2
        if low_hz >= high_hz:
            raise ExperimentError(
                f"No wavelet below `high_hz={high_hz:g}` fits the ECG window of {seconds:.4g} s: "
                f"the lowest is {low_hz:.4g} Hz. Increase high_hz, or use longer windows."
            )
        octaves = math.log2(high_hz / low_hz)
        return np.geomspace(low_hz, high_hz, math.ceil(octaves * self.bins_per_octave - 1e-9) + 1)

    def compute_axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Return ``time_s`` (n_frames,), the frames' centers, and ``frequency_hz`` (n_bins,)."""
        frames = np.arange(self.count_frames(n_samples))
        return {
            "time_s": (frames + 0.5) * self.n_hop / self.sampling_rate,
            "frequency_hz": self.compute_frequencies_hz(n_samples),
        }

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        n_samples = self.get_n_samples(input_shape)
        frequencies = self.compute_frequencies_hz(n_samples)
        # The period is a whole number of hops, so that a grid with a whole number of points per
        # hop is periodic.
        n_hops = next_fast_len(math.ceil(n_samples / self.n_hop), real=True)
        self._half = n_hops * self.n_hop
        reach = self.w0 + math.sqrt(-2 * math.log(MIN_RESPONSE))
        highest_hz = np.minimum(frequencies * reach / self.w0, self.sampling_rate / 2)
        points = [
            next_fast_len(max(2, math.ceil(hz * self.n_hop / self.sampling_rate - 1e-9)))
            for hz in highest_hz
        ]
        # Coefficients whose spectrum ends at v need at most v points per second: wavelets that need
        # the same number of points per hop are transformed together by one short inverse FFT.
        self._groups = []
        for n_points in sorted(set(points)):
            group = frequencies[[n == n_points for n in points]]
            n_grid = 2 * n_hops * n_points
            bins = np.arange(min(n_grid, self._half))
            bins_hz = bins * self.sampling_rate / (2 * self._half)
            response = 2 * np.exp(-((self.w0 * (bins_hz / group[:, None] - 1)) ** 2) / 2)
            self._groups.append((n_points, n_grid, response / (2 * self._half)))
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        n_samples, n_leads = inputs.shape[1:]
        n_frames = self.count_frames(n_samples)
        x = ops.transpose(inputs, (0, 2, 1))
        first, last = x[..., :1], x[..., -1:]
        ramp = ops.convert_to_tensor(np.linspace(0.0, 1.0, n_samples), self.compute_dtype)
        x = x - (first + (last - first) * ramp)
        x = ops.pad(x, ((0, 0), (0, 0), (0, self._half + 1 - n_samples)))
        # The spectrum of an odd signal is imaginary, so it is transformed back as a real sequence:
        # that halves the work, and the second half, a mirror image of the first, is not computed.
        _, spectrum = ops.rfft(ops.concatenate([x, -ops.flip(x[..., 1:-1], axis=-1)], axis=-1))
        powers = []
        for n_points, n_grid, response in self._groups:
            n_bins = response.shape[1]
            weights = ops.convert_to_tensor(response, self.compute_dtype)
            product = spectrum[:, :, None, :n_bins] * weights
            product = ops.pad(product, ((0, 0), (0, 0), (0, 0), (0, n_grid - n_bins)))
            real, imag = ops.rfft(product)
            power = (ops.square(real) + ops.square(imag))[..., : n_frames * n_points + 1]
            # The mean of each frame by the trapezoidal rule, in which the two ends count half.
            shape = (-1, n_leads, len(response), n_frames, n_points)
            mean = ops.mean(ops.reshape(power[..., :-1], shape), axis=-1)
            ends = power[..., ::n_points]
            powers.append(mean + (ends[..., 1:] - ends[..., :-1]) / (2 * n_points))
        decibel = 10.0 * ops.log10(ops.concatenate(powers, axis=2) + self.floor_mv**2)
        return ops.transpose(decibel, (0, 3, 2, 1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        n_samples = self.get_n_samples(input_shape)
        n_bins = len(self.compute_frequencies_hz(n_samples))
        return (input_shape[0], self.count_frames(n_samples), n_bins, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bins_per_octave": self.bins_per_octave,
            "hop_s": self.hop_s,
            "w0": self.w0,
            "floor_mv": self.floor_mv,
        }
