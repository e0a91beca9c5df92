import dataclasses
import json

import pytest

from ecglib.errors import ExperimentError, LeakError
from ecglib.experiment import Experiment
from ecglib.experiment import config as rooms

THREE = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}


def made(**changes):
    values = {"dataset": "small", "fingerprint": "f", "task": "letters"}
    return Experiment(**(values | {"branches": {"time": "cnn"}} | changes))


def test_values_survive_json_and_keep_their_hash():
    own = made(
        branches=THREE,
        fusion="late_average",
        representation_options={"spectrogram": {"hop_s": 0.1}},
    )
    again = Experiment(**json.loads(json.dumps(own.to_dict())))
    assert again == own
    assert again.hash == own.hash


def test_the_order_of_branches_and_the_kind_of_sequence_do_not_matter():
    one = made(branches=THREE, fusion="late_average", band_hz=[0.5, 40])
    two = made(branches=dict(reversed(THREE.items())), fusion="late_average", band_hz=(0.5, 40.0))
    assert one.hash == two.hash
    assert one.run_name == two.run_name


CHANGES = {
    **{"task": "words", "fingerprint": "g", "dataset": "large", "branches": {"time": "cnn_bilstm"}},
    **{
        "ensemble_size": 2,
        "target_parameters": 9,
        "band_hz": (1, 40),
        "width": 8,
        "feature_dim": 8,
        "dropout": 0.1,
        "epochs": 2,
    },
    **{"steps_per_epoch": 3, "batch_size": 8, "learning_rate": 0.1, "weight_decay": 0.1},
    **{"patience": 1, "class_weights": "sqrt", "seed": 1, "allow_leaks": ("shared_patients",)},
    **{"representation_options": {"time": {"any": 1}}, "crop_s": 2.5, "augment": {"gain": {}}},
    **{"sampling": "balanced", "notch_hz": 50, "denoise": True, "scaling": "robust"},
    **{"schedule": "one_cycle", "clip_norm": 1.0, "ema_decay": 0.9, "loss": "focal", "mixup": 0.2},
    **{"label_smoothing": 0.1, "monitor": "f1", "precision": "mixed_float16"},
}
CHANGES_OF_CROPS = {"crop_hop_s": 1, "crop_aggregation": "max"}
CHANGES_OF_FUSIONS = {"branch_dropout": 0.1, "missing_branches": True, "auxiliary_loss_weight": 0.3}
CHANGES_OF_FUSIONS |= {"branch_training": "warm"}
CHANGES_OF_FOLDS = {"n_folds": 3, "fold": 2}


def test_every_value_changes_the_hash():
    names = {f.name for f in dataclasses.fields(Experiment)} - {"fusion"}
    others = (CHANGES_OF_CROPS, CHANGES_OF_FUSIONS, CHANGES_OF_FOLDS)
    assert set(CHANGES).union(*others) == names
    hashes = {made(**{name: value}).hash for name, value in CHANGES.items()}
    hashes |= {made(crop_s=2.5, **{n: value}).hash for n, value in CHANGES_OF_CROPS.items()}
    hashes |= {
        made(**{"n_folds": 5, "fold": 1, n: own}).hash for n, own in CHANGES_OF_FOLDS.items()
    }
    for name, value in CHANGES_OF_FUSIONS.items():
        hashes.add(made(branches=THREE, fusion="intermediate_concat", **{name: value}).hash)
    fused = {made(branches=THREE, fusion=fusion).hash for fusion in rooms.FUSIONS}
    n_changes = len(CHANGES) + sum(map(len, others))
    assert len(hashes | fused | {made().hash}) == n_changes + len(fused) + 1


def test_without_crops_their_settings_decide_nothing():
    assert made(**CHANGES_OF_CROPS) == made()


def test_without_a_monitor_patience_decides_nothing():
    assert made(monitor="none", patience=1) == made(monitor="none")


def test_the_order_of_augmentations_does_not_matter():
    one = made(augment={"noise": {"snr_db": 20}, "gain": {}})
    assert one.hash == made(augment={"gain": {}, "noise": {"snr_db": 20}}).hash


def test_settings_of_a_view_that_no_branch_looks_at_decide_nothing():
    assert made(representation_options={"spectrogram": {"hop_s": 0.1}}).hash == made().hash


def test_seeds_of_a_model_share_its_name_and_model_hash():
    a, b = made(seed=0), made(seed=1)
    assert (a.model, a.model_hash) == (b.model, b.model_hash)
    assert a.hash != b.hash
    assert a.run_name.startswith("time-cnn_seed0_")


TREES = {"branches": {"handcrafted": "random_forest"}}
CHANGES_OF_TREES = (rooms.OF_TREES & set(CHANGES)) - {"branches"}


