"""Experiments: checks, names and hashes of plain values."""

import dataclasses
import json
import math
import re
from datetime import date

import numpy as np
import pytest
from stand_in import make_dataset

from ecglib.errors import ExperimentError
from ecglib.experiment import Experiment, describe_settings, find_setting_problems, settings
from ecglib.experiment.config import list_fields, list_settings
from ecglib.experiment.registry import CLASS_WEIGHTS, FUSIONS
from ecglib.experiment.settings import Setting, TrainingSettings

THREE = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}
TREES = {"handcrafted": "random_forest"}


def create(**changes):
    values = {"dataset": "small", "fingerprint": "f", "task": "letters"}
    return Experiment.from_flat(values | {"branches": {"time": "cnn"}} | changes)


def test_values_survive_json_and_keep_their_hash():
    options = {"spectrogram": {"hop_s": 0.1}}
    experiment = create(branches=THREE, fusion="late_average", representation_options=options)
    again = Experiment.from_flat(json.loads(json.dumps(experiment.to_flat())))
    assert again == experiment
    assert again.hash == experiment.hash


def test_the_order_of_branches_and_the_kind_of_sequence_do_not_matter():
    one = create(branches=THREE, fusion="late_average", band_hz=[0.5, 40])
    reverse = dict(reversed(THREE.items()))
    two = create(branches=reverse, fusion="late_average", band_hz=(0.5, 40.0))
    assert one.hash == two.hash
    assert one.run_name == two.run_name


# Valid values that differ from the defaults, for settings whose type does not give one.
OTHER_VALUES = {
    "dataset": "large",
    "fingerprint": "g",
    "task": "words",
    "branches": {"time": "cnn_bilstm"},
    "band_hz": (1, 40),
    "representation_options": {"time": {"any": 1}},
    "augment": {"gain": {}},
    "allow_leaks": ("shared_patients",),
}
# What a setting needs beside it to decide something.
CONTEXT = {
    "n_folds": {"n_folds": 3, "fold": 1},
    "fold": {"n_folds": 3, "fold": 1},
    "crop_hop_s": {"crop_s": 2.5},
    "crop_aggregation": {"crop_s": 2.5},
    "fusion": {"branches": THREE, "fusion": "late_average"},
    "branch_dropout": {"branches": THREE, "fusion": "intermediate_concat"},
    "missing_branches": {"branches": THREE, "fusion": "intermediate_concat"},
    "auxiliary_loss_weight": {"branches": THREE, "fusion": "intermediate_concat"},
    "branch_training": {"branches": THREE, "fusion": "intermediate_concat"},
}


def find_other_value(name):
    """A valid value of a setting that is not its default."""
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    if name == "fusion":
        return "late_product"
    field = list_fields()[name]
    default = CONTEXT.get(name, {}).get(name, field.default)
    choices = field.metadata["setting"].choices
    if choices:
        return next(choice for choice in choices if choice != default)
    if field.type is bool:
        return not default
    return default + 1 if field.type is int else default + 0.25


@pytest.mark.parametrize("name", list_fields())
def test_every_setting_changes_the_hash(name):
    context = CONTEXT.get(name, {})
    before = create(**context)
    after = create(**(context | {name: find_other_value(name)}))
    assert after.hash != before.hash
    assert after == Experiment.from_flat(after.to_flat())


@pytest.mark.parametrize("name", list_fields())
def test_every_setting_is_checked_for_type_and_bounds(name):
    setting = list_settings()[name]
    with pytest.raises(ExperimentError, match=f"{name}=.* expected "):
        create(**{name: object()})
    wrong = []
    if setting.choices:
        wrong.append("no such name")
    if setting.minimum is not None:
        wrong.append(type(setting.minimum)(setting.minimum - 1))
    if setting.above is not None:
        wrong.append(float(setting.above))
    if setting.below is not None:
        wrong.append(float(setting.below))
    for value in wrong:
        given = [value] if name == "allow_leaks" else value
        if isinstance(list_fields()[name].default, float):
            given = float(value) if not isinstance(value, str) else value
        with pytest.raises(ExperimentError, match=name):
            create(**{name: given})


