"""Curves of score against severity, for the runs of one dataset, task and split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError
from ecglib.evaluation.contestants import Contestant, group_by_model
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.scoreboard import Score, Scoreboard, check_metric, measure_models
from ecglib.robustness.disturb import Disturber
from ecglib.robustness.losses import combine_scores, compute_loss
from ecglib.robustness.predicting import TestedRun, load_tested_runs
from ecglib.robustness.registry import DISTURBANCES
from ecglib.runs import Run

WINDOWS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessSettings:
    """What is measured.

    Parameters
    ----------
    metric : str, default "auroc"
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`.
    disturbances : mapping of str to sequence of float, default {}
        Disturbance -> severities from mild to severe, no severities for the usual ones; empty for
        all disturbances that the windows can have.
    seed : int, default 0
        Seed of the disturbances.
    noise_folder : str or Path, default ""
        Folder of the MIT-BIH Noise Stress Test Database, see `Disturber`.

    Examples
    --------
    >>> RobustnessSettings(disturbances={"white_noise": (12.0, 0.0), "clipping": ()}).metric
    'auroc'
    """

    metric: str = "auroc"
    disturbances: Mapping[str, Sequence[float]] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )
    seed: int = 0
    noise_folder: str | Path = ""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """The scores of all models under one disturbance.

    Parameters
    ----------
    disturbance : str
        Name of the disturbance.
    severities : tuple of float
        From mild to severe.
    scoreboard : Scoreboard
        The scores of each model without the disturbance, by its name, and at each severity, by
        `name_level`.

    Examples
    --------
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> contestant, *_ = simulate_study(StudySettings(), seed=0)
    >>> worse = dataclasses.replace(
    ...     contestant,
    ...     predictions=contestant.predictions.replace_probabilities(
    ...         contestant.predictions.p**0 * 0.5
    ...     ),
    ... )
    >>> models = {"time:cnn": [contestant], name_level("time:cnn", 6.0): [worse]}
    >>> curves = Curves(
    ...     disturbance="white_noise",
    ...     severities=(6.0,),
    ...     scoreboard=measure_models(models, "auroc"),
    ... )
    >>> curves.score("time:cnn", 6.0).estimate
    0.5
    >>> clean = curves.score("time:cnn").estimate
    >>> bool(np.isclose(curves.compute_loss("time:cnn").estimate, clean - 0.5))
    True
    """

    disturbance: str
    severities: tuple[float, ...]
    scoreboard: Scoreboard

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        names = self.scoreboard.measurements
        return tuple(one for one in names if name_level(one, self.severities[0]) in names)

    def score(self, model: str, severity: float | None = None) -> Score:
        """Return the score of a model at a severity.

        Parameters
        ----------
        model : str
            Name of the model.
        severity : float, optional
            The severity; None (the default) for windows that are not disturbed.

        Returns
        -------
        Score
            With its interval.
        """
        return self.scoreboard.score(model if severity is None else name_level(model, severity))

    def compute_area(self, model: str) -> Score:
        """Compute the normalized area under the curve: the mean score over the severities.

        Parameters
        ----------
        model : str
            Name of the model.

        Returns
        -------
        Score
            Each severity has the same weight, however far apart they are. It equals the score
            without the disturbance if nothing is lost.
        """
        weight = 1 / len(self.severities)
        sums = {
            one: {name_level(one, severity): weight for severity in self.severities}
            for one in self.models
        }
        return combine_scores(self.scoreboard, sums).score(model)

    def compute_loss(self, model: str, severity: float | None = None) -> Difference:
        """Compute how much of its score a model loses.

        Parameters
        ----------
        model : str
            Name of the model.
        severity : float, optional
            The severity; None (the default) for the mean over all severities.

        Returns
        -------
        Difference
            Score without the disturbance minus score with it, on the same windows; above zero if
            it is lost.
        """
        return compute_loss(self._build_changes(severity), model)

    def compare_losses(self, a: str, b: str, severity: float | None = None) -> Difference:
        """Compute how much less one model loses than another.

        Parameters
        ----------
        a, b : str
            Names of the models.
        severity : float, optional
            The severity; None (the default) for the mean over all severities.

        Returns
        -------
        Difference
            Loss of `b` minus loss of `a` on the same disturbed windows; above zero if `a` is more
            robust.
        """
        return self._build_changes(severity).subtract(a, b)

    def to_table(self) -> pd.DataFrame:
        """Return a table with one row for each model and severity.

        Returns
        -------
        DataFrame
            Columns disturbance, title, model, severity (NaN without the disturbance), unit, score,
            low, high, loss, loss_low and loss_high.
        """
        rows = []
        for severity in (None, *self.severities):
            changes = self._build_changes(severity) if severity is not None else None
            for model in self.models:
                score = self.score(model, severity)
                loss = compute_loss(changes, model) if changes is not None else None
                rows.append(
                    {
                        "disturbance": self.disturbance,
                        "title": DISTURBANCES[self.disturbance].title,
                        "model": model,
                        "severity": np.nan if severity is None else severity,
                        "unit": DISTURBANCES[self.disturbance].unit,
                        "score": score.estimate,
                        "low": score.low,
                        "high": score.high,
                        "loss": loss.estimate if loss else 0.0,
                        "loss_low": loss.low if loss else 0.0,
                        "loss_high": loss.high if loss else 0.0,
                    }
                )
        return pd.DataFrame(rows)

    def _build_changes(self, severity: float | None) -> Scoreboard:
        """Measure the change of each model, averaged over severities."""
        severities = self.severities if severity is None else (severity,)
        weight = 1 / len(severities)
        sums = {
            one: {one: -1.0} | {name_level(one, each): weight for each in severities}
            for one in self.models
        }
        return combine_scores(self.scoreboard, sums)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Robustness:
    """What the models lose under each disturbance.

    Parameters
    ----------
    models : mapping of str to Contestant
        Name of each model -> its first seed: role, branches, stored predictions.
    curves : mapping of str to Curves
        By disturbance.
    unavailable : mapping of str to str
        Disturbance that the windows cannot have -> why.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> Robustness(models={}, curves={}, unavailable={}, caveats=("synthetic data",)).caveats
    ('synthetic data',)
    """

    models: Mapping[str, Contestant]
    curves: Mapping[str, Curves]
    unavailable: Mapping[str, str]
    caveats: tuple[str, ...]

    def to_table(self) -> pd.DataFrame:
        """Return the tables of all curves as one.

        Returns
        -------
        DataFrame
            As `Curves.to_table`, with the column caveats.
        """
        table = pd.concat([one.to_table() for one in self.curves.values()], ignore_index=True)
        return table.assign(caveats="; ".join(self.caveats))


def measure_robustness(
    runs: Sequence[Run], dataset: Dataset, settings: RobustnessSettings | None = None
) -> Robustness:
    """Score runs on test windows that are disturbed in mV, the same windows for all runs.

    Parameters
    ----------
    runs : sequence of Run
        Runs of networks of one dataset, task and split.
    dataset : Dataset
        The store that they were trained on.
    settings : RobustnessSettings, optional
        Metric, disturbances and their severities.

    Returns
    -------
    Robustness
        The curves.

    Raises
    ------
    RunError
        As for `load_tested_runs`, or if the metric is unknown.
    ExperimentError
        If a disturbance or severity does not exist, or the windows lack what one that was named
        needs.
    DatasetError
        If the noise records cannot be read.

    Notes
    -----
    Every window goes through the whole model of the run, from mV to calibrated probabilities, with
    its thresholds. Nothing is fitted on disturbed windows.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> robustness = measure_robustness(
    ...     find_runs("runs/fusion"), open_dataset("mitdb")
    ... )  # doctest: +SKIP
    >>> robustness.curves["white_noise"].compute_loss("time:cnn").format()  # doctest: +SKIP
    '+0.031 [+0.012, +0.050]'
    """
    settings = settings or RobustnessSettings()
    check_metric(settings.metric)
    disturber = Disturber(dataset.signal, settings.seed, settings.noise_folder)
    chosen, unavailable = _choose_disturbances(settings.disturbances, disturber)
    tested = load_tested_runs(runs, dataset)
    rows = tested[0].contestant.predictions.rows
    clean = [
        one.replace_predictions(one.contestant.name, one.predict(dataset.read(rows), rows))
        for one in tested
    ]
    curves = {}
    for name, severities in chosen.items():
        contestants = list(clean)
        for severity in severities:
            p = _predict_disturbed(tested, rows, disturber, (name, severity))
            contestants += [
                one.replace_predictions(name_level(one.contestant.name, severity), found)
                for one, found in zip(tested, p, strict=True)
            ]
        curves[name] = Curves(
            disturbance=name,
            severities=tuple(severities),
            scoreboard=measure_models(group_by_model(contestants), settings.metric),
        )
    contestants = [one.contestant for one in tested]
    return Robustness(
        models={name: seeds[0] for name, seeds in group_by_model(contestants).items()},
        curves=curves,
        unavailable=unavailable,
        caveats=tuple(dict.fromkeys(caveat for one in contestants for caveat in one.caveats)),
    )


def name_level(model: str, severity: float) -> str:
    """Name the score of a model at a severity.

    Examples
    --------
    >>> name_level("time:cnn", -6.0)
    'time:cnn at -6'
    """
    return f"{model} at {severity:g}"


def _choose_disturbances(
    wanted: Mapping[str, Sequence[float]], disturber: Disturber
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the severities of each disturbance, and why others are not available."""
    chosen = {
        name: [float(one) for one in wanted.get(name, ())] or disturber.list_severities(name)
        for name in wanted or DISTURBANCES
    }
    obstacles = {name: disturber.find_obstacle(name) for name in chosen}
    unavailable = {name: reason for name, reason in obstacles.items() if reason}
    if wanted and unavailable:
        raise ExperimentError(next(iter(unavailable.values())))
    for name, severities in chosen.items():
        if len(set(severities)) < len(severities):
            raise ExperimentError(
                f"The severities of {name} are {severities}, one of them twice. Give each once."
            )
    return {name: one for name, one in chosen.items() if name not in unavailable}, unavailable


def _predict_disturbed(
    tested: Sequence[TestedRun],
    rows: np.ndarray,
    disturber: Disturber,
    disturbance: tuple[str, float],
) -> list[np.ndarray]:
    """Predict disturbed windows with each run: n_runs arrays of shape (n_windows, n_classes)."""
    dataset = tested[0].dataset
    predicted: list[list[np.ndarray]] = [[] for _ in tested]
    for start in range(0, len(rows), WINDOWS_AT_ONCE):
        some = rows[start : start + WINDOWS_AT_ONCE]
        windows_mv = disturber.disturb(dataset.read(some), some, *disturbance)
        for one, p in zip(tested, predicted, strict=True):
            p.append(one.predict(windows_mv, some))
    return [np.concatenate(p) for p in predicted]
