"""ECG datasets: sources, preparation, the prepared store."""

from ecglib.datasets.catalog import (
    SOURCES,
    KnownSource,
    list_datasets,
    open_dataset,
    open_source,
    prepare,
)
from ecglib.datasets.problems import ProblemRules
from ecglib.datasets.schema import Task
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset, find_stores, is_store
from ecglib.datasets.store_files import verify_store
from ecglib.datasets.writer import write_store

__all__ = [
    "SOURCES",
    "Dataset",
    "KnownSource",
    "ProblemRules",
    "Selection",
    "Task",
    "find_stores",
    "is_store",
    "list_datasets",
    "open_dataset",
    "open_source",
    "prepare",
    "verify_store",
    "write_store",
]
