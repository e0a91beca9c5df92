"""Each beat relative to the patient's other beats: intervals, irregularity, shape.

Nothing here uses the class of any beat. But the whole record is known: the values of a beat depend
on the beats before and after it, as is usual offline (de Chazal et al., IEEE Trans Biomed Eng
51:1196, 2004, take the mean interval of the whole record). They are not values of a monitor.

Absolute intervals are not used: a patient's heart rate tells who it is rather than what the beat
is.

Where most beats of a patient are ectopic, medians are those of the ectopic beats, which then do not
stand out. This is the case in record 232 of MIT-BIH, which has three quarters of all S of DS2.
Ectopic beats come early, so the long intervals among many are still sinus ones: the values relative
to those remain valid there.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

N_USUAL, N_MEAN = 200, 10  # beats before that give the usual and the mean interval
N_AROUND = 41  # beats, this one in the middle, that give the interval around it
N_FAR_AROUND, LONG_QUANTILE = 200, 0.9  # beats around, and their quantile that is a long interval
MAX_RATIO, MAX_SCORE = 3.0, 20.0  # some gaps are 100 s of ventricular flutter or of noise
MIN_SPREAD = 0.01  # of intervals, relative to the interval around: about the resolution of 120 Hz
IRREGULAR = {"5": 0.05, "15": 0.15}
STRETCHES = {"near": 21, "far": 61}  # beats in which the irregular ones are counted

BAND_HZ = (0.5, 40.0)
PADDING_S = 3.0
SPANS_S = {"qrs": (-0.1, 0.12), "p": (-0.25, -0.06)}  # relative to the beat
LEVEL_S = (-0.16, 0.21)
WHOLE_QRS_S = (-0.12, 0.2)
STRETCH_S = (
    min(edges[0] for edges in (*SPANS_S.values(), LEVEL_S, WHOLE_QRS_S)),
    max(edges[1] for edges in (*SPANS_S.values(), LEVEL_S, WHOLE_QRS_S)),
)
MAX_SHIFT_S, N_ALIGNMENTS = 0.033, 2
BLOCK, MARGIN = 50, 75  # beats that share a template, and beats on each side that also form it
MIN_MV = 0.001
MIN_WIDTH_RANGE_S = 0.02
MAX_DIFFERENCE = 5.0  # relative to the root mean square of the template

# An ectopic beat comes before this fraction of a long interval, and differs at least this much.
EARLY, UNLIKE = 0.85, 0.9
MIN_ECTOPIC = 3  # beats that give the patient's ectopic shape

INTERVALS = (
    "rr_before_ratio",
    "rr_after_ratio",
    "rr_mean_ratio",
    "rr_before_to_mean_ratio",
    "rr_before_to_previous_ratio",
    "rr_before_to_around_ratio",
    "rr_after_to_around_ratio",
    "rr_before_to_record_ratio",
    "rr_after_to_record_ratio",
    "rr_before_to_long_ratio",
    "rr_after_to_long_ratio",
    "rr_before_to_record_long_ratio",
    "rr_after_to_record_long_ratio",
    "rr_before_score",
    *(f"rr_irregular_{percent}_{stretch}" for percent in IRREGULAR for stretch in STRETCHES),
)
SHAPES = (
    *(
        f"{span}_{value}_{lead}"
        for span in SPANS_S
        for value in ("correlation", "rms_ratio", "difference")
        for lead in ("mlii", "v")
    ),
    "qrs_width_score_mlii",
    "qrs_width_score_v",
    "ectopic_share",
    "ectopic_distance",
)


class Comparison(NamedTuple):
    """How beats compare with their templates, lead by lead.

    Parameters
    ----------
    correlation : array of shape (n_leads, n_beats)
        Correlation with the template.
    rms_ratio : array of shape (n_leads, n_beats)
        Root mean square over that of the template, at most 3.
    difference : array of shape (n_leads, n_beats)
        Root mean square of the difference over that of the template, at most 5.

    Examples
    --------
    >>> template = np.sin(np.arange(40))[None, :, None]
    >>> comparison = compare_with_template(-template, template)
    >>> round(float(comparison.correlation[0, 0]), 2), round(float(comparison.difference[0, 0]), 1)
    (-1.0, 2.0)
    """

    correlation: np.ndarray
    rms_ratio: np.ndarray
    difference: np.ndarray


class EctopicPosition(NamedTuple):
    """Where beats are between the patient's usual and ectopic QRS complex.

    Parameters
    ----------
    fraction : array of shape (n_beats,)
        Position on the way, from 0 (usual) to 1 (ectopic); -1 to 2.
    distance : array of shape (n_beats,)
        Distance from the way over its length, at most 3.

    Examples
    --------
    >>> positions = EctopicPosition(
    ...     fraction=np.array([0.0, 0.4, 1.0]), distance=np.array([0.1, 0.2, 0.1])
    ... )
    >>> ((positions.fraction > 0.2) & (positions.fraction < 0.8)).tolist()  # mixtures
    [False, True, False]
    """

    fraction: np.ndarray
    distance: np.ndarray


def compute_beat_values(
    signal_mv: np.ndarray, beats_s: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    """Compute the intervals and shapes of the beats of a record.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, 2)
        The record in mV.
    beats_s : array of shape (n_beats,)
        Times of all beats of the record, in s.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    dict of str to array of shape (n_beats,)
        The columns `INTERVALS` (`compute_intervals`) and `SHAPES` (`compute_shapes`).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> beats_s = 1 + 0.8 * np.arange(30)
    >>> values = compute_beat_values(rng.standard_normal((3000, 2)), beats_s, rate_hz=120.0)
    >>> tuple(values) == INTERVALS + SHAPES
    True
    """
    return compute_intervals(beats_s) | compute_shapes(signal_mv, beats_s, rate_hz)


def compute_intervals(beats_s: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the RR intervals around each beat relative to the patient's other intervals.

    Parameters
    ----------
    beats_s : array of shape (n_beats,)
        Times of all beats of a record, in s.

    Returns
    -------
    dict of str to array of shape (n_beats,)
        The columns `INTERVALS`. Ratios above 3 are 3. A value that a beat at an end of the record
        lacks is NaN.

    Notes
    -----
    - The intervals before and after the beat, and the mean of up to ten before it, over the usual
      one so far: the median of up to the last 200. That before also over the mean of ten, and
      over the interval before it.
    - The intervals before and after over that around: the median of 41, this one in the middle;
      over the median of the record; over a long one around: the 0.9 quantile of 200; and over a
      long one of the record.
    - The distance of the interval before from that around, in units of the spread there: the root
      of the median squared change from beat to beat among 21, at least 1 %; at most 20 each way.
    - The fraction of changes from beat to beat that exceed 5 and 15 % of the interval around, among
      the 21 and the 61 nearest: high in atrial fibrillation.

    Examples
    --------
    >>> values = compute_intervals(np.array([0.0, 0.8, 1.6, 2.4, 2.8, 4.0, 4.8]))
    >>> np.round(values["rr_before_ratio"], 2).tolist()
    [nan, 1.0, 1.0, 1.0, 0.5, 1.5, 1.0]
    """
    rr = np.diff(beats_s, prepend=np.nan, append=np.nan)
    before, after = rr[:-1], rr[1:]
    previous = np.append(np.nan, before[:-1])
    usual = pd.Series(before).rolling(N_USUAL, min_periods=1).median().to_numpy()
    mean = pd.Series(before).rolling(N_MEAN, min_periods=1).mean().to_numpy()
    near = compute_rolling_statistic(before, N_AROUND, "median")
    long = compute_long_intervals(before)
    record, record_long = np.nan, np.nan
    if len(before) > 1:
        record, record_long = np.nanquantile(before, (0.5, LONG_QUANTILE))
    ratios = {
        "rr_before_ratio": before / usual,
        "rr_after_ratio": after / usual,
        "rr_mean_ratio": mean / usual,
        "rr_before_to_mean_ratio": before / mean,
        "rr_before_to_previous_ratio": before / previous,
        "rr_before_to_around_ratio": before / near,
        "rr_after_to_around_ratio": after / near,
        "rr_before_to_record_ratio": before / record,
        "rr_after_to_record_ratio": after / record,
        "rr_before_to_long_ratio": before / long,
        "rr_after_to_long_ratio": after / long,
        "rr_before_to_record_long_ratio": before / record_long,
        "rr_after_to_record_long_ratio": after / record_long,
    }
    values = {name: np.minimum(ratio, MAX_RATIO) for name, ratio in ratios.items()}
    squared_change = np.diff(before, prepend=np.nan) ** 2
    spread = np.sqrt(compute_rolling_statistic(squared_change, STRETCHES["near"], "median"))
    score = (before - near) / np.fmax(spread, MIN_SPREAD * near)
    values["rr_before_score"] = np.clip(score, -MAX_SCORE, MAX_SCORE)
    change = np.abs(np.diff(before / near, prepend=np.nan))
    for percent, threshold in IRREGULAR.items():
        is_irregular = (change > threshold).astype(float)
        for stretch, n_beats in STRETCHES.items():
            fraction = compute_rolling_statistic(is_irregular, n_beats, "mean")
            values[f"rr_irregular_{percent}_{stretch}"] = fraction
    return values


