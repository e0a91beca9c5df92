"""The scores of all models against the severity of one disturbance."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import pandas as pd

from ecglib.evaluation.differences import Difference
from ecglib.evaluation.scoreboard import Score, Scoreboard
from ecglib.robustness.losses import combine_scores, compute_loss
from ecglib.robustness.registry import DISTURBANCES


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
    >>> from ecglib.evaluation.scoreboard import measure_models
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
        return compute_loss(self._changes[severity], model)

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
        return self._changes[severity].subtract(a, b)

    def compute_class_losses(self, model: str) -> list[Difference]:
        """Compute how much of its score a model loses for each class.

        Parameters
        ----------
        model : str
            Name of the model.

        Returns
        -------
        list of Difference
            One for each class, the mean over all severities. Its estimate is nan for a class that
            is not scored, its interval for one with fewer than two effective patients.
        """
        return [compute_loss(one, model) for one in self._changes[None].by_class]

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
            for model in self.models:
                score = self.score(model, severity)
                loss = None if severity is None else self.compute_loss(model, severity)
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

    @cached_property
    def _changes(self) -> dict[float | None, Scoreboard]:
        """The change of each model's score at each severity; None: averaged over all."""
        changes = {}
        for severity in (None, *self.severities):
            severities = self.severities if severity is None else (severity,)
            weight = 1 / len(severities)
            sums = {
                one: {one: -1.0} | {name_level(one, each): weight for each in severities}
                for one in self.models
            }
            changes[severity] = combine_scores(self.scoreboard, sums)
        return changes


def name_level(model: str, severity: float) -> str:
    """Name the score of a model at a severity.

    Examples
    --------
    >>> name_level("time:cnn", -6.0)
    'time:cnn at -6'
    """
    return f"{model} at {severity:g}"
