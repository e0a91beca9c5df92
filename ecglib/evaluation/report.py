"""The comparison of a batch's runs, as text, as plain values and as tables."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecglib.errors import RunError
from ecglib.evaluation.baselines import AgainstBaseline, against_baselines
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.metrics import MACRO_METRICS
from ecglib.evaluation.verdict import Difference, best_single, differences, sentence, table

MARGIN = 0.01
MOST_NAMED = 2  # values that tell models of one name apart


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


def compare_runs(runs: Sequence, metric: str = "auroc", margin: float = MARGIN) -> Comparison:
    """Compare finished runs (`ecglib.runs.Run`) on their test part, or on all folds together.

    Parameters
    ----------
    runs : runs of one task on one prepared dataset.
    metric : "auroc", "auprc" or "f1", macro mean over the classes.
    margin : the smallest gain worth having.

    Raises
    ------
    RunError
        If the runs cannot be compared.
    """
    if len(folds := {run.experiment.n_folds for run in runs}) > 1:
        raise RunError(
            f"Runs of {sorted(folds)} folds (0: the parts of the dataset) cannot be compared: they "
            f"were trained on other shares of the patients. Compare runs of one kind."
        )
    names = model_names([run.experiment for run in runs])
    trained: dict[tuple, list] = {}
    for run in runs:
        trained.setdefault((run.experiment.model_hash, run.experiment.seed), []).append(run)
    scored = [contestant_from_runs(own, names[key]) for (key, _), own in trained.items()]
    return Comparison(
        metric=metric,
        n_folds=folds.pop(),
        n_patients=len(set(scored[0].patients)),
        classes=tuple(scored[0].classes),
        best=best_single(scored, metric),
        table=table(scored).sort_values(metric, ascending=False, ignore_index=True),
        differences=differences(scored, metric, margin),
        baselines=against_baselines(scored, metric),
        caveats=tuple(dict.fromkeys(caveat for one in scored for caveat in one.caveats)),
    )


def model_names(experiments: Sequence) -> dict[str, str]:
    """The shortest names that tell the models apart, by model hash.

    A fusion of several views goes by its name alone where no other joins other branches by it.
    What is still alike gets the few values in which it differs, or else a piece of its hash.
    """
    models = {one.model_hash: one for one in experiments}
    of_views = {key: one for key, one in models.items() if len(one.representations) > 1}
    joined = Counter(fusion for fusion, _ in {(one.fusion, one.model) for one in of_views.values()})
    names = {
        key: one.fusion if key in of_views and joined[one.fusion] == 1 else one.model
        for key, one in models.items()
    }
    alike = {name: [models[key] for key in names if names[key] == name] for name in names.values()}
    return {key: name + _apart(models[key], alike[name]) for key, name in names.items()}


def _apart(one, alike: list) -> str:
    """What tells an experiment from those of the same name."""
    if len(alike) == 1:
        return ""
    own, values = one.to_dict(), [other.to_dict() for other in alike]
    names = [key for key in own if key not in ("seed", "fold")]
    differ = [key for key in names if any(v[key] != own[key] for v in values)]
    if len(differ) <= MOST_NAMED and all(isinstance(own[key], str | int | float) for key in differ):
        return "".join(f", {key} {own[key]}" for key in differ)
    return f" #{one.model_hash[:4]}"


def contestant_from_runs(runs: Sequence, name: str) -> Contestant:
    """What a comparison needs of a run, or of the runs of all folds of a cross-validation.

    Raises
    ------
    RunError
        A fold has no run.
    """
    own = runs[0].experiment
    if missing := set(range(1, own.n_folds + 1)) - {run.experiment.fold for run in runs}:
        raise RunError(
            f"{name} (seed {own.seed}) lacks the folds {sorted(missing)} of {own.n_folds}: patients "
            f"are not all predicted. Run them, or take the model out of the batch."
        )
    tests = [run.predictions("test") for run in runs]
    limits = [run.contract["thresholds"] for run in runs]
    limits = [np.tile(limit, (len(test.y), 1)) for limit, test in zip(limits, tests, strict=True)]
    joined = {
        column.name: np.concatenate([getattr(test, column.name) for test in tests])
        for column in dataclasses.fields(tests[0])
    }
    in_order = np.argsort(joined["rows"], kind="stable")
    return Contestant(
        name=name,
        role=own.role,
        branches=own.named_branches,
        ensemble_size=own.ensemble_size,
        seed=own.seed,
        parameters=round(np.mean([run.metrics["model"]["parameters"] for run in runs])),
        kind=runs[0].contract["kind"],
        classes=tuple(runs[0].contract["classes"]),
        **{name: values[in_order] for name, values in joined.items()},
        thresholds=np.concatenate(limits)[in_order],
        validation={metric: _validation(runs, metric) for metric in MACRO_METRICS},
        caveats=tuple(dict.fromkeys(caveat for run in runs for caveat in run.caveats)),
    )


def _validation(runs: Sequence, metric: str) -> float:
    """The macro score on the validation part, the mean over folds."""
    values = [run.metrics["validation"]["macro"][metric]["estimate"] for run in runs]
    return float(np.mean([float("nan") if value is None else value for value in values]))


def _with_interval(table: pd.DataFrame, column: str) -> list[str]:
    columns = (table[column], table[f"{column}_low"], table[f"{column}_high"])
    return [f"{e:.3f} [{low:.3f}, {high:.3f}]" for e, low, high in zip(*columns, strict=True)]


def _caveat_suffix(caveats: Sequence[str]) -> str:
    return f" - {'; '.join(caveats)}" if caveats else ""
