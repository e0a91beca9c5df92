"""Each notebook runs top to bottom through papermill, with its defaults at a small size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecglib.batch.notebooks import notebook_defaults
from ecglib.datasets.writer import write_store

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A small synthetic store, where the notebooks look for theirs."""
    from ecglib.datasets.sources.synthetic import SyntheticSource

    folder = tmp_path_factory.mktemp("places")
    store = write_store(SyntheticSource(n_patients=60), folder / "data", progress=False)
    return folder, store


def environment():
    """As a user has it: under pytest, ipykernel would not show what goes to standard error.

    That a class is never predicted is no fault where the test part has nine windows.
    """
    under_pytest = ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
    own = {name: value for name, value in os.environ.items() if name not in under_pytest}
    return own | {"PYTHONWARNINGS": "ignore:No window of the:UserWarning"}


def execute(name, folder, **parameters):
    """The executed notebook; it must have written nothing to standard error."""
    executed = folder / name
    text = json.dumps(parameters, default=str)
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(NOTEBOOKS / name), str(executed)]
        + ["--no-progress-bar", "--kernel", "python3", "--parameters_yaml", text],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = json.loads(executed.read_text())
    assert errors_printed(notebook) == ""
    return notebook


def pictures(notebook):
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def errors_printed(notebook):
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(o["text"]) for o in outputs if o.get("name") == "stderr")


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_outputs_are_committed_and_parameters_are_plain(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert cells[0]["cell_type"] == "markdown"
    assert notebook_defaults(path)


def test_dataset_and_representations_run_with_pictures(places):
    folder, store = places
    shown = execute("01_dataset.ipynb", folder, dataset=store.path)
    assert pictures(shown) == 6  # the class balance and an ECG of each class
    shown = execute("02_representations.ipynb", folder, dataset=store.path)
    assert pictures(shown) == 3


def test_train_and_compare_run_with_pictures(places):
    folder, store = places
    own = {"dataset": store.path, "runs_dir": folder / "runs", "epochs": 1, "width": 4}
    for parameters in (
        {"branches": {"handcrafted": "random_forest"}, "fusion": "none"},
        {"branches": {"time": "cnn"}, "fusion": "none"},
        {"branches": {"frequency": "cnn"}, "fusion": "none"},
        {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "intermediate_gated"},
    ):
        shown = execute("03_train.ipynb", folder, **own, **parameters)
        assert pictures(shown) == (2 if "handcrafted" in parameters["branches"] else 3)
    shown = execute("04_compare.ipynb", folder, runs_dir=folder / "runs")
    assert pictures(shown) == 2
    text = json.dumps(shown)
    assert "synthetic data" in text
    assert "intermediate_gated" in text
    assert "not beat the classical baseline handcrafted:random_forest" in text
    shown = execute("08_predict.ipynb", folder, runs_dir=folder / "runs", data_dir=folder / "data")
    assert pictures(shown) == 3
    assert "synthetic data" in json.dumps(shown)
