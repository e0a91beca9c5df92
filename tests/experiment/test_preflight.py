"""Experiments held against a dataset."""

import dataclasses

import pytest

from ecglib.errors import DatasetError, ExperimentError, LeakError
from ecglib.experiment import Experiment, check_experiment, find_tabular_columns, select_windows


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


def test_an_empty_split_is_named(small_store, monkeypatch):
    parts = small_store.windows["part"].replace("validation", "train")
    monkeypatch.setattr(small_store, "windows", small_store.windows.assign(part=parts))
    with pytest.raises(ExperimentError, match=r"splits \['validation'\] .* have no window"):
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
