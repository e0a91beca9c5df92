"""Against hand-made rhythms and beats, and NumPy's median and correlation."""

import numpy as np
import pytest

from ecglib.datasets.tabular.beats import (
    INTERVALS,
    SHAPES,
    aligned,
    compared,
    ectopic_shares,
    intervals,
    shapes,
    templates,
)

RATE_HZ = 120.0
N_BEATS, BROAD, WITHOUT_P, LATE = 60, 20, 30, 40


def test_intervals_are_relative_to_the_patients_own():
    """A premature beat with its pause in a rhythm of 0.8 s, then a gap of 100 s."""
    beats_s = np.cumsum([0, 0.8, 0.8, 0.8, 0.4, 1.2, 0.8, 100])
    found = intervals(beats_s)
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


def test_the_interval_around_knows_what_comes_after_where_the_usual_one_does_not():
    """From 1 s to 0.5 s at beat 100: 10 beats later the interval around is the new one."""
    beats_s = np.cumsum([0.0, *[1.0] * 99, *[0.5] * 100])
    found = intervals(beats_s)
    assert found["rr_before_ratio"][110] == pytest.approx(0.5)
    assert found["rr_before_to_around_ratio"][110] == pytest.approx(1.0)
    assert found["rr_before_to_around_ratio"][95] == pytest.approx(1.0)


def test_where_most_beats_are_premature_the_long_interval_is_still_that_of_the_others():
    """Runs of eight beats 0.5 s apart between two of 0.9 s: medians are those of the runs."""
    rr_s = np.tile([0.9, 0.9, *[0.5] * 8], 40)
    found = intervals(np.cumsum(rr_s))
    premature = np.flatnonzero(rr_s == 0.5)
    assert found["rr_before_to_record_ratio"][premature] == pytest.approx(1)
    steady = intervals(np.arange(300) * 0.8)
    for name in ("rr_before_to_long_ratio", "rr_before_to_record_long_ratio"):
        assert found[name][premature] == pytest.approx(0.5 / 0.9), name
        assert steady[name][1:] == pytest.approx(1), name


def test_a_rhythm_without_order_is_irregular_and_a_drifting_one_is_not():
    rng = np.random.default_rng(0)
    fibrillation = intervals(np.cumsum(rng.uniform(0.4, 1.2, 300)))
    drifting = intervals(np.cumsum(0.8 + 0.2 * np.sin(np.arange(300) / 60)))
    for name in (name for name in INTERVALS if "irregular" in name):
        assert np.median(fibrillation[name]) > 0.6, name
        assert drifting[name].max() == 0, name
    # The same early beat stands out of a steady rhythm only.
    steady_s = np.cumsum(np.where(np.arange(300) == 150, 0.5, 0.8))
    assert intervals(steady_s)["rr_before_score"][150] == -20
    assert np.nanmax(np.abs(fibrillation["rr_before_score"])) < 5


@pytest.fixture(scope="module")
def made():
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


def test_a_broad_beat_and_one_without_p_wave_stand_out_in_both_leads(made):
    found = shapes(*made, RATE_HZ)
    assert tuple(found) == SHAPES
    usual = np.delete(np.arange(N_BEATS), [BROAD, WITHOUT_P])
    for lead in ("mlii", "v"):
        own = {name.removesuffix(f"_{lead}"): v for name, v in found.items() if name.endswith(lead)}
        assert own["qrs_correlation"][usual].min() > 0.98
        assert own["qrs_correlation"][BROAD] < 0.5
        assert own["qrs_rms_ratio"][usual] == pytest.approx(1, abs=0.1)
        assert own["qrs_rms_ratio"][BROAD] > 1.3
        assert own["qrs_difference"][usual].max() < 0.2
        assert own["qrs_difference"][BROAD] > 1.5
        assert own["p_correlation"][WITHOUT_P] < 0.6 < own["p_correlation"][usual].min()
        assert own["p_rms_ratio"][WITHOUT_P] < 0.5
        assert np.abs(own["qrs_width_score"][usual]).max() < 0.7
        assert own["qrs_width_score"][BROAD] > 1.5


def test_a_beat_that_is_marked_late_is_moved_back(made):
    signal, beats_s = made
    at = np.round(beats_s * RATE_HZ).astype(int)
    moved = aligned(signal.T, at, RATE_HZ) - at
    assert moved[LATE] == -3
    assert np.abs(np.delete(moved, [BROAD, LATE])).max() <= 1


