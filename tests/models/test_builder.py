import dataclasses
import random

import keras
import numpy as np
import pytest
from check import build_tiny_model, make_windows, predict, scale

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models import (
    ModelSpec,
    build_ensemble,
    build_model,
    check_inputs,
    find_branches,
    set_branch_weights,
    set_scaling,
)

GOOD = ModelSpec(
    branches={"time": "cnn", "frequency": "cnn"},
    fusion="late_average",
    n_classes=3,
    kind="multi_class",
)


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


@pytest.mark.slow
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
def test_every_encoder_takes_the_smallest_shapes_and_odd_lengths(name, shape):
    for encoder in REPRESENTATIONS[name].encoders:
        settings = ModelSpec(
            branches={name: encoder},
            fusion="none",
            n_classes=2,
            kind="multi_label",
            width=4,
            feature_dim=4,
        )
        model = build_model({name: shape}, settings)
        x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
        assert np.isfinite(predict(model, {name: x})).all()


def test_missing_tabular_values_reach_the_encoder_as_the_mean_and_an_indicator():
    model, batch = build_tiny_model({"tabular": "mlp"}, "none"), make_windows(["tabular"])
    scale(model, batch)
    column = batch["tabular"][:, 0]
    filled = {"tabular": batch["tabular"].copy()}
    filled["tabular"][:, 0] = np.where(np.isnan(column), np.nanmean(column), column)
    missing, present = predict(model, batch), predict(model, filled)
    assert np.isfinite(missing).all()
    np.testing.assert_array_equal(
        (np.abs(missing - present) > 1e-5).any(axis=1), np.isnan(column)
    )  # only the indicator distinguishes them
    layer = next(layer for layer in model.layers if type(layer).__name__ == "MissingIndicator")
    output = keras.ops.convert_to_numpy(keras.Model(model.inputs, layer.output)(batch))
    np.testing.assert_allclose(output[::3, 0], 0)
    np.testing.assert_array_equal(output[:, 12:], np.isnan(batch["tabular"]))


def test_the_initial_weights_of_a_branch_are_the_same_alone_and_in_a_fusion():
    alone = build_tiny_model({"frequency": "cnn"}, "none")
    fused = build_tiny_model({"time": "cnn", "frequency": "cnn"}, "intermediate_gated")
    batch = make_windows(["time", "frequency"])

    def compute_features(model):
        encoder = keras.Model(model.inputs, model.get_layer("frequency_features").output)
        return keras.ops.convert_to_numpy(encoder({x.name: batch[x.name] for x in model.inputs}))

    np.testing.assert_array_equal(compute_features(alone), compute_features(fused))


def test_two_encoders_on_one_representation_share_its_input_and_scaling():
    branches = {"frequency": "cnn", "time_2": "cnn_attention", "time": "cnn"}
    model = build_tiny_model(branches, "late_weighted")
    assert [x.name for x in model.inputs] == ["time", "frequency"]
    assert find_branches(model) == ["time", "time_2", "frequency"]
    scalings = [layer.name for layer in model.layers if layer.name.endswith("_scaling")]
    assert sorted(scalings) == ["frequency_scaling", "time_scaling"]
    batch = make_windows(branches)
    scale(model, batch)
    alone = build_tiny_model({"time": "cnn"}, "none")
    scale(alone, {"time": batch["time"]})
    set_branch_weights(model, [1, 0, 0])
    expected = predict(alone, {"time": batch["time"]})
    np.testing.assert_allclose(predict(model, batch), expected, atol=1e-6)


@pytest.mark.parametrize("fusion", ["intermediate_concat", "late_average"])
def test_all_branches_of_a_missing_representation_are_missing(fusion):
    branches = {"time": "cnn", "time_2": "cnn_attention", "tabular": "mlp"}
    model = build_tiny_model(branches, fusion, missing_branches=True)
    batch = make_windows(branches)
    scale(model, batch)
    incomplete = {**batch, "time": np.full_like(batch["time"], np.nan)}
    flags = model.get_layer("fill_missing").output[-1]
    present = keras.ops.convert_to_numpy(keras.Model(model.inputs, flags)(incomplete))
    np.testing.assert_array_equal(present, np.tile([0, 0, 1], (len(present), 1)))
    found = predict(model, incomplete)
    assert np.isfinite(found).all()
    if fusion == "late_average":  # only the tabular branch remains
        alone = build_tiny_model({"tabular": "mlp"}, "none")
        scale(alone, {"tabular": batch["tabular"]})
        expected = predict(alone, {"tabular": batch["tabular"]})
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_building_does_not_change_other_random_generators():
    random.seed(3)
    np.random.seed(3)
    expected = random.Random(3).random(), np.random.RandomState(3).random()
    build_tiny_model({"time": "cnn"}, "none")
    assert (random.random(), np.random.random()) == expected


class TestEnsemble:
    @pytest.mark.slow
    def test_it_is_the_mean_of_its_models_also_after_saving(self, tmp_path):
        branches = {"time": "cnn", "spectrogram": "cnn2d"}
        batch = make_windows(branches)
        models = [build_tiny_model(branches, "late_weighted", seed=seed) for seed in (1, 2, 3)]
        for model in models:
            scale(model, batch)
        ensemble = build_ensemble(models)
        mean = np.mean([predict(model, batch) for model in models], axis=0)
        np.testing.assert_allclose(predict(ensemble, batch), mean, atol=1e-6)
        assert ensemble.output_names == ["probabilities"]
        assert ensemble.count_params() == 3 * models[0].count_params()
        check_inputs(ensemble, batch)
        ensemble.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_allclose(predict(loaded, batch), mean, atol=1e-6)
        check_inputs(loaded, batch)

    def test_scaling_after_building_it_is_refused(self):
        models = [build_tiny_model({"time": "cnn"}, "none", seed=seed) for seed in (1, 2)]
        ensemble = build_ensemble(models)
        with pytest.raises(ExperimentError, match="before you build the ensemble"):
            set_scaling(ensemble, {"time": (np.zeros(2), np.ones(2))})

    def test_it_needs_several_models_that_differ_only_in_their_seed(self):
        model = build_tiny_model({"time": "cnn"}, "none")
        with pytest.raises(ExperimentError, match="at least 2"):
            build_ensemble([model])
        with pytest.raises(ExperimentError, match="Model 1"):
            build_ensemble([model, build_tiny_model({"frequency": "cnn"}, "none")])


def test_representations_of_one_kind_are_inputs_of_their_own_with_their_own_scaling():
    settings = ModelSpec(
        branches={
            "spectrogram_fine": "cnn2d",
            "spectrogram": "cnn2d",
            "spectrogram_fine_2": "crnn",
        },
        fusion="intermediate_concat",
        n_classes=2,
        kind="multi_label",
        width=4,
    )
    model = build_model({"spectrogram": (8, 10, 2), "spectrogram_fine": (16, 5, 2)}, settings)
    assert [x.name for x in model.inputs] == ["spectrogram", "spectrogram_fine"]
    assert model.get_layer("spectrogram_fine_scaling").mean.shape[-2:] == (5, 2)
    assert find_branches(model) == ["spectrogram", "spectrogram_fine", "spectrogram_fine_2"]
