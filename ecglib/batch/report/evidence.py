"""The parts of a report that are made from a comparison alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from ecglib.batch.report.parts import Block, Card, Table
from ecglib.batch.report.published import find_published
from ecglib.evaluation.comparison import RIVAL_TITLES, Comparison
from ecglib.evaluation.contestants import ENTERED
from ecglib.evaluation.dependence import N_LEFT_OUT
from ecglib.evaluation.differences import format_p_value
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.evaluation.pairs import PairComparison
from ecglib.evaluation.scoreboard import Score
from ecglib.evaluation.verdict import ADDS, CANNOT_TELL, WORSE
from ecglib.plots import VERDICT_STYLES, Picture, draw_scores

MAX_CLASS_COLUMNS = 8  # with more classes, a table has them as rows
MAX_CLASS_ROWS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Highlights:
    """The models that a report shows first; "" where there is none.

    Parameters
    ----------
    branch : str
        The single branch that is best on the validation split.
    control : str
        The ensemble or widened branch with the best score.
    fusion : str
        The fusion with the largest gain over the best branch.
    baseline : str
        The baseline with the best score.
    entered : str, default ""
        The model of another framework with the best score.

    Examples
    --------
    >>> highlights = Highlights(branch="time:cnn", control="", fusion="late_average", baseline="")
    >>> highlights.names
    ('time:cnn', 'late_average')
    """

    branch: str
    control: str
    fusion: str
    baseline: str
    entered: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The models that there are."""
        names = (self.branch, self.control, self.fusion, self.baseline, self.entered)
        return tuple(name for name in names if name)


def find_highlights(comparison: Comparison) -> Highlights:
    """Find the models that a report shows first.

    Parameters
    ----------
    comparison : Comparison
        The comparison.

    Returns
    -------
    Highlights
        Names of models.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> find_highlights(compare_contestants(study)).fusion
    'fusion 1'
    """
    table = comparison.table  # sorted by the score

    def find_first(*roles: str) -> str:
        found = table.loc[table["role"].isin(roles), "model"]
        return str(found.iloc[0]) if len(found) else ""

    verdicts = comparison.sort_verdicts()
    return Highlights(
        branch=comparison.best_branch or find_first("single"),
        control=find_first("ensemble", "widened"),
        fusion=verdicts[0].fusion if verdicts else find_first("fusion"),
        baseline=find_first("baseline"),
        entered=find_first(ENTERED),
    )


def list_cards(comparison: Comparison) -> tuple[Card, ...]:
    """List the best branch, control, fusion, baseline and entered model, with their scores.

    Parameters
    ----------
    comparison : Comparison
        The comparison.

    Returns
    -------
    tuple of Card
        Those that there are.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> [card.title for card in list_cards(compare_contestants(study))]
    ['Best branch on validation', 'Best control', 'Best fusion']
    """
    highlights = find_highlights(comparison)
    titles = {
        "Best branch on validation": highlights.branch,
        "Best control": highlights.control,
        "Best fusion": highlights.fusion,
        "Baseline": highlights.baseline,
        "Best of another framework": highlights.entered,
    }
    scores = _format_scores(comparison)
    return tuple(
        Card(title=title, model=model, score=scores[model])
        for title, model in titles.items()
        if model
    )


def list_evidence(comparison: Comparison, name: str) -> list[Block]:
    """List the parts of a section that are made from the comparison.

    Parameters
    ----------
    comparison : Comparison
        The comparison.
    name : str
        Name of the section on the page.

    Returns
    -------
    list of Block
        Verdicts, scores, classes, patients and baselines.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> [block.title for block in list_evidence(compare_contestants(study), "s1")]
    ['Verdicts', 'Scores', 'Classes', 'Who decides']
    """
    blocks = [
        _build_scores(comparison, name),
        _build_classes(comparison),
        _build_dependence(comparison),
    ]
    if comparison.entered:
        blocks.insert(0, _build_entered(comparison))
    if comparison.verdicts:
        blocks.insert(0, _build_verdicts(comparison))
    if comparison.pairs:
        blocks.insert(0, _build_pairs(comparison))
    if comparison.baselines:
        blocks.append(_build_baselines(comparison))
    return blocks


