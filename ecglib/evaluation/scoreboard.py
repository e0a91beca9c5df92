"""All models of a comparison, measured by one metric on the same windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ecglib.errors import RunError, did_you_mean
from ecglib.evaluation.contestants import ENTERED, Contestant
from ecglib.evaluation.differences import LEVEL, Difference
from ecglib.evaluation.effective_patients import (
    EffectivePatients,
    compute_effective_patients,
    is_measurable,
)
from ecglib.evaluation.influence import MEASURED_METRICS, Measurement, Windows, measure
from ecglib.evaluation.metrics import METRICS
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.seeds import estimate_seed_variances
from ecglib.evaluation.threshold_sampling import (
    compute_threshold_variance,
    draw_scores_over_thresholds,
)
from ecglib.evaluation.variances import Variance, add_variances


def check_metric(metric: str) -> None:
    """Refuse a metric that models cannot be compared by.

    Parameters
    ----------
    metric : str
        Name of the metric.

    Raises
    ------
    RunError
        If `metric` is none of `ecglib.evaluation.influence.MEASURED_METRICS`.

    Examples
    --------
    >>> check_metric("auroc")
    """
    if metric not in MEASURED_METRICS:
        raise RunError(
            f"Unknown metric {metric!r}; expected one of {', '.join(MEASURED_METRICS)}."
            + did_you_mean(metric, MEASURED_METRICS)
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of one model with its 95 % interval.

    Parameters
    ----------
    estimate : float
        Mean over seeds.
    low, high : float
        Interval over patients and seeds; nan if it cannot be measured.
    seed_std : float
        Standard deviation between seeds; nan for one seed.

    Examples
    --------
    >>> Score(estimate=0.91, low=0.88, high=0.93, seed_std=0.004).format()
    '0.910 [0.880, 0.930]'
    """

    estimate: float
    low: float
    high: float
    seed_std: float = float("nan")

    def format(self) -> str:
        """Return the score and its interval as text.

        Returns
        -------
        str
            For example "0.910 [0.880, 0.930]".
        """
        if np.isnan(self.estimate):
            return "-"
        if np.isnan(self.low):
            return f"{self.estimate:.3f} [no interval]"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, eq=False, kw_only=True)
