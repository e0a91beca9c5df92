"""What a disturbance needs besides the samples: the signal, random numbers, recorded noise."""

from __future__ import annotations

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.wfdb import read_record
from ecglib.errors import DatasetError, RecordError
from ecglib.robustness.registry import DISTURBANCES

MAX_DENOMINATOR = 1000  # of a ratio of two sampling rates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a disturbance needs besides the samples of a window.

    Parameters
    ----------
    signal : SignalSpec
        Sampling rate and leads of the windows.
    rng : numpy.random.Generator
        Random numbers of this window and this disturbance; the same at each severity.
    noise : array of shape (n_noise_samples, n_channels), optional
        Recorded noise in mV at the sampling rate of the windows; None (the default) for
        synthetic noise.

    Examples
    --------
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I",))
    >>> Conditions(signal=signal, rng=np.random.default_rng(0)).noise is None
    True
    """

    signal: SignalSpec
    rng: np.random.Generator
    noise: np.ndarray | None = None


def read_noise(folder: str | Path, sampling_rate_hz: float) -> dict[str, np.ndarray]:
    """Read the noise records bw, ma and em of the MIT-BIH Noise Stress Test Database.

    Parameters
    ----------
    folder : str or Path
        Folder of the records.
    sampling_rate_hz : float
        Sampling rate that they are resampled to, in Hz.

    Returns
    -------
    dict of str to array of shape (n_samples, n_channels)
        Name of each disturbance that has a record -> the noise in mV.

    Raises
    ------
    DatasetError
        If a record is missing or cannot be read.

    Examples
    --------
    >>> read_noise("none", 100.0)
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: The noise record none/bw cannot be read: ...
    """
    found = {}
    for name, disturbance in DISTURBANCES.items():
        if disturbance.record:
            found[name] = _read_record(Path(folder) / disturbance.record, sampling_rate_hz)
    return found


def _read_record(path: Path, sampling_rate_hz: float) -> np.ndarray:
    try:
        record = read_record(path)
        noise = np.nan_to_num(record.to_mv(range(len(record.leads))))
    except RecordError as error:
        raise DatasetError(
            f"The noise record {path} cannot be read: {error} Give the folder of the MIT-BIH Noise "
            f"Stress Test Database with its records bw, ma and em, or none for synthetic noise."
        ) from None
    return resample(noise, sampling_rate_hz / record.sampling_rate_hz)


def resample(x: np.ndarray, ratio: float) -> np.ndarray:
    """Resample signals by a polyphase filter without a step at their ends.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Signals.
    ratio : float
        New sampling rate over the old one; the nearest fraction with a denominator of at most
        1000 is taken.

    Returns
    -------
    array of shape (about n_samples * ratio, n_leads)
        As `scipy.signal.resample_poly` returns it for ``padtype="line"``.

    Examples
    --------
    >>> resample(np.arange(6.0)[:, None], 0.5).shape
    (3, 1)
    """
    from scipy.signal import resample_poly

    fraction = Fraction(ratio).limit_denominator(MAX_DENOMINATOR)
    if fraction == 1:
        return x
    up, down = fraction.numerator, fraction.denominator
    resampled: np.ndarray = resample_poly(
        x, up, down, axis=0, window=_design_filter(max(up, down)), padtype="line"
    )
    return resampled


@functools.lru_cache(maxsize=8)
def _design_filter(max_rate: int) -> np.ndarray:
    """Design the default filter of `resample_poly`, once for all windows."""
    from scipy.signal import firwin

    return firwin(20 * max_rate + 1, 1 / max_rate, window=("kaiser", 5.0))