def compute_rolling_statistic(values: np.ndarray, n_beats: int, statistic: str) -> np.ndarray:
    """Compute the median or mean of the values of the beats around each.

    Parameters
    ----------
    values : array of shape (n_beats,)
        One value per beat; NaN is ignored.
    n_beats : int
        Number of beats, this one in the middle; fewer at the ends.
    statistic : str
        ``"median"`` or ``"mean"``.

    Returns
    -------
    array of shape (n_beats,)
        The statistic around each beat.

    Examples
    --------
    >>> compute_rolling_statistic(np.array([1.0, 2.0, 6.0, 4.0]), 3, "median").tolist()
    [1.5, 2.0, 4.0, 5.0]
    """
    return pd.Series(values).rolling(n_beats, center=True, min_periods=1).agg(statistic).to_numpy()


def compute_long_intervals(before_s: np.ndarray) -> np.ndarray:
    """Compute a long interval among those of the beats around each, which is not an ectopic one.

    Parameters
    ----------
    before_s : array of shape (n_beats,)
        Interval before each beat, in s.

    Returns
    -------
    array of shape (n_beats,)
        The 0.9 quantile of the 200 beats around each, in s.

    Examples
    --------
    >>> round(float(compute_long_intervals(np.array([0.5, 0.5, 0.5, 0.8, 0.8]))[0]), 2)
    0.8
    """
    beats = pd.Series(before_s).rolling(N_FAR_AROUND, center=True, min_periods=1)
    return beats.quantile(LONG_QUANTILE).to_numpy()


