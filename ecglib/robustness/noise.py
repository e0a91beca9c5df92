"""Noise at a stated signal-to-noise ratio, defined as by `nst` of the noise stress test.

For each lead, SNR = 10 log10(S / N) in dB, with

- S = A^2 / 8, the power of a sine wave whose peak-to-peak amplitude A is that of the QRS complexes;
- N = R^2, where R is the mean, over stretches of one second, of the root mean square difference of
  the noise from its mean in that stretch. Baseline wander counts by how much it moves in a second.

`nst` measures A at annotated beats and R in the first five minutes of the noise, without the upper
and lower 5 % of both. Here both are measured in the window that is disturbed: A is the median of
the ranges (max - min) of stretches of 1.5 s, which contain a beat above 40 per minute, and R is the
mean over all stretches. A window is cut into as many stretches of equal length as fit, at least
one. Each lead is scaled by itself, and synthetic noise of one lead is independent of that of the
others, so that lead I + lead III = lead II does not hold for it. A flat lead gets no noise.

References: Moody, Muldrow and Mark, "A noise stress test for arrhythmia detectors", Computers in
Cardiology 11, 1984, 381-384; nst(1) in the WFDB Applications Guide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft

from ecglib.robustness.conditions import Conditions

BEAT_STRETCH_S = 1.5
NOISE_STRETCH_S = 1.0
SINE_POWER = 8.0  # peak-to-peak amplitude squared over power

WANDER_BAND_HZ = (0.05, 0.5)
MOTION_BAND_HZ = (1.0, 10.0)
MUSCLE_HZ = (60.0, 120.0)
WANDER_S = 20.0  # one period of the slowest wave
NOISE_S = 2.0  # of other synthetic noise

Spectrum = Callable[[np.ndarray], np.ndarray]


def compute_signal_power(x: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Compute the power S of each lead, from the peak-to-peak amplitude of its beats.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    sampling_rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_leads,)
        A^2 / 8 in mV^2, see the notes of the module.

    Examples
    --------
    >>> t = np.arange(300) / 100
    >>> compute_signal_power(np.sin(2 * np.pi * t)[:, None], 100.0).round(3).tolist()
    [0.5]
    """
    starts = _find_stretches(len(x), BEAT_STRETCH_S, sampling_rate_hz)
    ranges = np.maximum.reduceat(x, starts) - np.minimum.reduceat(x, starts)
    power: np.ndarray = np.median(ranges, axis=0) ** 2 / SINE_POWER
    return power


def compute_noise_power(noise: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Compute the power N of noise in each lead.

    Parameters
    ----------
    noise : array of shape (n_samples, n_leads)
        Noise in mV.
    sampling_rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_leads,)
        R^2 in mV^2, see the notes of the module.

    Examples
    --------
    >>> steps = np.repeat([[0.0], [5.0]], 100, axis=0)
    >>> compute_noise_power(steps, 100.0).tolist()
    [0.0]
    """
    starts = _find_stretches(len(noise), NOISE_STRETCH_S, sampling_rate_hz)
    lengths = np.diff(starts, append=len(noise))[:, None]
    means = np.add.reduceat(noise, starts) / lengths
    deviations = noise - np.repeat(means, lengths[:, 0], axis=0)
    rms = np.sqrt(np.add.reduceat(deviations**2, starts) / lengths)
    power: np.ndarray = rms.mean(axis=0) ** 2
    return power


def scale_noise(
    noise: np.ndarray, x: np.ndarray, snr_db: float, sampling_rate_hz: float
) -> np.ndarray:
    """Scale noise to a signal-to-noise ratio in each lead.

    Parameters
    ----------
    noise : array of shape (n_samples, n_leads)
        Noise of any amplitude.
    x : array of shape (n_samples, n_leads)
        The signal in mV.
    snr_db : float
        Signal-to-noise ratio in dB, see the notes of the module.
    sampling_rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_samples, n_leads)
        The noise in mV; zero in a lead without signal.

    Examples
    --------
    >>> x = np.sin(2 * np.pi * np.arange(300) / 100)[:, None]
    >>> noise = scale_noise(np.random.default_rng(0).normal(size=x.shape), x, 20.0, 100.0)
    >>> bool(np.isclose(compute_noise_power(noise, 100.0)[0], 0.005))
    True
    """
    wanted = compute_signal_power(x, sampling_rate_hz) * 10 ** (-snr_db / 10)
    present = compute_noise_power(noise, sampling_rate_hz)
    ratio = np.divide(wanted, present, out=np.zeros_like(wanted), where=present > 0)
    return noise * np.sqrt(ratio)


def add_white_noise(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Add Gaussian white noise.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Signal-to-noise ratio in dB.
    conditions : Conditions
        Sampling rate and random numbers.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=300, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> x = np.sin(2 * np.pi * np.arange(300) / 100)[:, None]
    >>> round(float(np.std(add_white_noise(x, 20.0, conditions) - x)), 2)
    0.07
    """
    noise = conditions.rng.standard_normal(x.shape)
    return x + scale_noise(noise, x, severity, conditions.signal.sampling_rate_hz)


