import numpy as np
import pytest
from scipy.stats import norm

from ecglib.evaluation.effective_patients import compute_effective_patients, is_measurable
from ecglib.evaluation.influence import Windows, measure


def make_windows(positives, negatives):
    """One class; numbers of positive and of negative windows of each patient."""
    patient = np.concatenate(
        [np.repeat(np.arange(len(positives)), n) for n in (positives, negatives)]
    )
    y = np.arange(len(patient)) < sum(positives)
    return Windows(y=y[:, None], patient=patient)


@pytest.mark.parametrize("n_windows", [1, 5, 200])
@pytest.mark.parametrize("n_patients", [2, 22])
def test_patients_with_equal_windows_all_count(n_patients, n_windows):
    windows = make_windows([n_windows] * n_patients, [2 * n_windows] * n_patients)
    assert compute_effective_patients(windows).total == pytest.approx(n_patients)


def test_patients_of_one_outcome_all_count_if_the_outcomes_are_balanced():
    windows = make_windows([3] * 10 + [0] * 10, [0] * 10 + [3] * 10)
    assert compute_effective_patients(windows).total == pytest.approx(20)


def test_few_patients_of_the_rare_outcome_decide():
    """Ten patients of a rare outcome among a thousand: (1/M + 1/N)^2 / (1/M^3 + 1/N^3)."""
    windows = make_windows([1] * 10 + [0] * 990, [0] * 10 + [1] * 990)
    expected = (1 / 10 + 1 / 990) ** 2 / (1 / 10**3 + 1 / 990**3)
    assert compute_effective_patients(windows).total == pytest.approx(expected)
    assert expected == pytest.approx(10.2, abs=0.01)


def test_a_patient_with_nearly_all_positive_windows_counts_alone():
    windows = make_windows([1000, 1, 1, 1], [250, 250, 250, 250])
    found = compute_effective_patients(windows)
    assert 1 < found.total < 1.5
    assert found.max_positive_fraction[0] == pytest.approx(1000 / 1003)
    assert found.max_positive_patient[0] == 0
    assert not is_measurable(found.total)


def test_the_formula_of_a_small_case_by_hand():
    """Two patients with 3 and 1 of 4 positives, 1 and 2 of 3 negatives."""
    a = (3 / 4) ** 2 * (0.35 + 0.65 / 3) + (1 / 3) ** 2
    b = (1 / 4) ** 2 + (2 / 3) ** 2 * (0.35 + 0.65 / 2)
    found = compute_effective_patients(make_windows([3, 1], [1, 2]))
    assert found.total == pytest.approx((a + b) ** 2 / (a**2 + b**2))
    assert found.by_class[0] == pytest.approx(found.total)


def test_a_macro_score_adds_the_contributions_of_its_scored_classes():
    rng = np.random.default_rng(0)
    patient = np.concatenate([np.arange(12), rng.integers(12, size=88)])
    y = rng.random((100, 3)) < [0.1, 0.5, 0.0]
    found = compute_effective_patients(Windows(y=y, patient=patient))
    without = compute_effective_patients(Windows(y=y[:, :2], patient=patient))
    assert np.isnan(found.by_class[2])
    assert np.isnan(found.max_positive_fraction[2])
    assert found.total == without.total
    contributions = []
    for k in range(2):
        parts = np.zeros(12)
        for outcome in (y[:, k], ~y[:, k]):
            counts = np.bincount(patient[outcome], minlength=12)
            parts += (counts / counts.sum()) ** 2 * (0.35 + 0.65 / np.maximum(counts, 1))
        contributions.append(parts)
        assert found.by_class[k] == pytest.approx(parts.sum() ** 2 / (parts**2).sum())
    total = sum(contributions)
    assert found.total == pytest.approx(total.sum() ** 2 / (total**2).sum())


def test_without_a_scored_class_nothing_is_measurable():
    found = compute_effective_patients(make_windows([0, 0], [3, 4]))
    assert np.isnan(found.total)
    assert not is_measurable(found.total)


def test_degrees_of_freedom_describe_how_the_variance_estimate_scatters():
    """A variance with d degrees of freedom scatters by a factor of sqrt(2 / d) (chi-squared)."""
    rng = np.random.default_rng(1)
    n_windows = np.round(20 * np.exp(rng.normal(size=22))).astype(int)
    patient = np.repeat(np.arange(22), n_windows)
    windows = Windows(y=(rng.random((len(patient), 1)) < 0.4), patient=patient)
    effective = compute_effective_patients(windows).total
    assert effective < 16
    variances = []
    for _ in range(500):
        common = rng.normal(0, 0.55, 22)[patient] + rng.normal(0, 0.63, len(patient))
        of_model = rng.normal(0, 0.3, (2, 22))[:, patient] + rng.normal(0, 0.42, (2, len(patient)))
        p = norm.cdf(1.8 * windows.y[:, 0] + common + of_model)[:, :, None]
        influence = measure(windows, p, p > 0.5, "auroc").macro_influence
        variances.append(((influence[0] - influence[1]) ** 2).sum())
    scatter = np.std(variances) / np.mean(variances)
    # As many degrees of freedom as there are patients would scatter far less.
    assert scatter > 1.4 * np.sqrt(2 / 21)
    assert scatter == pytest.approx(np.sqrt(2 / (effective - 1)), rel=0.35)
