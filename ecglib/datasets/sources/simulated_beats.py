"""Rhythms that a patient did not have, made of his own beats: more kinds of them to learn from.

Of 22 training patients of MIT-BIH few have many ectopic beats, and one has nearly all fusion beats,
so that a network learns those patients. Here beats of a record come early, in runs, or late, or are
mixed with a ventricular one, which is what such beats are:

- An *atrial premature* beat is a sinus beat before its time whose P wave looks otherwise, alone,
  after each sinus beat, in runs, or as most of the beats; a pause follows.
- Where beats are *blocked*, sinus beats come after twice the interval.
- In atrial *fibrillation* beats come at any time and have no P wave; none of them is premature.
- A *fusion* beat is one in which the ventricles are excited from the atria and from a focus of
  their own, now and then or, where both have about one rate, often: a mixture of both complexes.

These are simulations. They belong into a training part, never into one on which scores are counted.
"""

import dataclasses

import numpy as np

from ecglib.datasets.tabular.beats import AROUND, around, filtered

HIGH_PASS_HZ = 0.5  # so that pieces of the record fit to each other
BEGINS_S, BEGINS_SHARE = 0.26, 0.35  # the P wave begins before the beat; of the interval before
P_ENDS_S = 0.06  # before the beat
QRS_S, RAMP_S = (-0.14, 0.5), 0.04  # what is mixed of a fusion beat, and how softly it begins
REST_S = 0.15  # before the P wave, of which a longer pause is made

STRETCH, APART = (15, 60), (5, 30)  # beats of a stretch and between two
REGULAR = 0.15  # an interval is regular if that near to the median around
LEAST_REGULAR = 0.5  # share of regular beats in a record: in atrial fibrillation none is premature
LEAST_VENTRICULAR = 5
EARLIEST = 0.4  # of the usual interval
MIXED = (0.25, 0.75)
ON_THE_WAY, MOST_ASIDE = (0.15, 0.85), 0.8  # from the usual to the ectopic complex


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Some changed beats of a class, then sinus beats, and again.

    Ranges, from which is drawn: numbers of beats; the interval before the changed beats of the
    stretch, of which each deviates by `jitter`, and that before the next sinus beat, over the usual
    one; and the P wave of the changed beats over the usual one.
    """

    beat: str
    changed: tuple[int, int]
    between: tuple[int, int]
    interval: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0
    pause: tuple[float, float] = (1.0, 1.0)
    p_wave: tuple[float, float] = (1.0, 1.0)


PREMATURE = {"interval": (0.45, 0.85), "jitter": 0.03, "p_wave": (-1.0, 0.7)}
STRETCHES = {
    "isolated": Stretch("S", (1, 1), (3, 15), pause=(0.95, 1.3), **PREMATURE),
    "bigeminy": Stretch("S", (1, 1), (1, 1), pause=(0.95, 1.4), **PREMATURE),
    "runs": Stretch("S", (2, 15), (5, 15), pause=(1.0, 1.5), **PREMATURE),
    "most": Stretch("S", (3, 20), (1, 3), pause=(0.95, 1.6), **PREMATURE),
    "blocked": Stretch("N", (1, 1), (0, 4), interval=(2.0, 2.0)),
    "fibrillation": Stretch("N", (60, 60), (0, 0), (0.7, 1.1), 0.2, p_wave=(0.0, 0.2)),
    "fusions": Stretch("F", (1, 1), (2, 6)),
    "fusion_runs": Stretch("F", (2, 10), (1, 4)),
}


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """A record with its beats; `stretches` tells which beats stand in a changed stretch.

    `signal_mv` has shape (n_samples, n_leads), `beats_s`, `classes` and `stretches` (n_beats,).
    """

    signal_mv: np.ndarray
    beats_s: np.ndarray
    classes: np.ndarray
    stretches: np.ndarray


def simulate(
    signal_mv: np.ndarray, beats_s: np.ndarray, classes: np.ndarray, rate_hz: float, seed: int
) -> Rhythm | None:
    """A record in which stretches have another rhythm, or None of one that is mostly irregular.

    Parameters
    ----------
    signal_mv
        the record, shape (n_samples, n_leads), in mV.
    beats_s
        times of all its beats, in s.
    classes
        the AAMI class of each, of which N are changed where their neighbours are N too and the
        interval before is regular.
    rate_hz
        sampling rate in Hz.
    seed
        other seeds give other rhythms.
    """
    sinus, regular = sinus_beats(beats_s, classes)
    ventricular = np.flatnonzero(classes == "V")
    fusions = len(ventricular) >= LEAST_VENTRICULAR
    others = (sinus & regular).mean() >= LEAST_REGULAR
    kinds = [name for name, own in STRETCHES.items() if (fusions if own.beat == "F" else others)]
    if not kinds:
        return None
    rng = np.random.default_rng(seed)
    signal = filtered(signal_mv, "highpass", HIGH_PASS_HZ, rate_hz)
    beats, factors, p_waves, stretches = plan(sinus, regular, kinds, rng)
    beats = np.where(beats == "", classes, beats)
    pieces, at = cut(signal, beats_s, rate_hz)
    for i in np.flatnonzero(p_waves != 1):
        pieces[i] = with_p_wave(pieces[i], at[i] - round(P_ENDS_S * rate_hz), p_waves[i])
    for i in np.flatnonzero((beats == "F") & (classes != "F")):
        ectopic = round(beats_s[rng.choice(ventricular)] * rate_hz) - at[i]
        other = signal[max(0, ectopic) :][: len(pieces[i])]
        pieces[i] = mixed(pieces[i], other, at[i], rng.uniform(*MIXED), rate_hz)
    intervals_s = np.diff(beats_s, prepend=0.0) * factors
    made, beats_s = join(pieces, at, np.cumsum(intervals_s), rate_hz)
    return Rhythm(made, beats_s, beats, stretches)


def sinus_beats(beats_s: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which beats are N between N, and before which the interval is near to the median around."""
    sinus = classes == "N"
    before = np.diff(beats_s, prepend=np.nan)
    between = sinus & np.append(sinus[1:], False) & np.append(False, sinus[:-1])
    return between, np.abs(before / around(before, AROUND, "median") - 1) < REGULAR


