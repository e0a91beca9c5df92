"""Training on JAX and PyTorch is the training that it is on TensorFlow."""

import importlib.util
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
