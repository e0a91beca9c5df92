"""How far a batch is, seen from another process or another machine."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecglib import runs
from ecglib.batch.costs import Cost, Costs, read_costs
from ecglib.batch.execution import find_last_line
from ecglib.batch.jobs import FAILED_FOLDER, WORK_FOLDER
from ecglib.batch.locks import is_held
from ecglib.batch.progress import read_progress, read_request
from ecglib.errors import BatchError, EcgError
from ecglib.experiment import Experiment

FINISHED, RUNNING, FAILED, WAITING = "finished", "running", "failed", "waiting"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far one run is.

    Parameters
    ----------
    name : str
        Name of the run.
    state : {"finished", "running", "failed", "waiting"}
        A waiting run may have begun: then it continues after `epoch`.
    epoch : int
        Number of finished epochs of the model that is trained; 0 if none is, or none is known.
    n_epochs : int
        Epochs of a model; early stopping may need fewer. 0 if it is not known.
    model : int
        Number of the model that is trained, from 1.
    n_models : int
        Number of models: of an ensemble more than 1.
    branch : str
        The branch that is trained alone before the fusion, if one is.
    scores : dict of str to float
        Losses and validation scores of the last finished epoch.
    problem : str
        Why it failed.
    log : Path, optional
        Of a failed run, what it printed.

    Examples
    --------
    >>> run = RunStatus(name="2x_time-cnn_seed0_01", state="running", epoch=5, n_epochs=10,
    ...     model=2, n_models=2, scores={"val_auroc": 0.91})
    >>> run.fraction
    0.75
    """

    name: str
    state: str
    epoch: int = 0
    n_epochs: int = 0
    model: int = 1
    n_models: int = 1
    branch: str = ""
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    problem: str = ""
    log: Path | None = None

    @property
    def fraction(self) -> float:
        """How much of the training is done, in [0, 1]; branches trained alone do not count."""
        if not self.n_epochs or self.branch:
            return 0.0
        return min(1.0, (self.model - 1 + self.epoch / self.n_epochs) / self.n_models)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """How far a batch is.

    Parameters
    ----------
    folder : Path
        Folder of the batch.
    runs : list of RunStatus
        The runs that its last call asks for; if none is recorded, those that are in the folder.
    seconds_left : float, optional
        Estimate for the runs that are running or waiting, as many at a time as run now; None if
        nothing runs, or no finished run tells.

    Examples
    --------
    >>> runs = [RunStatus(name="a", state="finished"), RunStatus(name="b", state="waiting")]
    >>> BatchStatus(folder=Path("runs/b"), runs=runs).count()
    {'finished': 1, 'running': 0, 'failed': 0, 'waiting': 1}
    """

    folder: Path
    runs: list[RunStatus]
    seconds_left: float | None = None

    def count(self) -> dict[str, int]:
        """Count the runs in each state."""
        states = Counter(run.state for run in self.runs)
        return {state: states[state] for state in (FINISHED, RUNNING, FAILED, WAITING)}

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain values."""
        listed = [
            dataclasses.asdict(run) | {"log": str(run.log) if run.log else None}
            for run in self.runs
        ]
        return {
            "batch": str(self.folder),
            "counts": self.count(),
            "seconds_left": self.seconds_left,
            "runs": listed,
        }


def read_status(folder: Path) -> BatchStatus:
    """Read how far a batch is.

    Parameters
    ----------
    folder : Path
        Folder of the batch.

    Returns
    -------
    BatchStatus
        Its runs, and an estimate of the time left.

    Raises
    ------
    BatchError
        If there is no such folder.

    Examples
    --------
    >>> read_status(Path("runs/none"))
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: There is no batch runs/none. ...
    """
    if not folder.is_dir():
        raise BatchError(
            f"There is no batch {folder}. Give the folder of a batch, or its name as `ecglib "
            f"batch` prints it: that of the batch file and that of the store."
        )
    requested = read_request(folder)
    names = list(requested) or _find_names(folder)
    listed = [_read_run(folder / name, requested.get(name, {})) for name in names]
    return BatchStatus(
        folder=folder, runs=listed, seconds_left=_estimate_seconds_left(folder, listed, requested)
    )


def _read_run(path: Path, settings: Mapping[str, Any]) -> RunStatus:
    if runs.run_exists(path):
        return RunStatus(name=path.name, state=FINISHED)
    log = path.parent / FAILED_FOLDER / f"{path.name}.log"
    is_running = is_held(path.parent / WORK_FOLDER / f"{path.name}.lock")
    if not is_running and log.is_file():
        return RunStatus(name=path.name, state=FAILED, problem=find_last_line(log), log=log)
    progress = read_progress(path)
    return RunStatus(
        name=path.name,
        state=RUNNING if is_running else WAITING,
        epoch=progress.epoch if progress else 0,
        n_epochs=settings.get("epochs", 0),
        model=progress.model if progress else 1,
        n_models=settings.get("ensemble_size", 1),
        branch=progress.branch if progress else "",
        scores=progress.scores if progress else {},
    )


def _find_names(folder: Path) -> list[str]:
    """Find runs that are finished, running or failed, of a batch that recorded nothing."""
    finished = [path.parent.name for path in folder.glob(f"[!.]*/{runs.METRICS}")]
    locked = [path.stem for path in folder.glob(f"{WORK_FOLDER}/*.lock")]
    failed = [path.stem for path in folder.glob(f"{FAILED_FOLDER}/*.log")]
    return sorted({*finished, *locked, *failed})


def _estimate_seconds_left(
    folder: Path, listed: list[RunStatus], requested: Mapping[str, Mapping[str, Any]]
) -> float | None:
    unfinished = [run for run in listed if run.state in (RUNNING, WAITING)]
    n_running = sum(run.state == RUNNING for run in listed)
    if not n_running or not requested:
        return None
    fingerprint = str(next(iter(requested.values())).get("fingerprint", ""))
    costs = read_costs(folder.parent, fingerprint)
    average = costs.average()
    if average is None:
        return None
    left = 0.0
    for run in unfinished:
        cost = _estimate(costs, requested.get(run.name, {})) or average
        left += (1 - run.fraction) * cost.seconds
    return left / n_running


def _estimate(costs: Costs, settings: Mapping[str, Any]) -> Cost | None:
    try:
        return costs.estimate(Experiment.from_flat(settings))
    except EcgError:  # recorded by another version
        return None
