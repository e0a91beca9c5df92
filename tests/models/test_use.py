import keras
import numpy as np
import pytest
from backends import BACKEND
from check import (
    N_CLASSES,
    N_WINDOWS,
    SHAPES,
    compiled,
    labels,
    probabilities,
    scale,
    tiny_model,
    windows,
)
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models import (
    BranchLoss,
    build_ensemble,
    build_training_model,
    check_inputs,
    find_scaling_axes,
    set_branch_weights,
    set_scaling,
)

RANDOM = np.random.default_rng(0)
TWO = {"time": "cnn", "spectrogram": "cnn2d"}


class TestCheckInputs:
    @pytest.fixture(scope="class")
    @staticmethod
    def model():
        return tiny_model(TWO, "intermediate_concat")

    def test_a_fitting_batch_passes_as_arrays_and_as_specification(self, model):
        batch = windows(TWO)
        check_inputs(model, batch)
        if BACKEND == "tensorflow":
            import tensorflow as tf

            check_inputs(model, tf.data.Dataset.from_tensors(batch).element_spec)

    def test_what_keras_takes_without_a_word_is_refused(self, model):
        batch = windows([*TWO, "frequency"])
        probabilities(model, batch)  # Keras: no error, no warning
        with pytest.raises(ExperimentError, match=r"unknown \['frequency'\]"):
            check_inputs(model, batch)

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            ({"time": windows(TWO)["time"]}, r"missing \['spectrogram'\]"),
            (list(windows(TWO).values()), "is a list, but must be a dict"),
            ({**windows(TWO), "time": np.zeros((4, 64, 2))}, r"shape \(64, 2\).*\(128, 2\)"),
            ({**windows(TWO), "time": np.zeros((128, 2))}, r"shape \(2,\).*\(128, 2\)"),
        ],
    )
    def test_other_batches_are_refused(self, model, batch, message):
        with pytest.raises(ExperimentError, match=message):
            check_inputs(model, batch)


