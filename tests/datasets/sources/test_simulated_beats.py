"""Against constructed beats: their times, their mixtures, closed forms of the joints."""

import numpy as np
import pytest

from ecglib.datasets.sources.simulated_beats import (
    MIN_INTERVAL,
    PREMATURE_INTERVAL,
    STRETCHES,
    join_beats,
    mix_beats,
    plan_changes,
    scale_p_wave,
    simulate_rhythm,
)

RATE_HZ = 120.0
RR_S, N_BEATS, EVERY = 0.8, 600, 40


def bump(t_s, at_s, width_s):
    return np.exp(-0.5 * ((t_s - at_s) / width_s) ** 2)


def make_complex(ventricular):
    """P wave, QRS complex and T wave in two leads; a ventricular beat is broad and has no P."""
    t_s = np.arange(-0.3, 0.5, 1 / RATE_HZ)
    if ventricular:
        lead = 1.5 * bump(t_s, 0, 0.05) - 0.5 * bump(t_s, 0.25, 0.05)
        return np.stack([lead, -lead], axis=1)
    lead = 0.2 * bump(t_s, -0.17, 0.02) + bump(t_s, 0, 0.01) + 0.3 * bump(t_s, 0.25, 0.04)
    return np.stack([lead, 0.5 * lead], axis=1)


@pytest.fixture(scope="module")
def record():
    """A regular rhythm, each fortieth beat ventricular: signal in mV, times in s, classes."""
    beats_s = 1.0 + RR_S * np.arange(N_BEATS)
    classes = np.where(np.arange(N_BEATS) % EVERY == EVERY - 1, "V", "N")
    signal = np.zeros((round((beats_s[-1] + 2) * RATE_HZ), 2))
    for at_s, beat_class in zip(beats_s, classes, strict=True):
        shape = make_complex(beat_class == "V")
        start = round((at_s - 0.3) * RATE_HZ)
        signal[start : start + len(shape)] += shape
    return signal, beats_s, classes


@pytest.fixture(scope="module")
def simulated(record):
    return simulate_rhythm(*record, RATE_HZ, seed=0)


@pytest.mark.parametrize("kind", STRETCHES)
def test_a_stretch_has_runs_of_changed_beats_as_long_as_its_kind_says(kind):
    """Runs counted beat by beat; the first and last of a stretch may be cut."""
    stretch, n = STRETCHES[kind], 20000
    everywhere = np.ones(n, bool)
    rng = np.random.default_rng(0)
    beats, factors, p_waves, inside = plan_changes(everywhere, everywhere, [kind], rng)
    changed = beats == stretch.beat
    assert set(beats[~changed]) == {""}
    assert inside[changed].all()
    assert np.all((p_waves[changed] >= stretch.p_wave[0]) & (p_waves[changed] <= stretch.p_wave[1]))
    assert np.all(p_waves[~changed] == 1)
    low, high = stretch.interval
    assert factors[changed].mean() == pytest.approx((low + high) / 2, abs=0.05)
    assert factors[changed].min() >= max(low - 4.5 * stretch.jitter, MIN_INTERVAL)
    edges = np.flatnonzero(np.diff(np.r_[False, changed, False]))
    lengths = edges[1::2] - edges[::2]
    if stretch.between[0] > 0:
        assert lengths.max() == stretch.changed[1]
        gaps = edges[2::2] - edges[1:-1:2]
        within = [
            inside[end : end + gap].all() for end, gap in zip(edges[1::2], gaps, strict=False)
        ]
        assert set(gaps[within]) >= set(range(stretch.between[0], stretch.between[1] + 1))
    if kind == "fibrillation":
        assert np.abs(np.diff(factors[changed])).mean() > 0.15


def test_only_sinus_beats_in_stretches_change_and_several_kinds_are_simulated(record, simulated):
    _, _, classes = record
    changed = simulated.classes != classes
    assert len(simulated.classes) == len(simulated.beats_s) == len(simulated.in_stretch) == N_BEATS
    assert set(classes[changed]) == {"N"}
    assert simulated.in_stretch[changed].all()
    assert set(simulated.classes[changed]) == {"S", "F"}
    ventricular = np.flatnonzero(classes == "V")
    assert not changed[ventricular - 1].any()
    assert not changed[ventricular[:-1] + 1].any()
    assert 0.3 < simulated.in_stretch.mean() < 0.9


def test_each_beat_is_at_its_time(simulated):
    """The largest value within 0.1 s is the top of the QRS complex, except for mixtures."""
    sharp = np.flatnonzero(np.isin(simulated.classes, ["N", "S"]))
    at = np.round(simulated.beats_s[sharp] * RATE_HZ).astype(int)
    near = simulated.signal_mv[at[:, None] + np.arange(-12, 13), 0]
    assert (near.argmax(axis=1) == 12).all()


