"""Every score of one run with its interval, as `metrics.json` holds them."""

import math
from typing import Any

import numpy as np

from ecglib.evaluation.calibration import compute_calibration_error, compute_log_loss
from ecglib.evaluation.metrics import MACRO_METRICS, compute_scores, decide
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.resampling import (
    average_over_classes,
    compute_interval,
    count_unscored,
    resample_scores,
)


def score_with_intervals(
    predictions: Predictions, thresholds: np.ndarray, n_resamples: int = 1000
) -> dict[str, Any]:
    """Score one split, with 95 % patient-bootstrap intervals of AUROC, AUPRC and F1.

    Parameters
    ----------
    predictions : Predictions
        Labels and probabilities of the split.
    thresholds : array of shape (n_classes,)
        Decision thresholds, fitted on the validation split.
    n_resamples : int, default 1000
        Number of patient resamples.

    Returns
    -------
    dict
        As `compute_scores` returns it, with ``{"estimate", "low", "high", "ignored"}`` in place
        of each AUROC, AUPRC and F1. A value that does not exist is None, so that JSON can hold it.

    Raises
    ------
    EcgError
        If the thresholds do not fit the task, or if there are fewer than two patients.

    Examples
    --------
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.arange(4),
    ...     records=np.array(["r1", "r2", "r3", "r4"]),
    ...     patients=np.array(["p1", "p2", "p3", "p4"]),
    ...     y=np.array([[0], [0], [1], [1]]),
    ...     p=np.array([[0.1], [0.6], [0.4], [0.9]]),
    ... )
    >>> scores = score_with_intervals(predictions, np.array([0.5]), n_resamples=100)
    >>> scores["macro"]["auroc"]["estimate"], scores["macro"]["f1"]["estimate"]
    (0.75, 0.5)
    >>> scores["per_class"]["AF"]["n_positive"]
    2
    """
    y, p, kind = predictions.y, predictions.p, predictions.kind
    result = compute_scores(y, p, thresholds, kind, predictions.classes)
    resampled = resample_scores(
        y, p, decide(p, thresholds, kind), predictions.patients, n_resamples=n_resamples
    )
    macro, per_class = result["macro"], result["per_class"]
    for metric in MACRO_METRICS:
        macro[metric] = _add_interval(macro[metric], average_over_classes(resampled[metric], y))
        for k, name in enumerate(predictions.classes):
            class_scores = per_class[name]
            class_scores[metric] = _add_interval(class_scores[metric], resampled[metric][:, k])
    return _replace_nan(result)


def score_calibration(before: Predictions, after: Predictions) -> dict[str, Any]:
    """Compute log loss and calibration error of one split, before and after calibration.

    Parameters
    ----------
    before : Predictions
        With the probabilities that the model gives.
    after : Predictions
        Of the same windows, with calibrated probabilities.

    Returns
    -------
    dict
        ``{"calibration": {"log_loss": {"raw", "calibrated"}, "error": {"raw", "calibrated"}}}``.

    Examples
    --------
    >>> before = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.arange(2),
    ...     records=np.array(["r1", "r2"]),
    ...     patients=np.array(["p1", "p2"]),
    ...     y=np.array([[0], [1]]),
    ...     p=np.array([[0.4], [0.6]]),
    ... )
    >>> after = before.replace_probabilities(np.array([[0.1], [0.9]]))
    >>> error = score_calibration(before, after)["calibration"]["error"]
    >>> {name: round(value, 3) for name, value in error.items()}
    {'raw': 0.4, 'calibrated': 0.1}
    """
    y, kind = before.y, before.kind
    return {
        "calibration": {
            "log_loss": {
                "raw": compute_log_loss(y, before.p, kind),
                "calibrated": compute_log_loss(y, after.p, kind),
            },
            "error": {
                "raw": compute_calibration_error(y, before.p),
                "calibrated": compute_calibration_error(y, after.p),
            },
        }
    }


def _add_interval(estimate: float, resampled: np.ndarray) -> dict[str, float]:
    low, high = compute_interval(resampled)
    return {"estimate": estimate, "low": low, "high": high, "ignored": count_unscored(resampled)}


def _replace_nan(value: Any) -> Any:
    """Return the values with None in place of every NaN."""
    if isinstance(value, dict):
        return {key: _replace_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
