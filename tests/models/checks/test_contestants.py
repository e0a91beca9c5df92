"""What `ecglib check-encoder` finds in encoders with one fault each."""

import re
from pathlib import Path

import numpy as np
import pytest
from backends import compute_weight_gradients
from check import compile_for_training

from ecglib.cli import main
from ecglib.models import check_encoder, check_fusion
from ecglib.models.checks import Candidate
from ecglib.models.checks.properties import check_gradients

HEAD = """
import keras
import numpy as np
from keras import layers


class Unregistered(layers.Layer):
    def call(self, x):
        return x


@keras.saving.register_keras_serializable(package="tested_faults")
class NoConfig(layers.Layer):
    def __init__(self, factor=1, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return self.factor * x


def encode(x, width, feature_dim, dropout, seed):
    x = layers.Conv1D({width}, 7, strides=2, kernel_initializer={start})(x)
    x = {change}
    return layers.Dense(feature_dim)(layers.GlobalMaxPooling1D()(layers.ReLU()(x)))
"""
UNCHANGED = {"width": "width", "start": "'glorot_uniform'", "change": "x"}
FAULTS = {
    "width": {"width": "16"},
    "registered layers": {"change": "Unregistered()(x)"},
    "saving and loading": {"change": "NoConfig(3)(x)"},
    "gradients": {"change": "keras.ops.stop_gradient(x)"},
    "seeds": {"start": "keras.initializers.Constant(np.random.normal(size=(7, 2, width)))"},
    "each window for itself": {"change": "x - keras.ops.mean(x, axis=0, keepdims=True)"},
    "probabilities": {"change": "0 * x"},
    "multiply-adds": {"change": "layers.Conv1DTranspose(width, 3)(x)"},
}


@pytest.fixture
def write(module_folder):
    def write_encoder(changes: dict) -> None:
        text = HEAD
        for name, value in (UNCHANGED | changes).items():
            text = text.replace(f"{{{name}}}", value)
        Path("tested_faults.py").write_text(text)

    return write_encoder


def find_failures(results) -> list[str]:
    return [result.name for result in results if not result.passed]


@pytest.mark.slow
def test_a_plain_encoder_of_keras_passes(write, capsys):
    write({})
    assert main(["check-encoder", "tested_faults:encode"]) == 0
    assert "none failed" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_check(write, name):
    if name == "seeds":  # its initial weights have the shape of two leads
        write({"start": FAULTS[name]["start"].replace("2, width", "int(x.shape[-1]), width")})
    else:
        write(FAULTS[name])
    assert name in find_failures(check_encoder("tested_faults:encode"))


def test_an_encoder_that_raises_is_reported_with_its_line(write, capsys):
    write({"change": "x.no_such_attribute"})
    assert main(["check-encoder", "tested_faults:encode"]) == 1
    line = 1 + Path("tested_faults.py").read_text().split("x.no_such_attribute")[0].count("\n")
    assert f"tested_faults.py, line {line})" in capsys.readouterr().out


def test_a_missing_module_is_wrong_input(capsys):
    assert main(["check-encoder", "tested_nowhere:encode"]) == 2
    assert "no module 'tested_nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("late_it", "the branches are not classified alone"),
        ("early_it", "the branches \\['time', 'frequency', 'tabular'\\] have encoders"),
    ],
)
def test_a_fusion_of_another_family_than_its_name_says_is_found(write, body, problem):
    Path("tested_faults.py").write_text(
        "from keras import layers\n"
        f"def {body}(branches):\n"
        "    features = list(branches.encode_all().values())\n"
        "    return branches.classify(layers.Add()(features))\n"
    )
    (result,) = check_fusion(f"tested_faults:{body}")
    assert result.name == "branches"
    assert re.search(problem, result.problem)


def test_the_check_of_gradients_agrees_with_those_of_the_backend():
    """The check puts gradients in place of weights; here they are computed by the backend."""
    candidate = Candidate(branches={"frequency": "mlp"})
    assert check_gradients(candidate) == ""
    before = candidate.model.get_weights()
    fitted = compile_for_training(candidate.model, "multi_label", "sgd")
    gradients = compute_weight_gradients(
        fitted, candidate.batch, lambda outputs: fitted.loss(candidate.labels, outputs)
    )
    assert all(np.asarray(gradient).any() for gradient in gradients)
    for weight, after in zip(before, candidate.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, after)
