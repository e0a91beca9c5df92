"""Experiments held against a dataset."""

import dataclasses

import numpy as np
import pytest

from ecglib.errors import DatasetError, ExperimentError, LeakError
from ecglib.experiment import (
    Experiment,
    check_experiment,
    find_split_problems,
    find_tabular_columns,
    select_windows,
)


def create(store, **changes):
    return Experiment.from_flat({"task": "letters", "branches": {"time": "cnn"}} | changes, store)


def test_a_filter_edge_above_nyquist_names_the_frequency(small_store):
    with pytest.raises(ExperimentError, match=r"band_hz=\(0\.5, 60\.0\) at 100 Hz.*50 Hz \(Nyq"):
        check_experiment(create(small_store, band_hz=[0.5, 60.0]), small_store)
    with pytest.raises(ExperimentError, match="notch_hz=50 at 100 Hz: expected below 50 Hz"):
        check_experiment(create(small_store, notch_hz=50), small_store)


def test_crops_that_do_not_fit_the_windows_are_refused(small_store, monkeypatch):
    check_experiment(create(small_store, crop_s=4.0), small_store)
    with pytest.raises(ExperimentError, match="longer than the windows of 4 s"):
        check_experiment(create(small_store, crop_s=4.5), small_store)
    with pytest.raises(ExperimentError, match=r"crop_hop_s=0\.001 is shorter than a sample"):
        check_experiment(create(small_store, crop_s=2.0, crop_hop_s=0.001), small_store)
    around = dataclasses.replace(small_store.signal, around_beats=True)
    monkeypatch.setattr(small_store, "signal", around)
    with pytest.raises(ExperimentError, match="another beat"):
        check_experiment(create(small_store, crop_s=2.0), small_store)


def test_another_store_is_refused(small_store):
    other = create(small_store).replace(fingerprint="other")
    with pytest.raises(ExperimentError, match="Open that store"):
        check_experiment(other, small_store)


def test_class_weights_are_for_multi_class_tasks(small_store, small_class_store):
    with pytest.raises(ExperimentError, match="Use class_weights='none'"):
        check_experiment(create(small_store, class_weights="sqrt"), small_store)
    weighted = create(small_class_store, class_weights="sqrt")
    assert check_experiment(weighted, small_class_store) == ()


def test_a_class_without_positives_in_training_is_named(small_store, monkeypatch):
    labels = small_store.windows["labels"].copy()
    training = (small_store.windows["part"] == "train").to_numpy()
    labels[training] = [["A"]] * training.sum()
    monkeypatch.setattr(small_store, "windows", small_store.windows.assign(labels=labels))
    with pytest.raises(ExperimentError, match=r"No training window has the classes \['B'\]"):
        check_experiment(create(small_store), small_store)


def change_windows(store, monkeypatch, change):
    windows = store.windows.copy()
    change(windows)
    monkeypatch.setattr(store, "windows", windows)


def empty_validation(windows):
    windows["part"] = windows["part"].replace("validation", "train")


def leave_one_patient(split):
    def change(windows):
        first = windows.loc[windows["part"] == split, "patient"].iloc[0]
        others = (windows["part"] == split) & (windows["patient"] != first)
        windows.loc[others, "part"] = "train"

    return change


def give_one_value(split, labels):
    def change(windows):
        rows = windows["part"] == split
        windows["labels"] = [
            labels if is_changed else given
            for is_changed, given in zip(rows, windows["labels"], strict=True)
        ]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (empty_validation, "The validation split has no window"),
        (leave_one_patient("validation"), "The validation split has 1 patient, at least 2"),
        (leave_one_patient("test"), "The test split has 1 patient, at least 2"),
        (give_one_value("validation", []), "In the validation split no class has windows with and"),
        (give_one_value("test", ["A", "B"]), "In the test split no class has windows with and"),
    ],
)
def test_splits_that_could_not_be_scored_are_refused_with_folds_as_the_way_out(
    small_store, monkeypatch, change, message
):
    assert find_split_problems(small_store.select("letters")) == []
    change_windows(small_store, monkeypatch, change)
    with pytest.raises(ExperimentError, match=f"{message}.*n_folds=3"):
        check_experiment(create(small_store), small_store)


def test_one_class_with_both_values_is_enough(small_store, monkeypatch):
    def change(windows):
        rows = np.flatnonzero(windows["part"] == "validation")
        labels = windows["labels"].copy()
        for i, row in enumerate(rows):
            labels.iloc[row] = ["A"] if i % 2 else []
        windows["labels"] = labels

    change_windows(small_store, monkeypatch, change)
    check_experiment(create(small_store), small_store)


def test_tabular_columns_are_those_named_or_the_default(small_store):
    branches = {"tabular": "mlp"}
    named = {"tabular": {"columns": ["age"]}}
    experiment = create(small_store, branches=branches, representation_options=named)
    assert find_tabular_columns(experiment, small_store) == ("age",)
    assert select_windows(experiment, small_store).tabular.shape[1] == 1
    default = create(small_store, branches=branches)
    assert find_tabular_columns(default, small_store) == small_store.default_tabular
    assert find_tabular_columns(create(small_store), small_store) == ()
    unknown = {"tabular": {"columns": ["agee"]}}
    wrong = create(small_store, branches=branches, representation_options=unknown)
    with pytest.raises(DatasetError, match="Did you mean 'age'"):
        check_experiment(wrong, small_store)


def test_cross_validation_carries_a_caveat(small_store):
    experiment = create(small_store, n_folds=4, fold=1)
    (caveat,) = check_experiment(experiment, small_store)
    assert caveat == "cross-validation in 4 folds, the test split was not used"


def test_a_leak_is_refused_or_carried_as_a_caveat(mitdb_store):
    experiment = create(mitdb_store, task="aami")
    with pytest.raises(LeakError, match=r"201.*202.*allow_leaks=\['shared_patients'\]"):
        check_experiment(experiment, mitdb_store)
    allowed = experiment.replace(allow_leaks=["shared_patients"])
    assert check_experiment(allowed, mitdb_store) == ("leak: 1 shared patients",)
    assert check_experiment(experiment.replace(task="aami_disjoint"), mitdb_store) == ()
