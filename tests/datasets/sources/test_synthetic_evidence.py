"""The dataset with separate evidence: each property measured by methods that know no generator."""

import dataclasses

import numpy as np
import pytest
from scipy.signal import find_peaks, periodogram
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecglib.datasets.sources import _heart_vector as hv
from ecglib.datasets.sources.synthetic_evidence import CLASSES, SyntheticEvidenceSource

QUIET = hv.Noise(wander_mv=0, muscle_mv=0, mains_mv=0)
STEADY = hv.Rhythm(rate_bpm=75, respiratory=0, slow=0)
CHEST_AND_LEFT = [hv.LEADS.index(lead) for lead in ("I", "II", "V4", "V5", "V6")]
LIMB = slice(0, 6)


def find_r_peaks(x):
    """Samples at which the leads together are farthest from their median."""
    size = np.sqrt(((x - np.median(x, axis=0)) ** 2).mean(axis=1))
    return find_peaks(size, height=0.5 * size.max(), distance=25)[0]


def measure_rr_variation(x):
    rr = np.diff(find_r_peaks(x))
    return rr.std() / rr.mean()


def measure_inverted_t_mv(x):
    """How negative the typical beat is from 180 to 360 ms after R."""
    t_waves = [x[r + 18 : r + 36] for r in find_r_peaks(x) if r + 36 <= len(x)]
    return -(np.median(t_waves, axis=0) - np.median(x, axis=0))[:, CHEST_AND_LEFT].mean()


def measure_tremor_hz(x):
    """Frequency of the highest power between 23 and 27 Hz, in the limb leads together."""
    f, power = periodogram(x[:, LIMB], fs=100, window="hann", axis=0)
    band = (f > 23) & (f < 27)
    return f[band][np.argmax(power[band].sum(axis=1))]


@pytest.fixture(scope="module")
def records():
    return list(SyntheticEvidenceSource(n_patients=500, seed=2).read_records())


@pytest.fixture(scope="module")
def y(records):
    """Labels, (n_records, 3)."""
    return np.array([[name in r.windows[0]["labels"] for name in CLASSES] for r in records])


@pytest.fixture(scope="module")
def patients(records):
    return [record.windows[0]["patient"] for record in records]


# ---------------------------------------------------------------- where the evidence is


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("RHYTHM", measure_rr_variation),
        ("SHAPE", measure_inverted_t_mv),
        ("SPECTRUM", measure_tremor_hz),
    ],
)
def test_the_measure_of_a_property_finds_its_class_and_no_other(records, y, name, measure):
    measured = [measure(record.signal_mv) for record in records]
    auroc = dict(zip(CLASSES, (roc_auc_score(one, measured) for one in y.T), strict=True))
    assert 0.8 < auroc.pop(name) < 0.98  # borderline patients are not separated
    assert list(auroc.values()) == pytest.approx([0.5, 0.5], abs=0.07)


def test_rate_amplitude_and_power_of_the_tremor_hold_no_evidence(records, y):
    def measure_band_power(x):
        f, power = periodogram(x[:, LIMB], fs=100, axis=0)
        return power[(f > 20) & (f < 30)].sum()

    for measure in (lambda x: len(find_r_peaks(x)), np.std, measure_band_power):
        measured = [measure(record.signal_mv) for record in records]
        assert [roc_auc_score(one, measured) for one in y.T] == pytest.approx([0.5] * 3, abs=0.09)


def test_a_classifier_of_amplitude_spectra_finds_no_shape_but_one_of_beats_does(
    records, y, patients
):
    def describe_spectrum(x):
        power = periodogram(x, fs=100, window="hann", axis=0)[1][1:201]
        return np.log(power.reshape(50, 4, 12).mean(axis=1) + 1e-8).ravel()  # bins of 0.4 Hz

    def describe_beat(x):
        x = x - np.median(x, axis=0)
        return np.median([x[r - 25 : r + 50] for r in find_r_peaks(x) if 25 <= r < 950], axis=0)

    def score(describe):
        x = np.array([describe(record.signal_mv).ravel() for record in records])
        model = make_pipeline(
            StandardScaler(), PCA(30, random_state=0), LogisticRegression(max_iter=1000)
        )
        p = cross_val_predict(
            model, x, shape, groups=patients, cv=GroupKFold(5), method="decision_function"
        )
        return roc_auc_score(shape, p)

    shape = y[:, CLASSES.index("SHAPE")]
    assert score(describe_spectrum) == pytest.approx(0.5, abs=0.08)
    assert score(describe_beat) > 0.85


