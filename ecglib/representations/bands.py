"""What the views over frequency share."""

import math

import numpy as np

from ecglib.errors import ExperimentError
from ecglib.preprocessing import SignalLayer, number


class FrequencyBandLayer(SignalLayer):
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

    def lowest_hz(self, n_samples: int) -> float:
        """Give the lowest ``low_hz``, in Hz, that a window of ``n_samples`` can hold."""
        raise NotImplementedError

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
                f"2. Set low_hz to {round_up(2 / seconds)} or more, or to 0 to start at the first "
                f"bin, or take a window of {round_up(2 / self.low_hz)} s or more."
            )
        high_hz = self.high_hz or self.sampling_rate / 2
        first = max(1, math.ceil(self.low_hz * seconds - 1e-9))
        last = math.floor(high_hz * seconds + 1e-9)
        if last < first:
            raise ExperimentError(
                f"{type(self).__name__} has no bin between low_hz={self.low_hz:g} and "
                f"high_hz={self.high_hz:g} Hz: in a window of {seconds:.4g} s the bins are "
                f"{1 / seconds:.4g} Hz apart. Set high_hz to {round_up(first / seconds)} or more."
            )
        return np.arange(first, last + 1)

    def scale(self, bins: np.ndarray, n_window: int) -> np.ndarray:
        """Give 2 for each bin, for it stands for two of the two-sided spectrum; 1 at Nyquist."""
        return np.where(2 * bins == n_window, 1.0, 2.0)

    def get_config(self):
        return {**super().get_config(), "low_hz": self.low_hz, "high_hz": self.high_hz}


def round_up(value: float) -> float:
    """Round so that what an error tells to set does hold."""
    return math.ceil(value * 1000 - 1e-6) / 1000
