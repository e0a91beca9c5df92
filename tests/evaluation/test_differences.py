import math

import numpy as np
import pytest
from scipy import stats

from ecglib.evaluation.differences import Difference
from ecglib.evaluation.variances import Variance, add_variances

PATIENTS = Variance(0.004**2, 30)
SEEDS = (Variance(0.002**2, 12), Variance(0.001**2, 12))
CAUTIOUS = (Variance(0.003**2, 4), Variance(0.002**2, 40))
UNKNOWN = Variance(float("nan"), float("nan"))


def make_difference(estimate=0.01, patients=PATIENTS, seeds=SEEDS, cautious_seeds=CAUTIOUS):
    return Difference(
        name="time:cnn",
        estimate=estimate,
        patients=patients,
        seeds=seeds,
        cautious_seeds=cautious_seeds,
    )


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_is_students_with_the_moderated_seeds(level):
    total = add_variances([PATIENTS, *SEEDS])
    expected = stats.t.interval(level, total.degrees_of_freedom, 0.01, math.sqrt(total.value))
    difference = make_difference()
    assert difference.compute_interval(level) == pytest.approx(expected)
    assert difference.standard_error == pytest.approx(math.sqrt(0.004**2 + 0.002**2 + 0.001**2))
    assert (difference.low, difference.high) == difference.compute_interval(0.95)


@pytest.mark.parametrize("margin", [0.0, 0.01, -0.02])
@pytest.mark.parametrize("estimate", [0.01, 0.0, -0.003])
def test_p_values_are_students_with_the_cautious_seeds(estimate, margin):
    total = add_variances([PATIENTS, *CAUTIOUS])
    statistic = (estimate - margin) / math.sqrt(total.value)
    difference = make_difference(estimate)
    above = stats.t.sf(statistic, total.degrees_of_freedom)
    assert difference.compute_p_value(margin) == pytest.approx(above)
    assert difference.compute_p_value(margin, below=True) == pytest.approx(1 - above)


def test_without_seeds_the_p_value_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1, size=25)
    difference = make_difference(
        values.mean(), Variance(values.var(ddof=1) / 25, 24), (UNKNOWN,) * 2, (UNKNOWN,) * 2
    )
    test = stats.ttest_1samp(values, 0, alternative="greater")
    assert difference.compute_p_value() == pytest.approx(test.pvalue)
    interval = stats.ttest_1samp(values, 0).confidence_interval()
    assert difference.compute_interval() == pytest.approx(tuple(interval))


def test_too_few_patients_give_no_interval_and_prove_nothing():
    difference = make_difference(0.5, Variance(1e-8, 0.0))
    assert np.isnan(difference.compute_interval()).all()
    assert difference.compute_p_value() == 1
    assert difference.compute_p_value(1.0, below=True) == 1
    assert difference.format() == "+0.500 [no interval]"


def test_two_models_without_any_variance_between_them_show_nothing():
    """As two models that are perfect on a handful of patients."""
    zero = Variance(0.0, 30)
    same = make_difference(0.0, zero, (zero,) * 2, (zero,) * 2)
    assert same.compute_interval() == (0, 0)
    assert same.compute_p_value() == same.compute_p_value(below=True) == 1
    assert same.compute_p_value(0.01, below=True) == 1


def test_a_rounded_difference_of_zero_has_no_minus_sign():
    certain = Variance(1e-12, 30)
    text = make_difference(-1e-5, certain, (certain,) * 2, (certain,) * 2).format()
    assert text == "+0.000 [+0.000, +0.000]"
