"""Zero-phase filters.

To remove a wandering baseline, use ``BandPass`` as a high-pass: ``low_hz=0.5, high_hz=0``.
"""

from ecglib._keras import Tensor

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError
from ecglib.preprocessing.signal_layer import SignalLayer, check_number

#: Up to this many samples a matrix product filters faster than Fourier transforms do. Measured on
#: two cores in batches of 64 windows, the speed-up is 2 to 3.5 at 480 samples, 1.2 to 1.6 at 1000
#: to 1200 samples, and 0.8 at 2500 samples.
MAX_MATRIX_SAMPLES = 1200


class ZeroPhaseFilter(SignalLayer):
    """Base of the zero-phase filters, which multiply the spectrum by a real gain.

    A subclass implements `compute_gain`.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Notes
    -----
    The window is extended on both sides by its odd reflection, as in ``scipy.signal.sosfiltfilt``,
    but infinitely: minus the line through its first and last sample, the extended window is
    periodic, and the Fourier transform filters the infinite signal. A finite padding distorts the
    ends of the window unless it is several seconds long: ``sosfiltfilt`` with a padding of 3 s and
    an edge of 0.5 Hz has errors of up to 0.02 mV. Windows of up to ``MAX_MATRIX_SAMPLES`` samples
    are multiplied by one matrix that does all of this.

    Examples
    --------
    >>> class Half(ZeroPhaseFilter):
    ...     def compute_gain(self, frequencies_hz):
    ...         return np.full_like(frequencies_hz, 0.5)
    >>> x = np.array([0.0, 2.0, 0.0, -2.0, 0.0], "float32").reshape(1, 5, 1)
    >>> np.round(Half(100)(x), 4)[0, :, 0].tolist()
    [0.0, 1.0, 0.0, -1.0, 0.0]
    """

    def compute_gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Return the gain of the filter, from 0 to 1, at each frequency in Hz."""
        raise NotImplementedError

    def check_below_nyquist(self, name: str, edge_hz: float, remedy: str) -> None:
        """Check that a frequency is below the Nyquist frequency.

        Parameters
        ----------
        name : str
            Name of the argument, for the error.
        edge_hz : float
            The frequency in Hz.
        remedy : str
            What to do other than to prepare the dataset at a higher rate, for the error.

        Raises
        ------
        ExperimentError
            If `edge_hz` is not below the Nyquist frequency.
        """
        nyquist_hz = self.sampling_rate / 2
        if edge_hz >= nyquist_hz:
            raise ExperimentError(
                f"`{name}={edge_hz:g}` must be below the Nyquist frequency of {nyquist_hz:g} Hz at "
                f"a sampling rate of {self.sampling_rate:g} Hz. {remedy}, or prepare the dataset "
                f"at more than {2 * edge_hz:g} Hz."
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        n_samples = self.get_n_samples(input_shape)
        if n_samples <= MAX_MATRIX_SAMPLES:
            self._even, self._odd = self._compute_half_matrices(n_samples)
        else:
            self._length = self._choose_fft_length(n_samples)
            self._gain = self._compute_gain_of_fft(self._length)
            self._ramp = np.linspace(0.0, 1.0, n_samples)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.shape[1] <= MAX_MATRIX_SAMPLES:
            return self._filter_by_matrices(inputs)
        return self._filter_by_fft(inputs)

    def _compute_half_matrices(self, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute the filter as two square matrices of (n_samples + 1) // 2 rows."""
        # The filter of windows of one length is one matrix. It is symmetric in time, so even
        # windows stay even and odd windows stay odd: two matrices of half the size are enough.
        fft_length = 2 * n_samples - 2
        response = np.fft.irfft(self._compute_gain_of_fft(fft_length), fft_length)
        at = np.arange(n_samples)
        # The extended window contains each sample a second time, reflected and negated.
        matrix = response[abs(at[:, None] - at)] - response[(at[:, None] + at) % len(response)]
        ramp = np.linspace(0.0, 1.0, n_samples)
        ends = np.stack([ramp[::-1], ramp], axis=1)  # the line, by its first and last sample
        # The infinite line only has the frequency 0 Hz: the filter removes it or keeps it.
        matrix[:, [0, -1]] = (ends if response.sum() > 0.5 else 0.0) - matrix @ ends
        half = (n_samples + 1) // 2
        head, tail = matrix[:half, :half], matrix[:half, ::-1][:, :half]
        even, odd = (head + tail) / 2, (head - tail) / 2
        if n_samples % 2:
            even[:, -1] /= 2  # the middle sample is in both halves
        return even, odd

    def _filter_by_matrices(self, x: Tensor) -> Tensor:
        n_samples, half = x.shape[1], len(self._even)
        even_matrix = ops.convert_to_tensor(self._even, self.compute_dtype)
        odd_matrix = ops.convert_to_tensor(self._odd, self.compute_dtype)
        head, tail = x[:, :half], ops.flip(x[:, n_samples - half :], axis=1)
        even = ops.einsum("oi,bil->bol", even_matrix, head + tail)
        odd = ops.einsum("oi,bil->bol", odd_matrix, head - tail)
        filtered_tail = ops.flip((even - odd)[:, : n_samples - half], axis=1)
        return ops.concatenate([even + odd, filtered_tail], axis=1)

    def _choose_fft_length(self, n_samples: int) -> int:
        """Return a number of samples for the window and its reflection that an FFT is fast at."""
        # An FFT is slow if its length has a large prime factor (9998 samples take 2.4 times as
        # long as 10000). The few samples that make the length a fast one are inserted in the
        # middle of the reflection, half a window away, if less than a thousandth of the filter's
        # response reaches there; otherwise the length stays one period.
        period = 2 * (n_samples - 1)
        fast = next_fast_len(period, real=True)
        response = np.fft.irfft(self._compute_gain_of_fft(fast), fast)
        far = response[n_samples // 2 : fast - n_samples // 2]
        return fast if np.abs(far).sum() < 1e-3 else period

    def _compute_gain_of_fft(self, length: int) -> np.ndarray:
        return self.compute_gain(np.fft.rfftfreq(length, 1 / self.sampling_rate))

    def _filter_by_fft(self, x: Tensor) -> Tensor:
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

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self.get_n_samples(input_shape)
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="ecglib")
class BandPass(ZeroPhaseFilter):
    """Filter windows with a zero-phase Butterworth band-pass, low-pass or high-pass.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    low_hz, high_hz : float
        Edges of the band in Hz. 0 leaves the band open on that side: ``low_hz=0`` is a low-pass,
        ``high_hz=0`` a high-pass filter, and with both 0 nothing is filtered.
    order : int, default 3
        Order of the Butterworth filter, from 1 to 10, before it is applied twice.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If an edge is not below the Nyquist frequency, if the edges are not in rising order, or if
        `order` is not a whole number from 1 to 10.

    Notes
    -----
    The gain at each frequency is the squared magnitude of the digital Butterworth filter. It
    equals that of ``scipy.signal.sosfiltfilt``, which filters forwards and backwards, and is 0.5
    (-6 dB) at the edges. The ends of the window are treated as `ZeroPhaseFilter` says.

    Examples
    --------
    >>> layer = BandPass(100, low_hz=0.5, high_hz=40)
    >>> layer.compute_gain(np.array([0.0, 0.5, 10.0, 40.0])).round(2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    >>> offset = np.full((1, 300, 1), 2.0, "float32")
    >>> bool(np.abs(np.asarray(layer(offset))).max() < 1e-5)
    True
    """

    def __init__(
        self, sampling_rate: float, low_hz: float, high_hz: float, order: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.low_hz = check_number("low_hz", low_hz, "Hz")
        self.high_hz = check_number("high_hz", high_hz, "Hz")
        if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 10:
            raise ExperimentError(f"`order={order!r}` must be a whole number from 1 to 10.")
        self.order = order
        nyquist_hz = self.sampling_rate / 2
        for name, edge_hz in (("low_hz", self.low_hz), ("high_hz", self.high_hz)):
            remedy = (
                f"Choose an edge below {nyquist_hz:g} Hz, set {name}=0 to leave the band open on "
                "that side"
            )
            self.check_below_nyquist(name, edge_hz, remedy)
        if self.high_hz and self.low_hz >= self.high_hz:
            raise ExperimentError(
                f"`low_hz={self.low_hz:g}` must be below `high_hz={self.high_hz:g}`. Give the "
                f"edges in rising order and below the Nyquist frequency of {nyquist_hz:g} Hz, or "
                "0 to leave the band open on that side."
            )

    def compute_gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Return the gain of the filter, from 0 to 1, at each frequency in Hz."""
        w = _warp(frequencies_hz, self.sampling_rate)
        low = _warp(self.low_hz, self.sampling_rate)
        high = _warp(self.high_hz, self.sampling_rate)
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

    def call(self, inputs: Tensor) -> Tensor:
        return super().call(inputs) if self.low_hz or self.high_hz else inputs

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
            "order": self.order,
        }


@keras.saving.register_keras_serializable(package="ecglib")
class Notch(ZeroPhaseFilter):
    """Remove the mains frequency and its harmonics with zero-phase notch filters.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    mains_hz : float
        Mains frequency in Hz: 50, or 60 in the Americas and parts of Asia.
    width_hz : float, default 2.0
        Width of each notch in Hz, between the two frequencies whose amplitude is halved. The mains
        frequency drifts by about 0.1 Hz. A narrower notch rings for longer, about ``1 / width_hz``
        seconds.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If `mains_hz` is not below the Nyquist frequency, or if the notches are so wide that they
        touch each other or 0 Hz.

    Notes
    -----
    The gain at each frequency is the squared magnitude of ``scipy.signal.iirnotch``, as applied by
    ``filtfilt``, multiplied over all harmonics below the Nyquist frequency: 0 at a harmonic, 0.5
    (-6 dB) at a distance of ``width_hz / 2`` from it. The ends of the window are treated as
    `ZeroPhaseFilter` says.

    Examples
    --------
    >>> notch = Notch(500, mains_hz=60)
    >>> notch.compute_harmonics_hz().tolist()
    [60.0, 120.0, 180.0, 240.0]
    >>> mains = np.sin(2 * np.pi * 60 * np.arange(1000) / 500).astype("float32")
    >>> y = np.asarray(notch(mains.reshape(1, 1000, 1)))
    >>> bool(np.abs(y[0, 400:600]).max() < 0.01)
    True
    """

    def __init__(
        self, sampling_rate: float, mains_hz: float, width_hz: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.mains_hz = check_number("mains_hz", mains_hz, "Hz", minimum=1.0)
        self.width_hz = check_number("width_hz", width_hz, "Hz", minimum=1e-3)
        self.check_below_nyquist(
            "mains_hz",
            self.mains_hz,
            "Omit the notch, because these windows cannot contain that frequency",
        )
        if self.width_hz >= self.mains_hz:
            raise ExperimentError(
                f"`width_hz={self.width_hz:g}` must be below `mains_hz={self.mains_hz:g}`, or the "
                "notches touch. A width of 1 to 2 Hz is usual."
            )

    def compute_harmonics_hz(self) -> np.ndarray:
        """Return the frequencies in Hz that are removed: the harmonics below Nyquist."""
        n = math.ceil(self.sampling_rate / 2 / self.mains_hz - 1e-9)
        return self.mains_hz * np.arange(1, n)

    def compute_gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """Return the gain of the filter, from 0 to 1, at each frequency in Hz."""
        w = _warp(frequencies_hz, self.sampling_rate)
        width = _warp(self.width_hz, self.sampling_rate)
        gain = np.ones_like(w)
        for center in _warp(self.compute_harmonics_hz(), self.sampling_rate):
            distance = (w**2 - center**2) ** 2
            gain = gain * distance / (distance + (w * width * (1 + center**2)) ** 2)
        return gain

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mains_hz": self.mains_hz, "width_hz": self.width_hz}


def _warp(frequencies_hz: np.ndarray | float, sampling_rate: float) -> np.ndarray:
    """Return the frequencies of the analog filter that the bilinear transform maps to these."""
    return np.tan(np.pi * np.asarray(frequencies_hz, dtype=float) / sampling_rate)
