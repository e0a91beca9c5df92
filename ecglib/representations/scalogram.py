"""The scalogram of a window: a continuous wavelet transform."""

import math

import keras
import numpy as np
from keras import ops
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError
from ecglib.preprocessing import number
from ecglib.representations.bands import FrequencyBandLayer, round_up

# A response below this, -80 dB, is taken as none.
NO_RESPONSE = 1e-4


@keras.saving.register_keras_serializable(package="ecglib")
class Scalogram(FrequencyBandLayer):
    """Power of a continuous wavelet transform over time, in dB re 1 mV.

    The wavelets are analytic Morlet wavelets (Torrence and Compo, 1998) on logarithmically spaced
    frequencies. That of the frequency f multiplies the spectrum at the frequency v > 0 by
    ``2 * exp(-(w0 * (v / f - 1))**2 / 2)``: a Gaussian of the deviation ``f / w0``, and over time
    one of ``w0 / (2 * pi * f)``. This is the L1 normalisation: a sine of 1 mV reads 1 mV, or
    0 dB, at its frequency, whatever that is. Each value is the mean power P of the wavelet
    coefficients in one frame, so that nothing falls between frames; the output is
    ``10 * log10(P + floor_mv**2)``.

    The window is extended without end as by `ZeroPhaseFilter`, by its odd reflection about the
    line through its ends (up to a hop of samples that make a fast FFT are held on that line). A
    value nearer to the ends than the deviation of its wavelet leans on this extension.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    low_hz, high_hz : float
        Lowest and highest frequency in Hz, both included. ``low_hz=0`` starts at the lowest whose
        wavelet fits the window, ``high_hz=0`` ends at the Nyquist frequency. Near that a wavelet
        has only the part of its band below: what it would give on the continuous signal.
    bins_per_octave : int
        Frequencies in an octave at least. Those of 6 are 0.7 deviations of a wavelet of
        ``w0=6`` apart.
    hop_s : float
        Length of a frame in s, rounded to whole samples. Frames follow each other without gap or
        overlap from the start of the window; an unfinished last one is left out.
    w0 : float
        Cycles in ``2 * pi`` deviations of the wavelet: more sharpen frequency and blur time.
    floor_mv : float
        Amplitude in mV that silence reads; 1e-3 mV is -60 dB.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_frames, n_bins, n_leads) in dB re 1 mV.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency, or, once the length of the window is known,
        if that is shorter than a frame or than four deviations of the lowest wavelet, which hold
        95 % of it.
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
        **kwargs,
    ):
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        is_whole = isinstance(bins_per_octave, int) and not isinstance(bins_per_octave, bool)
        if not is_whole or not 1 <= bins_per_octave <= 48:
            raise ExperimentError(
                "bins_per_octave must be a whole number from 1 to 48. Received: "
                f"bins_per_octave={bins_per_octave!r}."
            )
        self.bins_per_octave = bins_per_octave
        self.hop_s = number("hop_s", hop_s, "s")
        # Below 5 a Morlet wavelet does not vanish at 0 Hz.
        self.w0 = number("w0", w0, "radians", minimum=5.0)
        self.floor_mv = number("floor_mv", floor_mv, "mV", minimum=1e-12)
        self.n_hop = round(self.hop_s * self.sampling_rate)
        if self.n_hop < 1:
            raise ExperimentError(
                f"hop_s must be at least one sample. Received: hop_s={self.hop_s:g}. Set hop_s to "
                f"{1 / self.sampling_rate:.4g} s or more."
            )

    def n_frames(self, n_samples: int) -> int:
        """Give the number of frames in a window, or say that it is shorter than one."""
        if n_samples < self.n_hop:
            seconds = n_samples / self.sampling_rate
            raise ExperimentError(
                f"A scalogram frame of hop_s={self.hop_s:g} s is longer than the ECG window of "
                f"{seconds:.4g} s. Set hop_s to {seconds:.4g} or less."
            )
        return n_samples // self.n_hop

    def lowest_hz(self, n_samples: int) -> float:
        """Give the lowest frequency in Hz whose wavelet fits: four deviations in the window."""
        return 4 * self.w0 / (2 * math.pi) * self.sampling_rate / n_samples

    def frequencies_hz(self, n_samples: int) -> np.ndarray:
        """Give the frequency of each bin in Hz, or say that the lowest does not fit."""
        lowest = self.lowest_hz(n_samples)
        seconds = n_samples / self.sampling_rate
        if self.low_hz and self.low_hz < lowest - 1e-9:
            w0 = self.w0 * self.low_hz / lowest
            other = f", or w0 to {math.floor(w0 * 100) / 100:g} or less" if w0 >= 5 else ""
            raise ExperimentError(
                f"A wavelet of low_hz={self.low_hz:g} Hz and w0={self.w0:g} needs "
                f"{round_up(seconds * lowest / self.low_hz)} s, and the ECG window has "
                f"{seconds:.4g} s. Set low_hz to {round_up(lowest)} or more, or to 0 to start at "
                f"the lowest that fits{other}."
            )
        low_hz, high_hz = self.low_hz or lowest, self.high_hz or self.sampling_rate / 2
        if low_hz >= high_hz:
            raise ExperimentError(
                f"No wavelet below high_hz={high_hz:g} Hz fits the ECG window of {seconds:.4g} s: "
                f"the lowest is {low_hz:.4g} Hz. Set high_hz to more, or take longer windows."
            )
        octaves = math.log2(high_hz / low_hz)
        return np.geomspace(low_hz, high_hz, math.ceil(octaves * self.bins_per_octave - 1e-9) + 1)

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``time_s`` (n_frames,), the middle of each frame, and ``frequency_hz`` (n_bins,)."""
        return {
            "time_s": (np.arange(self.n_frames(n_samples)) + 0.5) * self.n_hop / self.sampling_rate,
            "frequency_hz": self.frequencies_hz(n_samples),
        }

    def build(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        frequencies = self.frequencies_hz(n_samples)
        # The period is a whole number of hops, so that a grid with a whole number of points in
        # a hop closes.
        n_hops = next_fast_len(math.ceil(n_samples / self.n_hop), real=True)
        self._half = n_hops * self.n_hop
        reach = self.w0 + math.sqrt(-2 * math.log(NO_RESPONSE))
        highest = np.minimum(frequencies * reach / self.w0, self.sampling_rate / 2)
        points = [
            next_fast_len(max(2, math.ceil(hz * self.n_hop / self.sampling_rate - 1e-9)))
            for hz in highest
        ]
        # Coefficients whose spectrum ends at v need no more than v points a second: wavelets that
        # need as many points in a hop share one short inverse transform.
        self._groups = []
        for n_points in sorted(set(points)):
            own = frequencies[[p == n_points for p in points]]
            n_grid = 2 * n_hops * n_points
            bins = np.arange(min(n_grid, self._half))
            hz = bins * self.sampling_rate / (2 * self._half)
            response = 2 * np.exp(-((self.w0 * (hz / own[:, None] - 1)) ** 2) / 2)
            self._groups.append((n_points, n_grid, response / (2 * self._half)))
        self.built = True

    def call(self, inputs):
        n_samples, n_leads = inputs.shape[1:]
        n_frames = self.n_frames(n_samples)
        x = ops.transpose(inputs, (0, 2, 1))
        first, last = x[..., :1], x[..., -1:]
        ramp = ops.convert_to_tensor(np.linspace(0.0, 1.0, n_samples), self.compute_dtype)
        x = x - (first + (last - first) * ramp)
        x = ops.pad(x, ((0, 0), (0, 0), (0, self._half + 1 - n_samples)))
        # The spectrum of an odd signal is imaginary, and so its transform back is that of a real
        # sequence: half the work, and the second half, which mirrors the first, is not computed.
        _, spectrum = ops.rfft(ops.concatenate([x, -ops.flip(x[..., 1:-1], axis=-1)], axis=-1))
        powers = []
        for n_points, n_grid, response in self._groups:
            own = ops.convert_to_tensor(response, self.compute_dtype)
            own = spectrum[:, :, None, : response.shape[1]] * own
            own = ops.pad(own, ((0, 0), (0, 0), (0, 0), (0, n_grid - response.shape[1])))
            real, imag = ops.rfft(own)
            power = (ops.square(real) + ops.square(imag))[..., : n_frames * n_points + 1]
            # The mean of each frame by the trapezoidal rule: its two ends count half.
            shape = (-1, n_leads, len(response), n_frames, n_points)
            mean = ops.mean(ops.reshape(power[..., :-1], shape), axis=-1)
            ends = power[..., ::n_points]
            powers.append(mean + (ends[..., 1:] - ends[..., :-1]) / (2 * n_points))
        decibel = 10.0 * ops.log10(ops.concatenate(powers, axis=2) + self.floor_mv**2)
        return ops.transpose(decibel, (0, 3, 2, 1))

    def compute_output_shape(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        n_bins = len(self.frequencies_hz(n_samples))
        return (input_shape[0], self.n_frames(n_samples), n_bins, input_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "bins_per_octave": self.bins_per_octave,
            "hop_s": self.hop_s,
            "w0": self.w0,
            "floor_mv": self.floor_mv,
        }
