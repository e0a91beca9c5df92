"""Weights of fusions against weights that are set, and where contributions disagree with them."""

import dataclasses

import keras
import numpy as np
import pytest
from class_score_helpers import build_fusion, make_fusion_target

from ecglib.errors import EcgError
from ecglib.explain import (
    compute_branch_contributions,
    compute_fusion_weights,
    describe_disagreements,
)
from ecglib.models import set_branch_weights, set_stacking_weights


def test_the_weight_of_a_gated_branch_is_its_mean_gate():
    network = build_fusion("intermediate_gated", ("time", "frequency"))
    for name, bias in (("time", 1.0), ("frequency", -2.0)):
        layer = network.get_layer(f"{name}_gate")
        kernel, before = layer.get_weights()
        layer.set_weights([np.zeros_like(kernel), np.full_like(before, bias)])

    found = compute_fusion_weights(make_fusion_target(network))

    expected = 1 / (1 + np.exp([-1.0, 2.0]))
    np.testing.assert_allclose(found.values, np.tile(expected, (3, 1)), rtol=1e-5)
    assert (found.branches, found.kind) == (("time", "frequency"), "mean gate")


@pytest.mark.parametrize("fusion", ["intermediate_attention", "intermediate_cross_attention"])
def test_attention_without_queries_gives_equal_weights_that_add_up_to_1(fusion):
    network = build_fusion(fusion)
    trained = compute_fusion_weights(make_fusion_target(network)).values
    for layer in network.layers:
        if isinstance(layer, keras.layers.MultiHeadAttention):
            query, *others = layer.get_weights()
            layer.set_weights([np.zeros_like(query), *others])
        if isinstance(layer, keras.layers.Softmax):
            scores = layer.input._keras_history.operation
            scores.set_weights([np.zeros_like(scores.get_weights()[0])])

    found = compute_fusion_weights(make_fusion_target(network))

    np.testing.assert_allclose(found.values, 1 / 3, atol=1e-6)
    np.testing.assert_allclose(trained.sum(axis=1), 1, atol=1e-5)
    assert np.ptp(trained, axis=1).min() > 1e-3


def test_weights_fitted_on_the_validation_split_are_those_that_were_set():
    weighted, stacking = (build_fusion(name) for name in ("late_weighted", "late_stacking"))
    set_branch_weights(weighted, [0.5, 0.2, 0.3])
    set_stacking_weights(stacking, np.arange(6.0).reshape(3, 2), np.zeros(2))

    found = [compute_fusion_weights(make_fusion_target(x)).values for x in (weighted, stacking)]

    np.testing.assert_allclose(found[0], np.tile([0.5, 0.2, 0.3], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(found[1], np.tile([1.0, 3.0, 5.0], (3, 1)))


@pytest.mark.parametrize("fusion", ["intermediate_concat", "late_average", "early_concat"])
def test_other_fusions_have_no_weights(fusion):
    assert compute_fusion_weights(make_fusion_target(build_fusion(fusion))) is None


def test_weights_disagree_where_another_branch_contributes_most():
    target = make_fusion_target(build_fusion("intermediate_gated"), n_windows=4)
    contributions = dataclasses.replace(
        compute_branch_contributions(target),
        values=np.array([[3.0, 1.0, 0.0], [1.0, -3.0, 0.0], [1.0, 2.0, 3.0], [0.1, 0.2, -0.3]]),
    )
    weights = dataclasses.replace(
        compute_fusion_weights(target),
        values=np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.5, 0.5, 0.5], [0.1, -0.2, -0.9]]),
    )

    found = describe_disagreements(contributions, weights)

    assert [bool(text) for text in found] == [False, True, False, False]
    assert found[1] == (
        "time has the max mean gate (0.9), but frequency contributes most (-3 logits)."
    )


def test_weights_of_other_windows_are_refused():
    target = make_fusion_target(build_fusion("intermediate_gated"))
    other = make_fusion_target(build_fusion("intermediate_gated"), n_windows=2)

    with pytest.raises(EcgError, match="for the same class score"):
        describe_disagreements(compute_branch_contributions(target), compute_fusion_weights(other))