def test_a_heart_that_points_the_other_way_has_the_same_spectrum_and_an_inverted_t():
    upright, reversed_ = (
        hv.render(
            hv.Description(heart=hv.Heart(voltage=voltage), rhythm=STEADY, noise=QUIET), entropy=5
        )
        for voltage in (1.0, -1.0)
    )
    spectra = [np.abs(np.fft.rfft(x, axis=0)) for x in (upright, reversed_)]
    np.testing.assert_allclose(*spectra, rtol=1e-9, atol=1e-12)
    assert measure_inverted_t_mv(upright) < -0.05
    assert measure_inverted_t_mv(reversed_) > 0.05


# ---------------------------------------------------------------- what the findings are made of


def test_an_irregular_rhythm_has_the_given_variation_no_memory_and_the_same_rate():
    rhythm = dataclasses.replace(STEADY, irregular=0.15)
    rr = np.concatenate(
        [
            np.diff(
                find_r_peaks(hv.render(hv.Description(rhythm=rhythm, noise=QUIET), 5, (key, 1)))
            )
            for key in range(60)
        ]
    )
    assert rr.std() / rr.mean() == pytest.approx(0.15, abs=0.015)
    assert rr.mean() / 100 == pytest.approx(60 / 75, rel=0.02)
    assert np.corrcoef(rr[:-1], rr[1:])[0, 1] == pytest.approx(0, abs=0.12)


@pytest.mark.parametrize("width_hz", [0.5, 2.0])
def test_a_tremor_is_a_lorentzian_line_of_the_given_width_and_amplitude(width_hz):
    noise = dataclasses.replace(QUIET, tremor_mv=0.1, tremor_hz=25.0, tremor_width_hz=width_hz)
    tremor = np.array(
        [
            hv.render(hv.Description(noise=noise), entropy=1, key=(key, 1))
            - hv.render(hv.Description(noise=QUIET), entropy=1, key=(key, 1))
            for key in range(80)
        ]
    )
    f, power = periodogram(tremor[:, :, 0], fs=100)
    line = (power / power.sum(axis=1, keepdims=True)).mean(axis=0)
    # Half of a Lorentzian line lies within its full width at half maximum.
    assert line[np.abs(f - 25) <= width_hz / 2].sum() == pytest.approx(0.5, abs=0.08)
    # Lead I is a difference of two independent electrodes, each with the power 0.1^2 / 2.
    assert (tremor[:, :, 0] ** 2).mean() == pytest.approx(2 * 0.1**2 / 2, rel=0.2)


# ---------------------------------------------------------------- the dataset


def test_classes_are_independent_and_constant_within_a_patient(records, y, patients):
    assert y.mean(axis=0) == pytest.approx([0.4] * 3, abs=0.07)
    correlation = np.corrcoef(y.T.astype(float))[np.triu_indices(3, 1)]
    assert correlation == pytest.approx([0] * 3, abs=0.12)
    by_patient = {}
    for patient, labels in zip(patients, y, strict=True):
        by_patient.setdefault(patient, set()).add(tuple(labels))
    assert len(by_patient) == 500 < len(records)
    assert {len(labels) for labels in by_patient.values()} == {1}


def test_the_test_split_has_a_quarter_of_the_patients(records):
    parts = {record.windows[0]["patient"]: record.windows[0]["part"] for record in records}
    fractions = {part: list(parts.values()).count(part) / 500 for part in set(parts.values())}
    expected = {"train": 0.6, "validation": 0.15, "test": 0.25}
    assert fractions == pytest.approx(expected, abs=0.02)


def test_records_follow_the_signal_spec_and_the_seed_decides_them():
    source = SyntheticEvidenceSource(n_patients=5, seed=1)
    first, again = (list(one.read_records()) for one in (source, SyntheticEvidenceSource(5, 1)))
    other = next(SyntheticEvidenceSource(5, 2).read_records())
    assert len(first) == source.count_records()
    for a, b in zip(first, again, strict=True):
        assert a.steps.shape == (source.signal.n_samples, len(source.signal.leads))
        assert a.steps.tobytes() == b.steps.tobytes()
        assert a.windows == b.windows
    assert first[0].steps.tobytes() != other.steps.tobytes()
