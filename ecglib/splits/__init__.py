"""Folds and splits by patient, and what leaks between them."""

from ecglib.splits.cross_validation import assign_parts_of_fold, merge_patients
from ecglib.splits.leaks import (
    LEAKS,
    check_leaks,
    count_leaks,
    count_shared_patients,
    encode_parts,
    report_leaks,
)
from ecglib.splits.patients import (
    PARTS,
    TRAINING_ONLY,
    assign_folds_by_patient,
    convert_folds_to_parts,
    split_by_patient,
)

__all__ = [
    "LEAKS",
    "PARTS",
    "TRAINING_ONLY",
    "assign_folds_by_patient",
    "assign_parts_of_fold",
    "check_leaks",
    "convert_folds_to_parts",
    "count_leaks",
    "count_shared_patients",
    "encode_parts",
    "merge_patients",
    "report_leaks",
    "split_by_patient",
]
