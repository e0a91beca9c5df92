"""Where stores, runs and searches lie: in the checkout unless told otherwise."""

import os
from pathlib import Path


def data_dir(given: str | Path = "") -> Path:
    """Folder of the stores: `given`, else ``ECGLIB_DATA``, else ``data`` in the checkout."""
    return _folder(given, "ECGLIB_DATA", "data")


def runs_dir(given: str | Path = "") -> Path:
    """Folder of the runs: `given`, else ``ECGLIB_RUNS``, else ``runs`` in the checkout."""
    return _folder(given, "ECGLIB_RUNS", "runs")


def searches_dir(given: str | Path = "") -> Path:
    """Folder of the searches: as above, ``ECGLIB_SEARCHES`` and ``searches``."""
    return _folder(given, "ECGLIB_SEARCHES", "searches")


def _folder(given: str | Path, variable: str, name: str) -> Path:
    if chosen := given or os.environ.get(variable):
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[1]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / name
