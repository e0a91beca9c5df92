"""Encoders and fusions of other packages: names, sources and hashes, without importing them."""

import sys
from pathlib import Path

import pytest

from ecglib.errors import ExperimentError
from ecglib.experiment import Experiment
from ecglib.experiment.import_paths import ImportPath, pin_import_path
from ecglib.experiment.sources import list_sources

SETTINGS = {"dataset": "d", "fingerprint": "f", "task": "t"}
ENCODER = "def encode(x, width, feature_dim, dropout, seed):\n    return x\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(exist_ok=True, parents=True)
    Path(path).write_text(text)


def create(encoder: str, **changes) -> Experiment:
    return Experiment.from_flat(SETTINGS | {"branches": {"time": encoder}} | changes)


def test_an_experiment_records_the_hash_of_the_code_and_imports_nothing(folder):
    write("boom.py", ENCODER + "raise RuntimeError('was executed')\n")
    experiment = create("boom:encode")
    (name,) = experiment.model.import_paths
    assert name.startswith("boom:encode@")
    assert experiment.branch_names == (f"time:{name}",)
    assert experiment.run_name == f"time-encode_seed0_{experiment.hash}"
    assert "boom" not in sys.modules


def test_changed_code_is_another_experiment_and_a_comment_is_not(folder):
    write("mine.py", ENCODER)
    before = create("mine:encode")
    write("mine.py", "# a comment\n" + ENCODER.replace("return x", "return  x"))
    assert create("mine:encode").hash == before.hash
    write("mine.py", ENCODER.replace("return x", "return -x"))
    assert create("mine:encode").hash != before.hash


@pytest.mark.parametrize(
    "statement",
    [
        "from mypackage.blocks import f",
        "from .blocks import f",
        "from . import blocks",
        "import beside",
    ],
)
def test_imported_files_of_the_same_package_or_folder_count(folder, statement):
    write("mypackage/__init__.py", "VERSION = 1\n")
    write("mypackage/encoders.py", f"{statement}\nimport json, keras\n{ENCODER}")
    for name in ("mypackage/blocks.py", "beside.py"):
        write(name, "def f(): return 1\n")
    before = pin_import_path("mypackage.encoders:encode")
    write("mypackage/unrelated.py", "x = 1\n")
    assert pin_import_path("mypackage.encoders:encode") == before
    write("mypackage/blocks.py", "def f(): return 2\n")
    write("beside.py", "def f(): return 2\n")
    assert pin_import_path("mypackage.encoders:encode") != before
    assert not {"json", "keras"} & set(list_sources("mypackage.encoders"))


def test_a_recorded_experiment_is_opened_where_the_module_does_not_exist():
    flat = create("no_such_module:encode@0123abcd").to_flat()
    assert flat["branches"] == {"time": "no_such_module:encode@0123abcd"}
    assert Experiment.from_flat(flat).replace(seed=3).model.import_paths


def test_names_of_the_registry_are_hashed_as_before():
    """Computed before there were import paths."""
    assert create("cnn").hash == "aa48513df2"
    assert create("cnn").to_flat()["branches"] == {"time": "cnn"}


@pytest.mark.parametrize(
    ("encoder", "problem"),
    [
        ("nowhere:encode", r"no module 'nowhere'.*not installed.*pip install"),
        ("mypackage.nowhere:encode", r"no module 'mypackage.nowhere'"),
        ("mypackage.encoders:encod", r"does not define 'encod'.*Did you mean 'encode'"),
        ("mypackage.encoders.encode", r"'mypackage.encoders:encode'"),
        ("__main__:encode", r"defined in a notebook.*'my_encoders:encode'"),
        ("mypackage.encoders:", r"is no import path"),
        ("broken:encode", r"'broken' cannot be read: .*line 1"),
        ("math:sqrt", r"no Python source"),
    ],
)
def test_a_wrong_import_path_is_refused_with_what_to_do(folder, encoder, problem):
    write("mypackage/encoders.py", ENCODER)
    write("broken.py", "def encode(:\n")
    with pytest.raises(ExperimentError, match=problem):
        create(encoder)


