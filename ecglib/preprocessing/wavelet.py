"""Wavelet denoising."""

from ecglib._keras import Tensor

import math
from typing import Any

import keras
import numpy as np
import pywt
from keras import ops

from ecglib.errors import ExperimentError, require_one_of
from ecglib.preprocessing.signal_layer import (
    SignalLayer,
    check_number,
    compute_quantiles_over_time,
)

NORMAL_MAD = 0.6745  # median magnitude of a normal distribution of standard deviation 1


@keras.saving.register_keras_serializable(package="ecglib")
class WaveletDenoise(SignalLayer):
    """Remove noise by soft thresholds in a discrete wavelet transform (VisuShrink).

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    low_hz : float, default 4.0
        Lower bound in Hz: the whole octaves between `low_hz` and the Nyquist frequency are
        denoised, lower frequencies stay as they are.
    wavelet : str, default "sym4"
        Name of an orthogonal wavelet of PyWavelets.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If no whole octave lies above `low_hz`, if PyWavelets has no such orthogonal wavelet, or,
        once the length of the windows is known, if they are too short for the lowest octave.

    Notes
    -----
    The method is that of Donoho and Johnstone (1994). The standard deviation of the noise is
    estimated as the median magnitude of the finest details divided by 0.6745. Every detail is
    moved towards zero by that deviation times ``sqrt(2 * log(n_samples))``, separately for each
    window and lead. The transform is that of ``pywt.wavedec(mode="symmetric")``. Unlike a
    band-pass, it preserves at all frequencies what stands out from the noise, such as the QRS
    complex, although a soft threshold lowers it by a few standard deviations of the noise. Waves
    about as small as the noise are removed with it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(0, 0.05, (1, 500, 1)).astype("float32")
    >>> denoised = np.asarray(WaveletDenoise(100)(noise))
    >>> bool(denoised.std() < 0.5 * noise.std())
    True
    """

    def __init__(
        self, sampling_rate: float, low_hz: float = 4.0, wavelet: str = "sym4", **kwargs: Any
    ) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.low_hz = check_number("low_hz", low_hz, "Hz", minimum=1e-3)
        names = pywt.wavelist(kind="discrete")
        orthogonal = [name for name in names if pywt.Wavelet(name).orthogonal]
        require_one_of("wavelet", wavelet, orthogonal)
        self.wavelet = wavelet
        nyquist_hz = self.sampling_rate / 2
        self.n_levels = math.floor(math.log2(nyquist_hz / self.low_hz) + 1e-9)
        if self.n_levels < 1:
            raise ExperimentError(
                f"`low_hz={self.low_hz:g}` leaves no octave below the Nyquist frequency of "
                f"{nyquist_hz:g} Hz. Set low_hz to {nyquist_hz / 2:g} or less."
            )

    def _check_length(self, n_samples: int) -> None:
        max_levels = pywt.dwt_max_level(n_samples, self.wavelet)
        if max_levels < self.n_levels:
            min_samples = (pywt.Wavelet(self.wavelet).dec_len - 1) * 2**self.n_levels
            min_low_hz = self.sampling_rate / 2 ** (max_levels + 1)
            remedy = f"Set low_hz to {min_low_hz:g} or more, or use" if max_levels else "Use"
            raise ExperimentError(
                f"{self.n_levels} octaves of {self.wavelet!r} above `low_hz={self.low_hz:g}` need "
                f"{min_samples} samples, but the window has {n_samples}. {remedy} windows of "
                f"{min_samples} samples or more."
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        n_samples = self.get_n_samples(input_shape)
        self._check_length(n_samples)
        filters = pywt.Wavelet(self.wavelet)
        # A convolution in Keras is a correlation, so the filters are reversed.
        self._analysis = np.stack([filters.dec_lo[::-1], filters.dec_hi[::-1]], axis=1)[:, None]
        self._synthesis = np.stack([filters.rec_lo[::-1], filters.rec_hi[::-1]], axis=1)[..., None]
        self._threshold = math.sqrt(2 * math.log(n_samples)) / NORMAL_MAD
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        n_samples, n_leads = inputs.shape[1:]
        x = ops.reshape(ops.transpose(inputs, (0, 2, 1)), (-1, n_samples, 1))
        details = []
        for _ in range(self.n_levels):
            x, detail = self._split(x)
            details.append(detail)
        (deviation,) = compute_quantiles_over_time(ops.abs(details[0]), [0.5])
        noise = deviation * self._threshold
        for detail in reversed(details):
            denoised = ops.sign(detail) * ops.relu(ops.abs(detail) - noise)
            x = self._join(x[:, : detail.shape[1]], denoised)
        return ops.transpose(ops.reshape(x[:, :n_samples], (-1, n_leads, n_samples)), (0, 2, 1))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Transform one level: (n, n_samples, 1) to two tensors of half as many samples."""
        n_taps = len(self._analysis)
        # `ops.pad(mode="symmetric")` repeats the last sample on PyTorch.
        before, after = x[:, : n_taps - 2], x[:, -(n_taps - 1) :]
        x = ops.concatenate([ops.flip(before, axis=1), x, ops.flip(after, axis=1)], axis=1)
        kernel = ops.convert_to_tensor(self._analysis, self.compute_dtype)
        x = ops.conv(x, kernel, strides=2, padding="valid", data_format="channels_last")
        return x[..., :1], x[..., 1:]

    def _join(self, x: Tensor, detail: Tensor) -> Tensor:
        """Invert `_split`: insert zeros between the coefficients, filter both, and add."""
        n = x.shape[1]
        x = ops.concatenate([x, detail], axis=-1)[:, :, None]
        x = ops.reshape(ops.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0))), (-1, 2 * n, 2))
        kernel = ops.convert_to_tensor(self._synthesis, self.compute_dtype)
        x = ops.pad(x, ((0, 0), (1, 0), (0, 0)))
        return ops.conv(x, kernel, strides=1, padding="valid", data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self._check_length(self.get_n_samples(input_shape))
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low_hz": self.low_hz, "wavelet": self.wavelet}
