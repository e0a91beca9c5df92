"""Filters as Keras layers, so that the pipeline and an exported model do the same.

A wandering baseline is taken off by ``BandPass`` as a high-pass, ``low_hz=0.5, high_hz=0``.
"""

import ecglib.quiet  # noqa: F401

import math

import keras
import numpy as np
import pywt
from keras import ops
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError, require_one_of

# Samples up to which a filter as a matrix is faster than by Fourier transforms. On two cores, in
# batches of 64 windows: 480 samples 2 to 3.5 times, 1000 to 1200 1.2 to 1.6 times, 2500 0.8 times.
LONGEST_MATRIX = 1200


def number(name: str, value: float, unit: str, minimum: float = 0.0) -> float:
    """Give ``value`` as a float, or say that it is no finite number of at least ``minimum``."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < minimum:
        raise ExperimentError(
            f"{name} must be a number of at least {minimum:g} {unit}. Received: {name}={value!r}."
        )
    return float(value)


def quantile_over_time(x, share: float):
    """Give the quantile of each lead over the samples, interpolated as NumPy does.

    The same on all backends: on PyTorch `keras.ops.median` takes the lower of two middles, and
    `keras.ops.quantile` computes in float32.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads), with a known n_samples
    share : float
        From 0 to 1; 0.5 is the median.

    Returns
    -------
    tensor of shape (n_windows, 1, n_leads)
    """
    ordered, place = ops.sort(x, axis=1), share * (x.shape[1] - 1)
    low = math.floor(place)
    below, above = ordered[:, low : low + 1], ordered[:, math.ceil(place) : math.ceil(place) + 1]
    return below + (above - below) * (place - low)


class SignalLayer(keras.layers.Layer):
    """What the layers that take ECG windows share.

    They compute in ``keras.config.floatx()`` also under a mixed-precision policy, because
    millivolts filtered in half precision are off by more than the noise of an electrode.

    Parameters
    ----------
    sampling_rate : float
        Samples a second of the windows, in Hz.
    """

    def __init__(self, sampling_rate: float, **kwargs):
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = keras.config.floatx()
        super().__init__(**kwargs)
        self.sampling_rate = number("sampling_rate", sampling_rate, "Hz")
        if self.sampling_rate == 0:
            raise ExperimentError("sampling_rate must be above 0 Hz. Received: sampling_rate=0.")

    def n_samples_of(self, input_shape: tuple) -> int:
        """Give the length of the windows, or say that ``input_shape`` is not that of windows."""
        if len(input_shape) != 3 or input_shape[1] is None or input_shape[1] < 2:
            raise ExperimentError(
                f"{type(self).__name__} takes windows of shape (n_windows, n_samples, n_leads) "
                f"with a known n_samples of at least 2. Received shape: {tuple(input_shape)}. "
                "Give the Input the n_samples of the dataset's signal contract."
            )
        return input_shape[1]

    def get_config(self):
        return {**super().get_config(), "sampling_rate": self.sampling_rate}


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


@keras.saving.register_keras_serializable(package="ecglib")
class WaveletDenoise(SignalLayer):
    """Takes noise off by soft thresholds in a discrete wavelet transform (VisuShrink).

    The method of Donoho and Johnstone (1994): the deviation of the noise is the median magnitude
    of the finest details over 0.6745; every detail is drawn to zero by that deviation times
    ``sqrt(2 * log(n_samples))``, for each window and lead by itself. The transform is that of
    ``pywt.wavedec(mode="symmetric")``. Unlike a band-pass it spares what stands out of the noise,
    such as the QRS complex, at all frequencies, though a soft threshold lowers that by some
    deviations of the noise. Waves about as small as the noise go with it.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    low_hz : float
        Details are thresholded in the octaves below the Nyquist frequency that lie above
        ``low_hz``; what is slower stays as it is, in Hz.
    wavelet : str
        Name of an orthogonal wavelet of PyWavelets.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Raises
    ------
    ExperimentError
        If no whole octave lies above ``low_hz``, if PyWavelets has no such orthogonal wavelet,
        or, once the length of the window is known, if that is too short for the lowest octave.
    """

    def __init__(self, sampling_rate: float, low_hz: float = 4.0, wavelet: str = "sym4", **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.low_hz = number("low_hz", low_hz, "Hz", minimum=1e-3)
        known = pywt.wavelist(kind="discrete")
        require_one_of(
            "wavelet", wavelet, [name for name in known if pywt.Wavelet(name).orthogonal]
        )
        self.wavelet = wavelet
        nyquist = self.sampling_rate / 2
        self.n_levels = math.floor(math.log2(nyquist / self.low_hz) + 1e-9)
        if self.n_levels < 1:
            raise ExperimentError(
                f"low_hz={self.low_hz:g} leaves no octave below the Nyquist frequency of "
                f"{nyquist:g} Hz. Set low_hz to {nyquist / 2:g} or less."
            )

    def _check_length(self, n_samples: int) -> None:
        deepest = pywt.dwt_max_level(n_samples, self.wavelet)
        if deepest < self.n_levels:
            least = (pywt.Wavelet(self.wavelet).dec_len - 1) * 2**self.n_levels
            remedy = f"Set low_hz to {self.sampling_rate / 2 ** (deepest + 1):g} or more, or give"
            raise ExperimentError(
                f"{self.n_levels} octaves of {self.wavelet!r} above low_hz={self.low_hz:g} Hz need "
                f"{least} samples, and the window has {n_samples}. "
                f"{remedy if deepest else 'Give'} windows of {least} samples or more."
            )

    def build(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        self._check_length(n_samples)
        filters = pywt.Wavelet(self.wavelet)
        # Convolutions of Keras are correlations: the filters run backwards.
        self._analysis = np.stack([filters.dec_lo[::-1], filters.dec_hi[::-1]], axis=1)[:, None]
        self._synthesis = np.stack([filters.rec_lo[::-1], filters.rec_hi[::-1]], axis=1)[..., None]
        self._threshold = math.sqrt(2 * math.log(n_samples)) / 0.6745
        self.built = True

    def call(self, inputs):
        n_samples, n_leads = inputs.shape[1:]
        x = ops.reshape(ops.transpose(inputs, (0, 2, 1)), (-1, n_samples, 1))
        details = []
        for _ in range(self.n_levels):
            x, detail = self._split(x)
            details.append(detail)
        noise = quantile_over_time(ops.abs(details[0]), 0.5) * self._threshold
        for detail in reversed(details):
            drawn = ops.sign(detail) * ops.relu(ops.abs(detail) - noise)
            x = self._join(x[:, : detail.shape[1]], drawn)
        return ops.transpose(ops.reshape(x[:, :n_samples], (-1, n_leads, n_samples)), (0, 2, 1))

    def _split(self, x):
        """One level: (n, n_samples, 1) to two of (n, about n_samples / 2, 1)."""
        n_taps = len(self._analysis)
        # Not `ops.pad(mode="symmetric")`: on PyTorch that repeats the last sample.
        before, after = x[:, : n_taps - 2], x[:, -(n_taps - 1) :]
        x = ops.concatenate([ops.flip(before, axis=1), x, ops.flip(after, axis=1)], axis=1)
        kernel = ops.convert_to_tensor(self._analysis, self.compute_dtype)
        x = ops.conv(x, kernel, strides=2, padding="valid", data_format="channels_last")
        return x[..., :1], x[..., 1:]

    def _join(self, x, detail):
        """Undo `_split`: zeros between the coefficients, then the filters, then their sum."""
        n = x.shape[1]
        x = ops.concatenate([x, detail], axis=-1)[:, :, None]
        x = ops.reshape(ops.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0))), (-1, 2 * n, 2))
        kernel = ops.convert_to_tensor(self._synthesis, self.compute_dtype)
        x = ops.pad(x, ((0, 0), (1, 0), (0, 0)))
        return ops.conv(x, kernel, strides=1, padding="valid", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        self._check_length(self.n_samples_of(input_shape))
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "low_hz": self.low_hz, "wavelet": self.wavelet}
