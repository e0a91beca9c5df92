import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    fbeta_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from ecglib.errors import EcgError
from ecglib.evaluation.decision_metrics import DECISION_METRICS
from ecglib.evaluation.influence import MEASURED_METRICS, Measurement, Windows, measure
from ecglib.evaluation.resampling import resample_scores

N_WINDOWS, N_PATIENTS, N_FOLDS = 120, 15, 3


def compute_g_mean(y, decisions, sample_weight):
    sensitivity = recall_score(y, decisions, sample_weight=sample_weight)
    specificity = recall_score(~y, ~decisions, sample_weight=sample_weight)
    return np.sqrt(sensitivity * specificity)


def compute_specificity(y, decisions, sample_weight):
    return recall_score(~y, ~decisions, sample_weight=sample_weight)


def compute_f2(y, decisions, sample_weight):
    return fbeta_score(y, decisions, beta=2, sample_weight=sample_weight)


def compute_g2(y, decisions, sample_weight):
    tp = sample_weight @ (y & decisions)
    return tp / (tp + sample_weight @ (~y & decisions) + 2 * (sample_weight @ (y & ~decisions)))


OF_DECISIONS = {
    "f1": f1_score,
    "sensitivity": recall_score,
    "specificity": compute_specificity,
    "ppv": precision_score,
    "g_mean": compute_g_mean,
    "mcc": matthews_corrcoef,
    "f2": compute_f2,
    "g2": compute_g2,
}
OF_PROBABILITIES = {
    "auroc": roc_auc_score,
    "auprc": average_precision_score,
    "brier": brier_score_loss,
}
# What a fold weighs in the score over all folds.
FOLD_WEIGHTS = {
    "auroc": lambda y, w: (w @ y) * (w @ ~y),
    "auprc": lambda y, w: w @ y,
    "brier": lambda y, w: w.sum(),
}


def simulate(decimals=8, n_models=2, with_folds=False, seed=0):
    rng = np.random.default_rng(seed)
    others = rng.integers(N_PATIENTS, size=N_WINDOWS - N_PATIENTS)
    patient = np.concatenate([np.arange(N_PATIENTS), others])
    y = rng.random((N_WINDOWS, 2)) < [0.3, 0.5]
    p = 0.6 * rng.random((n_models, N_WINDOWS, 2)) + 0.4 * y * rng.random((n_models, N_WINDOWS, 2))
    fold = patient % N_FOLDS if with_folds else None
    return Windows(y=y, patient=patient, fold=fold), p.round(decimals)


def score_with_weights(metric, windows, p, k, patient_weights):
    """The score by scikit-learn of one model and class, with a weight for each patient."""
    weights, y = patient_weights[windows.patient], windows.y[:, k]
    if metric in OF_DECISIONS:
        return OF_DECISIONS[metric](y, p[:, k] >= 0.5, sample_weight=weights)
    score, weigh = OF_PROBABILITIES[metric], FOLD_WEIGHTS[metric]
    parts = [
        (score(y[rows], p[rows, k], sample_weight=weights[rows]), weigh(y[rows], weights[rows]))
        for rows in windows.folds
    ]
    return sum(value * weight for value, weight in parts) / sum(weight for _, weight in parts)


def test_every_measured_metric_has_a_reference_here():
    assert {*OF_DECISIONS, *OF_PROBABILITIES} == set(MEASURED_METRICS)


@pytest.mark.parametrize("with_folds", [False, True], ids=["one split", "folds"])
@pytest.mark.parametrize("decimals", [1, 8], ids=["ties", "no ties"])
@pytest.mark.parametrize("metric", MEASURED_METRICS)
def test_influence_is_the_derivative_of_scikit_learns_score(metric, decimals, with_folds):
    windows, p = simulate(decimals, with_folds=with_folds)
    found = measure(windows, p, p >= 0.5, metric)
    step = 1e-5
    for i, k in np.ndindex(found.scores.shape):
        expected = score_with_weights(metric, windows, p[i], k, np.ones(N_PATIENTS))
        assert found.scores[i, k] == pytest.approx(expected, abs=1e-12)
        for patient in range(N_PATIENTS):
            change = step * (np.arange(N_PATIENTS) == patient)
            above = score_with_weights(metric, windows, p[i], k, 1 + change)
            below = score_with_weights(metric, windows, p[i], k, 1 - change)
            slope = (above - below) / (2 * step)
            assert found.influence[i, patient, k] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("metric", MEASURED_METRICS)
def test_influences_of_all_patients_sum_to_zero(metric):
    windows, p = simulate(decimals=1, with_folds=True)
    found = measure(windows, p, p >= 0.5, metric)
    np.testing.assert_allclose(found.influence.sum(axis=1), 0, atol=1e-12)
    assert np.abs(found.influence).max() > 1e-3


