import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import EcgError
from ecglib.evaluation.calibration import (
    compute_calibration_error,
    compute_calibration_floor,
    compute_logits,
    fit_calibration,
)
from ecglib.evaluation.metrics import compute_log_loss


def simulate_multi_label(n=4000, scale=(0.4, 2.0), bias=(0.5, -1.0), seed=0):
    """Log-odds that are wrong by a known scale and bias, with labels drawn from the true ones."""
    random = np.random.default_rng(seed)
    z = random.normal(-0.5, 2.0, (n, len(scale)))
    y = random.random(z.shape) < expit(z * scale + bias)
    return y, expit(z).astype(np.float32)


def test_the_known_scale_and_bias_are_found():
    y, p = simulate_multi_label(40_000)
    calibrate = fit_calibration(y, p, "multi_label")
    assert calibrate.scale == pytest.approx((0.4, 2.0), rel=0.06)
    assert calibrate.bias == pytest.approx((0.5, -1.0), abs=0.08)


def test_it_is_the_logistic_regression_on_the_log_odds():
    """Platt's smoothed targets hardly matter with thousands of windows of each outcome."""
    y, p = simulate_multi_label(20_000)
    calibrate = fit_calibration(y, p, "multi_label")
    for k in range(2):
        peer = LogisticRegression(C=np.inf).fit(compute_logits(p, "multi_label")[:, [k]], y[:, k])
        expected = peer.predict_proba(compute_logits(p, "multi_label")[:, [k]])[:, 1]
        assert np.abs(calibrate(p)[:, k] - expected).max() < 1e-3


def test_the_known_temperature_is_found():
    random = np.random.default_rng(0)
    z = random.normal(0, 3, (20_000, 4))
    drawn = (softmax(0.5 * z, axis=1).cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)
    y = np.eye(4, dtype=bool)[drawn]
    calibrate = fit_calibration(y, softmax(z, axis=1), "multi_class")
    assert calibrate.scale == pytest.approx((0.5,) * 4, rel=0.04)
    assert calibrate.bias == (0.0,) * 4
    assert np.allclose(
        calibrate(softmax(z, axis=1)), softmax(calibrate.scale[0] * z, axis=1), atol=1e-3
    )


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_calibration_reduces_log_loss_and_calibration_error(kind):
    random = np.random.default_rng(1)
    if kind == "multi_label":
        y, p = simulate_multi_label()
        other_y, other_p = simulate_multi_label(seed=2)
    else:
        z = random.normal(0, 3, (6000, 3))
        classes = (softmax(z / 3, axis=1).cumsum(1) < random.random((6000, 1))).sum(1)
        y, p = np.eye(3)[classes], softmax(z, axis=1)
        (y, other_y), (p, other_p) = np.split(y, 2), np.split(p, 2)
    calibrate = fit_calibration(y, p, kind)
    assert (
        compute_log_loss(other_y, calibrate(other_p), kind)
        < compute_log_loss(other_y, other_p, kind) - 0.02
    )
    assert (
        compute_calibration_error(other_y, calibrate(other_p))
        < compute_calibration_error(other_y, other_p) / 2
    )


def test_the_order_within_a_class_is_preserved():
    y, p = simulate_multi_label(500)
    calibrate = fit_calibration(y, p, "multi_label")
    for k in range(2):
        before, after = (roc_auc_score(y[:, k], x[:, k]) for x in (p, calibrate(p)))
        assert after == pytest.approx(before, abs=1e-6)


def test_a_perfectly_separated_or_absent_class_becomes_neither_certain_nor_infinite():
    y = np.zeros((50, 2), bool)
    y[:2, 0] = True
    p = np.where(y, 0.9, 0.1)
    calibrate = fit_calibration(y, p, "multi_label")
    calibrated = calibrate(p)
    # Platt's targets: 3/4 for two positive windows, 1/50 for 48 negative ones.
    assert calibrated[:2, 0] == pytest.approx(3 / 4, abs=0.01)
    assert calibrated[2:, 0] == pytest.approx(1 / 50, abs=0.01)
    assert 0 < calibrated[:, 1].max() < 0.05


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_rounding_errors_of_the_model_are_not_amplified(kind):
    """A file read back must give the run's probabilities to 1e-5, also near 0 and 1."""
    p = np.concatenate([np.geomspace(1e-9, 0.5, 2000), 1 - np.geomspace(1e-9, 0.5, 2000)])
    p = np.float32(p)
    p = np.stack([p, 1 - p], axis=1)
    y = np.eye(2, dtype=bool)[(p[:, 0] < 0.5).astype(int)]
    y[::3] = y[::3, ::-1]  # an overconfident model
    calibrate = fit_calibration(y, p, kind)
    assert calibrate.scale[0] < 0.3
    other = np.clip(np.nextafter(p, np.float32(1)), 0, 1)
    assert np.abs(calibrate(other) - calibrate(p)).max() < 1e-5


