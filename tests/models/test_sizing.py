import numpy as np
import pytest
from check import build_tiny_model

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models import find_width


@pytest.mark.parametrize("wanted", [100, 101, 1_234, 50_000])
@pytest.mark.parametrize("steps", [1, 2])
def test_it_is_the_closest_of_all_widths(wanted, steps):
    """Compared with trying every width; with steps of 2 two widths give the same model."""

    def count(width):
        return 3 * (width // steps) ** 2 + 7 * (width // steps) + 5

    found = find_width(wanted, count, 2)
    distances = [abs(count(width) - wanted) for width in range(2, 1000)]
    assert abs(count(found) - wanted) == min(distances)


def test_of_two_equally_close_widths_it_is_the_smaller_after_few_tries():
    tried = []

    def count(width):
        tried.append(width)
        return 10 * width

    assert find_width(105, count, 1) == 10
    assert len(tried) < 10
    assert max(tried) < 4 * 11
    assert find_width(100, count, 10) == 10


def test_a_number_of_parameters_out_of_reach_is_refused():
    with pytest.raises(ExperimentError, match="has 320 parameters at width=32, the smallest"):
        find_width(300, lambda width: 10 * width, 32)
    with pytest.raises(
        ExperimentError, match=r"has 7 parameters at width=4096.*encoder that grows"
    ):
        find_width(300, lambda width: 7, 32)


@pytest.mark.parametrize("encoder", REPRESENTATIONS["time"].encoders)
def test_every_encoder_grows_with_its_width(encoder):
    """In steps of less than the quarter by which compared sizes may differ."""
    sizes = [
        build_tiny_model({"time": encoder}, "none", width=width).count_params()
        for width in (16, 17, 18, 32)
    ]
    assert (np.diff(sizes) >= 0).all()
    assert sizes[-1] > 1.3 * sizes[0]
    assert sizes[2] < 1.25**2 * sizes[0]
