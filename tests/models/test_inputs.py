import keras
import numpy as np
import pytest
from backends import BACKEND
from check import SHAPES, build_tiny_model, make_windows, predict, scale
from sklearn.preprocessing import StandardScaler

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models import check_inputs, find_scaling_axes, set_scaling

TWO = {"time": "cnn", "spectrogram": "cnn2d"}


class TestCheckInputs:
    @pytest.fixture(scope="class")
    @staticmethod
    def model():
        return build_tiny_model(TWO, "intermediate_concat")

    def test_a_batch_that_fits_passes_as_arrays_and_as_tensor_specs(self, model):
        batch = make_windows(TWO)
        check_inputs(model, batch)
        if BACKEND == "tensorflow":
            import tensorflow as tf

            check_inputs(model, tf.data.Dataset.from_tensors(batch).element_spec)

    def test_a_key_that_keras_silently_ignores_is_refused(self, model):
        batch = make_windows([*TWO, "frequency"])
        predict(model, batch)  # no error and no warning from Keras
        with pytest.raises(ExperimentError, match=r"unknown \['frequency'\]"):
            check_inputs(model, batch)

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            ({"time": make_windows(TWO)["time"]}, r"missing \['spectrogram'\]"),
            (list(make_windows(TWO).values()), "is a list, but must be a dict"),
            ({**make_windows(TWO), "time": np.zeros((4, 64, 2))}, r"shape \(64, 2\).*\(128, 2\)"),
            ({**make_windows(TWO), "time": np.zeros((128, 2))}, r"shape \(2,\).*\(128, 2\)"),
        ],
    )
    def test_other_batches_are_refused(self, model, batch, message):
        with pytest.raises(ExperimentError, match=message):
            check_inputs(model, batch)


class TestScaling:
    @pytest.mark.parametrize("name", SHAPES)
    def test_scaling_is_that_of_scikit_learn(self, name):
        model = build_tiny_model({name: next(iter(REPRESENTATIONS[name].encoders))}, "none")
        shape = SHAPES[name]
        # Like the powers of a spectrum: far from 1, and one constant column.
        batch = make_windows([name])
        batch[name] = (batch[name] - 3) * 1e-4
        batch[name][..., 1] = 0.1
        axes = find_scaling_axes(name, len(shape) + 1)
        x = batch[name].astype("float64")
        n_scaled = shape[-1] if name in ("time", "tabular") else shape[-2] * shape[-1]
        scaler = StandardScaler().fit(x.reshape(-1, n_scaled))
        # As computed in a single pass over many batches: for a constant only nearly 0.
        mean = np.nanmean(x, axis=axes)
        variance = np.maximum(np.nanmean(np.square(x), axis=axes) - mean**2, 0)
        set_scaling(model, {name: (mean, variance)})
        batch[name][..., 1] += 0.5
        expected = scaler.transform(batch[name].reshape(-1, n_scaled)).reshape(x.shape)
        scaled = keras.Model(model.inputs, model.get_layer(f"{name}_scaling").output)(batch)
        np.testing.assert_allclose(scaled, expected, atol=1e-3)

    def test_scaling_is_in_float32_where_the_model_is_in_float16(self):
        """A variance of 1e-10 is 0 in float16."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = build_tiny_model({"time": "cnn"}, "none")
        finally:
            keras.config.set_dtype_policy(before)
        set_scaling(model, {"time": (np.full(2, 3e-5), np.full(2, 1e-10))})
        batch = {"time": np.full((1, *SHAPES["time"]), 5e-5, "float32")}
        scaled = keras.Model(model.inputs, model.get_layer("time_scaling").output)(batch)
        np.testing.assert_allclose(scaled, 2.0, rtol=1e-3)

    def test_scaling_reaches_a_model_that_has_already_predicted(self):
        """`Normalization` computes with copies, which a compiled function would keep."""
        model, batch = build_tiny_model({"time": "cnn"}, "none"), make_windows(["time"])
        before = model.predict(batch, verbose=0)
        scale(model, batch)
        after = model.predict(batch, verbose=0)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_allclose(after, predict(model, batch), atol=1e-5)

    @pytest.mark.parametrize(
        ("scaling", "message"),
        [
            ({}, r"is for \[\], but must be for exactly \['time'\]"),
            ({"time": (np.zeros(3), np.ones(3))}, r"\(3,\).*must have shape \(2,\)"),
            ({"time": (np.zeros(2), np.array([1.0, -1.0]))}, "negative variance"),
            ({"time": (np.array([0.0, np.nan]), np.ones(2))}, "not finite.*column without any"),
        ],
    )
    def test_wrong_scalings_are_refused(self, scaling, message):
        with pytest.raises(ExperimentError, match=message):
            set_scaling(build_tiny_model({"time": "cnn"}, "none"), scaling)
