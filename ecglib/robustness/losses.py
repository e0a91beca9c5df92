"""How much of its score each model loses, with intervals over patients and seeds.

A loss is a sum of scores with weights, and its influence values are the same sum of theirs
(`ecglib.evaluation.influence`). A loss of one model, and the difference between the losses of two,
are therefore paired over patients, seeds and sampled thresholds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from ecglib.evaluation.differences import Difference
from ecglib.evaluation.effective_patients import is_measurable
from ecglib.evaluation.influence import Measurement
from ecglib.evaluation.rules import MIN_SEEDS
from ecglib.evaluation.scoreboard import Scoreboard
from ecglib.evaluation.seeds import estimate_seed_variances
from ecglib.evaluation.variances import Variance

NOTHING = "no change"

Weights = Mapping[str, float]


def combine_scores(scoreboard: Scoreboard, sums: Mapping[str, Weights]) -> Scoreboard:
    """Combine measured scores into weighted sums of them.

    Parameters
    ----------
    scoreboard : Scoreboard
        The measured scores.
    sums : mapping of str to mapping of str to float
        Name of each sum -> the weights of the scores in it, by their names. The scores of one sum
        are of one model, with the same seeds.

    Returns
    -------
    Scoreboard
        Of the sums, and of "no change", which is always zero.

    Examples
    --------
    >>> from ecglib.evaluation.effective_patients import compute_effective_patients
    >>> from ecglib.evaluation.influence import Windows, measure
    >>> windows = Windows(y=np.array([[0], [0], [1], [1]]) == 1, patient=np.arange(4))
    >>> unknown = Variance(float("nan"), float("nan"))
    >>> def measure_auroc(p):
    ...     p = np.array(p).reshape(1, 4, 1)
    ...     return measure(windows, p, p > 0.5, "auroc")
    >>> scoreboard = Scoreboard(
    ...     metric="auroc",
    ...     windows=windows,
    ...     effective_patients=compute_effective_patients(windows),
    ...     measurements={
    ...         "clean": measure_auroc([0.1, 0.2, 0.8, 0.9]),
    ...         "noisy": measure_auroc([0.1, 0.6, 0.4, 0.9]),
    ...     },
    ...     seeds={"clean": unknown, "noisy": unknown},
    ...     cautious_seeds={"clean": unknown, "noisy": unknown},
    ...     threshold_draws={},
    ... )
    >>> changes = combine_scores(scoreboard, {"time:cnn": {"noisy": 1.0, "clean": -1.0}})
    >>> compute_loss(changes, "time:cnn").format()
    '+0.250 [-0.669, +1.169]'
    """
    measurements, draws = {}, {}
    for name, weights in sums.items():
        parts = [(weight, scoreboard.measurements[one]) for one, weight in weights.items()]
        measurements[name] = Measurement(
            scores=np.sum([weight * one.scores for weight, one in parts], axis=0),
            influence=np.sum([weight * one.influence for weight, one in parts], axis=0),
        )
        if scoreboard.threshold_draws:
            draws[name] = np.sum(
                [weight * scoreboard.threshold_draws[one] for one, weight in weights.items()],
                axis=0,
            )
    values = list(measurements.values())
    unknown = {NOTHING: Variance(float("nan"), float("nan"))}
    seeds = dict(zip(sums, estimate_seed_variances(values), strict=True))
    cautious = dict(zip(sums, estimate_seed_variances(values, cautious=True), strict=True))
    measurements[NOTHING] = _build_nothing(values[0])
    if draws:
        draws[NOTHING] = np.zeros_like(next(iter(draws.values())))
    return dataclasses.replace(
        scoreboard,
        measurements=measurements,
        seeds=seeds | unknown,
        cautious_seeds=cautious | unknown,
        threshold_draws=draws,
    )


def compute_loss(changes: Scoreboard, name: str) -> Difference:
    """Compute the loss of a score.

    Parameters
    ----------
    changes : Scoreboard
        Changes of scores, as `combine_scores` returns them.
    name : str
        Name of the change.

    Returns
    -------
    Difference
        Above zero if the score became worse, also for metrics of which less is better.

    Examples
    --------
    See `combine_scores`.
    """
    return dataclasses.replace(changes.subtract(NOTHING, name), name=name)


def find_obstacle(scoreboard: Scoreboard, names: Iterable[str]) -> str:
    """Find why no test can tell the losses of models apart.

    Parameters
    ----------
    scoreboard : Scoreboard
        The measured scores.
    names : iterable of str
        Names of the models.

    Returns
    -------
    str
        The reason; empty if there is none.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> models = group_by_model(simulate_study(StudySettings(n_patients=40, n_seeds=2), seed=0))
    >>> find_obstacle(measure_models(models, "auroc"), ["time:cnn"])
    '2 seeds; a verdict needs 5 of each model.'
    """
    if not is_measurable(scoreboard.effective_patients.total):
        return "Too few patients decide the score."
    n_seeds = min(len(scoreboard.measurements[name].scores) for name in names)
    if n_seeds < MIN_SEEDS:
        plural = "s" if n_seeds > 1 else ""
        return f"{n_seeds} seed{plural}; a verdict needs {MIN_SEEDS} of each model."
    return ""


def _build_nothing(like: Measurement) -> Measurement:
    """Return a measurement of one seed that is zero where the other one has a score."""
    return Measurement(
        scores=like.scores[:1] * 0.0,
        influence=np.zeros_like(like.influence[:1]),
    )
