"""Every score of one run with its interval, as `metrics.json` holds them."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecglib.evaluation.calibration import (
    Calibration,
    compute_calibration_error,
    compute_calibration_floor,
    fit_calibration,
)
from ecglib.evaluation.influence import MEASURED_METRICS
from ecglib.evaluation.metrics import MACRO_METRICS, compute_log_loss, compute_scores, decide
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.scoreboard import Scoreboard, score_predictions
from ecglib.evaluation.thresholds import fit_thresholds


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Evaluated:
    """Calibrated predictions of a model, its thresholds and its scores.

    Parameters
    ----------
    predictions : dict of str to Predictions
        Calibrated predictions of the validation and the test split.
    calibration : Calibration
        Fitted on the validation split.
    thresholds : array of shape (n_classes,)
        Decision thresholds, fitted on the validation split.
    scores : dict of str to dict
        Every score of each split, as `score_with_intervals` and `score_calibration` return them.

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
    >>> evaluated = evaluate({"validation": predictions, "test": predictions})
    >>> evaluated.thresholds.shape, evaluated.scores["test"]["macro"]["auroc"]["estimate"]
    ((1,), 0.75)
    """

    predictions: dict[str, Predictions]
    calibration: Calibration
    thresholds: np.ndarray
    scores: dict[str, dict[str, Any]]


def evaluate(raw: Mapping[str, Predictions]) -> Evaluated:
    """Calibrate and choose thresholds on the validation split, and score both splits.

    Parameters
    ----------
    raw : mapping of str to Predictions
        The probabilities that the model gives for the validation and the test split.

    Returns
    -------
    Evaluated
        What stands in the files of a run.

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
    >>> list(evaluate({"validation": predictions, "test": predictions}).scores)
    ['validation', 'test']
    """
    kind = raw["validation"].kind
    calibrate = fit_calibration(raw["validation"].y, raw["validation"].p, kind)
    predictions = {split: one.replace_probabilities(calibrate(one.p)) for split, one in raw.items()}
    validation = predictions["validation"]
    thresholds = fit_thresholds(validation.y, validation.p, kind, validation.classes)
    return Evaluated(
        predictions=predictions,
        calibration=calibrate,
        thresholds=thresholds,
        scores={
            split: score_with_intervals(one, thresholds) | score_calibration(raw[split], one)
            for split, one in predictions.items()
        },
    )


def score_with_intervals(predictions: Predictions, thresholds: np.ndarray) -> dict[str, Any]:
    """Score one split, with 95 % intervals over patients of AUROC, AUPRC and F1.

    Parameters
    ----------
    predictions : Predictions
        Labels and probabilities of the split.
    thresholds : array of shape (n_classes,)
        Decision thresholds, fitted on the validation split.

    Returns
    -------
    dict
        As `compute_scores` returns it, with ``{"estimate", "low", "high"}`` in place of each macro
        score and of each AUROC, AUPRC and F1 of a class. A value that does not exist or cannot be
        measured is None, so that JSON can hold it.

    Raises
    ------
    EcgError
        If the thresholds do not fit the task.

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
    >>> scores = score_with_intervals(predictions, np.array([0.5]))
    >>> scores["macro"]["auroc"]["estimate"], scores["macro"]["f1"]["estimate"]
    (0.75, 0.5)
    >>> scores["per_class"]["AF"]["n_positive"]
    2
    """
    y, p, kind = predictions.y, predictions.p, predictions.kind
    result = compute_scores(y, p, thresholds, kind, predictions.classes)
    decisions = decide(p, thresholds, kind)
    macro, per_class = result["macro"], result["per_class"]
    for metric, value in macro.items():
        if metric not in MEASURED_METRICS:
            macro[metric] = {"estimate": value, "low": float("nan"), "high": float("nan")}
            continue
        scoreboard = score_predictions(predictions, decisions, metric)
        macro[metric] = _describe(scoreboard)
        if metric not in MACRO_METRICS:
            continue
        for k, name in enumerate(predictions.classes):
            per_class[name][metric] = _describe(scoreboard.by_class[k])
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
        ``{"calibration": {"log_loss": {"raw", "calibrated"}, "error": {"raw", "calibrated",
        "perfect_model"}}}``; the last is what a perfectly calibrated model would have on as many
        windows.

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
    {'raw': 0.4, 'calibrated': 0.1, 'perfect_model': 0.18}
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
                "perfect_model": compute_calibration_floor(after.p),
            },
        }
    }


def _describe(scoreboard: Scoreboard) -> dict[str, float]:
    if not scoreboard.windows.scored.any():
        return dict.fromkeys(("estimate", "low", "high"), float("nan"))
    score = scoreboard.score("")
    return {"estimate": score.estimate, "low": score.low, "high": score.high}


def _replace_nan(value: Any) -> Any:
    """Return the values with None in place of every NaN."""
    if isinstance(value, dict):
        return {key: _replace_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