def test_only_what_decides_something_for_trees_changes_their_hash():
    one = made(**TREES)
    assert (one.role, one.model) == ("baseline", "handcrafted:random_forest")
    assert one.run_name.startswith("features-random_forest_seed0_")
    others = {
        n: v
        for n, v in CHANGES.items()
        if n not in {*rooms.OF_TREES, "ensemble_size", "target_parameters"}
    }
    assert made(**TREES, **others, **CHANGES_OF_CROPS) == one
    hashes = {made(**TREES, **{name: CHANGES[name]}).hash for name in CHANGES_OF_TREES}
    hashes |= {made(branches={"handcrafted": "gradient_boosting"}).hash, one.hash}
    assert len(hashes) == len(CHANGES_OF_TREES) + 2
    assert Experiment(**json.loads(json.dumps(one.to_dict()))) == one


def test_what_only_a_network_has_is_still_checked_beside_trees():
    with pytest.raises(ExperimentError, match="epochs=0"):
        made(**TREES, epochs=0)


def test_roles_and_names():
    assert (made().role, made().model) == ("single", "time:cnn")
    assert (made(ensemble_size=3).role, made(ensemble_size=3).model) == ("ensemble", "3 x time:cnn")
    wide = made(target_parameters=12_345)
    assert (wide.role, wide.model) == ("widened", "time:cnn widened to about 12,345")
    assert wide.run_name.startswith("widened12345_time-cnn_seed0_")
    fused = made(branches=THREE, fusion="early_concat")
    assert fused.role == "fusion"
    assert fused.model == "early_concat(time:cnn + frequency:cnn + spectrogram:cnn2d)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branches": {"time": "cnm"}}, r"expected one of .*Did you mean 'cnn'"),
        ({"branches": {"tme": "cnn"}}, r"Did you mean 'time'"),
        ({"branches": {}}, "expected representation: encoder"),
        ({"branches": THREE}, r"fusion='none' with 3 branches"),
        ({"branches": THREE, "fusion": "erly_concat"}, "Did you mean 'early_concat'"),
        ({"fusion": "early_concat"}, "with one branch"),
        (
            {"branches": THREE, "fusion": "early_concat", "ensemble_size": 2},
            "repeats a single branch",
        ),
        (
            {"target_parameters": 9, "ensemble_size": 2},
            "target_parameters=9 with 1 branches and ensemble_size=2",
        ),
        (
            {"branches": THREE, "fusion": "early_concat", "target_parameters": 9},
            "of a single branch",
        ),
        ({"branches": {"time_2": "cnn"}}, r"called \['time_2'\], expected \['time'\]"),
        ({"branches": {"time_2": "cnm", "time": "cnn"}, "fusion": "late_average"}, "'cnn'"),
        (
            {"branches": {"time": "cnn", "time_2": "s4d"}, "fusion": "early_concat"},
            "a second encoder would never be used",
        ),
        (
            {"branches": {"handcrafted": "random_forest", "time": "cnn"}, "fusion": "late_average"},
            "'random_forest' cannot be fused with a network",
        ),
        ({"branches": {"handcrafted": "cnn"}}, "expected one of .*'random_forest'"),
        ({"branches": {"handcrafted": "random_forest"}, "ensemble_size": 3}, "an ensemble already"),
        (
            {"branches": {"handcrafted": "random_forest"}, "target_parameters": 9},
            "cannot be widened",
        ),
        (
            {
                "branches": {"handcrafted": "random_forest"},
                "representation_options": {"handcrafted": {"n": 1}},
            },
            "their features have no settings",
        ),
        ({"epochs": 0}, "epochs=0, expected at least 1"),
        ({"epochs": 2.5}, "epochs=2.5 is float, expected int"),
        ({"epochs": True}, "is bool, expected int"),
        ({"seed": "0"}, "seed='0' is str, expected int"),
        ({"dropout": 1.0}, "below 1"),
        ({"learning_rate": 0.0}, "expected above 0"),
        ({"band_hz": [0.5]}, "a low and a high edge"),
        ({"missing_branches": True}, "with fusion='none'; it is an option of early"),
        (
            {"branches": THREE, "fusion": "late_average", "branch_dropout": 0.1},
            "option of early, intermediate fusions",
        ),
        (
            {"branches": THREE, "fusion": "early_concat", "auxiliary_loss_weight": 0.1},
            "of intermediate",
        ),
        ({"branches": THREE, "fusion": "early_concat", "branch_training": "warm"}, "of intermed"),
        ({"branch_dropout": 1.0}, "below 1"),
        ({"notch_hz": -50.0}, "notch_hz=-50.0, expected at least 0"),
        ({"denoise": 1}, "denoise=1 is int, expected bool"),
        ({"scaling": "robst"}, "Did you mean 'robust'"),
        ({"class_weights": "root"}, "expected one of"),
        ({"allow_leaks": ["patients"]}, "expected one of"),
        ({"representation_options": {"scalogramme": {}}}, "representation_options"),
        ({"schedule": "one_cycl"}, "Did you mean 'one_cycle'"),
        ({"loss": "focl"}, "Did you mean 'focal'"),
        ({"monitor": "loss"}, "expected one of"),
        ({"precision": "mixed_floot16"}, "Did you mean 'mixed_float16'"),
        ({"clip_norm": -1.0}, "clip_norm=-1.0, expected at least 0"),
        ({"mixup": -0.2}, "mixup=-0.2, expected at least 0"),
        ({"ema_decay": 1.0}, "ema_decay=1.0, expected at least 0 and below 1"),
        ({"label_smoothing": 1.0}, "below 1"),
        ({"crop_s": -1.0}, "crop_s=-1.0, expected at least 0"),
        ({"crop_aggregation": "median"}, "expected one of"),
        ({"augment": {"nois": {}}}, "Did you mean 'noise'"),
        ({"augment": {"noise": 20}}, "is int, expected dict"),
        ({"sampling": "balance"}, "Did you mean 'balanced'"),
        ({"sampling": "balanced", "class_weights": "sqrt"}, "twice"),
    ],
)
def test_wrong_values_are_refused_with_the_remedy(changes, message):
    with pytest.raises(ExperimentError, match=message):
        made(**changes)


