"""The comparison of several models, as text, as plain values and as tables."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from ecglib.evaluation.baselines import AgainstBaseline
from ecglib.evaluation.metrics import MACRO_METRICS
from ecglib.evaluation.verdict import Difference, sentence


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a batch's runs say.

    `folds` are those of a cross-validation, 0 where the test part was scored; `n_patients` counts
    whom the scores are of. `table` has one row a model (see `comparison.table`), `best` is the
    single branch chosen on the validation part, `differences` say what each fusion adds,
    `baselines` which networks beat the classical baseline.
    """

    metric: str
    n_folds: int
    n_patients: int
    classes: tuple[str, ...]
    best: str
    table: pd.DataFrame
    differences: list[Difference]
    baselines: list[AgainstBaseline]
    caveats: tuple[str, ...]

    def scored_on(self) -> str:
        """Whose windows the scores are of."""
        where = f"{self.n_folds} folds, each held out once" if self.n_folds else "Test part"
        return f"{where}, {self.n_patients} patients"

    def sentences(self) -> list[str]:
        """One plain sentence a fusion."""
        return [sentence(difference) for difference in self.differences]

    def baseline_sentences(self) -> list[str]:
        """One plain sentence a classical baseline: which networks do not beat it."""
        return [against.sentence() for against in self.baselines]

    def joined(self) -> list[str]:
        """The sets of branches that the fusions join."""
        return list(dict.fromkeys(" + ".join(d.branches) for d in self.differences))

    def difference_rows(self) -> pd.DataFrame:
        """One row a fusion and what it is compared with, as `plots.differences` takes them."""
        rows = [
            {
                "fusion": d.fusion,
                "against": against,
                "estimate": gap.estimate,
                "low": gap.low,
                "high": gap.high,
                "verdict": d.verdict,
            }
            for d in self.differences
            for against, gap in (
                (f"best single branch ({d.against_single.name})", d.against_single),
                (f"{d.ensemble_size} x {d.against_single.name}", d.against_ensemble),
                (d.against_widened and d.against_widened.name, d.against_widened),
            )
            if gap is not None
        ]
        return pd.DataFrame(rows)

    def score_rows(self) -> pd.DataFrame:
        """The chosen metric with its interval, one row a model, as `plots.scores` takes them."""
        columns = ["model", "role", self.metric, f"{self.metric}_low", f"{self.metric}_high"]
        return self.table[columns].set_axis(["name", "role", "estimate", "low", "high"], axis=1)

    def formatted(self) -> pd.DataFrame:
        """Macro scores with their intervals, as text for people."""
        columns = {"model": self.table["model"], "seeds": self.table["seeds"]}
        for metric in MACRO_METRICS:
            columns[f"macro {metric.upper()}"] = _with_interval(self.table, metric)
        nodes = self.table["role"].map({"baseline": " nodes"}).fillna("")
        columns["parameters"] = self.table["parameters"].map("{:,}".format) + nodes
        return pd.DataFrame(columns)

    def formatted_classes(self, metric: str) -> pd.DataFrame:
        """The metric of each class with its interval, as text for people."""
        columns = {"model": self.table["model"]}
        columns |= {name: _with_interval(self.table, f"{metric}:{name}") for name in self.classes}
        columns["macro"] = _with_interval(self.table, metric)
        return pd.DataFrame(columns)

    def to_text(self) -> str:
        """Tables and sentences, for a terminal."""
        parts = [
            f"{self.scored_on()}, mean over seeds [95 % interval over patients]"
            f"{_caveat_suffix(self.caveats)}",
            self.formatted().to_string(index=False),
            f"F1 of each class{_caveat_suffix(self.caveats)}",
            self.formatted_classes("f1").to_string(index=False),
            f"Best single branch, chosen on the validation part: {self.best}",
            *(f"The fusions join {branches}." for branches in self.joined()),
            *(f"- {text}" for text in self.sentences() + self.baseline_sentences()),
        ]
        return "\n\n".join(parts)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        rows = self.table.astype(object).where(self.table.notna(), None)
        return {
            "metric": self.metric,
            "n_folds": self.n_folds,
            "n_patients": self.n_patients,
            "best_single": self.best,
            "caveats": list(self.caveats),
            "models": rows.to_dict("records"),
            "differences": [
                dataclasses.asdict(d) | {"sentence": sentence(d)} for d in self.differences
            ],
            "baselines": [
                dataclasses.asdict(b) | {"sentence": b.sentence()} for b in self.baselines
            ],
        }


def _with_interval(table: pd.DataFrame, column: str) -> list[str]:
    columns = (table[column], table[f"{column}_low"], table[f"{column}_high"])
    return [f"{e:.3f} [{low:.3f}, {high:.3f}]" for e, low, high in zip(*columns, strict=True)]


def _caveat_suffix(caveats: Sequence[str]) -> str:
    return f" - {'; '.join(caveats)}" if caveats else ""