class TestScaling:
    @pytest.mark.parametrize("name", SHAPES)
    def test_is_that_of_scikit_learn(self, name):
        model = tiny_model({name: next(iter(REPRESENTATIONS[name].encoders))}, "none")
        shape = SHAPES[name]
        # Powers of a spectrum: far from 1, and one constant column.
        batch = windows([name])
        batch[name] = (batch[name] - 3) * 1e-4
        batch[name][..., 1] = 0.1
        axes = find_scaling_axes(name, len(shape) + 1)
        x = batch[name].astype("float64")
        n_kept = shape[-1] if name in ("time", "tabular") else shape[-2] * shape[-1]
        scaler = StandardScaler().fit(x.reshape(-1, n_kept))
        # As a single pass over many batches gives it: for a constant, only nearly 0.
        mean = np.nanmean(x, axis=axes)
        variance = np.maximum(np.nanmean(np.square(x), axis=axes) - mean**2, 0)
        set_scaling(model, {name: (mean, variance)})
        batch[name][..., 1] += 0.5
        expected = scaler.transform(batch[name].reshape(-1, n_kept)).reshape(x.shape)
        scaled = keras.Model(model.inputs, model.get_layer(f"{name}_scaling").output)(batch)
        np.testing.assert_allclose(scaled, expected, atol=1e-3)

    def test_is_exact_where_the_model_is_not(self):
        """A variance of 1e-10 is 0 in float16."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = tiny_model({"time": "cnn"}, "none")
        finally:
            keras.config.set_dtype_policy(before)
        set_scaling(model, {"time": (np.full(2, 3e-5), np.full(2, 1e-10))})
        batch = {"time": np.full((1, *SHAPES["time"]), 5e-5, "float32")}
        scaled = keras.Model(model.inputs, model.get_layer("time_scaling").output)(batch)
        np.testing.assert_allclose(scaled, 2.0, rtol=1e-3)

    def test_reaches_a_model_that_has_already_predicted(self):
        """`Normalization` works with copies, which a compiled function would keep."""
        model, batch = tiny_model({"time": "cnn"}, "none"), windows(["time"])
        before = model.predict(batch, verbose=0)
        scale(model, batch)
        after = model.predict(batch, verbose=0)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_allclose(after, probabilities(model, batch), atol=1e-5)

    @pytest.mark.parametrize(
        ("scaling", "message"),
        [
            ({}, r"is for \[\], but must be for exactly \['time'\]"),
            ({"time": (np.zeros(3), np.ones(3))}, r"\(3,\).*must have shape \(2,\)"),
            ({"time": (np.zeros(2), np.array([1.0, -1.0]))}, "negative variance"),
            ({"time": (np.array([0.0, np.nan]), np.ones(2))}, "not finite.*column without any"),
        ],
    )
    def test_wrong_values_are_refused(self, scaling, message):
        with pytest.raises(ExperimentError, match=message):
            set_scaling(tiny_model({"time": "cnn"}, "none"), scaling)


class TestLateFusion:
    def test_each_branch_is_trained_as_if_alone(self):
        """The mean over two branches halves each gradient; twice the step makes up for it."""
        y = labels("multi_label")
        late = tiny_model(TWO, "late_average")
        data = windows(TWO)
        scale(late, data)
        fitted = compiled(late, "multi_label", keras.optimizers.SGD(0.2))
        for _ in range(3):
            fitted.train_on_batch(data, y)
        alone = []
        for name, encoder in TWO.items():
            model = tiny_model({name: encoder}, "none")
            scale(model, {name: data[name]})
            model = compiled(model, "multi_label", keras.optimizers.SGD(0.1))
            for _ in range(3):
                model.train_on_batch({name: data[name]}, y)
            alone.append(probabilities(model, {name: data[name]}))
        np.testing.assert_allclose(probabilities(late, data), np.mean(alone, axis=0), atol=1e-5)

    def test_weights_decide_the_mixture(self):
        model, batch = tiny_model(TWO, "late_weighted"), windows(TWO)
        fitted, per_branch = build_training_model(model)
        assert per_branch
        branches = probabilities(fitted, batch)
        assert branches.shape == (N_WINDOWS, 2, N_CLASSES)
        np.testing.assert_allclose(probabilities(model, batch), branches.mean(axis=1), atol=1e-6)
        set_branch_weights(model, [0.25, 0.75])
        mixture = 0.25 * branches[:, 0] + 0.75 * branches[:, 1]
        np.testing.assert_allclose(probabilities(model, batch), mixture, atol=1e-6)

    def test_branches_stand_in_the_order_of_the_inputs(self):
        model = tiny_model(dict(reversed(TWO.items())), "late_weighted")
        assert [x.name for x in model.inputs] == ["time", "spectrogram"]
        set_branch_weights(model, [1, 0])
        batch = windows(TWO)
        before = probabilities(model, batch)
        batch["spectrogram"] = batch["spectrogram"][::-1]
        np.testing.assert_array_equal(probabilities(model, batch), before)

    @pytest.mark.parametrize(
        "weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [np.nan, 1.0], [[0.5, 0.5]]]
    )
    def test_wrong_weights_are_refused(self, weights):
        model = tiny_model(TWO, "late_weighted")
        with pytest.raises(ExperimentError, match=r"\['time', 'spectrogram'\] in this order"):
            set_branch_weights(model, weights)

    def test_other_fusions_have_no_weights_and_are_trained_as_they_are(self):
        model = tiny_model(TWO, "late_average")
        with pytest.raises(ExperimentError, match="late_weighted"):
            set_branch_weights(model, [0.5, 0.5])
        model = tiny_model(TWO, "intermediate_concat")
        assert build_training_model(model) == (model, False)


class TestBranchLoss:
    y = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], "float32")
    p = RANDOM.dirichlet([1, 1, 1], size=(4, 2)).astype("float32")
    sample_weight = np.array([1.0, 2.0, 0.0, 0.5], "float32")

    @pytest.mark.parametrize("weighted", [False, True])
    def test_is_the_mean_of_the_log_losses(self, weighted):
        weight = self.sample_weight if weighted else np.ones(4)
        each = [
            log_loss(self.y, self.p[:, b], sample_weight=weight, normalize=False) for b in range(2)
        ]
        loss = BranchLoss(keras.losses.CategoricalCrossentropy())
        given = loss(self.y, self.p, sample_weight=weight if weighted else None)
        assert float(given) == pytest.approx(np.mean(each) / 4, rel=1e-5)

    def test_survives_saving_with_the_options_of_its_base(self):
        loss = BranchLoss(keras.losses.BinaryCrossentropy(label_smoothing=0.2))
        config = keras.saving.serialize_keras_object(loss)
        again = keras.saving.deserialize_keras_object(config)
        assert float(again(self.y, self.p)) == float(loss(self.y, self.p))
        plain = BranchLoss(keras.losses.BinaryCrossentropy())
        assert float(plain(self.y, self.p)) != float(loss(self.y, self.p))


class TestEnsemble:
    def test_is_the_mean_of_its_members_also_after_saving(self, tmp_path):
        batch = windows(TWO)
        members = [tiny_model(TWO, "late_weighted", seed=seed) for seed in (1, 2, 3)]
        for member in members:
            scale(member, batch)
        joined = build_ensemble(members)
        mean = np.mean([probabilities(member, batch) for member in members], axis=0)
        np.testing.assert_allclose(probabilities(joined, batch), mean, atol=1e-6)
        assert joined.output_names == ["probabilities"]
        assert joined.count_params() == 3 * members[0].count_params()
        check_inputs(joined, batch)
        assert build_training_model(joined) == (joined, False)
        joined.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_allclose(probabilities(loaded, batch), mean, atol=1e-6)
        check_inputs(loaded, batch)

    def test_scaling_after_joining_is_refused(self):
        joined = build_ensemble([tiny_model({"time": "cnn"}, "none", seed=s) for s in (1, 2)])
        with pytest.raises(ExperimentError, match="before you build the ensemble"):
            set_scaling(joined, {"time": (np.zeros(2), np.ones(2))})

    def test_members_must_be_several_and_alike(self):
        member = tiny_model({"time": "cnn"}, "none")
        with pytest.raises(ExperimentError, match="at least 2"):
            build_ensemble([member])
        with pytest.raises(ExperimentError, match="Model 1"):
            build_ensemble([member, tiny_model({"frequency": "cnn"}, "none")])
