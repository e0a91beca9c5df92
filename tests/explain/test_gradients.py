"""Gradients against weights, finite differences and Captum."""

import keras
import numpy as np
import pytest
from backends import BACKEND
from class_score_helpers import make_noise

from ecglib.explain import build_score_model, compute_gradients, compute_scores


def make_inputs(n_windows=3):
    return {"first": make_noise(n_windows, 20, 3), "second": make_noise(n_windows, 10, 3, seed=1)}


def test_the_gradient_of_a_linear_model_is_its_weights(linear_model):
    scores = build_score_model(linear_model, "multi_label")

    gradients = compute_gradients(scores, make_inputs(), 1)

    weights = linear_model.get_layer("probabilities").get_weights()[0][:, 1]
    flat = np.concatenate([gradients[name].reshape(3, -1) for name in ("first", "second")], axis=1)
    np.testing.assert_array_equal(flat, np.tile(weights, (3, 1)))


def test_the_gradient_is_that_of_finite_differences(smooth_model):
    scores, inputs, step = build_score_model(smooth_model, "multi_class"), make_inputs(1), 1e-2

    gradients = compute_gradients(scores, inputs, 2)

    for name, x in inputs.items():
        moved = step * np.eye(x.size, dtype=np.float32).reshape(x.size, *x.shape[1:])
        around = [
            compute_scores(
                scores, {k: np.repeat(v, x.size, 0) for k, v in inputs.items()} | {name: one}, 2
            )
            for one in (x + moved, x - moved)
        ]
        expected = (around[0] - around[1]) / (2 * step)
        np.testing.assert_allclose(gradients[name].ravel(), expected, atol=2e-4)


def test_windows_of_several_batches_do_not_depend_on_each_other(smooth_model):
    scores, inputs = build_score_model(smooth_model, "multi_class"), make_inputs(70)

    together = compute_gradients(scores, inputs, 0)["first"]

    last = compute_gradients(scores, {name: x[69:] for name, x in inputs.items()}, 0)["first"]
    assert together.shape == (70, 20, 3)
    np.testing.assert_allclose(together[69:], last, atol=1e-6)


def test_an_input_that_the_model_does_not_use_has_the_gradient_0():
    inputs = [keras.Input((4, 1), name="used"), keras.Input((5, 1), name="unused")]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs[0])))

    gradients = compute_gradients(
        model, {"used": make_noise(2, 4, 1), "unused": make_noise(2, 5, 1)}, 0
    )

    np.testing.assert_array_equal(gradients["unused"], np.zeros((2, 5, 1)))


@pytest.mark.skipif(BACKEND != "torch", reason="Captum differentiates models of PyTorch")
def test_captum_agrees(smooth_model):
    captum = pytest.importorskip("captum.attr", reason="Captum is not installed")
    import torch

    scores, inputs = build_score_model(smooth_model, "multi_class"), make_inputs()
    tensors = tuple(torch.tensor(x) for x in inputs.values())

    gradients = compute_gradients(scores, inputs, 1)

    expected = captum.Saliency(lambda *x: scores(list(x))).attribute(tensors, target=1, abs=False)
    for found, one in zip(gradients.values(), expected, strict=True):
        np.testing.assert_allclose(found, one.detach().cpu().numpy(), atol=1e-5)
