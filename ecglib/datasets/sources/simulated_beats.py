"""Simulated rhythms made of a patient's beats: more kinds of rhythms to learn from.

Of the 22 training patients of MIT-BIH few have many ectopic beats, and one has nearly all fusion
beats, so a network learns those patients. Here beats of a record are moved so that they come early,
in runs, or late, or they are mixed with a ventricular one, which is what such beats are:

- An *atrial premature* beat is an early sinus beat with another P wave: alone, after each sinus
  beat, in runs, or as most of the beats; a pause follows.
- Where beats are *blocked*, sinus beats come after twice the interval.
- In atrial *fibrillation* beats come at any time and have no P wave; none of them is premature.
- A *fusion* beat is one in which the ventricles are excited both from the atria and from a
  ventricular focus, now and then or, where both have about the same rate, often: a mixture of both
  complexes.

These are simulations. They belong in a training split, never in one on which scores are computed.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from ecglib.datasets.tabular.beats import N_AROUND, compute_rolling_statistic, filter_signal

HIGH_PASS_HZ = 0.5  # so that pieces of the record fit together
# The P wave begins this long before the beat, but not before this fraction of the interval.
P_BEGINS_S, P_BEGINS_FRACTION = 0.26, 0.35
P_ENDS_S = 0.06  # before the beat
QRS_S, RAMP_S = (-0.14, 0.5), 0.04  # what is mixed of a fusion beat, and how softly it begins
REST_S = 0.15  # before the P wave, used to fill a longer pause

BEATS_IN_STRETCH, BEATS_BETWEEN_STRETCHES = (15, 60), (5, 30)
REGULAR = 0.15  # an interval is regular if it deviates less from the median around
MIN_REGULAR_FRACTION = 0.5  # of the beats of a record: in atrial fibrillation none is premature
MIN_VENTRICULAR = 5
MIN_INTERVAL = 0.4  # relative to the usual interval
MIX = (0.25, 0.75)
# Fusion beats are this far on the way from the usual to the ectopic complex, and this near to it.
FUSION_FRACTION, MAX_FUSION_DISTANCE = (0.15, 0.85), 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some changed beats of a class, then sinus beats, and again.

    Each pair is a range from which a value is drawn.

    Parameters
    ----------
    beat : str
        Class of the changed beats.
    changed : tuple of int
        Number of changed beats.
    between : tuple of int
        Number of sinus beats between changed ones.
    interval : tuple of float, default (1, 1)
        Interval before the changed beats, over the usual one.
    jitter : float, default 0
        Standard deviation of each of these intervals.
    pause : tuple of float, default (1, 1)
        Interval before the next sinus beat, over the usual one.
    p_wave : tuple of float, default (1, 1)
        P wave of the changed beats, over the usual one.

    Examples
    --------
    >>> Stretch(beat="F", changed=(1, 1), between=(2, 6)).pause
    (1.0, 1.0)
    """

    beat: str
    changed: tuple[int, int]
    between: tuple[int, int]
    interval: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0
    pause: tuple[float, float] = (1.0, 1.0)
    p_wave: tuple[float, float] = (1.0, 1.0)


PREMATURE_INTERVAL, PREMATURE_JITTER, PREMATURE_P_WAVE = (0.45, 0.85), 0.03, (-1.0, 0.7)


def _make_premature(
    changed: tuple[int, int], between: tuple[int, int], pause: tuple[float, float]
) -> Stretch:
    return Stretch(
        beat="S",
        changed=changed,
        between=between,
        interval=PREMATURE_INTERVAL,
        jitter=PREMATURE_JITTER,
        pause=pause,
        p_wave=PREMATURE_P_WAVE,
    )