@pytest.mark.parametrize("name", list_fields())
def test_every_setting_is_documented(name):
    row = next(row for row in describe_settings().splitlines() if row.startswith(f"| `{name}`"))
    assert list_settings()[name].help in row
    group = next(g for g in Experiment.GROUPS.values() if name in {f.name for f in _fields(g)})
    assert f"{name} : " in group.__doc__


def _fields(group):
    return dataclasses.fields(group)


def test_a_new_setting_needs_nothing_but_its_field(monkeypatch):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Extended(TrainingSettings):
        momentum: float = settings._setting(
            0.9, Setting(help="Momentum of the optimizer.", minimum=0, below=1)
        )

    monkeypatch.setitem(Experiment.GROUPS, "training", Extended)
    experiment = create(momentum=0.5)
    assert experiment.training.momentum == 0.5
    assert experiment.hash != create().hash
    assert experiment.to_flat()["momentum"] == 0.5
    with pytest.raises(ExperimentError, match=r"momentum=1\.0 must be at least 0 and below 1"):
        create(momentum=1.0)
    assert "| `momentum` | training | `float` | `0.9` |" in describe_settings()
    from tuning.search import list_search_settings

    assert "momentum" in list_search_settings()


def test_settings_that_decide_nothing_are_set_to_their_defaults():
    assert create(crop_hop_s=1, crop_aggregation="max") == create()
    assert create(monitor="none", patience=1) == create(monitor="none")
    unused = {"spectrogram": {"hop_s": 0.1}}
    assert create(representation_options=unused) == create()
    assert create(branches=TREES, representation_options=unused) == create(branches=TREES)


def test_the_order_of_augmentations_does_not_matter():
    one = create(augment={"noise": {"snr_db": 20}, "gain": {}})
    assert one.hash == create(augment={"gain": {}, "noise": {"snr_db": 20}}).hash


def test_seeds_and_folds_of_a_model_share_its_name_and_model_hash():
    one, two = create(seed=0, n_folds=3, fold=1), create(seed=1, n_folds=3, fold=2)
    assert (one.model_name, one.model_hash) == (two.model_name, two.model_hash)
    assert one.hash != two.hash
    assert create().run_name.startswith("time-cnn_seed0_")
    assert one.run_name.startswith("time-cnn_fold1of3_seed0_")


def test_only_what_trees_use_changes_their_hash():
    experiment = create(branches=TREES)
    assert (experiment.role, experiment.model_name) == ("baseline", "handcrafted:random_forest")
    assert experiment.run_name.startswith("handcrafted-random_forest_seed0_")
    needs_fusion = {n for n, setting in list_settings().items() if setting.fusion_families}
    refused = {"ensemble_size", "target_parameters", "representation_options"}
    skipped = needs_fusion | refused | {"branches", "fusion"}
    for name in list_settings().keys() - skipped:
        context = CONTEXT.get(name, {})
        before = create(branches=TREES, **context)
        after = create(branches=TREES, **(context | {name: find_other_value(name)}))
        assert (after.hash != before.hash) == list_settings()[name].used_by_trees, name
    boosting = create(branches={"handcrafted": "gradient_boosting"})
    assert boosting.hash != experiment.hash
    assert Experiment.from_flat(json.loads(json.dumps(experiment.to_flat()))) == experiment


def test_what_only_a_network_uses_is_still_checked_beside_trees():
    with pytest.raises(ExperimentError, match="epochs=0"):
        create(branches=TREES, epochs=0)


def test_roles_and_names():
    assert (create().role, create().model_name) == ("single", "time:cnn")
    ensemble = create(ensemble_size=3)
    assert (ensemble.role, ensemble.model_name) == ("ensemble", "3 x time:cnn")
    wide = create(target_parameters=12_345)
    assert (wide.role, wide.model_name) == ("widened", "time:cnn (same size as the fusion)")
    assert wide.run_name.startswith("widened12345_time-cnn_seed0_")
    fused = create(branches=THREE, fusion="early_concat")
    assert fused.role == "fusion"
    assert fused.model_name == "early_concat(time:cnn + frequency:cnn + spectrogram:cnn2d)"
    assert len({create(branches=THREE, fusion=fusion).hash for fusion in FUSIONS}) == len(FUSIONS)


