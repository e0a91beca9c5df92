import pytest

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models.encoders import load_encoder


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_every_encoder_of_the_registry_exists(representation):
    for encoder in REPRESENTATIONS[representation].encoders:
        assert callable(load_encoder(representation, encoder))


def test_unknown_names_are_refused():
    with pytest.raises(ExperimentError, match=r"representation='tim'.*Did you mean 'time'"):
        load_encoder("tim", "cnn")
    with pytest.raises(ExperimentError, match="Did you mean 'cnn_bilstm'"):
        load_encoder("time", "cnn_lstm")
