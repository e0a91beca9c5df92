import pytest
from check import build_tiny_model, run_model_check

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS

# The kind of the task decides only the last activation of a single encoder. The encoders of the
# scalogram are those of the spectrogram: they are built for the other kind, and slow checks are run
# for the spectrogram.
SINGLES = [
    (name, encoder, "multi_class" if name == "scalogram" else "multi_label")
    for name, representation in REPRESENTATIONS.items()
    for encoder in representation.encoders
]
THREE_BRANCHES = {"time": "cnn", "spectrogram": "cnn2d", "tabular": "mlp"}
TWO_ENCODERS = {"time": "cnn", "time_2": "cnn_attention"}


def test_a_scalogram_has_the_encoders_of_a_spectrogram():
    assert REPRESENTATIONS["scalogram"].encoders == REPRESENTATIONS["spectrogram"].encoders


@pytest.mark.slow
@pytest.mark.parametrize(("name", "encoder", "kind"), SINGLES)
def test_every_encoder(name, encoder, kind):
    run_model_check({name: encoder}, "none", kind)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(fusion):
    run_model_check(THREE_BRANCHES, fusion, "multi_label")


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_of_a_multi_class_task_and_of_two_encoders_on_one_representation(fusion):
    has_one_encoder = fusion.startswith("early_")
    run_model_check(THREE_BRANCHES if has_one_encoder else TWO_ENCODERS, fusion, "multi_class")


def test_an_early_fusion_with_a_second_encoder_is_refused():
    with pytest.raises(ExperimentError, match="a second encoder would never be used"):
        build_tiny_model(TWO_ENCODERS, "early_concat")
