import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ecglib.errors import EcgError
from ecglib.evaluation.resampling import (
    compute_interval,
    draw_patient_counts,
    resample_scores,
)


def simulate_predictions(n_windows=400, n_patients=25, decimals=8, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n_windows, 3)) < [0.1, 0.5, 0.9]).astype("float32")
    p = np.clip(0.2 * y + rng.normal(0.4, 0.2, y.shape), 0, 1).round(decimals)
    patients = np.array([f"patient {i}" for i in rng.integers(0, n_patients, n_windows)])
    return y, p, p >= 0.5, patients


@pytest.mark.parametrize("decimals", [0, 1, 8], ids=["two scores", "many ties", "no ties"])
def test_scores_equal_scikit_learn_on_repeated_rows(decimals):
    y, p, decisions, patients = simulate_predictions(decimals=decimals)
    result = resample_scores(y, p, decisions, patients, n_resamples=40, seed=3)
    counts = draw_patient_counts(patients, 40, 3)
    column = np.unique(patients, return_inverse=True)[1]
    for r in range(40):
        rows = np.repeat(np.arange(len(y)), counts[r, column])
        for k in range(3):
            expected = {
                "auroc": roc_auc_score(y[rows, k], p[rows, k]),
                "auprc": average_precision_score(y[rows, k], p[rows, k]),
                "f1": f1_score(y[rows, k], decisions[rows, k]),
            }
            for metric, value in expected.items():
                assert result[metric][r, k] == pytest.approx(value, abs=1e-12), metric


def test_order_of_the_windows_does_not_matter():
    y, p, decisions, patients = simulate_predictions(decimals=1)
    shuffled = np.random.default_rng(1).permutation(len(y))
    first = resample_scores(y, p, decisions, patients, 20)
    second = resample_scores(
        y[shuffled], p[shuffled], decisions[shuffled], patients[shuffled], n_resamples=20
    )
    for metric in first:
        np.testing.assert_allclose(first[metric], second[metric], atol=1e-12)


def test_patient_counts_depend_on_the_patients_and_the_seed_only():
    patients = np.array(["b", "a", "c", "a"])
    counts = draw_patient_counts(patients, 500, 7)
    assert counts.shape == (500, 3)
    np.testing.assert_array_equal(counts.sum(axis=1), 3)
    np.testing.assert_array_equal(counts, draw_patient_counts(np.array(["a", "b", "c"]), 500, 7))
    assert (counts != draw_patient_counts(patients, 500, 8)).any()


def test_patient_counts_have_the_moments_of_a_multinomial():
    counts = draw_patient_counts(np.arange(10), 20_000, 0)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    covariance = np.cov(counts.T)
    np.testing.assert_allclose(np.diag(covariance), 0.9, atol=0.05)
    np.testing.assert_allclose(covariance[~np.eye(10, dtype=bool)], -0.1, atol=0.05)


def test_resamples_without_an_outcome_are_nan():
    # The only positive windows belong to one patient of four: drawn in 1 - (3/4)^4 of resamples.
    patients = np.repeat(np.arange(4), 5)
    y = (patients == 0).astype(float)[:, None]
    p = np.linspace(0.9, 0.1, 20)[:, None]
    values = resample_scores(y, p, p > 0.5, patients, n_resamples=4000)
    counts = draw_patient_counts(patients, 4000, 0)
    missing = (counts[:, 0] == 0) | (counts[:, 0] == 4)
    for metric in ("auroc", "auprc", "f1"):
        np.testing.assert_array_equal(np.isnan(values[metric][:, 0]), missing)
    assert missing.mean() == pytest.approx(0.75**4 + 0.25**4, abs=0.03)
    assert compute_interval(values["auroc"][:, 0]) == (1.0, 1.0)


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_with_one_outcome_is_nan_throughout(label):
    y, p, decisions, patients = simulate_predictions()
    y[:, 1] = label
    values = resample_scores(y, p, decisions, patients, 30)["auroc"]
    assert np.isnan(values[:, 1]).all()
    assert not np.isnan(values[:, [0, 2]]).any()


def test_interval_is_the_percentile_interval_without_nan():
    values = np.append(np.arange(101.0), [np.nan] * 50)
    assert compute_interval(values) == (pytest.approx(2.5), pytest.approx(97.5))
    assert compute_interval(values, 0.8) == (pytest.approx(10), pytest.approx(90))
    assert np.isnan(compute_interval(np.full(3, np.nan))).all()
    with pytest.raises(EcgError, match="level"):
        compute_interval(values, 95)