STRETCHES = {
    "isolated": _make_premature(changed=(1, 1), between=(3, 15), pause=(0.95, 1.3)),
    "bigeminy": _make_premature(changed=(1, 1), between=(1, 1), pause=(0.95, 1.4)),
    "runs": _make_premature(changed=(2, 15), between=(5, 15), pause=(1.0, 1.5)),
    "most": _make_premature(changed=(3, 20), between=(1, 3), pause=(0.95, 1.6)),
    "blocked": Stretch(beat="N", changed=(1, 1), between=(0, 4), interval=(2.0, 2.0)),
    "fibrillation": Stretch(
        beat="N",
        changed=(60, 60),
        between=(0, 0),
        interval=(0.7, 1.1),
        jitter=0.2,
        p_wave=(0.0, 0.2),
    ),
    "fusions": Stretch(beat="F", changed=(1, 1), between=(2, 6)),
    "fusion_runs": Stretch(beat="F", changed=(2, 10), between=(1, 4)),
}


@dataclasses.dataclass(frozen=True)
class SimulatedRhythm:
    """A simulated record with its beats.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        The record in mV.
    beats_s : array of shape (n_beats,)
        Times of the beats, in s.
    classes : str array of shape (n_beats,)
        AAMI class of each beat.
    in_stretch : bool array of shape (n_beats,)
        Whether each beat is in a changed stretch.

    Examples
    --------
    >>> rhythm = SimulatedRhythm(
    ...     signal_mv=np.zeros((240, 1)),
    ...     beats_s=np.array([0.4, 0.9, 1.7]),
    ...     classes=np.array(["N", "S", "N"]),
    ...     in_stretch=np.array([False, True, False]),
    ... )
    >>> rhythm.beats_s[rhythm.in_stretch].tolist(), rhythm.classes[rhythm.in_stretch].tolist()
    ([0.9], ['S'])
    """

    signal_mv: np.ndarray
    beats_s: np.ndarray
    classes: np.ndarray
    in_stretch: np.ndarray


class Changes(NamedTuple):
    """What is changed at each beat.

    Parameters
    ----------
    classes : str array of shape (n_beats,)
        New class, ``""`` where it stays.
    intervals : array of shape (n_beats,)
        Factor of the interval before.
    p_waves : array of shape (n_beats,)
        Factor of the P wave.
    in_stretch : bool array of shape (n_beats,)
        Whether the beat is in a changed stretch.

    Examples
    --------
    >>> changes = Changes(
    ...     classes=np.array(["", "S", ""]),
    ...     intervals=np.array([1.0, 0.75, 1.0]),
    ...     p_waves=np.array([1.0, 0.5, 1.0]),
    ...     in_stretch=np.array([False, True, False]),
    ... )
    >>> intervals_s = np.array([1.0, 1.0, 1.0])
    >>> np.cumsum(intervals_s * changes.intervals).tolist()  # the new times of the beats
    [1.0, 1.75, 2.75]
    """

    classes: np.ndarray
    intervals: np.ndarray
    p_waves: np.ndarray
    in_stretch: np.ndarray


