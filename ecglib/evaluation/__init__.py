"""Metrics, thresholds, intervals over patients, and what a fusion really adds."""

from ecglib.evaluation.baselines import BaselineComparison, compare_with_baselines
from ecglib.evaluation.calibration import (
    Calibration,
    compute_calibration_error,
    compute_calibration_floor,
    fit_calibration,
)
from ecglib.evaluation.checks import Check
from ecglib.evaluation.comparison import Comparison, compare_contestants
from ecglib.evaluation.contestants import Contestant, group_by_model
from ecglib.evaluation.conventions import compute_aami_scores, compute_challenge_score
from ecglib.evaluation.decision_metrics import DECISION_METRICS, Counts, count_outcomes
from ecglib.evaluation.differences import Difference
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
from ecglib.evaluation.resampling import compute_interval, resample_scores
from ecglib.evaluation.rivals import Rival
from ecglib.evaluation.scoreboard import Scoreboard, measure_models
from ecglib.evaluation.stacking import StackingWeights, fit_stacking
from ecglib.evaluation.summary import (
    Evaluated,
    evaluate,
    score_calibration,
    score_with_intervals,
)
from ecglib.evaluation.thresholds import fit_thresholds, fit_weights
from ecglib.evaluation.verdict import ComparisonSettings, Verdict, compute_verdicts

__all__ = [
    "DECISION_METRICS",
    "MACRO_METRICS",
    "METRICS",
    "METRIC_NAMES",
    "BaselineComparison",
    "Calibration",
    "Check",
    "Comparison",
    "ComparisonSettings",
    "Contestant",
    "Counts",
    "Difference",
    "Evaluated",
    "Metric",
    "Predictions",
    "Rival",
    "Scoreboard",
    "StackingWeights",
    "Verdict",
    "compare_contestants",
    "compare_with_baselines",
    "compute_aami_scores",
    "compute_calibration_error",
    "compute_calibration_floor",
    "compute_challenge_score",
    "compute_class_scores",
    "compute_interval",
    "compute_log_loss",
    "compute_ranking_scores",
    "compute_scores",
    "compute_verdicts",
    "count_outcomes",
    "decide",
    "evaluate",
    "fit_calibration",
    "fit_stacking",
    "fit_thresholds",
    "fit_weights",
    "group_by_model",
    "measure_models",
    "resample_scores",
    "score_calibration",
    "score_with_intervals",
]
