"""Shapley values of branches against closed forms, permutations and lost representations."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from class_score_helpers import build_fusion, make_fusion_target, make_noise

from ecglib.errors import EcgError
from ecglib.explain import (
    check_efficiency,
    compute_branch_contributions,
    compute_outputs,
    compute_scores,
    compute_shapley_values,
)
from ecglib.models import build_ensemble, set_branch_weights


def average_over_orders(n, compute_score):
    """Average what each of n players adds, over all orders in which they can come."""
    values = np.zeros(n)
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            values[player] += compute_score(before | {player}) - compute_score(before)
    return values / len(orders)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_shapley_values_are_the_average_over_all_orders(n):
    rng = np.random.default_rng(n)
    scores = {s: rng.normal(size=1) for s in itertools.product((False, True), repeat=n)}

    values = compute_shapley_values(scores)

    expected = average_over_orders(
        n, lambda players: scores[tuple(k in players for k in range(n))][0]
    )
    np.testing.assert_allclose(values[0], expected, atol=1e-12)


def test_branches_of_a_linear_fusion_add_what_they_differ_from_the_reference():
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((n, 1), name=name) for name, n in (("time", 6), ("frequency", 4))]
    features = []
    for x in inputs:
        scaled = keras.layers.Identity(name=f"{x.name}_scaling")(x)
        flat = keras.layers.Flatten()(scaled)
        features.append(keras.layers.Identity(name=f"{x.name}_features")(flat))
    p = keras.layers.Dense(2, "sigmoid", bias_initializer="ones", name="probabilities")(
        keras.layers.Concatenate()(features)
    )
    network = keras.Model(inputs, p)
    target = make_fusion_target(network)
    reference = {"time": make_noise(5, 6, 1, seed=8), "frequency": make_noise(5, 4, 1, seed=9)}

    found = compute_branch_contributions(target, reference)

    weights = network.get_layer("probabilities").get_weights()[0][:, 1]
    differences = [target.inputs[name][..., 0] - x[..., 0].mean(0) for name, x in reference.items()]
    expected = np.stack([differences[0] @ weights[:6], differences[1] @ weights[6:]], axis=1)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    of_reference = compute_scores(target.model, reference, 1)
    np.testing.assert_allclose(found.base, of_reference.mean(), atol=1e-5)
    assert found.replaced_by == "its features of 5 reference windows"


@pytest.mark.parametrize(
    ("fusion", "missing_branches"),
    [
        ("intermediate_gated", False),
        ("intermediate_film", True),
        ("late_average", True),
        ("late_stacking", False),
        ("early_concat", False),
        ("early_concat", True),
    ],
)
def test_a_branch_is_left_out_by_the_center_of_the_scaling_or_as_missing(fusion, missing_branches):
    network = build_fusion(fusion, missing_branches=missing_branches)
    target = make_fusion_target(network, n_windows=1)

    found = compute_branch_contributions(target)

    lost = np.nan if missing_branches else 0.3
    subsets = [frozenset(one) for k in range(4) for one in itertools.combinations(range(3), k)]
    inputs = {
        name: np.concatenate([x if k in one else np.full_like(x, lost) for one in subsets])
        for k, (name, x) in enumerate(target.inputs.items())
    }
    p = compute_outputs(network, inputs)[:, 1].astype(float)
    rounding = 3e-4 if fusion.startswith("late") else 0
    logits = np.log(p + rounding) - np.log(1 - p + rounding)
    scores = dict(zip(subsets, logits, strict=True))
    np.testing.assert_allclose(found.values[0], average_over_orders(3, scores.get), atol=2e-5)
    assert found.branches == tuple(target.inputs)
    assert check_efficiency(found).passed
    assert ("missing" in found.replaced_by) is missing_branches


def test_branches_on_one_representation_are_left_out_one_by_one():
    network = build_fusion("late_weighted", ("time", "time_2", "frequency"))
    set_branch_weights(network, [0.6, 0.0, 0.4])

    found = compute_branch_contributions(make_fusion_target(network))

    assert found.branches == ("time", "time_2", "frequency")
    np.testing.assert_allclose(found.values[:, 1], 0, atol=1e-6)
    assert (np.abs(found.values[:, [0, 2]]) > 1e-4).all()
    assert all(ranking[-1] == "time_2" for ranking in found.ranking)


def test_a_branch_that_is_missing_from_a_window_adds_nothing():
    network = build_fusion("intermediate_concat", missing_branches=True)
    target = make_fusion_target(network)
    target.inputs["frequency"][1] = np.nan

    found = compute_branch_contributions(target)

    assert found.values[1, 1] == 0
    assert np.abs(found.values[0, 1]) > 1e-4
    assert check_efficiency(found).passed


def test_a_score_that_depends_on_more_than_the_parts_is_inefficient():
    found = compute_branch_contributions(make_fusion_target(build_fusion("intermediate_gated")))
    moved = dataclasses.replace(found, score=found.score + 0.01)

    assert check_efficiency(found).passed
    assert not check_efficiency(moved).passed
    assert check_efficiency(moved).figure == pytest.approx(0.01, rel=1e-2)


def test_a_model_without_several_branches_is_refused():
    single = make_fusion_target(build_fusion("none", ("time",)))
    ensemble = make_fusion_target(
        build_ensemble([build_fusion("none", ("time",), seed=seed) for seed in (0, 1)])
    )
    fusion = make_fusion_target(build_fusion("late_average"))

    with pytest.raises(EcgError, match="has only the branch 'time'"):
        compute_branch_contributions(single)
    with pytest.raises(EcgError, match="has no branches that could be left out"):
        compute_branch_contributions(ensemble)
    with pytest.raises(EcgError, match="Compute the representations of the same windows"):
        compute_branch_contributions(fusion, {"time": make_noise(2, 64, 2)})