def simulate_rhythm(
    signal_mv: np.ndarray, beats_s: np.ndarray, classes: np.ndarray, rate_hz: float, seed: int
) -> SimulatedRhythm | None:
    """Simulate a record in which stretches have another rhythm.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        The record in mV.
    beats_s : array of shape (n_beats,)
        Times of all its beats, in s.
    classes : str array of shape (n_beats,)
        AAMI class of each beat. Beats of class N are changed if their neighbours are N too and the
        interval before is regular.
    rate_hz : float
        Sampling rate in Hz.
    seed : int
        Other seeds give other rhythms.

    Returns
    -------
    SimulatedRhythm or None
        None if the record is mostly irregular and has fewer than five ventricular beats.

    Examples
    --------
    >>> beats_s = 1 + 0.8 * np.arange(100)
    >>> signal_mv = np.sin(np.arange(10000) / 20)[:, None]
    >>> rhythm = simulate_rhythm(signal_mv, beats_s, np.full(100, "N"), rate_hz=120.0, seed=0)
    >>> len(rhythm.beats_s), bool(rhythm.in_stretch.any())
    (100, True)
    """
    sinus, regular = find_sinus_beats(beats_s, classes)
    ventricular = np.flatnonzero(classes == "V")
    can_fuse = len(ventricular) >= MIN_VENTRICULAR
    can_move = (sinus & regular).mean() >= MIN_REGULAR_FRACTION
    kinds = [
        name
        for name, stretch in STRETCHES.items()
        if (can_fuse if stretch.beat == "F" else can_move)
    ]
    if not kinds:
        return None
    rng = np.random.default_rng(seed)
    signal = filter_signal(signal_mv, "highpass", HIGH_PASS_HZ, rate_hz)
    changes = plan_changes(sinus, regular, kinds, rng)
    new_classes = np.where(changes.classes == "", classes, changes.classes)
    pieces, offsets = cut_into_beats(signal, beats_s, rate_hz)
    for i in np.flatnonzero(changes.p_waves != 1):
        end = offsets[i] - round(P_ENDS_S * rate_hz)
        pieces[i] = scale_p_wave(pieces[i], end, changes.p_waves[i])
    for i in np.flatnonzero((new_classes == "F") & (classes != "F")):
        start = round(beats_s[rng.choice(ventricular)] * rate_hz) - offsets[i]
        ectopic = signal[max(0, start) :][: len(pieces[i])]
        pieces[i] = mix_beats(pieces[i], ectopic, offsets[i], rng.uniform(*MIX), rate_hz)
    intervals_s = np.diff(beats_s, prepend=0.0) * changes.intervals
    joined_mv, new_beats_s = join_beats(pieces, offsets, np.cumsum(intervals_s), rate_hz)
    return SimulatedRhythm(joined_mv, new_beats_s, new_classes, changes.in_stretch)


