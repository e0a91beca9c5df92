import itertools

import numpy as np
import pandas as pd
import pytest
from helpers import find_shared_data
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from ecglib.errors import DatasetError, LeakError
from ecglib.splits import (
    LEAKS,
    PARTS,
    assign_folds_by_patient,
    check_leaks,
    convert_folds_to_parts,
    count_leaks,
    report_leaks,
    split_by_patient,
)

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def draw_patients(n_patients=400, seed=0):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients)).astype(str)
    y = (rng.random((len(patients), 4)) < [0.5, 0.3, 0.1, 0.03]).astype(float)
    return patients, y


def read_ptbxl():
    """Patients, folds, statements and superclasses of all of PTB-XL."""
    folder = find_shared_data("ptbxl")
    table = pd.read_csv(folder / "ptbxl_labels_all21799_reconstructed.csv")
    flags = [table[name].str.get_dummies(";") for name in ("statements", "superclasses")]
    return table["patient_id"].to_numpy(str), table["strat_fold"].to_numpy(), *flags


def deviation(y, folds):
    """Deviation of each class and, last, of the size in each fold from an even split."""
    y = np.column_stack([y, np.ones(len(y))])
    names = np.unique(folds)
    return np.array([y[folds == f].sum(axis=0) for f in names]) - y.sum(axis=0) / len(names)


def split_with_sklearn(splitter, y, patients):
    combinations = np.unique(y, axis=0, return_inverse=True)[1]
    folds = np.empty(len(y), int)
    for fold, (_, test) in enumerate(splitter.split(y, combinations, patients)):
        folds[test] = fold
    return folds


def count_shared_patients(patients, folds):
    return int((pd.Series(folds).groupby(patients).nunique() > 1).sum())


def test_no_patient_is_in_two_splits_and_every_window_is_in_one():
    patients, y = draw_patients()
    parts = split_by_patient(patients, y, FRACTIONS)
    assert count_shared_patients(patients, parts) == 0
    assert set(parts) == set(FRACTIONS)


def test_sizes_and_every_class_are_as_asked():
    patients, y = draw_patients()
    parts = split_by_patient(patients, y, FRACTIONS)
    for part, fraction in FRACTIONS.items():
        assert (parts == part).sum() == pytest.approx(fraction * len(y), abs=3)
        # The rarest class has about 30 windows: no split of whole windows is within half a one.
        assert y[parts == part].sum(axis=0) == pytest.approx(fraction * y.sum(axis=0), abs=2)


def test_same_seed_same_split_other_seed_another():
    patients, y = draw_patients()
    first = split_by_patient(patients, y, FRACTIONS, seed=3)
    assert (first == split_by_patient(patients, y, FRACTIONS, seed=3)).all()
    assert (first != split_by_patient(patients, y, FRACTIONS, seed=4)).any()


def test_other_seeds_give_other_splits_even_of_a_few_patients_who_all_differ():
    patients = np.repeat(np.arange(12), np.arange(10, 34, 2))
    y = np.ones((len(patients), 1))
    splits = {tuple(split_by_patient(patients, y, FRACTIONS, seed=seed)) for seed in range(8)}
    assert len(splits) > 4


def test_the_order_of_the_windows_does_not_matter():
    patients, y = draw_patients()
    shuffled = np.random.default_rng(1).permutation(len(y))
    folds = assign_folds_by_patient(patients, y, seed=5)
    assert (
        assign_folds_by_patient(patients[shuffled], y[shuffled], seed=5) == folds[shuffled]
    ).all()


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_folds_are_numbered_from_one_and_are_balanced_better_than_those_of_sklearn():
    patients, y = draw_patients(n_patients=1500)
    ours = assign_folds_by_patient(patients, y, 5)
    assert set(ours) == {1, 2, 3, 4, 5}
    assert count_shared_patients(patients, ours) == 0
    for splitter in (StratifiedGroupKFold(5, shuffle=True, random_state=0), GroupKFold(5)):
        theirs = split_with_sklearn(splitter, y, patients)
        assert np.abs(deviation(y, ours)).max() <= np.abs(deviation(y, theirs)).max()
        assert np.abs(deviation(y, ours)).mean() < np.abs(deviation(y, theirs)).mean()


