"""Each notebook runs top to bottom through papermill, with its defaults at a small size."""

import json

import pytest
from notebook_helpers import NOTEBOOKS, execute, outputs

from ecglib.batch.notebooks import read_defaults
from ecglib.datasets.writer import write_store

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder with a small synthetic store, and the store."""
    from ecglib.datasets.sources.synthetic import SyntheticSource

    folder = tmp_path_factory.mktemp("places")
    store = write_store(SyntheticSource(n_patients=60), folder / "data", progress=False)
    return folder, store


def count_pictures(notebook):
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_outputs_are_committed_and_parameters_are_plain(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert cells[0]["cell_type"] == "markdown"
    assert read_defaults(path)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_heading_is_followed_by_what_to_look_for(path):
    cells = json.loads(path.read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    sections = [text for text in texts if text.startswith("#")]
    assert sections
    assert all(len(text.split("\n\n", 1)) == 2 for text in sections)


@pytest.mark.slow
def test_dataset_and_representations_run_with_pictures(places):
    folder, store = places
    executed = execute("01_dataset.ipynb", folder, dataset=store.path)
    assert count_pictures(executed) == 6  # the class balance and an ECG of each class
    executed = execute("02_representations.ipynb", folder, dataset=store.path)
    assert count_pictures(executed) == 3


@pytest.mark.slow
def test_train_and_compare_run_with_pictures(places):
    folder, store = places
    common = {"dataset": store.path, "runs_dir": folder / "runs", "epochs": 1, "width": 4}
    for parameters in (
        {"branches": {"handcrafted": "random_forest"}, "fusion": "none"},
        {"branches": {"time": "cnn"}, "fusion": "none"},
        {"branches": {"frequency": "cnn"}, "fusion": "none"},
        {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "intermediate_gated"},
    ):
        executed = execute("03_train.ipynb", folder, **common, **parameters)
        assert count_pictures(executed) == (2 if "handcrafted" in parameters["branches"] else 3)
    executed = execute("04_compare.ipynb", folder, runs_dir=folder / "runs")
    assert count_pictures(executed) == 2
    text = json.dumps(executed).replace("\\", "")  # names are escaped in Markdown
    assert "synthetic data" in text
    assert "intermediate_gated" in text
    assert "the classical baseline handcrafted:random_forest" in text
    executed = execute(
        "08_predict.ipynb", folder, runs_dir=folder / "runs", data_dir=folder / "data"
    )
    assert count_pictures(executed) == 3
    assert "synthetic data" in json.dumps(executed)


@pytest.mark.slow
def test_own_data_goes_from_a_folder_of_csv_files_to_a_verdict(tmp_path):
    sizes = {"n_patients": 40, "epochs": 1, "width": 4, "seeds": [0]}
    folders = {"data_dir": tmp_path / "data", "runs_dir": tmp_path / "runs"}
    executed = execute("09_own_data.ipynb", tmp_path, **sizes, **folders)
    assert count_pictures(executed) == 4  # class balance, an ECG, the verdict and the scores
    assert len(list((tmp_path / "runs" / "own_data").glob("*/metrics.json"))) == 8
    assert "intermediate_concat" in json.dumps(executed)
    (store,) = (tmp_path / "data").glob("simulated_csv-*")
    csv_files = len(list((tmp_path / "data" / "simulated_csv").glob("*.csv")))
    assert json.loads((store / "dataset.json").read_text())["n_records"] == csv_files - 1
