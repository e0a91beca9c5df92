"""Carry out many runs with papermill, and compare them."""

from ecglib.batch.batch_report import BatchReport
from ecglib.batch.comparison import compare
from ecglib.batch.file import BatchFile
from ecglib.batch.scheduling import run_batch

__all__ = [
    "BatchFile",
    "BatchReport",
    "compare",
    "run_batch",
]
