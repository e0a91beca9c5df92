"""The controls of a batch: what a fusion has to beat besides its branches.

They are made from the single branch that scores best on the validation split: ensembles of it, and
the branch widened to the size of the fusions. One widened branch serves all fusions of about the
same size (`ecglib.experiment.registry.SAME_SIZE_RATIO`) and is as large as the largest of them: one
for each fusion would double the batch, and fusions of the same branches differ little in size.
Fusions that are about as large as the branch itself need none.
"""

from collections.abc import Sequence

from ecglib import runs
from ecglib.batch.jobs import Batch, Job
from ecglib.experiment.registry import SAME_SIZE_RATIO


def list_controls(batch: Batch, jobs: Sequence[Job]) -> list[Job]:
    """List the jobs of the controls that a batch file asks for.

    Parameters
    ----------
    batch : Batch
        The batch.
    jobs : sequence of Job
        The jobs of its grid, after they were carried out.

    Returns
    -------
    list of Job
        For each ensemble size and each size of a widened branch one job for each seed of the best
        single branch; none if no run of a single branch exists.

    Examples
    --------
    Before the jobs of the grid were carried out, there is no best branch to control:

    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ecglib.batch.file import BatchFile
    >>> from ecglib.datasets import prepare
    >>> source = "dataset = ''; runs_dir = ''; batch = ''; task = ''; branches = {}; seed = 0"
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": source}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notebook = Path(folder, "train.ipynb")
    ...     _ = notebook.write_text(json.dumps({"cells": [cell]}))
    ...     file = BatchFile(
    ...         path=Path(folder, "seeds.yaml"),
    ...         notebook=notebook,
    ...         compare=notebook,
    ...         dataset="synthetic",
    ...         parameters={"task": "superdiagnostic", "branches": {"time": "cnn"}},
    ...         grid={"seed": [0, 1]},
    ...         ensemble_sizes=[2],
    ...         widened_branch=False,
    ...     )
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     batch = Batch(file=file, dataset=dataset, runs_dir=Path(folder))
    ...     jobs = batch.list_jobs()
    ...     len(jobs), list_controls(batch, jobs)
    (2, [])
    """
    best_branch = find_best_branch(jobs)
    if not best_branch:
        return []
    changes = [{"ensemble_size": size} for size in batch.file.ensemble_sizes]
    if batch.file.widened_branch:
        sizes = choose_sizes(jobs, min_parameters=_count_parameters(best_branch[0]))
        changes += [{"target_parameters": size} for size in sizes]
    return [batch.create_job(job.parameters | change) for change in changes for job in best_branch]


def find_best_branch(jobs: Sequence[Job]) -> list[Job]:
    """Find the jobs, one for each seed, of the best single branch.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs of any models; those whose run does not exist are ignored.

    Returns
    -------
    list of Job
        The jobs of the single branch with the highest mean validation macro AUROC; empty if there
        is no run of a single branch.

    Examples
    --------
    >>> find_best_branch([])
    []
    """
    jobs_by_model: dict[str, list[Job]] = {}
    for job in jobs:
        if job.experiment.role == "single" and runs.run_exists(job.path):
            jobs_by_model.setdefault(job.experiment.model_hash, []).append(job)
    return max(jobs_by_model.values(), key=_compute_validation_auroc, default=[])


def choose_sizes(jobs: Sequence[Job], min_parameters: int) -> list[int]:
    """Choose the sizes of widened branches, so that each fusion has one of about its size.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs of any models; those whose run does not exist are ignored.
    min_parameters : int
        Number of parameters of the branch; fusions of about this size, or smaller, need none.

    Returns
    -------
    list of int
        Numbers of parameters, largest first; none is smaller than the fusions that it serves.

    Examples
    --------
    >>> choose_sizes([], min_parameters=1000)
    []
    """
    fusions = [job for job in jobs if job.experiment.role == "fusion" and runs.run_exists(job.path)]
    sizes: list[int] = []
    for size in sorted(map(_count_parameters, fusions), reverse=True):
        is_larger_than_branch = size > SAME_SIZE_RATIO * min_parameters
        if is_larger_than_branch and (not sizes or sizes[-1] > SAME_SIZE_RATIO * size):
            sizes.append(size)
    return sizes


def _count_parameters(job: Job) -> int:
    """Count the parameters of the model of a finished job."""
    return runs.Run(job.path).metrics["model"]["parameters"]


def _compute_validation_auroc(jobs: Sequence[Job]) -> float:
    scores = [
        runs.Run(job.path).metrics["validation"]["macro"]["auroc"]["estimate"] for job in jobs
    ]
    return sum(scores) / len(scores)