def simulate_clusters(rng, n_patients, n_windows, patient_spread):
    """Patients, each wholly positive or negative, whose windows have a common patient effect."""
    label = np.arange(n_patients) % 2
    effect = rng.normal(0, patient_spread, n_patients)
    patients = np.repeat(np.arange(n_patients), n_windows)
    logit = (label + effect)[patients] + rng.normal(size=len(patients))
    return label[patients].astype(float)[:, None], norm.cdf(logit)[:, None], patients


def compute_obuchowski_error(y, p, patients):
    """Standard error of a clustered AUROC in closed form (Obuchowski, Biometrics 53, 1997)."""
    y, p = y[:, 0] == 1, p[:, 0]
    wins = (p[y][:, None] > p[~y][None]) + 0.5 * (p[y][:, None] == p[~y][None])
    auroc, m, n = wins.mean(), y.sum(), (~y).sum()
    n_patients = patients.max() + 1
    positive = np.bincount(patients[y], wins.mean(axis=1) - auroc, n_patients)
    negative = np.bincount(patients[~y], wins.mean(axis=0) - auroc, n_patients)
    both = positive / m + negative / n
    return np.sqrt((both**2).sum())


def test_spread_of_auroc_agrees_with_the_closed_form_for_clusters():
    y, p, patients = simulate_clusters(np.random.default_rng(0), 300, 5, patient_spread=1.0)
    values = resample_scores(y, p, p > 0.5, patients, 2000)["auroc"]
    assert values.std() == pytest.approx(compute_obuchowski_error(y, p, patients), rel=0.1)


def test_spread_of_f1_agrees_with_the_delta_method_for_clusters():
    y, p, patients = simulate_clusters(np.random.default_rng(1), 300, 5, patient_spread=1.0)
    decisions = p > 0.6
    values = resample_scores(y, p, decisions, patients, 2000)["f1"]
    top = np.bincount(patients, 2 * (y * decisions)[:, 0])
    bottom = np.bincount(patients, (y + decisions)[:, 0])
    residual = top - top.sum() / bottom.sum() * bottom
    assert values.std() == pytest.approx(np.sqrt((residual**2).sum()) / bottom.sum(), rel=0.1)


def test_intervals_by_patient_cover_and_intervals_by_window_do_not():
    # Positive and negative windows are never of one patient, so the true AUROC has a closed form.
    rng = np.random.default_rng(2)
    truth = norm.cdf(1 / np.sqrt(2 * (1 + 1)))
    covered = {"patient": 0, "window": 0}
    n_studies = 200
    for _ in range(n_studies):
        y, p, patients = simulate_clusters(rng, 60, 8, patient_spread=1.0)
        for by, clusters in (("patient", patients), ("window", np.arange(len(y)))):
            low, high = compute_interval(
                resample_scores(y, p, p > 0.5, clusters, 200)["auroc"][:, 0]
            )
            covered[by] += low <= truth <= high
    # Standard error of an observed coverage of 95 % in 200 studies: 1.5 %.
    assert covered["patient"] / n_studies > 0.89
    assert covered["window"] / n_studies < 0.8


def test_pairing_reduces_the_variance_of_a_difference():
    y, p, patients = simulate_clusters(np.random.default_rng(3), 80, 5, patient_spread=1.0)
    other = np.clip(p + np.random.default_rng(4).normal(0, 0.02, p.shape), 0, 1)
    first = resample_scores(y, p, p > 0.5, patients, 500, seed=0)["auroc"]
    paired = resample_scores(y, other, other > 0.5, patients, 500, seed=0)["auroc"]
    unpaired = resample_scores(y, other, other > 0.5, patients, 500, seed=1)["auroc"]
    assert (first - paired).std() < 0.2 * (first - unpaired).std()


def test_invalid_input_is_refused_by_name():
    y, p, decisions, patients = simulate_predictions()
    with pytest.raises(EcgError, match="1 patients cannot be resampled"):
        resample_scores(y, p, decisions, np.zeros(len(y)))
    with pytest.raises(EcgError, match="Patients have shape"):
        resample_scores(y, p, decisions, patients[:-1])
    with pytest.raises(EcgError, match="Decisions have shape"):
        resample_scores(y, p, decisions[:, :2], patients)
    with pytest.raises(EcgError, match="0 and 1 only"):
        resample_scores(y, p, p, patients)
    with pytest.raises(EcgError, match="`n_resamples` is 0"):
        resample_scores(y, p, decisions, patients, n_resamples=0)
