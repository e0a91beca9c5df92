"""What the representations of an ECG and their fusion really add, measured fairly.

The names below are the public interface. Each is imported on first use, so that ``import ecglib``
stays fast: it imports neither TensorFlow nor Keras nor pandas.

Examples
--------
Train one experiment on the synthetic data, and open its run again::

    import ecglib

    dataset = ecglib.prepare("synthetic")
    experiment = ecglib.Experiment.from_flat(
        {"task": "superdiagnostic", "branches": {"time": "cnn"}, "epochs": 5}, dataset
    )
    run = ecglib.train(experiment, dataset)
    ecglib.open_run(run.path).metrics["test"]["macro"]["auroc"]
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; a test compares it with _MODULES
    from ecglib.batch.comparison import compare_runs as compare_runs
    from ecglib.datasets import Dataset as Dataset
    from ecglib.datasets import open_dataset as open_dataset
    from ecglib.datasets import prepare as prepare
    from ecglib.datasets import write_store as write_store
    from ecglib.datasets.schema import Task as Task
    from ecglib.datasets.sources.arrays import ArraysSource as ArraysSource
    from ecglib.datasets.sources.arrays import Recordings as Recordings
    from ecglib.errors import EcgError as EcgError
    from ecglib.experiment import Experiment as Experiment
    from ecglib.inference import Predictor as Predictor
    from ecglib.inference import RecordOptions as RecordOptions
    from ecglib.inference import export_run as export_run
    from ecglib.runs import Run as Run
    from ecglib.runs import find_runs as find_runs
    from ecglib.runs import open_run as open_run
    from ecglib.training import train as train

__version__ = "0.1.0"

# TensorFlow's C++ log is silent unless TF_CPP_MIN_LOG_LEVEL=0 asks for it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

_MODULES = {
    "ArraysSource": "ecglib.datasets.sources.arrays",
    "Dataset": "ecglib.datasets",
    "EcgError": "ecglib.errors",
    "Experiment": "ecglib.experiment",
    "Predictor": "ecglib.inference",
    "RecordOptions": "ecglib.inference",
    "Recordings": "ecglib.datasets.sources.arrays",
    "Run": "ecglib.runs",
    "Task": "ecglib.datasets.schema",
    "compare_runs": "ecglib.batch.comparison",
    "export_run": "ecglib.inference",
    "find_runs": "ecglib.runs",
    "open_dataset": "ecglib.datasets",
    "open_run": "ecglib.runs",
    "prepare": "ecglib.datasets",
    "train": "ecglib.training",
    "write_store": "ecglib.datasets",
}
__all__ = list(_MODULES)

if not TYPE_CHECKING:  # hidden from type checkers: they would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name on first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
