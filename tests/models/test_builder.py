import dataclasses
import random

import keras
import numpy as np
import pytest
from check import probabilities, scale, tiny_model, windows

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models import ModelSettings, build_model, find_branches, set_branch_weights

GOOD = ModelSettings(
    branches={"time": "cnn", "frequency": "cnn"},
    fusion="late_average",
    n_classes=3,
    kind="multi_class",
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "late_averag"}, "'late_averag'.*Did you mean 'late_average'"),
        ({"fusion": "none"}, "fusion='none' with the branches"),
        ({"branches": {"time": "cnn"}}, "use fusion='none'"),
        ({"branches": {"time": "cnn_lstm", "frequency": "cnn"}}, "Did you mean 'cnn_bilstm'"),
        ({"branches": {"tim": "cnn", "frequency": "cnn"}}, "Did you mean 'time'"),
        ({"branches": {"handcrafted": "random_forest"}, "fusion": "none"}, "'handcrafted'"),
        ({"branches": {}}, "branches={} is empty"),
        ({"kind": "multilabel"}, "Did you mean 'multi_label'"),
        ({"n_classes": 1}, "n_classes=1 must be at least 2"),
        ({"width": 0}, "width=0"),
        ({"feature_dim": 0}, "feature_dim=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ExperimentError, match=message):
        dataclasses.replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("branches", "input_shapes", "message"),
    [
        ({"time": "cnn"}, {"frequency": (20, 2)}, r"branches, \['time'\]"),
        ({"time": "cnn"}, {"time": (128, 2), "frequency": (20, 2)}, r"branches, \['time'\]"),
        ({"time": "cnn"}, {"time": (128,)}, r"\(n_samples, n_leads\)"),
        ({"time": "cnn"}, {"time": (None, 2)}, r"\(n_samples, n_leads\)"),
        ({"time": "cnn"}, {"time": (31, 2)}, "n_samples=31 .* at least 32"),
        ({"spectrogram": "cnn2d"}, {"spectrogram": (8, 3, 2)}, "n_bins=3 .* at least 4"),
        ({"tabular": "mlp"}, {"tabular": (5, 1)}, r"\(n_columns\)"),
    ],
)
def test_input_shapes_that_do_not_fit_are_refused(branches, input_shapes, message):
    settings = dataclasses.replace(GOOD, branches=branches, fusion="none")
    with pytest.raises(ExperimentError, match=message):
        build_model(input_shapes, settings)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("time", (32, 1)),
        ("frequency", (16, 1)),
        ("spectrogram", (4, 4, 1)),
        ("scalogram", (4, 4, 1)),
        ("tabular", (1,)),
        ("time", (129, 3)),
        ("frequency", (17, 3)),
        ("spectrogram", (7, 9, 3)),
    ],
)
def test_every_encoder_takes_the_shortest_view_and_odd_lengths(name, shape):
    for encoder in REPRESENTATIONS[name].encoders:
        settings = ModelSettings(
            branches={name: encoder},
            fusion="none",
            n_classes=2,
            kind="multi_label",
            width=4,
            feature_dim=4,
        )
        model = build_model({name: shape}, settings)
        x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
        assert np.isfinite(probabilities(model, {name: x})).all()


@pytest.mark.parametrize(
    "names",
    [
        ("frequency", "spectrogram"),
        ("time", "frequency"),
        ("time", "spectrogram"),
        ("spectrogram", "scalogram"),
        ("frequency", "scalogram"),
    ],
)
def test_early_fusion_sees_each_view_with_and_without_a_time_branch(names):
    encoders = {"time": "cnn_bilstm", "frequency": "cnn"}
    encoders |= {"spectrogram": "cnn2d", "scalogram": "cnn2d"}
    model = tiny_model({name: encoders[name] for name in names}, "early_concat")
    used = {type(layer).__name__ for layer in model.layers}
    assert ("Bidirectional" in used) == ("time" in names)
    batch = windows(names)
    scale(model, batch)
    before = probabilities(model, batch)
    for name in names:
        changed = {**batch, name: batch[name][::-1]}
        assert np.abs(probabilities(model, changed) - before).max() > 1e-3


