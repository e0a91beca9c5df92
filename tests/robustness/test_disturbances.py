"""Each disturbance does what it says, by independent measures."""

import dataclasses

import numpy as np
import pytest
import wfdb
from scipy.signal import resample_poly, welch

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import DatasetError, ExperimentError
from ecglib.robustness import DISTURBANCES, Disturber
from ecglib.robustness.disturb import count_measured

RATE_HZ = 500.0
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
SIGNAL = SignalSpec(sampling_rate_hz=RATE_HZ, n_samples=5000, leads=LEADS)
NOISES = ("white_noise", "baseline_wander", "muscle_artifact", "electrode_motion")


@pytest.fixture(scope="module")
def windows_mv():
    """Beats of other amplitudes and rates in each window, from potentials of the electrodes."""
    t = np.arange(SIGNAL.n_samples) / RATE_HZ
    rng = np.random.default_rng(0)
    windows = []
    for rate in (55, 72, 110):
        phase = (t * rate / 60) % 1
        beat = np.exp(-(((phase - 0.4) / 0.03) ** 2)) + 0.2 * np.exp(-(((phase - 0.7) / 0.08) ** 2))
        left, right, foot, chest = rng.normal(0, 1, 4)[:, None] * beat
        windows.append(record_leads(left, right, foot, chest))
    return np.array(windows)


def record_leads(left, right, foot, chest):
    """Einthoven's, Goldberger's and a chest lead, from the potentials of the electrodes."""
    return np.stack(
        [
            left - right,
            foot - right,
            foot - left,
            right - (left + foot) / 2,
            left - (right + foot) / 2,
            foot - (left + right) / 2,
            chest - (left + right + foot) / 3,
        ],
        axis=-1,
    )


def disturb(windows_mv, name, severity, **settings):
    numbers = np.arange(len(windows_mv))
    return Disturber(SIGNAL, **settings).disturb(windows_mv, numbers, name, severity)


