"""Shell commands that carry out one run each, for a Slurm array or any other scheduler."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence

from ecglib import runs
from ecglib.batch.controls import list_controls
from ecglib.batch.execution import is_missing
from ecglib.batch.jobs import Batch, Job
from ecglib.batch.progress import record_request
from ecglib.errors import BatchError

THREADS = "ECGLIB_THREADS"  # decides the last digits of a result


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShellCommands:
    """What is to be executed to carry out a batch.

    Parameters
    ----------
    lines : list of str
        One command for each missing run; they may be executed in any order, on any machine that
        shares the folders.
    has_controls : bool
        Whether the controls are among the runs: all runs of the grid exist.

    Examples
    --------
    >>> ShellCommands(lines=["ecglib batch b.yaml --run a"], has_controls=False).has_controls
    False
    """

    lines: list[str]
    has_controls: bool


def list_commands(batch: Batch, assignments: Sequence[str] = ()) -> ShellCommands:
    """List the commands for the missing runs of a batch; nothing is trained.

    The runs are recorded, so that `ecglib status` knows what is missing.

    Parameters
    ----------
    batch : Batch
        The batch.
    assignments : sequence of str, default ()
        What was given to ``--set``.

    Returns
    -------
    ShellCommands
        The commands for the grid, or for the controls once all runs of the grid exist.

    Raises
    ------
    EcgError
        As for `Batch.list_jobs`.

    Examples
    --------
    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ecglib.batch.file import BatchFile
    >>> from ecglib.datasets import prepare
    >>> names = ("dataset", "runs_dir", "batch", "task")
    >>> source = "\\n".join([*(f"{name} = ''" for name in names), "branches = {}", "seed = 0"])
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": source}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notebook = Path(folder, "train.ipynb")
    ...     _ = notebook.write_text(json.dumps({"cells": [cell]}))
    ...     file = BatchFile(
    ...         path=Path(folder, "seeds.yaml"),
    ...         notebook=notebook,
    ...         dataset="synthetic",
    ...         parameters={"task": "superdiagnostic", "branches": {"time": "cnn"}},
    ...         grid={"seed": [0, 1]},
    ...         ensemble_sizes=[],
    ...         widened_branch=False,
    ...     )
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     commands = list_commands(Batch(file=file, dataset=dataset, runs_dir=Path(folder)))
    >>> [line.split("_seed")[1][0] for line in commands.lines]
    ['0', '1']
    """
    jobs = batch.list_jobs()
    has_controls = not any(map(is_missing, jobs))
    if has_controls:
        jobs += list_controls(batch, jobs)
    record_request(batch.folder, jobs)
    missing = [job for job in jobs if is_missing(job)]
    lines = [_write_command(batch, assignments, job) for job in missing]
    return ShellCommands(lines=lines, has_controls=has_controls)


def find_job(batch: Batch, name: str) -> Job:
    """Find the job of a run by its name, also that of a control once the grid is complete.

    Parameters
    ----------
    batch : Batch
        The batch.
    name : str
        Name of the run.

    Returns
    -------
    Job
        The job; only it is checked if it is of the grid.

    Raises
    ------
    EcgError
        If the batch asks for no such run, or as for `Batch.create_job`.

    Examples
    --------
    The other half of `list_commands`::

        job = find_job(batch, "time-cnn_seed0_0123456789")
    """
    if job := batch.find_job(name):
        return job
    jobs = batch.list_jobs()
    if all(runs.run_exists(one.path) for one in jobs):
        jobs += list_controls(batch, jobs)
    for job in jobs:
        if job.path.name == name:
            return job
    raise BatchError(
        f"{batch.file.path} asks for no run {name!r} on {batch.dataset.path.name}. Give the "
        f"--dataset and --set of the command that printed this one; `ecglib batch --dry-run` lists "
        f"the {len(jobs)} runs."
    )


def _write_command(batch: Batch, assignments: Sequence[str], job: Job) -> str:
    """Write the command with absolute paths and this interpreter, quoted for a shell."""
    words = [sys.executable, "-m", "ecglib", "batch", str(batch.file.path.resolve())]
    words += ["--dataset", str(batch.dataset.path.resolve())]
    words += ["--runs-dir", str(batch.runs_dir.resolve())]
    for assignment in assignments:
        words += ["--set", assignment]
    words += ["--run", job.path.name]
    if threads := os.environ.get(THREADS):
        words = ["env", f"{THREADS}={threads}", *words]
    return shlex.join(words)
