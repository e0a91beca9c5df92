"""Predictions of another framework: reading, checking and entering them into a batch."""

from ecglib.batch.entering.entry import enter
from ecglib.batch.entering.files import PredictionTable, read_predictions

__all__ = ["PredictionTable", "enter", "read_predictions"]
