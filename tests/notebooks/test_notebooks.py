"""Each notebook runs top to bottom at a small size, as for its page in the gallery of the site."""

import importlib.util
import io
import json
import re
import sys
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from notebook_helpers import DOCS, NOTEBOOKS, execute, outputs
from PIL import Image

from ecglib.batch.notebooks import read_defaults

sys.path.insert(0, str(DOCS))

from generate import gallery

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))
# Figures of each notebook; of 01_dataset the class balance and an ECG of each of five classes, of
# 07_tuning without the importance of hyperparameters, which needs more trials.
N_PICTURES = {
    "01_dataset": 6,
    "02_representations": 3,
    "03_train": 3,
    "04_compare": 2,
    "05_explain": 2,
    "06_robustness": 2,
    "07_tuning": 4,
    "08_predict": 3,
    "09_own_data": 4,
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The executed notebooks by name."""
    paths = gallery.execute_all(tmp_path_factory.mktemp("executed"))
    return {stem: gallery.read_notebook(path) for stem, path in paths.items()}


def read_install_cell(path):
    """The code of the cell that installs the package, as Python."""
    cell = json.loads(path.read_text())["cells"][1]
    return TransformerManager().transform_cell("".join(cell["source"]))


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


def test_the_first_cell_installs_the_package_where_it_is_missing(monkeypatch, capsys):
    (code,) = {read_install_cell(path) for path in ALL}
    installed = []

    class Shell:
        def run_line_magic(self, *words):
            installed.append(words)

    names = {"get_ipython": Shell}
    monkeypatch.chdir(NOTEBOOKS)
    exec(code, names)
    assert installed == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exec(code, names)
    assert [words[0] for words in installed] == ["pip"]
    assert "a few minutes" in capsys.readouterr().out
    monkeypatch.chdir(Path.home())
    with pytest.raises(ModuleNotFoundError, match="address of the repository"):
        exec(code, names)


def test_every_notebook_is_in_the_gallery():
    assert sorted(gallery.ENTRIES) == [path.stem for path in ALL] == sorted(N_PICTURES)


@pytest.mark.slow
@pytest.mark.parametrize("stem", N_PICTURES)
def test_a_notebook_runs_and_its_pictures_have_alternative_texts(executed, stem):
    pictures = [
        output["metadata"]["image/png"]
        for output in outputs(executed[stem])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == N_PICTURES[stem]
    assert all(len(picture["alt"].split()) > 4 for picture in pictures)


@pytest.mark.slow
@pytest.mark.parametrize("stem", N_PICTURES)
def test_a_page_shows_no_warning_and_no_folder_of_the_machine(executed, stem):
    page = gallery.make_page(executed[stem], is_executed=True)
    assert not any(output.get("name") == "stderr" for output in outputs(page))
    text = json.dumps([page["metadata"], [cell["metadata"] for cell in page["cells"]]])
    shown = [
        {k: v for k, v in one.get("data", one).items() if k != "image/png"} for one in outputs(page)
    ]
    text += json.dumps(shown)
    text = re.sub(r"(\.\./)+\S+", "", text)  # from the folder of the test to the checkout
    assert not re.search(r"(/home/|/root/|/tmp/|/Users/|/private/|[A-Z]:\\\\)", text)
    assert str(NOTEBOOKS.parent) not in text


@pytest.mark.slow
def test_what_the_notebooks_say(executed):
    text = {stem: json.dumps(one).replace("\\", "") for stem, one in executed.items()}
    assert "synthetic data" in text["01_dataset"]
    assert "synthetic data" in text["08_predict"]
    assert "true label" in text["08_predict"] or ">true<" in text["08_predict"]
    assert text["03_train"].count("of at most 3: loss") == 1  # one line for all epochs
    assert "the classical baseline handcrafted:random_forest" in text["04_compare"]
    assert "intermediate_concat" in text["04_compare"]
    assert "intermediate_concat" in text["09_own_data"]


@pytest.mark.slow
def test_a_card_has_the_size_of_all_cards(executed):
    for picture in gallery.find_pictures(executed["02_representations"]):
        card = Image.open(io.BytesIO(gallery.make_thumbnail(picture)))
        assert card.size == gallery.THUMBNAIL


@pytest.mark.slow
def test_trees_and_the_confusion_of_one_class_for_each_window(small_class_store, tmp_path):
    """By papermill alone, in a kernel that imports everything itself."""
    parameters = {"branches": {"handcrafted": "random_forest"}, "fusion": "none"}
    notebook = execute(
        "03_train.ipynb",
        tmp_path,
        dataset=small_class_store.path,
        task=small_class_store.default_task,
        runs_dir=tmp_path / "runs",
        **parameters,
    )
    alternatives = [
        output["metadata"]["image/png"]["alt"]
        for output in outputs(notebook)
        if "image/png" in output.get("data", {})
    ]
    assert len(alternatives) == 3  # no history: trees have no epochs
    assert alternatives[0].startswith("Confusion matrix")