def plan(sinus: np.ndarray, regular: np.ndarray, kinds: list[str], rng: np.random.Generator):
    """For each beat its new class ("" for its own), the factor of the interval before, and more.

    Only sinus beats change, and but for a mixture only those after a regular interval.

    Returns
    -------
    Class, factor, factor of the P wave, whether in a changed stretch: each of shape (n_beats,).
    """
    n = len(sinus)
    beats, factors, p_waves = np.full(n, "", "<U1"), np.ones(n), np.ones(n)
    stretches = np.zeros(n, bool)
    start = rng.integers(*APART)
    while start < n:
        own = STRETCHES[rng.choice(kinds)]
        end = min(n, start + rng.integers(*STRETCH))
        interval, p_wave = rng.uniform(*own.interval), rng.uniform(*own.p_wave)
        stretches[start:end] = True
        i = start
        while i < end:
            changed = slice(i, min(end, i + rng.integers(*own.changed, endpoint=True)))
            beats[changed], p_waves[changed] = own.beat, p_wave
            deviation = rng.normal(0, own.jitter, changed.stop - changed.start)
            factors[changed] = np.maximum(interval + deviation, EARLIEST)
            if changed.stop < end:
                factors[changed.stop] = rng.uniform(*own.pause)
            i = changed.stop + rng.integers(*own.between, endpoint=True)
        usable = sinus if own.beat == "F" else sinus & regular
        kept = start + np.flatnonzero(~usable[start:end])
        beats[kept], factors[kept], p_waves[kept] = "", 1.0, 1.0
        start = end + rng.integers(*APART)
    return beats, factors, p_waves, stretches


def is_fusion(values: dict[str, np.ndarray]) -> np.ndarray:
    """Which beats stand between the patient's usual and ectopic ones (`beat_values.shapes`).

    Of the mixed ones some are much like either, or like another ectopic beat.
    """
    low, high = ON_THE_WAY
    share, distance = values["ectopic_share"], values["ectopic_distance"]
    return (low < share) & (share < high) & (distance < MOST_ASIDE)


def cut(signal: np.ndarray, beats_s: np.ndarray, rate_hz: float) -> tuple[list, np.ndarray]:
    """The record in pieces of a beat, each from before its P wave, and where in it the beat is."""
    before = np.diff(beats_s, prepend=0.0)
    starts_s = beats_s - np.minimum(BEGINS_S, BEGINS_SHARE * before)
    starts = np.round(starts_s * rate_hz).astype(int)
    starts[0] = 0
    pieces = np.split(signal, starts[1:])
    return pieces, np.round(beats_s * rate_hz).astype(int) - starts


def with_p_wave(piece: np.ndarray, end: int, factor: float) -> np.ndarray:
    """The piece with what is above the line to the end of its P wave times the factor."""
    if end < 2:
        return piece
    line = np.linspace(piece[0], piece[end], end, endpoint=False)
    return np.concatenate([line + factor * (piece[:end] - line), piece[end:]])


def mixed(
    piece: np.ndarray, other: np.ndarray, at: int, share: float, rate_hz: float
) -> np.ndarray:
    """The piece with its QRS complex and T wave mixed with those of another beat."""
    low, high = (at + round(edge * rate_hz) for edge in QRS_S)
    low, high = max(0, low), min(high, len(piece), len(other))
    ramp = round(RAMP_S * rate_hz)
    n = high - low
    if n < 4 * ramp:
        return piece
    weight = np.ones(n)
    weight[:ramp], weight[-2 * ramp :] = np.linspace(0, 1, ramp), np.linspace(1, 0, 2 * ramp)
    own, other = piece[low:high], other[low:high]
    other = other - np.median(other, axis=0) + np.median(own, axis=0)
    piece = piece.copy()
    piece[low:high] = own + share * weight[:, None] * (other - own)
    return piece


def join(
    pieces: list[np.ndarray], at: np.ndarray, beats_s: np.ndarray, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pieces one after the other so that their beats come at these times, and the times.

    Where a piece begins before the one before it has ended, what is left of that fades out below
    it. A gap is filled with the rest before the next P wave, to and fro.
    """
    starts = np.round(beats_s * rate_hz).astype(int) - at
    n_samples = max(s + len(p) for s, p in zip(starts, pieces, strict=True))
    signal = np.zeros((n_samples, pieces[0].shape[1]))
    end, rest = 0, round(REST_S * rate_hz)
    for start, piece in zip(starts, pieces, strict=True):
        if start > end > 0:
            before = signal[max(0, end - rest) : end]
            filled = np.pad(before, ((0, start - end), (0, 0)), "symmetric")
            signal[end:start] = filled[len(before) :]
        n_left = max(0, min(end - start, len(piece)))
        left = signal[start : start + n_left] * np.linspace(1, 0, n_left)[:, None]
        signal[start : start + len(piece)] = piece
        signal[start : start + n_left] += left
        end = start + len(piece)
    return signal[:end], (starts + at) / rate_hz
