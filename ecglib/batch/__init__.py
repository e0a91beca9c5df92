"""Many runs with papermill, and their comparison."""

from ecglib.batch.file import BatchFile
from ecglib.batch.scheduling import run_batch

__all__ = [
    "BatchFile",
    "run_batch",
]