def test_replace_changes_settings_of_any_group_and_checks_them():
    experiment = create().replace(seed=3, width=8, crop_s=2.0, task="words")
    assert (experiment.training.seed, experiment.model.width) == (3, 8)
    assert (experiment.inputs.crop_s, experiment.data.task) == (2.0, "words")
    with pytest.raises(ExperimentError, match="Did you mean 'width'"):
        experiment.replace(widht=8)


def test_a_namespace_gives_its_settings_and_the_dataset_its_name():
    dataset = make_dataset("small")
    namespace = {"task": "letters", "branches": {"time": "cnn"}, "dataset": "x", "runs_dir": ""}
    assert Experiment.from_namespace(namespace, dataset) == create()
    with pytest.raises(ExperimentError, match=r"\['branches'\] are missing"):
        Experiment.from_namespace({"task": "letters"}, dataset)


@pytest.mark.parametrize("given", [{}, {"task": ""}])
def test_without_a_task_it_is_the_first_one_of_the_dataset(given):
    experiment = Experiment.from_flat({"branches": {"time": "cnn"}, **given}, make_dataset("small"))

    assert experiment == create()


def test_an_experiment_shows_what_differs_from_the_defaults():
    experiment = create(learning_rate=0.01)

    assert repr(experiment) == (
        "Experiment(task='letters', dataset='small', branches={'time': 'cnn'}, learning_rate=0.01)"
    )
    assert create().list_changes() == {"branches": {"time": "cnn"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "Unknown setting 'epoch'.*Did you mean 'epochs'"),
        ({"branches": {"time": "cnm"}}, r"expected one of .*Did you mean 'cnn'"),
        ({"branches": {"tme": "cnn"}}, r"Did you mean 'time'"),
        ({"branches": {}}, "representation: encoder"),
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
        ({"branches": TREES, "ensemble_size": 3}, "an ensemble already"),
        ({"branches": TREES, "target_parameters": 9}, "cannot be widened"),
        (
            {"branches": TREES, "representation_options": {"handcrafted": {"n": 1}}},
            "their inputs have no options",
        ),
        ({"n_folds": 2, "fold": 1}, "at least 3 folds"),
        ({"n_folds": 3, "fold": 4}, "a fold from 1 to n_folds"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"epochs": 2.5}, "epochs=2.5 is float, expected a whole number at least 1"),
        ({"epochs": True}, "is bool, expected a whole number"),
        ({"seed": "0"}, "seed='0' is str, expected a whole number"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0"),
        ({"band_hz": [0.5]}, "has 1 items, expected 2"),
        ({"band_hz": [40, 0.5]}, "a low and a high edge"),
        ({"missing_branches": True}, "with fusion='none': it is an option of early"),
        (
            {"branches": THREE, "fusion": "late_average", "branch_dropout": 0.1},
            "option of early, intermediate fusions",
        ),
        (
            {"branches": THREE, "fusion": "early_concat", "auxiliary_loss_weight": 0.1},
            "of intermediate",
        ),
        ({"branches": THREE, "fusion": "early_concat", "branch_training": "warm"}, "of intermed"),
        ({"notch_hz": -50.0}, "notch_hz=-50.0 must be at least 0"),
        ({"denoise": 1}, "denoise=1 is int, expected true or false"),
        ({"scaling": "robst"}, "Did you mean 'robust'"),
        ({"class_weights": "root"}, f"expected one of .*{CLASS_WEIGHTS[1]}"),
        ({"allow_leaks": ["patients"]}, "expected one of"),
        ({"representation_options": {"scalogramme": {}}}, "representation_options"),
        ({"schedule": "one_cycl"}, "Did you mean 'one_cycle'"),
        ({"loss": "focl"}, "Did you mean 'focal'"),
        ({"monitor": "loss"}, "expected one of"),
        ({"precision": "mixed_floot16"}, "Did you mean 'mixed_float16'"),
        ({"crop_aggregation": "median"}, "expected one of"),
        ({"augment": {"nois": {}}}, "Did you mean 'noise'"),
        ({"augment": {"noise": 20}}, "which is int, expected a mapping"),
        ({"sampling": "balance"}, "Did you mean 'balanced'"),
        ({"sampling": "balanced", "class_weights": "sqrt"}, "twice"),
    ],
)
def test_wrong_values_are_refused_with_the_remedy(changes, message):
    with pytest.raises(ExperimentError, match=message):
        create(**changes)


