"""The package's public names are loaded on first use."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from run_helpers import make_run

import ecglib
from ecglib.datasets.catalog import SOURCES
from ecglib.experiment.config import list_fields
from ecglib.experiment.registry import ENCODERS, FUSIONS

PUBLIC_NAMES = ecglib.__all__
SMALL = {"epochs": 2, "width": 4, "feature_dim": 8}
SLOW_IMPORTS = ("keras", "tensorflow", "pandas", "numpy", "matplotlib", "wfdb")


def names_for_type_checkers():
    """The imports below ``if TYPE_CHECKING``: name -> module."""
    tree = ast.parse(Path(ecglib.__file__).read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {alias.asname: node.module for node in block.body for alias in node.names}


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_is_the_object_of_its_module(name):
    module = importlib.import_module(names_for_type_checkers()[name])

    assert getattr(ecglib, name) is getattr(module, name)
    assert name in dir(ecglib)


def test_type_checkers_see_the_same_names():
    assert sorted(names_for_type_checkers()) == sorted(PUBLIC_NAMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ecglib.trian  # noqa: B018


def test_importing_the_package_imports_nothing_slow():
    code = f"import sys, ecglib; print([m for m in {SLOW_IMPORTS!r} if m in sys.modules])"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "[]"


def test_opening_datasets_and_runs_does_not_import_keras():
    code = (
        "import sys, ecglib; ecglib.prepare, ecglib.Experiment, ecglib.find_runs; "
        "print('keras' in sys.modules)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "False"


def test_completion_offers_the_public_names_and_not_what_they_are_made_of():
    assert set(ecglib.__all__) <= set(dir(ecglib))
    assert not {"importlib", "os", "TYPE_CHECKING"} & set(dir(ecglib))


def test_every_setting_is_a_keyword_of_train_in_signature_and_help():
    parameters = inspect.signature(ecglib.train).parameters

    assert list(parameters)[:2] == ["data", "experiment"]
    for name, field in list_fields().items():
        if name in ("dataset", "fingerprint"):
            assert name not in parameters
            continue
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert field.metadata["setting"].help in ecglib.train.__doc__
    assert parameters["learning_rate"].default == list_fields()["learning_rate"].default
    assert parameters["branches"].default is inspect.Parameter.empty


def test_jupyter_completes_the_settings():
    shell = InteractiveShell()
    shell.run_cell("import ecglib")

    text = "ecglib.train(data, learning_"
    with provisionalcompleter():
        found = [one.text for one in shell.Completer.completions(text, len(text))]

    assert found == ["learning_rate="]


def test_the_listings_name_all_there_is_with_one_line_each():
    encoders = {f"{name}:{one}" for name, some in ENCODERS.items() for one in some}

    assert set(ecglib.list_encoders()) == encoders
    assert set(ecglib.list_fusions()) == set(FUSIONS)
    assert set(SOURCES) <= set(ecglib.list_datasets())
    for listing in (ecglib.list_encoders(), ecglib.list_fusions(), ecglib.list_datasets()):
        assert all(text and "\n" not in text for text in listing.values())


def test_prepared_stores_are_listed(small_store):
    listed = ecglib.list_datasets(small_store.path.parent)

    assert listed[small_store.path.name] == "a prepared store"


def test_listings_do_not_import_keras():
    code = "import sys, ecglib; ecglib.list_encoders(), ecglib.list_fusions(); "
    code += "ecglib.list_datasets(); print('keras' in sys.modules)"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "False"


def test_a_run_given_twice_is_compared_once():
    run, other = make_run(1.0), make_run(0.5, branches={"frequency": "mlp"})

    assert ecglib.compare([run, other, run]).to_text() == ecglib.compare([run, other]).to_text()


@pytest.mark.slow
def test_the_script_of_a_newcomer(small_store, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGLIB_RUNS", str(tmp_path / "runs"))
    data, record = small_store, small_store.read([0])[0]

    single = ecglib.train(data, branches={"time": "cnn"}, **SMALL)
    fusion = ecglib.train(
        data,
        branches={"time": "cnn", "spectrogram": "cnn2d"},
        fusion="intermediate_gated",
        **SMALL,
    )
    comparison = ecglib.compare([single, fusion])
    predicted = fusion.predict(record, sampling_rate_hz=100, leads=data.signal.leads)

    assert single.path.parent == fusion.path.parent == tmp_path / "runs" / "explore"
    assert single.experiment.data.task == data.default_task
    assert [one.fusion for one in comparison.verdicts] == ["intermediate_gated"]
    assert predicted.p.shape == (1, 2)
    again = ecglib.Predictor(fusion).predict(record, sampling_rate_hz=100, leads=data.signal.leads)
    assert (again.p == predicted.p).all()


@pytest.mark.slow
def test_keywords_change_the_settings_of_an_experiment(small_store, tmp_path):
    first = ecglib.train(small_store, branches={"frequency": "mlp"}, batch=tmp_path, **SMALL)

    again = ecglib.train(small_store, first.experiment, batch=tmp_path)
    other = ecglib.train(small_store, first.experiment, seed=1, batch=tmp_path)

    assert again.path == first.path
    assert other.experiment == first.experiment.replace(seed=1)


@pytest.mark.slow
def test_callbacks_watch_each_epoch_and_change_nothing(small_store, tmp_path):
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    settings = {"branches": {"frequency": "mlp"}, **SMALL}

    plain = ecglib.train(small_store, batch=tmp_path / "a", **settings)
    watched = ecglib.train(small_store, batch=tmp_path / "b", callbacks=[watch], **settings)
    ecglib.train(small_store, batch=tmp_path / "b", callbacks=[watch], **settings)  # exists

    assert [logs["val_auroc"] for logs in seen] == plain.history["val_auroc"].tolist()
    assert watched.experiment.hash == plain.experiment.hash
    assert (watched.predictions("test").p == plain.predictions("test").p).all()
