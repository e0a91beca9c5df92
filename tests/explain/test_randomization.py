"""Randomized weights and labels change what depends on the model, and nothing else."""

import dataclasses

import keras
import numpy as np
import pytest
from class_score_helpers import make_noise, make_target
from scipy.stats import pearsonr, spearmanr

from ecglib.errors import EcgError
from ecglib.explain import (
    attribute_by_gradient,
    attribute_by_integrated_gradients,
    check_label_randomization,
    check_seed_agreement,
    check_weight_randomization,
    compute_similarity,
)
from ecglib.explain.attribution import describe

N_SAMPLES, N_LEADS = 60, 2


def attribute_by_slope(target):
    """Attribute by the size of the slope, as an edge detector, which knows nothing of the model."""
    values = {name: np.abs(np.gradient(x, axis=1)) for name, x in target.inputs.items()}
    return describe(target, values, "slope", "mV")


def attribute_by_value(target):
    """Attribute by the signal itself, as if it were a contribution."""
    return describe(target, target.inputs, "value", "logit")


def add_squares(values):
    """Add up four samples, 40 ms, of each lead."""
    return values.reshape(N_SAMPLES // 4, 4, N_LEADS).sum(axis=1).ravel()


def train_target(seed, *, is_permuted=False):
    """Train a small network to find where in lead 0 the signal is raised, or permuted labels."""
    signal = make_noise(300, N_SAMPLES, N_LEADS)
    labels = (np.arange(300) % 2).astype("float32")
    signal[labels == 1, 20:30, 0] += 1
    if is_permuted:
        labels = np.random.default_rng(seed).permutation(labels)
    keras.utils.set_random_seed(seed)
    x = keras.Input((N_SAMPLES, N_LEADS), name="signal")
    hidden = keras.layers.Dense(16, "tanh")(keras.layers.Flatten()(x))
    model = keras.Model(x, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    model.fit(signal, labels, epochs=8, batch_size=16, verbose=0)
    return make_target(model, {"signal": signal[1:9:2]})


@pytest.fixture(scope="module")
def trained():
    return train_target(0)


@pytest.fixture(scope="module")
def trained_on_permuted_labels():
    return [train_target(seed, is_permuted=True).scores for seed in (1, 2)]


@pytest.fixture
def network_target():
    keras.utils.set_random_seed(2)
    x = keras.Input((100, 3), name="signal")
    y = keras.layers.Flatten()(x)
    for _ in range(3):
        y = keras.layers.Dense(32, "tanh")(y)
    model = keras.Model(x, keras.layers.Dense(2, "sigmoid")(y))
    return make_target(model, {"signal": make_noise(4, 100, 3)})


def test_the_gradient_depends_on_the_weights(network_target):
    check = check_weight_randomization(network_target, attribute_by_gradient)

    assert check.passed
    assert check.figure < 0.2
    assert len(check.similarity) == 4


def test_the_slope_of_the_signal_does_not_depend_on_the_weights(network_target):
    check = check_weight_randomization(network_target, attribute_by_slope)

    assert not check.passed
    np.testing.assert_allclose(check.similarity, 1)
    assert check.size_similarity == pytest.approx(1)


def test_weights_are_restored_also_after_an_error(network_target):
    before = [weight.copy() for weight in network_target.model.get_weights()]
    n_calls = iter(range(10))

    def fail_on_the_third_call(target):
        if next(n_calls) == 2:
            raise RuntimeError("stopped")
        return attribute_by_gradient(target)

    with pytest.raises(RuntimeError, match="stopped"):
        check_weight_randomization(network_target, fail_on_the_third_call)

    after = network_target.model.get_weights()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_contributions_keep_their_size_and_not_their_sign(network_target):
    def attribute(target):
        return attribute_by_integrated_gradients(target, n_steps=8)

    check = check_weight_randomization(network_target, attribute)

    assert check.passed
    assert check.size_similarity > 0.3
    assert not check_weight_randomization(network_target, attribute_by_value).passed


def test_similarity_is_the_mean_rank_correlation_of_what_a_method_ranks_by(network_target):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4, 100, 3))

    def correlate(transform):
        pairs = zip(transform(one), transform(other), strict=True)
        return np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs])

    signed, unsigned = (
        compute_similarity(
            describe(network_target, {"signal": one}, "one", unit),
            describe(network_target, {"signal": other}, "other", unit),
        )["signal"]
        for unit in ("logit", "logit per mV")
    )

    assert signed == pytest.approx(correlate(lambda x: x), abs=1e-12)
    assert unsigned == pytest.approx(correlate(np.abs), abs=1e-12)


def test_the_gradient_depends_on_the_labels(trained, trained_on_permuted_labels):
    check = check_label_randomization(trained, attribute_by_gradient, trained_on_permuted_labels)

    assert check.passed
    assert check.name == "label randomization"


def test_the_slope_of_the_signal_does_not_depend_on_the_labels(trained, trained_on_permuted_labels):
    check = check_label_randomization(trained, attribute_by_slope, trained_on_permuted_labels)

    assert not check.passed
    assert check.figure == pytest.approx(1)


def test_seeds_agree_on_labels_that_can_be_learned(trained):
    others = [train_target(seed).scores for seed in (3, 4)]

    check = check_seed_agreement(trained, attribute_by_integrated_gradients, others)

    original, *found = (
        attribute_by_integrated_gradients(dataclasses.replace(trained, scores=scores))["signal"]
        for scores in (trained.scores, *others)
    )
    expected = [
        np.mean(
            [
                pearsonr(add_squares(a), add_squares(b)).statistic
                for a, b in zip(original.values, one.values, strict=True)
            ]
        )
        for one in found
    ]
    assert check.figure == pytest.approx(np.mean(expected), abs=1e-6)
    assert check.min_similarity == pytest.approx(min(expected), abs=1e-6)
    assert check.max_similarity == pytest.approx(max(expected), abs=1e-6)
    assert check.passed


def test_models_of_permuted_labels_do_not_agree(trained, trained_on_permuted_labels):
    assert not check_seed_agreement(
        trained, attribute_by_integrated_gradients, trained_on_permuted_labels
    ).passed


def test_agreement_needs_another_model(trained):
    with pytest.raises(EcgError, match="no model with another seed"):
        check_seed_agreement(trained, attribute_by_gradient, [])


def test_other_inputs_are_not_compared(trained, network_target):
    with pytest.raises(EcgError, match="same inputs and windows"):
        compute_similarity(attribute_by_gradient(trained), attribute_by_gradient(network_target))
