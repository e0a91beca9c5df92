"""Against hand-made beats: where each stands, what it is made of, closed forms of the joints."""

import numpy as np
import pytest

from ecglib.datasets.sources.simulated_beats import (
    EARLIEST,
    PREMATURE,
    STRETCHES,
    join,
    mixed,
    plan,
    simulate,
    with_p_wave,
)

RATE_HZ = 120.0
RR_S, N_BEATS, EVERY = 0.8, 600, 40


def bump(t_s, at_s, width_s):
    return np.exp(-0.5 * ((t_s - at_s) / width_s) ** 2)


def complex_of(ventricular):
    """P wave, QRS complex and T wave in two leads; a ventricular beat is broad and has no P."""
    t_s = np.arange(-0.3, 0.5, 1 / RATE_HZ)
    if ventricular:
        own = 1.5 * bump(t_s, 0, 0.05) - 0.5 * bump(t_s, 0.25, 0.05)
        return np.stack([own, -own], axis=1)
    own = 0.2 * bump(t_s, -0.17, 0.02) + bump(t_s, 0, 0.01) + 0.3 * bump(t_s, 0.25, 0.04)
    return np.stack([own, 0.5 * own], axis=1)


@pytest.fixture(scope="module")
def record():
    """A regular rhythm, each fortieth beat ventricular: signal in mV, times in s, classes."""
    beats_s = 1.0 + RR_S * np.arange(N_BEATS)
    classes = np.where(np.arange(N_BEATS) % EVERY == EVERY - 1, "V", "N")
    signal = np.zeros((round((beats_s[-1] + 2) * RATE_HZ), 2))
    for at_s, own in zip(beats_s, classes, strict=True):
        shape = complex_of(own == "V")
        start = round((at_s - 0.3) * RATE_HZ)
        signal[start : start + len(shape)] += shape
    return signal, beats_s, classes


@pytest.fixture(scope="module")
def made(record):
    return simulate(*record, RATE_HZ, seed=0)


@pytest.mark.parametrize("kind", STRETCHES)
def test_a_stretch_is_runs_of_changed_beats_as_long_as_its_kind_says(kind):
    """Runs counted beat by beat; the first and last of a stretch may be cut."""
    own, n = STRETCHES[kind], 20000
    everywhere = np.ones(n, bool)
    beats, factors, p_waves, inside = plan(everywhere, everywhere, [kind], np.random.default_rng(0))
    changed = beats == own.beat
    assert set(beats[~changed]) == {""}
    assert inside[changed].all()
    assert np.all((p_waves[changed] >= own.p_wave[0]) & (p_waves[changed] <= own.p_wave[1]))
    assert np.all(p_waves[~changed] == 1)
    low, high = own.interval
    assert factors[changed].mean() == pytest.approx((low + high) / 2, abs=0.05)
    assert factors[changed].min() >= max(low - 4.5 * own.jitter, EARLIEST)
    edges = np.flatnonzero(np.diff(np.r_[False, changed, False]))
    lengths = edges[1::2] - edges[::2]
    if own.between[0] > 0:
        assert lengths.max() == own.changed[1]
        gaps = edges[2::2] - edges[1:-1:2]
        within = [
            inside[end : end + gap].all() for end, gap in zip(edges[1::2], gaps, strict=False)
        ]
        assert set(gaps[within]) >= set(range(own.between[0], own.between[1] + 1))
    if kind == "fibrillation":
        assert np.abs(np.diff(factors[changed])).mean() > 0.15


def test_only_sinus_beats_in_stretches_change_and_all_kinds_are_made(record, made):
    _, _, classes = record
    changed = made.classes != classes
    assert len(made.classes) == len(made.beats_s) == len(made.stretches) == N_BEATS
    assert set(classes[changed]) == {"N"}
    assert made.stretches[changed].all()
    assert set(made.classes[changed]) == {"S", "F"}
    beside = np.flatnonzero(classes == "V")
    assert not changed[beside - 1].any()
    assert not changed[beside[:-1] + 1].any()
    assert 0.3 < made.stretches.mean() < 0.9


def test_each_beat_stands_where_it_is_said_to(made):
    """The largest value within 0.1 s is the top of the QRS complex, but for what is mixed."""
    sharp = np.flatnonzero(np.isin(made.classes, ["N", "S"]))
    at = np.round(made.beats_s[sharp] * RATE_HZ).astype(int)
    near = made.signal_mv[at[:, None] + np.arange(-12, 13), 0]
    assert (near.argmax(axis=1) == 12).all()


