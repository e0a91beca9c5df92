"""Where stores, runs and searches lie, and how a folder appears whole or not at all."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STALE_AFTER_S = 24 * 3600


def data_dir(given: str | Path = "") -> Path:
    """Folder of the stores: `given`, else ``ECGLIB_DATA``, else ``data`` in the checkout."""
    return _folder(given, "ECGLIB_DATA", "data")


def runs_dir(given: str | Path = "") -> Path:
    """Folder of the runs: `given`, else ``ECGLIB_RUNS``, else ``runs`` in the checkout."""
    return _folder(given, "ECGLIB_RUNS", "runs")


def searches_dir(given: str | Path = "") -> Path:
    """Folder of the searches: as above, ``ECGLIB_SEARCHES`` and ``searches``."""
    return _folder(given, "ECGLIB_SEARCHES", "searches")


@contextlib.contextmanager
def unfinished(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder below `parent` under a temporary name; rename it when it is whole.

    On leaving, what was not renamed is removed. What killed processes left behind is removed once
    it is a day old: a younger one may still be at work.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(".*.unfinished"):
        if time.time() - left.stat().st_mtime > STALE_AFTER_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".unfinished", dir=parent))
    folder.chmod(0o755)  # mkdtemp makes a folder that only its owner may read
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _folder(given: str | Path, variable: str, name: str) -> Path:
    if chosen := given or os.environ.get(variable):
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[1]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / name
