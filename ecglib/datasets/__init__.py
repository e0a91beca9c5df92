"""ECG datasets: sources, preparation, the prepared store."""

from ecglib.datasets.catalog import DESCRIPTIONS, open_dataset, open_source, prepare
from ecglib.datasets.store import Dataset, find_stores, is_store
from ecglib.datasets.writer import write_store

__all__ = [
    "DESCRIPTIONS",
    "Dataset",
    "find_stores",
    "is_store",
    "open_dataset",
    "open_source",
    "prepare",
    "write_store",
]
