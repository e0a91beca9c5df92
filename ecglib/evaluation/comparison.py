"""The comparison of several models, as one object from which text, tables and reports are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecglib._display import Displayed
from ecglib.evaluation.baselines import BaselineComparison, compare_with_baselines
from ecglib.evaluation.checks import Check, check_recipes, list_checks
from ecglib.evaluation.class_differences import build_class_table
from ecglib.evaluation.contestants import ENTERED, Contestant, group_by_model
from ecglib.evaluation.dependence import PatientDependence, compute_dependence
from ecglib.evaluation.differences import format_p_value
from ecglib.evaluation.headline import write_headline
from ecglib.evaluation.metrics import MACRO_METRICS, METRIC_NAMES, METRICS
from ecglib.evaluation.pairs import PairComparison, compare_entered, compare_pairs
from ecglib.evaluation.plain_values import (
    convert_baseline,
    convert_pair,
    convert_table,
    convert_verdict,
)
from ecglib.evaluation.rivals import ENSEMBLE, SAME_SIZE, SINGLE
from ecglib.evaluation.score_table import build_score_table
from ecglib.evaluation.scoreboard import Score, Scoreboard, measure_models
from ecglib.evaluation.verdict import (
    CANNOT_TELL,
    ComparisonSettings,
    Verdict,
    collect_caveats,
    compute_verdicts,
)

RIVAL_TITLES = {
    SINGLE: "over the best branch",
    ENSEMBLE: "over an equal ensemble",
    SAME_SIZE: "at the same size",
}


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Displayed):
    """What the models of one task on one dataset show.

    Parameters
    ----------
    dataset : str
        Name of the store.
    task : str
        Name of the task.
    metric : str
        The score that models are compared by.
    margin : float
        The smallest gain worth having.
    n_folds : int
        Number of folds of a cross-validation; 0 if the test split was scored.
    n_patients, n_windows : int
        Number of patients and windows that are scored.
    classes : tuple of str
        Names of the classes.
    table : DataFrame
        One row for each model, see `ecglib.evaluation.score_table.build_score_table`.
    verdicts : list of Verdict
        What each fusion adds.
    pairs : list of PairComparison
        Which network is better, if there is no fusion to judge.
    entered : list of PairComparison
        How each model that was entered from another framework compares with every other model.
    class_table : DataFrame
        What each fusion adds for each class, see
        `ecglib.evaluation.class_differences.build_class_table`.
    baselines : list of BaselineComparison
        Which networks beat each classical baseline.
    dependence : PatientDependence
        Which patients decide the score.
    checks : tuple of Check
        Whether the comparison is fair.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=300, n_fusions=2, gain=0.06), seed=0)
    >>> comparison = compare_contestants(study, dataset="simulated", task="superdiagnostic")
    >>> comparison.describe_split()
    'Test split, 300 patients'
    >>> comparison.headline.split(":")[0]
    'fusion 1 helps (and 1 more)'
    """

    dataset: str
    task: str
    metric: str
    margin: float
    n_folds: int
    n_patients: int
    n_windows: int
    classes: tuple[str, ...]
    table: pd.DataFrame
    verdicts: list[Verdict]
    pairs: list[PairComparison]
    entered: list[PairComparison]
    class_table: pd.DataFrame
    baselines: list[BaselineComparison]
    dependence: PatientDependence
    checks: tuple[Check, ...]
    caveats: tuple[str, ...]

    def __repr__(self) -> str:
        return self.to_text()

    @property
    def headline(self) -> str:
        """The result in at most twelve words."""
        return write_headline(self.sort_verdicts(), self.pairs, self.entered)

    @property
    def best_branch(self) -> str:
        """The single branch that is best on the validation split; "" without fusions."""
        return next((one.best_branch for one in self.verdicts if one.best_branch), "")

    def sort_verdicts(self) -> list[Verdict]:
        """Return the verdicts from the largest gain over the best branch to the smallest."""

        def rank(verdict: Verdict) -> float:
            rival = verdict.find_rival(SINGLE)
            return -rival.difference.estimate if rival else float("inf")

        return sorted(self.verdicts, key=rank)

    def describe_split(self) -> str:
        """Return which windows are scored, and of how many patients.

        Returns
        -------
        str
            For example "5 folds, each held out once, 47 patients".
        """
        split = f"{self.n_folds} folds, each held out once" if self.n_folds else "Test split"
        return f"{split}, {self.n_patients:,} patients"

    def describe_baselines(self) -> list[str]:
        """Describe which networks beat each classical baseline.

        Returns
        -------
        list of str
            One sentence for each baseline.
        """
        return [baseline.describe() for baseline in self.baselines]

    def describe_pairs(self) -> list[str]:
        """Describe which model is better, where there is no fusion to judge.

        Returns
        -------
        list of str
            One sentence for each pair, with the difference and its interval.
        """
        return [pair.describe() for pair in self.pairs]

    def describe_entered(self) -> list[str]:
        """Describe how models that were entered compare with the others.

        Returns
        -------
        list of str
            One sentence for each pair, with the difference and its interval.
        """
        return [pair.describe() for pair in self.entered]

    def build_difference_rows(self) -> pd.DataFrame:
        """Build one row for each fusion and each kind of rival of the best branch.

        Returns
        -------
        DataFrame
            Columns ``fusion``, ``kind``, ``against``, ``name``, ``estimate``, ``low``, ``high``,
            ``p`` and ``word``, sorted by the gain over the best branch.
        """
        rows = []
        for verdict in self.sort_verdicts():
            for kind, title in RIVAL_TITLES.items():
                if (rival := verdict.find_rival(kind)) is not None:
                    difference = rival.difference
                    rows.append(
                        {
                            "fusion": verdict.fusion,
                            "kind": kind,
                            "against": title,
                            "name": difference.name,
                            "estimate": difference.estimate,
                            "low": difference.low,
                            "high": difference.high,
                            "p": difference.compute_p_value(),
                            "word": verdict.word,
                        }
                    )
        return pd.DataFrame(rows)

    def format_verdicts(self) -> pd.DataFrame:
        """Format the verdicts, for people.

        Returns
        -------
        DataFrame
            One row of text for each fusion: the verdict, the difference from the best branch, from
            an equal ensemble and from a branch of its size, the adjusted p value, the rival that is
            hardest to beat with the difference from it, and what would decide where one cannot
            tell.
        """
        rows = []
        for verdict in self.sort_verdicts():
            row = {"fusion": verdict.fusion, "verdict": verdict.word}
            for kind, title in RIVAL_TITLES.items():
                rival = verdict.find_rival(kind)
                row[title] = rival.difference.format() if rival else "-"
            row["p"] = format_p_value(verdict.p_adds)
            row["hardest to beat"] = verdict.format_strongest_rival()
            if verdict.word == CANNOT_TELL and verdict.needs is not None:
                row["what would decide"] = verdict.needs.format()
            rows.append(row)
        return pd.DataFrame(rows).fillna("-")

    def build_score_rows(self) -> pd.DataFrame:
        """Build one row for each model with the chosen metric and its interval.

        Returns
        -------
        DataFrame
            Columns ``name``, ``role``, ``estimate``, ``low`` and ``high``, as
            `ecglib.plots.plot_scores` takes them.
        """
        columns = ["model", "role", self.metric, f"{self.metric}_low", f"{self.metric}_high"]
        return self.table[columns].set_axis(["name", "role", "estimate", "low", "high"], axis=1)

    def format_scores(self) -> pd.DataFrame:
        """Format the macro scores with their intervals, for people.

        Returns
        -------
        DataFrame
            One row of text for each model.
        """
        columns: dict[str, Any] = {"model": self.table["model"], "seeds": self.table["seeds"]}
        for metric in self.list_metrics():
            columns[METRIC_NAMES[metric]] = _format_intervals(self.table, metric)
        nodes = self.table["role"].map({"baseline": " nodes"}).fillna("")
        columns["parameters"] = self.table["parameters"].map("{:,}".format) + nodes
        return pd.DataFrame(columns)

    def list_metrics(self) -> list[str]:
        """List the metrics that are shown: that of the verdicts first."""
        return [self.metric, *(name for name in MACRO_METRICS if name != self.metric)]

    def format_class_scores(self, metric: str) -> pd.DataFrame:
        """Format the score of each class with its interval, for people.

        Parameters
        ----------
        metric : str
            The score.

        Returns
        -------
        DataFrame
            One row of text for each model.
        """
        columns: dict[str, Any] = {"model": self.table["model"]}
        for name in self.classes:
            columns[name] = _format_intervals(self.table, f"{metric}:{name}")
        columns["macro"] = _format_intervals(self.table, metric)
        return pd.DataFrame(columns)

    def to_text(self) -> str:
        """Return headline, verdicts, tables and caveats, for a terminal.

        Returns
        -------
        str
            Several paragraphs.
        """
        caveats = "; ".join(self.caveats)
        verdicts = self.format_verdicts()
        reasons = [
            f"- {one.fusion}: {' '.join(one.reasons)}" for one in self.verdicts if one.reasons
        ]
        parts = [
            self.headline,
            f"{self.dataset}, task {self.task}. {self.describe_split()}. "
            f"{METRIC_NAMES[self.metric]}, smallest gain worth having {self.margin:g}."
            + (f" Caveats: {caveats}." if caveats else ""),
            *([verdicts.to_string(index=False)] if len(verdicts) else []),
            *(["\n".join(reasons)] if reasons else []),
            *(
                f"- {text}"
                for text in (
                    *self.describe_pairs(),
                    *self.describe_entered(),
                    *self.describe_baselines(),
                )
            ),
            "Mean over seeds [95 % interval over patients and seeds]",
            self.format_scores().to_string(index=False),
            "Checks: "
            + "; ".join(
                f"{'passed' if one.passed else 'FAILED'}: {one.title} ({one.detail})"
                for one in self.checks
            ),
        ]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON.

        Returns
        -------
        dict
            All fields; nan becomes None.
        """
        return {
            "dataset": self.dataset,
            "task": self.task,
            "headline": self.headline,
            "metric": self.metric,
            "margin": self.margin,
            "n_folds": self.n_folds,
            "n_patients": self.n_patients,
            "n_windows": self.n_windows,
            "best_branch": self.best_branch,
            "caveats": list(self.caveats),
            "checks": [dataclasses.asdict(one) for one in self.checks],
            "verdicts": [convert_verdict(one) for one in self.verdicts],
            "pairs": [convert_pair(one) for one in self.pairs],
            "entered": [convert_pair(one) for one in self.entered],
            "models": convert_table(self.table),
            "classes": convert_table(self.class_table),
            "baselines": [convert_baseline(one) for one in self.baselines],
            "patients": convert_table(self.dependence.table),
        }


