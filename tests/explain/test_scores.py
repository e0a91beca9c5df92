"""The logits that are explained, and the description of a model's inputs."""

import dataclasses

import keras
import numpy as np
import pytest
from class_score_helpers import describe_input, make_noise, make_target

from ecglib.errors import EcgError
from ecglib.explain import (
    ClassScore,
    ScoreModel,
    build_representation_scores,
    build_score_model,
    build_signal_scores,
    compute_outputs,
    compute_scores,
)
from ecglib.explain.examples import make_contract, make_network
from ecglib.models import ModelSpec, build_model
from ecglib.models.end_to_end import build_processing


@pytest.mark.parametrize(
    ("activation", "kind"), [("sigmoid", "multi_label"), ("softmax", "multi_class")]
)
def test_the_score_is_the_logit_of_the_probability(activation, kind):
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, activation)(x))
    inputs = make_noise(5, 6)

    scores = keras.ops.convert_to_numpy(build_score_model(model, kind)(inputs))

    p = keras.ops.convert_to_numpy(model(inputs)).astype(np.float64)
    np.testing.assert_allclose(scores, np.log(p / (1 - p)), atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "kind"), [("sigmoid", "multi_label"), ("softmax", "multi_class")]
)
def test_the_score_of_a_probability_that_rounds_to_1_is_exact(activation, kind):
    x = keras.Input((2,), name="x")
    dense = keras.layers.Dense(2, activation, kernel_initializer="identity")
    model = keras.Model(x, dense(x))

    scores = build_score_model(model, kind)

    found = compute_scores(scores, {"x": np.array([[80.0, 20.0]])}, 0)
    assert found[0] == (80.0 if kind == "multi_label" else 60.0)


def test_the_score_of_joined_probabilities_is_finite():
    x = keras.Input((2,), name="x")
    p = keras.layers.Activation("sigmoid")(x)
    scores = build_score_model(keras.Model(x, p), "multi_label")

    found = compute_scores(scores, {"x": np.array([[0.0, 0.0], [200.0, 0.0]])}, 0)

    np.testing.assert_allclose(found[0], 0, atol=1e-6)
    np.testing.assert_allclose(found[1], np.log(1 / 3e-4), atol=1e-2)


def test_signal_and_representations_give_the_same_score():
    contract = make_contract(["time", "frequency", "spectrogram"])
    network = make_network(contract)
    signal = 0.2 * make_noise(3, 200, 2)
    processing = build_processing(contract.signal, contract.processing)
    representations = compute_outputs(processing, {"signal": signal})

    of_signal = compute_scores(build_signal_scores(contract, network).model, {"signal": signal}, 1)
    described = build_representation_scores(contract, network)

    of_representations = compute_scores(described.model, representations, 1)
    np.testing.assert_allclose(of_signal, of_representations, atol=1e-5)
    assert list(described.inputs) == ["time", "frequency", "spectrogram"]
    assert [axis.unit for axis in described.inputs["spectrogram"].axes] == ["s", "Hz", ""]
    assert described.inputs["frequency"].unit == "dB re 1 mV"
    np.testing.assert_allclose(described.inputs["spectrogram"].baseline, -60, atol=1e-3)


def test_crops_are_explained_on_the_whole_window():
    contract = make_contract(["time"])
    network = make_network(contract)
    signal = dataclasses.replace(contract.signal, n_samples=300)
    processing = dataclasses.replace(contract.processing, crop_s=2.0, crop_hop_s=1.0)
    cropped = dataclasses.replace(contract, signal=signal, processing=processing)
    windows = 0.2 * make_noise(2, 300, 2)

    found = compute_scores(build_signal_scores(cropped, network).model, {"signal": windows}, 0)

    whole = build_signal_scores(contract, network).model
    crops = [compute_scores(whole, {"signal": windows[:, k : k + 200]}, 0) for k in (0, 100)]
    p = np.mean(1 / (1 + np.exp(-np.array(crops))), axis=0)
    expected = np.log(p + 3e-4) - np.log(1 - p + 3e-4)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_tabular_values_have_the_mean_of_training_as_baseline():
    contract = make_contract(["frequency", "tabular"])
    options = {"tabular": {"columns": ["age", "rr_sd_s"]}}
    processing = dataclasses.replace(contract.processing, representation_options=options)
    contract = dataclasses.replace(contract, processing=processing)
    shapes = build_processing(contract.signal, processing).output
    spec = ModelSpec(
        branches={"frequency": "mlp", "tabular": "mlp"},
        fusion="intermediate_concat",
        n_classes=2,
        kind="multi_label",
        feature_dim=4,
    )
    network = build_model({name: x.shape[1:] for name, x in shapes.items()}, spec)
    network.get_layer("tabular_scaling").adapt(np.array([[60.0, 0.1], [80.0, 0.3]]))

    scores = build_signal_scores(contract, network)

    assert scores.inputs["tabular"].axes[0].values.tolist() == ["age", "rr_sd_s"]
    np.testing.assert_allclose(scores.inputs["tabular"].baseline, [70, 0.2], rtol=1e-5)


def test_what_does_not_fit_the_model_is_refused(linear_model):
    inputs = {"first": make_noise(2, 20, 3), "second": make_noise(2, 10, 3)}
    target = make_target(linear_model, inputs)

    with pytest.raises(EcgError, match=r"expected one of \['A', 'B'\]"):
        dataclasses.replace(target, class_name="C")
    with pytest.raises(EcgError, match="a name for each window"):
        dataclasses.replace(target, windows=("only one",))
    with pytest.raises(EcgError, match="Give each input"):
        ClassScore(
            scores=target.scores,
            inputs={"first": inputs["first"]},
            class_name="A",
            windows=target.windows,
        )
    with pytest.raises(EcgError, match="Describe each"):
        ScoreModel(
            model=target.model, classes=("A", "B"), inputs={"first": describe_input((20, 3))}
        )
