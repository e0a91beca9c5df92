"""Denoising in a wavelet transform."""

import math

import keras
import numpy as np
import pywt
from keras import ops

from ecglib.errors import ExperimentError, require_one_of
from ecglib.preprocessing.signal_layer import SignalLayer, number, quantiles_over_time


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
        (deviation,) = quantiles_over_time(ops.abs(details[0]), [0.5])
        noise = deviation * self._threshold
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
