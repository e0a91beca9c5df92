"""``python -m benchmarks [NAME]``: measure, print a table, write ``bench/<timestamp>.json``."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from benchmarks import (
    duplicates,
    feed,
    measure,
    prepare,
    reading,
    splits,
    startup,
    training,
    views,
)
from benchmarks.measure import Figure, SkippedError
from ecglib.paths import write_text

FOLDER = Path(__file__).resolve().parents[1] / "bench"
FIGURES: dict[str, Callable[[], Figure]] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (startup, feed, views, reading, prepare, duplicates, splits, training)
    for name, function in module.FIGURES.items()
}


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Run the command; 0 also when a floor is missed, 2 on an unknown name."""
    options = _parser().parse_args(arguments)
    if options.list:
        for name, function in FIGURES.items():
            print(f"{name:26} {function.__doc__.splitlines()[0]}")
        return 0
    try:
        chosen = choose(options.name)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    try:
        figures, skipped, report = run(chosen)
    except KeyboardInterrupt:
        print("benchmarks: interrupted, nothing was written", file=sys.stderr)
        return 130
    path = write(report, folder)
    print(measure.table(figures, skipped))
    print(f"Written: {os.path.relpath(path)}")
    return 0


def choose(name: str) -> list[str]:
    """The figures that a name stands for: one of them, a module's, or with no name all.

    Raises
    ------
    ValueError
        there is no such figure or module.
    """
    chosen = [figure for figure in FIGURES if name in ("", figure, figure.split(".")[0])]
    if not chosen:
        modules = sorted({figure.split(".")[0] for figure in FIGURES})
        raise ValueError(f"no figure is called {name!r}. Choose from: {', '.join(modules)}; "
                         f"{', '.join(FIGURES)}.")  # fmt: skip
    return chosen


def run(names: list[str]) -> tuple[list[Figure], dict[str, str], dict]:
    """Measure the figures; also give the report that is written to the JSON file."""
    started, report = time.monotonic(), {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    report["machine"] = measure.machine()
    figures, skipped = [], {}
    for name in tqdm(names, desc="benchmarks", unit="figure"):
        try:
            figures.append(FIGURES[name]())
        except SkippedError as why:
            skipped[name] = str(why)
    report["seconds"] = round(time.monotonic() - started, 1)
    report["figures"] = [figure.to_dict() for figure in figures]
    report["skipped"] = skipped
    return figures, skipped, report


def write(report: dict, folder: Path) -> Path:
    """Write a report; it appears whole or not at all."""
    path = folder / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    write_text(path, json.dumps(report, indent=1) + "\n")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Speed and memory, each as a ratio to a named peer or limit measured in the "
        "same run. The exit status is 0 also when a floor is missed.",
    )
    parser.add_argument("name", nargs="?", default="", help="a figure or a module; without it all")
    parser.add_argument("--list", action="store_true", help="list the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
