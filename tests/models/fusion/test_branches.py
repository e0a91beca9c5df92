"""Branch dropout and missing branches, which `Branches` handles for every fusion."""

import keras
import numpy as np
import pytest
from backends import compute_gradient, compute_weight_gradients
from check import (
    assert_close,
    build_tail,
    build_tiny_model,
    compile_for_training,
    make_labels,
    make_windows,
    predict,
    scale,
)
from keras import ops

from ecglib.experiment.registry import FUSIONS
from ecglib.models import build_training_model, set_branch_weights

KINDS = ["multi_label", "multi_class"]
TWO = {"time": "cnn", "frequency": "cnn"}
THREE = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}
LATE = [name for name in FUSIONS if name.startswith("late_")]
INTERMEDIATE = [name for name in FUSIONS if name.startswith("intermediate_")]


def remove_branches(batch: dict, **rows) -> dict:
    """Return a copy of the batch with NaN in these rows of each input."""
    batch = {name: x.copy() for name, x in batch.items()}
    for name, missing in rows.items():
        batch[name][missing] = np.nan
    return batch


class TestBranchDropout:
    @pytest.mark.slow
    @pytest.mark.parametrize("fusion", ["early_concat", *INTERMEDIATE])
    def test_every_fusion_that_trains_branches_together_trains_with_it(self, fusion):
        """Same initial weights, other outputs in training, gradients everywhere, no NaN."""
        plain, model = (
            build_tiny_model(TWO, fusion, dropout=0.0, branch_dropout=rate) for rate in (0, 0.5)
        )
        batch = make_windows(TWO)
        for one in (plain, model):
            scale(one, batch)
        np.testing.assert_array_equal(predict(model, batch), predict(plain, batch))
        y = make_labels("multi_label")
        fitted = compile_for_training(model, "multi_label", "sgd")
        gradients = compute_weight_gradients(fitted, batch, lambda p: fitted.loss(y, p))
        for weight, gradient in zip(fitted.trainable_weights, gradients, strict=True):
            values = ops.convert_to_numpy(gradient)
            assert np.isfinite(values).all(), weight.path
            assert np.abs(values).max() > 0, weight.path
        trained = ops.convert_to_numpy(model(batch, training=True))
        untouched = ops.convert_to_numpy(plain(batch, training=True))
        rows = np.abs(trained - untouched).max(axis=1)
        assert (rows > 1e-6).any()

    @pytest.mark.slow
    def test_a_model_with_missing_branches_is_fitted_and_saved(self, tmp_path):
        options = {"branch_dropout": 0.5, "missing_branches": True}
        model, batch = build_tiny_model(TWO, "intermediate_concat", **options), make_windows(TWO)
        scale(model, batch)
        batch = remove_branches(batch, time=[0, 1], frequency=[2])
        fitted = compile_for_training(model, "multi_label", "sgd")
        history = fitted.fit(batch, make_labels("multi_label"), epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        found = predict(loaded, batch)
        assert_close(found, predict(model, batch))
        again, drop = (one.get_layer("branch_dropout") for one in (loaded, model))
        assert (again.rate, again.seed) == (drop.rate, drop.seed) == (0.5, drop.seed)


class TestMissingBranches:
    @pytest.mark.slow
    @pytest.mark.parametrize("fusion", FUSIONS)
    def test_no_nan_reaches_probabilities_or_gradients(self, fusion, tmp_path):
        model = build_tiny_model(THREE, fusion, missing_branches=True)
        plain, whole = build_tiny_model(THREE, fusion), make_windows(THREE)
        for one in (model, plain):
            scale(one, whole)
        assert_close(predict(model, whole), predict(plain, whole), atol=1e-6)
        batch = remove_branches(whole, time=[0, 3], frequency=[1, 3], spectrogram=[1, 3])
        p = predict(model, batch)
        assert ((p > 0) & (p < 1)).all()
        assert_close(p[4:], predict(plain, whole)[4:])
        assert (np.abs(p[:2] - predict(plain, whole)[:2]).max(axis=1) > 1e-5).all()
        assert_close(model.predict(batch, verbose=0), p, atol=1e-5)

        path = tmp_path / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path, safe_mode=True)
        assert_close(predict(loaded, batch), p)

        y = make_labels("multi_label")
        fitted = compile_for_training(model, "multi_label", "sgd")
        gradients = compute_weight_gradients(fitted, batch, lambda outputs: fitted.loss(y, outputs))
        for weight, gradient in zip(fitted.trainable_weights, gradients, strict=True):
            values = ops.convert_to_numpy(gradient)
            assert np.isfinite(values).all(), weight.path
            assert np.abs(values).max() > 0, weight.path

    @pytest.mark.parametrize("fusion", ["early_concat", "intermediate_bilinear", "late_product"])
    def test_the_gradient_at_the_input_is_finite_and_zero_where_the_input_is_missing(self, fusion):
        model, whole = build_tiny_model(TWO, fusion, missing_branches=True), make_windows(TWO)
        scale(model, whole)
        batch = remove_branches(whole, time=[0])

        def compute_sum(x):
            return ops.sum(model([x, ops.convert_to_tensor(batch["frequency"])])[:, 0])

        slope = compute_gradient(compute_sum, batch["time"])
        assert np.isfinite(slope).all()
        assert (slope[0] == 0).all()
        assert (np.abs(slope[1:]).max(axis=(1, 2)) > 0).all()

    @pytest.mark.parametrize("fusion", INTERMEDIATE)
    def test_a_missing_branch_is_the_same_as_a_dropped_one(self, fusion):
        model, batch = build_tiny_model(TWO, fusion, missing_branches=True), make_windows(TWO)
        scale(model, batch)
        features = [model.get_layer(f"{name}_features").output for name in TWO]
        vectors = [predict(keras.Model(model.inputs, one), batch) for one in features]
        vectors[0] = np.zeros_like(vectors[0])
        expected = build_tail(build_tiny_model(TWO, fusion), TWO)(*vectors)
        found = predict(model, remove_branches(batch, time=slice(None)))
        assert_close(found, expected, atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("fusion", LATE)
    def test_a_late_fusion_combines_the_remaining_branches(self, fusion, kind):
        """The initial weights of a branch are the same in a fusion of two as in one of three."""
        whole = make_windows(THREE)
        three, two = (
            build_tiny_model(branches, fusion, kind, missing_branches=True)
            for branches in (THREE, {n: THREE[n] for n in ("time", "spectrogram")})
        )
        for model in (three, two):
            scale(model, {x.name: whole[x.name] for x in model.inputs})
        expected = predict(two, {x.name: whole[x.name] for x in two.inputs})
        found = predict(three, remove_branches(whole, frequency=slice(None)))
        assert_close(found, expected, atol=1e-5)

    def test_the_weight_of_a_missing_branch_goes_to_the_others(self):
        model = build_tiny_model(THREE, "late_weighted", missing_branches=True)
        whole = make_windows(THREE)
        set_branch_weights(model, [0.5, 0.125, 0.375])
        p = predict(build_training_model(model)[0], whole)
        found = predict(model, remove_branches(whole, time=slice(None)))
        assert_close(found, 0.25 * p[:, 1] + 0.75 * p[:, 2])

    def test_without_the_option_probabilities_are_nan(self):
        model = build_tiny_model(TWO, "intermediate_concat")
        p = predict(model, remove_branches(make_windows(TWO), time=[0]))
        assert np.isnan(p[0]).all()
        assert np.isfinite(p[1:]).all()