def compute_shapes(
    signal_mv: np.ndarray, beats_s: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    """Compare the shape of each beat with that of the patient's other beats, lead by lead.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, 2)
        The record in mV.
    beats_s : array of shape (n_beats,)
        Times of all beats of the record, in s.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    dict of str to array of shape (n_beats,)
        The columns `SHAPES`. All values of a flat lead are NaN, and so are the last two of a
        patient without ectopic beats.

    Notes
    -----
    The signal is band-passed from 0.5 to 40 Hz without delay, and each beat is moved by up to
    0.033 s to where its QRS complex best agrees with the median one of the record.

    - Its QRS complex and the stretch of the P wave, each without its mean, are compared with the
      median of about 200 beats around: the correlation, the root mean square over that of the
      median (at most 3), and that of the difference over that of the median (at most 5).
    - The width of its QRS complex, area over peak, less the median of the record, over the
      interquartile range there plus 0.02 s; at most 20 each way.
    - Its position on the way from the usual QRS complex to the patient's ectopic one, 0 to 1
      (`compute_ectopic_positions`), and its distance from that way.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> beats_s = 1 + 0.8 * np.arange(30)
    >>> values = compute_shapes(rng.standard_normal((3000, 2)), beats_s, rate_hz=120.0)
    >>> values["qrs_correlation_mlii"].shape
    (30,)
    """
    signal = np.ascontiguousarray(filter_signal(signal_mv, "bandpass", BAND_HZ, rate_hz).T)
    flat = np.ascontiguousarray(signal_mv.T).std(axis=1) < MIN_MV
    samples = align_beats(signal, np.round(beats_s * rate_hz).astype(int), rate_hz)
    stretches = cut_beats(signal, samples, STRETCH_S, rate_hz)
    usual = compute_templates(stretches)

    def take_span(beats: np.ndarray, edges_s: tuple[float, float]) -> np.ndarray:
        low, high = (round(edge * rate_hz) - round(STRETCH_S[0] * rate_hz) for edge in edges_s)
        return beats[:, low:high]

    columns: list[np.ndarray] = []
    for edges_s in SPANS_S.values():
        columns += compare_with_template(take_span(stretches, edges_s), take_span(usual, edges_s))
    qrs, around_qrs = take_span(stretches, SPANS_S["qrs"]), take_span(stretches, LEVEL_S)
    columns.append(compute_width_scores(qrs, around_qrs, rate_hz))
    by_lead = np.where(flat[:, None], np.nan, np.stack(columns)).reshape(-1, len(samples))
    before = np.diff(beats_s, prepend=np.nan)
    complexes = take_span(stretches, WHOLE_QRS_S)[~flat]
    early = before / compute_long_intervals(before) < EARLY
    ectopic = compute_ectopic_positions(complexes, early)
    return dict(zip(SHAPES, [*by_lead, ectopic.fraction, ectopic.distance], strict=True))


def filter_signal(
    signal_mv: np.ndarray, kind: str, edges_hz: float | tuple[float, float], rate_hz: float
) -> np.ndarray:
    """Filter a record by a second-order Butterworth filter, forwards and backwards.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        The record in mV.
    kind : str
        As for `scipy.signal.butter`: ``"bandpass"`` or ``"highpass"``.
    edges_hz : float or tuple of float
        Two edges in Hz for ``"bandpass"``, one for ``"highpass"``.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_samples, n_leads)
        The filtered record in mV, without delay.

    Examples
    --------
    >>> filtered_mv = filter_signal(np.ones((1200, 1)), "highpass", 0.5, rate_hz=120.0)
    >>> bool(np.abs(filtered_mv).max() < 0.01)
    True
    """
    from scipy.signal import butter, sosfiltfilt  # takes half a second to import

    sections = butter(2, edges_hz, kind, fs=rate_hz, output="sos")
    padding = min(round(PADDING_S * rate_hz), len(signal_mv) - 1)
    return sosfiltfilt(sections, signal_mv, axis=0, padlen=padding)


def cut_beats(
    signal: np.ndarray, samples: np.ndarray, edges_s: tuple[float, float], rate_hz: float
) -> np.ndarray:
    """Cut a stretch around each beat; beyond the ends of the record its last values are repeated.

    Parameters
    ----------
    signal : array of shape (n_leads, n_samples)
        The record.
    samples : int array of shape (n_beats,)
        Sample of each beat.
    edges_s : tuple of float
        Start and end of the stretch, in s from the beat.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_leads, n_steps, n_beats)
        The stretches. Beats are adjacent in memory, so operations on every beat run over long rows.

    Examples
    --------
    >>> cut_beats(np.arange(10)[None], np.array([3, 6]), (-0.1, 0.2), rate_hz=10.0)[0].tolist()
    [[2, 5], [3, 6], [4, 7]]
    """
    low, high = (round(edge * rate_hz) for edge in edges_s)
    times = samples + np.arange(low, high)[:, None]
    return np.take(signal, np.clip(times, 0, signal.shape[1] - 1), axis=1)


def align_beats(signal: np.ndarray, samples: np.ndarray, rate_hz: float) -> np.ndarray:
    """Move beats to where all leads agree best with the median QRS complex.

    Parameters
    ----------
    signal : array of shape (n_leads, n_samples)
        The filtered record in mV.
    samples : int array of shape (n_beats,)
        Sample of each beat.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    int array of shape (n_beats,)
        Sample of each beat, moved by up to 0.033 s in each of two passes.

    Examples
    --------
    >>> time = np.arange(2000)
    >>> signal = np.exp(-(((time[:, None] - np.arange(100, 1900, 100)) / 3) ** 2)).sum(axis=1)
    >>> samples = np.arange(100, 1900, 100)
    >>> samples[5] += 2
    >>> int(align_beats(signal[None], samples, rate_hz=120.0)[5])
    600
    """
    max_shift = round(MAX_SHIFT_S * rate_hz)
    shifts = np.arange(-max_shift, max_shift + 1)
    low, high = SPANS_S["qrs"]
    edges_s = (low - max_shift / rate_hz, high + max_shift / rate_hz)
    for _ in range(N_ALIGNMENTS):
        stretches = cut_beats(signal, samples, edges_s, rate_hz)
        templates = compute_median(stretches[:, max_shift : stretches.shape[1] - max_shift])
        agreement = sum(
            correlate_shifts(stretch, template)
            for stretch, template in zip(stretches, templates, strict=True)
        )
        samples = samples + shifts[np.argmax(agreement, axis=0)]
    return samples


def correlate_shifts(stretches: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Correlate a template with every part of longer stretches.

    Parameters
    ----------
    stretches : array of shape (n_steps + n_shifts - 1, n_beats)
        A stretch per beat, of one lead.
    template : array of shape (n_steps,)
        The template.

    Returns
    -------
    array of shape (n_shifts, n_beats)
        Correlation at each shift.

    Examples
    --------
    >>> template = np.array([0.0, 1.0, 0.0])
    >>> stretches = np.array([[0.0], [0.0], [1.0], [0.0], [0.0]])
    >>> np.round(correlate_shifts(stretches, template)[:, 0], 2).tolist()
    [-0.5, 1.0, -0.5]
    """
    n, n_shifts = len(template), len(stretches) - len(template) + 1
    template = template - template.mean()

    def compute_means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
        shifted = sliding_window_view(np.pad(weights, n_shifts - 1), len(stretches))[::-1]
        return shifted @ values / n

    even = np.ones(n)
    variance = compute_means(even, stretches**2) - compute_means(even, stretches) ** 2
    rms = np.sqrt(np.maximum(variance, 0.0))
    template_rms = np.sqrt(np.mean(template**2))
    return compute_means(template, stretches) / np.maximum(rms * template_rms, MIN_MV**2)


def compute_median(values: np.ndarray) -> np.ndarray:
    """Compute the median over the last axis by sorting.

    Parameters
    ----------
    values : array of shape (..., n)
        The values.

    Returns
    -------
    array of shape (...)
        Their median.

    Notes
    -----
    NumPy sorts six times as fast as it selects, as `numpy.median` does.

    Examples
    --------
    >>> float(compute_median(np.array([4.0, 1.0, 3.0, 2.0])))
    2.5
    """
    ordered = np.sort(values, axis=-1)
    n = values.shape[-1]
    return ordered[..., (n - 1) // 2 : n // 2 + 1].mean(axis=-1)


def compute_templates(beats: np.ndarray) -> np.ndarray:
    """Compute the median of the beats around each: its block of 50 and 75 beats on each side.

    Parameters
    ----------
    beats : array of shape (..., n_beats)
        The beats.

    Returns
    -------
    array of shape (..., n_beats)
        The template of each beat.

    Examples
    --------
    >>> compute_templates(np.arange(200.0))[[0, 60, 199]].tolist()
    [62.0, 87.0, 137.0]
    """
    templates = np.empty_like(beats)
    for start in range(0, beats.shape[-1], BLOCK):
        around = beats[..., max(0, start - MARGIN) : start + BLOCK + MARGIN]
        templates[..., start : start + BLOCK] = compute_median(around)[..., None]
    return templates


def compare_with_template(beats: np.ndarray, templates: np.ndarray) -> Comparison:
    """Compare beats with their templates, each without its mean.

    Parameters
    ----------
    beats, templates : array of shape (n_leads, n_steps, n_beats)
        The beats and the template of each, in mV.

    Returns
    -------
    Comparison
        Correlation, ratio of root mean squares and relative difference.

    Examples
    --------
    >>> template = np.sin(np.arange(40))[None, :, None]
    >>> comparison = compare_with_template(2 * template, template)
    >>> round(float(comparison.correlation[0, 0]), 3), round(float(comparison.rms_ratio[0, 0]), 2)
    (1.0, 2.0)
    """
    beats = beats - beats.mean(axis=1, keepdims=True)
    templates = templates - templates.mean(axis=1, keepdims=True)
    rms, template_rms = (np.sqrt(np.mean(x**2, axis=1)) for x in (beats, templates))
    difference = np.sqrt(np.mean((beats - templates) ** 2, axis=1))
    products = np.mean(beats * templates, axis=1)
    return Comparison(
        correlation=products / np.maximum(rms * template_rms, MIN_MV**2),
        rms_ratio=np.minimum(rms / (template_rms + MIN_MV), MAX_RATIO),
        difference=np.minimum(difference / (template_rms + MIN_MV), MAX_DIFFERENCE),
    )


def compute_width_scores(qrs: np.ndarray, around_qrs: np.ndarray, rate_hz: float) -> np.ndarray:
    """Compute the width of each QRS complex, area over peak, relative to the record.

    Area and peak are measured from the median of the stretch around the complex.

    Parameters
    ----------
    qrs : array of shape (n_leads, n_steps, n_beats)
        QRS complexes in mV.
    around_qrs : array of shape (n_leads, n_more_steps, n_beats)
        Longer stretches around them, in mV.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_leads, n_beats)
        Width less the median of the record, over the interquartile range plus 0.02 s; -20 to 20.

    Examples
    --------
    >>> widths = np.array([5, 5, 5, 20])
    >>> beats = np.exp(-((np.arange(-50, 51)[:, None] / widths) ** 2))[None]
    >>> np.round(compute_width_scores(beats, beats, rate_hz=120.0)[0], 1).tolist()
    [0.0, 0.0, 0.0, 3.0]
    """
    level = compute_median(around_qrs.swapaxes(1, 2))
    size = np.abs(qrs - level[:, None])
    width_s = size.sum(axis=1) / rate_hz / (size.max(axis=1) + MIN_MV)
    low, middle, high = np.quantile(width_s, (0.25, 0.5, 0.75), axis=1)[..., None]
    score = (width_s - middle) / (high - low + MIN_WIDTH_RANGE_S)
    return np.clip(score, -MAX_SCORE, MAX_SCORE)


def compute_ectopic_positions(complexes: np.ndarray, early: np.ndarray) -> EctopicPosition:
    """Locate each beat on the way from the usual QRS complex to the patient's ectopic one.

    Parameters
    ----------
    complexes : array of shape (n_leads, n_steps, n_beats)
        QRS complexes in mV.
    early : bool array of shape (n_beats,)
        Whether each beat comes early.

    Returns
    -------
    EctopicPosition
        Position on the way and distance from it; both NaN if fewer than three beats are ectopic.

    Notes
    -----
    Ectopic are beats that come early and are unlike the usual one: the difference has at least 0.9
    of its norm. The way is the median of their differences. Where a ventricular and an atrial
    excitation meet, the complex is a mixture of both: a fusion beat is between 0 and 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> usual, ectopic = rng.standard_normal((2, 1, 40, 1))
    >>> fractions = np.zeros(60)
    >>> fractions[[5, 15, 25, 35]], fractions[45] = 1.0, 0.4
    >>> complexes = (1 - fractions) * usual + fractions * ectopic
    >>> positions = compute_ectopic_positions(complexes, early=fractions == 1)
    >>> np.round(positions.fraction[[0, 5, 45]], 2).tolist()
    [0.0, 1.0, 0.4]
    """
    beats = (complexes - complexes.mean(axis=1, keepdims=True)).reshape(-1, len(early))
    usual = compute_templates(beats)
    difference = beats - usual
    size = np.linalg.norm(difference, axis=0) / (np.linalg.norm(usual, axis=0) + MIN_MV)
    ectopic = early & (size > UNLIKE)
    if ectopic.sum() < MIN_ECTOPIC:
        return EctopicPosition(np.full(len(early), np.nan), np.full(len(early), np.nan))
    way = compute_median(difference[:, ectopic])
    length = np.linalg.norm(way) + MIN_MV
    fraction = way @ difference / length**2
    distance = np.linalg.norm(difference - way[:, None] * fraction, axis=0) / length
    return EctopicPosition(np.clip(fraction, -1.0, 2.0), np.minimum(distance, MAX_RATIO))
