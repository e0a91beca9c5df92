"""What the representations of an ECG and their fusion really add, measured fairly.

The names below are the public interface. Each is imported on first use, so that ``import ecglib``
stays fast: it imports neither TensorFlow nor Keras nor pandas.

Examples
--------
Train one branch and a fusion on the synthetic data, compare them, and predict a record::

    import ecglib

    data = ecglib.prepare("synthetic")
    single = ecglib.train(data, branches={"time": "cnn"})
    fusion = ecglib.train(
        data,
        branches={"time": "cnn", "spectrogram": "cnn2d"},
        fusion="intermediate_gated",
    )
    ecglib.compare([single, fusion])
    fusion.predict("record.hea")

`list_datasets`, `list_encoders` and `list_fusions` say what there is.
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; a test compares it with _MODULES
    from ecglib.batch.comparison import compare as compare
    from ecglib.batch.entering import enter as enter
    from ecglib.datasets import Dataset as Dataset
    from ecglib.datasets import list_datasets as list_datasets
    from ecglib.datasets import open_dataset as open_dataset
    from ecglib.datasets import prepare as prepare
    from ecglib.datasets import write_store as write_store
    from ecglib.datasets.schema import Task as Task
    from ecglib.datasets.sources.arrays import ArraysSource as ArraysSource
    from ecglib.datasets.sources.arrays import Recordings as Recordings
    from ecglib.errors import EcgError as EcgError
    from ecglib.experiment import Experiment as Experiment
    from ecglib.experiment.listing import list_encoders as list_encoders
    from ecglib.experiment.listing import list_fusions as list_fusions
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
    "compare": "ecglib.batch.comparison",
    "enter": "ecglib.batch.entering",
    "export_run": "ecglib.inference",
    "find_runs": "ecglib.runs",
    "list_datasets": "ecglib.datasets",
    "list_encoders": "ecglib.experiment.listing",
    "list_fusions": "ecglib.experiment.listing",
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
            from ecglib.errors import did_you_mean

            hint = did_you_mean(name, _MODULES) if not name.startswith("_") else ""
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{hint}")
        value = getattr(importlib.import_module(_MODULES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__", "__doc__"})