def list_wrong_values(field):
    """Values that a field of this type must refuse, whatever it is called."""
    by_type = {
        bool: (1, "yes"),
        int: (1.5, "3", True, 10**12, 10**30, -(10**30), math.nan, math.inf),
        float: ("0.1", True, "1e-3s", math.nan, math.inf, -math.inf),
        str: (3, True, ["x"], {"a": "b"}),
    }
    values = by_type.get(field.type)
    if values is None and str(field.type).startswith("tuple"):
        values = ("0.5", 3, [math.nan, math.inf], [[0.5], 40.0], [date(2026, 1, 2)] * 2)
    if values is None:
        circle: dict = {}
        circle["time"] = circle
        inner = ({"x": math.nan}, {"x": date(2026, 1, 2)}, {"x": b"y"}, {1: 2}, 3, ["a"])
        values = ("x", ["time"], circle, {1: {}}, *({"time": value} for value in inner))
    return [None, object(), date(2026, 1, 2), *values]


@pytest.mark.parametrize("name", list_fields())
def test_every_wrong_value_of_every_setting_is_one_sentence(name):
    """Wrong types, numbers that are no numbers or too large, and what JSON cannot hold."""
    for value in list_wrong_values(list_fields()[name]):
        with pytest.raises(ExperimentError) as raised:
            create(**{name: value})
        message = str(raised.value)
        assert name in message, value
        assert re.search("expected|must be|must hold|quote it|nested", message), message
        assert len(message.splitlines()) == 1
        assert len(message) < 700, value


def test_seeds_are_those_that_numpy_keras_and_scikit_learn_take():
    from ecglib.training.trainer import ENSEMBLE_SEED_STEP  # imports Keras

    largest = create(seed=2**31 - 1, ensemble_size=100)
    last = largest.training.seed + ENSEMBLE_SEED_STEP * (largest.model.ensemble_size - 1)
    np.random.RandomState(last)  # takes 32 bits
    with pytest.raises(ExperimentError, match="seed=2147483648 must be"):
        create(seed=2**31)
    with pytest.raises(ExperimentError, match="seed=-1 must be at least 0"):
        create(seed=-1)


def test_two_encoders_on_one_representation_take_it_once():
    branches = {"frequency": "cnn", "time_2": "s4d", "time": "cnn"}
    options = {"time": {"any": 1}}
    experiment = create(branches=branches, fusion="late_average", representation_options=options)
    assert list(experiment.model.branches) == ["time", "time_2", "frequency"]
    assert experiment.representations == ["time", "frequency"]
    assert experiment.inputs.representation_options == options
    assert experiment.model_name == "late_average(time:cnn + time:s4d + frequency:cnn)"
    assert experiment.run_name.startswith("late_average_time-cnn+time-s4d+frequency-cnn_seed0_")


def test_every_wrong_setting_is_found_and_nothing_in_right_ones():
    values = {"branches": {"time": "lstn"}, "width": 0, "epochs": "5", "patience": -1, "other": 1}
    assert list(find_setting_problems(values)) == ["width", "epochs", "patience"]
    together = find_setting_problems({"branches": {"time": "lstn"}, "seed": 1})
    assert list(together) == ["model"]
    assert "lstn" in str(together["model"])
    assert find_setting_problems(create().to_flat()) == {}
