import numpy as np
import pytest
from helpers import find_shared_data

from ecglib.datasets.quality import QualityChecker
from ecglib.datasets.units import INVALID
from ecglib.errors import DatasetError

RATE_HZ = 100.0
LEADS = ("I", "II", "V1")


def simulate_beats(rng, n=1000, height_mv=1.2):
    """Three leads with a beat a second and a little noise, in steps of 0.001 mV."""
    t = np.arange(n) / RATE_HZ
    beat = np.exp(-(((t % 1.0 - 0.5) / 0.02) ** 2))
    signal_mv = height_mv * beat[:, None] * [1.0, 1.5, -0.8] + 0.02 * rng.standard_normal((n, 3))
    return np.rint(1000 * signal_mv).astype(np.int16)


def find_problems(*records):
    names = [f"r{i}" for i in range(len(records))]
    found = QualityChecker(RATE_HZ, LEADS).find_problems(names, np.stack(records))
    return [(problem.record, problem.kind, problem.detail) for problem in found]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_an_ecg_has_no_problem(rng):
    assert find_problems(simulate_beats(rng), simulate_beats(rng)) == []


def test_flat_leads_and_flat_records_are_different_problems(rng):
    one, all_ = simulate_beats(rng), simulate_beats(rng)
    one[:, 1] = 250
    all_[:] = [0, 3, -7]
    assert find_problems(simulate_beats(rng), one, all_) == [
        ("r1", "flat_lead", "II"),
        ("r2", "flat", "I, II, V1"),
    ]


@pytest.mark.parametrize("at", [0, 137, 850])
def test_a_lead_that_stands_still_for_a_second_is_off(rng, at):
    record = simulate_beats(rng)
    record[at : at + 100, 2] = 40
    assert find_problems(record) == [("r0", "lead_off", "V1")]


def test_a_tenth_of_a_second_without_change_is_not_a_lead_off(rng):
    record = simulate_beats(rng)
    record[200:210, 0] = 5
    assert find_problems(record) == []


def test_clipping_is_a_plateau_far_from_the_mean(rng):
    clipped, wide = simulate_beats(rng, height_mv=5.0), simulate_beats(rng)
    clipped = np.minimum(clipped, 1600)  # leads I and II reach 5 and 7.5 mV
    small = np.minimum(simulate_beats(rng), 300)  # a plateau, but only 0.3 mV high
    wide[500, 0] = 32767
    assert find_problems(clipped, small, wide) == [
        ("r0", "clipped", "I, II"),
        ("r2", "clipped", "I"),
    ]


def test_what_was_not_measured_is_listed_with_its_fraction(rng):
    record = simulate_beats(rng)
    record[100:350, 1] = INVALID
    assert find_problems(record) == [("r0", "not_measured", "II 25.0%")]


def test_a_record_in_another_unit_stands_out_and_a_whole_dataset_is_refused(rng):
    volts = np.rint(simulate_beats(rng) / 1000).astype(np.int16)
    found = find_problems(simulate_beats(rng), volts)
    wrong = [(record, kind) for record, kind, _ in found if kind == "wrong_unit"]
    assert wrong == [("r1", "wrong_unit")]
    quality = QualityChecker(RATE_HZ, LEADS)
    list(quality.find_problems(["a"], volts[None]))
    with pytest.raises(DatasetError, match="volt; multiply them by 1000"):
        quality.check_unit()


def test_records_shorter_than_a_stretch_can_be_checked(rng):
    assert find_problems(simulate_beats(rng, n=120)[:30]) == []


def test_the_wandering_lead_of_a_real_record_is_not_a_wrong_unit():
    folder = find_shared_data("ptbxl") / "records100" / "00000"
    files = sorted(folder.glob("*.dat"))
    steps = np.stack([np.fromfile(file, "<i2").reshape(1000, 12) for file in files])
    quality = QualityChecker(100.0, [f"lead {i}" for i in range(12)])
    assert [p.kind for p in quality.find_problems([f.name for f in files], steps)] == []
    quality.check_unit()
