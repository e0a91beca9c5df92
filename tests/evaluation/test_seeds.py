import numpy as np
import pytest

from ecglib.evaluation.influence import Measurement
from ecglib.evaluation.seeds import estimate_seed_variances, moderate_variances


def make_measurement(scores, influence=None):
    """One class, one row for each seed; by default seeds agree on every patient."""
    scores = np.asarray(scores, dtype=float)[:, None]
    if influence is None:
        influence = np.zeros((len(scores), 10))
    return Measurement(scores=scores, influence=np.asarray(influence)[:, :, None])


def simulate_variances(prior_degrees, prior, degrees, n_models, seed=0):
    """Scaled inverse chi-squared variances, estimated with so many degrees of freedom."""
    rng = np.random.default_rng(seed)
    true = prior * prior_degrees / rng.chisquare(prior_degrees, n_models)
    return true, true * rng.chisquare(degrees, n_models) / degrees


# --- moderation (Smyth 2004)


@pytest.mark.parametrize("prior_degrees", [3.0, 10.0])
def test_moderation_recovers_the_distribution_that_variances_are_drawn_from(prior_degrees):
    degrees = np.full(20_000, 4.0)
    _, variances = simulate_variances(prior_degrees, 0.01, 4, 20_000)
    moderated, total_degrees = moderate_variances(variances, degrees)
    fitted_degrees = total_degrees[0] - 4
    fitted = (moderated[0] * total_degrees[0] - 4 * variances[0]) / fitted_degrees
    assert np.unique(total_degrees).size == 1
    assert fitted_degrees == pytest.approx(prior_degrees, rel=0.15)
    # Shrunk towards the pooled variance, whose expectation is that of the distribution.
    assert fitted == pytest.approx(variances.mean())
    assert fitted == pytest.approx(0.01 * prior_degrees / (prior_degrees - 2), rel=0.15)


def test_moderated_variances_are_nearer_to_the_truth_than_their_estimates():
    true, variances = simulate_variances(8, 0.01, 4, 300, seed=1)
    moderated, _ = moderate_variances(variances, np.full(300, 4.0))

    def compute_error(estimates):
        return np.mean((np.log(estimates) - np.log(true)) ** 2)

    assert compute_error(moderated) < 0.5 * compute_error(variances)
    order = np.argsort(variances)
    assert (np.diff(moderated[order]) > 0).all()
    assert moderated.max() < variances.max()
    assert moderated.min() > variances.min()


def test_variances_that_differ_by_chance_alone_are_pooled():
    variances, degrees = np.array([1.0, 1.2, 0.9, 1.1]), np.array([4.0, 4.0, 4.0, 8.0])
    moderated, total_degrees = moderate_variances(variances, degrees)
    np.testing.assert_allclose(moderated, np.average(variances, weights=degrees))
    np.testing.assert_allclose(total_degrees, 20)


def test_a_model_with_one_seed_gets_the_common_variance():
    moderated, total_degrees = moderate_variances(np.array([2.0, 4.0, 0.0]), np.array([4, 4, 0.0]))
    assert moderated[2] == pytest.approx(3.0)
    assert total_degrees[2] == pytest.approx(8)


def test_variances_of_zero_stay_zero():
    moderated, degrees = moderate_variances(np.zeros(3), np.full(3, 4.0))
    assert not moderated.any()
    assert (degrees > 0).all()


def test_a_single_zero_variance_does_not_spoil_the_others():
    variances = np.array([0.0, 1.0, 1.1, 0.9, 1.2])
    moderated, _ = moderate_variances(variances, np.full(5, 4.0))
    assert np.isfinite(moderated).all()
    assert 0 < moderated[0] < moderated[1:].min()


# --- seeds crossed with patients


