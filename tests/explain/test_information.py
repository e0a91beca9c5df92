"""Mutual information of maps that know the signal, and of maps that do not."""

import dataclasses

import keras
import numpy as np
import pytest
from class_score_helpers import make_noise, make_target
from scipy.signal import lfilter
from scipy.stats import binom

from ecglib.errors import EcgError
from ecglib.explain import check_mutual_information
from ecglib.explain.attribution import describe


def make_autoregressive(*shape, coefficient=0.9, seed=0):
    """Make independent series, each value 0.9 times the one before plus noise, over axis 1."""
    noise = np.random.default_rng(seed).standard_normal((shape[0], shape[1] + 100, *shape[2:]))
    return lfilter([1], [1, -coefficient], noise, axis=1)[:, 100:].astype("float32")


def make_signal_target(signal, names=("time", "lead")):
    x = keras.Input(signal.shape[1:], name="signal")
    model = keras.Model(x, keras.layers.Dense(1, "sigmoid")(keras.layers.Flatten()(x)))
    return make_target(model, {"signal": signal}, names=names)


def describe_map(target, values, unit="logit"):
    return describe(target, {"signal": values}, "map", unit)["signal"]


def test_a_map_of_the_signal_has_information():
    target = make_signal_target(make_autoregressive(2, 200, 2))

    check = check_mutual_information(target, describe_map(target, target.inputs["signal"] ** 2))

    assert check.passed
    assert check.information > check.shifted.max() + 0.5


def test_an_independent_map_has_none_however_smooth_it_is():
    target = make_signal_target(make_autoregressive(2, 200, 2, coefficient=0.98))
    values = make_autoregressive(2, 200, 2, coefficient=0.98, seed=1)

    check = check_mutual_information(target, describe_map(target, values))

    assert not check.passed
    # The estimate is far from 0, as is the null: the value alone would mislead.
    assert check.information > 0.2
    assert check.shifted.mean() > 0.2


def test_p_values_are_uniform_for_independent_series():
    n = 120
    signals, maps = (make_autoregressive(n, 100, 1, seed=seed) for seed in (0, 1))

    one = make_signal_target(signals[:1])
    figures = np.empty(n)
    for row in range(n):
        target = dataclasses.replace(one, inputs={"signal": signals[row : row + 1]})
        found = describe_map(target, maps[row : row + 1])
        figures[row] = check_mutual_information(target, found, seed=row).figure

    for p in (0.1, 0.25, 0.5, 0.75):
        low, high = binom.interval(0.999, n, p)
        assert low <= np.sum(figures <= p + 1e-9) <= high


def test_a_map_without_leads_holds_for_each_lead():
    signal = np.repeat(make_autoregressive(1, 200, 1), 2, axis=2)
    target = make_signal_target(signal)
    values = np.abs(signal[:, :, 0])
    time = target.scores.inputs["signal"].axes[:1]
    without_leads = describe(target, {"signal": values}, "Grad-CAM", "", time)["signal"]

    check = check_mutual_information(target, without_leads)

    full = describe_map(target, np.repeat(values[..., None], 2, axis=2), "")
    assert check.information == check_mutual_information(target, full).information
    assert check.passed


def test_a_constant_map_fails():
    target = make_signal_target(make_autoregressive(1, 100, 1))

    assert not check_mutual_information(target, describe_map(target, np.ones((1, 100, 1)))).passed


def test_an_input_without_time_is_refused():
    target = make_signal_target(make_noise(1, 20, 2), names=("frequency", "lead"))

    with pytest.raises(EcgError, match="nothing that could be shifted in time"):
        check_mutual_information(target, describe_map(target, target.inputs["signal"]))