def test_premature_beats_are_early_blocked_ones_late_and_others_on_time(record, simulated):
    intervals = np.diff(simulated.beats_s)[1:] / RR_S
    classes, in_stretch = simulated.classes[2:], simulated.in_stretch[2:]
    step = 1.5 / RATE_HZ / RR_S
    early = intervals[classes == "S"]
    low, high = PREMATURE_INTERVAL
    assert early.min() >= MIN_INTERVAL - step
    assert early.max() <= high + 0.15
    assert low < early.mean() < high
    assert early.std() > 0.02
    after = np.flatnonzero(np.append(False, classes[:-1] == "S") & (classes == "N"))
    assert intervals[after].min() >= 0.95 - step
    outside = ~in_stretch & np.append(True, ~in_stretch[:-1])
    assert intervals[outside] == pytest.approx(1, abs=step)
    assert (np.abs(intervals - 2) < step).sum() > 10


def test_a_fusion_beat_is_a_mixture_of_the_patients_two_complexes(record, simulated):
    """Least squares over the QRS complex finds a fraction of 0.25 to 0.75 and leaves little."""
    n, v = (make_complex(ventricular)[24:48].ravel() for ventricular in (False, True))
    design = np.stack([n, v, np.ones_like(n)], axis=1)
    lead = np.tile([1.0, -1.0], 24)  # a level per lead: the pieces are moved to one another
    design = np.column_stack([design, lead])
    at = np.round(simulated.beats_s[simulated.classes == "F"] * RATE_HZ).astype(int)
    assert len(at) > 5
    for sample in at:
        beat = simulated.signal_mv[sample - 12 : sample + 12].ravel()
        (weight_n, weight_v, *_), residuals, *_ = np.linalg.lstsq(design, beat)
        assert weight_n + weight_v == pytest.approx(1, abs=0.05)
        assert 0.2 < weight_v < 0.8
        assert residuals[0] < 0.02 * (beat @ beat)


def test_outside_the_stretches_the_record_is_high_pass_filtered_only(record, simulated):
    from scipy.signal import butter, sosfiltfilt

    signal, beats_s, _ = record
    sections = butter(2, 0.5, "highpass", fs=RATE_HZ, output="sos")
    expected = sosfiltfilt(sections, signal, axis=0, padlen=360)
    first = np.flatnonzero(simulated.in_stretch)[0]
    n = round((beats_s[first - 1] + 0.05) * RATE_HZ)
    assert simulated.signal_mv[:n] == pytest.approx(expected[:n])


def test_equal_seeds_give_equal_rhythms_and_others_do_not(record, simulated):
    again, other = (simulate_rhythm(*record, RATE_HZ, seed) for seed in (0, 1))
    assert np.array_equal(again.signal_mv, simulated.signal_mv)
    assert np.array_equal(again.classes, simulated.classes)
    assert not np.array_equal(other.classes, simulated.classes)


def test_an_irregular_record_without_ventricular_beats_gives_no_simulation(record):
    signal, beats_s, classes = record
    irregular = beats_s + np.random.default_rng(0).uniform(-0.3, 0.3, N_BEATS)
    assert simulate_rhythm(signal, irregular, np.full(N_BEATS, "N"), RATE_HZ, 0) is None
    mixed = simulate_rhythm(signal, irregular, classes, RATE_HZ, 0)
    assert set(mixed.classes[mixed.classes != classes]) == {"F"}


def test_the_p_wave_is_scaled_about_the_line_below_it():
    piece = np.ones((20, 2)) + np.linspace(0, 1, 20)[:, None]
    line = piece.copy()
    piece[4] += 0.5
    inverted = scale_p_wave(piece, 10, -1.0)
    assert inverted[4] == pytest.approx(line[4] - 0.5, abs=1e-6)
    assert np.array_equal(inverted[10:], piece[10:])
    assert np.array_equal(scale_p_wave(piece, 1, -1.0), piece)


def test_a_beat_too_short_to_be_mixed_is_unchanged():
    piece = np.random.default_rng(0).standard_normal((15, 2))
    assert np.array_equal(mix_beats(piece, -piece, 5, 0.5, RATE_HZ), piece)


def test_overlapping_pieces_fade_and_a_gap_is_filled_with_what_was_before():
    """Ones of 20 samples, then twos from sample 10; then threes after a gap of 30 samples."""
    pieces = [np.full((20, 2), value) for value in (1.0, 2.0, 3.0)]
    at = np.array([5, 5, 5])
    signal, beats_s = join_beats(pieces, at, np.array([5, 15, 65]) / RATE_HZ, RATE_HZ)
    assert beats_s == pytest.approx(np.array([5, 15, 65]) / RATE_HZ)
    assert len(signal) == 80
    assert signal[:10] == pytest.approx(1)
    assert signal[10:20, 1] == pytest.approx(2 + np.linspace(1, 0, 10))
    assert signal[20:30] == pytest.approx(2)
    mirrored = np.pad(signal[12:30], ((0, 30), (0, 0)), "symmetric")[18:]
    assert signal[30:60] == pytest.approx(mirrored)
    assert signal[60:] == pytest.approx(3)