def test_missing_tabular_values_reach_the_encoder_as_the_mean_and_a_mark():
    model, batch = tiny_model({"tabular": "mlp"}, "none"), windows(["tabular"])
    scale(model, batch)
    column = batch["tabular"][:, 0]
    filled = {"tabular": batch["tabular"].copy()}
    filled["tabular"][:, 0] = np.where(np.isnan(column), np.nanmean(column), column)
    missing, present = probabilities(model, batch), probabilities(model, filled)
    assert np.isfinite(missing).all()
    np.testing.assert_array_equal(
        (np.abs(missing - present) > 1e-5).any(axis=1), np.isnan(column)
    )  # only the caveat tells them apart
    caveats = next(layer for layer in model.layers if type(layer).__name__ == "MissingIndicator")
    seen = keras.ops.convert_to_numpy(keras.Model(model.inputs, caveats.output)(batch))
    np.testing.assert_allclose(seen[::3, 0], 0)
    np.testing.assert_array_equal(seen[:, 12:], np.isnan(batch["tabular"]))


def test_a_branch_starts_alike_alone_and_in_any_fusion():
    alone = tiny_model({"frequency": "cnn"}, "none")
    fused = tiny_model({"time": "cnn", "frequency": "cnn"}, "intermediate_gated")
    batch = windows(["time", "frequency"])

    def features(model):
        tail = keras.Model(model.inputs, model.get_layer("frequency_features").output)
        return keras.ops.convert_to_numpy(tail({x.name: batch[x.name] for x in model.inputs}))

    np.testing.assert_array_equal(features(alone), features(fused))


def test_two_encoders_on_one_view_share_its_input_and_its_scaling():
    branches = {"frequency": "cnn", "time_2": "cnn_attention", "time": "cnn"}
    model = tiny_model(branches, "late_weighted")
    assert [x.name for x in model.inputs] == ["time", "frequency"]
    assert find_branches(model) == ["time", "time_2", "frequency"]
    scalings = [layer.name for layer in model.layers if layer.name.endswith("_scaling")]
    assert sorted(scalings) == ["frequency_scaling", "time_scaling"]
    batch = windows(branches)
    scale(model, batch)
    alone = tiny_model({"time": "cnn"}, "none")
    scale(alone, {"time": batch["time"]})
    set_branch_weights(model, [1, 0, 0])
    expected = probabilities(alone, {"time": batch["time"]})
    np.testing.assert_allclose(probabilities(model, batch), expected, atol=1e-6)


@pytest.mark.parametrize("fusion", ["intermediate_concat", "late_average"])
def test_a_view_that_is_missing_takes_all_its_branches_away(fusion):
    branches = {"time": "cnn", "time_2": "cnn_attention", "tabular": "mlp"}
    model = tiny_model(branches, fusion, missing_branches=True)
    batch = windows(branches)
    scale(model, batch)
    gone = {**batch, "time": np.full_like(batch["time"], np.nan)}
    filled = model.get_layer("fill_missing").output[-1]
    present = keras.ops.convert_to_numpy(keras.Model(model.inputs, filled)(gone))
    np.testing.assert_array_equal(present, np.tile([0, 0, 1], (len(present), 1)))
    found = probabilities(model, gone)
    assert np.isfinite(found).all()
    if fusion == "late_average":  # what is left is the tabular branch alone
        alone = tiny_model({"tabular": "mlp"}, "none")
        scale(alone, {"tabular": batch["tabular"]})
        expected = probabilities(alone, {"tabular": batch["tabular"]})
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({"time_2": "cnn"}, r"called \['time_2'\], expected \['time'\]"),
        ({"time": "cnn", "time_3": "cnn"}, "without a gap"),
        ({"time": "cnn", "time_1": "cnn"}, "'time_1'.*Did you mean 'time'"),
        ({"time": "cnn", "time_2": "cnn2d"}, r"branches\['time_2'\]='cnn2d', expected one of"),
    ],
)
def test_further_branches_of_a_view_are_numbered(branches, message):
    with pytest.raises(ExperimentError, match=message):
        dataclasses.replace(GOOD, branches=branches)


def test_building_leaves_other_random_generators_alone():
    random.seed(3)
    np.random.seed(3)
    expected = random.Random(3).random(), np.random.RandomState(3).random()
    tiny_model({"time": "cnn"}, "none")
    assert (random.random(), np.random.random()) == expected
