"""What `ecglib check-representation` finds in layers with one fault each."""

import pytest
from layer_helpers import CALL, write_layer

from ecglib.cli import main
from ecglib.models import check_representation

FAULTS = {
    "axes": {CALL: "return x"},
    "values": {CALL: "return ops.log(ops.abs(x[:, : -self.n]))"},
    "each window for itself": {CALL: "return x[:, self.n :] - ops.mean(x, axis=0)[: -self.n]"},
    "registered class": {'@keras.saving.register_keras_serializable(package="tested_layers")': ""},
    "saving and loading": {' | {"distance_s": self.distance_s}': ""},
    "gradients": {CALL: "return ops.sign(x[:, self.n :] - x[:, : -self.n])"},
}


def test_a_plain_layer_passes(module_folder, capsys):
    write_layer()
    assert main(["check-representation", "tested_layers:Slope"]) == 0
    assert "6 checks, none failed" in capsys.readouterr().out


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_check(module_folder, name):
    write_layer(FAULTS[name])
    failed = [one.name for one in check_representation("tested_layers:Slope") if not one.passed]
    assert failed[0] == name


def test_a_missing_module_is_wrong_input(capsys):
    assert main(["check-representation", "tested_nowhere:Slope"]) == 2
    assert "no module 'tested_nowhere'" in capsys.readouterr().err


def test_a_layer_of_ecglib_passes_as_another_kind_with_the_same_axes():
    path = "ecglib.representations.spectrogram:Spectrogram"
    assert all(one.passed for one in check_representation(path, "scalogram"))
