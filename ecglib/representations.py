"""The views of a window: time series, frequency spectrum and spectrogram.

Each view is a Keras layer without weights that takes windows in mV and knows its output shape,
its axes in s and Hz and its unit before any data is read.
"""

from __future__ import annotations

import ecglib.quiet  # noqa: F401

import inspect
import math
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops
from scipy.signal import get_window

from ecglib.errors import ExperimentError
from ecglib.preprocessing import BandPass, SignalLayer, number

if TYPE_CHECKING:
    from ecglib.datasets.contract import SignalContract


@keras.saving.register_keras_serializable(package="ecglib")
class TimeView(SignalLayer):
    """The window as it is.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.
    """

    unit = "mV"

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``{"time_s": array of shape (n_samples,)}``, from the start of the window."""
        return {"time_s": np.arange(n_samples) / self.sampling_rate}

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        self.n_samples_of(input_shape)
        return tuple(input_shape)


class _BandView(SignalLayer):
    """A view whose bins cover the band from ``low_hz`` to ``high_hz``.

    0 leaves the band open: it then starts at the first bin above 0 Hz (there is none at 0 Hz,
    since the mean is removed) or ends at the Nyquist frequency.
    """

    def __init__(self, sampling_rate: float, low_hz: float, high_hz: float, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.low_hz = number("low_hz", low_hz, "Hz")
        self.high_hz = number("high_hz", high_hz, "Hz")
        nyquist = self.sampling_rate / 2
        if self.high_hz > nyquist:
            raise ExperimentError(
                f"high_hz={self.high_hz:g} Hz is above the Nyquist frequency of {nyquist:g} Hz at "
                f"a sampling rate of {self.sampling_rate:g} Hz. Set high_hz to {nyquist:g} or "
                "less, or to 0 for all frequencies up to it."
            )
        if self.low_hz >= (self.high_hz or nyquist):
            raise ExperimentError(
                f"low_hz must be below high_hz. Received: low_hz={self.low_hz:g}, "
                f"high_hz={self.high_hz:g} (0 stands for the Nyquist frequency, {nyquist:g} Hz)."
            )

    def bins(self, n_window: int) -> np.ndarray:
        """Give the numbers of the Fourier bins, of a window of ``n_window`` samples, in the band.

        Raises
        ------
        ExperimentError
            If the window holds less than two periods of ``low_hz``, or the band no bin.
        """
        seconds = n_window / self.sampling_rate
        # The main lobe of the Hann window is two bins wide on each side: below two periods a
        # frequency cannot be told from the mean.
        if self.low_hz and self.low_hz * seconds < 2 - 1e-9:
            raise ExperimentError(
                f"{type(self).__name__} has a window of {seconds:.4g} s, which holds "
                f"{self.low_hz * seconds:.3g} periods of low_hz={self.low_hz:g} Hz and should hold "
                f"2. Set low_hz to {_round_up(2 / seconds)} or more, or to 0 to start at the first "
                f"bin, or take a window of {_round_up(2 / self.low_hz)} s or more."
            )
        high_hz = self.high_hz or self.sampling_rate / 2
        first = max(1, math.ceil(self.low_hz * seconds - 1e-9))
        last = math.floor(high_hz * seconds + 1e-9)
        if last < first:
            raise ExperimentError(
                f"{type(self).__name__} has no bin between low_hz={self.low_hz:g} and "
                f"high_hz={self.high_hz:g} Hz: in a window of {seconds:.4g} s the bins are "
                f"{1 / seconds:.4g} Hz apart. Set high_hz to {_round_up(first / seconds)} or more."
            )
        return np.arange(first, last + 1)

    def scale(self, bins: np.ndarray, n_window: int) -> np.ndarray:
        """Give 2 for each bin, for it stands for two of the two-sided spectrum; 1 at Nyquist."""
        return np.where(2 * bins == n_window, 1.0, 2.0)

    def get_config(self):
        return {**super().get_config(), "low_hz": self.low_hz, "high_hz": self.high_hz}


@keras.saving.register_keras_serializable(package="ecglib")
class FrequencyView(_BandView):
    """Amplitude spectrum of the whole window, in dB re 1 mV.

    The mean is removed, a periodic Hann window applied, and the one-sided amplitude A scaled so
    that a sine of 1 mV at the frequency of a bin reads 1 mV, or 0 dB, in that bin. The output is
    ``10 * log10(A**2 + floor_mv**2)``.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    low_hz, high_hz : float
        Band of the bins that are kept, in Hz, edges included. ``low_hz=0`` starts at the first
        bin above 0 Hz, ``high_hz=0`` ends at the Nyquist frequency.
    floor_mv : float
        Amplitude in mV that silence reads; 1e-3 mV is -60 dB.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_bins, n_leads) in dB re 1 mV.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency or holds no bin, or, once the length of the
        window is known, if that holds less than two periods of ``low_hz``.
    """

    unit = "dB re 1 mV"

    def __init__(
        self,
        sampling_rate: float,
        low_hz: float = 0.5,
        high_hz: float = 40.0,
        floor_mv: float = 1e-3,
        **kwargs,
    ):
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        self.floor_mv = number("floor_mv", floor_mv, "mV", minimum=1e-12)

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``{"frequency_hz": array of shape (n_bins,)}``."""
        return {"frequency_hz": self.bins(n_samples) * self.sampling_rate / n_samples}

    def build(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        bins = self.bins(n_samples)
        hann = get_window("hann", n_samples)
        self._hann = hann[:, None]
        self._first, self._stop = int(bins[0]), int(bins[-1]) + 1
        self._power_scale = (self.scale(bins, n_samples) / hann.sum()) ** 2
        self.built = True

    def call(self, inputs):
        hann = ops.convert_to_tensor(self._hann, self.compute_dtype)
        x = (inputs - ops.mean(inputs, axis=1, keepdims=True)) * hann
        real, imag = ops.rfft(ops.transpose(x, (0, 2, 1)))
        power = ops.square(real) + ops.square(imag)
        scale = ops.convert_to_tensor(self._power_scale, self.compute_dtype)
        power = ops.transpose(power[..., self._first : self._stop] * scale, (0, 2, 1))
        # The floor is added to the power: the root of an amplitude has no slope at silence.
        return 10.0 * ops.log10(power + self.floor_mv**2)

    def compute_output_shape(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        return (input_shape[0], len(self.bins(n_samples)), input_shape[2])

    def get_config(self):
        return {**super().get_config(), "floor_mv": self.floor_mv}


@keras.saving.register_keras_serializable(package="ecglib")
class SpectrogramView(_BandView):
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


def _round_up(value: float) -> float:
    """Round so that what an error tells to set does hold."""
    return math.ceil(value * 1000 - 1e-6) / 1000


VIEWS = {"time": TimeView, "frequency": FrequencyView, "spectrogram": SpectrogramView}


def build_view(
    signal: SignalContract, representation: str, band_hz: tuple[float, float], options: dict
) -> SignalLayer:
    """Give the view layer of one representation.

    It covers the band of the filter unless ``options`` say otherwise, and starts at its first
    bin where its window holds less than two periods of the filter's lower edge.

    Parameters
    ----------
    signal : SignalContract
        Of the windows: ``sampling_rate_hz`` and ``n_samples`` are read.
    representation : str
        A key of ``VIEWS``.
    band_hz : tuple of float
        Edges of the band-pass filter, in Hz; 0 leaves the band open.
    options : dict
        Arguments of the view, such as ``{"window_s": 0.64}``.

    Raises
    ------
    ExperimentError
        If the representation or an option is unknown, or if the view cannot hold.
    """
    if representation not in VIEWS:
        raise ExperimentError(
            f"Unknown representation {representation!r}. Choose from: {', '.join(VIEWS)}."
        )
    view = VIEWS[representation]
    known = [
        name
        for name in inspect.signature(view).parameters
        if name not in ("sampling_rate", "kwargs")
    ]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ExperimentError(
            f"The representation {representation!r} has no option {unknown[0]!r}. "
            f"Its options: {', '.join(known) or 'none'}."
        )
    settings = dict(options)
    if "high_hz" in known:
        settings.setdefault("high_hz", band_hz[1])
    if "low_hz" not in settings and "low_hz" in known:
        settings["low_hz"] = 0.0
        layer = view(signal.sampling_rate_hz, **settings)
        n_window = getattr(layer, "n_window", signal.n_samples)
        if band_hz[0] * n_window >= 2 * signal.sampling_rate_hz:
            settings["low_hz"] = band_hz[0]
    return view(signal.sampling_rate_hz, name=representation, **settings)


def build_views(
    signal: SignalContract,
    representations: list[str],
    band_hz: tuple[float, float] = (0.5, 40.0),
    options: dict[str, dict] | None = None,
) -> keras.Model:
    """Build the model that turns windows into their representations.

    Parameters
    ----------
    signal : SignalContract
        Of the windows: ``sampling_rate_hz``, ``n_samples`` and ``leads`` are read.
    representations : list of str
        Keys of ``VIEWS``, each once.
    band_hz : tuple of float
        Edges in Hz of the band-pass filter that stands before all views; 0 leaves the band open.
    options : dict of dict
        Arguments by representation, such as ``{"spectrogram": {"window_s": 0.64}}``. Those of a
        representation that is not asked for are checked and not used.

    Returns
    -------
    keras.Model
        From an input "signal" of shape (n_windows, n_samples, n_leads) in mV to a dict
        ``{representation: array}``. It has no weights; the layer of each view has the name of
        its representation, and the axes and the unit of it.

    Raises
    ------
    ExperimentError
        If a representation or option is unknown or given twice, or if a setting does not fit the
        sampling rate or the length of the windows.
    """
    options = options or {}
    if not representations or len(set(representations)) != len(representations):
        raise ExperimentError(
            f"Give at least one representation, and each once. Received: {representations}."
        )
    for name in options:
        build_view(signal, name, band_hz, options[name])
    window = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
    low_hz, high_hz = band_hz
    filtered = BandPass(signal.sampling_rate_hz, low_hz, high_hz, name="band_pass")(window)
    views = {
        name: build_view(signal, name, band_hz, options.get(name, {}))(filtered)
        for name in representations
    }
    return keras.Model(window, views, name="views")
