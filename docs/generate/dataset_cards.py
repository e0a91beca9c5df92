"""The tables of the dataset cards, from ``docs/cards/<dataset>.json``.

``python -m docs.cards.compute`` makes those files. A card is the page ``docs/cards/<dataset>.md``,
which says in words what a user has to know and includes these tables.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecglib.datasets import SOURCES
from generate.markdown import fold, format_table

CARDS = Path(__file__).parents[1] / "cards"
FOLDER = "cards"
SUFFIX = ".md.txt"  # included, so no page of the site
MAX_CLASSES = 6  # a task with more is folded, and its patients are shown for the test split only
SMALL_FRACTION = 0.02  # patients are not named where none has as much of a class
SPLIT_NAMES = {"all": "all records"}
WHO = (
    "Which patients have the windows of a class, and the "
    "[effective number of patients](../reference/verdict.md#who-decides-a-score) of its scores; "
    "with fewer than two the class cannot be measured:"
)


def write_pages(folder: Path) -> None:
    """Write the tables that each card includes."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, card in read_cards().items():
        (folder / FOLDER / f"{name}{SUFFIX}").write_text(format_card(card), encoding="utf-8")


def read_cards() -> dict[str, Any]:
    """Read the cards of all datasets that have one."""
    paths = {name: CARDS / f"{name}.json" for name in SOURCES}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.is_file()
    }


def format_card(card: Mapping[str, Any]) -> str:
    """Format the tables of a card."""
    labelled = card.get("labelled")
    parts = ["## Facts", format_facts(card)]
    if labelled and labelled["n_records"] > card["n_records"]:
        parts += [
            f"## Labels of all {labelled['n_records']:,} records",
            f"Counted in {labelled['origin']}.",
            *format_tasks(labelled["tasks"]),
            f"## The {card['n_records']:,} records prepared for this card",
        ]
    else:
        parts.append("## Windows by class and split")
    parts += [
        *format_tasks(card["tasks"]),
        "## How this card was made",
        f"```sh\n{card['command']}\n```",
        f"The store that it was computed from has the fingerprint `{card['fingerprint']}`. If "
        f"`ecglib prepare {card['name']}` gives you the same, you have the same windows.",
    ]
    return "\n\n".join(parts) + "\n"


def format_facts(card: Mapping[str, Any]) -> str:
    """Format records, patients, leads and the like as a table, and what is incomplete above it."""
    signal = card["signal"]
    n_samples, rate_hz = signal["n_samples"], signal["sampling_rate_hz"]
    labelled = card.get("labelled")
    rows = [
        ("what", card["description"]),
        ("records", f"{card['n_records']:,}, {card['hours']:,.1f} hours"),
        ("windows", f"{card['n_windows']:,} of {n_samples / rate_hz:g} s ({n_samples:,} samples)"),
        ("patients", card["n_patients"] or "unknown"),
        ("leads", f"{len(signal['leads'])}: {', '.join(signal['leads'])}"),
        ("unit", f"{signal['unit']}, in steps of 0.001"),
        ("sampling rate", f"{rate_hz:g} Hz"),
        ("tabular values", ", ".join(f"`{name}`" for name in card["tabular"])),
        *[(name, text) for name, text in format_people(card["people"]).items()],
        ("excluded", format_counts(card["excluded"])),
        ("flagged", format_counts(card["flagged"])),
        ("caveats, shown with every number", "; ".join(card["caveats"]) or "none"),
        ("citation and licence", card["citation"]),
    ]
    table = format_table(["", ""], rows, n_text=2)
    if not labelled or labelled["n_records"] <= card["n_records"]:
        return table
    warning = (
        f"This card was computed from the signals of {card['n_records']:,} of "
        f"{labelled['n_records']:,} records: the facts below are theirs. The labels of all records "
        f"are counted further down."
    )
    return f":::{{warning}}\n{warning}\n:::\n\n{table}"


def format_people(people: Mapping[str, Any]) -> dict[str, str]:
    """Format age and sex of each split, where they are known."""
    ages = {split: one["age"] for split, one in people.items() if one["age"]}
    women = {split: one["women"] for split, one in people.items() if one["women"]}
    texts = {}
    if ages:
        texts["median age"] = ", ".join(f"{split} {age['median']:g}" for split, age in ages.items())
    if women:
        texts["women"] = ", ".join(
            f"{split} {100 * one['fraction']:.0f} %" for split, one in women.items()
        )
    return texts


def format_counts(counts: Mapping[str, int]) -> str:
    """Format what was counted, such as the reasons of excluding records."""
    return "; ".join(f"{name}: {n:,}" for name, n in counts.items()) or "none"


def format_tasks(tasks: Mapping[str, Any]) -> list[str]:
    """Format the tables of each task."""
    parts = []
    for name, task in tasks.items():
        kind = task["kind"].replace("_", "-")
        parts += [f"### Task `{name}`", f"{kind.capitalize()}. {task['description']}"]
        tables = [format_classes(task), *format_patients(task)]
        is_long = len(task["classes"]) > MAX_CLASSES
        content = "\n\n".join(tables)
        parts.append(fold(f"{len(task['classes'])} classes", content) if is_long else content)
    return parts


def format_classes(task: Mapping[str, Any]) -> str:
    """Format the number of windows of each class and split."""
    splits, classes = task["splits"], task["classes"]
    # A class that is one label of the same name needs no column that repeats it.
    has_labels = any(one["labels"] != [name] for name, one in classes.items())
    rows: list[list[object]] = []
    for name, one in classes.items():
        labels = [", ".join(f"`{label}`" for label in one["labels"])] if has_labels else []
        rows.append(
            [f"**{name}**", *labels, *(one["splits"][split]["windows"] for split in splits)]
        )
    titles = ["class", *(["labels"] if has_labels else [])]
    blank = [""] * (len(titles) - 1)
    rows.append(["all windows", *blank, *(one["windows"] for one in splits.values())])
    if any(one["patients"] for one in splits.values()):
        rows.append(["patients", *blank, *(one["patients"] for one in splits.values())])
    header = [*titles, *(SPLIT_NAMES.get(split, split) for split in splits)]
    return format_table(header, rows, n_text=len(titles))


def format_patients(task: Mapping[str, Any]) -> list[str]:
    """Format which patients have the windows of each class; nothing if patients are unknown."""
    splits = [split for split, one in task["splits"].items() if one["patients"]]
    if len(task["classes"]) > MAX_CLASSES:
        splits = splits[-1:]
    rows = [
        [f"**{name}**", split, *format_who(one["splits"][split])]
        for name, one in task["classes"].items()
        for split in splits
        if one["splits"][split]["windows"]
    ]
    if not rows:
        return []
    header = ["class", "split", "patients with the most windows", "patients", "effective"]
    return [WHO, format_table(header, rows, n_text=3)]


def format_who(counts: Mapping[str, Any]) -> list[object]:
    """Format the patients with the largest fractions of a class's windows, and their number."""
    fractions = {patient: n / counts["windows"] for patient, n in counts["top"].items()}
    largest = max(fractions.values())
    top = ", ".join(f"{patient} ({fraction:.0%})" for patient, fraction in fractions.items())
    if largest < SMALL_FRACTION:
        top = f"none has more than {largest:.1%}"
    effective = counts["effective_patients"]
    return [top, counts["patients"], None if effective is None else f"{effective:,.1f}"]
