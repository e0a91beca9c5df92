"""Filtering as a Keras layer, so that the pipeline and an exported model do the same."""

import ecglib.quiet  # noqa: F401

import math

import keras
import numpy as np
from keras import ops
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError


def number(name: str, value: float, unit: str, minimum: float = 0.0) -> float:
    """Give ``value`` as a float, or say that it is no finite number of at least ``minimum``."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < minimum:
        raise ExperimentError(
            f"{name} must be a number of at least {minimum:g} {unit}. Received: {name}={value!r}."
        )
    return float(value)


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


@keras.saving.register_keras_serializable(package="ecglib")
class BandPass(SignalLayer):
    """Zero-phase Butterworth band-pass filter, applied as a multiplication of the spectrum.

    The gain at each frequency is the squared magnitude of the digital Butterworth filter: that of
    ``scipy.signal.sosfiltfilt``, which filters forwards and backwards, and therefore a half
    (-6 dB) at the edges. The window is extended on both sides by its odd reflection, as
    ``sosfiltfilt`` does, but without an end: less the line through its first and last sample, the
    extended window is periodic, and the Fourier transform filters the endless signal. The ends of
    a finite padding show unless it is several seconds long: ``sosfiltfilt`` with 3 s at an edge of
    0.5 Hz is off by up to 0.02 mV.

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
            if edge >= nyquist:
                raise ExperimentError(
                    f"{name}={edge:g} Hz is not below the Nyquist frequency of {nyquist:g} Hz at a "
                    f"sampling rate of {self.sampling_rate:g} Hz. Choose an edge below "
                    f"{nyquist:g} Hz, set {name}=0 to leave the band open on that side, or "
                    f"prepare the dataset at more than {2 * edge:g} Hz."
                )
        if self.high_hz and self.low_hz >= self.high_hz:
            raise ExperimentError(
                f"low_hz must be below high_hz. Received: low_hz={self.low_hz:g}, "
                f"high_hz={self.high_hz:g} (the Nyquist frequency is {nyquist:g} Hz). Give the "
                "edges in rising order, or 0 to leave the band open on a side."
            )

    def build(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        period = 2 * (n_samples - 1)
        # An FFT whose length has a large prime factor is slow (9998 samples: 2.4 times 10000). The
        # few samples that make a fast length go into the middle of the reflection, half a window
        # away, where the filter reaches with less than a thousandth; or else the period is kept.
        fast = next_fast_len(period, real=True)
        far = np.fft.irfft(self._gain_of_length(fast), fast)[n_samples // 2 : fast - n_samples // 2]
        self._length = fast if np.abs(far).sum() < 1e-3 else period
        self._gain = self._gain_of_length(self._length)
        self._ramp = np.linspace(0.0, 1.0, n_samples)
        self.built = True

    def _gain_of_length(self, length: int) -> np.ndarray:
        return self.gain(np.fft.rfftfreq(length, 1 / self.sampling_rate))

    def gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Give the gain of the filter, from 0 to 1, at each frequency in Hz."""

        # The bilinear transform takes the frequency axis of the analogue filter to its tangent.
        def warped(hz):
            return np.tan(np.pi * np.asarray(hz) / self.sampling_rate)

        w, low, high = warped(frequencies_hz), warped(self.low_hz), warped(self.high_hz)
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
        if not self.low_hz and not self.high_hz:
            return inputs
        dtype = self.compute_dtype
        n_samples = inputs.shape[1]
        n_more = self._length - 2 * (n_samples - 1)
        x = ops.transpose(inputs, (0, 2, 1))
        first, last = x[..., :1], x[..., -1:]
        line = first + (last - first) * ops.convert_to_tensor(self._ramp, dtype)
        x = x - line
        middle = n_samples // 2
        more = ops.repeat(x[..., middle : middle + 1], n_more, axis=-1)
        reflected = ops.concatenate([x[..., 1:middle], more, x[..., middle:-1]], axis=-1)
        real, imag = ops.rfft(ops.concatenate([x, -ops.flip(reflected, axis=-1)], axis=-1))
        gain = ops.convert_to_tensor(self._gain, dtype)
        x = ops.irfft((real * gain, imag * gain), fft_length=self._length)[..., :n_samples]
        # The filter takes a line to zero if it has a lower edge, and leaves it as it is if not.
        if not self.low_hz:
            x = x + line
        return ops.transpose(x, (0, 2, 1))

    def compute_output_shape(self, input_shape):
        self.n_samples_of(input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
            "order": self.order,
        }
