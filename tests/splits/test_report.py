import json

import numpy as np
import pandas as pd
import pytest
from helpers import find_shared_data
from sklearn.metrics import mutual_info_score

from ecglib.errors import DatasetError
from ecglib.splits import PARTS, convert_folds_to_parts
from ecglib.splits.report import compute_balance, report_demographics, report_duplicates


def test_counts_and_fractions_of_each_class_by_split_and_in_all():
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0], [0, 1], [0, 1]])
    part = ["train", "train", "train", "train", "test", "test"]
    found = compute_balance(y, part, ["A", "B"])
    assert found["windows"] == {"train": 4, "test": 2, "all": 6}
    assert found["counts"] == {
        "train": {"A": 3, "B": 1},
        "test": {"A": 0, "B": 2},
        "all": {"A": 3, "B": 3},
    }
    assert found["fractions"]["train"] == {"A": 0.75, "B": 0.25}
    assert (found["max_deviation"], found["class"], found["part"]) == (0.5, "A", "test")
    assert found["max_windows_off"] == 1.0
    assert found["absent"] == {"train": [], "test": ["A"]}
    assert "A: 0.00 % of test, 50.00 % of all" in found["statement"]
    assert "No window of test shows A." in found["statement"]
    assert json.loads(json.dumps(found)) == found


def test_an_even_split_has_no_imbalance_and_folds_are_accepted():
    found = compute_balance(np.tile([[1], [0]], (6, 1)), np.repeat([1, 2, 10], 4), ["A"])
    assert found["max_deviation"] == found["max_windows_off"] == 0
    assert list(found["windows"]) == ["1", "2", "10", "all"]
    assert "fold 1" in found["statement"]


def test_fractions_are_even_just_where_split_and_class_are_independent():
    rng = np.random.default_rng(0)
    for y in (rng.random((90, 1)) < 0.3, np.tile([[1], [0], [0]], (30, 1))):
        part = np.repeat(PARTS, 30)
        information = mutual_info_score(part, y[:, 0])
        deviation = compute_balance(y, part, ["A"])["max_deviation"]
        assert (deviation > 1e-9) == (information > 1e-9)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(DatasetError, match=r"\(3, 1\), expected \(3, 2\)"):
        compute_balance(np.ones((3, 1)), ["train"] * 3, ["A", "B"])
    with pytest.raises(DatasetError, match="at least one of each"):
        compute_balance(np.ones((0, 1)), [], ["A"])


def test_the_superclasses_of_ptbxl_in_the_official_splits():
    table = pd.read_csv(find_shared_data("ptbxl") / "ptbxl_labels_all21799_reconstructed.csv")
    flags = table["superclasses"].str.get_dummies(";")
    part = convert_folds_to_parts(table["strat_fold"])
    found = compute_balance(flags.to_numpy(), part, flags.columns)
    total = {"CD": 4898, "HYP": 2649, "MI": 5469, "NORM": 9514, "STTC": 5235}
    assert found["counts"]["all"] == total
    by_part = flags.groupby(part).mean()
    for name in PARTS:
        assert found["fractions"][name] == pytest.approx(by_part.loc[name].to_dict())
    assert found["max_deviation"] == pytest.approx((by_part - flags.mean()).abs().max().max())


def windows(**changes):
    columns = {
        "record": list("abcdef"),
        "patient": list("123456"),
        "part": ["train", "train", "train", "validation", "test", "excluded"],
        "signal_hash": ["h1", "h2", "h3", "h4", "h5", "h6"],
        "labels": [["NORM"], ["NORM"], ["MI"], ["NORM", "SR"], ["MI"], ["MI"]],
    }
    return pd.DataFrame(columns | changes)


def counts(report):
    return {kind: found["count"] for kind, found in report.items() if found["count"]}


def test_signals_that_all_differ_have_no_duplicates():
    assert counts(report_duplicates(windows(), "part")) == {}


def test_identical_signals_within_and_between_splits_are_distinguished():
    table = windows(signal_hash=["h1", "h1", "h3", "h4", "h3", "h4"], patient=list("112345"))
    report = report_duplicates(table, "part")
    assert counts(report) == {
        "identical_signals_within_parts": 1,
        "identical_signals_between_parts": 1,
        "different_patients": 1,
    }
    assert report["identical_signals_within_parts"]["examples"] == [
        {
            "records": ["a", "b"],
            "windows": 2,
            "parts": ["train"],
            "patients": ["1"],
            "correlation": 1.0,
        }
    ]
    wrong = report["different_patients"]["examples"]
    assert wrong == report["identical_signals_between_parts"]["examples"]
    assert (wrong[0]["records"], wrong[0]["patients"]) == (["c", "e"], ["2", "4"])
    assert wrong[0]["parts"] == ["train", "test"]


def test_contradicting_labels_are_named():
    table = windows(signal_hash=["h1", "h1", "h1", "h4", "h5", "h6"], patient=["1"] * 6)
    report = report_duplicates(table, "part")
    assert counts(report) == {"identical_signals_within_parts": 1, "contradicting_labels": 1}
    (example,) = report["contradicting_labels"]["examples"]
    assert example["labels"] == {"a": ["NORM"], "b": ["NORM"], "c": ["MI"]}
    assert example["contested"] == ["MI", "NORM"]
    # One more label is a contradiction too, another order of labels is not.
    near = [("d", "a", 0.97)]
    report = report_duplicates(windows(), "part", near)["contradicting_labels"]
    assert report["examples"][0]["contested"] == ["SR"]
    assert report["examples"][0]["correlation"] == 0.97
    same = windows(labels=[["SR", "NORM"], *[["NORM", "SR"]] * 5])
    assert "contradicting_labels" not in counts(report_duplicates(same, "part", near))


