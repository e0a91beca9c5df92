"""What a batch records in its folder, in ``batch.json``: its metric and margin, and its runs.

A folder may hold the runs of several grids, for example of one batch file with other options. The
controls of a grid depend on which branches scored best, so they may change when runs are added; the
file says which ones each grid asks for, and only those are compared.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ecglib import runs
from ecglib.errors import EcgError, RunError
from ecglib.evaluation.verdict import ComparisonSettings
from ecglib.paths import write_json
from ecglib.runs import ContestantFolder

STATE = "batch.json"
CONTROL_ROLES = ("ensemble", "widened")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """The runs that one call of a batch asks for.

    Parameters
    ----------
    runs : tuple of str
        Names of the runs of the grid.
    controls : tuple of str
        Names of the runs that are its controls.

    Examples
    --------
    >>> Grid(runs=("time-cnn_seed0_01",), controls=()).runs
    ('time-cnn_seed0_01',)
    """

    runs: tuple[str, ...]
    controls: tuple[str, ...]


def record_settings(folder: Path, settings: ComparisonSettings) -> None:
    """Record the metric and margin that a batch is started with, unless some are recorded.

    Parameters
    ----------
    folder : Path
        Folder of the batch.
    settings : ComparisonSettings
        Those of the batch file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record_settings(Path(folder), ComparisonSettings(metric="f1"))
    ...     record_settings(Path(folder), ComparisonSettings(metric="auroc"))
    ...     read_settings(Path(folder))
    ComparisonSettings(metric='f1', margin=0.01)
    """
    if not _read(folder).get("comparison"):
        _update(folder, {"comparison": dataclasses.asdict(settings)})


def read_settings(folder: Path) -> ComparisonSettings | None:
    """Read the metric and margin that a batch was started with.

    Parameters
    ----------
    folder : Path
        Folder of the batch.

    Returns
    -------
    ComparisonSettings or None
        None for runs that no batch file asked for.

    Examples
    --------
    >>> read_settings(Path("runs/none")) is None
    True
    """
    values = _read(folder).get("comparison")
    if not values:
        return None
    try:
        return ComparisonSettings(**values)
    except (EcgError, TypeError) as error:
        raise _report_damage(folder, error) from None


def record_grid(folder: Path, grid: Grid) -> None:
    """Record which runs and controls a complete grid asks for, in place of a smaller grid.

    Parameters
    ----------
    folder : Path
        Folder of the batch.
    grid : Grid
        The grid.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record_grid(Path(folder), Grid(runs=("a",), controls=("2x-a",)))
    ...     record_grid(Path(folder), Grid(runs=("a", "b"), controls=("2x-b",)))
    ...     [one.controls for one in read_grids(Path(folder))]
    [('2x-b',)]
    """
    others = [one for one in read_grids(folder) if not set(one.runs) <= set(grid.runs)]
    _update(folder, {"grids": [dataclasses.asdict(one) for one in (*others, grid)]})


def read_grids(folder: Path) -> list[Grid]:
    """Read the grids that were completed in a folder.

    Examples
    --------
    >>> read_grids(Path("runs/none"))
    []
    """
    try:
        return [
            Grid(runs=tuple(one["runs"]), controls=tuple(one["controls"]))
            for one in _read(folder).get("grids", [])
        ]
    except (KeyError, TypeError) as error:
        raise _report_damage(folder, error) from None


def find_compared_runs(folder: Path) -> list[ContestantFolder]:
    """Open the contestants of a batch that are compared: all but controls that no grid asks for.

    Parameters
    ----------
    folder : Path
        Folder of a batch, or of runs that no batch file asked for.

    Raises
    ------
    RunError
        If there is none, or as for `Run`.

    Examples
    --------
    >>> find_compared_runs(Path("runs/none"))
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """
    found, grids = runs.find_runs(folder), read_grids(folder)
    if not grids:
        return found
    asked_for = {name for grid in grids for name in (*grid.runs, *grid.controls)}
    return [run for run in found if run.path.name in asked_for or run.role not in CONTROL_ROLES]


def _read(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _report_damage(folder, error) from None


def _update(folder: Path, values: dict[str, Any]) -> None:
    """Change some values, and leave the file alone if they are the same."""
    before = _read(folder)
    if before | values != before:
        write_json(folder / STATE, before | values)


def _report_damage(folder: Path, error: Exception) -> RunError:
    return RunError(
        f"{folder / STATE} is damaged ({error!r}). Remove it and run the batch again: no run is "
        f"lost."
    )