def _build_verdicts(comparison: Comparison) -> Block:
    rows, reasons = [], []
    for verdict in comparison.sort_verdicts():
        row = {
            "fusion": verdict.fusion,
            "verdict": f"{VERDICT_STYLES[verdict.word].sign} {verdict.word}",
        }
        for kind, title in RIVAL_TITLES.items():
            rival = verdict.find_rival(kind)
            row[title] = rival.difference.format() if rival else "-"
        row |= {
            "p adds": format_p_value(verdict.p_adds),
            "p no gain": format_p_value(verdict.p_no_gain),
            "seeds": str(verdict.n_seeds),
            "hardest to beat": verdict.format_strongest_rival(),
        }
        if verdict.word == CANNOT_TELL and verdict.needs is not None:
            row["what would decide"] = verdict.needs.format()
        rows.append(row)
        reasons += [{"fusion": verdict.fusion, "reason": reason} for reason in verdict.reasons]
    items = [Table.from_frame(pd.DataFrame(rows).fillna("-"), "Verdicts, largest gain first")]
    if reasons:
        items.append(Table.from_frame(pd.DataFrame(reasons), "Reasons and limits"))
    return Block(
        title="Verdicts",
        text="A fusion adds something only if it beats every rival, not just the three shown: the "
        "p value is the largest over all of them.",
        items=tuple(items),
    )


def _build_pairs(comparison: Comparison) -> Block:
    return Block(
        title="Differences",
        text="There is no fusion to judge: the model that is best on the validation split against "
        "each other one, on the same test patients.",
        items=(_tabulate_pairs(comparison.pairs, comparison.metric),),
    )


def _build_entered(comparison: Comparison) -> Block:
    return Block(
        title="Other frameworks",
        text="Predictions that were entered. Which data, splits and settings a model was trained "
        "with elsewhere is not known, so it is no control of a fusion; it is compared with each "
        "other model on the same test patients.",
        items=(_tabulate_pairs(comparison.entered, comparison.metric),),
    )


def _tabulate_pairs(pairs: Sequence[PairComparison], metric: str) -> Table:
    rows = pd.DataFrame(
        {
            "model": [one.model for one in pairs],
            "against": [one.difference.name for one in pairs],
            "difference": [one.difference.format() for one in pairs],
            "answer": [one.word for one in pairs],
            "reason": [one.reason or "-" for one in pairs],
        }
    )
    return Table.from_frame(rows, f"Difference in {METRIC_NAMES[metric]}")


def _build_scores(comparison: Comparison, name: str) -> Block:
    table = comparison.table
    shown = comparison.format_scores()
    shown.insert(1, "role", table["role"].to_list())
    deviations = [_format_number(value) for value in table[f"{comparison.metric}_std"]]
    shown.insert(4, "SD over seeds", deviations)
    for column in ("undefined", "never_predicted"):
        if table[column].any():
            shown[column.replace("_", " ")] = (
                table[column].where(table[column] != "", "-").to_list()
            )
    caption = "Mean over seeds with its 95 % interval over patients and seeds"
    items: list[Table | Picture] = [Table.from_frame(shown, caption)]
    if comparison.verdicts:
        items.append(draw_scores(comparison, f"{name}-scores"))
    if published := find_published(comparison):
        ours = _format_scores(comparison)
        highlights = dataclasses.replace(find_highlights(comparison), entered="")
        scores = {f"{model} (here)": ours[model] for model in highlights.names}
        items.append(
            dataclasses.replace(
                Table.from_mapping(
                    scores | dict(published.scores),
                    f"{METRIC_NAMES[published.metric]} beside published scores",
                    ("model", METRIC_NAMES[published.metric]),
                ),
                note=f"{published.note} Source: {published.source}.",
            )
        )
    return Block(
        title="Scores",
        text="Intervals of two models may overlap although one is better: the verdicts compare "
        "them on the same patients.",
        items=tuple(items),
    )


def _build_classes(comparison: Comparison) -> Block:
    items: list[Table | Picture] = []
    for metric in comparison.list_metrics():
        scores = comparison.format_class_scores(metric)
        caption = f"{METRIC_NAMES[metric].removeprefix('macro ')} of each class"
        note = ""
        if len(comparison.classes) > MAX_CLASS_COLUMNS:
            scores = scores.set_index("model").loc[list(find_highlights(comparison).names)]
            scores = scores.T.rename_axis("class").reset_index()
            note = "All models are in scores.csv."
        items.append(Table.from_frame(scores, caption, note))
    order = {one.fusion: rank for rank, one in enumerate(comparison.sort_verdicts())}
    table = comparison.class_table.sort_values(
        "fusion", key=lambda fusions: fusions.map(order), kind="stable"
    )
    if len(table):
        note = ""
        if len(table) > MAX_CLASS_ROWS:
            decided = table[table["word"].isin((ADDS, WORSE))]
            note = f"{len(table) - len(decided)} rows without an answer are in comparison.json."
            table = decided
        shown = pd.DataFrame(
            {
                "fusion": table["fusion"],
                "class": table["class"],
                "over the best branch": [_format_difference(row) for _, row in table.iterrows()],
                "p adds": [format_p_value(p) for p in table["p"]],
                "exploratory": [f"{VERDICT_STYLES[word].sign} {word}" for word in table["word"]],
                "effective patients": [f"{value:,.1f}" for value in table["effective_patients"]],
            }
        )
        caption = "Exploratory: what each fusion adds for each class, corrected over the classes"
        items.append(Table.from_frame(shown, caption, note))
    return Block(
        title="Classes",
        text="A good mean can hide a class that fails. These tables are exploratory: nothing here "
        "was decided beforehand.",
        items=tuple(items),
    )


