"""``python -m benchmarks [NAME]``: measure, print a table, write ``bench/<timestamp>.json``."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks import (
    duplicates,
    explain,
    feed,
    measure,
    prepare,
    reading,
    representations,
    robustness,
    run,
    splits,
    startup,
    training,
    verdicts,
)
from benchmarks.measure import Figure, SkippedError
from ecglib.paths import write_json

FOLDER = Path(__file__).resolve().parents[1] / "bench"
FIGURES: dict[str, Callable[[], Figure]] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (
        startup,
        feed,
        representations,
        run,
        reading,
        prepare,
        duplicates,
        splits,
        training,
        verdicts,
        robustness,
        explain,
    )
    for name, function in module.FIGURES.items()
}


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Run the command; return 0 even if a floor is missed, and 2 for an unknown name."""
    options = _make_parser().parse_args(arguments)
    if options.list:
        for name, function in FIGURES.items():
            print(f"{name:{measure.NAME_WIDTH}} {function.__doc__.splitlines()[0]}")
        return 0
    try:
        names = choose_figures(options.name)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    try:
        figures, skipped, report = measure_figures(names)
    except KeyboardInterrupt:
        print("benchmarks: interrupted; nothing was written", file=sys.stderr)
        return 130
    path = write_report(report, folder)
    print(measure.format_table(figures, skipped))
    print(f"Written: {os.path.relpath(path)}")
    return 0


def choose_figures(name: str) -> list[str]:
    """Choose the figures by a name: one figure, those of a module, or with "" all.

    Raises
    ------
    ValueError
        If there is no such figure or module.
    """
    chosen = [figure for figure in FIGURES if name in ("", figure, figure.split(".")[0])]
    if not chosen:
        modules = sorted({figure.split(".")[0] for figure in FIGURES})
        raise ValueError(
            f"{name!r} is not a figure. Choose from: {', '.join(modules)}; {', '.join(FIGURES)}."
        )
    return chosen


class Measured(NamedTuple):
    """The figures that were measured, why others were skipped, and the report of both.

    Parameters
    ----------
    figures : list of Figure
        The figures that were measured.
    skipped : dict of str to str
        Name of a figure -> why it was skipped.
    report : dict
        What is written to the JSON file.
    """

    figures: list[Figure]
    skipped: dict[str, str]
    report: dict[str, Any]


def measure_figures(names: list[str]) -> Measured:
    """Measure the figures of these names."""
    started = time.monotonic()
    report: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": measure.describe_machine(),
    }
    figures: list[Figure] = []
    skipped: dict[str, str] = {}
    for name in tqdm(names, desc="benchmarks", unit="figure"):
        try:
            figures.append(FIGURES[name]())
        except SkippedError as error:
            skipped[name] = str(error)
    report["seconds"] = round(time.monotonic() - started, 1)
    report["figures"] = [figure.to_dict() for figure in figures]
    report["skipped"] = skipped
    return Measured(figures, skipped, report)


def write_report(report: dict[str, Any], folder: Path) -> Path:
    """Write a report atomically."""
    path = folder / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    write_json(path, report)
    return path


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Speed and memory, each as a ratio to a named peer or limit measured in the "
        "same run. The exit status is 0 even if a floor is missed.",
    )
    parser.add_argument("name", nargs="?", default="", help="a figure or a module (default: all)")
    parser.add_argument("--list", action="store_true", help="list the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