def test_premature_beats_are_early_blocked_ones_late_and_others_on_time(record, made):
    intervals = np.diff(made.beats_s)[1:] / RR_S
    own, stretch = made.classes[2:], made.stretches[2:]
    step = 1.5 / RATE_HZ / RR_S
    early = intervals[own == "S"]
    low, high = PREMATURE["interval"]
    assert early.min() >= EARLIEST - step
    assert early.max() <= high + 0.15
    assert low < early.mean() < high
    assert early.std() > 0.02
    after = np.flatnonzero(np.append(False, own[:-1] == "S") & (own == "N"))
    assert intervals[after].min() >= 0.95 - step
    outside = ~stretch & np.append(True, ~stretch[:-1])
    assert intervals[outside] == pytest.approx(1, abs=step)
    assert (np.abs(intervals - 2) < step).sum() > 10


def test_a_fusion_beat_is_a_mixture_of_the_patients_two_complexes(record, made):
    """Least squares over the QRS complex finds a share of 0.25 to 0.75 and leaves little."""
    n, v = (complex_of(own)[24:48].ravel() for own in (False, True))
    design = np.stack([n, v, np.ones_like(n)], axis=1)
    lead = np.tile([1.0, -1.0], 24)  # a level a lead: the pieces are moved to one another
    design = np.column_stack([design, lead])
    at = np.round(made.beats_s[made.classes == "F"] * RATE_HZ).astype(int)
    assert len(at) > 5
    for sample in at:
        own = made.signal_mv[sample - 12 : sample + 12].ravel()
        (of_n, of_v, *_), left, *_ = np.linalg.lstsq(design, own)
        assert of_n + of_v == pytest.approx(1, abs=0.05)
        assert 0.2 < of_v < 0.8
        assert left[0] < 0.02 * (own @ own)


def test_what_stands_outside_is_the_record_above_half_a_hertz(record, made):
    from scipy.signal import butter, sosfiltfilt

    signal, beats_s, _ = record
    sections = butter(2, 0.5, "highpass", fs=RATE_HZ, output="sos")
    expected = sosfiltfilt(sections, signal, axis=0, padlen=360)
    first = np.flatnonzero(made.stretches)[0]
    n = round((beats_s[first - 1] + 0.05) * RATE_HZ)
    assert made.signal_mv[:n] == pytest.approx(expected[:n])


def test_equal_seeds_give_equal_rhythms_and_others_do_not(record, made):
    again, other = (simulate(*record, RATE_HZ, seed) for seed in (0, 1))
    assert np.array_equal(again.signal_mv, made.signal_mv)
    assert np.array_equal(again.classes, made.classes)
    assert not np.array_equal(other.classes, made.classes)


def test_nothing_is_made_of_an_irregular_record_without_ventricular_beats(record):
    signal, beats_s, classes = record
    irregular = beats_s + np.random.default_rng(0).uniform(-0.3, 0.3, N_BEATS)
    assert simulate(signal, irregular, np.full(N_BEATS, "N"), RATE_HZ, 0) is None
    only = simulate(signal, irregular, classes, RATE_HZ, 0)
    assert set(only.classes[only.classes != classes]) == {"F"}


def test_the_p_wave_is_scaled_about_the_line_below_it():
    piece = np.ones((20, 2)) + np.linspace(0, 1, 20)[:, None]
    line = piece.copy()
    piece[4] += 0.5
    turned = with_p_wave(piece, 10, -1.0)
    assert turned[4] == pytest.approx(line[4] - 0.5, abs=1e-6)
    assert np.array_equal(turned[10:], piece[10:])
    assert np.array_equal(with_p_wave(piece, 1, -1.0), piece)


def test_a_beat_too_short_to_be_mixed_stays():
    piece = np.random.default_rng(0).standard_normal((15, 2))
    assert np.array_equal(mixed(piece, -piece, 5, 0.5, RATE_HZ), piece)


def test_pieces_that_overlap_fade_and_a_gap_is_filled_with_what_was_before():
    """Ones of 20 samples, then twos from sample 10; then threes after a gap of 30 samples."""
    pieces = [np.full((20, 2), value) for value in (1.0, 2.0, 3.0)]
    at = np.array([5, 5, 5])
    signal, beats_s = join(pieces, at, np.array([5, 15, 65]) / RATE_HZ, RATE_HZ)
    assert beats_s == pytest.approx(np.array([5, 15, 65]) / RATE_HZ)
    assert len(signal) == 80
    assert signal[:10] == pytest.approx(1)
    assert signal[10:20, 1] == pytest.approx(2 + np.linspace(1, 0, 10))
    assert signal[20:30] == pytest.approx(2)
    mirrored = np.pad(signal[12:30], ((0, 30), (0, 0)), "symmetric")[18:]
    assert signal[30:60] == pytest.approx(mirrored)
    assert signal[60:] == pytest.approx(3)
