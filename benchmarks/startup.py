"""The time until a command starts."""

import statistics
import subprocess
import sys

from benchmarks.measure import Figure, Side, alternate
from benchmarks.noise import ROOT

LIMIT_S = 0.5
ROUNDS = 11


def measure_help() -> Figure:
    """``ecglib --help`` in a new process, against half a second."""
    sides = {
        "ecglib --help": Side(lambda: _run_python("-m", "ecglib", "--help"), 1),
        "python that does nothing": Side(lambda: _run_python("-c", "pass"), 1),
    }
    speeds = alternate(sides, ROUNDS, "startup.help")
    return Figure(
        name="startup.help",
        what="ecglib --help in a new process",
        against=f"the limit: {LIMIT_S:g} s",
        floor=1.0,
        ratios=[LIMIT_S * speed for speed in speeds["ecglib --help"]],
        detail={
            f"{name}, ms": round(1000 / statistics.median(per_second), 1)
            for name, per_second in speeds.items()
        },
    )


def _run_python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


FIGURES = {"help": measure_help}