def _build_dependence(comparison: Comparison) -> Block:
    found = comparison.dependence
    facts = {
        METRIC_NAMES[found.metric]: f"{found.estimate:.3f}",
        "patients": f"{comparison.n_patients:,}",
        "windows": f"{comparison.n_windows:,}",
        "effective patients": f"{found.effective_patients:,.1f}",
        "design effect": f"{found.design_effect:.1f}",
        f"lowest without one of the {N_LEFT_OUT} most influential": f"{found.min_without_one:.3f}",
        f"highest without one of the {N_LEFT_OUT} most influential": f"{found.max_without_one:.3f}",
    }
    classes = pd.DataFrame(
        {
            "class": found.classes["class"],
            "positive windows": found.classes["positive"].map("{:,}".format),
            "patients": found.classes["patients"].map("{:,}".format),
            "effective patients": found.classes["effective_patients"].map(_format_count),
            "largest part of one patient": found.classes["max_fraction"].map(_format_percent),
            "that patient": found.classes["patient"].map(str),
        }
    )
    order = found.classes["max_fraction"].fillna(-1).sort_values(ascending=False).index
    table = found.table.head(N_LEFT_OUT)
    patients = {
        "patient": table["patient"].map(str),
        "windows": table["windows"].map("{:,}".format),
    }
    if len(comparison.classes) <= MAX_CLASS_COLUMNS:
        patients |= {name: table[name].map("{:,}".format) for name in comparison.classes}
    patients["part of the variance"] = table["variance_fraction"].map(_format_percent)
    patients["score without"] = table["score_without"].map(_format_number)
    items = (
        Table.from_mapping(
            facts, f"What the score of {found.model} rests on", ("value", found.model)
        ),
        Table.from_frame(classes.loc[order], "Classes, those held by one patient first"),
        Table.from_frame(pd.DataFrame(patients), "The most influential patients"),
    )
    return Block(
        title="Who decides",
        text="A score can rest on one patient. Look for few effective patients, and for a class "
        "that one patient holds.",
        items=items,
    )


def _build_baselines(comparison: Comparison) -> Block:
    tables = []
    for baseline in comparison.baselines:
        rows = pd.DataFrame(
            {
                "network": list(baseline.differences),
                "difference": [one.format() for one in baseline.differences.values()],
                "p": [
                    format_p_value(one.compute_p_value()) for one in baseline.differences.values()
                ],
                "verdict": [baseline.judge(network) for network in baseline.differences],
            }
        )
        tables.append(Table.from_frame(rows, f"Networks against {baseline.baseline}"))
    return Block(
        title="Baseline",
        text="Trees on handcrafted values train in seconds. A network that does not beat them may "
        "have learned nothing that they do not use.",
        items=tuple(tables),
    )


def _format_scores(comparison: Comparison) -> dict[str, str]:
    """Format the score of each model with its interval."""
    rows = comparison.build_score_rows()
    columns = (rows[column] for column in ("name", "estimate", "low", "high"))
    return {
        name: Score(estimate=estimate, low=low, high=high).format()
        for name, estimate, low, high in zip(*columns, strict=True)
    }


def _format_difference(row: pd.Series) -> str:
    estimate, low, high = (round(float(row[name]), 3) + 0.0 for name in ("estimate", "low", "high"))
    if low != low:
        return f"{estimate:+.3f} [no interval]"
    return f"{estimate:+.3f} [{low:+.3f}, {high:+.3f}]"


def _format_number(value: float) -> str:
    return f"{value:.3f}" if value == value else "-"


def _format_count(value: float) -> str:
    return f"{value:,.1f}" if value == value else "-"


def _format_percent(fraction: float) -> str:
    return f"{fraction:.1%}".replace("%", " %") if fraction == fraction else "-"
