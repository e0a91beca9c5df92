"""The tables of the pointing test, from ``docs/results/pointing/*.json``.

``python -m docs.results.pointing_test`` makes those files. No number is typed.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecglib.explain.pointing_runs import USED_LOGIT
from generate.markdown import fold, format_table

RESULTS = Path(__file__).parents[1] / "results" / "pointing"
FOLDER = "results"
SUFFIX = ".md.txt"  # included, so no page of the site
WAVES = "occlusion of waves"
METHODS = ("gradient", "SmoothGrad", "integrated gradients", "Grad-CAM", "occlusion", WAVES)

Row = Mapping[str, Any]


def write_pages(folder: Path) -> None:
    """Write the tables of each dataset."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        text = format_result(result)
        name = f"pointing_{path.stem}{SUFFIX}"
        (folder / FOLDER / name).write_text(text, encoding="utf-8")


def format_result(result: Mapping[str, Any]) -> str:
    """Format the methods' scores, those of each model, and the commands."""
    rows = result["rows"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    commands = "\n".join(result["commands"])
    parts = [
        f":::{{warning}}\n{'; '.join(result['caveats'])}\n:::",
        f"How much the logit falls in the windows without the evidence [95 % interval over "
        f"patients], and how many of the seeds use it. A network uses evidence if it falls by more "
        f"than {USED_LOGIT:g}; of the rest no attribution can be right.",
        format_falls(rows, models),
        "Hits on evidence that networks use, in the seeds that use it, mean over classes, of the "
        "methods on the signal and on the representation (by chance):",
        format_methods(rows, models),
    ]
    for model in models:
        chosen = [row for row in rows if row["model"] == model]
        hits = "Hits [95 % interval over patients] (by chance):\n\n" + format_hits(chosen)
        ranks = (
            "Mean rank of the true lead, 1 is the highest [95 % interval over patients]; "
            f"{select(chosen, axis='lead')[0]['rank_chance']:g} by chance:\n\n"
            + format_ranks(chosen)
        )
        parts.append(fold(f"{model}: each class, axis and input", f"{hits}\n\n{ranks}"))
    parts += [
        f"SmoothGrad with {result['smoothgrad_samples']} copies, integrated gradients with "
        f"{result['integration_steps']} steps.",
        "Made by",
        f"```sh\n{commands}\n```",
        f"with {versions}.",
    ]
    return "\n\n".join(parts) + "\n"


def format_falls(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Format how much the logit falls without the evidence, for each class and model."""
    classes = list(dict.fromkeys(row["class_name"] for row in rows))
    cells = []
    for class_name in classes:
        line = [class_name]
        for model in models:
            found = select(rows, model=model, class_name=class_name)
            line.append(format_fall(found[0]) if found else "-")
        cells.append(line)
    return format_table(["class", *models], cells)


def format_methods(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Format the mean hits of each method on evidence that the models use."""
    lines = []
    for model in models:
        for axis in ("time", "wave", "frequency", "lead"):
            used = [row for row in select(rows, model=model, axis=axis) if is_used(row)]
            for name in dict.fromkeys(row["input_name"] for row in used):
                of_input = select(used, input_name=name)
                classes = ", ".join(dict.fromkeys(row["class_name"] for row in of_input))
                cells = [average_hits(select_method(of_input, method)) for method in METHODS]
                lines.append([model, axis, name, classes, *cells])
    return format_table(["model", "axis", "attribution of", "classes", *METHODS], lines, n_text=4)


def format_hits(rows: Sequence[Row]) -> str:
    """Format the hits of each class, axis and input."""
    return _format_cells(
        rows, lambda row: f"{format_interval(row, 'hits')} ({row['hits_chance']:.2f})"
    )


def format_ranks(rows: Sequence[Row]) -> str:
    """Format the rank of the true lead for each class and input."""
    return _format_cells(select(rows, axis="lead"), lambda row: format_interval(row, "rank"))


def _format_cells(rows: Sequence[Row], format_one: Any) -> str:
    lines = []
    keys = dict.fromkeys((row["class_name"], row["axis"], row["input_name"]) for row in rows)
    for class_name, axis, name in keys:
        chosen = select(rows, class_name=class_name, axis=axis, input_name=name)
        cells = []
        for method in METHODS:
            found = select_method(chosen, method)
            cells.append(format_one(found[0]) if found else "-")
        lines.append([class_name, axis, name, *cells])
    return format_table(["class", "axis", "attribution of", *METHODS], lines, n_text=3)


def select(rows: Iterable[Row], **wanted: str) -> list[Row]:
    """Select the rows with given values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def select_method(rows: Iterable[Row], method: str) -> list[Row]:
    """Select the rows of a method; occlusion is of leads, segments or bands, apart from waves."""
    names = {row["method"]: row["method"].split(" of ")[0] for row in rows} | {WAVES: WAVES}
    return [row for row in rows if names[row["method"]] == method]


def is_used(row: Row) -> bool:
    """Tell whether a seed of the model uses the evidence of a row."""
    return row["seeds_using"] > 0


def format_fall(row: Row) -> str:
    """Format how much the logit falls, with the number of seeds that use the evidence."""
    return f"{format_interval(row, 'fall')}, {row['seeds_using']} of {row['seeds']}"


def average_hits(rows: Sequence[Row]) -> str:
    """Format the mean hits over classes and the mean chance."""
    if not rows:
        return "-"
    hits, chance = (sum(row[key] for row in rows) / len(rows) for key in ("hits", "hits_chance"))
    return f"{hits:.2f} ({chance:.2f})"


def format_interval(row: Row, name: str) -> str:
    """Format a mean with its interval."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or math.isnan(low):
        return f"{row[name]:.2f}"
    return f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"
