"""Checks of encoders, fusions and representations, of ecglib and of others, by the same code."""

from ecglib.models.checks.contestants import check_encoder, check_fusion
from ecglib.models.checks.properties import CHECKS, Candidate
from ecglib.models.checks.representations import check_representation
from ecglib.models.checks.results import CheckResult

__all__ = [
    "CHECKS",
    "Candidate",
    "CheckResult",
    "check_encoder",
    "check_fusion",
    "check_representation",
]