def measure_snr_db(clean, noise):
    """The definition of `nst`, written as loops over seconds and samples of one lead."""
    n_beats, n_seconds = len(clean) // 750, len(clean) // 500
    ranges, rms = [], []
    for k in range(n_beats):
        part = clean[k * len(clean) // n_beats : (k + 1) * len(clean) // n_beats]
        ranges.append(max(part) - min(part))
    for k in range(n_seconds):
        part = noise[k * 500 : (k + 1) * 500]
        mean = sum(part) / len(part)
        rms.append((sum((one - mean) ** 2 for one in part) / len(part)) ** 0.5)
    signal_power = sorted(ranges)[n_beats // 2] ** 2 / 8
    if n_beats % 2 == 0:
        middle = sorted(ranges)[n_beats // 2 - 1 : n_beats // 2 + 1]
        signal_power = (sum(middle) / 2) ** 2 / 8
    return 10 * np.log10(signal_power / (sum(rms) / n_seconds) ** 2)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("snr_db", [24.0, -6.0])
def test_the_measured_snr_is_the_stated_one(name, snr_db, windows_mv):
    noise = disturb(windows_mv, name, snr_db) - windows_mv

    found = [
        measure_snr_db(clean[:, lead], one[:, lead])
        for clean, one in zip(windows_mv, noise, strict=True)
        for lead in (0, 6)
    ]

    np.testing.assert_allclose(found, snr_db, atol=1e-6)


def measure_power_fraction(noise, rate_hz, low_hz, high_hz):
    frequency_hz, power = welch(noise, rate_hz, nperseg=len(noise) // 4, axis=0)
    in_band = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    return power[in_band].sum() / power.sum()


@pytest.mark.parametrize(
    ("name", "low_hz", "high_hz", "low_fraction", "high_fraction"),
    [
        ("white_noise", 0, 125, 0.45, 0.55),
        ("baseline_wander", 0, 1.0, 0.95, 1.0),
        ("electrode_motion", 0.5, 10.5, 0.97, 1.0),
        ("electrode_motion", 0.5, 3.0, 0.6, 0.9),  # the power falls with the frequency squared
        ("muscle_artifact", 20, 250, 0.9, 1.0),
        ("muscle_artifact", 30, 120, 0.55, 0.8),
    ],
)
def test_the_power_of_noise_is_in_its_band(
    name, low_hz, high_hz, low_fraction, high_fraction, windows_mv
):
    noise = disturb(windows_mv, name, 0.0) - windows_mv

    fractions = [measure_power_fraction(one, RATE_HZ, low_hz, high_hz) for one in noise]

    assert low_fraction < np.mean(fractions) <= high_fraction


def test_wander_is_slower_than_half_a_hertz_in_a_long_window():
    signal = dataclasses.replace(SIGNAL, sampling_rate_hz=50.0, n_samples=20_000, leads=("I",))
    rng = np.random.default_rng(0)
    window_mv = rng.normal(0, 1, (1, 20_000, 1))

    disturber = Disturber(signal)
    noise = disturber.disturb(window_mv, np.zeros(1, int), "baseline_wander", 0.0) - window_mv

    assert measure_power_fraction(noise[0], 50.0, 0.04, 0.51) > 0.99


@pytest.mark.parametrize(("name", "frequency_hz"), [("mains_50hz", 50), ("mains_60hz", 60)])
def test_mains_hum_is_a_sine_of_exactly_its_frequency_and_amplitude(name, frequency_hz, windows_mv):
    hum = disturb(windows_mv, name, 0.1) - windows_mv

    spectrum = np.abs(np.fft.rfft(hum, axis=1)) * 2 / SIGNAL.n_samples
    expected = np.zeros_like(spectrum)
    expected[:, frequency_hz * 10] = 0.1  # bins of 0.1 Hz
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)
    assert len({tuple(one[:3, 0]) for one in hum}) == len(hum)  # other phases


def test_reversed_arms_record_the_exchanged_potentials(windows_mv):
    rng = np.random.default_rng(1)
    left, right, foot, chest = rng.normal(size=(4, SIGNAL.n_samples))
    right_way, reversed_way = (
        record_leads(left, right, foot, chest),
        record_leads(right, left, foot, chest),
    )

    found = disturb(right_way[None], "arm_reversal", 100.0)[0]

    np.testing.assert_allclose(found, reversed_way, atol=1e-12)
    assert np.array_equal(disturb(found[None], "arm_reversal", 100.0)[0], right_way)


def test_the_arms_of_about_half_the_windows_are_reversed(windows_mv):
    many = np.tile(windows_mv[:1, :10], (400, 1, 1))
    signal = dataclasses.replace(SIGNAL, n_samples=10)

    found = Disturber(signal).disturb(many, np.arange(400), "arm_reversal", 50.0)

    n_reversed = (found != many).any(axis=(1, 2)).sum()
    assert 160 < n_reversed < 240


@pytest.mark.parametrize("leads", [("I", "II"), ("II", "V1", "aVF"), ("aVL", "aVF", "V1"), ("I",)])
def test_leads_that_reversed_arms_need_are_derived_from_two_others(leads):
    left, right, foot, chest = np.random.default_rng(1).normal(size=(4, 50))
    places = [LEADS.index(lead) for lead in leads]
    right_way = record_leads(left, right, foot, chest)[:, places]
    reversed_way = record_leads(right, left, foot, chest)[:, places]
    signal = dataclasses.replace(SIGNAL, leads=leads, n_samples=50)

    disturber = Disturber(signal)
    found = disturber.disturb(right_way[None], np.zeros(1, int), "arm_reversal", 100.0)

    np.testing.assert_allclose(found[0], reversed_way, atol=1e-12)


@pytest.mark.parametrize(
    ("leads", "reason"),
    [(("II", "V1"), "III is missing"), (("MLII", "V1"), "there is no limb lead")],
)
def test_arms_are_not_reversed_in_leads_that_do_not_show_it(leads, reason):
    signal = dataclasses.replace(SIGNAL, leads=leads, n_samples=10)
    disturber = Disturber(signal)

    with pytest.raises(ExperimentError, match=reason):
        disturber.disturb(np.ones((1, 10, 2)), np.zeros(1, int), "arm_reversal", 100.0)
    assert reason in disturber.find_obstacle("arm_reversal")


def test_a_lower_rate_is_that_of_resample_poly(windows_mv):
    found = disturb(windows_mv, "lower_sampling_rate", 4.0)

    down = resample_poly(windows_mv, 1, 4, axis=1, padtype="line")
    np.testing.assert_allclose(found, resample_poly(down, 4, 1, axis=1, padtype="line"), atol=1e-9)


def test_a_lower_rate_removes_what_is_above_its_nyquist_frequency_alone():
    t = np.arange(SIGNAL.n_samples) / RATE_HZ
    slow, fast = np.sin(2 * np.pi * 20 * t), np.sin(2 * np.pi * 90 * t)
    window_mv = np.tile((slow + fast)[None, :, None], (1, 1, len(LEADS)))

    found = disturb(window_mv, "lower_sampling_rate", 4.0)  # 125 Hz

    np.testing.assert_allclose(found[0, 500:-500, 0], slow[500:-500], atol=0.01)


def test_a_wrong_sampling_rate_makes_waves_longer():
    t = (np.arange(SIGNAL.n_samples) - SIGNAL.n_samples / 2) / RATE_HZ
    window_mv = np.tile(np.cos(2 * np.pi * 10 * t)[None, :, None], (1, 1, len(LEADS)))

    found = disturb(window_mv, "sampling_rate_error", 5.0)

    stretched = np.cos(2 * np.pi * 10 / 1.05 * t)
    np.testing.assert_allclose(found[0, 100:-100, 0], stretched[100:-100], atol=0.01)


def test_a_beat_stays_in_its_place_where_waves_become_longer():
    signal = dataclasses.replace(SIGNAL, n_samples=300, around_beats=True, beat_s=0.2)
    t = np.arange(300) / RATE_HZ
    window_mv = np.tile(np.exp(-(((t - 0.2) / 0.01) ** 2))[None, :, None], (1, 1, len(LEADS)))

    found = Disturber(signal).disturb(window_mv, np.zeros(1, int), "sampling_rate_error", 10.0)

    assert abs(int(found[0, :, 0].argmax()) - 100) <= 1


def test_the_gain_is_wrong_by_the_stated_percentage_in_both_directions(windows_mv):
    many = np.repeat(windows_mv[:1, :10], 50, axis=0)
    signal = dataclasses.replace(SIGNAL, n_samples=10)

    found = Disturber(signal).disturb(many, np.arange(50), "gain_error", 20.0)

    ratios = {round(float(ratio), 9) for ratio in (found / many)[:, 3:].ravel()}
    assert ratios == {0.8, 1.2}


@pytest.mark.parametrize("n_lost", [0, 1, 3, 6])
def test_lost_leads_are_zero_and_the_others_unchanged(n_lost, windows_mv):
    found = disturb(windows_mv, "lost_leads", float(n_lost))

    lost = (found == 0).all(axis=1)
    assert (lost.sum(axis=1) == n_lost).all()
    expected = np.where(lost[:, None], 0.0, windows_mv)
    assert np.array_equal(found, expected)


def test_a_lead_that_is_lost_stays_lost_at_a_higher_severity(windows_mv):
    few = (disturb(windows_mv, "lost_leads", 2.0) == 0).all(axis=1)
    more = (disturb(windows_mv, "lost_leads", 4.0) == 0).all(axis=1)

    assert (more >= few).all()


def test_clipping_changes_only_what_is_beyond_it(windows_mv):
    found = disturb(windows_mv, "clipping", 0.25)

    inside = np.abs(windows_mv) <= 0.25
    assert np.array_equal(found[inside], windows_mv[inside])
    assert (np.abs(found[~inside]) == 0.25).all()
    assert (~inside).any()


def test_a_shorter_window_is_padded_at_its_end(windows_mv):
    found = disturb(windows_mv + 10, "shorter_window", 25.0)

    assert np.array_equal(found[:, :3750], windows_mv[:, :3750] + 10)
    assert not found[:, 3750:].any()


def test_a_shorter_window_around_a_beat_contains_the_beat():
    signal = dataclasses.replace(SIGNAL, n_samples=300, around_beats=True, beat_s=0.2)

    found = Disturber(signal).disturb(
        np.ones((1, 300, len(LEADS))), np.zeros(1, int), "shorter_window", 75.0
    )

    measured = np.flatnonzero(found[0, :, 0])
    assert len(measured) == 75
    assert measured[0] <= 100 <= measured[-1]


@pytest.mark.parametrize("name", DISTURBANCES)
def test_padding_stays_0_mv_and_an_empty_window_empty(name, windows_mv):
    padded = windows_mv + 0.5
    padded[0, 1600:], padded[1] = 0.0, 0.0

    found = disturb(padded, name, DISTURBANCES[name].severities[0])

    assert not found[0, 1600:].any()
    assert not found[1].any()
    assert found[0, :1600].any()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_window_gets_the_same_bits_in_any_batch_and_others_with_another_seed(name, windows_mv):
    disturber, severity = Disturber(SIGNAL, seed=3), DISTURBANCES[name].severities[0]
    numbers = np.array([5, 900, 17])

    together = disturber.disturb(windows_mv, numbers, name, severity)
    alone = disturber.disturb(windows_mv[1:2], numbers[1:2], name, severity)
    again = Disturber(SIGNAL, seed=3).disturb(windows_mv[::-1], numbers[::-1], name, severity)

    assert np.array_equal(together[1:2], alone)
    assert np.array_equal(together, again[::-1])
    if name in NOISES:
        assert not np.array_equal(together, disturb(windows_mv, name, severity, seed=4))


def test_a_window_in_float32_stays_float32_and_is_not_changed_itself(windows_mv):
    given = windows_mv.astype(np.float32)
    before = given.copy()

    found = disturb(given, "clipping", 0.1)

    assert found.dtype == np.float32
    assert np.array_equal(given, before)


@pytest.fixture(scope="module")
def noise_folder(tmp_path_factory):
    """The three records of the noise stress test, each two sines of its channels' frequencies."""
    folder = tmp_path_factory.mktemp("nstdb")
    t = np.arange(360 * 60) / 360
    for name, hz in {"bw": (0.2, 0.4), "ma": (40, 50), "em": (3, 7)}.items():
        samples = np.stack([np.sin(2 * np.pi * one * t) for one in hz], axis=1)
        wfdb.wrsamp(
            name,
            fs=360,
            units=["mV", "mV"],
            sig_name=["noise1", "noise2"],
            p_signal=samples,
            fmt=["212", "212"],
            write_dir=str(folder),
        )
    return folder


@pytest.mark.parametrize(
    ("name", "hz"),
    [("baseline_wander", (0.2, 0.4)), ("muscle_artifact", (40, 50)), ("electrode_motion", (3, 7))],
)
def test_recorded_noise_takes_the_place_of_synthetic_noise(name, hz, noise_folder, windows_mv):
    noise = disturb(windows_mv, name, 6.0, noise_folder=noise_folder) - windows_mv

    found = np.abs(np.fft.rfft(noise, axis=1)).argmax(axis=1) / 10  # bins of 0.1 Hz
    expected = np.array([hz[lead % 2] for lead in range(len(LEADS))])
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.11)
    snr_db = [measure_snr_db(a[:, 6], b[:, 6]) for a, b in zip(windows_mv, noise, strict=True)]
    np.testing.assert_allclose(snr_db, 6.0, atol=1e-6)


def test_no_two_leads_get_the_same_stretch_of_recorded_noise(noise_folder, windows_mv):
    noise = disturb(windows_mv, "baseline_wander", 6.0, noise_folder=noise_folder) - windows_mv

    for one in noise:
        correlation = np.abs(np.corrcoef(one.T))
        assert (correlation[np.triu_indices(len(LEADS), 1)] < 0.999).all()


def test_a_folder_without_the_noise_records_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="bw, ma and em"):
        Disturber(SIGNAL, noise_folder=tmp_path)


def test_unknown_names_and_severities_are_refused(windows_mv):
    with pytest.raises(ExperimentError, match="Did you mean 'white_noise'"):
        disturb(windows_mv, "white_nois", 6.0)
    with pytest.raises(ExperimentError, match="unit is % of the window missing"):
        disturb(windows_mv, "shorter_window", 120.0)
    with pytest.raises(ExperimentError, match="below 7"):
        disturb(windows_mv, "lost_leads", 7.0)
    with pytest.raises(ExperimentError, match="whole number"):
        disturb(windows_mv, "lower_sampling_rate", 1.5)
    with pytest.raises(DatasetError, match="one number for each window"):
        Disturber(SIGNAL).disturb(windows_mv, np.arange(2), "clipping", 0.5)


def test_hum_at_or_above_the_nyquist_frequency_is_not_available():
    disturber = Disturber(dataclasses.replace(SIGNAL, sampling_rate_hz=100.0))

    assert "below 50 Hz" in disturber.find_obstacle("mains_50hz")
    assert disturber.find_obstacle("white_noise") == ""


def test_the_measured_samples_end_with_the_last_one_that_is_not_zero():
    window = np.zeros((6, 2))
    assert count_measured(window) == 0
    window[3, 1] = 0.1
    assert count_measured(window) == 4
