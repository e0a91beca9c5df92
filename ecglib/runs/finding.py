"""Finds the runs and entries of a batch, and one run by its name."""

from pathlib import Path

from ecglib.errors import EcgError, RunError
from ecglib.experiment import Experiment
from ecglib.paths import runs_dir as find_runs_dir
from ecglib.runs.entry import ENTRY, Entry
from ecglib.runs.files import METRICS, REPORT, run_exists
from ecglib.runs.folder import ContestantFolder
from ecglib.runs.run import Run, require_run


def find_run_path(experiment: Experiment, runs_dir: str | Path, batch: str) -> Path:
    """Return the folder of an experiment's run, which need not exist.

    Examples
    --------
    >>> experiment = Experiment.from_flat(
    ...     {"dataset": "d", "fingerprint": "0", "task": "t", "branches": {"time": "cnn"}}
    ... )
    >>> path = find_run_path(experiment, "runs", "explore")
    >>> path == Path("runs/explore") / f"time-cnn_seed0_{experiment.hash}"
    True
    """
    return Path(runs_dir) / batch / experiment.run_name


def find_runs(batch_dir: str | Path) -> list[ContestantFolder]:
    """Open the finished runs of a batch and what was entered into it, sorted by name.

    Parameters
    ----------
    batch_dir : str or Path
        The batch's folder.

    Returns
    -------
    list of Run and Entry
        All contestants of the batch.

    Raises
    ------
    RunError
        If there is none.

    Examples
    --------
    >>> find_runs("runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """
    _require_path(batch_dir)
    runs = [_open(path.parent) for path in sorted(Path(batch_dir).glob(f"[!.]*/{METRICS}"))]
    if not runs:
        raise RunError(
            f"No finished run in {batch_dir}. Run `ecglib batch` or the notebook 03_train first."
        )
    return runs


def find_runs_of_other_seeds(run: Run) -> list[Run]:
    """Find the runs in the batch of a run that differ from it in their seed alone.

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    list of Run
        By their seeds; of a cross-validation those of the same fold. A run that cannot be opened
        is not among them.

    Examples
    --------
    >>> find_runs_of_other_seeds(open_run("time-cnn_seed0"))  # doctest: +SKIP
    [Run(time-cnn_seed1_...: ...), Run(time-cnn_seed2_...: ...)]
    """
    found = []
    for metrics in run.path.parent.glob(f"[!.]*/{METRICS}"):
        try:
            other = _open(metrics.parent)
        except EcgError:
            continue
        is_same = other.model_hash == run.model_hash and other.data.fold == run.data.fold
        if isinstance(other, Run) and is_same and other.seed != run.seed:
            found.append(other)
    return sorted(found, key=lambda other: other.seed)


def find_newest_batch(runs_dir: str | Path) -> Path:
    """Return the folder of the batch whose last run is the newest.

    Batches that were carried out to their report come first: a notebook that was tried out since
    then writes its run into a folder of its own, which is no batch.

    Parameters
    ----------
    runs_dir : str or Path
        Folder of all batches.

    Returns
    -------
    Path
        The folder; one without a report only if there is no other.

    Raises
    ------
    RunError
        If there is no run at all.

    Examples
    --------
    >>> find_newest_batch("runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run below runs/none. ...
    """

    def rank(metrics: Path) -> tuple[bool, float]:
        return (metrics.parents[1] / REPORT).is_file(), _modification_time(metrics)

    return max(_list_metrics(runs_dir), key=rank).parents[1]


def open_run(name: str | Path = "", runs_dir: str | Path = "") -> Run:
    """Open a run by its name.

    Parameters
    ----------
    name : str or Path, default ""
        A run's folder, its path below `runs_dir`, or a part of the folder's name that only one run
        has, such as the hash at its end; empty for the newest run that was trained here.
    runs_dir : str or Path, default ""
        Folder of all batches; empty for the default (`ecglib.paths.runs_dir`).

    Raises
    ------
    RunError
        If no run or more than one has this name, or it is of predictions that were entered.

    Examples
    --------
    >>> open_run("b1946ac92", "runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No run below runs/none has 'b1946ac92' in its name. ...
    """
    _require_path(name)
    folder = find_runs_dir(runs_dir)
    for path in (Path(name), folder / name) if name else ():
        if run_exists(path):
            return require_run(_open(path))
    if not name:
        trained = [one for one in _list_metrics(folder) if not _is_entry(one.parent)]
        return Run(max(trained or _list_metrics(folder), key=_modification_time).parent)
    every = sorted(path.parent for path in folder.glob(f"*/[!.]*/{METRICS}"))
    matching = [path for path in every if str(name) in path.name]
    if not matching:
        raise RunError(
            f"No run below {folder} has {str(name)!r} in its name. Give the folder of a run; there "
            f"are {_name_runs(every)}."
        )
    if len(matching) > 1:
        raise RunError(
            f"{len(matching)} runs below {folder} have {str(name)!r} in their names: "
            f"{_name_runs(matching)}. Give the batch as well: BATCH/RUN."
        )
    return require_run(_open(matching[0]))


def _open(path: Path) -> ContestantFolder:
    return Entry(path) if _is_entry(path) else Run(path)


def _is_entry(path: Path) -> bool:
    return (path / ENTRY).is_file()


def _require_path(name: object) -> None:
    if not isinstance(name, str | Path):
        raise RunError(
            f"{type(name).__name__} was given, expected the name or the folder of runs. What "
            f"ecglib.train returned is open already."
        )


def _name_runs(paths: list[Path]) -> str:
    names = [f"{path.parent.name}/{path.name}" for path in paths[:5]]
    return ", ".join(names) + (", ..." if len(paths) > 5 else "") if names else "none"


def _list_metrics(runs_dir: str | Path) -> list[Path]:
    """List the metrics of all finished runs; at least one."""
    found = list(Path(runs_dir).glob(f"*/[!.]*/{METRICS}"))
    if not found:
        raise RunError(
            f"No finished run below {runs_dir}. Run `ecglib batch` or the notebook 03_train first."
        )
    return found


def _modification_time(path: Path) -> float:
    return path.stat().st_mtime
