"""What a user waits for before anything happens."""

import statistics
import subprocess
import sys

from benchmarks.measure import Figure, Side, alternate
from benchmarks.noise import ROOT

LIMIT_S = 0.5
ROUNDS = 11


def help_text() -> Figure:
    """``ecglib --help`` in a fresh process, against half a second."""
    sides = {
        "ecglib --help": Side(lambda: _python("-m", "ecglib", "--help"), 1),
        "python that does nothing": Side(lambda: _python("-c", "pass"), 1),
    }
    speeds = alternate(sides, ROUNDS, "startup.help")
    return Figure(
        "startup.help",
        "ecglib --help in a fresh process",
        f"the limit: {LIMIT_S:g} s",
        1.0,
        [LIMIT_S * speed for speed in speeds["ecglib --help"]],
        {f"{name}, ms": round(1000 / statistics.median(own), 1) for name, own in speeds.items()},
    )


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


FIGURES = {"help": help_text}
