"""Attributions against closed forms and Captum."""

import dataclasses

import keras
import numpy as np
import pytest
from backends import BACKEND
from class_score_helpers import make_noise, make_target

from ecglib.errors import EcgError
from ecglib.explain import (
    attribute_by_gradient,
    attribute_by_integrated_gradients,
    attribute_by_smoothgrad,
    check_completeness,
    compute_scores,
)


@pytest.fixture
def inputs():
    return {"first": make_noise(3, 20, 3), "second": make_noise(3, 10, 3, seed=1)}


def test_attributions_name_what_they_are_of(linear_model, inputs):
    target = make_target(linear_model, inputs, "B")

    found = attribute_by_gradient(target)["second"]

    assert [axis.name for axis in found.axes] == ["time", "lead"]
    assert (found.unit, found.method, found.class_name) == ("logit per mV", "gradient", "B")
    assert found.windows == ("window 0", "window 1", "window 2")
    with pytest.raises(EcgError, match="one value for each entry"):
        dataclasses.replace(found, axes=found.axes[:1])


def test_smoothgrad_of_a_linear_model_is_its_gradient(linear_model, inputs):
    target = make_target(linear_model, inputs)

    smooth = attribute_by_smoothgrad(target, n_samples=5)

    plain = attribute_by_gradient(target)
    for name in inputs:
        np.testing.assert_allclose(smooth[name].values, plain[name].values, atol=1e-6)


def test_smoothgrad_of_a_square_is_the_gradient_without_the_mean_of_the_noise():
    x = keras.Input((500, 1), name="x")
    square = keras.ops.sum(x * x, axis=1)
    model = keras.Model(x, keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")(square))
    values = make_noise(1, 500, 1)
    target = make_target(model, {"x": values})

    found = attribute_by_smoothgrad(target, n_samples=50, noise=0.1)["x"].values

    # The gradient of a square is 2 x, so its mean over the noise e is 2 x + 2 mean(e).
    sd = 2 * 0.1 * (values.max() - values.min()) / np.sqrt(50)
    assert abs(np.std(found - 2 * values) / sd - 1) < 0.15


def test_integrated_gradients_of_a_linear_model_are_weight_times_input(linear_model, inputs):
    target = make_target(linear_model, inputs)

    found = attribute_by_integrated_gradients(target, n_steps=1)

    weights = linear_model.get_layer("probabilities").get_weights()[0][:, 0]
    expected = {"first": weights[:60].reshape(20, 3), "second": weights[60:].reshape(10, 3)}
    for name, x in inputs.items():
        np.testing.assert_allclose(found[name].values, x * expected[name], rtol=1e-5, atol=1e-7)
    assert check_completeness(target, found).figure < 1e-5


def test_integrated_gradients_of_a_smooth_model_are_complete(smooth_model, inputs):
    target = make_target(smooth_model, inputs, "C", kind="multi_class")

    found = attribute_by_integrated_gradients(target)

    score = compute_scores(target.model, target.inputs, 2)
    zeros = compute_scores(target.model, {k: np.zeros_like(x) for k, x in inputs.items()}, 2)
    total = sum(found[name].values.sum(axis=(1, 2)) for name in inputs)
    np.testing.assert_allclose(total, score - zeros, atol=1e-4)
    assert found["first"].unit == "logit"


def test_too_few_steps_are_not_complete(smooth_model, inputs):
    target = make_target(smooth_model, inputs, "C", kind="multi_class")

    check = check_completeness(target, attribute_by_integrated_gradients(target, n_steps=1))

    assert not check.passed
    assert check.figure > 0.05


def test_completeness_needs_all_inputs(smooth_model, inputs):
    target = make_target(smooth_model, inputs, "C", kind="multi_class")
    found = attribute_by_integrated_gradients(target, n_steps=1)

    with pytest.raises(EcgError, match=r"\['second'\] have no attribution"):
        check_completeness(target, {"first": found["first"]})


def test_a_missing_value_contributes_nothing():
    x = keras.Input((3,), name="x")
    known = keras.ops.where(keras.ops.isnan(x), 0.0, x)
    model = keras.Model(x, keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")(known))
    target = make_target(model, {"x": np.array([[1.0, np.nan, 2.0]])}, names=("column",))

    found = attribute_by_integrated_gradients(target, n_steps=4)["x"].values

    np.testing.assert_allclose(found, [[1.0, 0.0, 2.0]], rtol=1e-6)


@pytest.mark.parametrize("method", [attribute_by_smoothgrad, attribute_by_integrated_gradients])
def test_no_step_is_refused(method, linear_model, inputs):
    with pytest.raises(EcgError, match=r"=0 must be at least 1"):
        method(make_target(linear_model, inputs), 0)


@pytest.mark.skipif(BACKEND != "torch", reason="Captum differentiates models of PyTorch")
def test_captum_agrees_on_integrated_gradients(smooth_model, inputs):
    captum = pytest.importorskip("captum.attr", reason="Captum is not installed")
    import torch

    target = make_target(smooth_model, inputs, "B", kind="multi_class")
    tensors = tuple(torch.tensor(x) for x in inputs.values())

    found = attribute_by_integrated_gradients(target, n_steps=16)

    method = captum.IntegratedGradients(lambda *x: target.model(list(x)))
    expected = method.attribute(tensors, target=1, n_steps=16, method="gausslegendre")
    for one, other in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one.values, other.detach().cpu().numpy(), atol=1e-5)