def add_baseline_wander(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Add slow waves of 0.05 to 0.5 Hz, of equal power at each frequency, or recorded wander.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Signal-to-noise ratio in dB.
    conditions : Conditions
        Sampling rate, random numbers, and the record bw if there is one.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Notes
    -----
    The band is that of breathing and slow movements (Sörnmo and Laguna, Bioelectrical Signal
    Processing in Cardiac and Neurological Applications, 2005, chapter 7).

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> x = np.sin(2 * np.pi * np.arange(1000) / 100)[:, None]
    >>> wander = add_baseline_wander(x, 6.0, conditions) - x
    >>> bool(np.abs(np.diff(wander, axis=0)).max() < 0.05 * np.ptp(wander))
    True
    """
    return _add_noise(x, severity, conditions, shape_wander_spectrum, WANDER_S)


def add_muscle_artifact(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Add noise with the spectrum of an electromyogram, or recorded muscle artifact.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Signal-to-noise ratio in dB.
    conditions : Conditions
        Sampling rate, random numbers, and the record ma if there is one.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Notes
    -----
    With l = 60 Hz and h = 120 Hz, the power at frequency f is proportional to
    h^4 f^2 / ((f^2 + l^2) (f^2 + h^2)^2) (Shwedyk, Balasubramanian and Scott, IEEE Trans Biomed Eng
    24, 1977; Stulen and De Luca, IEEE Trans Biomed Eng 28, 1981), up to the Nyquist frequency.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=500.0, n_samples=1000, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> x = np.sin(2 * np.pi * np.arange(1000) / 500)[:, None]
    >>> add_muscle_artifact(x, 6.0, conditions).shape
    (1000, 1)
    """
    return _add_noise(x, severity, conditions, shape_muscle_spectrum, NOISE_S)


def add_electrode_motion(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Add noise of 1 to 10 Hz, the band of the ECG itself, or recorded electrode motion.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Signal-to-noise ratio in dB.
    conditions : Conditions
        Sampling rate, random numbers, and the record em if there is one.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Notes
    -----
    The band is that of Sörnmo and Laguna (2005, chapter 7). In it the power falls with the square
    of the frequency, as that of sudden changes of the electrode's potential does.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I",))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> x = np.sin(2 * np.pi * np.arange(1000) / 100)[:, None]
    >>> add_electrode_motion(x, 6.0, conditions).shape
    (1000, 1)
    """
    return _add_noise(x, severity, conditions, shape_motion_spectrum, NOISE_S)


def shape_wander_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the relative power of baseline wander at each frequency.

    Examples
    --------
    >>> shape_wander_spectrum(np.array([0.0, 0.2, 1.0])).tolist()
    [0.0, 1.0, 0.0]
    """
    low_hz, high_hz = WANDER_BAND_HZ
    return ((frequency_hz >= low_hz) & (frequency_hz <= high_hz)).astype(float)


def shape_muscle_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the relative power of muscle artifact at each frequency.

    Examples
    --------
    >>> shape_muscle_spectrum(np.array([0.0, 10.0, 60.0, 200.0])).round(3).tolist()
    [0.0, 0.027, 0.32, 0.064]
    """
    low_hz, high_hz = MUSCLE_HZ
    squared = frequency_hz**2
    return high_hz**4 * squared / ((squared + low_hz**2) * (squared + high_hz**2) ** 2)


def shape_motion_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the relative power of electrode motion at each frequency.

    Examples
    --------
    >>> shape_motion_spectrum(np.array([0.0, 1.0, 2.0, 20.0])).tolist()
    [0.0, 1.0, 0.25, 0.0]
    """
    low_hz, high_hz = MOTION_BAND_HZ
    in_band = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    return np.where(in_band, np.maximum(frequency_hz, low_hz) ** -2.0, 0.0)


def _add_noise(
    x: np.ndarray, snr_db: float, conditions: Conditions, spectrum: Spectrum, min_s: float
) -> np.ndarray:
    if conditions.noise is None:
        noise = _synthesize(x.shape, conditions, spectrum, min_s)
    else:
        noise = _cut_noise(x.shape, conditions.noise, conditions.rng)
    return x + scale_noise(noise, x, snr_db, conditions.signal.sampling_rate_hz)


def _synthesize(
    shape: tuple[int, ...], conditions: Conditions, spectrum: Spectrum, min_s: float
) -> np.ndarray:
    """Shape white noise by a spectrum, over at least `min_s`, and cut the window from it."""
    n_samples, n_leads = shape
    rate_hz = conditions.signal.sampling_rate_hz
    n = fft.next_fast_len(max(n_samples, round(min_s * rate_hz)), real=True)
    gain = np.sqrt(spectrum(fft.rfftfreq(n, 1 / rate_hz)))
    waves = fft.rfft(conditions.rng.standard_normal((n, n_leads)), axis=0)
    shaped: np.ndarray = fft.irfft(waves * gain[:, None], n, axis=0)
    return shaped[:n_samples]


def _cut_noise(shape: tuple[int, ...], noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut random stretches from recorded noise, which begins again at its end, as in `nst`.

    Each stretch gives a lead for each channel, so no two leads get the same noise.
    """
    n_samples, n_leads = shape
    n_stretches = -(-n_leads // noise.shape[1])
    starts = rng.integers(len(noise), size=n_stretches)
    samples = (starts[:, None] + np.arange(n_samples)) % len(noise)
    return noise[samples].transpose(1, 0, 2).reshape(n_samples, -1)[:, :n_leads]


def _find_stretches(n_samples: int, stretch_s: float, sampling_rate_hz: float) -> np.ndarray:
    """Return the first sample of each stretch, of lengths that differ by at most one sample."""
    n_stretches = max(1, int(n_samples / (stretch_s * sampling_rate_hz)))
    return np.arange(n_stretches) * n_samples // n_stretches