def test_two_encoders_on_one_view_have_one_representation():
    branches = {"frequency": "cnn", "time_2": "s4d", "time": "cnn"}
    own = made(
        branches=branches, fusion="late_average", representation_options={"time": {"any": 1}}
    )
    assert list(own.branches) == ["time", "time_2", "frequency"]
    assert own.representations == ["time", "frequency"]
    assert own.representation_options == {"time": {"any": 1}}
    assert own.model == "late_average(time:cnn + time:s4d + frequency:cnn)"
    assert own.run_name.startswith("late_average_time-cnn+time-s4d+frequency-cnn_seed0_")


def fitting(store, **changes):
    return made(fingerprint=store.fingerprint, **changes)


def test_a_filter_edge_above_nyquist_names_the_frequency(small_store):
    with pytest.raises(ExperimentError, match=r"band_hz=\(0\.5, 60\.0\) at 100 Hz.*50 Hz \(Nyq"):
        fitting(small_store, band_hz=[0.5, 60.0]).check(small_store)
    with pytest.raises(ExperimentError, match="notch_hz=50 at 100 Hz: expected below 50 Hz"):
        fitting(small_store, notch_hz=50).check(small_store)


def test_crops_that_do_not_fit_the_windows_are_refused(small_store, monkeypatch):
    fitting(small_store, crop_s=4.0).check(small_store)
    with pytest.raises(ExperimentError, match="longer than the windows of 4 s"):
        fitting(small_store, crop_s=4.5).check(small_store)
    with pytest.raises(ExperimentError, match=r"crop_hop_s=0\.001 s is less than a sample"):
        fitting(small_store, crop_s=2.0, crop_hop_s=0.001).check(small_store)
    around = dataclasses.replace(small_store.signal, around_beats=True)
    monkeypatch.setattr(small_store, "signal", around)
    with pytest.raises(ExperimentError, match="another beat"):
        fitting(small_store, crop_s=2.0).check(small_store)


def test_another_store_is_refused(small_store):
    with pytest.raises(ExperimentError, match="Open that store"):
        made(fingerprint="other").check(small_store)


def test_class_weights_are_for_multi_class_tasks(small_store, small_class_store):
    with pytest.raises(ExperimentError, match="use 'none'"):
        fitting(small_store, class_weights="sqrt").check(small_store)
    assert fitting(small_class_store, class_weights="sqrt").check(small_class_store) == []


def test_a_class_without_positives_in_training_is_named(small_store, monkeypatch):
    labels = small_store.windows["labels"].copy()
    training = (small_store.windows["part"] == "train").to_numpy()
    labels[training] = [["A"]] * training.sum()
    monkeypatch.setattr(small_store, "windows", small_store.windows.assign(labels=labels))
    with pytest.raises(ExperimentError, match=r"No window of the training part shows \['B'\]"):
        fitting(small_store).check(small_store)


def test_a_leak_is_refused_by_training_and_marked_when_allowed(mitdb_store):
    own = {"dataset": "mitdb", "task": "aami", "fingerprint": mitdb_store.fingerprint}
    with pytest.raises(LeakError, match=r"201.*202.*allow_leaks=\['shared_patients'\]"):
        made(**own).check(mitdb_store)
    caveats = made(**own, allow_leaks=["shared_patients"]).check(mitdb_store)
    assert caveats == ["leak: 1 shared patients"]
    assert made(**(own | {"task": "aami_disjoint"})).check(mitdb_store) == []


def test_the_names_are_those_that_the_models_build():
    from ecglib import models
    from ecglib.preprocessing import augmentation

    assert tuple(augmentation.AUGMENTATIONS) == rooms.AUGMENTATIONS
    built = {name: tuple(own) for name, own in models.ENCODERS.items()}
    assert built | {"handcrafted": rooms.BASELINES} == rooms.ENCODERS
    assert tuple(models.FUSIONS) == rooms.FUSIONS
