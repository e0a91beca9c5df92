"""The synthetic ECGs, measured on their signals by methods that the generator does not use."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.signal import find_peaks, periodogram, resample

from ecglib.datasets.sources import _heart_vector as hv
from ecglib.datasets.sources.synthetic import CLASSES, SyntheticSource
from ecglib.errors import DatasetError

LEAD = {name: i for i, name in enumerate(hv.LEADS)}
NO_NOISE = hv.Noise(wander_mv=0, muscle_mv=0, mains_mv=0)
STEADY = {"respiratory": 0.0, "slow": 0.0}


def ecg(findings=None, noise=NO_NOISE, key=(0, 1), beat_variation=0.0, heart=None, **rhythm):
    """A record without any variation, except what is given."""
    description = hv.Description(
        heart=heart or hv.Heart(),
        rhythm=hv.Rhythm(**(STEADY | rhythm)),
        noise=noise,
        findings=findings or {},
        beat_variation=beat_variation,
    )
    return hv.render(description, entropy=7, key=key)


def find_r_peaks(x):
    """Samples at which the leads together are largest."""
    size = np.sqrt((x**2).mean(axis=1))
    return find_peaks(size, height=0.4 * size.max(), distance=30)[0]


def extract_beat(x, before_ms=440, after_ms=560):
    """A beat from the middle of the record at 1 kHz, its time in ms from the R peak of lead II."""
    fine = resample(x, 10 * len(x))[2000:8000]
    r = find_peaks(fine[:, LEAD["II"]], height=0.6 * fine[:, LEAD["II"]].max(), distance=300)[0]
    middle = r[len(r) // 2]
    return fine[middle - before_ms : middle + after_ms], np.arange(-before_ms, after_ms)


def measure_qrs_ms(x):
    """How long the leads together change faster than a tenth of their maximum."""
    wave, t = extract_beat(x)
    speed = np.abs(np.gradient(wave, axis=0)).sum(axis=1)
    fast = t[(speed > 0.1 * speed.max()) & (np.abs(t) < 150)]
    return fast.max() - fast.min()


def measure_st_mv(x):
    """Level 110 ms after R against that before QRS, for each lead."""
    wave, t = extract_beat(x)
    level = wave[(t > 105) & (t < 115)].mean(axis=0) - wave[(t > -70) & (t < -62)].mean(axis=0)
    return {name: level[i] for name, i in LEAD.items()}


def measure_p_to_r_ms(x):
    wave, t = extract_beat(x)
    before = t < -70
    return -t[before][np.argmax(wave[before, LEAD["II"]])]


def measure_sokolow_lyon_mv(x):
    wave, t = extract_beat(x)
    qrs = wave[np.abs(t) < 80]
    return -qrs[:, LEAD["V1"]].min() + qrs[:, [LEAD["V5"], LEAD["V6"]]].max()


def measure_qrs_axis_deg(x):
    """Frontal axis from the net areas of QRS in I and aVF."""
    wave, t = extract_beat(x)
    one, foot = wave[np.abs(t) < 60][:, [LEAD["I"], LEAD["aVF"]]].sum(axis=0)
    return np.degrees(np.arctan2(2 / np.sqrt(3) * foot, one))


@pytest.fixture(scope="module")
def records():
    return list(SyntheticSource(n_patients=400, seed=3).read_records())


@pytest.fixture(scope="module")
def windows(records):
    return [record.windows[0] for record in records]


# ---------------------------------------------------------------- physiology


def test_a_normal_ecg_has_normal_intervals_axis_and_amplitudes():
    x = ecg(rate_bpm=60)
    wave, t = extract_beat(x)
    assert 70 <= measure_qrs_ms(x) <= 110
    assert 100 <= measure_p_to_r_ms(x) <= 180
    assert 0 <= measure_qrs_axis_deg(x) <= 90
    assert 1.0 < measure_sokolow_lyon_mv(x) < 3.5
    assert max(np.abs(list(measure_st_mv(x).values()))) < 0.1
    t_wave = wave[(t > 200) & (t < 400)]
    for lead in ("I", "II", "V3", "V4", "V5", "V6"):
        assert 0.05 < t_wave[:, LEAD[lead]].max() < 1.0
    # R grows from V1 to V4 while S shrinks from V2 to V6; aVR measures from the opposite side.
    qrs = wave[np.abs(t) < 60]
    r, s = qrs.max(axis=0), -qrs.min(axis=0)
    assert (np.diff(r[[LEAD[f"V{i}"] for i in (1, 2, 3, 4)]]) > 0).all()
    assert (np.diff(s[[LEAD[f"V{i}"] for i in (2, 3, 4, 5)]]) < 0).all()
    assert s[LEAD["aVR"]] > 3 * r[LEAD["aVR"]]


@pytest.mark.parametrize("rate", [48, 60, 75, 110])
def test_the_heart_rate_is_the_given_one(rate):
    r = find_r_peaks(ecg(rate_bpm=rate))
    assert np.diff(r).mean() / 100 == pytest.approx(60 / rate, rel=0.02)


def test_breathing_changes_the_intervals_by_the_given_fraction():
    calm, breathing = (
        np.diff(find_r_peaks(ecg(rate_bpm=75, respiratory=a, respiration_hz=0.2))) / 100
        for a in (0.0, 0.10)
    )
    assert calm.std() < 0.012
    assert breathing.std() == pytest.approx(0.8 * 0.10 / np.sqrt(2), rel=0.25)


@pytest.mark.parametrize(
    ("territory", "raised", "lowered"),
    [
        ("anterior", ["V1", "V2", "V3", "V4"], ["III", "aVF"]),
        ("inferior", ["II", "III", "aVF"], ["I", "aVL"]),
        ("lateral", ["I", "aVL", "V5", "V6"], ["III", "aVF"]),
    ],
)
def test_a_fresh_infarct_raises_st_over_it_and_lowers_it_opposite(territory, raised, lowered):
    healthy, st = measure_st_mv(ecg()), measure_st_mv(ecg({f"{territory}_mi": 1.0}))
    assert min(st[lead] - healthy[lead] for lead in raised) > 0.1
    assert max(st[lead] - healthy[lead] for lead in lowered) < -0.05


@pytest.mark.parametrize(
    ("territory", "leads"),
    [("anterior", ["V1", "V2", "V3"]), ("inferior", ["III", "aVF"]), ("lateral", ["I", "aVL"])],
)
def test_an_old_infarct_leaves_q_waves_and_an_inverted_t(territory, leads):
    scar = {f"{territory}_mi": 1.0, "old_mi": 1.0}
    (healthy, t), (x, _) = extract_beat(ecg()), extract_beat(ecg(scar))
    first, late = (t > -50) & (t < -12), (t > 220) & (t < 360)
    for i in (LEAD[lead] for lead in leads):
        assert x[first, i].min() < healthy[first, i].min() - 0.15
        assert x[late, i].mean() < healthy[late, i].mean() - 0.05
    assert max(abs(v) for v in measure_st_mv(ecg(scar)).values()) < 0.15


def test_ischaemia_lowers_st_in_v5_raises_it_in_avr_and_leaves_qrs_unchanged():
    st = measure_st_mv(ecg({"st_depression": 1.0}))
    assert st["V5"] < -0.08
    assert st["aVR"] > 0.05
    (healthy, t), (x, _) = (
        extract_beat(ecg()),
        extract_beat(ecg({"st_depression": 1.0, "t_inversion": 1.0})),
    )
    np.testing.assert_allclose(x[np.abs(t) < 20], healthy[np.abs(t) < 20], atol=0.03)


def test_t_inversion_and_long_qt_are_seen_in_the_t_wave():
    normal, t = extract_beat(ecg(rate_bpm=60))
    late = (t > 200) & (t < 500)
    inverted = extract_beat(ecg({"t_inversion": 1.0}, rate_bpm=60))[0][late, LEAD["V5"]]
    assert np.abs(inverted).max() == -inverted.min()
    long = extract_beat(ecg({"long_qt": 1.0}, rate_bpm=60))[0]
    peak, later = (t[late][np.argmax(x[late, LEAD["V5"]])] for x in (normal, long))
    assert later - peak == pytest.approx(100, abs=10)


def test_right_bundle_branch_block():
    x = ecg({"rbbb": 1.0})
    wave, t = extract_beat(x)
    assert measure_qrs_ms(x) > 120
    v1 = wave[np.abs(t) < 140, LEAD["V1"]]
    r = find_peaks(v1, prominence=0.1)[0]
    assert len(r) == 2  # rSR'
    assert v1[r[1]] > v1[r[0]] > 0 > v1[r[0] : r[1]].min()
    after = (t > 40) & (t < 120)
    assert max(wave[after, LEAD["I"]].min(), wave[after, LEAD["V6"]].min()) < -0.2


def test_left_bundle_branch_block():
    x = ecg({"lbbb": 1.0})
    fine = resample(x, 10 * len(x))[2000:8000]
    v1, v6 = fine[:, LEAD["V1"]], fine[:, LEAD["V6"]]
    assert measure_qrs_ms(x) > 120
    assert -v1.min() > 1.2  # deep QS or rS
    r = int(np.argmax(v6[1000:2000])) + 1000
    assert v6[r - 120 : r].min() > -0.05  # no q
    assert not len(find_peaks(-v6[r : r + 200], prominence=0.1)[0])  # no S
    assert len(find_peaks(v6[r - 100 : r + 100], prominence=0.02)[0]) == 2  # notched R
    assert v6[r + 160 : r + 320].mean() < -0.05  # T against QRS
    assert v1[r + 160 : r + 320].mean() > 0.1


def test_av_block_delays_qrs_after_p_and_left_anterior_block_turns_the_axis():
    assert measure_p_to_r_ms(ecg({"av_block": 1.0})) - measure_p_to_r_ms(ecg()) == pytest.approx(
        130, abs=10
    )
    # Lead II is negative in the block, so the R of lead I marks the beat.
    x = resample(ecg({"lafb": 1.0}), 10000)[2000:8000]
    r = find_peaks(x[:, LEAD["I"]], height=0.6 * x[:, LEAD["I"]].max(), distance=300)[0][2]
    one, foot = x[r - 60 : r + 60, [LEAD["I"], LEAD["aVF"]]].sum(axis=0)
    assert -90 < np.degrees(np.arctan2(2 / np.sqrt(3) * foot, one)) < -30


def test_hypertrophy_left_and_right():
    left, right = ecg({"lvh": 1.0}), ecg({"rvh": 1.0})
    assert measure_sokolow_lyon_mv(left) > 3.5 > measure_sokolow_lyon_mv(ecg())
    assert measure_st_mv(left)["V5"] < -0.05  # strain
    wave, t = extract_beat(right)
    v1 = wave[np.abs(t) < 60, LEAD["V1"]]
    assert v1.max() > 0.7
    assert v1.max() > -v1.min()
    assert measure_qrs_axis_deg(right) > 90


def test_deviations_of_a_patient_change_the_waves():
    later, larger = np.zeros(hv.N_WAVES), np.zeros((hv.N_WAVES, 3))
    later[hv.T], larger[hv.T] = 30, (0.5, 0, 0)
    (usual, t), (x, _), (y, _) = (
        extract_beat(ecg(heart=heart, rate_bpm=60))
        for heart in (hv.Heart(), hv.Heart(timing=later), hv.Heart(vectors=larger))
    )
    t_wave = (t > 180) & (t < 500)
    peaks = [t[t_wave][np.argmax(z[t_wave, LEAD["V5"]])] for z in (usual, x)]
    assert peaks[1] - peaks[0] == pytest.approx(30, abs=5)
    # A T vector further to the left is visible in I, hardly in aVF, which is orthogonal to it.
    gain = (y - usual)[t_wave].max(axis=0)
    assert gain[LEAD["I"]] > 0.05 > 3 * abs(gain[LEAD["aVF"]])


def test_severity_is_graded():
    severities = np.linspace(0, 1, 5)
    assert (np.diff([measure_sokolow_lyon_mv(ecg({"lvh": s})) for s in severities]) > 0).all()
    assert (np.diff([measure_st_mv(ecg({"inferior_mi": s}))["III"] for s in severities]) > 0).all()
    assert (np.diff([measure_p_to_r_ms(ecg({"av_block": s})) for s in severities]) > 0).all()


def test_fragmented_qrs_raises_the_spectrum_between_25_and_45_hz():
    def fraction(x):
        f, power = periodogram(x, fs=100, axis=0)
        return power[(f > 25) & (f < 45)].sum() / power[(f > 1)].sum()

    assert fraction(ecg({"fragmented_qrs": 1.0})) > 2 * fraction(ecg())


def test_fibrillation_is_irregular_without_p_and_with_fibrillatory_waves():
    sinus, still, af = (ecg(rate_bpm=80, fibrillation_mv=mv) for mv in (0.0, 1e-9, 0.08))
    irregular, regular = (np.diff(find_r_peaks(x)) for x in (af, sinus))
    assert irregular.std() / irregular.mean() > 0.1 > regular.std() / regular.mean()
    (with_p, t), (without_p, _) = extract_beat(sinus), extract_beat(still)
    before = (t > -200) & (t < -90)
    assert np.ptp(with_p[before, LEAD["II"]]) > 0.08
    assert np.ptp(without_p[before, LEAD["II"]]) < 0.03
    f, power = periodogram(af - still, fs=100, axis=0)
    assert 5 < f[np.argmax(power[:, LEAD["V1"]])] < 7
    assert np.argmax(power.sum(axis=0)[[LEAD[f"V{i}"] for i in range(1, 7)]]) <= 2


def test_ventricular_ectopic_beats_come_early_and_are_followed_by_a_pause():
    rr = np.diff(find_r_peaks(ecg(rate_bpm=70, ventricular=0.15, key=(2, 1)))) * 0.01
    early = np.flatnonzero(rr < 0.8 * np.median(rr))
    early = early[early < len(rr) - 1]
    assert len(early)
    np.testing.assert_allclose(rr[early] + rr[early + 1], 2 * 60 / 70, rtol=0.06)


# ---------------------------------------------------------------- leads and noise


def test_the_limb_leads_follow_einthoven_and_goldberger(records):
    atol = 0.0015  # three leads are rounded to steps of 0.001 mV
    for record in records[:30]:
        one, two, three, avr, avl, avf = record.signal_mv.T[:6]
        np.testing.assert_allclose(one + three, two, rtol=0, atol=atol)
        np.testing.assert_allclose(avr, -(one + two) / 2, rtol=0, atol=atol)
        np.testing.assert_allclose(avl, (one - three) / 2, rtol=0, atol=atol)
        np.testing.assert_allclose(avf, (two + three) / 2, rtol=0, atol=atol)


def test_noise_does_not_depend_on_the_heart():
    noise = hv.Noise(wander_mv=0.05, muscle_mv=0.02, mains_mv=0.05, artefacts=2)
    healthy_noise = ecg(noise=noise) - ecg()
    ill_noise = ecg({"lbbb": 1.0, "lvh": 0.5}, noise=noise) - ecg({"lbbb": 1.0, "lvh": 0.5})
    np.testing.assert_allclose(healthy_noise, ill_noise, atol=1e-12)
    assert healthy_noise.std(axis=0).min() > 0.01


def test_every_record_has_different_noise():
    muscle = hv.Noise(wander_mv=0, muscle_mv=0.1, mains_mv=0)
    keys = [(0, 1), (0, 2), (1, 1), (2, 1)]
    noise = [(ecg(noise=muscle, key=k) - ecg(key=k))[:, LEAD["V3"]] for k in keys]
    others = np.corrcoef(noise)[np.triu_indices(len(keys), 1)]
    assert np.abs(others).max() < 0.15


def test_noise_has_its_band_and_mains_hardly_pass_the_decimation():
    def band(low, high, **sizes):
        x = ecg(noise=dataclasses.replace(NO_NOISE, **sizes)) - ecg()
        f, power = periodogram(x, fs=100, axis=0)
        return power[(f >= low) & (f <= high)].sum() / power.sum(), x.std()

    assert band(0, 1, wander_mv=0.1)[0] > 0.95
    assert band(10, 50, muscle_mv=0.1)[0] > 0.7
    fraction, remaining_mv = band(49, 50, mains_mv=0.1)
    assert fraction > 0.95
    assert 0 < remaining_mv < 0.04


def test_beats_vary_by_the_given_amount():
    def spread(x):
        return np.std([x[r, LEAD["V5"]] for r in find_r_peaks(x)[1:-1]])

    assert spread(ecg(beat_variation=0.08)) > 2 * spread(ecg())


# ---------------------------------------------------------------- the dataset


def test_records_agree_with_the_signal_spec(records):
    source = SyntheticSource(n_patients=400, seed=3)
    assert source.count_records() == len(records)
    assert len({r.name for r in records}) == len(records)
    assert source.signal.leads == tuple("I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split())
    for record in records:
        assert record.signal_mv.shape == (source.signal.n_samples, 12) == (1000, 12)
        (window,) = record.windows
        assert (window["start"], window["length"]) == (0, 1000)
        assert {"patient", "part", *source.tabular} <= set(window)
        assert 18 <= window["age"] <= 95
        assert window["sex"] in (0, 1)
        assert set(window["labels"]) <= set(source.tasks["superdiagnostic"].classes)
    assert source.tasks["superdiagnostic"].kind == "multi_label"


def test_amplitudes_are_plausible_for_an_ecg(records):
    x = np.stack([r.signal_mv for r in records])
    assert np.isfinite(x).all()
    assert np.abs(x).max() < 12
    span = np.ptp(x, axis=1)
    assert span.min() > 0.1
    assert 0.8 < np.median(span) < 2.5


def test_class_fractions_are_roughly_those_of_ptb_xl(windows):
    fractions = {c: np.mean([c in w["labels"] for w in windows]) for c in CLASSES}
    ptb_xl = {"NORM": 0.44, "MI": 0.25, "STTC": 0.24, "CD": 0.22, "HYP": 0.12}
    assert fractions == pytest.approx(ptb_xl, abs=0.06)
    sets = [frozenset(w["labels"]) for w in windows]
    assert frozenset() not in sets
    assert {frozenset(("MI", "CD")), frozenset(("STTC", "HYP"))} <= set(sets)
    assert 0.15 < np.mean([len(s) > 1 for s in sets]) < 0.35


def test_the_ill_are_older(windows):
    ill, well = ([w["age"] for w in windows if ("NORM" in w["labels"]) == n] for n in (False, True))
    assert np.mean(ill) > np.mean(well) + 5


def test_patients_have_several_records_in_one_split_only(windows):
    parts = {}
    for window in windows:
        parts.setdefault(window["patient"], []).append(window["part"])
    assert len(parts) == 400
    assert max(map(len, parts.values())) == 3
    assert all(len(set(p)) == 1 for p in parts.values())
    assigned = [w["part"] for w in windows]
    fractions = {p: assigned.count(p) / len(assigned) for p in sorted(set(assigned))}
    assert fractions == pytest.approx({"test": 0.15, "train": 0.7, "validation": 0.15}, abs=0.02)


def test_records_of_a_patient_resemble_each_other_but_are_not_the_same(records):
    def compute_typical_beat(record):
        """Mean beat of all leads as one vector."""
        x = record.signal_mv - np.median(record.signal_mv, axis=0)
        beats = [x[r - 20 : r + 30] for r in find_r_peaks(x) if 20 <= r < 970]
        return np.median(beats, axis=0).ravel()

    by_patient = {}
    for record in records[:120]:
        by_patient.setdefault(record.windows[0]["patient"], []).append(record)
    pairs_of_patients = [rs[:2] for rs in by_patient.values() if len(rs) > 1]
    pairs_of_strangers = itertools.pairwise(rs[0] for rs in by_patient.values())
    same_patient, other_patient = (
        np.median(
            [np.corrcoef(compute_typical_beat(a), compute_typical_beat(b))[0, 1] for a, b in pairs]
        )
        for pairs in (pairs_of_patients, pairs_of_strangers)
    )
    assert same_patient > 0.9 > other_patient
    assert all(np.abs(a.signal_mv - b.signal_mv).max() > 0.1 for a, b in pairs_of_patients)


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not():
    first, again, other = (
        list(SyntheticSource(n_patients=6, seed=seed).read_records()) for seed in (1, 1, 2)
    )
    for a, b in zip(first, again, strict=True):
        assert a.signal_mv.tobytes() == b.signal_mv.tobytes()
        assert (a.name, a.windows) == (b.name, b.windows)
    assert first[0].signal_mv.tobytes() != other[0].signal_mv.tobytes()


def test_iterating_again_or_in_part_changes_nothing():
    source = SyntheticSource(n_patients=6, seed=1)
    part = list(itertools.islice(source.read_records(), 2))
    whole = list(source.read_records())
    for a, b in zip(part, whole, strict=False):
        assert a.signal_mv.tobytes() == b.signal_mv.tobytes()


def test_more_patients_leave_the_earlier_ones_unchanged():
    few, many = (list(SyntheticSource(n_patients=n).read_records()) for n in (10, 14))
    assert len(many) > len(few)
    for a, b in zip(few, many, strict=False):
        assert a.signal_mv.tobytes() == b.signal_mv.tobytes()
        assert [{**w, "part": ""} for w in a.windows] == [{**w, "part": ""} for w in b.windows]


def test_the_default_has_about_two_thousand_records():
    assert SyntheticSource().count_records() == pytest.approx(2000, abs=60)


@pytest.mark.parametrize(
    "given", [{"n_patients": 2}, {"n_patients": 10.5}, {"n_patients": "many"}, {"seed": -1}]
)
def test_invalid_numbers_are_refused_by_name(given):
    (name,) = given
    with pytest.raises(DatasetError, match=f"{name}=.*(must be|expected a whole number) at least"):
        SyntheticSource(**given)


def test_the_request_decides_the_content():
    source = SyntheticSource(9, seed=4)
    assert (source.options, source.version) == ({"n_patients": 9, "seed": 4}, 2)
