import pytest

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import FUSIONS
from ecglib.models.fusion import load_fusion


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_of_the_registry_exists(name):
    assert load_fusion(name).__name__ == name


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ExperimentError, match="Did you mean 'late_average'"):
        load_fusion("late_averag")
