"""How a beat stands to its patient's own beats: intervals, irregularity, shape.

Nothing here knows of any beat's class. But a whole record is known: the values of a beat look at
the beats before and after it, as is usual offline (de Chazal et al., IEEE Trans Biomed Eng
51:1196, 2004, take the mean interval of the whole record). They are no values of a monitor.

Absolute intervals are left out: a patient's heart rate says who it is before what the beat is.

Where most beats of a patient are ectopic, medians are those of the ectopic beats, which then do not
stand out. So it is in record 232 of MIT-BIH, which has three quarters of all S of DS2. Ectopic
beats come early, so that the long intervals among many are still sinus ones: the values over those
hold there.
"""

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

SO_FAR, LAST = 200, 10  # beats before that tell the usual and the mean interval
AROUND = 41  # beats, this one in their middle, that tell the interval around it
FAR_AROUND, LONG = 200, 0.9  # beats around, and the quantile of them that is a long interval
LARGEST_RATIO, LARGEST_SCORE = 3.0, 20.0  # some gaps are 100 s of ventricular flutter or of noise
LEAST_SPREAD = 0.01  # of intervals, as a share of the interval around: 120 Hz is about as coarse
IRREGULAR = {"5": 0.05, "15": 0.15}
STRETCHES = {"near": 21, "far": 61}  # beats in which the irregular ones are counted

BAND_HZ = (0.5, 40.0)
PADDING_S = 3.0
SPANS_S = {"qrs": (-0.1, 0.12), "p": (-0.25, -0.06)}  # from the beat
LEVEL_S = (-0.16, 0.21)
WHOLE_QRS_S = (-0.12, 0.2)
OF_STRETCH_S = (*SPANS_S.values(), LEVEL_S, WHOLE_QRS_S)
STRETCH_S = (min(edges[0] for edges in OF_STRETCH_S), max(edges[1] for edges in OF_STRETCH_S))
MOST_SHIFT_S, ALIGNED_TIMES = 0.033, 2
BLOCK, ASIDE = 50, 75  # beats that share a template, and beats on each side that also make it
LEAST_MV = 0.001
LEAST_WIDTH_RANGE_S = 0.02
LARGEST_DIFFERENCE = 5.0  # in root mean squares of the template

EARLY, UNLIKE = 0.85, 0.9  # an ectopic beat: before that share of a long interval, so unlike
LEAST_ECTOPIC = 3  # beats that tell the patient's ectopic shape

INTERVALS = (
    *("rr_before_ratio", "rr_after_ratio", "rr_mean_ratio"),
    *("rr_before_to_mean_ratio", "rr_before_to_previous_ratio"),
    *("rr_before_to_around_ratio", "rr_after_to_around_ratio"),
    *("rr_before_to_record_ratio", "rr_after_to_record_ratio"),
    *("rr_before_to_long_ratio", "rr_after_to_long_ratio"),
    *("rr_before_to_record_long_ratio", "rr_after_to_record_long_ratio"),
    "rr_before_score",
    *(f"rr_irregular_{share}_{stretch}" for share in IRREGULAR for stretch in STRETCHES),
)
SHAPES = tuple(
    f"{span}_{value}_{lead}"
    for span in SPANS_S
    for value in ("correlation", "rms_ratio", "difference")
    for lead in ("mlii", "v")
) + ("qrs_width_score_mlii", "qrs_width_score_v", "ectopic_share", "ectopic_distance")


def of_beats(signal_mv: np.ndarray, beats_s: np.ndarray, rate_hz: float) -> dict[str, np.ndarray]:
    """`intervals` and `shapes` of the beats of a record."""
    return intervals(beats_s) | shapes(signal_mv, beats_s, rate_hz)


