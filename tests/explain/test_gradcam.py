"""Grad-CAM against a computation by hand."""

import keras
import numpy as np
import pytest
from class_score_helpers import describe_input, make_noise

from ecglib.errors import EcgError
from ecglib.explain import ClassScore, ScoreModel, build_score_model, compute_grad_cam
from ecglib.models import ModelSpec, build_model


def make_branch_target(network, shape, names, representation):
    values = make_noise(2, *shape)
    return ClassScore(
        scores=ScoreModel(
            model=build_score_model(network, "multi_label"),
            classes=("A", "B"),
            inputs={representation: describe_input(shape, names)},
        ),
        inputs={representation: values},
        class_name="B",
        windows=("first", "second"),
    )


def build_one_convolution(shape, representation, convolve, pool):
    """Build a branch of one convolution and a mean over its places."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape, name=representation)
    x = keras.layers.Identity(name=f"{representation}_scaled")(inputs)
    x = keras.layers.Activation("relu")(convolve(x))
    x = keras.layers.Identity(name=f"{representation}_features")(pool(x))
    p = keras.layers.Dense(2, "sigmoid", name="probabilities")(x)
    return keras.Model(inputs, p)


def test_grad_cam_of_one_convolution_is_the_class_activation_map():
    convolve = keras.layers.Conv1D(4, 5, padding="same", name="convolution")
    pool = keras.layers.GlobalAveragePooling1D()
    network = build_one_convolution((40, 3), "time", convolve, pool)
    target = make_branch_target(network, (40, 3), ("time", "lead"), "time")

    found = compute_grad_cam(target, "time")

    again = compute_grad_cam(target, "time").values
    np.testing.assert_array_equal(found.values, again)
    kernel, bias = convolve.get_weights()
    padded = np.pad(target.inputs["time"], ((0, 0), (2, 2), (0, 0)))
    sums = [padded[:, k : k + 40] @ kernel[k] for k in range(5)]
    activation = np.maximum(np.sum(sums, axis=0) + bias, 0)
    weights = network.get_layer("probabilities").get_weights()[0][:, 1] / 40
    expected = np.maximum(activation @ weights, 0)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert [axis.name for axis in found.axes] == ["time"]
    assert (found.method, found.unit, found.input_name) == ("Grad-CAM", "", "time")


def test_grad_cam_of_two_axes_is_the_class_activation_map():
    convolve = keras.layers.Conv2D(4, 1, name="convolution")
    pool = keras.layers.GlobalAveragePooling2D()
    network = build_one_convolution((8, 6, 2), "spectrogram", convolve, pool)
    names = ("time", "frequency", "lead")
    target = make_branch_target(network, (8, 6, 2), names, "spectrogram")

    found = compute_grad_cam(target, "spectrogram")

    kernel, bias = convolve.get_weights()
    activation = np.maximum(target.inputs["spectrogram"] @ kernel[0, 0] + bias, 0)
    weights = network.get_layer("probabilities").get_weights()[0][:, 1] / 48
    expected = np.maximum(activation @ weights, 0)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert [axis.name for axis in found.axes] == ["time", "frequency"]


def test_the_map_lies_where_the_evidence_is_after_resampling():
    convolve = keras.layers.Conv1D(
        1, 4, strides=4, use_bias=False, kernel_initializer="ones", name="convolution"
    )
    pool = keras.layers.GlobalAveragePooling1D()
    network = build_one_convolution((40, 1), "time", convolve, pool)
    network.get_layer("probabilities").set_weights([np.ones((1, 2)), np.zeros(2)])
    target = make_branch_target(network, (40, 1), ("time", "lead"), "time")
    target.inputs["time"][...] = 0
    target.inputs["time"][:, 20:24] = 1  # the sixth place of the convolution

    found = compute_grad_cam(target, "time").values[0]

    # Linear between the centers of the places, 17.5, 21.5 and 25.5.
    expected = np.interp(np.arange(40), [17.5, 21.5, 25.5], [0, 4 / 10, 0])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("representation", "encoder", "shape", "n_axes"),
    [
        ("time", "cnn", (200, 2), 1),
        ("time", "inception_time", (200, 2), 1),
        ("spectrogram", "resnet2d", (16, 16, 2), 2),
    ],
)
def test_convolutional_encoders_have_a_map(representation, encoder, shape, n_axes):
    spec = ModelSpec(
        branches={representation: encoder},
        fusion="none",
        n_classes=2,
        kind="multi_label",
        width=4,
        feature_dim=8,
    )
    network = build_model({representation: shape}, spec)
    axes = ("time", "lead") if n_axes == 1 else ("time", "frequency", "lead")
    target = make_branch_target(network, shape, axes, representation)

    found = compute_grad_cam(target, representation)

    assert found.values.shape == (2, *shape[:n_axes])
    assert (found.values >= 0).all()


def test_a_branch_without_convolution_is_refused():
    spec = ModelSpec(branches={"frequency": "mlp"}, fusion="none", n_classes=2, kind="multi_label")
    network = build_model({"frequency": (40, 2)}, spec)
    target = make_branch_target(network, (40, 2), ("frequency", "lead"), "frequency")

    with pytest.raises(EcgError, match="has no convolution"):
        compute_grad_cam(target, "frequency")
    with pytest.raises(EcgError, match=r"no branch 'time' with an encoder, only \['frequency'\]"):
        compute_grad_cam(target, "time")