def compare_contestants(
    contestants: Iterable[Contestant],
    settings: ComparisonSettings | None = None,
    *,
    dataset: str = "",
    task: str = "",
    checks: Sequence[Check] = (),
) -> Comparison:
    """Compare all models of one task on one dataset.

    Parameters
    ----------
    contestants : iterable of Contestant
        Every seed of every model.
    settings : ComparisonSettings, optional
        Metric and margin; by default those of `ComparisonSettings`.
    dataset, task : str, default ""
        Names that are shown.
    checks : sequence of Check, default ()
        What the caller has checked, shown with what is checked here.

    Returns
    -------
    Comparison
        Scores, verdicts, and which patients decide them.

    Raises
    ------
    RunError
        If the models cannot be compared.

    Examples
    --------
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=50, n_seeds=2, n_fusions=1), seed=0)
    >>> compare_contestants(study).headline
    'Cannot tell whether a fusion helps: 2 seeds'
    """
    settings = settings or ComparisonSettings()
    models = group_by_model(contestants)
    metrics = [settings.metric, *(name for name in MACRO_METRICS if name != settings.metric)]
    scoreboards = [measure_models(models, metric) for metric in metrics]
    table = build_score_table(models, scoreboards)
    verdicts = compute_verdicts(models, scoreboards[0], settings)
    baselines = compare_with_baselines(models, scoreboards[0])
    pairs = [] if verdicts else _compare_pairs(models, scoreboards[0])
    named = [one.best_branch for one in verdicts] + [one.model for one in pairs]
    trained_here = [name for name, seeds in models.items() if seeds[0].role != ENTERED]
    best = next(filter(None, [*named, *trained_here]), next(iter(models)))
    predictions = models[best][0].predictions
    ascending = not METRICS[settings.metric].greater_is_better
    return Comparison(
        dataset=dataset,
        task=task,
        metric=settings.metric,
        margin=settings.margin,
        n_folds=0 if predictions.folds is None else len(np.unique(predictions.folds)),
        n_patients=predictions.n_patients,
        n_windows=predictions.n_windows,
        classes=predictions.classes,
        table=table.sort_values(
            settings.metric, ascending=ascending, ignore_index=True, kind="stable"
        ),
        verdicts=verdicts,
        pairs=pairs,
        entered=compare_entered(models, scoreboards[0]),
        class_table=build_class_table(verdicts, scoreboards[0], predictions.classes),
        baselines=baselines,
        dependence=compute_dependence(models[best], settings.metric),
        checks=(*checks, check_recipes(models), *list_checks(verdicts, baselines)),
        caveats=collect_caveats(one for seeds in models.values() for one in seeds),
    )


def _compare_pairs(
    models: Mapping[str, list[Contestant]], scoreboard: Scoreboard
) -> list[PairComparison]:
    networks = {name: seeds for name, seeds in models.items() if seeds[0].is_network}
    if len(networks) < 2:
        return []
    validation = measure_models(networks, scoreboard.metric, split="validation")
    return compare_pairs(networks, scoreboard, validation)


def _format_intervals(table: pd.DataFrame, column: str) -> list[str]:
    """Format each row's estimate and interval as text."""
    columns = (table[column], table[f"{column}_low"], table[f"{column}_high"])
    return [
        Score(estimate=estimate, low=low, high=high).format()
        for estimate, low, high in zip(*columns, strict=True)
    ]