def test_the_folds_of_ptbxl_are_balanced_better_than_the_official_ones():
    patients, official, statements, superclasses = read_ptbxl()
    assert superclasses.sum().to_dict() == {
        "NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649,
    }  # fmt: skip
    assert (len(patients), len(set(patients)), statements.shape[1]) == (21799, 18869, 71)
    ours = assign_folds_by_patient(patients, statements)
    assert count_shared_patients(patients, ours) == count_shared_patients(patients, official) == 0
    # A patient with several windows of a class of 14 goes whole to one fold.
    assert (
        np.abs(deviation(statements, ours)).max()
        < 2.0
        < 30
        < np.abs(deviation(statements, official)).max()
    )
    largest = [np.abs(deviation(statements, folds)).max(axis=0) for folds in (ours, official)]
    assert (largest[0] <= largest[1] + 1e-9).all()


def test_statements_and_superclasses_of_ptbxl_are_balanced_side_by_side():
    patients, official, statements, superclasses = read_ptbxl()
    y = np.column_stack([statements, superclasses])
    ours = assign_folds_by_patient(patients, y)
    assert np.abs(deviation(superclasses, ours)).max() < 3.0
    assert np.abs(deviation(statements, ours)).max() < 3.0
    assert np.abs(deviation(superclasses, official)).max() > 30.0


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_some_patients_of_ptbxl_are_balanced_as_well_as_by_sklearn_on_all_combinations():
    patients, _, _, superclasses = read_ptbxl()
    patients, y = patients[:4000], superclasses.to_numpy()[:4000]
    splitter = StratifiedGroupKFold(10, shuffle=True, random_state=0)
    theirs = deviation(y, split_with_sklearn(splitter, y, patients))
    assert np.abs(deviation(y, assign_folds_by_patient(patients, y))).max() <= np.abs(theirs).max()


@pytest.mark.parametrize("seed", range(6))
def test_hardly_any_of_all_splits_of_nine_patients_is_better(seed):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(9), rng.integers(5, 40, 9))
    y = (rng.random((len(patients), 2)) < rng.random((9, 2))[patients]).astype(float)
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    counts = pd.DataFrame(np.column_stack([y, np.ones(len(y))])).groupby(patients).sum().to_numpy()
    total = counts.sum(axis=0)
    expected = np.outer(list(fractions.values()), total)

    def imbalance(splits):
        sizes = np.eye(3)[splits].swapaxes(-1, -2) @ counts
        return ((sizes - expected) ** 2 / total).sum(axis=(-1, -2))

    parts = split_by_patient(patients, y, fractions)
    first_windows = np.unique(patients, return_index=True)[1]
    found = imbalance(np.array([PARTS.index(part) for part in parts[first_windows]]))
    all_imbalances = imbalance(np.array(list(itertools.product(range(3), repeat=9))))
    assert np.mean(all_imbalances < found - 1e-9) < 0.002


def test_a_patient_with_many_windows_is_in_one_fold_and_no_fold_is_empty():
    patients = ["many"] * 500 + ["a", "b", "c", "d"]
    folds = assign_folds_by_patient(patients, np.ones((504, 2)), 5)
    assert len(set(folds[:500])) == 1
    assert set(folds) == {1, 2, 3, 4, 5}
    parts = split_by_patient(["a", "b", "c"], np.ones((3, 1)), FRACTIONS)
    assert set(parts) == set(PARTS)


def test_a_class_without_windows_and_no_class_at_all_are_accepted():
    patients, y = draw_patients()
    for labels in (np.zeros((len(y), 2)), y[:, :0]):
        folds = assign_folds_by_patient(patients, labels, 4)
        assert np.ptp(np.bincount(folds)[1:]) <= 1