def test_the_part_that_patients_contain_already_is_subtracted():
    """Scores 0.8 +- 0.02 of two seeds; they differ by 0.01 on each of four patients.

    s^2 = 2 * 0.02^2 / 1 and u^2 = 4/3 * sum over patients of 2 * 0.005^2 / 1.
    """
    influence = [[0.005, 0.005, -0.005, -0.005], [-0.005, -0.005, 0.005, 0.005]]
    one = make_measurement([0.78, 0.82], influence)
    between, contained = 2 * 0.02**2, 4 / 3 * 4 * 2 * 0.005**2
    (found,) = estimate_seed_variances([one])
    assert found.value == pytest.approx((between - contained) / 2)
    assert found.degrees_of_freedom == 1


def test_an_added_variance_is_never_negative():
    influence = [[0.5, -0.5], [-0.5, 0.5]]
    (found,) = estimate_seed_variances([make_measurement([0.8, 0.8001], influence)])
    assert found.value == 0


def test_seeds_that_shift_all_patients_alike_and_seeds_that_shift_each_are_told_apart():
    """Scores that are means over patients: mu + a_seed + b_patient + c_seed,patient."""
    rng = np.random.default_rng(0)
    n_patients, n_seeds, common_std, patient_std = 200, 4, 0.01, 0.3
    found = []
    for _ in range(300):
        values = rng.normal(size=n_patients) + rng.normal(0, common_std, (n_seeds, 1))
        values = values + rng.normal(0, patient_std, (n_seeds, n_patients))
        scores = values.mean(axis=1)
        influence = (values - scores[:, None]) / n_patients
        measurement = make_measurement(scores, influence)
        between = np.var(scores, ddof=1)
        contained = np.var(influence, axis=0, ddof=1).sum() * n_patients / (n_patients - 1)
        found.append((between, contained))
        expected = max(0.0, between - contained) / n_seeds
        assert estimate_seed_variances([measurement])[0].value == pytest.approx(expected)
    between, contained = np.mean(found, axis=0)
    # Standard error of the mean of 300 variances with three degrees of freedom: 5 %.
    assert contained == pytest.approx(patient_std**2 / n_patients, rel=0.02)
    assert between == pytest.approx(common_std**2 + patient_std**2 / n_patients, rel=0.15)


def test_cautious_variances_are_never_below_the_pooled_one():
    rng = np.random.default_rng(2)
    models = [make_measurement(0.8 + rng.normal(0, std, 5)) for std in (0.001, 0.004, 0.03)]
    variances = [np.var(one.macro_scores, ddof=1) for one in models]
    pooled = np.mean(variances)
    found = estimate_seed_variances(models, cautious=True)
    assert [one.value * 5 for one in found] == pytest.approx([pooled, pooled, variances[2]])
    assert [one.degrees_of_freedom for one in found] == [12, 12, 4]
    assert variances[2] > pooled > variances[1]


def test_moderated_variances_of_models_lie_between_their_estimate_and_the_others():
    rng = np.random.default_rng(2)
    models = [make_measurement(0.8 + rng.normal(0, std, 5)) for std in (0.001, 0.004, 0.03)]
    variances = np.array([np.var(one.macro_scores, ddof=1) for one in models])
    expected, degrees = moderate_variances(variances, np.full(3, 4.0))
    found = estimate_seed_variances(models)
    assert [one.value * 5 for one in found] == pytest.approx(expected)
    assert [one.degrees_of_freedom for one in found] == pytest.approx(degrees)
    assert variances[0] < expected[0] < expected[2] < variances[2]


def test_the_variance_of_a_mean_falls_with_the_models_number_of_seeds():
    two = make_measurement([0.80, 0.82])
    one = make_measurement([0.80])
    found = estimate_seed_variances([two, one], cautious=True)
    assert found[1].value == pytest.approx(2 * found[0].value)
    assert found[1].degrees_of_freedom == 1


def test_nothing_is_known_if_every_model_has_one_seed():
    found = estimate_seed_variances([make_measurement([0.8]), make_measurement([0.9])])
    assert np.isnan([one.value for one in found]).all()
