"""Where in P, QRS and T a model looks: attributions averaged over beats, aligned to the R peak."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.tabular.heart_rate import find_r_peaks
from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.patient_means import PatientMean, average_over_patients

SPAN_S = (-0.4, 0.6)  # around the R peak
USUAL_RR_S = 0.8  # where a window shows one beat only
# Borders in s from the R peak, see `locate_waves`.
QRS_S = (-0.08, 0.10)
P_BEGINS_S, P_BEGINS_FRACTION = 0.24, 0.4
QT_S, QRS_ONSET_S = 0.45, 0.05
WAVES = ("P", "QRS", "T")
OTHER = "other"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BeatWindows:
    """Windows whose beats are averaged.

    Parameters
    ----------
    signal_mv : array of shape (n_windows, n_samples, n_leads)
        The windows in mV.
    signal : SignalSpec
        Their leads and sampling rate. In windows around one beat (MIT-BIH) that beat is used, in
        others all R peaks that are found.
    patients : str array of shape (n_windows,)
        Patient of each window.

    Examples
    --------
    >>> signal = SignalSpec(100.0, 200, ("II",))
    >>> windows = BeatWindows(
    ...     signal_mv=np.zeros((1, 200, 1)), signal=signal, patients=np.array(["a"])
    ... )
    >>> windows.time_s[:3].tolist()
    [0.0, 0.01, 0.02]
    """

    signal_mv: np.ndarray
    signal: SignalSpec
    patients: np.ndarray

    @property
    def time_s(self) -> np.ndarray:
        """Times of the samples, in s from the start of a window."""
        return np.arange(self.signal.n_samples) / self.signal.sampling_rate_hz


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveFraction:
    """The fraction of an attribution in one wave, beside the fraction of time that it lasts.

    Parameters
    ----------
    wave : {"P", "QRS", "T", "other"}
        The wave; "other" is the rest of the window.
    attribution, attribution_low, attribution_high : float
        Fraction of the sum of absolute values, and its 95 % interval over patients.
    time : float
        Fraction of the samples: what an evenly spread attribution has.
    difference, difference_low, difference_high : float
        Attribution minus time, and its interval.

    Examples
    --------
    >>> qrs = WaveFraction(
    ...     wave="QRS",
    ...     attribution=0.6,
    ...     attribution_low=0.5,
    ...     attribution_high=0.7,
    ...     time=0.2,
    ...     difference=0.4,
    ...     difference_low=0.3,
    ...     difference_high=0.5,
    ... )
    >>> qrs.difference_low > 0  # more than by chance
    True
    """

    wave: str
    attribution: float
    attribution_low: float
    attribution_high: float
    time: float
    difference: float
    difference_low: float
    difference_high: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BeatAverage:
    """The mean beat of a class, with the attribution on it.

    Parameters
    ----------
    class_name, method : str
        What was explained, and how.
    leads : tuple of str
        Names of the leads.
    time_s : array of shape (n,)
        Time from the R peak in s.
    signal_mv : PatientMean of arrays of shape (n, n_leads)
        Mean signal in mV.
    attribution : PatientMean of arrays of shape (n, n_leads)
        Mean absolute attribution over its mean in the window: 1 if it is spread evenly.
    waves_s : dict of str to tuple of float
        "P", "QRS", "T" -> mean start and end in s from the R peak.
    fractions : tuple of WaveFraction
        Of P, QRS, T and the rest.
    n_windows, n_beats, n_patients : int
        What was averaged.

    Examples
    --------
    >>> flat = PatientMean(np.ones((3, 1)), np.ones((3, 1)), np.ones((3, 1)))
    >>> average = BeatAverage(
    ...     class_name="V",
    ...     method="gradient",
    ...     leads=("MLII",),
    ...     time_s=np.array([-0.01, 0.0, 0.01]),
    ...     signal_mv=flat,
    ...     attribution=flat,
    ...     waves_s={"QRS": (-0.08, 0.1)},
    ...     fractions=(),
    ...     n_windows=9,
    ...     n_beats=9,
    ...     n_patients=3,
    ... )
    >>> average.to_table().empty
    True
    """

    class_name: str
    method: str
    leads: tuple[str, ...]
    time_s: np.ndarray
    signal_mv: PatientMean
    attribution: PatientMean
    waves_s: dict[str, tuple[float, float]]
    fractions: tuple[WaveFraction, ...]
    n_windows: int
    n_beats: int
    n_patients: int

    def to_table(self) -> pd.DataFrame:
        """Return the fractions, one row for each wave."""
        rows = [dataclasses.asdict(one) for one in self.fractions]
        return pd.DataFrame([{"class": self.class_name, "method": self.method, **r} for r in rows])


def locate_waves(rr_s: float) -> dict[str, tuple[float, float]]:
    """Locate P, QRS and T by their usual place before and after the R peak.

    Parameters
    ----------
    rr_s : float
        RR interval in s.

    Returns
    -------
    dict of str to tuple of float
        "P", "QRS", "T" -> start and end in s from the R peak. "T" includes the ST segment.

    Notes
    -----
    Nothing is searched in the signal. P begins at the upper end of the normal PR interval, 0.20 s,
    plus 0.04 s from the onset of QRS to R, but not before 0.4 RR; QRS is from -0.08 to 0.10 s (both
    after the windows of Fattahi and Sameni, IEEE Trans Signal Process 70:3181, 2022, in their
    Open-Source Electrophysiological Toolbox); T ends 0.05 s less after R than the upper end of the
    normal QT interval, 0.45 s times the square root of RR in s (Rautaharju et al., J Am Coll
    Cardiol 53:982, 2009). In wide beats the end of QRS is counted as T, in a first-degree AV block
    the P wave as the rest, and in atrial fibrillation "P" is only the time before QRS.

    Examples
    --------
    >>> {name: (round(a, 2), round(b, 2)) for name, (a, b) in locate_waves(1.0).items()}
    {'P': (-0.24, -0.08), 'QRS': (-0.08, 0.1), 'T': (0.1, 0.4)}
    """
    p_begins_s = max(min(P_BEGINS_S, P_BEGINS_FRACTION * rr_s), -QRS_S[0])
    t_ends_s = max(QT_S * math.sqrt(rr_s) - QRS_ONSET_S, QRS_S[1])
    return {"P": (-p_begins_s, QRS_S[0]), "QRS": QRS_S, "T": (QRS_S[1], t_ends_s)}


def label_waves(time_s: np.ndarray, beats_s: np.ndarray, rr_s: float) -> np.ndarray:
    """Label each sample with the wave that it belongs to.

    Parameters
    ----------
    time_s : array of shape (n_samples,)
        Times of the samples in s.
    beats_s : array of shape (n_beats,)
        Times of the R peaks in s.
    rr_s : float
        RR interval in s.

    Returns
    -------
    str array of shape (n_samples,)
        "P", "QRS", "T" or "other". Where two beats are close, QRS comes before P, and P before T.

    Examples
    --------
    >>> label_waves(np.array([0.2, 0.35, 0.5, 0.7, 0.95]), np.array([0.5]), rr_s=1.0).tolist()
    ['other', 'P', 'QRS', 'T', 'other']
    """
    labels = np.full(len(time_s), OTHER)
    waves = locate_waves(rr_s)
    for name in ("T", "P", "QRS"):
        start, end = waves[name]
        since = time_s[:, None] - beats_s
        labels[((since >= start) & (since < end)).any(axis=1)] = name
    return labels


def label_window(signal_mv: np.ndarray, signal: SignalSpec) -> np.ndarray:
    """Label each sample of a window with the wave that it belongs to, by the R peaks found in it.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        The window in mV.
    signal : SignalSpec
        Its leads and sampling rate.

    Returns
    -------
    str array of shape (n_samples,)
        "P", "QRS", "T" or "other"; all "other" if fewer than two R peaks are found in a window that
        is not around one beat.

    Examples
    --------
    >>> signal = SignalSpec(100.0, 200, ("II",))
    >>> set(label_window(np.zeros((200, 1)), signal).tolist())
    {'other'}
    """
    time_s = np.arange(len(signal_mv)) / signal.sampling_rate_hz
    return label_waves(time_s, *_find_beats(signal_mv, signal))


def average_beats(attribution: Attribution, windows: BeatWindows) -> BeatAverage:
    """Average the beats of windows and the attribution on them, aligned to the R peak.

    Parameters
    ----------
    attribution : Attribution
        Of the signal, on time and leads, for the same windows.
    windows : BeatWindows
        The windows. Those in which no two beats are found are excluded, except windows around one
        beat.

    Returns
    -------
    BeatAverage
        Means over patients of the mean of each patient's windows.

    Raises
    ------
    EcgError
        If the attribution is not one of these windows, or no window has beats.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> from ecglib.explain.attribution import attribute_by_gradient
    >>> signal = SignalSpec(100.0, 200, ("I", "II"), around_beats=True, beat_s=1.0)
    >>> target = make_class_score()
    >>> windows = BeatWindows(
    ...     signal_mv=target.inputs["signal"], signal=signal, patients=np.array(["a", "b"])
    ... )
    >>> average = average_beats(attribute_by_gradient(target)["signal"], windows)
    >>> [one.wave for one in average.fractions], average.n_beats
    (['P', 'QRS', 'T', 'other'], 2)
    """
    if attribution.values.shape != windows.signal_mv.shape:
        raise EcgError(
            f"The attribution by {attribution.method} of {attribution.input_name!r} has shape "
            f"{attribution.values.shape}, and the windows {windows.signal_mv.shape}. Give an "
            f"attribution of the samples of these windows (`build_signal_scores`)."
        )
    size = np.abs(attribution.values)
    beats, rr_s = [], []
    for signal_mv, values in zip(windows.signal_mv, size, strict=True):
        beats_s, rr = _find_beats(signal_mv, windows.signal)
        usable = len(beats_s) and values.any()
        beats.append(beats_s if usable else np.array([]))
        rr_s.append(rr)
    used = [row for row, found in enumerate(beats) if len(found)]
    if not used:
        raise EcgError(
            "No window has beats that are found and an attribution. Give windows with QRS "
            "complexes, and another method if all its values are 0."
        )
    patients = windows.patients[used]
    relative = size[used] / size[used].mean(axis=(1, 2), keepdims=True)
    aligned = [
        _average_aligned(
            np.concatenate([windows.signal_mv[row], relative[k]], 1), beats[row], windows
        )
        for k, row in enumerate(used)
    ]
    n_leads = len(windows.signal.leads)
    labels = [label_waves(windows.time_s, beats[row], rr_s[row]) for row in used]
    waves = [locate_waves(rr_s[row]) for row in used]
    return BeatAverage(
        class_name=attribution.class_name,
        method=attribution.method,
        leads=windows.signal.leads,
        time_s=_make_offsets(windows.signal) / windows.signal.sampling_rate_hz,
        signal_mv=average_over_patients(np.stack(aligned)[..., :n_leads], patients),
        attribution=average_over_patients(np.stack(aligned)[..., n_leads:], patients),
        waves_s={
            name: tuple(np.mean([one[name] for one in waves], axis=0).tolist()) for name in WAVES
        },
        fractions=_compute_fractions(relative.sum(axis=2), np.stack(labels), patients),
        n_windows=len(used),
        n_beats=sum(len(beats[row]) for row in used),
        n_patients=len(np.unique(patients)),
    )


def _find_beats(signal_mv: np.ndarray, signal: SignalSpec) -> tuple[np.ndarray, float]:
    """Find the R peaks of a window, in s, and its RR interval."""
    peaks_s = find_r_peaks(signal_mv, signal) / signal.sampling_rate_hz
    rr_s = float(np.median(np.diff(peaks_s))) if len(peaks_s) > 1 else USUAL_RR_S
    if signal.around_beats and signal.beat_s is not None:
        return np.array([signal.beat_s]), rr_s
    return (peaks_s if len(peaks_s) > 1 else np.array([])), rr_s


def _make_offsets(signal: SignalSpec) -> np.ndarray:
    start, stop = (round(one * signal.sampling_rate_hz) for one in SPAN_S)
    return np.arange(start, stop + 1)


def _average_aligned(values: np.ndarray, beats_s: np.ndarray, windows: BeatWindows) -> np.ndarray:
    """Average columns over the beats of a window; nan where no beat has a sample."""
    centers = np.round(beats_s * windows.signal.sampling_rate_hz).astype(int)
    places = centers[:, None] + _make_offsets(windows.signal)
    is_inside = (places >= 0) & (places < len(values))
    stretches = values[np.clip(places, 0, len(values) - 1)]
    counts = is_inside.sum(axis=0)[:, None]
    sums = (stretches * is_inside[:, :, None]).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _compute_fractions(
    size: np.ndarray, labels: np.ndarray, patients: np.ndarray
) -> tuple[WaveFraction, ...]:
    """Compute the fraction of each wave, of values (n_windows, n_samples) and of time."""
    found = []
    for wave in (*WAVES, OTHER):
        is_wave = labels == wave
        attribution = (size * is_wave).sum(axis=1) / size.sum(axis=1)
        time = is_wave.mean(axis=1)
        values = np.stack([attribution, time, attribution - time], axis=1)
        mean = average_over_patients(values, patients)
        found.append(
            WaveFraction(
                wave=wave,
                attribution=float(mean.estimate[0]),
                attribution_low=float(mean.low[0]),
                attribution_high=float(mean.high[0]),
                time=float(mean.estimate[1]),
                difference=float(mean.estimate[2]),
                difference_low=float(mean.low[2]),
                difference_high=float(mean.high[2]),
            )
        )
    return tuple(found)
