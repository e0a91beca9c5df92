"""A small batch file."""

from pathlib import Path

import pytest
import yaml

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
