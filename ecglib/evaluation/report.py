"""The comparison of several models, as text, as plain values and as tables."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ecglib.evaluation.baselines import BaselineComparison
from ecglib.evaluation.metrics import MACRO_METRICS
from ecglib.evaluation.verdict import Difference, describe_difference


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the runs of a batch show.

    Parameters
    ----------
    metric : str
        The score that models are compared by.
    n_folds : int
        Number of folds of a cross-validation; 0 if the test split was scored.
    n_patients : int
        Number of patients that are scored.
    classes : tuple of str
        Names of the classes.
    best_single : str
        The single branch that was chosen on the validation split.
    table : DataFrame
        One row for each model, see `ecglib.evaluation.verdict.build_score_table`.
    differences : list of Difference
        What each fusion adds.
    baselines : list of BaselineComparison
        Which networks beat each classical baseline.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> comparison = Comparison(
    ...     metric="auroc",
    ...     n_folds=0,
    ...     n_patients=40,
    ...     classes=("AF",),
    ...     best_single="time:cnn",
    ...     table=pd.DataFrame(
    ...         {
    ...             "model": ["time:cnn"],
    ...             "role": ["single"],
    ...             "auroc": [0.9],
    ...             "auroc_low": [0.85],
    ...             "auroc_high": [0.95],
    ...         }
    ...     ),
    ...     differences=[],
    ...     baselines=[],
    ...     caveats=("synthetic data",),
    ... )
    >>> comparison.describe_split()
    'Test split, 40 patients'
    >>> comparison.build_score_rows().values.tolist()
    [['time:cnn', 'single', 0.9, 0.85, 0.95]]
    """

    metric: str
    n_folds: int
    n_patients: int
    classes: tuple[str, ...]
    best_single: str
    table: pd.DataFrame
    differences: list[Difference]
    baselines: list[BaselineComparison]
    caveats: tuple[str, ...]

    def describe_split(self) -> str:
        """Return which windows are scored, and of how many patients.

        Returns
        -------
        str
            For example "5 folds, each held out once, 47 patients".
        """
        split = f"{self.n_folds} folds, each held out once" if self.n_folds else "Test split"
        return f"{split}, {self.n_patients} patients"

    def describe_differences(self) -> list[str]:
        """Describe what each fusion adds.

        Returns
        -------
        list of str
            One text for each fusion.
        """
        return [describe_difference(difference) for difference in self.differences]

    def describe_baselines(self) -> list[str]:
        """Describe which networks do not beat each classical baseline.

        Returns
        -------
        list of str
            One text for each baseline.
        """
        return [baseline.describe() for baseline in self.baselines]

    def list_branch_sets(self) -> list[str]:
        """List the sets of branches that the fusions join.

        Returns
        -------
        list of str
            For example "time:cnn + frequency:mlp"; each set once.
        """
        return list(dict.fromkeys(" + ".join(one.branches) for one in self.differences))

    def build_difference_rows(self) -> pd.DataFrame:
        """Build one row for each fusion and each model that it is compared with.

        Returns
        -------
        DataFrame
            Columns ``fusion``, ``against``, ``estimate``, ``low``, ``high`` and ``verdict``, as
            `ecglib.plots.plot_differences` takes them.
        """
        rows = []
        for difference in self.differences:
            single = difference.against_single
            rivals = [(f"best single branch ({single.name})", single)]
            if (ensemble := difference.against_ensemble) is not None:
                rivals.append((f"{difference.ensemble_size} x {single.name}", ensemble))
            if (widened := difference.against_widened) is not None:
                rivals.append((widened.name, widened))
            rows += [
                {
                    "fusion": difference.fusion,
                    "against": against,
                    "estimate": gap.estimate,
                    "low": gap.low,
                    "high": gap.high,
                    "verdict": difference.verdict,
                }
                for against, gap in rivals
            ]
        return pd.DataFrame(rows)

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
        columns = {"model": self.table["model"], "seeds": self.table["seeds"]}
        for metric in MACRO_METRICS:
            columns[f"macro {metric.upper()}"] = _format_intervals(self.table, metric)
        nodes = self.table["role"].map({"baseline": " nodes"}).fillna("")
        columns["parameters"] = self.table["parameters"].map("{:,}".format) + nodes
        return pd.DataFrame(columns)

    def format_class_scores(self, metric: str) -> pd.DataFrame:
        """Format the score of each class with its interval, for people.

        Parameters
        ----------
        metric : {"auroc", "auprc", "f1"}
            The score.

        Returns
        -------
        DataFrame
            One row of text for each model.
        """
        columns = {"model": self.table["model"]}
        for name in self.classes:
            columns[name] = _format_intervals(self.table, f"{metric}:{name}")
        columns["macro"] = _format_intervals(self.table, metric)
        return pd.DataFrame(columns)

    def to_text(self) -> str:
        """Return tables and sentences, for a terminal.

        Returns
        -------
        str
            Several paragraphs.
        """
        suffix = f" - {'; '.join(self.caveats)}" if self.caveats else ""
        parts = [
            f"{self.describe_split()}, mean over seeds [95 % interval over patients]{suffix}",
            self.format_scores().to_string(index=False),
            f"F1 of each class{suffix}",
            self.format_class_scores("f1").to_string(index=False),
            f"Best single branch, chosen on the validation split: {self.best_single}",
            *(f"The fusions join {branches}." for branches in self.list_branch_sets()),
            *(f"- {text}" for text in self.describe_differences() + self.describe_baselines()),
        ]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON.

        Returns
        -------
        dict
            All fields; a difference or a baseline has its description as ``sentence``.
        """
        rows = self.table.astype(object).where(self.table.notna(), None)
        return {
            "metric": self.metric,
            "n_folds": self.n_folds,
            "n_patients": self.n_patients,
            "best_single": self.best_single,
            "caveats": list(self.caveats),
            "models": rows.to_dict("records"),
            "differences": [
                dataclasses.asdict(one) | {"sentence": describe_difference(one)}
                for one in self.differences
            ],
            "baselines": [
                dataclasses.asdict(one) | {"sentence": one.describe()} for one in self.baselines
            ],
        }


def _format_intervals(table: pd.DataFrame, column: str) -> pd.Series:
    """Format each row's estimate and interval as text."""
    columns: Sequence[pd.Series] = (table[column], table[f"{column}_low"], table[f"{column}_high"])
    texts = [
        f"{estimate:.3f} [{low:.3f}, {high:.3f}]"
        for estimate, low, high in zip(*columns, strict=True)
    ]
    return pd.Series(texts, index=table.index)
