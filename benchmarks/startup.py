"""The time until a command starts, and until the package is imported."""

import statistics
import subprocess
import sys

from benchmarks.measure import Figure, Side, alternate
from benchmarks.noise import ROOT

LIMIT_S = 0.5
IMPORT_LIMIT_S = 0.05
ROUNDS = 11
IMPORT_ROUNDS = 31


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


def measure_import() -> Figure:
    """``import ecglib`` in a new process, less Python's own start, against 50 ms."""
    sides = {
        "import ecglib": Side(lambda: _run_python("-c", "import ecglib"), 1),
        "python that does nothing": Side(lambda: _run_python("-c", "pass"), 1),
    }
    speeds = alternate(sides, IMPORT_ROUNDS, "startup.import")
    imports = [1 / speed for speed in speeds["import ecglib"]]
    starts = [1 / speed for speed in speeds["python that does nothing"]]
    seconds = [max(one - other, 1e-4) for one, other in zip(imports, starts, strict=True)]
    return Figure(
        name="startup.import",
        what="import ecglib, less a Python that does nothing",
        against=f"the limit: {1000 * IMPORT_LIMIT_S:g} ms",
        floor=1.0,
        ratios=[IMPORT_LIMIT_S / one for one in seconds],
        detail={
            "import ecglib, ms": round(1000 * statistics.median(seconds), 1),
            "python that does nothing, ms": round(1000 * statistics.median(starts), 1),
        },
    )


def _run_python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


FIGURES = {"help": measure_help, "import": measure_import}
