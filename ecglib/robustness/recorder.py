"""What a recorder does to a signal: mains hum, gain, clock, sampling rate, clipping, length."""

from __future__ import annotations

import numpy as np

from ecglib.errors import ExperimentError
from ecglib.robustness.conditions import Conditions, resample


def add_mains_50hz(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Add a sine wave of 50 Hz of one random phase, alike in all leads, without harmonics.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Amplitude in mV.
    conditions : Conditions
        Sampling rate and random numbers.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Raises
    ------
    ExperimentError
        If 50 Hz is not below the Nyquist frequency.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=500.0, n_samples=500, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> hum = add_mains_50hz(np.zeros((500, 1)), 0.1, conditions)
    >>> int(np.abs(np.fft.rfft(hum[:, 0])).argmax())
    50
    """
    return _add_sine(x, 50.0, severity, conditions)


def add_mains_60hz(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Add a sine wave of 60 Hz, otherwise as `add_mains_50hz`.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Amplitude in mV.
    conditions : Conditions
        Sampling rate and random numbers.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Raises
    ------
    ExperimentError
        If 60 Hz is not below the Nyquist frequency.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=500, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> add_mains_60hz(np.zeros((500, 1)), 0.1, conditions)
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: Mains hum at 60 Hz is not in windows at 100 Hz: ...
    """
    return _add_sine(x, 60.0, severity, conditions)


def change_gain(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Multiply a window by 1 + severity / 100 or 1 - severity / 100, at random, in all leads.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Error of the gain in percent.
    conditions : Conditions
        Random numbers.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> change_gain(np.ones((1, 1)), 10.0, conditions).round(3).tolist()
    [[1.1]]
    """
    sign = 1.0 if conditions.rng.random() >= 0.5 else -1.0
    return x * (1 + sign * severity / 100)


def stretch_time(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Make all waves longer, as if the recorder sampled faster than its file says.

    Only longer waves are made, as for shorter ones samples would have to be invented. The middle
    of a window stays where it is; in a window around a beat, the beat.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        How much longer, in percent.
    conditions : Conditions
        Whether the windows are around beats.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=100, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> stretch_time(np.ones((100, 1)), 5.0, conditions).shape
    (100, 1)
    """
    stretched = resample(x, 1 + severity / 100)
    n_surplus, signal = len(stretched) - len(x), conditions.signal
    start = n_surplus // 2
    if signal.around_beats:
        beat = (signal.beat_s or 0.0) * signal.sampling_rate_hz
        start = min(round(beat * severity / 100), n_surplus)
    return stretched[start : start + len(x)]


def lower_rate(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Resample to a lower sampling rate and back.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Sampling rate over the lower one, a whole number.
    conditions : Conditions
        Not used.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Raises
    ------
    ExperimentError
        If the severity is not a whole number.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=500, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> t = np.arange(500) / 100
    >>> x = np.sin(2 * np.pi * 30 * t)[:, None]  # above the Nyquist frequency of 50 Hz sampling
    >>> bool(np.abs(lower_rate(x, 2.0, conditions)[100:400]).max() < 0.01)
    True
    """
    if severity != int(severity):
        raise ExperimentError(
            f"A sampling rate lowered by the factor {severity:g} is not available. Give a whole "
            f"number, such as 2 for half the rate."
        )
    return resample(resample(x, 1 / severity), severity)[: len(x)]


def clip(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Clip the signal, as an amplifier that saturates does.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Absolute value in mV above which it is clipped.
    conditions : Conditions
        Not used.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=3, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> clip(np.array([[0.2], [1.5], [-0.7]]), 0.5, conditions).ravel().tolist()
    [0.2, 0.5, -0.5]
    """
    return np.clip(x, -severity, severity)


def shorten(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Replace the end of a window by 0 mV, as a shorter recording is padded.

    A window around a beat loses samples on both sides of the beat.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        How much is missing, in percent.
    conditions : Conditions
        Whether the windows are around beats.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=4, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> shorten(np.ones((4, 1)), 25.0, conditions).ravel().tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    signal, fraction = conditions.signal, 1 - severity / 100
    beat = (signal.beat_s or 0.0) * signal.sampling_rate_hz if signal.around_beats else 0.0
    start = round(beat * (1 - fraction))
    stop = start + round(len(x) * fraction)
    shortened = np.zeros_like(x)
    shortened[start:stop] = x[start:stop]
    return shortened


def _add_sine(
    x: np.ndarray, frequency_hz: float, amplitude_mv: float, conditions: Conditions
) -> np.ndarray:
    rate_hz = conditions.signal.sampling_rate_hz
    if frequency_hz >= rate_hz / 2:
        raise ExperimentError(
            f"Mains hum at {frequency_hz:g} Hz is not in windows at {rate_hz:g} Hz: only "
            f"frequencies below {rate_hz / 2:g} Hz are. Leave this disturbance out."
        )
    phase = conditions.rng.uniform(0, 2 * np.pi)
    time_s = np.arange(len(x))[:, None] / rate_hz
    return x + amplitude_mv * np.sin(2 * np.pi * frequency_hz * time_s + phase)
