"""Zero-phase filters.

A wandering baseline is taken off by ``BandPass`` as a high-pass, ``low_hz=0.5, high_hz=0``.
"""

import math

import keras
import numpy as np
from keras import ops
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError
from ecglib.preprocessing.signal_layer import SignalLayer, number

# Samples up to which a filter as a matrix is faster than by Fourier transforms. On two cores, in
# batches of 64 windows: 480 samples 2 to 3.5 times, 1000 to 1200 1.2 to 1.6 times, 2500 0.8 times.
LONGEST_MATRIX = 1200


class ZeroPhaseFilter(SignalLayer):
    """A filter that is a multiplication of the spectrum by a real gain; a subclass gives that.

    The window is extended on both sides by its odd reflection, as ``scipy.signal.sosfiltfilt``
    does, but without an end: less the line through its first and last sample, the extended window
    is periodic, and the Fourier transform filters the endless signal. The ends of a finite padding
    show unless it is several seconds long: ``sosfiltfilt`` with 3 s at an edge of 0.5 Hz is off by
    up to 0.02 mV. Windows of up to ``LONGEST_MATRIX`` samples are multiplied by the matrix that all
    this amounts to.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.
    """

    def gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Give the gain of the filter, from 0 to 1, at each frequency in Hz."""
        raise NotImplementedError

    def require_below_nyquist(self, name: str, edge_hz: float, remedy: str) -> None:
        """Refuse a frequency at which the filter cannot work.

        Raises
        ------
        ExperimentError
            If ``edge_hz`` is not below the Nyquist frequency.
        """
        nyquist = self.sampling_rate / 2
        if edge_hz >= nyquist:
            raise ExperimentError(
                f"{name}={edge_hz:g} Hz is not below the Nyquist frequency of {nyquist:g} Hz at a "
                f"sampling rate of {self.sampling_rate:g} Hz. {remedy}, or prepare the dataset at "
                f"more than {2 * edge_hz:g} Hz."
            )

    def build(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        if n_samples <= LONGEST_MATRIX:
            self._even, self._odd = self._halves(n_samples)
        else:
            self._length = self._fast_length(n_samples)
            self._gain = self._gain_of_length(self._length)
            self._ramp = np.linspace(0.0, 1.0, n_samples)
        self.built = True

    def call(self, inputs):
        if inputs.shape[1] <= LONGEST_MATRIX:
            return self._multiplied(inputs)
        return self._transformed(inputs)

    def _halves(self, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """The filter as two matrices, each (n_samples + 1) // 2 square.

        The whole filter of windows of one length is one matrix. It is the same backwards in time,
        so it takes even windows to even and odd ones to odd: two matrices of half the size do.
        """
        response = np.fft.irfft(self._gain_of_length(2 * n_samples - 2), 2 * n_samples - 2)
        at = np.arange(n_samples)
        # Each sample stands in the extended window once more, reflected and negative.
        matrix = response[abs(at[:, None] - at)] - response[(at[:, None] + at) % len(response)]
        ramp = np.linspace(0.0, 1.0, n_samples)
        ends = np.stack([ramp[::-1], ramp], axis=1)  # the line, of the first and the last sample
        # The endless line has no frequency but 0 Hz: the filter takes it to zero or leaves it.
        matrix[:, [0, -1]] = (ends if response.sum() > 0.5 else 0.0) - matrix @ ends
        half = (n_samples + 1) // 2
        head, tail = matrix[:half, :half], matrix[:half, ::-1][:, :half]
        even, odd = (head + tail) / 2, (head - tail) / 2
        if n_samples % 2:
            even[:, -1] /= 2  # the sample in the middle is in both halves
        return even, odd

    def _multiplied(self, x):
        n_samples, half = x.shape[1], len(self._even)
        even, odd = (ops.convert_to_tensor(m, self.compute_dtype) for m in (self._even, self._odd))
        head, tail = x[:, :half], ops.flip(x[:, n_samples - half :], axis=1)
        even = ops.einsum("oi,bil->bol", even, head + tail)
        odd = ops.einsum("oi,bil->bol", odd, head - tail)
        tail = ops.flip((even - odd)[:, : n_samples - half], axis=1)
        return ops.concatenate([even + odd, tail], axis=1)

    def _fast_length(self, n_samples: int) -> int:
        """Samples of the window and its reflection.

        An FFT whose length has a large prime factor is slow (9998 samples: 2.4 times 10000). The
        few samples that make a fast length go into the middle of the reflection, half a window
        away, where the filter reaches with less than a thousandth; or else the period is kept.
        """
        period = 2 * (n_samples - 1)
        fast = next_fast_len(period, real=True)
        far = np.fft.irfft(self._gain_of_length(fast), fast)[n_samples // 2 : fast - n_samples // 2]
        return fast if np.abs(far).sum() < 1e-3 else period

    def _gain_of_length(self, length: int) -> np.ndarray:
        return self.gain(np.fft.rfftfreq(length, 1 / self.sampling_rate))

    def _transformed(self, x):
        dtype = self.compute_dtype
        n_samples = x.shape[1]
        n_more = self._length - 2 * (n_samples - 1)
        x = ops.transpose(x, (0, 2, 1))
        first, last = x[..., :1], x[..., -1:]
        line = first + (last - first) * ops.convert_to_tensor(self._ramp, dtype)
        x = x - line
        middle = n_samples // 2
        more = ops.repeat(x[..., middle : middle + 1], n_more, axis=-1)
        reflected = ops.concatenate([x[..., 1:middle], more, x[..., middle:-1]], axis=-1)
        real, imag = ops.rfft(ops.concatenate([x, -ops.flip(reflected, axis=-1)], axis=-1))
        gain = ops.convert_to_tensor(self._gain, dtype)
        x = ops.irfft((real * gain, imag * gain), fft_length=self._length)[..., :n_samples]
        if self._gain[0]:
            x = x + line
        return ops.transpose(x, (0, 2, 1))

    def compute_output_shape(self, input_shape):
        self.n_samples_of(input_shape)
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="ecglib")
class BandPass(ZeroPhaseFilter):
    """Zero-phase Butterworth band-pass filter; as a high-pass it takes the baseline off.

    The gain at each frequency is the squared magnitude of the digital Butterworth filter: that of
    ``scipy.signal.sosfiltfilt``, which filters forwards and backwards, and therefore a half
    (-6 dB) at the edges. The ends of the window are those of `ZeroPhaseFilter`.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    low_hz, high_hz : float
        The edges of the band in Hz. 0 leaves the band open on that side: ``low_hz=0`` is a
        low-pass, ``high_hz=0`` a high-pass filter, and both 0 do not filter at all.
    order : int
        Order of the Butterworth filter, before it is applied twice.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Raises
    ------
    ExperimentError
        If an edge is not below the Nyquist frequency, or if the edges are not in order.
    """

    def __init__(
        self, sampling_rate: float, low_hz: float, high_hz: float, order: int = 3, **kwargs
    ):
        super().__init__(sampling_rate, **kwargs)
        self.low_hz = number("low_hz", low_hz, "Hz")
        self.high_hz = number("high_hz", high_hz, "Hz")
        if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 10:
            raise ExperimentError(
                f"order must be a whole number from 1 to 10. Received: {order!r}."
            )
        self.order = order
        nyquist = self.sampling_rate / 2
        for name, edge in (("low_hz", self.low_hz), ("high_hz", self.high_hz)):
            remedy = (
                f"Choose an edge below {nyquist:g} Hz, set {name}=0 to leave the band open on that "
                "side"
            )
            self.require_below_nyquist(name, edge, remedy)
        if self.high_hz and self.low_hz >= self.high_hz:
            raise ExperimentError(
                f"low_hz must be below high_hz. Received: low_hz={self.low_hz:g}, "
                f"high_hz={self.high_hz:g} (the Nyquist frequency is {nyquist:g} Hz). Give the "
                "edges in rising order, or 0 to leave the band open on a side."
            )

    def gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Give the gain of the filter, from 0 to 1, at each frequency in Hz."""
        w, low, high = (
            _warped(hz, self.sampling_rate) for hz in (frequencies_hz, self.low_hz, self.high_hz)
        )
        with np.errstate(divide="ignore", over="ignore"):
            if self.low_hz and self.high_hz:
                x = (w**2 - low * high) / (w * (high - low))
            elif self.low_hz:
                x = low / w
            elif self.high_hz:
                x = w / high
            else:
                x = np.zeros_like(w)
            return 1 / (1 + x ** (2 * self.order))

    def call(self, inputs):
        return super().call(inputs) if self.low_hz or self.high_hz else inputs

    def get_config(self):
        return {
            **super().get_config(),
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
            "order": self.order,
        }


