"""Training on JAX and PyTorch is the training that it is on TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def run_on(backend, *command):
    """Run a Python command in a new process, on a backend of Keras."""
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def train_on(backend, store, folder, *options):
    run_on(backend, HERE / "same_start.py", store.path, folder / "trained.npz", *options)
    return dict(np.load(folder / "trained.npz"))


@pytest.fixture(scope="module")
def on_tensorflow(small_store, tmp_path_factory):
    return train_on("tensorflow", small_store, tmp_path_factory.mktemp("tensorflow"))


@pytest.mark.parametrize(("backend", "options"), [("jax", ["one_call"]), ("torch", [])])
def test_the_same_weights_are_trained_to_the_same_predictions(
    backend, options, small_store, on_tensorflow, tmp_path
):
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed: make test-backends installs it")
    found = train_on(backend, small_store, tmp_path, *options)
    assert len(found) == (2 if options else 1) * len(on_tensorflow)
    for name, values in found.items():
        expected = on_tensorflow[name.removeprefix("one call, ")]
        assert expected.std() > 1e-2, name
        assert np.allclose(values, expected, atol=1e-4), name


SEARCH = """
import sys
from ecglib.datasets.store import Dataset
from tuning import search, settings

def suggest(hp, space=None):
    hp.Choice("schedule", ["cosine", "one_cycle"])
    return {"branches": {"frequency": "mlp"}, "fusion": "none", "width": 4, "feature_dim": 8}

search.suggest = suggest
budget = settings.Budget(max_parameters=100_000, max_seconds=600)
asked = settings.SearchSettings(max_trials=1, epochs=2, finalists=1, budget=budget)
search.search(Dataset(sys.argv[1]), asked, sys.argv[2])
"""


def test_a_search_trains_its_trials_on_jax(small_store, tmp_path):
    if not importlib.util.find_spec("jax"):
        pytest.skip("jax is not installed: make test-backends installs it")
    run_on("jax", "-c", SEARCH, small_store.path, tmp_path)
    (path,) = tmp_path.glob("*/trials/*.json")
    trial = json.loads(path.read_text())
    assert trial["status"] == "completed"
    losses = [epoch["loss"] for epoch in trial["history"]]
    assert losses[1] < losses[0]
    assert 0 < trial["val_auroc"] <= 1