def test_near_identical_records_within_between_and_outside_splits():
    near = [["b", "a", 0.98], ["d", "e", 0.96], ["a", "f", 0.99], ["a", "gone", 0.99]]
    report = report_duplicates(windows(patient=list("112344")), "part", near)
    assert counts(report) == {
        "near_identical_records_within_parts": 1,
        "near_identical_records_between_parts": 1,
        "different_patients": 1,
        "contradicting_labels": 1,
    }
    (within,) = report["near_identical_records_within_parts"]["examples"]
    assert (within["records"], within["correlation"]) == (["a", "b"], 0.98)
    assert report["different_patients"]["examples"][0]["records"] == ["d", "e"]


def test_a_pair_with_the_same_signal_is_counted_as_identical_only():
    table = windows(signal_hash=["h1", "h1", "h3", "h4", "h5", "h6"], patient=["1"] * 6)
    found = counts(report_duplicates(table, "part", [("a", "b", 1.0)]))
    assert found == {"identical_signals_within_parts": 1}


def test_beats_of_one_record_do_not_contradict_each_other():
    table = pd.DataFrame(
        {
            "record": ["a", "a", "b", "b"],
            "patient": ["1", "1", "2", "2"],
            "part": ["train"] * 4,
            "signal_hash": np.arange(4, dtype=np.uint64),
            "labels": [["N"], ["V"], ["V"], ["N"]],
        }
    )
    report = report_duplicates(table, "part", [("a", "b", 0.99)])
    assert counts(report) == {"near_identical_records_within_parts": 1, "different_patients": 1}
    (example,) = report["near_identical_records_within_parts"]["examples"]
    assert (example["windows"], example["patients"]) == (4, ["1", "2"])
    table["signal_hash"] = np.array([7, 7, 8, 9], np.uint64)
    (example,) = report_duplicates(table, "part")["contradicting_labels"]["examples"]
    assert (example["records"], example["labels"]) == (["a"], {"a": ["N", "V"]})


@pytest.mark.parametrize("seed", range(4))
def test_the_duplicates_of_random_tables_are_those_that_pandas_groups(seed):
    rng = np.random.default_rng(seed)
    n = 400
    table = pd.DataFrame(
        {
            "record": [f"r{i:03d}" for i in range(n)],
            "patient": rng.integers(0, 100, n).astype(str),
            "part": rng.choice([*PARTS, "excluded"], n),
            "signal_hash": rng.integers(0, 250, n),
            "labels": [[label] for label in rng.choice(["A", "B"], n)],
        }
    )
    used = table[table["part"].isin(PARTS)].assign(label=table["labels"].str[0])
    groups = used.groupby("signal_hash")[["record", "part", "patient", "label"]].nunique()
    groups = groups[groups["record"] > 1]
    report = report_duplicates(table, "part")
    assert {kind: report[kind]["count"] for kind in report} == {
        "identical_signals_within_parts": (groups["part"] == 1).sum(),
        "identical_signals_between_parts": (groups["part"] > 1).sum(),
        "near_identical_records_within_parts": 0,
        "near_identical_records_between_parts": 0,
        "different_patients": (groups["patient"] > 1).sum(),
        "contradicting_labels": (groups["label"] > 1).sum(),
    }
    assert all(len(found["examples"]) <= 20 for found in report.values())
    shuffled = table.sample(frac=1, random_state=seed)
    assert report_duplicates(shuffled, "part") == report
    assert json.loads(json.dumps(report)) == report


def test_patients_not_windows_are_counted_in_age_and_sex():
    table = pd.DataFrame(
        {
            "patient": ["a", "a", "a", "b", "c", "d", "e"],
            "part": ["train"] * 6 + ["test"],
            "age": [20, 20, 20, 40, 60, 300, np.nan],
            "sex": [np.nan, 1, 1, 0, 0, np.nan, np.nan],
        }
    )
    report = report_demographics(table, "part")
    assert report["train"] == {
        "windows": 6,
        "patients": 4,
        "age": {"known": 4, "median": 50.0, "quartiles": [35.0, 67.5], "above_89": 1},
        "women": {"known": 3, "fraction": pytest.approx(1 / 3)},
    }
    assert report["test"] == {"windows": 1, "patients": 1, "age": None, "women": None}
    assert report["validation"]["patients"] == 0
    assert json.loads(json.dumps(report)) == report


def test_without_age_and_sex_the_report_holds_none():
    table = pd.DataFrame({"patient": ["a", "b"], "part": ["train", "test"]})
    assert report_demographics(table, "part")["train"] == {
        "windows": 1,
        "patients": 1,
        "age": None,
        "women": None,
    }


def test_the_demographics_of_the_official_splits_of_ptbxl():
    table = pd.read_csv(find_shared_data("ptbxl") / "ptbxl_labels_all21799_reconstructed.csv")
    table = table.rename(columns={"patient_id": "patient"})
    table["part"] = convert_folds_to_parts(table["strat_fold"])
    report = report_demographics(table, "part")
    assert sum(people["patients"] for people in report.values()) == 18869
    first = table.drop_duplicates("patient")
    for part, people in report.items():
        expected = first[first["part"] == part]
        assert people["age"]["above_89"] == (expected["age"] == 300).sum()
        assert people["age"]["median"] == expected["age"].median()
        assert people["women"]["fraction"] == pytest.approx(expected["sex"].mean())