def intervals(beats_s: np.ndarray) -> dict[str, np.ndarray]:
    """RR intervals around each beat relative to the patient's own, and how irregular they are.

    - The intervals before and after the beat, and the mean of up to ten before it, over the usual
      one so far: the median of up to the last 200. That before also over the mean of ten, and
      over the interval before it.
    - The intervals before and after over that around: the median of 41, this one in the middle;
      over the median of the record; over a long one around: the 0.9 quantile of 200; and over a
      long one of the record.
    - The distance of the interval before from that around, in units of the spread there: the root
      of the median squared change from beat to beat among 21, at least 1 %; at most 20 each way.
    - The share of changes from beat to beat that are above 5 and above 15 % of the interval
      around, among the 21 and the 61 nearest: high in atrial fibrillation.

    Ratios above 3 are 3. What a beat at an end of the record lacks is NaN.

    Parameters
    ----------
    beats_s
        times of all beats of a record, in s.

    Returns
    -------
    Column of `INTERVALS` -> array of shape (n_beats,).
    """
    rr = np.diff(beats_s, prepend=np.nan, append=np.nan)
    before, after = rr[:-1], rr[1:]
    usual = pd.Series(before).rolling(SO_FAR, min_periods=1).median().to_numpy()
    mean = pd.Series(before).rolling(LAST, min_periods=1).mean().to_numpy()
    near, long = around(before, AROUND, "median"), long_around(before)
    record, record_long = np.nanquantile(before, (0.5, LONG)) if len(before) > 1 else (np.nan,) * 2
    ratios = (
        *(before / usual, after / usual, mean / usual),
        *(before / mean, before / np.append(np.nan, before[:-1])),
        *(before / near, after / near, before / record, after / record),
        *(before / long, after / long, before / record_long, after / record_long),
    )
    change = np.diff(before / near, prepend=np.nan)
    spread = np.sqrt(around(np.diff(before, prepend=np.nan) ** 2, STRETCHES["near"], "median"))
    score = (before - near) / np.fmax(spread, LEAST_SPREAD * near)
    shares = (
        around((np.abs(change) > least).astype(float), n_beats, "mean")
        for least in IRREGULAR.values()
        for n_beats in STRETCHES.values()
    )
    values = [np.minimum(ratio, LARGEST_RATIO) for ratio in ratios]
    values += [np.clip(score, -LARGEST_SCORE, LARGEST_SCORE), *shares]
    return dict(zip(INTERVALS, values, strict=True))


def around(values: np.ndarray, n_beats: int, statistic: str) -> np.ndarray:
    """The median or mean of the values of the beats around each, fewer at the ends."""
    return pd.Series(values).rolling(n_beats, center=True, min_periods=1).agg(statistic).to_numpy()


def long_around(before_s: np.ndarray) -> np.ndarray:
    """A long interval among those of the beats around each, which is no ectopic one."""
    beats = pd.Series(before_s).rolling(FAR_AROUND, center=True, min_periods=1)
    return beats.quantile(LONG).to_numpy()


