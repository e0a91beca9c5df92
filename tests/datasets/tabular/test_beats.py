"""Against hand-made rhythms and beats, and NumPy's median and correlation."""

import numpy as np
import pytest

from ecglib.datasets.tabular.beats import (
    INTERVALS,
    SHAPES,
    align_beats,
    compare_with_template,
    compute_ectopic_positions,
    compute_intervals,
    compute_shapes,
    compute_templates,
)

RATE_HZ = 120.0
N_BEATS, BROAD, WITHOUT_P, LATE = 60, 20, 30, 40


def test_intervals_are_relative_to_the_patients_other_intervals():
    """A premature beat with its pause in a rhythm of 0.8 s, then a gap of 100 s."""
    beats_s = np.cumsum([0, 0.8, 0.8, 0.8, 0.4, 1.2, 0.8, 100])
    found = compute_intervals(beats_s)
    assert tuple(found) == INTERVALS
    nan = np.nan
    expected = {
        "rr_before_ratio": [nan, 1, 1, 1, 0.5, 1.5, 1, 3],
        "rr_after_ratio": [nan, 1, 1, 0.5, 1.5, 1, 3, nan],
        "rr_before_to_mean_ratio": [nan, 1, 1, 1, 0.4 / 0.7, 1.5, 1, 3],
        "rr_before_to_previous_ratio": [nan, nan, 1, 1, 0.5, 3, 0.8 / 1.2, 3],
        "rr_before_to_around_ratio": [nan, 1, 1, 1, 0.5, 1.5, 1, 3],
        "rr_after_to_record_ratio": [1, 1, 1, 0.5, 1.5, 1, 3, nan],
        # NumPy's 0.9 quantile of the seven intervals: four tenths of the way from 1.2 to 100.
        "rr_before_to_long_ratio": np.r_[nan, 0.8, 0.8, 0.8, 0.4, 1.2, 0.8, 100] / 40.72,
        # Squared changes 0, 0, 0.16, 0.64, 0.16, 9840: the root of their median is 0.4 s.
        "rr_before_score": [nan, 0, 0, 0, -1, 1, 0, 20],
        "rr_irregular_5_near": [0.5] * 8,
        "rr_irregular_15_far": [0.5] * 8,
    }
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, nan_ok=True), name


def test_the_interval_around_depends_on_later_beats_and_the_usual_one_does_not():
    """From 1 s to 0.5 s at beat 100: 10 beats later the interval around is the new one."""
    beats_s = np.cumsum([0.0, *[1.0] * 99, *[0.5] * 100])
    found = compute_intervals(beats_s)
    assert found["rr_before_ratio"][110] == pytest.approx(0.5)
    assert found["rr_before_to_around_ratio"][110] == pytest.approx(1.0)
    assert found["rr_before_to_around_ratio"][95] == pytest.approx(1.0)


def test_where_most_beats_are_premature_the_long_interval_is_still_that_of_the_others():
    """Runs of eight beats 0.5 s apart between two of 0.9 s: medians are those of the runs."""
    rr_s = np.tile([0.9, 0.9, *[0.5] * 8], 40)
    found = compute_intervals(np.cumsum(rr_s))
    premature = np.flatnonzero(rr_s == 0.5)
    assert found["rr_before_to_record_ratio"][premature] == pytest.approx(1)
    steady = compute_intervals(np.arange(300) * 0.8)
    for name in ("rr_before_to_long_ratio", "rr_before_to_record_long_ratio"):
        assert found[name][premature] == pytest.approx(0.5 / 0.9), name
        assert steady[name][1:] == pytest.approx(1), name


def test_a_random_rhythm_is_irregular_and_a_drifting_one_is_not():
    rng = np.random.default_rng(0)
    fibrillation = compute_intervals(np.cumsum(rng.uniform(0.4, 1.2, 300)))
    drifting = compute_intervals(np.cumsum(0.8 + 0.2 * np.sin(np.arange(300) / 60)))
    for name in (name for name in INTERVALS if "irregular" in name):
        assert np.median(fibrillation[name]) > 0.6, name
        assert drifting[name].max() == 0, name
    # The same early beat stands out from a steady rhythm only.
    steady_s = np.cumsum(np.where(np.arange(300) == 150, 0.5, 0.8))
    assert compute_intervals(steady_s)["rr_before_score"][150] == -20
    assert np.nanmax(np.abs(fibrillation["rr_before_score"])) < 5


@pytest.fixture(scope="module")
def record():
    """Beats 0.9 s apart: one broad and upside down, one without P wave, one marked late."""
    beats_s = 2 + 0.9 * np.arange(N_BEATS)
    time_s = np.arange(round(60 * RATE_HZ)) / RATE_HZ
    signal = np.zeros((len(time_s), 2))
    for beat, beat_s in enumerate(beats_s):
        since_s = time_s - beat_s
        broad = beat == BROAD
        qrs = np.exp(-0.5 * (since_s / (0.04 if broad else 0.012)) ** 2) * (-1.5 if broad else 1)
        p = 0.15 * np.exp(-0.5 * ((since_s + 0.16) / 0.02) ** 2) * (beat != WITHOUT_P)
        signal += np.stack([qrs + p, 0.5 * qrs + p], axis=1)
    noise_mv = np.random.default_rng(0).normal(0, 0.005, signal.shape)
    beats_s[LATE] += 3 / RATE_HZ
    return signal + noise_mv, beats_s


