import pytest
from check import run_model_check

from ecglib.models import ENCODERS, FUSIONS

KINDS = ["multi_label", "multi_class"]
SINGLES = [(name, encoder) for name, encoders in ENCODERS.items() for encoder in encoders]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "encoder"), SINGLES)
def test_every_encoder(name, encoder, kind, tmp_path):
    run_model_check({name: encoder}, "none", kind, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(fusion, kind, tmp_path):
    branches = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d", "scalogram": "cnn2d"}
    run_model_check(branches, fusion, kind, tmp_path)
