"""The files that hold a record: WFDB, CSV, EDF, BDF and NumPy, read alike everywhere."""

from ecglib.datasets.formats.base import ColumnRecord, FileOptions, LeadReader
from ecglib.datasets.formats.conversion import ConvertedRecord, convert_record
from ecglib.datasets.formats.given import OpenedRecord, relabel_leads
from ecglib.datasets.formats.numpy_files import open_npy, wrap_array
from ecglib.datasets.formats.opening import (
    SUFFIXES,
    WFDB_SIGNAL_SUFFIXES,
    escape_bytes,
    get_record_name,
    open_record,
    open_records,
)

__all__ = [
    "SUFFIXES",
    "WFDB_SIGNAL_SUFFIXES",
    "ColumnRecord",
    "ConvertedRecord",
    "FileOptions",
    "LeadReader",
    "OpenedRecord",
    "convert_record",
    "escape_bytes",
    "get_record_name",
    "open_npy",
    "open_record",
    "open_records",
    "relabel_leads",
    "wrap_array",
]
