"""The base of the representations that have a frequency axis."""

import math
from typing import Any

import numpy as np

from ecglib.errors import ExperimentError
from ecglib.preprocessing import SignalLayer, check_number


class FrequencyBandLayer(SignalLayer):
    """Base of the representations whose bins cover the band from `low_hz` to `high_hz`.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    low_hz, high_hz : float
        Edges of the band in Hz, both included. With ``low_hz=0`` the band starts at the first bin
        above 0 Hz (there is none at 0 Hz, because the mean is removed); with ``high_hz=0`` it ends
        at the Nyquist frequency.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If the band ends above the Nyquist frequency, or `low_hz` is not below `high_hz`.

    Examples
    --------
    >>> layer = FrequencyBandLayer(100, low_hz=1.0, high_hz=2.0)
    >>> layer.find_bins(400).tolist()
    [4, 5, 6, 7, 8]
    """

    def __init__(self, sampling_rate: float, low_hz: float, high_hz: float, **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.low_hz = check_number("low_hz", low_hz, "Hz")
        self.high_hz = check_number("high_hz", high_hz, "Hz")
        nyquist_hz = self.sampling_rate / 2
        if self.high_hz > nyquist_hz:
            raise ExperimentError(
                f"`high_hz={self.high_hz:g}` must not be above the Nyquist frequency of "
                f"{nyquist_hz:g} Hz at a sampling rate of {self.sampling_rate:g} Hz. Set high_hz "
                f"to {nyquist_hz:g} or less, or to 0 for all frequencies up to it."
            )
        if self.low_hz >= (self.high_hz or nyquist_hz):
            raise ExperimentError(
                f"`low_hz={self.low_hz:g}` must be below `high_hz={self.high_hz:g}`, where "
                f"high_hz=0 is the Nyquist frequency, {nyquist_hz:g} Hz."
            )

    def find_min_low_hz(self, n_samples: int) -> float:
        """Return the smallest `low_hz` above 0, in Hz, that fits a window of `n_samples`."""
        raise NotImplementedError

    def find_bins(self, n_window: int) -> np.ndarray:
        """Find the bins of a Fourier transform that lie in the band.

        Parameters
        ----------
        n_window : int
            Length of the transform in samples.

        Returns
        -------
        array of int of shape (n_bins,)
            Indices of the bins.

        Raises
        ------
        ExperimentError
            If the transform covers less than two periods of `low_hz`, or the band has no bin.
        """
        seconds = n_window / self.sampling_rate
        # The main lobe of the Hann window is two bins wide on each side: with less than two
        # periods, a frequency cannot be separated from the mean.
        if self.low_hz and self.low_hz * seconds < 2 - 1e-9:
            raise ExperimentError(
                f"{type(self).__name__} has a window of {seconds:.4g} s, which covers "
                f"{self.low_hz * seconds:.3g} periods of `low_hz={self.low_hz:g}`, but needs 2. "
                f"Set low_hz to {round_up(2 / seconds)} or more, or to 0 to start at the first "
                f"bin, or use a window of {round_up(2 / self.low_hz)} s or more."
            )
        high_hz = self.high_hz or self.sampling_rate / 2
        first = max(1, math.ceil(self.low_hz * seconds - 1e-9))
        last = math.floor(high_hz * seconds + 1e-9)
        if last < first:
            raise ExperimentError(
                f"{type(self).__name__} has no bin between `low_hz={self.low_hz:g}` and "
                f"`high_hz={self.high_hz:g}`: in a window of {seconds:.4g} s the bins are "
                f"{1 / seconds:.4g} Hz apart. Set high_hz to {round_up(first / seconds)} or more."
            )
        return np.arange(first, last + 1)

    def compute_one_sided_scale(self, bins: np.ndarray, n_window: int) -> np.ndarray:
        """Return the weight of each bin in a one-sided spectrum: 1 at Nyquist, otherwise 2."""
        return np.where(2 * bins == n_window, 1.0, 2.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low_hz": self.low_hz, "high_hz": self.high_hz}


def round_up(value: float) -> float:
    """Round up to three decimals, so that a bound proposed in an error is itself accepted.

    Parameters
    ----------
    value : float
        A lower bound.

    Returns
    -------
    float
        The smallest number of three decimals that is not below `value`.

    Examples
    --------
    >>> round_up(2 / 3)
    0.667
    """
    return math.ceil(value * 1000 - 1e-6) / 1000
