"""The amplitude spectrum of a whole window."""

import math

import keras
import numpy as np
from keras import ops
from scipy.signal import get_window
from scipy.signal.windows import dpss

from ecglib.errors import ExperimentError, require_one_of
from ecglib.preprocessing import number
from ecglib.representations.bands import FrequencyBandLayer, round_up

METHODS = ("window", "welch", "multitaper")


@keras.saving.register_keras_serializable(package="ecglib")
class FrequencySpectrum(FrequencyBandLayer):
    """Amplitude spectrum of the whole window, in dB re 1 mV.

    The mean is removed and the one-sided amplitude A scaled so that a sine of 1 mV at the
    frequency of a bin reads 1 mV, or 0 dB, in that bin. The output is
    ``10 * log10(A**2 + floor_mv**2)``. Three methods trade resolution for a steadier estimate:

    - ``"window"``: one periodic Hann window over everything.
    - ``"welch"`` (Welch, 1967): the mean power of half overlapping segments under a Hann window,
      each without its mean; it has fewer bins.
    - ``"multitaper"`` (Thomson, 1982): the mean power under the orthogonal DPSS tapers whose
      energy lies within ``resolution_hz``, as many as ``2 * resolution_hz * seconds - 1``.

    All are corrected by the coherent gain, the sum of the window, or the root of the summed
    squares of these over the tapers; not by the noise bandwidth. A sine reads the same in each,
    and noise the more the coarser the resolution: its density in mV^2/Hz is ``A**2 / 2`` over the
    equivalent noise bandwidth, 1.5 bins for a Hann window.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    low_hz, high_hz : float
        Band of the bins that are kept, in Hz, edges included. ``low_hz=0`` starts at the first
        bin above 0 Hz, ``high_hz=0`` ends at the Nyquist frequency.
    floor_mv : float
        Amplitude in mV that silence reads; 1e-3 mV is -60 dB.
    method : {"window", "welch", "multitaper"}
        How the spectrum is estimated.
    resolution_hz : float
        How far apart two sines must be to be told apart, in Hz: half the main lobe, two bins of
        a Hann window. Welch takes segments of ``2 / resolution_hz`` seconds. 0 takes twice the
        finest, ``4 / seconds``; the single window always has the finest, ``2 / seconds``.
    phase : bool
        Whether the phase at the middle of the window follows the amplitude, as cosine and sine
        so that it has no jump. A cosine that peaks in the middle has phase 0. Where the amplitude
        nears the floor both go to 0. Only for ``method="window"``.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        (n_windows, n_bins, n_leads) in dB re 1 mV. With ``phase``, (n_windows, n_bins, 3 *
        n_leads): the amplitudes of all leads, their cosines, their sines.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency or holds no bin, if a setting does not fit
        the method, or, once the length of the window is known, if ``low_hz`` is below the
        resolution (for a single window: less than two periods) or that is finer than can be.
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
        **kwargs,
    ):
        super().__init__(sampling_rate, low_hz, high_hz, **kwargs)
        self.floor_mv = number("floor_mv", floor_mv, "mV", minimum=1e-12)
        require_one_of("method", method, METHODS)
        self.method = method
        self.resolution_hz = number("resolution_hz", resolution_hz, "Hz")
        if not isinstance(phase, bool):
            raise ExperimentError(f"phase must be True or False. Received: phase={phase!r}.")
        self.phase = phase
        if self.resolution_hz and method == "window":
            raise ExperimentError(
                f"method='window' has the resolution of the whole window, and resolution_hz="
                f"{self.resolution_hz:g} would change nothing. Leave it at 0, or set method to "
                "'welch' or 'multitaper'."
            )
        if phase and method != "window":
            raise ExperimentError(
                f"phase=True with method={method!r}, which averages spectra whose phases differ. "
                "Set method='window', or leave the phase out."
            )

    def resolution(self, n_samples: int) -> float:
        """Give the resolution in Hz in a window of ``n_samples``, or say that it is too fine."""
        finest = 2 * self.sampling_rate / n_samples
        if self.method == "window":
            return finest
        if self.resolution_hz and self.resolution_hz < finest - 1e-9:
            raise ExperimentError(
                f"A window of {n_samples / self.sampling_rate:.4g} s cannot resolve resolution_hz="
                f"{self.resolution_hz:g}: it needs {2 / self.resolution_hz:.4g} s. Set "
                f"resolution_hz to {round_up(finest)} or more, or to 0 for {round_up(2 * finest)}."
            )
        return self.resolution_hz or 2 * finest

    def lowest_hz(self, n_samples: int) -> float:
        """Give the lowest ``low_hz`` in Hz, the resolution: below, it mixes with the mean."""
        return self.resolution(n_samples)

    def segment(self, n_samples: int) -> int:
        """Give the number of samples of each Fourier transform."""
        if self.method != "welch":
            return n_samples
        return min(n_samples, math.ceil(2 * self.sampling_rate / self.resolution(n_samples) - 1e-9))

    def _bins(self, n_samples: int) -> np.ndarray:
        resolution_hz = self.resolution(n_samples)
        if self.method != "window" and 0 < self.low_hz < resolution_hz - 1e-9:
            raise ExperimentError(
                f"method={self.method!r} resolves {resolution_hz:.4g} Hz here, and cannot tell "
                f"low_hz={self.low_hz:g} from the mean of the window. Set low_hz to "
                f"{round_up(resolution_hz)} or more, or to 0 to start at the first bin, or set "
                f"resolution_hz to {self.low_hz:g} or less, in a window of "
                f"{round_up(2 / self.low_hz)} s or more."
            )
        return self.bins(self.segment(n_samples))

    def axes(self, n_samples: int) -> dict[str, np.ndarray]:
        """Give ``{"frequency_hz": array of shape (n_bins,)}``."""
        bins = self._bins(n_samples)
        return {"frequency_hz": bins * self.sampling_rate / self.segment(n_samples)}

    def build(self, input_shape):
        n_samples = self.n_samples_of(input_shape)
        bins, n_segment = self._bins(n_samples), self.segment(n_samples)
        if self.method == "multitaper":
            half_bandwidth = self.resolution(n_samples) * n_samples / self.sampling_rate
            n_tapers = math.floor(2 * half_bandwidth + 1e-9) - 1
            self._tapers = dpss(n_samples, half_bandwidth, n_tapers)
        else:
            self._tapers = get_window("hann", n_segment)[None]
        self._first, self._stop = int(bins[0]), int(bins[-1]) + 1
        # Of the mean power, over as many transforms as there are segments and tapers.
        coherent_gain = np.mean(self._tapers.sum(axis=1) ** 2)
        self._power_scale = self.scale(bins, n_segment) ** 2 / coherent_gain
        # A transform counts the phase from the first sample. In the middle, half a window later,
        # the phase of bin k has advanced by k half turns.
        self._turn = self.scale(bins, n_segment) / self._tapers[0].sum() * (-1.0) ** bins
        self.built = True

    def call(self, inputs):
        n_segment = self._tapers.shape[1]
        x = ops.transpose(inputs, (0, 2, 1))
        if self.method == "welch":
            x = ops.extract_sequences(x, n_segment, n_segment - n_segment // 2)
        else:
            x = x[:, :, None]
        x = x - ops.mean(x, axis=-1, keepdims=True)
        real, imag = ops.rfft(x * ops.convert_to_tensor(self._tapers, self.compute_dtype))
        real, imag = (part[..., self._first : self._stop] for part in (real, imag))
        power = ops.mean(ops.square(real) + ops.square(imag), axis=2)
        power = power * ops.convert_to_tensor(self._power_scale, self.compute_dtype)
        # The floor is added to the power: the root of an amplitude has no slope at silence.
        power = power + self.floor_mv**2
        leads = [10.0 * ops.log10(power)]
        if self.phase:
            turn = ops.convert_to_tensor(self._turn, self.compute_dtype)
            leads += [part[:, :, 0] * turn / ops.sqrt(power) for part in (real, imag)]
        return ops.transpose(ops.concatenate(leads, axis=1), (0, 2, 1))

    def compute_output_shape(self, input_shape):
        n_bins = len(self._bins(self.n_samples_of(input_shape)))
        return (input_shape[0], n_bins, input_shape[2] * (3 if self.phase else 1))

    def get_config(self):
        return {
            **super().get_config(),
            "floor_mv": self.floor_mv,
            "method": self.method,
            "resolution_hz": self.resolution_hz,
            "phase": self.phase,
        }
