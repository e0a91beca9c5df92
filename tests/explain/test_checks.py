"""The checks pass for a method that holds and fail for one that does not."""

import dataclasses

import keras
import numpy as np
import pytest
from class_score_helpers import make_noise, make_target

from ecglib.errors import EcgError
from ecglib.explain import (
    SanityCheck,
    attribute_by_integrated_gradients,
    check_deletion,
    check_insertion,
    occlude_leads,
    occlude_segments,
)


@pytest.fixture
def moment_target():
    """The logit is the sum of lead 1 from 0.4 to 0.6 s, minus 10; there the signal is 1 mV."""
    x = keras.Input((100, 3), name="signal")
    dense = keras.layers.Dense(1, "sigmoid")
    model = keras.Model(x, dense(keras.layers.Flatten()(x)))
    weights = np.zeros((100, 3), np.float32)
    weights[40:60, 1] = 1
    dense.set_weights([weights.reshape(300, 1), np.array([-10.0])])
    signal = 0.1 * make_noise(2, 100, 3)
    signal[:, 40:60, 1] += 1
    return make_target(model, {"signal": signal})


@pytest.mark.parametrize(("figure", "passed"), [(0.0, True), (0.2, True), (0.21, False)])
def test_a_check_passes_inside_its_range(figure, passed):
    check = SanityCheck(name="one", figure=figure, min_accepted=0.0, max_accepted=0.2)

    assert check.passed is passed
    assert not dataclasses.replace(check, figure=float("nan")).passed


def test_deletion_and_insertion_pass_for_what_the_model_reads(moment_target):
    found = attribute_by_integrated_gradients(moment_target, n_steps=2)["signal"]

    deletion, insertion = (
        check(moment_target, found) for check in (check_deletion, check_insertion)
    )

    assert deletion.passed
    assert insertion.passed
    # The 20 samples are 10 of 150 cells: the first of ten steps deletes all of them.
    assert deletion.curve[0] > 0.99
    assert deletion.curve[1] < 1e-3
    assert insertion.curve[1] > 0.99


def test_deletion_and_insertion_fail_for_the_opposite_order(moment_target):
    found = attribute_by_integrated_gradients(moment_target, n_steps=2)["signal"]
    opposite = dataclasses.replace(found, values=-found.values)

    deletion, insertion = (
        check(moment_target, opposite) for check in (check_deletion, check_insertion)
    )

    assert deletion.figure == 1
    assert insertion.figure == 1
    assert not deletion.passed
    assert not insertion.passed


def test_curves_begin_and_end_at_the_probabilities_of_window_and_baseline(moment_target):
    found = occlude_leads(moment_target)["signal"]

    check = check_deletion(moment_target, found)

    logits = moment_target.inputs["signal"][:, 40:60, 1].sum(axis=1) - 10
    assert check.curve[0] == pytest.approx(np.mean(1 / (1 + np.exp(-logits))), rel=1e-5)
    assert check.curve[-1] == pytest.approx(1 / (1 + np.exp(10)), rel=1e-4)
    np.testing.assert_allclose(check.random_curves[:, 0], check.curve[0])


def test_parts_of_an_axis_have_no_deletion_curve(moment_target):
    found = occlude_segments(moment_target)["signal"]

    with pytest.raises(EcgError, match="a value for each entry"):
        check_deletion(moment_target, found)
