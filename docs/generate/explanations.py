"""The tables of the checks of explanations, from ``docs/results/explanations/*.json``.

``python -m docs.results.explanation_checks`` makes those files. No number is typed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecglib.explain.agreement import MIN_AGREEMENT
from generate.markdown import fold, format_table

RESULTS = Path(__file__).parents[1] / "results" / "explanations"
FOLDER = "results"
SUFFIX = ".md.txt"  # included, so no page of the site
METHODS = {
    "integrated_gradients": "integrated gradients",
    "smoothgrad": "SmoothGrad",
    "gradient": "gradient",
}
THRESHOLD = f"{MIN_AGREEMENT:g}"

Row = Mapping[str, Any]


def write_pages(folder: Path) -> None:
    """Write the tables of each dataset."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for path in sorted(RESULTS.glob("*.json")):
        text = format_result(json.loads(path.read_text(encoding="utf-8")))
        (folder / FOLDER / f"explanations_{path.stem}{SUFFIX}").write_text(text, encoding="utf-8")


def format_result(result: Mapping[str, Any]) -> str:
    """Format the checks that passed, the similarities, and the commands."""
    rows = result["rows"]
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    commands = "\n".join(result["commands"])
    caveats = "; ".join(result["caveats"])
    similar = select(rows, kind="similarity")
    parts = [
        *([f":::{{warning}}\n{caveats}\n:::"] if caveats else []),
        "Windows that passed each check:",
        format_passed(select(rows, kind="check")),
        f"Similarity: mean over the windows (5 % to 95 % of the windows); windows with at least "
        f"{THRESHOLD}:",
        format_similarities([row for row in similar if is_compared_by_check(row)]),
        fold("Other measures of similarity", format_similarities(similar)),
        fold("Similarity to other seeds by class", format_classes(similar)),
        fold("How it was made", f"```sh\n{commands}\n```\n\nwith {versions}."),
    ]
    return "\n\n".join(parts) + "\n"


def format_passed(rows: Sequence[Row]) -> str:
    """Format how many windows passed each check, a column for each method."""
    lines = []
    for model, name, check in list_keys(rows, "model", "input_name", "name"):
        of_check = select(rows, model=model, input_name=name, name=check)
        cells = [_count_passed(select(of_check, method=method)) for method in METHODS]
        lines.append([model, name, check, of_check[0]["accepted"], *cells])
    header = ["model", "attribution of", "check", "accepted", *METHODS.values()]
    return format_table(header, lines, n_text=4)


def _count_passed(found: Sequence[Row]) -> str:
    return f"{found[0]['n_passed']} of {found[0]['n_windows']}" if found else "-"


def format_similarities(rows: Sequence[Row]) -> str:
    """Format the similarity to other seeds and where there should be none."""
    lines = []
    for model, name, measure, compared in list_keys(
        rows, "model", "input_name", "name", "compared_with"
    ):
        of_measure = select(
            rows, model=model, input_name=name, name=measure, compared_with=compared
        )
        cells = [_format_similarity(select(of_measure, method=method)) for method in METHODS]
        lines.append([model, name, measure, compared, *cells])
    header = ["model", "attribution of", "compared", "with", *METHODS.values()]
    return format_table(header, lines, n_text=4)


def _format_similarity(found: Sequence[Row]) -> str:
    if not found or found[0]["mean"] is None:
        return "-"
    row = found[0]
    passed = f"{row['above'][THRESHOLD]} of {row['n_windows']}"
    return f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f}); {passed}"


def format_classes(rows: Sequence[Row]) -> str:
    """Format the similarity to other seeds of each class, as the check measures it."""
    shown = [row for row in rows if is_compared_by_check(row)]
    shown = select(shown, compared_with="other seeds")
    lines = []
    for model, name in list_keys(shown, "model", "input_name"):
        of_input = select(shown, model=model, input_name=name)
        for class_name in of_input[0]["classes"]:
            found = (select(of_input, method=method) for method in METHODS)
            cells = [f"{one[0]['classes'][class_name]:.2f}" if one else "-" for one in found]
            lines.append([model, name, class_name, *cells])
    header = ["model", "attribution of", "class", *METHODS.values()]
    return format_table(header, lines, n_text=3)


def is_compared_by_check(row: Row) -> bool:
    """Tell whether a similarity is what the check measures: the values that a page shows."""
    return row["name"] in ("squares of 40 ms, values", "bins, values")


def list_keys(rows: Iterable[Row], *names: str) -> list[tuple[str, ...]]:
    """List the different values of some columns, in their order."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def select(rows: Iterable[Row], **wanted: str) -> list[Row]:
    """Select the rows with given values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]