class Scoreboard:
    """All models of a comparison, measured by one metric.

    Parameters
    ----------
    metric : str
        The metric.
    windows : Windows
        Labels and patients of the split.
    effective_patients : EffectivePatients
        How many patients its scores rest on.
    measurements : mapping of str to Measurement
        Name of each model -> its measurement, with its seeds as rows.
    seeds : mapping of str to Variance
        What seeds add to the variance of each model's macro score.
    cautious_seeds : mapping of str to Variance
        The same, not less than the pooled variance of all models.
    threshold_draws : mapping of str to array of shape (n_halvings, 2, n_draws, n_classes)
        Scores of each model with thresholds fitted on halves of the validation patients, see
        `ecglib.evaluation.threshold_sampling`; empty if the metric or the task does not depend on
        them.
    threshold_degrees : float, default inf
        Degrees of freedom of their variance.
    seed_groups : mapping of str to str, default {}
        Name of each model -> name of the group of models whose seeds vary alike.

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
    >>> contestant = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=predictions,
    ...     thresholds=np.array([0.5]),
    ...     validation=predictions,
    ...     parameters=1000,
    ... )
    >>> scoreboard = measure_models({"time:cnn": [contestant]}, "auroc")
    >>> scoreboard.score("time:cnn").estimate
    0.75
    """

    metric: str
    windows: Windows
    effective_patients: EffectivePatients
    measurements: Mapping[str, Measurement]
    seeds: Mapping[str, Variance]
    cautious_seeds: Mapping[str, Variance]
    threshold_draws: Mapping[str, np.ndarray]
    threshold_degrees: float = float("inf")
    seed_groups: Mapping[str, str] = field(default_factory=dict)

    def score(self, name: str) -> Score:
        """Return a model's macro score with its interval.

        Parameters
        ----------
        name : str
            Name of the model.

        Returns
        -------
        Score
            Mean over seeds.
        """
        measurement = self.measurements[name]
        parts = [
            self._compute_patient_variance(measurement.macro_influence.mean(axis=0)),
            self.seeds[name],
        ]
        if self.threshold_draws:
            draws = self._draw_macro_scores(name)
            parts.append(Variance(compute_threshold_variance(draws), self.threshold_degrees))
        values = measurement.macro_scores
        low, high = compute_score_interval(
            float(values.mean()),
            add_variances(parts),
            self.effective_patients.total,
            minimum=METRICS[self.metric].minimum,
        )
        return Score(
            estimate=float(values.mean()),
            low=low,
            high=high,
            seed_std=float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
        )

    def score_oriented(self, name: str) -> float:
        """Return a model's macro score, with the opposite sign if less is better.

        Parameters
        ----------
        name : str
            Name of the model.

        Returns
        -------
        float
            Mean over seeds; the better of two models has the greater value.
        """
        return self._sign * float(self.measurements[name].macro_scores.mean())

    @property
    def _sign(self) -> float:
        return 1.0 if METRICS[self.metric].greater_is_better else -1.0

    def subtract(self, a: str, b: str) -> Difference:
        """Return how much better one model is than another.

        Parameters
        ----------
        a, b : str
            Names of the models.

        Returns
        -------
        Difference
            The score of `a` minus that of `b`, with the opposite sign for metrics of which less
            is better.
        """
        first, second = self.measurements[a], self.measurements[b]
        influence = first.macro_influence.mean(axis=0) - second.macro_influence.mean(axis=0)
        patients = self._compute_patient_variance(influence)
        if self.threshold_draws:
            draws = self._draw_macro_scores(a) - self._draw_macro_scores(b)
            sampled = Variance(compute_threshold_variance(draws), self.threshold_degrees)
            patients = add_variances([patients, sampled])
        return Difference(
            name=b,
            estimate=self.score_oriented(a) - self.score_oriented(b),
            patients=patients,
            seeds=(self.seeds[a], self.seeds[b]),
            cautious_seeds=(self.cautious_seeds[a], self.cautious_seeds[b]),
        )

    @cached_property
    def by_class(self) -> tuple[Scoreboard, ...]:
        """The scoreboard of each class; its macro scores are the scores of the class."""
        return tuple(self._select_class(k) for k in range(self.windows.n_classes))

    def _select_class(self, k: int) -> Scoreboard:
        windows = Windows(
            y=self.windows.y[:, [k]], patient=self.windows.patient, fold=self.windows.fold
        )
        measurements = {name: one.select_class(k) for name, one in self.measurements.items()}
        draws = {name: one[..., [k]] for name, one in self.threshold_draws.items()}
        values = _estimate_seeds(measurements, self.seed_groups)
        return dataclasses.replace(
            self,
            windows=windows,
            effective_patients=compute_effective_patients(windows),
            measurements=measurements,
            seeds=values.moderated,
            cautious_seeds=values.cautious,
            threshold_draws=draws,
        )

    def _compute_patient_variance(self, influence: np.ndarray) -> Variance:
        n_patients, effective = len(influence), self.effective_patients.total
        return Variance(
            value=float(n_patients / max(1, n_patients - 1) * (influence**2).sum()),
            degrees_of_freedom=effective - 1 if is_measurable(effective) else 0.0,
        )

    def _draw_macro_scores(self, name: str) -> np.ndarray:
        return self.threshold_draws[name][..., self.windows.scored].mean(axis=-1)


def measure_models(
    models: Mapping[str, Sequence[Contestant]], metric: str, split: str = "test"
) -> Scoreboard:
    """Measure all models of a comparison by one metric.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds, as `group_by_model` returns them.
    metric : str
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`.
    split : {"test", "validation"}, default "test"
        The split that is scored.

    Returns
    -------
    Scoreboard
        Of all models.

    Raises
    ------
    RunError
        If the metric is unknown, or if there are fewer than two patients.

    Examples
    --------
    >>> measure_models({}, "auc")
    Traceback (most recent call last):
    ecglib.errors.RunError: Unknown metric 'auc'; expected one of auroc, ...
    """
    check_metric(metric)
    selected = {name: [one.select_split(split) for one in seeds] for name, seeds in models.items()}
    windows = build_windows(next(iter(selected.values()))[0])
    if windows.n_patients < 2:
        raise RunError(
            f"The {split} split has {windows.n_patients} patient; a comparison needs at least two. "
            "Score a split that has several, or use a cross-validation (n_folds)."
        )
    needs_decisions = METRICS[metric].family == "decision"
    measurements = {}
    for name, seeds in models.items():
        p = np.stack([one.p for one in selected[name]])
        decisions = np.zeros(p.shape, dtype=bool)
        if needs_decisions:
            decisions = np.stack([one.decide(split) for one in seeds])
        measurements[name] = measure(windows, p, decisions, metric)
    draws, degrees = {}, float("inf")
    first = next(iter(models.values()))[0]
    if needs_decisions and split == "test" and first.predictions.kind == "multi_label":
        draws = draw_scores_over_thresholds(models, metric)
        validation = compute_effective_patients(build_windows(first.validation))
        degrees = max(1.0, validation.total - 1)
    seed_groups = {name: _choose_seed_group(seeds[0]) for name, seeds in models.items()}
    values = _estimate_seeds(measurements, seed_groups)
    return Scoreboard(
        metric=metric,
        windows=windows,
        effective_patients=compute_effective_patients(windows),
        measurements=measurements,
        seeds=values.moderated,
        cautious_seeds=values.cautious,
        threshold_draws=draws,
        threshold_degrees=degrees,
        seed_groups=seed_groups,
    )