def find_sinus_beats(beats_s: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the beats that are N between N, and those after a regular interval.

    Parameters
    ----------
    beats_s : array of shape (n_beats,)
        Times of the beats, in s.
    classes : str array of shape (n_beats,)
        AAMI class of each beat.

    Returns
    -------
    sinus : bool array of shape (n_beats,)
        Whether the beat and its neighbours are N.
    regular : bool array of shape (n_beats,)
        Whether the interval before deviates less than 15 % from the median around.

    Examples
    --------
    >>> classes = np.array(["N", "N", "N", "V", "N"])
    >>> sinus, regular = find_sinus_beats(np.array([0.0, 0.8, 1.6, 2.0, 3.2]), classes)
    >>> sinus.tolist(), regular.tolist()
    ([False, True, False, False, False], [False, True, True, False, False])
    """
    is_normal = classes == "N"
    before = np.diff(beats_s, prepend=np.nan)
    sinus = is_normal & np.append(is_normal[1:], False) & np.append(False, is_normal[:-1])
    around = compute_rolling_statistic(before, N_AROUND, "median")
    return sinus, np.abs(before / around - 1) < REGULAR


def plan_changes(
    sinus: np.ndarray, regular: np.ndarray, kinds: list[str], rng: np.random.Generator
) -> Changes:
    """Draw which beats are changed, and how.

    Only sinus beats change and, except for mixtures, only those after a regular interval.

    Parameters
    ----------
    sinus, regular : bool array of shape (n_beats,)
        As returned by `find_sinus_beats`.
    kinds : list of str
        Keys of `STRETCHES` to draw from.
    rng : Generator
        Random numbers.

    Returns
    -------
    Changes
        What is changed at each beat.

    Examples
    --------
    >>> everywhere = np.full(200, True)
    >>> changes = plan_changes(everywhere, everywhere, ["bigeminy"], np.random.default_rng(0))
    >>> sorted(set(changes.classes.tolist()))
    ['', 'S']
    """
    n = len(sinus)
    classes, intervals, p_waves = np.full(n, "", "<U1"), np.ones(n), np.ones(n)
    in_stretch = np.zeros(n, bool)
    start = int(rng.integers(*BEATS_BETWEEN_STRETCHES))
    while start < n:
        stretch = STRETCHES[rng.choice(kinds)]
        end = min(n, start + int(rng.integers(*BEATS_IN_STRETCH)))
        interval, p_wave = rng.uniform(*stretch.interval), rng.uniform(*stretch.p_wave)
        in_stretch[start:end] = True
        i = start
        while i < end:
            n_changed = int(rng.integers(*stretch.changed, endpoint=True))
            changed = slice(i, min(end, i + n_changed))
            classes[changed], p_waves[changed] = stretch.beat, p_wave
            deviation = rng.normal(0, stretch.jitter, changed.stop - changed.start)
            intervals[changed] = np.maximum(interval + deviation, MIN_INTERVAL)
            if changed.stop < end:
                intervals[changed.stop] = rng.uniform(*stretch.pause)
            i = changed.stop + int(rng.integers(*stretch.between, endpoint=True))
        usable = sinus if stretch.beat == "F" else sinus & regular
        unchanged = start + np.flatnonzero(~usable[start:end])
        classes[unchanged], intervals[unchanged], p_waves[unchanged] = "", 1.0, 1.0
        start = end + int(rng.integers(*BEATS_BETWEEN_STRETCHES))
    return Changes(classes, intervals, p_waves, in_stretch)


def find_fusion_beats(values: dict[str, np.ndarray]) -> np.ndarray:
    """Find the beats between the patient's usual and ectopic ones.

    Some mixed beats are much like either, or like another ectopic beat.

    Parameters
    ----------
    values : dict of str to array of shape (n_beats,)
        Values of the beats (`beats.compute_shapes`).

    Returns
    -------
    bool array of shape (n_beats,)
        Whether each beat is a fusion beat.

    Examples
    --------
    >>> values = {"ectopic_share": np.array([0.0, 0.5]), "ectopic_distance": np.array([0.1, 0.1])}
    >>> find_fusion_beats(values).tolist()
    [False, True]
    """
    low, high = FUSION_FRACTION
    fraction, distance = values["ectopic_share"], values["ectopic_distance"]
    return (low < fraction) & (fraction < high) & (distance < MAX_FUSION_DISTANCE)


def cut_into_beats(
    signal: np.ndarray, beats_s: np.ndarray, rate_hz: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """Cut a record into one piece per beat, each beginning before its P wave.

    Parameters
    ----------
    signal : array of shape (n_samples, n_leads)
        The record.
    beats_s : array of shape (n_beats,)
        Times of the beats, in s.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    pieces : list of array of shape (n_samples_of_piece, n_leads)
        The pieces.
    offsets : int array of shape (n_beats,)
        Sample of the beat in each piece.

    Examples
    --------
    >>> pieces, offsets = cut_into_beats(np.zeros((30, 1)), np.array([1.0, 2.0]), rate_hz=10.0)
    >>> [len(piece) for piece in pieces], offsets.tolist()
    ([17, 13], [10, 3])
    """
    before = np.diff(beats_s, prepend=0.0)
    starts_s = beats_s - np.minimum(P_BEGINS_S, P_BEGINS_FRACTION * before)
    starts = np.round(starts_s * rate_hz).astype(int)
    starts[0] = 0
    pieces = np.split(signal, starts[1:])
    return pieces, np.round(beats_s * rate_hz).astype(int) - starts


def scale_p_wave(piece: np.ndarray, end: int, factor: float) -> np.ndarray:
    """Scale the P wave of a beat about the line below it.

    Parameters
    ----------
    piece : array of shape (n_samples, n_leads)
        A beat that begins before its P wave.
    end : int
        Sample at which the P wave ends.
    factor : float
        Factor of what is above the line from the first sample to `end`.

    Returns
    -------
    array of shape (n_samples, n_leads)
        The changed beat.

    Examples
    --------
    >>> scale_p_wave(np.array([[0.0], [1.0], [0.0], [2.0]]), 2, 0.5).ravel().tolist()
    [0.0, 0.5, 0.0, 2.0]
    """
    if end < 2:
        return piece
    line = np.linspace(piece[0], piece[end], end, endpoint=False)
    return np.concatenate([line + factor * (piece[:end] - line), piece[end:]])


def mix_beats(
    piece: np.ndarray, ectopic: np.ndarray, offset: int, fraction: float, rate_hz: float
) -> np.ndarray:
    """Mix the QRS complex and T wave of a beat with those of another beat.

    Parameters
    ----------
    piece : array of shape (n_samples, n_leads)
        A beat.
    ectopic : array of shape (n_samples, n_leads)
        Another beat, whose QRS complex is at the same sample.
    offset : int
        Sample of the beat in `piece`.
    fraction : float
        Fraction of the other beat.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_samples, n_leads)
        The mixture; `piece` itself if it is too short.

    Examples
    --------
    >>> usual, ectopic = np.sin(np.arange(100))[:, None], np.cos(np.arange(100))[:, None]
    >>> mixed = mix_beats(usual, ectopic, offset=40, fraction=0.5, rate_hz=120.0)
    >>> bool((mixed[:20] == usual[:20]).all()), bool((mixed == usual).all())
    (True, False)
    """
    low, high = (offset + round(edge * rate_hz) for edge in QRS_S)
    low, high = max(0, low), min(high, len(piece), len(ectopic))
    ramp = round(RAMP_S * rate_hz)
    n = high - low
    if n < 4 * ramp:
        return piece
    weight = np.ones(n)
    weight[:ramp], weight[-2 * ramp :] = np.linspace(0, 1, ramp), np.linspace(1, 0, 2 * ramp)
    usual, ectopic = piece[low:high], ectopic[low:high]
    ectopic = ectopic - np.median(ectopic, axis=0) + np.median(usual, axis=0)
    piece = piece.copy()
    piece[low:high] = usual + fraction * weight[:, None] * (ectopic - usual)
    return piece


def join_beats(
    pieces: list[np.ndarray], offsets: np.ndarray, beats_s: np.ndarray, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Join pieces of a record so that their beats come at given times.

    Where a piece begins before the one before it has ended, the rest of that fades out below it. A
    gap is filled with the rest before the next P wave, to and fro.

    Parameters
    ----------
    pieces : list of array of shape (n_samples_of_piece, n_leads)
        The pieces.
    offsets : int array of shape (n_beats,)
        Sample of the beat in each piece.
    beats_s : array of shape (n_beats,)
        Wanted times of the beats, in s.
    rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    signal : array of shape (n_samples, n_leads)
        The joined record.
    beats_s : array of shape (n_beats,)
        Times of the beats on the grid of samples, in s.

    Examples
    --------
    >>> pieces = [np.ones((5, 1)), np.full((5, 1), 2.0)]
    >>> signal, beats_s = join_beats(pieces, np.array([2, 2]), np.array([0.2, 0.7]), rate_hz=10.0)
    >>> signal.ravel().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """
    starts = np.round(beats_s * rate_hz).astype(int) - offsets
    n_samples = max(
        start + len(piece) for start, piece in zip(starts.tolist(), pieces, strict=True)
    )
    signal = np.zeros((n_samples, pieces[0].shape[1]))
    end, rest = 0, round(REST_S * rate_hz)
    for start, piece in zip(starts.tolist(), pieces, strict=True):
        if start > end > 0:
            before = signal[max(0, end - rest) : end]
            filled = np.pad(before, ((0, start - end), (0, 0)), "symmetric")
            signal[end:start] = filled[len(before) :]
        n_fading = max(0, min(end - start, len(piece)))
        fading = signal[start : start + n_fading] * np.linspace(1, 0, n_fading)[:, None]
        signal[start : start + len(piece)] = piece
        signal[start : start + n_fading] += fading
        end = start + len(piece)
    return signal[:end], (starts + offsets) / rate_hz