def shapes(signal_mv: np.ndarray, beats_s: np.ndarray, rate_hz: float) -> dict[str, np.ndarray]:
    """How the shape of each beat stands to that of the patient's other beats, lead by lead.

    The signal is band-passed from 0.5 to 40 Hz without delay, and each beat is moved by up to
    0.033 s to where its QRS complex best agrees with the median one of the record.

    - Its QRS complex and the stretch where a P wave stands, each without its mean, beside the
      median of about 200 beats around: the correlation, the root mean square over that of the
      median (at most 3), and that of the difference over that of the median (at most 5).
    - The width of its QRS complex, area over peak, less the median of the record, over the
      interquartile range there and 0.02 s; at most 20 each way.
    - How far it is on the way from the usual QRS complex to the patient's ectopic one, 0 to 1
      (`ectopic_shares`), and how far beside that way.

    Parameters
    ----------
    signal_mv
        the record, shape (n_samples, 2), in mV.
    beats_s
        times of all beats of the record, in s.
    rate_hz
        sampling rate in Hz.

    Returns
    -------
    Column of `SHAPES` -> array of shape (n_beats,); of a lead that is flat all are NaN, and the
    last two of a patient without ectopic beats.
    """
    signal = np.ascontiguousarray(filtered(signal_mv, "bandpass", BAND_HZ, rate_hz).T)
    flat = np.ascontiguousarray(signal_mv.T).std(axis=1) < LEAST_MV
    at = aligned(signal, np.round(beats_s * rate_hz).astype(int), rate_hz)
    stretch = cut(signal, at, STRETCH_S, rate_hz)
    usual = templates(stretch)

    def part(of, edges_s):
        low, high = (round(edge * rate_hz) - round(STRETCH_S[0] * rate_hz) for edge in edges_s)
        return of[:, low:high]

    values = []
    for edges_s in SPANS_S.values():
        values += compared(part(stretch, edges_s), part(usual, edges_s))
    qrs, around_qrs = part(stretch, SPANS_S["qrs"]), part(stretch, LEVEL_S)
    values.append(width_scores(qrs, around_qrs, rate_hz))
    values = np.where(flat[:, None], np.nan, np.stack(values)).reshape(-1, len(at))
    before = np.diff(beats_s, prepend=np.nan)
    own = part(stretch, WHOLE_QRS_S)[~flat]
    ectopic = ectopic_shares(own, before / long_around(before) < EARLY)
    return dict(zip(SHAPES, [*values, *ectopic], strict=True))


def filtered(signal_mv: np.ndarray, kind: str, edges_hz, rate_hz: float) -> np.ndarray:
    """The record through a Butterworth filter of second order, forwards and backwards.

    Parameters
    ----------
    signal_mv
        shape (n_samples, n_leads).
    kind, edges_hz
        as for `scipy.signal.butter`: ``"bandpass"`` with two edges, ``"highpass"`` with one.
    rate_hz
        sampling rate in Hz.
    """
    from scipy.signal import butter, sosfiltfilt  # takes half a second to import

    sections = butter(2, edges_hz, kind, fs=rate_hz, output="sos")
    padding = min(round(PADDING_S * rate_hz), len(signal_mv) - 1)
    return sosfiltfilt(sections, signal_mv, axis=0, padlen=padding)


def cut(signal: np.ndarray, at: np.ndarray, edges_s: tuple, rate_hz: float) -> np.ndarray:
    """A stretch around each beat: (n_leads, n_steps, n_beats); the ends of the record are held.

    Beats lie side by side in memory, so that what is done with every beat is done with long rows.

    Parameters
    ----------
    signal
        shape (n_leads, n_samples).
    at
        sample of each beat.
    edges_s
        where the stretch begins and ends, in s from the beat.
    rate_hz
        sampling rate in Hz.
    """
    low, high = (round(edge * rate_hz) for edge in edges_s)
    times = at + np.arange(low, high)[:, None]
    return np.take(signal, np.clip(times, 0, signal.shape[1] - 1), axis=1)


def aligned(signal: np.ndarray, at: np.ndarray, rate_hz: float) -> np.ndarray:
    """The samples of the beats, moved to where all leads best agree with the median complex.

    `signal` has shape (n_leads, n_samples), `at` (n_beats,).
    """
    most = round(MOST_SHIFT_S * rate_hz)
    shifts = np.arange(-most, most + 1)
    low, high = SPANS_S["qrs"]
    edges_s = (low - most / rate_hz, high + most / rate_hz)
    for _ in range(ALIGNED_TIMES):
        wide = cut(signal, at, edges_s, rate_hz)
        template = median(wide[:, most : wide.shape[1] - most])
        agreement = sum(correlations(*lead) for lead in zip(wide, template, strict=True))
        at = at + shifts[np.argmax(agreement, axis=0)]
    return at