def test_scores_agree_with_scikit_learn_and_with_a_case_by_hand():
    y, p = simulate_multi_label(300)
    expected = np.mean([sklearn_log_loss(y[:, k], p[:, k]) for k in range(2)])
    assert compute_log_loss(y, p, "multi_label") == pytest.approx(expected, rel=1e-5)
    one_hot, q = np.eye(3)[[0, 1, 2, 1]], softmax(np.arange(12.0).reshape(4, 3) % 5, axis=1)
    expected = sklearn_log_loss(one_hot.argmax(1), q)
    assert compute_log_loss(one_hot, q, "multi_class") == pytest.approx(expected, rel=1e-6)
    # Two windows: bins of one window each, off by 0.2 and 0.4.
    assert compute_calibration_error([[0], [1]], [[0.2], [0.6]]) == pytest.approx(0.3)


def test_tied_probabilities_give_one_calibration_error_whatever_the_order_of_the_rows():
    """Half of the windows are positive, sorted by label: bins by row would be off by a half."""
    y = np.repeat([[0], [1]], 30, axis=0)
    p = np.full((60, 1), 0.5)
    assert compute_calibration_error(y, p) == pytest.approx(0, abs=1e-12)
    random = np.random.default_rng(0)
    y, p = simulate_multi_label(500)
    p = p.round(1)
    errors = []
    for _ in range(20):
        order = random.permutation(500)
        errors.append(compute_calibration_error(y[order], p[order]))
    assert np.ptp(errors) < 1e-12


def test_without_ties_the_bins_have_equal_counts():
    y, p = simulate_multi_label(15 * 20)
    expected = 0.0
    for k in range(2):
        order = np.argsort(p[:, k])
        for rows in np.split(order, 15):
            expected += abs(p[rows, k].mean(dtype=float) - y[rows, k].mean()) / 15 / 2
    assert compute_calibration_error(y, p) == pytest.approx(expected, rel=1e-6)


def test_the_calibration_floor_is_the_mean_over_all_possible_labels():
    """Two classes of eight windows, with ties: 256 label vectors each, weighed by brute force."""
    p = np.array([[0.1, 0.9, 0.5, 0.5, 0.5, 0.01, 0.3, 0.3], [0.2, 0, 1, 0.7, 0.7, 0.6, 0.4, 0.1]])
    labels = np.array(list(itertools.product([0, 1], repeat=8)))
    expected = 0.0
    for q in p:
        weight = np.prod(np.where(labels == 1, q, 1 - q), axis=1)
        errors = [compute_calibration_error(y[:, None], q[:, None]) for y in labels]
        expected += weight @ errors / 2
    assert compute_calibration_floor(p.T) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("q", [0.003, 0.2, 0.5, 0.97])
@pytest.mark.parametrize("n", [40, 700, 30_000])
def test_the_calibration_floor_of_one_probability_is_the_deviation_of_the_binomial(n, q):
    k = np.arange(n + 1)
    expected = binom.pmf(k, n, q) @ np.abs(k - n * q) / n
    assert compute_calibration_floor(np.full((n, 1), q)) == pytest.approx(expected, rel=2e-3)


def test_a_calibrated_model_has_the_calibration_floor_on_average():
    random = np.random.default_rng(0)
    p = np.stack([random.beta(0.3, 5, 2000), random.beta(2, 2, 2000)], axis=1)
    errors = [compute_calibration_error(random.random(p.shape) < p, p) for _ in range(400)]
    standard_error = np.std(errors) / 20
    assert abs(compute_calibration_floor(p) - np.mean(errors)) < 3 * standard_error
    assert standard_error < 0.02 * np.mean(errors)


def test_invalid_arrays_are_refused():
    with pytest.raises(EcgError, match="Unknown task kind"):
        fit_calibration([[1]], [[0.5]], "regression")
    with pytest.raises(EcgError, match="exactly one class"):
        fit_calibration([[1, 1]], [[0.5, 0.5]], "multi_class")
