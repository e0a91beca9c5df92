import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import f1_score, log_loss

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import EcgError
from ecglib.evaluation.metrics import decide
from ecglib.evaluation.thresholds import fit_thresholds, fit_weights


@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_threshold_reaches_the_largest_f1_of_all_cuts(decimals):
    rng = np.random.default_rng(decimals)
    y = (rng.random((200, 3)) < [0.05, 0.3, 0.9]).astype("float32")
    p = np.clip(0.3 * y + rng.normal(0.4, 0.2, y.shape), 0, 1).round(decimals).astype("float32")
    decided = decide(p, fit_thresholds(y, p, "multi_label"), "multi_label")
    for k in range(3):
        best = max(f1_score(y[:, k], p[:, k] >= cut) for cut in np.unique(p[:, k]))
        assert f1_score(y[:, k], decided[:, k]) == pytest.approx(best)


def test_threshold_lies_halfway_between_the_scores_it_separates():
    y = np.array([[1], [1], [0], [0]])
    p = np.array([[0.9], [0.6], [0.2], [0.1]])
    np.testing.assert_allclose(fit_thresholds(y, p, "multi_label"), [0.4])


def test_threshold_below_the_lowest_score_is_half_of_it():
    y = np.array([[1], [1]])
    np.testing.assert_allclose(fit_thresholds(y, [[0.9], [0.2]], "multi_label"), [0.1])


def test_largest_f1_by_hand():
    # F1 of one, two, three accepted: 2/3, 2/4, 4/5.
    y, p = np.array([[1], [0], [1]]), np.array([[0.9], [0.6], [0.4]])
    np.testing.assert_allclose(fit_thresholds(y, p, "multi_label"), [0.2])


def test_of_cuts_with_equal_f1_the_highest_wins():
    # Accepting one, two hits of two: 2/3; accepting all four with two hits: 4/6.
    y, p = np.array([[1], [0], [0], [1]]), np.array([[0.9], [0.7], [0.5], [0.3]])
    np.testing.assert_allclose(fit_thresholds(y, p, "multi_label"), [0.8])


@pytest.mark.parametrize("low", [0.3, np.nextafter(0.3, 1)], ids=["rounds up", "rounds down"])
def test_threshold_between_adjacent_floats_still_separates_them(low):
    high = np.nextafter(low, 1)
    y, p = np.array([[1], [0]]), np.array([[high], [low]])
    thresholds = fit_thresholds(y, p, "multi_label")
    np.testing.assert_array_equal(decide(p, thresholds, "multi_label"), [[True], [False]])


def test_class_without_positives_gets_one_half_and_is_reported():
    y, p = np.array([[1, 0], [0, 0]]), np.array([[0.8, 0.1], [0.2, 0.3]])
    with pytest.warns(UserWarning, match="threshold for HYP"):
        thresholds = fit_thresholds(y, p, "multi_label", ["NORM", "HYP"])
    np.testing.assert_allclose(thresholds, [0.5, 0.5])


def test_multi_class_keeps_the_plain_argmax():
    y = np.eye(3)
    np.testing.assert_array_equal(fit_thresholds(y, y, "multi_class"), np.ones(3))


def simulate_branches(kind, n_windows=400, n_classes=3, seed=0):
    """Labels and three branches: a good one, a fair one and one that is noise."""
    rng = np.random.default_rng(seed)
    if kind == "multi_class":
        y = np.eye(n_classes)[rng.integers(0, n_classes, n_windows)]
    else:
        y = (rng.random((n_windows, n_classes)) < 0.4).astype(float)
    signal = np.array([2.0, 1.2, 0.0])[None, :, None] * (2 * y[:, None] - 1)
    logits = signal + rng.normal(0, 1.5, (n_windows, 3, n_classes))
    return y, softmax(logits, axis=2) if kind == "multi_class" else expit(logits)


def compute_loss(y, branch_p, weights, kind):
    fused = np.einsum("b,wbc->wc", weights, branch_p)
    if kind == "multi_class":
        return log_loss(y, fused)
    return np.mean([log_loss(y[:, k], fused[:, k]) for k in range(y.shape[1])])


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_weights_beat_every_point_of_a_grid(kind):
    y, branch_p = simulate_branches(kind)
    weights = fit_weights(y, branch_p, kind)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    steps = np.arange(21) / 20
    grid = [(a, b, 1 - a - b) for a, b in itertools.product(steps, steps) if a + b <= 1 + 1e-9]
    losses = [compute_loss(y, branch_p, np.clip(w, 0, 1), kind) for w in grid]
    assert compute_loss(y, branch_p, weights, kind) <= min(losses) + 1e-7
    np.testing.assert_allclose(weights, grid[int(np.argmin(losses))], atol=0.06)


def test_a_perfect_branch_takes_all_the_weight():
    y, branch_p = simulate_branches("multi_label")
    branch_p[:, 1] = y
    np.testing.assert_allclose(fit_weights(y, branch_p, "multi_label"), [0, 1, 0], atol=1e-6)


def test_equal_branches_and_a_single_branch_give_valid_weights():
    y, branch_p = simulate_branches("multi_class")
    same = np.repeat(branch_p[:, :1], 3, axis=1)
    assert fit_weights(y, same, "multi_class").sum() == pytest.approx(1)
    np.testing.assert_allclose(fit_weights(y, branch_p[:, :1], "multi_class"), [1])


def test_invalid_branch_probabilities_are_refused():
    y, branch_p = simulate_branches("multi_class")
    with pytest.raises(EcgError, match="n_branches"):
        fit_weights(y, branch_p[:, 0], "multi_class")
    with pytest.raises(EcgError, match="same windows"):
        fit_weights(y[:-1], branch_p, "multi_class")
    branch_p[3, 1, 0] = np.nan
    with pytest.raises(EcgError, match="row 3"):
        fit_weights(y, branch_p, "multi_class")
