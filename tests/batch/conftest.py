"""A small batch file, and a batch whose notebooks are executed by a function."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from stand_in import StandIn

from ecglib.batch import execution, rounds
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch
from ecglib.batch.scheduling import run_batch

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="session")
def small_batch() -> dict:
    """Two single branches and their fusion, one seed, both controls."""
    return {
        "notebook": str(NOTEBOOKS / "03_train.ipynb"),
        "dataset": "small",
        "parameters": {
            "task": "letters",
            "fusion": "none",
            "width": 4,
            "feature_dim": 8,
            "epochs": 1,
            "batch_size": 16,
        },
        "grid": {
            "model": [
                {"branches": {"time": "cnn"}},
                {"branches": {"frequency": "cnn"}},
                {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_average"},
            ],
            "seed": [0],
        },
        "ensembles": [2],
        "same_size_branch": True,
    }


@pytest.fixture(scope="session")
def write_batch_file(small_batch):
    """Write the small batch with some keys changed, into a folder."""

    def write(folder: Path, **changes) -> Path:
        path = folder / "small.yaml"
        path.write_text(yaml.safe_dump(small_batch | changes))
        return path

    return write


@pytest.fixture
def stand_in(small_store, write_batch_file, tmp_path, monkeypatch):
    """A batch whose notebooks are executed by a function of the test, in place of a process.

    Its three runs are those of the small batch, copied from a simulated study.
    """
    file = BatchFile.read(write_batch_file(tmp_path, ensembles=[2], same_size_branch=False))
    carry_out = StandIn()
    monkeypatch.setattr(execution, "execute_notebook", carry_out)
    monkeypatch.setattr(rounds, "LOOK_AGAIN_S", 0.05)

    def run(**changes):
        changed = dataclasses.replace(file, **changes)
        return run_batch(changed, small_store, tmp_path / "runs", n_jobs=1)

    carry_out.run_batch = run
    carry_out.notebook = file.notebook
    carry_out.jobs = Batch(
        file=file, dataset=small_store, runs_dir=(tmp_path / "runs").resolve()
    ).list_jobs()
    return carry_out