def test_the_name_of_a_fusion_begins_with_its_family(folder):
    write("fusions.py", "def late_mine(branches): pass\ndef mine(branches): pass\n")
    branches = {"time": "cnn", "frequency": "mlp"}
    experiment = create(
        "cnn", branches=branches, fusion="fusions:late_mine", branch_training="warm"
    )
    assert experiment.run_name.startswith("late_mine_time-cnn+frequency-mlp")
    with pytest.raises(ExperimentError, match=r"begin with its family.*'intermediate_mine'"):
        create("cnn", branches=branches, fusion="fusions:mine")
    with pytest.raises(ExperimentError, match="auxiliary_loss_weight"):
        create("cnn", branches=branches, fusion="fusions:late_mine", auxiliary_loss_weight=0.3)


@pytest.mark.parametrize("text", ["a:b", "a.b_c:d1@0123abcd", "ä.b:c"])
def test_an_import_path_is_read_and_written(text):
    assert str(ImportPath.parse(text)) == text


@pytest.mark.parametrize("text", ["../a:b", "a:b/c", "a:b@xyz", "a b:c", "a:b:c", ":b", "a/b:c"])
def test_what_could_leave_a_folder_is_no_import_path(text):
    with pytest.raises(ExperimentError, match="no import path"):
        ImportPath.parse(text)


LAYER = "class Mine:\n    pass\n"


def test_a_layer_is_recorded_with_the_hash_of_its_code_and_named(folder):
    write("layers.py", LAYER)
    options = {
        "spectrogram_mine": {"layer": "layers:Mine", "hop_s": 0.1},
        "time_mine": {"layer": "none:No"},
    }
    branches = {"spectrogram_mine": "cnn2d"}
    with pytest.raises(ExperimentError, match="no module 'none'"):
        create("cnn", branches=branches, representation_options=options)
    del options["time_mine"]
    experiment = create("cnn", branches=branches, representation_options=options)
    (path,) = experiment.inputs.layers.values()
    assert path.startswith("layers:Mine@")
    assert experiment.branch_names == ("spectrogram_mine:cnn2d",)
    assert "layers" not in sys.modules
    write("layers.py", LAYER.replace("pass", "unit = 'mV'"))
    changed = create("cnn", branches=branches, representation_options=options)
    assert changed.hash != experiment.hash
    assert Experiment.from_flat(experiment.to_flat()).hash == experiment.hash


@pytest.mark.parametrize(
    ("representation", "layer", "problem"),
    [
        ("time", "layers:Mine", r"'time' is a representation of ecglib.*'time_mine'"),
        ("tabular", "layers:Mine", r"begins with the one of \['time', 'frequency'"),
        ("tabular_mine", "layers:Mine", r"only one. Use 'tabular'"),
        ("wavelet_mine", "layers:Mine", r"='wavelet'.*'time', 'frequency'"),
        ("time_Mine", "layers:Mine", r"lowercase letters and digits"),
        ("time_mine_2", "layers:Mine", r"lowercase letters and digits"),
        ("time_mine", "layers.Mine", r"Write a colon before .*'layers:Mine'"),
        ("time_mine", "Mine", r"is no import path.*'mypackage.layers:MyLayer'"),
        ("time_mine", 3, r"\['layer'\]=3 is no import path"),
    ],
)
def test_a_wrong_layer_is_refused_with_what_to_do(folder, representation, layer, problem):
    write("layers.py", LAYER)
    with pytest.raises(ExperimentError, match=problem):
        create("cnn", representation_options={representation: {"layer": layer}})


def test_another_representation_of_a_kind_needs_options_that_distinguish_it():
    branches = {"spectrogram_fine": "cnn2d", "spectrogram": "cnn2d", "time": "cnn"}
    settings = {"branches": branches, "fusion": "late_average"}
    options = {"spectrogram_fine": {"hop_s": 0.08}}
    experiment = create("cnn", **settings, representation_options=options)
    assert experiment.representations == ["time", "spectrogram", "spectrogram_fine"]
    with pytest.raises(ExperimentError, match=r"has nothing for 'spectrogram_fine'.*'layer'"):
        create("cnn", **settings)
