"""Measure in rounds of A B A B, compute the ratio of each round, and format the figures.

The speed of a shared machine changes from second to second. The ratio of two things measured
right after each other changes much less, so only ratios have a floor.
"""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

NAME_WIDTH = 34  # of the names of figures, in characters
PACKAGES = ("ecg-fusion", "numpy", "scipy", "pandas", "tensorflow", "keras", "wfdb")


class SkippedError(Exception):
    """The figure cannot be measured here; the message says what is missing."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: ``run()`` processes ``n`` items."""

    run: Callable[[], object]
    n: float


@dataclass(frozen=True)
class Figure:
    """One measured ratio; higher is better.

    Parameters
    ----------
    name : str
        ``module.figure``.
    what, against : str
        What is measured, and the peer or limit that it is compared with.
    floor : float
        The value that the median of `ratios` should reach.
    ratios : list of float
        One per round.
    detail : dict of str to float
        The absolute numbers, with their unit in the name; they are valid for this machine only.
    """

    name: str
    what: str
    against: str
    floor: float
    ratios: list[float]
    detail: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median reaches the floor."""
        return self.ratio >= self.floor

    def to_dict(self) -> dict[str, Any]:
        """Return what is written to the JSON file."""
        return {
            "name": self.name,
            "what": self.what,
            "against": self.against,
            "ratio": self.ratio,
            "floor": self.floor,
            "met": self.met,
            "rounds": {
                "n": len(self.ratios),
                "min": min(self.ratios),
                "median": self.ratio,
                "max": max(self.ratios),
            },
            "detail": self.detail,
        }


def alternate(
    sides: dict[str, Side],
    rounds: int,
    name: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time the sides in turn, after one run of each that is not counted.

    Parameters
    ----------
    sides : dict of str to Side
        What is timed, in this order in every round.
    rounds : int
        Number of rounds.
    name : str, default ""
        Shown in the progress bar.
    clock : callable
        Returns the time in s.

    Returns
    -------
    dict of str to list of float
        The speed of each side in each round, in items per second.
    """
    for side in sides.values():
        side.run()
    speeds: dict[str, list[float]] = {key: [] for key in sides}
    for _ in tqdm(range(rounds), desc=name, unit="round", leave=False):
        for key, side in sides.items():
            started = clock()
            side.run()
            speeds[key].append(side.n / (clock() - started))
    return speeds


def compute_ratios(ours: list[float], peers: list[float]) -> list[float]:
    """Divide our values by those of the peer, round by round."""
    return [a / b for a, b in zip(ours, peers, strict=True)]


def compute_medians(measured: dict[str, list[float]], unit: str) -> dict[str, float]:
    """Compute the median of each side, with the unit in the name."""
    return {
        f"{key}, {unit}": round(statistics.median(values), 1) for key, values in measured.items()
    }


def format_table(figures: list[Figure], skipped: dict[str, str]) -> str:
    """Format the figures as text, then what was skipped, then which floors were missed."""
    lines = [f"{'figure':{NAME_WIDTH}}{'ratio':>9}{'floor':>8}  {'':8}{'min - max of the rounds'}"]
    for f in figures:
        spread = f"{min(f.ratios):.3g} - {max(f.ratios):.3g} of {len(f.ratios)}"
        met = "met" if f.met else "MISSED"
        lines.append(f"{f.name:{NAME_WIDTH}}{f.ratio:>9.3g}{f.floor:>8g}  {met:8}{spread}")
        lines += [f"    {f.what}", f"    against {f.against}"]
        lines += [f"    {value:>12,g} {key}" for key, value in f.detail.items()]
    lines += [f"skipped {name}: {why}" for name, why in skipped.items()]
    if missed := [f"{f.name} ({f.ratio:.3g}, floor {f.floor:g})" for f in figures if not f.met]:
        lines.append(f"\n{len(missed)} of {len(figures)} floors MISSED: {', '.join(missed)}")
    elif figures:
        lines.append(f"\nAll {len(figures)} floors met.")
    return "\n".join(lines)


def describe_machine() -> dict[str, Any]:
    """Describe processor, cores, load and versions, for which the absolute numbers are valid."""
    return {
        "processor": _find_processor(),
        "cores": os.cpu_count(),
        "cores_of_this_process": _count_usable_cores(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{package: _find_version(package) for package in PACKAGES},
        },
    }


def _find_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _count_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
