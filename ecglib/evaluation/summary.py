"""Every score of one run, each with its interval, as `metrics.json` holds them."""

import math
from collections.abc import Sequence

import numpy as np

from ecglib.evaluation.calibration import calibration_error, log_loss
from ecglib.evaluation.metrics import MACRO_METRICS, decide, scores
from ecglib.evaluation.resampling import interval, macro_mean, n_ignored, resampled_scores


def with_intervals(
    y: np.ndarray,
    p: np.ndarray,
    thresholds: Sequence[float],
    kind: str,
    classes: Sequence[str],
    patients: np.ndarray,
    n_resamples: int = 1000,
) -> dict:
    """Scores of one part, AUROC, AUPRC and F1 with their 95 % patient-bootstrap intervals.

    Parameters
    ----------
    y, p : arrays (n_windows, n_classes), labels and probabilities.
    thresholds : (n_classes,), fitted on the validation part.
    kind : "multi_label" or "multi_class".
    classes : names of the classes.
    patients : array (n_windows,), the patient of each window.
    n_resamples : patient resamples.

    Returns
    -------
    dict
        As `metrics.scores` returns it, with ``{"estimate", "low", "high", "ignored"}`` in place
        of each AUROC, AUPRC and F1. What does not exist is None, so that JSON can hold it.
    """
    result = scores(y, p, thresholds, kind, classes)
    resampled = resampled_scores(y, p, decide(p, thresholds, kind), patients, n_resamples)
    for metric in MACRO_METRICS:
        macro = result["macro"]
        macro[metric] = _with_interval(macro[metric], macro_mean(resampled[metric], y))
        for k, name in enumerate(classes):
            own = result["per_class"][name]
            own[metric] = _with_interval(own[metric], resampled[metric][:, k])
    return _without_nan(result)


def calibration_scores(y: np.ndarray, raw: np.ndarray, p: np.ndarray, kind: str) -> dict:
    """Log loss and calibration error of one part, before and after calibration.

    Parameters
    ----------
    y, raw, p : arrays (n_windows, n_classes), labels, the model's probabilities, calibrated ones.
    kind : "multi_label" or "multi_class".
    """
    return {
        "calibration": {
            "log_loss": {"raw": log_loss(y, raw, kind), "calibrated": log_loss(y, p, kind)},
            "error": {"raw": calibration_error(y, raw), "calibrated": calibration_error(y, p)},
        }
    }


def _with_interval(estimate: float, resampled: np.ndarray) -> dict:
    low, high = interval(resampled)
    return {"estimate": estimate, "low": low, "high": high, "ignored": n_ignored(resampled)}


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
