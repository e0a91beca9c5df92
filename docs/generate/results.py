"""The tables of the results page, from ``docs/results/*.json``.

``python -m docs.results.add`` makes those files. ``docs/results.md`` says in words what each result
is, and includes its tables. No number is typed.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecglib.evaluation.comparison import RIVAL_TITLES
from ecglib.evaluation.differences import format_difference, format_p_value
from ecglib.evaluation.metrics import MACRO_METRICS, METRIC_NAMES
from ecglib.evaluation.scoreboard import Score
from generate.markdown import format_table

RESULTS = Path(__file__).parents[1] / "results"
FOLDER = "results"
INTERVAL = ("estimate", "low", "high")
SUFFIX = ".md.txt"  # included, so no page of the site


def write_pages(folder: Path) -> None:
    """Write the tables of each result."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        text = format_result(path.stem, result)
        (folder / FOLDER / f"{path.stem}{SUFFIX}").write_text(text, encoding="utf-8")


def format_result(name: str, result: Mapping[str, Any]) -> str:
    """Format the commands and comparisons of a result."""
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    parts = []
    for number, comparison in enumerate(result["comparisons"], start=1):
        svg = (RESULTS / f"{name}-{number}.svg").read_text(encoding="utf-8")
        parts += format_comparison(comparison, svg)
    commands = "\n".join(result["commands"])
    parts += ["Made by", f"```sh\n{commands}\n```", f"with {versions}."]
    return "\n\n".join(parts) + "\n"


def format_comparison(comparison: Mapping[str, Any], svg: str) -> list[str]:
    """Format a comparison: its result, caveats, verdicts, scores and checks."""
    metric = METRIC_NAMES[comparison["metric"]]
    split = f"{comparison['n_folds']} folds" if comparison["n_folds"] else "test split"
    facts = (
        f"Dataset `{comparison['dataset']}`, task `{comparison['task']}`, {split}: "
        f"{comparison['n_patients']:,} patients, {comparison['n_windows']:,} windows. Compared by "
        f"{metric}; the smallest gain worth having is {comparison['margin']:g}."
    )
    parts = [f"**{comparison['headline']}**", facts]
    if comparison["caveats"]:
        parts.append(f":::{{warning}}\n{'; '.join(comparison['caveats'])}\n:::")
    parts.append(f"```{{raw}} html\n<figure>{svg.strip()}</figure>\n```")
    if comparison["verdicts"]:
        parts += ["Verdicts, with the difference from each rival [95 % interval]:"]
        parts += [format_verdicts(comparison), *format_reasons(comparison)]
    parts += ["Scores, mean over seeds [95 % interval over patients and seeds]:"]
    parts += [format_scores(comparison), "Checks:", format_checks(comparison)]
    return parts


def format_verdicts(comparison: Mapping[str, Any]) -> str:
    """Format the verdict on each fusion, from the largest gain to the smallest."""
    rows = []
    for verdict in comparison["verdicts"]:
        rivals = find_rivals(verdict)
        gain = next(iter(rivals.values()))["estimate"] if rivals else -math.inf
        differences = [
            format_difference(*(read_number(rivals[kind][name]) for name in INTERVAL))
            if kind in rivals
            else "-"
            for kind in RIVAL_TITLES
        ]
        p = format_p_value(read_number(verdict["p_adds"]))
        row = [
            verdict["fusion"],
            f"**{verdict['word']}**",
            *differences,
            p,
            format_strongest_rival(verdict),
        ]
        rows.append((gain, row))
    header = ["fusion", "verdict", *RIVAL_TITLES.values(), "p", "hardest to beat"]
    ordered = sorted(rows, key=lambda one: -one[0])
    return format_table(header, [row for _, row in ordered], n_text=2)


def find_rivals(verdict: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Find the rivals that belong to the best branch: kind -> difference from it."""
    found = {
        one["kind"]: one for one in verdict["rivals"] if one["branch"] == verdict["best_branch"]
    }
    return {kind: found[kind] for kind in RIVAL_TITLES if kind in found}


def format_strongest_rival(verdict: Mapping[str, Any]) -> str:
    """Format the difference from the rival that the fusion is least certain to beat."""
    if not verdict["rivals"]:
        return "-"
    rival = max(verdict["rivals"], key=lambda one: read_number(one["p"]))
    difference = format_difference(*(read_number(rival[name]) for name in INTERVAL))
    return f"{rival['name']}: {difference}"


def format_reasons(comparison: Mapping[str, Any]) -> list[str]:
    """Format why a verdict is as it is."""
    lines = [
        f"- {verdict['fusion']}: {' '.join(verdict['reasons'])}"
        for verdict in comparison["verdicts"]
        if verdict["reasons"]
    ]
    return ["\n".join(lines)] if lines else []


def format_scores(comparison: Mapping[str, Any]) -> str:
    """Format the scores of each model, best first."""
    first = comparison["metric"]
    metrics = [first, *(name for name in MACRO_METRICS if name != first)]
    rows = [
        [
            model["model"],
            model["seeds"],
            *(format_score(model, metric) for metric in metrics),
            f"{model['parameters']:,}{' nodes' if model['role'] == 'baseline' else ''}",
        ]
        for model in comparison["models"]
    ]
    header = ["model", "seeds", *(METRIC_NAMES[name] for name in metrics), "parameters"]
    return format_table(header, rows)


def format_score(model: Mapping[str, Any], metric: str) -> str:
    """Format a score with its interval."""
    names = (metric, f"{metric}_low", f"{metric}_high")
    estimate, low, high = (read_number(model[name]) for name in names)
    return Score(estimate=estimate, low=low, high=high).format()


def read_number(value: float | None) -> float:
    """Return a number of a JSON file, which has null for nan."""
    return math.nan if value is None else value


def format_checks(comparison: Mapping[str, Any]) -> str:
    """Format what was checked of the comparison."""
    rows = [
        [one["title"], "passed" if one["passed"] else "**failed**", one["detail"]]
        for one in comparison["checks"]
    ]
    return format_table(["check", "", "found"], rows, n_text=3)
