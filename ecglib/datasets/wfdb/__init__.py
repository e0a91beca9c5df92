"""A WFDB reader: headers, samples, records."""

from ecglib.datasets.wfdb.annotations import AnnotationFile, read_annotations
from ecglib.datasets.wfdb.headers import GAP, Header, Segment, SignalHeader, read_header
from ecglib.datasets.wfdb.records import Scale, SegmentedRecord, WfdbRecord, read_record
from ecglib.datasets.wfdb.samples import read_samples

__all__ = [
    "GAP",
    "AnnotationFile",
    "Header",
    "Scale",
    "Segment",
    "SegmentedRecord",
    "SignalHeader",
    "WfdbRecord",
    "read_annotations",
    "read_header",
    "read_record",
    "read_samples",
]