def test_fractions_and_patients_are_checked():
    one = np.ones((2, 1))
    with pytest.raises(DatasetError, match=r"sum to 0\.9"):
        split_by_patient(["a", "b"], one, {"train": 0.5, "test": 0.4})
    with pytest.raises(DatasetError, match="must be above 0"):
        split_by_patient(["a", "b"], one, {"train": 1.0, "test": 0.0})
    with pytest.raises(DatasetError, match="2 patients cannot fill 3 splits"):
        split_by_patient(["a", "b"], one, FRACTIONS)
    with pytest.raises(DatasetError, match="2 patients cannot fill 10 folds"):
        assign_folds_by_patient(["a", "b"], one)
    with pytest.raises(DatasetError, match="0 patients cannot fill"):
        assign_folds_by_patient([], np.ones((0, 1)))
    with pytest.raises(DatasetError, match="1 of 2 windows have no patient"):
        assign_folds_by_patient(np.array(["a", None], object), one, 2)
    with pytest.raises(DatasetError, match=r"\(2, 1\), expected \(3, n_classes\)"):
        assign_folds_by_patient(["a", "b", "c"], one, 2)
    with pytest.raises(DatasetError, match="other than 0 and 1"):
        assign_folds_by_patient(["a", "b"], np.array([[np.nan], [1.0]]), 2)
    for n_folds in (1, 2.5, "ten", True):
        with pytest.raises(DatasetError, match="must be an integer of at least 2"):
            assign_folds_by_patient(["a", "b"], one, n_folds)


def test_the_last_fold_is_for_test_the_one_before_for_validation_the_rest_for_training():
    folds = np.array([3, 10, 1, 9, 8, 9])
    parts = ["train", "test", "train", "validation", "train", "validation"]
    assert convert_folds_to_parts(folds).tolist() == parts
    assert convert_folds_to_parts(folds.astype(float)).tolist() == parts
    # The official sizes of PTB-XL, Wagner et al. 2020 (version 1.0.3).
    _, official, _, _ = read_ptbxl()
    sizes = pd.Series(convert_folds_to_parts(official)).value_counts().to_dict()
    assert sizes == {"train": 17418, "validation": 2183, "test": 2198}


@pytest.mark.parametrize("folds", [[1.0, 2.5, 3.0], [1.0, np.nan, 3.0], ["1", "2", "3"]])
def test_folds_that_are_not_whole_numbers_are_refused(folds):
    with pytest.raises(DatasetError, match="expected a whole number for each window"):
        convert_folds_to_parts(folds)


def test_fewer_than_three_folds_are_refused():
    with pytest.raises(DatasetError, match=r"2 folds, \[1, 2\]; .* at least three"):
        convert_folds_to_parts([1, 2, 2, 1])


def windows(**changes):
    columns = {
        "record": list("abcd"),
        "patient": ["1", "2", "3", "4"],
        "part": ["train", "train", "validation", "test"],
        "signal_hash": ["h1", "h2", "h3", "h4"],
    }
    return pd.DataFrame(columns | changes)


def test_a_clean_split_has_no_leak():
    assert count_leaks(report_leaks(windows(), "part")) == {}


def test_shared_patients_and_signals_are_found_between_splits_only():
    report = report_leaks(windows(patient=["1", "1", "3", "1"]), "part")
    assert count_leaks(report) == {"shared_patients": 1}
    assert report["shared_patients"]["examples"] == [
        {"patient": "1", "parts": ["train", "test"], "records": ["a", "b", "d"]}
    ]
    report = report_leaks(windows(signal_hash=["h1", "h1", "h3", "h3"]), "part")
    assert count_leaks(report) == {"identical_signals": 1}
    assert report["identical_signals"]["examples"][0]["records"] == ["c", "d"]


