"""The dataset of the pointing test: where the evidence is, by methods that know no generator."""

import numpy as np
import pytest
from scipy.signal import periodogram

from ecglib.datasets.sources import _heart_vector as hv
from ecglib.datasets.sources.synthetic import SyntheticSource
from ecglib.datasets.sources.synthetic_evidence import SyntheticEvidenceSource
from ecglib.datasets.sources.synthetic_pointing import CLASSES, SyntheticPointingSource
from ecglib.datasets.tabular.heart_rate import find_r_peaks
from ecglib.errors import DatasetError, ExperimentError

LEADS = {"P": "V1", "QRS": "V3", "T": "V5", "BAND": "V6"}


@pytest.fixture(scope="module")
def source():
    return SyntheticPointingSource(n_patients=40, seed=1)


@pytest.fixture(scope="module")
def records(source):
    return list(source.read_records())


def simulate_all(source, records, class_name):
    having = [one for one in records if class_name in one.windows[0]["labels"]]
    return [(one, source.simulate_evidence(one.name, class_name)) for one in having]


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_evidence_of_a_class_is_in_one_lead(source, records, class_name):
    found = [evidence for _, evidence in simulate_all(source, records, class_name)]

    sizes = np.array([np.abs(one).max(axis=0) for one in found])
    others = [k for k, lead in enumerate(hv.LEADS) if lead != LEADS[class_name]]

    assert (sizes[:, hv.LEADS.index(LEADS[class_name])] > 0.02).all()
    assert sizes[:, others].max() < 1e-9


@pytest.mark.parametrize("class_name", CLASSES)
def test_a_record_without_a_class_has_no_evidence_of_it(source, records, class_name):
    lacking = [one for one in records if class_name not in one.windows[0]["labels"]]

    evidence = source.simulate_evidence(lacking[0].name, class_name)

    assert not evidence.any()


@pytest.mark.parametrize("class_name", ["P", "QRS", "T"])
def test_the_evidence_is_in_its_wave_of_each_beat(source, records, class_name):
    fractions = []
    for record, evidence in simulate_all(source, records, class_name):
        waves = source.locate_waves(record.name)
        spans = waves.intervals_s[class_name] + waves.times_s[:, None]
        time_s = np.arange(1000)[:, None] / 100
        inside = ((time_s >= spans[:, 0]) & (time_s <= spans[:, 1])).any(axis=1)
        energy = (evidence**2).sum(axis=1)
        fractions.append(energy[inside].sum() / energy.sum())

    assert np.median(fractions) > 0.9


def test_the_tremor_is_at_20_hz(source, records):
    for _, evidence in simulate_all(source, records, "BAND"):
        f, power = periodogram(evidence[:, hv.LEADS.index("V6")], fs=100)

        assert power[(f > 18) & (f < 22)].sum() > 0.8 * power.sum()


def test_the_located_beats_are_those_that_a_detector_finds(source, records):
    distances = []
    for record in records:
        peaks_s = find_r_peaks(record.steps / 1000, source.signal) / 100
        times_s = source.locate_waves(record.name).times_s
        distances += [np.abs(times_s - peak).min() for peak in peaks_s]

    assert np.quantile(distances, 0.98) < 0.06


def test_the_evidence_of_an_infarct_is_in_qrs_st_and_t():
    source = SyntheticSource(n_patients=40, seed=0)
    in_p = []
    for record in source.read_records():
        evidence = source.simulate_evidence(record.name, "MI")
        if "MI" not in record.windows[0]["labels"] or not evidence.any():
            continue
        waves = source.locate_waves(record.name)
        spans = waves.intervals_s["P"] + waves.times_s[:, None]
        time_s = np.arange(1000)[:, None] / 100
        inside = ((time_s >= spans[:, 0]) & (time_s <= spans[:, 1])).any(axis=1)
        in_p.append((evidence[inside] ** 2).sum() / (evidence**2).sum())

    assert len(in_p) > 5
    assert np.median(in_p) < 0.02


def test_a_class_whose_evidence_is_at_no_place_has_none():
    normal = SyntheticSource(n_patients=3).simulate_evidence("synthetic-00001", "NORM")
    rhythm = SyntheticEvidenceSource(n_patients=3).simulate_evidence(
        "synthetic_evidence-00001", "RHYTHM"
    )

    assert normal is None
    assert rhythm is None


def test_a_faster_tremor_is_the_evidence_of_spectrum():
    source = SyntheticEvidenceSource(n_patients=3, seed=0)

    evidence = source.simulate_evidence("synthetic_evidence-00002", "SPECTRUM")

    f, power = periodogram(evidence[:, 1], fs=100)
    assert power[(f > 23.5) & (f < 26.5)].sum() > 0.8 * power.sum()


def test_unknown_records_and_classes_are_refused(source):
    with pytest.raises(DatasetError, match="synthetic_pointing-00001 to"):
        source.simulate_evidence("synthetic-00001", "P")
    with pytest.raises(DatasetError, match="99999"):
        source.locate_waves("synthetic_pointing-99999")
    with pytest.raises(ExperimentError, match="class_name='MI'"):
        source.simulate_evidence("synthetic_pointing-00001", "MI")
