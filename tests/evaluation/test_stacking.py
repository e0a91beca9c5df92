import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import EcgError
from ecglib.evaluation.stacking import MIN_PROBABILITY, fit_stacking
from ecglib.models.fusion.layers import Stacking


def simulate_branches(kind, n_windows=400, n_classes=3, n_branches=3, seed=0):
    """Labels and branches of falling quality; the last is noise."""
    rng = np.random.default_rng(seed)
    if kind == "multi_class":
        y = np.eye(n_classes)[rng.integers(0, n_classes, n_windows)]
    else:
        y = (rng.random((n_windows, n_classes)) < 0.4).astype(float)
    signal = np.linspace(1.5, 0, n_branches)[None, :, None] * (2 * y[:, None] - 1)
    logits = signal + rng.normal(0, 1.5, (n_windows, n_branches, n_classes))
    return y, softmax(logits, axis=2) if kind == "multi_class" else expit(logits)


def fuse(branch_p, weights, bias, kind):
    x = logit(branch_p) if kind == "multi_label" else np.log(branch_p)
    x = (x * weights).sum(axis=1) + bias
    return expit(x) if kind == "multi_label" else softmax(x, axis=1)


def test_with_hardly_any_regularization_it_is_the_regression_of_scikit_learn():
    y, branch_p = simulate_branches("multi_label")
    weights, bias = fit_stacking(y, branch_p, "multi_label", l2=1e-6)
    for k in range(3):
        fit = LogisticRegression(C=np.inf, tol=1e-8).fit(logit(branch_p[:, :, k]), y[:, k])
        np.testing.assert_allclose(weights[:, k], fit.coef_[0], atol=1e-3)
        assert bias[k] == pytest.approx(fit.intercept_[0], abs=1e-3)


@pytest.mark.parametrize("l2", [0.1, 1, 30])
def test_the_regularization_is_that_of_scikit_learn(l2):
    """Two branches that always disagree have the average 0: plain ridge remains."""
    y, branch_p = simulate_branches("multi_label", n_branches=1)
    branch_p = np.concatenate([branch_p, 1 - branch_p], axis=1)
    weights, bias = fit_stacking(y, branch_p, "multi_label", l2=l2)
    ridge = LogisticRegression(C=1 / l2, fit_intercept=False, tol=1e-8)
    for k in range(3):
        x = np.append(logit(branch_p[:, :, k]), np.ones((len(y), 1)), axis=1)
        coefficients = ridge.fit(x, y[:, k]).coef_[0]
        np.testing.assert_allclose(weights[:, k] - 0.5, coefficients[:2], atol=1e-4)
        assert bias[k] == pytest.approx(coefficients[2], abs=1e-4)


def test_two_exclusive_classes_are_one_regression_of_scikit_learn():
    """Only the difference of the two classes counts: a regression on both classes' log odds."""
    y, branch_p = simulate_branches("multi_class", n_classes=2)
    weights, bias = fit_stacking(y, branch_p, "multi_class", l2=1e-6)
    x = np.concatenate([np.log(branch_p[:, :, 1]), -np.log(branch_p[:, :, 0])], axis=1)
    fit = LogisticRegression(C=np.inf, tol=1e-8).fit(x, y[:, 1])
    p = fuse(branch_p, weights, bias, "multi_class")
    np.testing.assert_allclose(p, fit.predict_proba(x), atol=1e-3)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_a_search_without_gradients_finds_the_same_minimum(kind):
    """The objective is written out here."""
    y, branch_p = simulate_branches(kind, n_windows=60, n_classes=2, n_branches=2)

    def objective(flat):
        weights, bias = flat[:4].reshape(2, 2), flat[4:]
        p = fuse(branch_p, weights, bias, kind)
        loss = -np.log(p[y == 1]).sum()
        if kind == "multi_label":
            loss -= np.log(1 - p[y == 0]).sum()
        return loss + 2 / 2 * (np.sum((weights - 1 / 2) ** 2) + np.sum(bias**2))

    weights, bias = fit_stacking(y, branch_p, kind, l2=2)
    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 20_000, "maxfev": 20_000}
    found = minimize(objective, np.zeros(6), method="Nelder-Mead", options=options)
    assert objective(np.append(weights, bias)) <= found.fun + 1e-6
    np.testing.assert_allclose(np.append(weights, bias), found.x, atol=1e-3)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_strong_regularization_gives_the_average(kind):
    y, branch_p = simulate_branches(kind)
    weights, bias = fit_stacking(y, branch_p, kind, l2=1e9)
    np.testing.assert_allclose(weights, 1 / 3, atol=1e-5)
    np.testing.assert_allclose(bias, 0, atol=1e-5)


def test_weights_of_rare_classes_stay_small():
    """A class with one positive window, which a branch separates, and a class with none."""
    y, branch_p = simulate_branches("multi_label", n_windows=200)
    y[:, 0] = branch_p[:, 0, 0] == branch_p[:, 0, 0].max()
    y[:, 1] = 0
    branch_p[:, 1, 0] = y[:, 0]  # certain and right
    weights, bias = fit_stacking(y, branch_p, "multi_label")
    assert np.abs(weights).max() < 3
    assert np.abs(bias).max() < 10
    separable = LogisticRegression(C=np.inf).fit(logit(branch_p[:, :1, 0]), y[:, 0])
    assert np.abs(separable.coef_).max() > 5 * np.abs(weights).max()


def test_better_branches_weigh_more_and_beat_the_average_on_other_windows():
    y, branch_p = simulate_branches("multi_label")
    weights, bias = fit_stacking(y, branch_p, "multi_label")
    assert (np.diff(weights, axis=0) < 0).all()
    assert np.abs(weights[2]).max() < 0.25
    other_y, other_p = simulate_branches("multi_label", n_windows=2000, seed=1)
    losses = [
        log_loss(other_y.ravel(), p.ravel())
        for p in (
            fuse(other_p, weights, bias, "multi_label"),
            fuse(other_p, 1 / 3, 0, "multi_label"),
        )
    ]
    assert losses[0] < losses[1] - 0.01


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_the_layer_gives_the_fitted_probabilities(kind):
    """Probabilities of 0 and 1 are clipped alike in both."""
    y, branch_p = simulate_branches(kind)
    branch_p[0] = y[0]
    weights, bias = fit_stacking(y, branch_p, kind)
    layer = Stacking(kind)
    layer.build(branch_p.shape)
    layer.set_weights([weights, bias])
    p = np.clip(branch_p, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    expected = fuse(p, weights, bias, kind)
    np.testing.assert_allclose(layer(branch_p.astype("float32")), expected, atol=1e-5)


def test_invalid_input_is_refused():
    y, branch_p = simulate_branches("multi_class")
    with pytest.raises(EcgError, match="n_branches"):
        fit_stacking(y, branch_p[:, 0], "multi_class")
    with pytest.raises(EcgError, match="same windows"):
        fit_stacking(y[:-1], branch_p, "multi_class")
    with pytest.raises(EcgError, match="l2=0; expected above 0"):
        fit_stacking(y, branch_p, "multi_class", l2=0)
    branch_p[3, 1, 0] = np.nan
    with pytest.raises(EcgError, match="row 3"):
        fit_stacking(y, branch_p, "multi_class")
