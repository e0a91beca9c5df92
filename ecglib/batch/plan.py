"""What a batch would do: which runs exist, what is wrong, and what the missing ones will cost."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecglib.batch.controls import list_controls
from ecglib.batch.costs import Cost, read_costs
from ecglib.batch.execution import is_finished
from ecglib.batch.jobs import Batch, Job
from ecglib.errors import BatchError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that a batch asks for.

    Parameters
    ----------
    name : str
        Name of the run.
    exists : bool
        Whether it is finished.
    cost : Cost, optional
        What it will cost; None if no earlier run tells.

    Examples
    --------
    >>> PlannedRun(name="time-cnn_seed0_01", exists=True).cost is None
    True
    """

    name: str
    exists: bool
    cost: Cost | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a batch would do.

    Parameters
    ----------
    batch : str
        Name of the batch.
    folder : Path
        Folder of its runs.
    runs : list of PlannedRun
        The runs of the grid, then the controls if they can be chosen already.
    problems : list of str
        Everything that is wrong with parameters; nothing would be started.
    has_controls : bool
        Whether the controls that the file asks for are among the runs: they are chosen once all
        runs of the grid exist.
    n_jobs : int
        Number of runs at the same time.
    free_bytes : int
        Free space on the disk of the runs.

    Examples
    --------
    >>> cost = Cost(seconds=30.0, n_bytes=2e6)
    >>> plan = Plan(
    ...     batch="fusion",
    ...     folder=Path("runs/fusion"),
    ...     runs=[
    ...         PlannedRun(name="a", exists=True),
    ...         PlannedRun(name="b", exists=False, cost=cost),
    ...         PlannedRun(name="c", exists=False, cost=cost),
    ...         PlannedRun(name="d", exists=False),
    ...     ],
    ...     problems=[],
    ...     has_controls=False,
    ...     n_jobs=2,
    ...     free_bytes=10**9,
    ... )
    >>> plan.count_missing(), plan.count_without_estimate(), plan.estimate_seconds()
    (3, 1, 45.0)
    """

    batch: str
    folder: Path
    runs: list[PlannedRun]
    problems: list[str]
    has_controls: bool
    n_jobs: int
    free_bytes: int

    @property
    def missing(self) -> list[PlannedRun]:
        """The runs that do not exist."""
        return [run for run in self.runs if not run.exists]

    def count_missing(self) -> int:
        """Count the runs that do not exist."""
        return len(self.missing)

    def count_without_estimate(self) -> int:
        """Count the missing runs whose cost no earlier run tells."""
        return sum(run.cost is None for run in self.missing)

    def estimate_cost(self) -> Cost | None:
        """Estimate the cost of all missing runs, one after the other.

        Returns
        -------
        Cost or None
            Runs without an estimate count as the mean of the others; None if there is no other.
        """
        costs = [run.cost for run in self.missing if run.cost is not None]
        if not costs:
            return None if self.missing else Cost(seconds=0.0, n_bytes=0.0)
        total = sum(costs, start=Cost(seconds=0.0, n_bytes=0.0))
        factor = self.count_missing() / len(costs)
        return Cost(seconds=factor * total.seconds, n_bytes=factor * total.n_bytes)

    def estimate_seconds(self) -> float | None:
        """Estimate the wall time of the batch, in s; None if no earlier run tells."""
        cost = self.estimate_cost()
        if cost is None:
            return None
        return cost.seconds / max(1, min(self.n_jobs, self.count_missing()))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        cost = self.estimate_cost()
        return {
            "batch": str(self.folder),
            "runs": [
                {
                    "name": run.name,
                    "exists": run.exists,
                    "seconds": run.cost and run.cost.seconds,
                    "bytes": run.cost and run.cost.n_bytes,
                }
                for run in self.runs
            ],
            "missing": self.count_missing(),
            "problems": self.problems,
            "has_controls": self.has_controls,
            "jobs": self.n_jobs,
            "seconds": self.estimate_seconds(),
            "bytes": cost and cost.n_bytes,
            "free_bytes": self.free_bytes,
        }


def plan_batch(batch: Batch, n_jobs: int) -> Plan:
    """Plan a batch; nothing is trained or written.

    Parameters
    ----------
    batch : Batch
        The batch.
    n_jobs : int
        Number of runs at the same time.

    Returns
    -------
    Plan
        Its runs, everything that is wrong with their parameters, and what the missing ones cost.

    Raises
    ------
    BatchError
        If the notebook has no parameters, or the grid is too large.

    Examples
    --------
    Two seeds of one model, one of them misspelt and with a wrong value:

    >>> import json
    >>> import tempfile
    >>> from ecglib.batch.file import BatchFile
    >>> from ecglib.datasets import prepare
    >>> names = ("dataset", "runs_dir", "batch", "task")
    >>> lines = [f"{name} = ''" for name in names]
    >>> source = "\\n".join([*lines, "branches = {}", "seed = 0", "epochs = 9"])
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": source}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notebook = Path(folder, "train.ipynb")
    ...     _ = notebook.write_text(json.dumps({"cells": [cell]}))
    ...     file = BatchFile(
    ...         path=Path(folder, "seeds.yaml"),
    ...         notebook=notebook,
    ...         dataset="synthetic",
    ...         parameters={"task": "superdiagnostic", "branches": {"time": "cnn"}},
    ...         grid={"model": [{"seed": 0}, {"sede": 1, "epochs": 0}]},
    ...         ensemble_sizes=[],
    ...         widened_branch=False,
    ...     )
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     plan = plan_batch(Batch(file=file, dataset=dataset, runs_dir=Path(folder)), n_jobs=1)
    >>> plan.count_missing(), plan.problems
    (1, ["train.ipynb has no parameter 'sede'; ... 'seed'?", 'epochs=0 must be at least 1.'])
    """
    checked = batch.check_jobs()
    jobs = checked.jobs
    exist = {job.path: is_finished(job) for job in jobs}
    has_controls = not (batch.file.ensemble_sizes or batch.file.widened_branch)
    if not has_controls and not checked.problems and all(exist.values()):
        has_controls = True
        controls = list_controls(batch, jobs)
        exist |= {job.path: is_finished(job) for job in controls}
        jobs = [*jobs, *controls]
    return Plan(
        batch=batch.name,
        folder=batch.folder,
        runs=_estimate_runs(batch, jobs, exist),
        problems=[problem.describe() for problem in checked.problems],
        has_controls=has_controls,
        n_jobs=n_jobs,
        free_bytes=_count_free_bytes(batch.runs_dir),
    )


def _estimate_runs(batch: Batch, jobs: Sequence[Job], exist: dict[Path, bool]) -> list[PlannedRun]:
    costs = read_costs(batch.runs_dir, batch.dataset.fingerprint)
    return [
        PlannedRun(
            name=job.path.name,
            exists=exist[job.path],
            cost=None if exist[job.path] else costs.estimate(job.experiment),
        )
        for job in jobs
    ]


def _count_free_bytes(folder: Path) -> int:
    for place in (folder, *folder.parents):
        if place.is_dir():
            return shutil.disk_usage(place).free
    raise BatchError(f"The folder {folder} cannot be reached. Name another with --runs-dir.")