def score_predictions(predictions: Predictions, decisions: np.ndarray, metric: str) -> Scoreboard:
    """Measure the predictions of one training by one metric.

    Parameters
    ----------
    predictions : Predictions
        Of one split.
    decisions : bool array of shape (n_windows, n_classes)
        Which classes are predicted.
    metric : str
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`.

    Returns
    -------
    Scoreboard
        With one model, whose name is "". Its intervals are over patients alone.

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
    >>> score_predictions(predictions, predictions.p > 0.5, "auroc").score("").estimate
    0.75
    """
    windows = build_windows(predictions)
    unknown = {"": Variance(float("nan"), float("nan"))}
    return Scoreboard(
        metric=metric,
        windows=windows,
        effective_patients=compute_effective_patients(windows),
        measurements={"": measure(windows, predictions.p[None], decisions[None], metric)},
        seeds=unknown,
        cautious_seeds=unknown,
        threshold_draws={},
    )


def build_windows(predictions: Predictions) -> Windows:
    """Build the windows of a split from predictions.

    Parameters
    ----------
    predictions : Predictions
        Of any model.

    Returns
    -------
    Windows
        Labels, patients as numbers in the order of their names, and folds.

    Examples
    --------
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.arange(2),
    ...     records=np.array(["r1", "r2"]),
    ...     patients=np.array(["p2", "p1"]),
    ...     y=np.array([[0], [1]]),
    ...     p=np.array([[0.1], [0.6]]),
    ... )
    >>> build_windows(predictions).patient.tolist()
    [1, 0]
    """
    return Windows(
        y=np.asarray(predictions.y) == 1,
        patient=np.unique(predictions.patients, return_inverse=True)[1],
        fold=predictions.folds,
    )


def compute_score_interval(
    estimate: float, variance: Variance, effective_patients: float, minimum: float = 0.0
) -> tuple[float, float]:
    """Compute the 95 % interval of a score that lies between `minimum` and 1.

    Parameters
    ----------
    estimate : float
        The score.
    variance : Variance
        Its variance.
    effective_patients : float
        How many patients it rests on.
    minimum : float, default 0.0
        The smallest possible score.

    Returns
    -------
    low, high : float
        Ends of the interval; nan if the score cannot be measured.

    Notes
    -----
    Student's t on the scale of log-odds, so that the interval cannot leave the range. A score at an
    end of its range has no variance; its interval is the exact one of Clopper and Pearson
    (Biometrika 26, 1934) for as many successes as there are effective patients. Close to an end the
    interval of the log-odds could span the whole range, so each side is at most as long as that
    exact interval plus Student's t on the scale of the score.

    Examples
    --------
    >>> low, high = compute_score_interval(0.9, Variance(0.02**2, 30), 31)
    >>> round(low, 3), round(high, 3)
    (0.851, 0.934)
    """
    from scipy.special import expit, logit, stdtrit

    if np.isnan(estimate) or not variance.degrees_of_freedom > 0:
        return float("nan"), float("nan")
    span = 1.0 - minimum
    fraction = (estimate - minimum) / span
    alpha = 1 - LEVEL
    length_at_end = 1 - (alpha / 2) ** (1 / effective_patients)
    if fraction >= 1:
        return minimum + span * (1 - length_at_end), 1.0
    if fraction <= 0:
        return minimum, minimum + span * length_at_end
    half = stdtrit(variance.degrees_of_freedom, 1 - alpha / 2) * np.sqrt(variance.value) / span
    odds_half = half / (fraction * (1 - fraction))
    low = max(expit(logit(fraction) - odds_half), fraction - length_at_end - half)
    high = min(expit(logit(fraction) + odds_half), fraction + length_at_end + half)
    return minimum + span * float(low), minimum + span * float(high)


class _SeedVariances(NamedTuple):
    moderated: dict[str, Variance]
    cautious: dict[str, Variance]


def _choose_seed_group(contestant: Contestant) -> str:
    """Return the models whose seeds vary alike: networks, baselines, or an entered model alone."""
    if contestant.role == ENTERED:
        return contestant.name
    return "network" if contestant.is_network else "baseline"


def _estimate_seeds(
    measurements: Mapping[str, Measurement], groups: Mapping[str, str]
) -> _SeedVariances:
    """Estimate the variance between seeds, of each group of models by itself."""
    found = _SeedVariances({}, {})
    for group in dict.fromkeys(groups.get(name, "") for name in measurements):
        names = [name for name in measurements if groups.get(name, "") == group]
        values = [measurements[name] for name in names]
        found.moderated.update(zip(names, estimate_seed_variances(values), strict=True))
        cautious = estimate_seed_variances(values, cautious=True)
        found.cautious.update(zip(names, cautious, strict=True))
    return found
