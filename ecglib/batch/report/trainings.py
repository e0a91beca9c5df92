"""The parts of a report that are made from the runs: cost, curves, decisions, settings, links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from ecglib.batch.report.evidence import find_highlights
from ecglib.batch.report.parts import Block, Link, Table
from ecglib.evaluation.comparison import Comparison
from ecglib.evaluation.contestants import Contestant
from ecglib.plots import (
    Picture,
    convert_to_svg,
    plot_confusion,
    plot_learning_curves,
    plot_reliability,
    plot_roc_and_pr,
)
from ecglib.runs import ContestantFolder, Run
from ecglib.runs.contestants import build_contestant, build_recipe, name_contestants

MAX_CURVES = 12  # classes in a figure with a curve for each
NOTEBOOK = "train.ipynb"
Models = Mapping[str, Sequence[ContestantFolder]]


def list_trainings(
    comparison: Comparison, runs: Sequence[ContestantFolder], folder: Path, name: str
) -> list[Block]:
    """List the parts of a section that are made from the runs.

    Parameters
    ----------
    comparison : Comparison
        The comparison of the runs.
    runs : sequence of Run or Entry
        All runs that were compared, and what was entered.
    folder : Path
        Folder of the report, which links are relative to.
    name : str
        Name of the section on the page.

    Returns
    -------
    list of Block
        Cost, learning curves, decisions, settings and runs; none without runs.

    Examples
    --------
    >>> list_trainings(None, [], Path("runs"), "s1")
    []
    """
    if not runs:
        return []
    names = name_contestants(runs)
    models: dict[str, list[ContestantFolder]] = {}
    for run in runs:
        models.setdefault(names[run.model_hash], []).append(run)
    ordered = {model: models[model] for model in comparison.table["model"] if model in models}
    trained = {
        model: [one for one in folders if isinstance(one, Run)]
        for model, folders in ordered.items()
        if isinstance(folders[0], Run)
    }
    return [
        _build_cost(ordered),
        _build_curves(trained, name),
        _build_decisions(comparison, ordered, name),
        _build_settings(trained),
        _build_links(ordered, folder),
    ]


def _build_cost(models: Models) -> Block:
    rows = []
    for model, runs in models.items():
        costs = [run.metrics["model"] for run in runs]
        is_baseline = runs[0].role == "baseline"
        epochs = [run.history["epoch"].max() for run in runs if isinstance(run, Run)]
        rows.append(
            {
                "model": model,
                "parameters": _format_mean([one["parameters"] for one in costs])
                + (" nodes" if is_baseline else ""),
                "multiply-adds per window": _format_mean(
                    [one.get("multiply_adds") for one in costs]
                ),
                "seconds per training": _format_mean([one.get("seconds") for one in costs]),
                "epochs": "-" if is_baseline else _format_mean(epochs),
                "trainings": str(len(runs)),
            }
        )
    table = Table.from_frame(pd.DataFrame(rows), "Mean over seeds and folds")
    return Block(
        title="Cost",
        text="Compare the cost before the score.",
        items=(table,),
    )


def _build_curves(models: Mapping[str, Sequence[Run]], name: str) -> Block:
    pictures = []
    for number, (model, runs) in enumerate(models.items()):
        experiment = runs[0].experiment
        if experiment.role == "baseline":
            continue
        fig = plot_learning_curves(
            [run.history for run in runs], monitor=experiment.training.monitor
        )
        svg = convert_to_svg(
            fig,
            f"{name}-curve{number}",
            title=f"Learning curves of {model}",
            description="Validation score by epoch, one line for each training; a circle marks the "
            "epoch whose weights are used.",
        )
        pictures.append(Picture(caption=model, svg=svg))
    return Block(
        title="Learning curves",
        text="If the circle is at the last epoch, more epochs may help.",
        items=tuple(pictures),
        is_grid=True,
    )


def _build_decisions(comparison: Comparison, models: Models, name: str) -> Block:
    highlights = find_highlights(comparison)
    items: list[Picture] = []
    title = "Calibration and curves"
    for number, model in enumerate((highlights.branch, highlights.fusion)):
        if not model:
            continue
        contestant = _build_first_seed(model, models[model])
        if contestant.predictions.kind == "multi_class":
            title = "Confusion"
        items += _draw_decisions(contestant, f"{name}-decisions{number}")
    return Block(
        title=title,
        text="The best branch and the best fusion, each the training with its first seed."
        if items
        else f"Not drawn for more than {MAX_CURVES} classes; scores.csv has the score of each.",
        items=tuple(items),
    )


def _build_first_seed(model: str, runs: Sequence[ContestantFolder]) -> Contestant:
    seed = min(run.seed for run in runs)
    return build_contestant([run for run in runs if run.seed == seed], model)


def _draw_decisions(contestant: Contestant, name: str) -> list[Picture]:
    predictions, classes = contestant.predictions, contestant.predictions.classes
    if len(classes) > MAX_CURVES:
        return []
    y, p = np.asarray(predictions.y), np.asarray(predictions.p)
    if predictions.kind == "multi_class":
        figures = {"Confusion matrix": [plot_confusion(y, contestant.decide(), classes)]}
    else:
        figures = {
            "ROC and precision-recall curves": [
                plot_roc_and_pr(y, p, classes, stacked=stacked) for stacked in (False, True)
            ],
            "Reliability": [
                plot_reliability(y, p, classes, stacked=stacked) for stacked in (False, True)
            ],
        }
    pictures: list[Picture] = []
    for kind, variants in figures.items():
        title = f"{kind} of {contestant.name}, seed {contestant.seed}"
        svgs = [
            convert_to_svg(
                fig,
                f"{name}-{len(pictures)}-{k}",
                title=title,
                description=f"On {predictions.n_windows:,} test windows; the tables of classes "
                "have the scores.",
            )
            for k, fig in enumerate(variants)
        ]
        pictures.append(Picture(caption=title, svg=svgs[0], narrow_svg=svgs[-1]))
    return pictures


def _build_settings(models: Mapping[str, Sequence[Run]]) -> Block:
    networks = {
        model: build_recipe(runs[0])
        for model, runs in models.items()
        if runs[0].experiment.role != "baseline"
    }
    recipes = networks or {model: build_recipe(runs[0]) for model, runs in models.items()}
    values: dict[str, dict[str, Any]] = {}
    for model, recipe in recipes.items():
        for setting, value in recipe.items():
            values.setdefault(setting, {})[model] = value
    versions = _list_versions([run for runs in models.values() for run in runs])
    packages = {row[0] for row in versions.rows}
    shared, different = {}, []
    for setting, by_model in values.items():
        texts = {_format_value(value) for value in by_model.values()}
        if len(texts) > 1:
            different.append(setting)
        elif setting not in packages:
            shared[setting] = texts.pop()
    items = [Table.from_mapping(shared, "Settings that all networks share", ("setting", "value"))]
    if different:
        rows = [
            {"model": model}
            | {name: _format_value(recipe[name]) if name in recipe else "-" for name in different}
            for model, recipe in recipes.items()
        ]
        items.append(Table.from_frame(pd.DataFrame(rows), "Settings that differ between networks"))
    items.append(versions)
    return Block(
        title="Settings",
        text="Branches, fusion, ensemble size, size and seed are what is compared; everything else "
        "is the recipe.",
        items=tuple(items),
    )


def _list_versions(runs: Sequence[Run]) -> Table:
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for package, version in run.versions.items():
            found.setdefault(package, {})[version] = None
    versions = {package: ", ".join(texts) for package, texts in found.items()}
    return Table.from_mapping(versions, "Versions", ("package", "version"))


def _build_links(models: Models, folder: Path) -> Block:
    frame = pd.DataFrame(
        {
            "model": list(models),
            "executed notebook": [
                tuple(_link_notebook(run, folder) for run in runs) for runs in models.values()
            ],
        }
    )
    return Block(
        title="Runs",
        text="Each training, with its executed notebook where there is one.",
        items=(Table.from_frame(frame, "All runs"),),
    )


def _link_notebook(run: ContestantFolder, folder: Path) -> Link:
    notebook = run.path / NOTEBOOK
    text = f"seed {run.seed}" + (f" fold {run.data.fold}" if run.data.fold else "")
    is_beside = notebook.is_file() and folder in run.path.parents
    href = quote(notebook.relative_to(folder).as_posix()) if is_beside else ""
    return Link(text=text, href=href)


def _format_mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = float(np.mean(known))
    return f"{mean:,.1f}" if mean < 10 and not mean.is_integer() else f"{mean:,.0f}"


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_format_value(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_value, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "none"
