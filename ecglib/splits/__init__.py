"""Folds and splits by patient, and what leaks between them."""

from ecglib.splits.cross_validation import merge_patients, parts_of_fold
from ecglib.splits.leaks import LEAKS, leak_report, leaks_in, part_codes, require_no_leak
from ecglib.splits.patients import (
    PARTS,
    TRAINING_ONLY,
    folds_by_patient,
    folds_to_parts,
    split_by_patient,
)

__all__ = [
    "LEAKS",
    "PARTS",
    "TRAINING_ONLY",
    "folds_by_patient",
    "leak_report",
    "leaks_in",
    "merge_patients",
    "part_codes",
    "parts_of_fold",
    "folds_to_parts",
    "require_no_leak",
    "split_by_patient",
]