def test_a_broad_beat_and_one_without_p_wave_stand_out_in_both_leads(record):
    found = compute_shapes(*record, RATE_HZ)
    assert tuple(found) == SHAPES
    usual = np.delete(np.arange(N_BEATS), [BROAD, WITHOUT_P])
    for lead in ("mlii", "v"):
        values = {
            name.removesuffix(f"_{lead}"): column
            for name, column in found.items()
            if name.endswith(lead)
        }
        assert values["qrs_correlation"][usual].min() > 0.98
        assert values["qrs_correlation"][BROAD] < 0.5
        assert values["qrs_rms_ratio"][usual] == pytest.approx(1, abs=0.1)
        assert values["qrs_rms_ratio"][BROAD] > 1.3
        assert values["qrs_difference"][usual].max() < 0.2
        assert values["qrs_difference"][BROAD] > 1.5
        assert values["p_correlation"][WITHOUT_P] < 0.6 < values["p_correlation"][usual].min()
        assert values["p_rms_ratio"][WITHOUT_P] < 0.5
        assert np.abs(values["qrs_width_score"][usual]).max() < 0.7
        assert values["qrs_width_score"][BROAD] > 1.5


def test_a_beat_that_is_marked_late_is_moved_back(record):
    signal, beats_s = record
    at = np.round(beats_s * RATE_HZ).astype(int)
    moved = align_beats(signal.T, at, RATE_HZ) - at
    assert moved[LATE] == -3
    assert np.abs(np.delete(moved, [BROAD, LATE])).max() <= 1


def test_the_gain_of_a_lead_does_not_matter(record):
    signal, beats_s = record
    once, twice = (
        compute_shapes(signal, beats_s, RATE_HZ),
        compute_shapes(signal * [2, 0.5], beats_s, RATE_HZ),
    )
    for name in SHAPES:
        assert twice[name] == pytest.approx(once[name], abs=0.05, nan_ok=True), name


def test_the_template_is_the_median_of_the_beats_around():
    beats = np.random.default_rng(0).normal(size=(2, 5, 400))
    found = compute_templates(beats)
    assert np.array_equal(found[..., 10], np.median(beats[..., :125], axis=-1))
    assert np.array_equal(found[..., 249], np.median(beats[..., 125:325], axis=-1))
    assert np.array_equal(found[..., 399], np.median(beats[..., 275:], axis=-1))


def test_comparisons_agree_with_numpy():
    beats, template = np.random.default_rng(0).normal(size=(2, 2, 40, 7))
    correlation, ratio, difference = compare_with_template(beats, template)
    for beat in range(7):
        a, b = beats[1, :, beat], template[1, :, beat]
        assert correlation[1, beat] == pytest.approx(np.corrcoef(a, b)[0, 1])
        assert ratio[1, beat] == pytest.approx(a.std() / b.std(), rel=0.01)
        assert difference[1, beat] == pytest.approx((a - b).std() / b.std(), rel=0.01)


def test_a_flat_lead_has_no_shape(record):
    signal, beats_s = record
    found = compute_shapes(signal * [1, 0], beats_s, RATE_HZ)
    for name in (name for name in SHAPES if not name.startswith("ectopic")):
        is_flat = name.endswith("_v")
        assert np.isnan(found[name]).all() == is_flat, name
        assert np.isfinite(found[name]).all() != is_flat, name


def test_a_fusion_beat_is_on_the_way_to_the_ectopic_one():
    """Two orthogonal shapes, and a third that is orthogonal to both."""
    n_beats, n_steps = 60, 40
    noise = np.random.default_rng(0).normal(size=(n_steps, 3))
    usual, ectopic, other = np.linalg.qr(noise - noise.mean(axis=0))[0].T[:, None, :, None]
    fractions = np.zeros(n_beats)
    fractions[[5, 15, 25, 35]], fractions[45] = 1.0, 0.4
    complexes = (1 - fractions) * usual + fractions * ectopic
    complexes[..., 50] += 0.5 * other[..., 0]
    positions = compute_ectopic_positions(complexes, fractions == 1)
    assert positions.fraction[:50] == pytest.approx(fractions[:50], abs=0.01)
    assert positions.distance[:50] == pytest.approx(0, abs=0.01)
    assert positions.distance[50] == pytest.approx(0.5 / np.sqrt(2), abs=0.05)
    # Two are not enough, and a beat that is unlike but on time is not ectopic here.
    for early in (np.arange(n_beats) < 20, np.zeros(n_beats, bool)):
        assert np.isnan(compute_ectopic_positions(complexes, early)).all()


def test_the_ectopic_shape_is_that_of_early_beats(record):
    """The broad beat three times more, each 0.3 s early."""
    signal, beats_s = record[0].copy(), record[1].copy()
    length, lead = round(0.5 * RATE_HZ), round(0.25 * RATE_HZ)
    broad = round(beats_s[BROAD] * RATE_HZ) - lead
    for beat in (10, 30, 50):
        beats_s[beat] -= 0.3
        start = round(beats_s[beat] * RATE_HZ) - lead
        signal[start + length : start + 2 * length] = signal[:length]  # where the beat was
        signal[start : start + length] = signal[broad : broad + length]
    found = compute_shapes(signal, beats_s, RATE_HZ)
    early = np.isin(np.arange(N_BEATS), [10, 30, 50])
    assert found["ectopic_share"][early] == pytest.approx(1, abs=0.1)
    usual = ~early & (np.arange(N_BEATS) != BROAD)
    assert np.abs(found["ectopic_share"][usual]).max() < 0.1
    assert found["ectopic_distance"][usual].max() < 0.2
    # One lead is enough; without any there is no shape.
    one_lead = compute_shapes(signal * [1, 0], beats_s, RATE_HZ)["ectopic_share"]
    assert one_lead[early] == pytest.approx(1, abs=0.1)
    assert np.abs(one_lead[usual]).max() < 0.1
    assert np.isnan(compute_shapes(signal * 0, beats_s, RATE_HZ)["ectopic_share"]).all()
