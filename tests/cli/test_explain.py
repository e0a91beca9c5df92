"""``ecglib explain``: the page, the same probabilities as ``ecglib predict``, and clear errors."""

import json

import numpy as np
import pytest

from ecglib.cli.commands import main
from ecglib.experiment import Experiment
from ecglib.training import train


@pytest.fixture(scope="module")
def run(small_store, tmp_path_factory):
    settings = {"task": "letters", "width": 4, "feature_dim": 8, "epochs": 1, "batch_size": 16}
    experiment = Experiment.from_flat(settings | {"branches": {"frequency": "mlp"}}, small_store)
    return train(small_store, experiment, batch=tmp_path_factory.mktemp("runs") / "b")


@pytest.fixture
def explain(run, small_store):
    def call(*arguments):
        folder = ("--data-dir", str(small_store.path.parent))
        return main(["explain", str(run.path), *arguments, *folder])

    return call


@pytest.fixture
def record(run, small_store):
    return str(small_store.windows["record"].iloc[run.predictions("test").rows[0]])


def test_a_page_is_written_with_the_probabilities_of_predict(
    explain, run, small_store, record, tmp_path, capsys
):
    page, file = tmp_path / "page.html", tmp_path / "record.npy"
    row = run.predictions("test").rows[0]
    np.save(file, small_store.read([row])[0])
    spec = run.contract.signal

    status = explain(record, "-o", str(page), "--method", "gradient", "--json")
    explained = json.loads(capsys.readouterr().out)
    options = [
        "--rate",
        str(spec.sampling_rate_hz),
        "--unit",
        "mV",
        "--leads",
        ",".join(spec.leads),
    ]
    assert main(["predict", str(run.path), str(file), *options, "--json"]) == 0
    (predicted,) = json.loads(capsys.readouterr().out)["predictions"]

    assert status == bool(explained["failed"])
    assert explained["split"] == "test"
    assert explained["probabilities"] == pytest.approx(predicted["probabilities"], rel=1e-5)
    assert explained["decisions"] == predicted["decisions"]
    assert set(explained["inputs"]) == {"signal", "frequency"}
    assert page.read_text().startswith("<!doctype html>")


def test_the_text_names_class_checks_and_page(explain, record, tmp_path, capsys):
    page = tmp_path / "page.png"

    status = explain(record, "-o", str(page), "--method", "gradient")

    printed = capsys.readouterr().out
    assert status in (0, 1)
    assert ("FAILED" in printed) == bool(status)
    assert "weight randomization of the frequency" in printed
    assert "(accepted: at most 0.2)" in printed
    assert "Agreement between seeds was not checked" in printed
    assert str(page) in printed
    assert page.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "-o", "page.png"], "'none' is not a record of"),
        (["RECORD", "-o", "page.gif"], "page.gif cannot be written"),
        (["RECORD", "-o", "page.png", "--class", "Q"], "class='Q', expected one of"),
        (["RECORD", "-o", "page.png", "--method", "lime"], "--method='lime', expected one of"),
        (["RECORD", "-o", "page.png", "--window", "7"], "Window 7 was asked for"),
        (["RECORD", "-o", "page.png", "--rate", "500"], "for files only"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(explain, record, arguments, message, capsys):
    status = explain(*[record if one == "RECORD" else one for one in arguments])

    error = capsys.readouterr().err
    assert status == 2
    assert message in error
    assert error.count("\n") == 1