def test_near_identical_records_count_only_across_splits():
    report = report_leaks(windows(), "part", [("a", "b", 0.99), ("a", "d", 0.97)])
    assert report["near_identical_records"] == {
        "count": 1,
        "examples": [{"records": ["a", "d"], "parts": [["train"], ["test"]], "correlation": 0.97}],
    }


def test_windows_outside_the_splits_do_not_leak():
    parts = ["train", "train", "validation", "excluded"]
    table = windows(patient=["1", "2", "3", "1"], part=parts)
    assert count_leaks(report_leaks(table, "part", [("a", "d", 0.99)])) == {}


def find_leaks_slowly(table, pairs):
    """Find the values that leak one by one."""
    table = table[table["part"].isin(PARTS)]

    def find_parts(key, value):
        return set(table.loc[table[key] == value, "part"])

    found = {
        name: [v for v in sorted(set(table[key].dropna())) if len(find_parts(key, v)) > 1]
        for name, key in (("shared_patients", "patient"), ("identical_signals", "signal_hash"))
    }
    return found | {
        "near_identical_records": [
            [a, b]
            for a, b, _ in pairs
            if find_parts("record", a)
            and find_parts("record", b)
            and len(find_parts("record", a) | find_parts("record", b)) > 1
        ]
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("whole_numbers", [False, True])
def test_the_leaks_of_random_tables_are_those_found_one_by_one(seed, whole_numbers):
    rng = np.random.default_rng(seed)
    n = 300
    n_values = {"record": 150, "patient": 200, "signal_hash": 250}
    draws = {key: rng.integers(0, high, n) for key, high in n_values.items()}
    table = pd.DataFrame({key: [f"{key}{i:03d}" for i in drawn] for key, drawn in draws.items()})
    if whole_numbers:
        table["signal_hash"] = draws["signal_hash"].astype(np.uint64) + np.uint64(2**63)
    table["part"] = rng.choice([*PARTS, "excluded", None], n)
    table.loc[:5, "patient"] = None
    pairs = [(f"record{a:03d}", f"record{b:03d}", 0.98) for a, b in rng.integers(0, 160, (60, 2))]
    report, expected = report_leaks(table, "part", pairs), find_leaks_slowly(table, pairs)
    assert {kind: report[kind]["count"] for kind in LEAKS} == {
        kind: len(values) for kind, values in expected.items()
    }
    for name, key in (("shared_patients", "patient"), ("identical_signals", "signal_hash")):
        shown = [example[key] for example in report[name]["examples"]]
        assert shown == [str(value) for value in expected[name][:20]]
    pairs_shown = [example["records"] for example in report["near_identical_records"]["examples"]]
    assert pairs_shown == expected["near_identical_records"][:20]


def test_patients_written_differently_in_several_splits_are_reported_and_a_caveat():
    report = report_leaks(windows(patient=["P1", "q 2", "p01", "Q2"]), "part")
    assert count_leaks(report) == {}
    assert report["similar_patients"] == {
        "count": 2,
        "examples": [
            {"patients": ["P1", "p01"], "parts": ["train", "validation"]},
            {"patients": ["Q2", "q 2"], "parts": ["train", "test"]},
        ],
    }
    (caveat,) = check_leaks(report, (), "here")
    assert caveat == "2 patients may be in several splits, written differently"
    report = report_leaks(windows(patient=["P1", "p1", "P10", "P11"]), "part")
    assert report["similar_patients"]["count"] == 0  # both in the training split


def test_a_leak_is_refused_unless_allowed_by_name_and_then_gives_a_caveat():
    report = report_leaks(windows(patient=["1", "2", "3", "1"]), "part")
    with pytest.raises(LeakError, match=r"allow_leaks=\['shared_patients'\]"):
        check_leaks(report, (), "here")
    with pytest.raises(LeakError):
        check_leaks(report, ("identical_signals",), "here")
    assert check_leaks(report, ("shared_patients",), "here") == ["leak: 1 shared patients"]
