"""Rounds of A B A B, the ratio of each round, a figure with its floor, the table, the machine.

The speed of a machine that others use too changes from second to second. A ratio of two things
that were measured right after each other changes much less, so only ratios have a floor.
"""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

PACKAGES = ("ecg-fusion", "numpy", "scipy", "pandas", "tensorflow", "keras", "wfdb")


class SkippedError(Exception):
    """A figure cannot be measured here; the message says what is missing."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: ``run()`` handles ``n`` things."""

    run: Callable[[], object]
    n: int


@dataclass(frozen=True)
class Figure:
    """One measured ratio; more is better.

    Parameters
    ----------
    name
        ``module.figure``.
    what, against
        what is measured, and the peer or limit that it is measured against.
    floor
        what the median of `ratios` should reach.
    ratios
        one a round.
    detail
        the absolute numbers, with their unit in the name; they hold for this machine only.
    """

    name: str
    what: str
    against: str
    floor: float
    ratios: list[float]
    detail: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median reaches the floor."""
        return self.ratio >= self.floor

    def to_dict(self) -> dict:
        """What is written to the JSON file."""
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
    """Time the sides in turn, after one run of each that does not count.

    Parameters
    ----------
    sides
        what is timed, in this order in every round.
    rounds
        how many times.
    name
        shown in the progress bar.
    clock
        gives seconds.

    Returns
    -------
    For each side its speed in each round, in things a second.
    """
    for side in sides.values():
        side.run()
    speeds = {key: [] for key in sides}
    for _ in tqdm(range(rounds), desc=name, unit="round", leave=False):
        for key, side in sides.items():
            started = clock()
            side.run()
            speeds[key].append(side.n / (clock() - started))
    return speeds


def ratios(ours: list[float], others: list[float]) -> list[float]:
    """Ours over the other's, round by round."""
    return [a / b for a, b in zip(ours, others, strict=True)]


def medians(measured: dict[str, list[float]], unit: str) -> dict[str, float]:
    """The median of each side, with the unit in the name."""
    return {f"{key}, {unit}": round(statistics.median(own), 1) for key, own in measured.items()}


def table(figures: list[Figure], skipped: dict[str, str]) -> str:
    """The figures as text, then what was skipped, then which floors were missed."""
    lines = [f"{'figure':26}{'ratio':>9}{'floor':>8}  {'':8}{'min - max of the rounds'}"]
    for f in figures:
        spread = f"{min(f.ratios):.3g} - {max(f.ratios):.3g} of {len(f.ratios)}"
        met = "met" if f.met else "MISSED"
        lines.append(f"{f.name:26}{f.ratio:>9.3g}{f.floor:>8g}  {met:8}{spread}")
        lines += [f"    {f.what}", f"    against {f.against}"]
        lines += [f"    {value:>12,g} {key}" for key, value in f.detail.items()]
    lines += [f"skipped {name}: {why}" for name, why in skipped.items()]
    if missed := [f"{f.name} ({f.ratio:.3g}, floor {f.floor:g})" for f in figures if not f.met]:
        lines.append(f"\n{len(missed)} of {len(figures)} floors MISSED: {', '.join(missed)}")
    elif figures:
        lines.append(f"\nAll {len(figures)} floors met.")
    return "\n".join(lines)


def machine() -> dict:
    """Processor, cores, load and versions that the absolute numbers belong to."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_of_this_process": _usable_cores(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
