import keras
import numpy as np
import pytest
from check import (
    N_CLASSES,
    N_WINDOWS,
    assert_close,
    build_tiny_model,
    compile_for_training,
    make_labels,
    make_windows,
    predict,
    scale,
)
from scipy.special import expit, logit

from ecglib.errors import ExperimentError
from ecglib.models import build_training_model, set_branch_weights, set_stacking_weights

RANDOM = np.random.default_rng(0)
TWO = {"time": "cnn", "spectrogram": "cnn2d"}


class TestBranchWeights:
    @pytest.mark.slow
    def test_each_branch_is_trained_as_if_alone(self):
        """The mean over two branches halves each gradient; twice the step makes up for it."""
        y = make_labels("multi_label")
        late = build_tiny_model(TWO, "late_average")
        data = make_windows(TWO)
        scale(late, data)
        fitted = compile_for_training(late, "multi_label", keras.optimizers.SGD(0.2))
        for _ in range(3):
            fitted.train_on_batch(data, y)
        alone = []
        for name, encoder in TWO.items():
            model = build_tiny_model({name: encoder}, "none")
            scale(model, {name: data[name]})
            model = compile_for_training(model, "multi_label", keras.optimizers.SGD(0.1))
            for _ in range(3):
                model.train_on_batch({name: data[name]}, y)
            alone.append(predict(model, {name: data[name]}))
        np.testing.assert_allclose(predict(late, data), np.mean(alone, axis=0), atol=1e-5)

    def test_weights_average_the_branches(self):
        model, batch = build_tiny_model(TWO, "late_weighted"), make_windows(TWO)
        fitted, per_branch = build_training_model(model)
        assert per_branch
        branches = predict(fitted, batch)
        assert branches.shape == (N_WINDOWS, 2, N_CLASSES)
        np.testing.assert_allclose(predict(model, batch), branches.mean(axis=1), atol=1e-6)
        set_branch_weights(model, [0.25, 0.75])
        mixture = 0.25 * branches[:, 0] + 0.75 * branches[:, 1]
        np.testing.assert_allclose(predict(model, batch), mixture, atol=1e-6)

    def test_weights_have_the_order_of_the_inputs(self):
        model = build_tiny_model(dict(reversed(TWO.items())), "late_weighted")
        assert [x.name for x in model.inputs] == ["time", "spectrogram"]
        set_branch_weights(model, [1, 0])
        batch = make_windows(TWO)
        before = predict(model, batch)
        batch["spectrogram"] = batch["spectrogram"][::-1]
        np.testing.assert_array_equal(predict(model, batch), before)

    @pytest.mark.parametrize(
        "weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [np.nan, 1.0], [[0.5, 0.5]]]
    )
    def test_wrong_branch_weights_are_refused(self, weights):
        model = build_tiny_model(TWO, "late_weighted")
        with pytest.raises(ExperimentError, match=r"\['time', 'spectrogram'\] in this order"):
            set_branch_weights(model, weights)

    def test_other_fusions_have_no_branch_weights(self):
        model = build_tiny_model(TWO, "late_average")
        with pytest.raises(ExperimentError, match="late_weighted"):
            set_branch_weights(model, [0.5, 0.5])


class TestStackingWeights:
    def test_weights_decide_the_probabilities(self):
        model, batch = build_tiny_model(TWO, "late_stacking"), make_windows(TWO)
        fitted, per_branch = build_training_model(model)
        assert per_branch
        p = predict(fitted, batch).astype("float64")
        weights, bias = RANDOM.normal(size=(2, N_CLASSES)), RANDOM.normal(size=N_CLASSES)
        set_stacking_weights(model, weights, bias)
        expected = expit((logit(p) * weights).sum(axis=1) + bias)
        assert_close(predict(model, batch), expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("weights", "bias"),
        [
            (np.ones(2), np.zeros(N_CLASSES)),
            (np.ones((N_CLASSES, 2)), np.zeros(N_CLASSES)),
            (np.ones((2, N_CLASSES)), np.zeros(2)),
            (np.full((2, N_CLASSES), np.nan), np.zeros(N_CLASSES)),
        ],
    )
    def test_wrong_stacking_weights_are_refused(self, weights, bias):
        with pytest.raises(ExperimentError, match=r"must have \(2, 3\) and \(3,\).*'spectrogram'"):
            set_stacking_weights(build_tiny_model(TWO, "late_stacking"), weights, bias)

    def test_other_fusions_have_no_stacking_weights(self):
        with pytest.raises(ExperimentError, match="fusion='late_stacking'"):
            set_stacking_weights(
                build_tiny_model(TWO, "late_weighted"), np.ones((2, 3)), np.zeros(3)
            )