@pytest.mark.parametrize("decimals", [1, 8], ids=["ties", "no ties"])
def test_variance_of_auroc_and_of_differences_is_delongs_for_one_window_a_patient(decimals):
    """Structural components by brute force over all pairs (DeLong et al., Biometrics 44, 1988)."""
    rng = np.random.default_rng(3)
    y = rng.random(90) < 0.4
    p = (0.3 * y + rng.random((2, 90))).round(decimals)
    m, n = int(y.sum()), int((~y).sum())
    wins = np.array([[[(a > b) + (a == b) / 2 for b in one[~y]] for a in one[y]] for one in p])
    s10, s01 = np.cov(wins.mean(axis=2)), np.cov(wins.mean(axis=1))
    delong = s10 / m + s01 / n

    windows = Windows(y=y[:, None], patient=np.arange(90))
    influence = measure(windows, p[:, :, None], p[:, :, None] > 0.5, "auroc").influence[:, :, 0]
    of_positives, of_negatives = influence[:, y], influence[:, ~y]
    # Sums of squares; DeLong divides them by one less than the number of patients.
    found = m / (m - 1) * of_positives @ of_positives.T
    found += n / (n - 1) * of_negatives @ of_negatives.T
    np.testing.assert_allclose(found, delong, atol=1e-14)

    contrast = np.array([1, -1])
    difference = influence[0] - influence[1]
    assert 90 / 89 * (difference**2).sum() == pytest.approx(contrast @ delong @ contrast, rel=0.03)


def simulate_clusters(n_patients, n_windows, seed):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), n_windows)
    y = rng.random((len(patient), 1)) < 0.4
    effect = rng.normal(size=(n_patients, 1))[patient]
    logit = 1.5 * y + effect + rng.normal(size=y.shape)
    return Windows(y=y, patient=patient), (1 / (1 + np.exp(-logit)))[None]


@pytest.mark.parametrize("metric", ["auroc", "auprc", "f1", "mcc", "brier", "g_mean"])
def test_variance_agrees_with_the_jackknife_that_leaves_patients_out(metric):
    windows, p = simulate_clusters(n_patients=600, n_windows=4, seed=1)
    decisions = p > 0.6
    influence = measure(windows, p, decisions, metric).macro_influence[0]
    left_out = []
    for patient in range(600):
        rest = windows.patient != patient
        left = Windows(y=windows.y[rest], patient=np.zeros(rest.sum(), dtype=int))
        left_out.append(measure(left, p[:, rest], decisions[:, rest], metric).macro_scores[0])
    jackknife = 599 * np.var(left_out)
    # They differ by a term that falls with the number of patients.
    assert 600 / 599 * (influence**2).sum() == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("metric", ["auroc", "auprc", "f1"])
def test_standard_error_agrees_with_the_bootstrap_over_patients(metric):
    windows, p = simulate_clusters(n_patients=400, n_windows=4, seed=2)
    decisions = p > 0.6
    influence = measure(windows, p, decisions, metric).macro_influence[0]
    resampled = resample_scores(windows.y, p[0], decisions[0], windows.patient, 2000)[metric]
    # Monte Carlo error of the standard deviation of 2,000 draws: 1.6 %.
    expected = resampled.std(ddof=1)
    assert np.sqrt((influence**2).sum()) == pytest.approx(expected, rel=0.06)


def test_windows_of_different_folds_are_not_ranked_against_each_other():
    """A model of the second fold that adds 0.5 to all its probabilities changes nothing."""
    windows, p = simulate(with_folds=True)
    shifted = np.where((windows.fold == 1)[None, :, None], p / 2 + 0.5, p / 2)
    expected = measure(windows, p, p > 0.5, "auroc")
    found = measure(windows, shifted, shifted > 0.5, "auroc")
    np.testing.assert_allclose(found.scores, expected.scores)
    np.testing.assert_allclose(found.influence, expected.influence)


def test_a_class_with_one_outcome_has_no_score_and_no_influence():
    windows, p = simulate()
    y = windows.y.copy()
    y[:, 1] = False
    for metric in MEASURED_METRICS:
        found = measure(Windows(y=y, patient=windows.patient), p, p >= 0.5, metric)
        assert np.isnan(found.scores[:, 1]).all(), metric
        assert not found.influence[:, :, 1].any(), metric
        np.testing.assert_array_equal(found.macro_scores, found.scores[:, 0])
        np.testing.assert_array_equal(found.macro_influence, found.influence[:, :, 0])


@pytest.mark.filterwarnings("error")
def test_a_class_without_both_outcomes_in_any_fold_is_not_scored():
    windows, p = simulate(with_folds=True)
    y = windows.y.copy()
    y[:, 0] = windows.fold == 0
    for metric in MEASURED_METRICS:
        found = measure(
            Windows(y=y, patient=windows.patient, fold=windows.fold), p, p >= 0.5, metric
        )
        assert np.isfinite(found.influence).all()
        assert np.isnan(found.scores[:, 0]).all()
        assert np.isfinite(found.macro_scores).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("decision", [False, True], ids=["never", "always"])
def test_a_class_that_is_never_or_always_predicted_has_finite_influences(decision):
    windows, p = simulate()
    for metric in DECISION_METRICS:
        found = measure(windows, p, np.full(p.shape, decision), metric)
        assert np.isfinite(found.scores).all()
        assert np.abs(found.influence).max() < 1


def test_macro_values_are_means_over_the_scored_classes():
    windows, p = simulate()
    found = measure(windows, p, p >= 0.5, "auroc")
    np.testing.assert_allclose(found.macro_scores, found.scores.mean(axis=1))
    np.testing.assert_allclose(found.macro_influence, found.influence.mean(axis=2))
    second = found.select_class(1)
    assert isinstance(second, Measurement)
    np.testing.assert_array_equal(second.macro_influence, found.influence[:, :, 1])


def test_shapes_that_do_not_fit_are_refused():
    windows, p = simulate()
    with pytest.raises(EcgError, match=r"\(2, 119, 2\)"):
        measure(windows, p[:, :-1], p[:, :-1] > 0.5, "auroc")
    with pytest.raises(EcgError, match=r"decisions \(1, 120, 2\)"):
        measure(windows, p, p[:1] > 0.5, "auroc")
