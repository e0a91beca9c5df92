"""Metrics, thresholds, intervals over patients, and what a fusion really adds."""

from ecglib.evaluation.baselines import BaselineComparison, compare_with_baselines
from ecglib.evaluation.calibration import (
    Calibration,
    compute_calibration_error,
    compute_log_loss,
    fit_calibration,
)
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.metrics import MACRO_METRICS, METRIC_NAMES, compute_scores, decide
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.report import Comparison
from ecglib.evaluation.resampling import compute_interval, resample_scores
from ecglib.evaluation.stacking import StackingWeights, fit_stacking
from ecglib.evaluation.summary import score_calibration, score_with_intervals
from ecglib.evaluation.thresholds import fit_thresholds, fit_weights
from ecglib.evaluation.verdict import (
    ComparisonSettings,
    Difference,
    Gap,
    build_score_table,
    compute_differences,
    describe_difference,
    find_best_single,
)

__all__ = [
    "MACRO_METRICS",
    "METRIC_NAMES",
    "BaselineComparison",
    "Calibration",
    "Comparison",
    "ComparisonSettings",
    "Contestant",
    "Difference",
    "Gap",
    "Predictions",
    "StackingWeights",
    "build_score_table",
    "compare_with_baselines",
    "compute_calibration_error",
    "compute_differences",
    "compute_interval",
    "compute_log_loss",
    "compute_scores",
    "decide",
    "describe_difference",
    "find_best_single",
    "fit_calibration",
    "fit_stacking",
    "fit_thresholds",
    "fit_weights",
    "resample_scores",
    "score_calibration",
    "score_with_intervals",
]