@keras.saving.register_keras_serializable(package="ecglib")
class Notch(ZeroPhaseFilter):
    """Zero-phase notch filter at the frequency of the mains and its harmonics.

    The gain at each frequency is the squared magnitude of ``scipy.signal.iirnotch``, that of
    ``filtfilt``, multiplied over all harmonics below the Nyquist frequency: 0 at the harmonic, a
    half (-6 dB) at ``width_hz / 2`` from it. The ends of the window are those of
    `ZeroPhaseFilter`.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    mains_hz : float
        Frequency of the mains in Hz: 50, or 60 in the Americas and parts of Asia.
    width_hz : float
        Width in Hz of each notch between the two frequencies whose amplitude is halved. The mains
        wander by some 0.1 Hz; a narrower notch rings for longer, about ``1 / width_hz`` seconds.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Raises
    ------
    ExperimentError
        If the frequency is not below the Nyquist frequency, or if the notches are so wide that
        they touch each other or 0 Hz.
    """

    def __init__(self, sampling_rate: float, mains_hz: float, width_hz: float = 2.0, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.mains_hz = number("mains_hz", mains_hz, "Hz", minimum=1.0)
        self.width_hz = number("width_hz", width_hz, "Hz", minimum=1e-3)
        self.require_below_nyquist(
            "mains_hz", self.mains_hz, "Leave the notch out: no mains is in the windows"
        )
        if self.width_hz >= self.mains_hz:
            raise ExperimentError(
                f"width_hz must be below mains_hz, or the notches touch. Received: "
                f"width_hz={self.width_hz:g}, mains_hz={self.mains_hz:g}. A width of 1 to 2 Hz is "
                "usual."
            )

    def harmonics_hz(self) -> np.ndarray:
        """Give the frequencies that are taken out: multiples of the mains below Nyquist, in Hz."""
        n = math.ceil(self.sampling_rate / 2 / self.mains_hz - 1e-9)
        return self.mains_hz * np.arange(1, n)

    def gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Give the gain of the filter, from 0 to 1, at each frequency in Hz."""
        w = _warped(frequencies_hz, self.sampling_rate)
        width = _warped(self.width_hz, self.sampling_rate)
        gain = np.ones_like(w)
        for at in _warped(self.harmonics_hz(), self.sampling_rate):
            off = (w**2 - at**2) ** 2
            gain = gain * off / (off + (w * width * (1 + at**2)) ** 2)
        return gain

    def get_config(self):
        return {**super().get_config(), "mains_hz": self.mains_hz, "width_hz": self.width_hz}


def _warped(frequencies_hz: np.ndarray, sampling_rate: float) -> np.ndarray:
    """Frequencies as the bilinear transform has them: those of the analogue filter."""
    return np.tan(np.pi * np.asarray(frequencies_hz, dtype=float) / sampling_rate)
