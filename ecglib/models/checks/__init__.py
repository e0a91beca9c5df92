"""Checks of encoders and fusions: those of ecglib and those of others, by the same code."""

from ecglib.models.checks.contestants import CheckResult, check_encoder, check_fusion
from ecglib.models.checks.properties import CHECKS, Candidate

__all__ = [
    "CHECKS",
    "Candidate",
    "CheckResult",
    "check_encoder",
    "check_fusion",
]