def correlations(wide: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Of a template (n_steps,) with each stretch as long in (n_steps + n_shifts - 1, n_beats)."""
    n, n_shifts = len(template), len(wide) - len(template) + 1
    template = template - template.mean()

    def means(weights, values):
        shifted = sliding_window_view(np.pad(weights, n_shifts - 1), len(wide))[::-1]
        return shifted @ values / n

    even = np.ones(n)
    rms = np.sqrt(np.maximum(means(even, wide**2) - means(even, wide) ** 2, 0.0))
    usual = np.sqrt(np.mean(template**2))
    return means(template, wide) / np.maximum(rms * usual, LEAST_MV**2)


def median(values: np.ndarray) -> np.ndarray:
    """The median over the last axis: NumPy sorts six times as fast as it selects."""
    ordered = np.sort(values, axis=-1)
    n = values.shape[-1]
    return ordered[..., (n - 1) // 2 : n // 2 + 1].mean(axis=-1)


def templates(own: np.ndarray) -> np.ndarray:
    """The median of the beats around each: of its block of 50, and 75 on each side of that."""
    blocks = np.empty_like(own)
    for start in range(0, own.shape[-1], BLOCK):
        stretch = own[..., max(0, start - ASIDE) : start + BLOCK + ASIDE]
        blocks[..., start : start + BLOCK] = median(stretch)[..., None]
    return blocks


def compared(own: np.ndarray, template: np.ndarray) -> list[np.ndarray]:
    """Correlation, ratio of root mean squares and relative difference, each (n_leads, n_beats)."""
    own = own - own.mean(axis=1, keepdims=True)
    template = template - template.mean(axis=1, keepdims=True)
    rms, usual = (np.sqrt(np.mean(x**2, axis=1)) for x in (own, template))
    difference = np.sqrt(np.mean((own - template) ** 2, axis=1))
    correlation = np.mean(own * template, axis=1) / np.maximum(rms * usual, LEAST_MV**2)
    ratio = np.minimum(rms / (usual + LEAST_MV), LARGEST_RATIO)
    return [correlation, ratio, np.minimum(difference / (usual + LEAST_MV), LARGEST_DIFFERENCE)]


def width_scores(qrs: np.ndarray, around_qrs: np.ndarray, rate_hz: float) -> np.ndarray:
    """Area over peak of each QRS complex relative to the record's: (n_leads, n_beats).

    Area and peak are those above or below the median of what is around the complex.
    """
    level = median(around_qrs.swapaxes(1, 2))
    size = np.abs(qrs - level[:, None])
    width_s = size.sum(axis=1) / rate_hz / (size.max(axis=1) + LEAST_MV)
    low, middle, high = np.quantile(width_s, (0.25, 0.5, 0.75), axis=1)[..., None]
    score = (width_s - middle) / (high - low + LEAST_WIDTH_RANGE_S)
    return np.clip(score, -LARGEST_SCORE, LARGEST_SCORE)


def ectopic_shares(own: np.ndarray, early: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each beat on the way from the usual QRS complex to the patient's ectopic one.

    Ectopic are beats that come early and are unlike the usual one: the difference has 0.9 of its
    norm. The way is the median of their differences. Where a beat of the ventricles and one of the
    atria meet, the complex is a mixture of both: a fusion beat is between 0 and 1.

    Parameters
    ----------
    own
        complexes of shape (n_leads, n_steps, n_beats), in mV.
    early
        which beats come early, shape (n_beats,).

    Returns
    -------
    The share of the way, -1 to 2, and the distance from it over its length, at most 3; both NaN
    where fewer than three beats are ectopic.
    """
    own = (own - own.mean(axis=1, keepdims=True)).reshape(-1, len(early))
    usual = templates(own)
    difference = own - usual
    size = np.linalg.norm(difference, axis=0) / (np.linalg.norm(usual, axis=0) + LEAST_MV)
    ectopic = early & (size > UNLIKE)
    if ectopic.sum() < LEAST_ECTOPIC:
        return (np.full(len(early), np.nan),) * 2
    way = median(difference[:, ectopic])
    length = np.linalg.norm(way) + LEAST_MV
    share = way @ difference / length**2
    distance = np.linalg.norm(difference - way[:, None] * share, axis=0) / length
    return np.clip(share, -1.0, 2.0), np.minimum(distance, LARGEST_RATIO)