def test_the_gain_of_a_lead_changes_nothing(made):
    signal, beats_s = made
    once, twice = shapes(signal, beats_s, RATE_HZ), shapes(signal * [2, 0.5], beats_s, RATE_HZ)
    for name in SHAPES:
        assert twice[name] == pytest.approx(once[name], abs=0.05, nan_ok=True), name


def test_the_template_is_the_median_of_the_beats_around():
    own = np.random.default_rng(0).normal(size=(2, 5, 400))
    found = templates(own)
    assert np.array_equal(found[..., 10], np.median(own[..., :125], axis=-1))
    assert np.array_equal(found[..., 249], np.median(own[..., 125:325], axis=-1))
    assert np.array_equal(found[..., 399], np.median(own[..., 275:], axis=-1))


def test_beats_are_compared_as_numpy_compares_them():
    own, template = np.random.default_rng(0).normal(size=(2, 2, 40, 7))
    correlation, ratio, difference = compared(own, template)
    for beat in range(7):
        a, b = own[1, :, beat], template[1, :, beat]
        assert correlation[1, beat] == pytest.approx(np.corrcoef(a, b)[0, 1])
        assert ratio[1, beat] == pytest.approx(a.std() / b.std(), rel=0.01)
        assert difference[1, beat] == pytest.approx((a - b).std() / b.std(), rel=0.01)


def test_a_lead_that_is_flat_has_no_shape(made):
    signal, beats_s = made
    found = shapes(signal * [1, 0], beats_s, RATE_HZ)
    for name in (name for name in SHAPES if not name.startswith("ectopic")):
        lacks = name.endswith("_v")
        assert np.isnan(found[name]).all() == lacks, name
        assert np.isfinite(found[name]).all() != lacks, name


def test_a_fusion_beat_is_on_the_way_to_the_ectopic_one():
    """Made of two shapes at right angles and a third that is neither."""
    n_beats, n_steps = 60, 40
    made = np.random.default_rng(0).normal(size=(n_steps, 3))
    usual, ectopic, other = np.linalg.qr(made - made.mean(axis=0))[0].T[:, None, :, None]
    shares = np.zeros(n_beats)
    shares[[5, 15, 25, 35]], shares[45] = 1.0, 0.4
    own = (1 - shares) * usual + shares * ectopic
    own[..., 50] += 0.5 * other[..., 0]
    found, beside = ectopic_shares(own, shares == 1)
    assert found[:50] == pytest.approx(shares[:50], abs=0.01)
    assert beside[:50] == pytest.approx(0, abs=0.01)
    assert beside[50] == pytest.approx(0.5 / np.sqrt(2), abs=0.05)
    # Two are not enough, and what is unlike but on time is no ectopic beat here.
    for early in (np.arange(n_beats) < 20, np.zeros(n_beats, bool)):
        assert all(np.isnan(values).all() for values in ectopic_shares(own, early))


def test_the_ectopic_shape_is_that_of_early_beats(made):
    """The broad beat three times more, each 0.3 s early."""
    signal, beats_s = made[0].copy(), made[1].copy()
    length, lead = round(0.5 * RATE_HZ), round(0.25 * RATE_HZ)
    broad = round(beats_s[BROAD] * RATE_HZ) - lead
    for beat in (10, 30, 50):
        beats_s[beat] -= 0.3
        start = round(beats_s[beat] * RATE_HZ) - lead
        signal[start + length : start + 2 * length] = signal[:length]  # where it stood on time
        signal[start : start + length] = signal[broad : broad + length]
    found = shapes(signal, beats_s, RATE_HZ)
    early = np.isin(np.arange(N_BEATS), [10, 30, 50])
    assert found["ectopic_share"][early] == pytest.approx(1, abs=0.1)
    usual = ~early & (np.arange(N_BEATS) != BROAD)
    assert np.abs(found["ectopic_share"][usual]).max() < 0.1
    assert found["ectopic_distance"][usual].max() < 0.2
    # One lead is enough; without any there is no shape.
    one = shapes(signal * [1, 0], beats_s, RATE_HZ)["ectopic_share"]
    assert one[early] == pytest.approx(1, abs=0.1)
    assert np.abs(one[usual]).max() < 0.1
    assert np.isnan(shapes(signal * 0, beats_s, RATE_HZ)["ectopic_share"]).all()
