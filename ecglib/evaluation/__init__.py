"""Metrics, thresholds, intervals over patients, and what a fusion really adds."""

from ecglib.evaluation.baselines import BaselineComparison, compare_with_baselines
from ecglib.evaluation.calibration import (
    Calibration,
    compute_calibration_error,
    compute_calibration_floor,
    fit_calibration,
)
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.conventions import compute_aami_scores, compute_challenge_score
from ecglib.evaluation.decision_metrics import DECISION_METRICS, Counts, count_outcomes
from ecglib.evaluation.metrics import (
    MACRO_METRICS,
    METRIC_NAMES,
    METRICS,
    Metric,
    compute_class_scores,
    compute_log_loss,
    compute_ranking_scores,
    compute_scores,
    decide,
)
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
    "DECISION_METRICS",
    "MACRO_METRICS",
    "METRICS",
    "METRIC_NAMES",
    "BaselineComparison",
    "Calibration",
    "Comparison",
    "ComparisonSettings",
    "Contestant",
    "Counts",
    "Difference",
    "Gap",
    "Metric",
    "Predictions",
    "StackingWeights",
    "build_score_table",
    "compare_with_baselines",
    "compute_aami_scores",
    "compute_calibration_error",
    "compute_calibration_floor",
    "compute_challenge_score",
    "compute_class_scores",
    "compute_differences",
    "compute_interval",
    "compute_log_loss",
    "compute_ranking_scores",
    "compute_scores",
    "count_outcomes",
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
