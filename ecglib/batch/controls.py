"""The controls of a batch: what a fusion has to beat besides its branches.

They are made for each single branch that may be the best: the one that scores best on the
validation split, and those that it does not clearly beat there, because controls of a wrongly
chosen branch would be too easy to beat. A branch gets ensembles of it, and is widened to the size
of the fusions. One widened branch serves all fusions of about the same size
(`ecglib.experiment.registry.SAME_SIZE_RATIO`) and is as large as the largest of them: one for each
fusion would double the batch, and fusions of the same branches differ little in size.
Fusions that are about as large as the branch itself need none.
"""

from collections.abc import Mapping, Sequence

from ecglib import runs
from ecglib.batch.jobs import Batch, Job
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.recipes import describe_recipe_difference
from ecglib.evaluation.rivals import find_contenders
from ecglib.evaluation.scoreboard import measure_models
from ecglib.experiment.registry import SAME_SIZE_RATIO
from ecglib.runs.contestants import build_contestant


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
        For each branch that may be the best, each ensemble size and each size of a widened branch
        one job for each seed; none if no run of a single branch exists.

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
    ...         dataset="synthetic",
    ...         parameters={"task": "superdiagnostic", "branches": {"time": "cnn"}},
    ...         grid={"seed": [0, 1]},
    ...         ensemble_sizes=[2],
    ...         widened_branch=False,
    ...     )
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     batch = Batch(file=file, dataset=dataset, runs_dir=Path(folder))
    ...     jobs = batch.list_jobs()
    ...     len(jobs), list_controls(batch, jobs)
    (2, [])
    """
    changes = [{"ensemble_size": size} for size in batch.file.ensemble_sizes]
    controls = []
    for branch in find_contending_jobs(jobs, batch.file.comparison.metric):
        branch_changes = list(changes)
        if batch.file.widened_branch:
            sizes = choose_sizes(jobs, min_parameters=_count_parameters(branch[0]))
            branch_changes += [{"target_parameters": size} for size in sizes]
        controls += [
            batch.create_job(job.parameters | change) for change in branch_changes for job in branch
        ]
    return controls


def find_contending_jobs(jobs: Sequence[Job], metric: str) -> list[list[Job]]:
    """Find the jobs of the single branches that may be the best.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs of any models; those whose run does not exist are ignored.
    metric : str
        The score that the batch is compared by.

    Returns
    -------
    list of list of Job
        For each branch its jobs, one for each seed and fold: the branch with the best score on the
        validation split first, then those that it is not shown to beat. Branches are compared with
        those of the same recipe. Empty if there is no run of a single branch.

    Examples
    --------
    >>> find_contending_jobs([], "auroc")
    []
    """
    singles: dict[str, list[Job]] = {}
    for job in jobs:
        if job.experiment.role == "single" and runs.run_exists(job.path):
            singles.setdefault(job.experiment.model_hash, []).append(job)
    contestants = {key: _build_contestants(key, finished) for key, finished in singles.items()}
    found = []
    for alike in _group_by_recipe({key: seeds for key, seeds in contestants.items() if seeds}):
        validation = measure_models(alike, metric, split="validation")
        found += [singles[key] for key in find_contenders(alike, validation)]
    return found


def _group_by_recipe(
    models: Mapping[str, list[Contestant]],
) -> list[dict[str, list[Contestant]]]:
    """Group models that were trained alike."""
    groups: list[dict[str, list[Contestant]]] = []
    for key, seeds in models.items():
        for group in groups:
            first = next(iter(group.values()))[0]
            if not describe_recipe_difference(first.recipe, seeds[0].recipe):
                group[key] = seeds
                break
        else:
            groups.append({key: seeds})
    return groups


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


def _build_contestants(name: str, jobs: Sequence[Job]) -> list[Contestant]:
    """Build the contestants of a model, one for each seed of which no fold failed."""
    seeds: dict[int, list[runs.Run]] = {}
    for job in jobs:
        seeds.setdefault(job.experiment.training.seed, []).append(runs.Run(job.path))
    n_runs = max(1, jobs[0].experiment.data.n_folds)
    return [build_contestant(folds, name) for folds in seeds.values() if len(folds) == n_runs]
