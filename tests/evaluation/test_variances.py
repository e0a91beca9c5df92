import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from ecglib.evaluation.variances import Variance, add_variances

UNKNOWN = Variance(float("nan"), float("nan"))


@pytest.mark.parametrize(("n_a", "n_b"), [(5, 5), (3, 40), (12, 7)])
def test_sums_have_the_degrees_of_freedom_of_welchs_test(n_a, n_b):
    rng = np.random.default_rng(n_a)
    a, b = rng.normal(size=n_a), rng.normal(0, 3, size=n_b)
    welch = ttest_ind(a, b, equal_var=False)
    total = add_variances(
        [Variance(np.var(one, ddof=1) / len(one), len(one) - 1) for one in (a, b)]
    )
    assert total.degrees_of_freedom == pytest.approx(welch.df)
    assert math.sqrt(total.value) == pytest.approx((a.mean() - b.mean()) / welch.statistic)


def test_one_variance_keeps_its_degrees_of_freedom():
    assert add_variances([Variance(0.3, 7)]) == pytest.approx((0.3, 7))
    assert add_variances([Variance(0.3, 7), UNKNOWN]) == pytest.approx((0.3, 7))


def test_a_part_of_zero_changes_nothing():
    assert add_variances([Variance(0.3, 7), Variance(0.0, 4)]) == pytest.approx((0.3, 7))
    assert add_variances([Variance(0.0, 7), Variance(0.0, 4)]) == (0.0, 7)


def test_a_part_that_is_known_exactly_adds_to_the_degrees_of_freedom():
    total = add_variances([Variance(1.0, 10), Variance(1.0, float("inf"))])
    assert total == (2.0, 40.0)


def test_a_part_without_degrees_of_freedom_leaves_the_sum_without():
    assert add_variances([Variance(1.0, 0.0), Variance(1.0, 10)]) == (2.0, 0.0)
