import numpy as np
import pandas as pd
import pytest

from ecglib.errors import DatasetError, LeakError
from ecglib.splits import leak_report, leaks_in, require_no_leak, split_by_patient

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def people(n_patients=400, seed=0):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients)).astype(str)
    y = (rng.random((len(patients), 4)) < [0.5, 0.3, 0.1, 0.03]).astype(float)
    return patients, y


def test_no_patient_stands_in_two_parts_and_all_are_dealt():
    patients, y = people()
    parts = split_by_patient(patients, y, FRACTIONS)
    spread = pd.Series(parts).groupby(patients).nunique()
    assert (spread == 1).all()
    assert set(parts) == set(FRACTIONS)


def test_sizes_and_every_class_are_as_asked():
    patients, y = people()
    parts = split_by_patient(patients, y, FRACTIONS)
    for part, fraction in FRACTIONS.items():
        assert np.mean(parts == part) == pytest.approx(fraction, abs=0.02)
        shares = y[parts == part].sum(axis=0) / y.sum(axis=0)
        # The rarest class has about 30 windows: two more or less are 0.07.
        assert shares == pytest.approx(np.full(4, fraction), abs=0.07)


def test_same_seed_same_split_other_seed_another():
    patients, y = people()
    first = split_by_patient(patients, y, FRACTIONS, seed=3)
    assert (first == split_by_patient(patients, y, FRACTIONS, seed=3)).all()
    assert (first != split_by_patient(patients, y, FRACTIONS, seed=4)).any()


def test_fractions_and_patients_are_checked():
    with pytest.raises(DatasetError, match=r"sum to 0\.9"):
        split_by_patient(["a", "b"], np.ones((2, 1)), {"train": 0.5, "test": 0.4})
    with pytest.raises(DatasetError, match="2 patients cannot fill 3 parts"):
        split_by_patient(["a", "b"], np.ones((2, 1)), FRACTIONS)


def windows(**changes):
    columns = {
        "record": list("abcd"),
        "patient": ["1", "2", "3", "4"],
        "part": ["train", "train", "validation", "test"],
        "signal_hash": ["h1", "h2", "h3", "h4"],
    }
    return pd.DataFrame(columns | changes)


def test_a_clean_split_has_no_leak():
    assert leaks_in(leak_report(windows(), "part")) == {}


def test_shared_patients_and_signals_are_found_between_parts_only():
    report = leak_report(windows(patient=["1", "1", "3", "1"]), "part")
    assert leaks_in(report) == {"shared_patients": 1}
    assert report["shared_patients"]["examples"] == [
        {"patient": "1", "parts": ["train", "test"], "records": ["a", "b", "d"]}
    ]
    report = leak_report(windows(signal_hash=["h1", "h1", "h3", "h3"]), "part")
    assert leaks_in(report) == {"identical_signals": 1}
    assert report["identical_signals"]["examples"][0]["records"] == ["c", "d"]


def test_near_identical_records_count_only_across_parts():
    report = leak_report(windows(), "part", [("a", "b", 0.99), ("a", "d", 0.97)])
    assert report["near_identical_records"]["count"] == 1
    assert report["near_identical_records"]["examples"][0]["records"] == ["a", "d"]


def test_windows_outside_the_parts_do_not_leak():
    parts = ["train", "train", "validation", "left out"]
    assert leaks_in(leak_report(windows(patient=["1", "2", "3", "1"], part=parts), "part")) == {}


def test_a_leak_is_refused_unless_named_and_then_leaves_its_mark():
    report = leak_report(windows(patient=["1", "2", "3", "1"]), "part")
    with pytest.raises(LeakError, match=r"allow_leaks=\['shared_patients'\]"):
        require_no_leak(report, (), "here")
    with pytest.raises(LeakError):
        require_no_leak(report, ("identical_signals",), "here")
    assert require_no_leak(report, ("shared_patients",), "here") == ["leak: 1 shared patients"]
