import pytest
from check import build_tiny_model, run_model_check

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS

KINDS = ["multi_label", "multi_class"]
SINGLES = [
    (name, encoder, kind)
    for name, representation in REPRESENTATIONS.items()
    for encoder in representation.encoders
    for kind in KINDS
    # The same functions as for the spectrogram, see below: slow checks are run there.
    if (name, kind) != ("scalogram", "multi_label")
]


def test_a_scalogram_has_the_encoders_of_a_spectrogram():
    assert REPRESENTATIONS["scalogram"].encoders == REPRESENTATIONS["spectrogram"].encoders


@pytest.mark.slow
@pytest.mark.parametrize(("name", "encoder", "kind"), SINGLES)
def test_every_encoder(name, encoder, kind):
    run_model_check({name: encoder}, "none", kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(fusion, kind):
    branches = {"time": "cnn", "spectrogram": "cnn2d", "tabular": "mlp"}
    run_model_check(branches, fusion, kind)


TWO_ENCODERS = {"time": "cnn", "time_2": "cnn_attention"}


@pytest.mark.slow
@pytest.mark.parametrize("fusion", [name for name in FUSIONS if not name.startswith("early_")])
def test_every_fusion_of_two_encoders_on_one_representation(fusion):
    run_model_check(TWO_ENCODERS, fusion, "multi_class")  # the slow checks are run above


def test_an_early_fusion_with_a_second_encoder_is_refused():
    with pytest.raises(ExperimentError, match="a second encoder would never be used"):
        build_tiny_model(TWO_ENCODERS, "early_concat")
