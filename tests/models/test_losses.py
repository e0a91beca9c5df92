import keras
import numpy as np
import pytest
from backends import compute_weight_gradients
from check import N_CLASSES, build_tiny_model, make_labels, make_windows, predict, scale
from sklearn.metrics import log_loss

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import FUSIONS
from ecglib.models import (
    AuxiliaryLoss,
    BranchLoss,
    build_auxiliary_model,
    build_ensemble,
    build_training_model,
)
from ecglib.models.compilation import COMPILES

RANDOM = np.random.default_rng(0)
TWO = {"time": "cnn", "frequency": "cnn"}


class TestBranchLoss:
    y = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], "float32")
    p = RANDOM.dirichlet([1, 1, 1], size=(4, 2)).astype("float32")
    sample_weight = np.array([1.0, 2.0, 0.0, 0.5], "float32")

    @pytest.mark.parametrize("weighted", [False, True])
    def test_the_loss_is_the_mean_of_the_log_losses(self, weighted):
        weight = self.sample_weight if weighted else np.ones(4)
        each = [
            log_loss(self.y, self.p[:, b], sample_weight=weight, normalize=False) for b in range(2)
        ]
        loss = BranchLoss(keras.losses.CategoricalCrossentropy())
        found = loss(self.y, self.p, sample_weight=weight if weighted else None)
        assert float(found) == pytest.approx(np.mean(each) / 4, rel=1e-5)

    def test_the_loss_is_saved_with_the_options_of_its_base_loss(self):
        loss = BranchLoss(keras.losses.BinaryCrossentropy(label_smoothing=0.2))
        config = keras.saving.serialize_keras_object(loss)
        again = keras.saving.deserialize_keras_object(config)
        assert float(again(self.y, self.p)) == float(loss(self.y, self.p))
        plain = BranchLoss(keras.losses.BinaryCrossentropy())
        assert float(plain(self.y, self.p)) != float(loss(self.y, self.p))


class TestTrainingModel:
    def test_a_late_fusion_is_trained_through_its_branches(self):
        model = build_tiny_model(TWO, "late_average")
        trained, has_branch_output = build_training_model(model)
        assert has_branch_output
        assert trained.output_shape == (None, 2, N_CLASSES)

    def test_other_models_are_trained_as_they_are(self):
        model = build_tiny_model(TWO, "intermediate_concat")
        assert build_training_model(model) == (model, False)
        ensemble = build_ensemble([model, build_tiny_model(TWO, "intermediate_concat", seed=2)])
        assert build_training_model(ensemble) == (ensemble, False)


class TestAuxiliaryModel:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "fusion", [name for name in FUSIONS if name.startswith("intermediate_")]
    )
    def test_auxiliary_heads_are_trained_and_the_model_has_none(self, fusion):
        model, batch = build_tiny_model(TWO, fusion), make_windows(TWO)
        scale(model, batch)
        before, n_weights = predict(model, batch), len(model.weights)
        fitted = build_auxiliary_model(model, dropout=0.2, seed=1)
        p = predict(fitted, batch)
        assert p.shape == (len(before), 1 + 2, N_CLASSES)
        np.testing.assert_allclose(p[:, 0], before, atol=1e-6)
        for number, name in enumerate(TWO):
            alone = build_tiny_model({name: "cnn"}, "none")
            scale(alone, {name: batch[name]})
            expected = predict(alone, {name: batch[name]})
            np.testing.assert_allclose(p[:, 1 + number], expected, atol=1e-6)

        loss, y = AuxiliaryLoss(keras.losses.BinaryCrossentropy(), 0.3), make_labels("multi_label")
        gradients = compute_weight_gradients(fitted, batch, lambda outputs: loss(y, outputs))
        assert len(gradients) == len(model.trainable_weights) + 2 * 2
        for weight, gradient in zip(fitted.trainable_weights, gradients, strict=True):
            assert keras.ops.max(keras.ops.abs(gradient)) > 0, weight.path
        fitted.compile("sgd", loss, jit_compile=COMPILES)
        fitted.fit(batch, y, verbose=0)
        assert np.abs(predict(model, batch) - before).max() > 1e-4
        assert len(model.weights) == n_weights
        assert model.output_shape == (None, N_CLASSES)

    def test_the_loss_adds_the_weighted_losses_of_the_branches_to_that_of_the_fusion(self):
        p = RANDOM.dirichlet([1, 1, 1], size=(4, 3)).astype("float32")
        y = np.eye(3, dtype="float32")[[0, 1, 2, 1]]
        weight = np.array([1.0, 2.0, 0.0, 0.5], "float32")
        each = [log_loss(y, p[:, b], sample_weight=weight, normalize=False) for b in range(3)]
        loss = AuxiliaryLoss(keras.losses.CategoricalCrossentropy(), 0.25)
        expected = (each[0] + 0.25 * (each[1] + each[2])) / 4
        assert float(loss(y, p, sample_weight=weight)) == pytest.approx(expected, rel=1e-5)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        assert float(again(y, p)) == float(loss(y, p))

    @pytest.mark.parametrize(
        ("branches", "fusion"),
        [(TWO, "early_concat"), (TWO, "late_average"), ({"time": "cnn"}, "none")],
    )
    def test_models_that_do_not_join_features_are_refused(self, branches, fusion):
        with pytest.raises(ExperimentError, match="need an intermediate fusion"):
            build_auxiliary_model(build_tiny_model(branches, fusion), 0.2, 0)
