"""From a finished run to an exported model and to predictions for new records."""

from ecglib.inference.export import FILES, Exported, build_run_model, export_run
from ecglib.inference.options import RecordOptions
from ecglib.inference.predict import Latency, PredictedRecords, Predictor
from ecglib.inference.records import (
    Window,
    check_tabular_values,
    compute_tabular,
    find_records,
    read_stored_windows,
    read_windows,
)

__all__ = [
    "FILES",
    "Exported",
    "Latency",
    "PredictedRecords",
    "Predictor",
    "RecordOptions",
    "Window",
    "build_run_model",
    "check_tabular_values",
    "compute_tabular",
    "export_run",
    "find_records",
    "read_stored_windows",
    "read_windows",
]
