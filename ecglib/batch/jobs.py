"""The jobs of a batch: one for each run, with its checked experiment."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import find_parameter_problems, read_defaults
from ecglib.datasets.store import Dataset
from ecglib.errors import BatchError, EcgError
from ecglib.experiment import Experiment, ExperimentChecker, find_setting_problems

WORK_FOLDER = ".work"  # in the folder of a batch: what is being executed, and state
FAILED_FOLDER = "failed"  # in the folder of a batch: notebooks and logs of runs that failed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One run that a batch asks for.

    Parameters
    ----------
    experiment : Experiment
        What the run carries out.
    parameters : dict of str to object
        The parameters that the batch file gives it.
    notebook_parameters : dict of str to object
        All that the notebook is given: also the dataset and the folders.
    path : Path
        Folder of the run.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> job = Job(
    ...     experiment=experiment,
    ...     parameters={"branches": {"time": "cnn"}},
    ...     notebook_parameters={"branches": {"time": "cnn"}, "batch": "fusion"},
    ...     path=Path("runs/fusion") / experiment.run_name,
    ... )
    >>> job.path.name.startswith("time-cnn_seed0_")
    True
    """

    experiment: Experiment
    parameters: dict[str, Any]
    notebook_parameters: dict[str, Any]
    path: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobProblem:
    """What is wrong with one or several runs that a batch asks for.

    Parameters
    ----------
    error : EcgError
        What is wrong.
    n_runs : int
        Number of runs that it is wrong with.

    Examples
    --------
    >>> JobProblem(error=EcgError("epochs=0 must be at least 1."), n_runs=5).describe()
    'epochs=0 must be at least 1. (5 runs)'
    """

    error: EcgError
    n_runs: int = 1

    def describe(self) -> str:
        """Describe the problem in one line, with the number of runs."""
        return f"{self.error} ({self.n_runs} runs)" if self.n_runs > 1 else str(self.error)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckedJobs:
    """The jobs of a grid, and everything that is wrong with it.

    Parameters
    ----------
    jobs : list of Job
        The jobs that can be carried out, each once.
    problems : list of JobProblem
        Each problem once.

    Examples
    --------
    >>> CheckedJobs(jobs=[], problems=[JobProblem(error=EcgError("no"))]).raise_problems()
    Traceback (most recent call last):
    ...
    ecglib.errors.EcgError: no
    """

    jobs: list[Job]
    problems: list[JobProblem]

    def raise_problems(self) -> None:
        """Raise the only problem as it is, or several as one error."""
        if len(self.problems) == 1:
            raise self.problems[0].error
        if self.problems:
            texts = [problem.describe() for problem in self.problems]
            numbered = " ".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))
            raise BatchError(f"{len(texts)} problems, nothing was started: {numbered}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch file, the dataset that it runs on, and the folder that its runs are written to.

    Parameters
    ----------
    file : BatchFile
        The batch file.
    dataset : Dataset
        The prepared store.
    runs_dir : Path
        Absolute path of the folder of all batches.

    Examples
    --------
    Two seeds of one model, for a notebook with these parameters:

    >>> import json
    >>> import tempfile
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
    ...         ensemble_sizes=[],
    ...         widened_branch=False,
    ...     )
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     batch = Batch(file=file, dataset=dataset, runs_dir=Path(folder))
    ...     jobs = batch.list_jobs()
    >>> [job.parameters["seed"] for job in jobs], jobs[1].path.name[:14]
    ([0, 1], 'time-cnn_seed1')
    """

    file: BatchFile
    dataset: Dataset
    runs_dir: Path

    @property
    def name(self) -> str:
        """Name of the batch: that of its file and that of the store."""
        return f"{self.file.path.stem}-{self.dataset.path.name}"

    @property
    def folder(self) -> Path:
        """Folder of its runs."""
        return self.runs_dir / self.name

    @property
    def reserved_parameters(self) -> dict[str, str]:
        """The parameters that the batch gives to each notebook; its file may not set them."""
        return {
            "dataset": str(self.dataset.path.resolve()),
            "runs_dir": str(self.runs_dir),
            "batch": self.name,
        }

    def list_jobs(self) -> list[Job]:
        """List the checked jobs of the grid.

        Returns
        -------
        list of Job
            Each run once: the baseline of trees ignores what only networks use, such as an axis
            of learning rates.

        Raises
        ------
        EcgError
            As for `create_job`, or if the grid asks for the run of a network more than once.
        """
        checked = self.check_jobs()
        checked.raise_problems()
        return checked.jobs

    def check_jobs(self) -> CheckedJobs:
        """Check all jobs of the grid, and find every problem instead of the first.

        Returns
        -------
        CheckedJobs
            The jobs without a problem, and the problems of the others.
        """
        jobs: list[Job] = []
        errors: dict[str, list[EcgError]] = {}
        for parameters in self.file.list_parameters():
            try:
                jobs.append(self.create_job(parameters))
            except EcgError as error:
                for found in self._find_errors(parameters) or [error]:
                    errors.setdefault(str(found), []).append(found)
        problems = [JobProblem(error=same[0], n_runs=len(same)) for same in errors.values()]
        if repeated := _find_repetition(jobs):
            problems.append(JobProblem(error=repeated))
        return CheckedJobs(jobs=list({job.path: job for job in jobs}.values()), problems=problems)

    def find_job(self, name: str) -> Job | None:
        """Find the job of a run of the grid by its name; only this one is checked.

        Returns
        -------
        Job or None
            None if the grid has no such run.

        Raises
        ------
        EcgError
            As for `create_job`.
        """
        for parameters in self.file.list_parameters():
            job = self._describe_job(parameters)
            if job.path.name == name:
                self._checker.check(job.experiment)
                return job
        return None

    def create_job(self, parameters: Mapping[str, Any]) -> Job:
        """Create a job from the parameters of the batch file.

        Raises
        ------
        EcgError
            If a parameter is unknown, reserved or of the wrong type, or the experiment does not
            fit the dataset.
        """
        job = self._describe_job(parameters)
        self._checker.check(job.experiment)
        return job

    @functools.cached_property
    def _defaults(self) -> dict[str, Any]:
        return read_defaults(self.file.notebook)

    @functools.cached_property
    def _checker(self) -> ExperimentChecker:
        return ExperimentChecker(self.dataset)

    def _describe_job(self, parameters: Mapping[str, Any]) -> Job:
        """Create a job whose experiment was not held against the dataset."""
        if problems := self._find_parameter_problems(parameters):
            raise BatchError(" ".join(problems.values()))
        notebook_parameters = dict(parameters) | self.reserved_parameters
        experiment = Experiment.from_namespace(self._defaults | notebook_parameters, self.dataset)
        # Import paths with the hash of the code: the process that trains has the code of the plan.
        model = {"branches": experiment.model.branches, "fusion": experiment.model.fusion}
        notebook_parameters |= {n: v for n, v in model.items() if n in notebook_parameters}
        return Job(
            experiment=experiment,
            parameters=dict(parameters),
            notebook_parameters=notebook_parameters,
            path=self.folder / experiment.run_name,
        )

    def _find_errors(self, parameters: Mapping[str, Any]) -> list[EcgError]:
        """Find every parameter that is wrong, without the dataset."""
        problems = self._find_parameter_problems(parameters)
        settings = find_setting_problems(self._defaults | dict(parameters))
        others = [error for name, error in settings.items() if name not in problems]
        return [*map(BatchError, problems.values()), *others]

    def _find_parameter_problems(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        problems = find_parameter_problems(self.file.notebook, self._defaults, parameters)
        for name in sorted(set(parameters) & set(self.reserved_parameters)):
            problems[name] = (
                f"{self.file.path} sets the parameter {name!r}, which the batch gives to each run. "
                f"Remove it from the file."
            )
        return problems


def _find_repetition(jobs: Sequence[Job]) -> BatchError | None:
    names = Counter(job.path.name for job in jobs if job.experiment.role != "baseline")
    repeated = sorted(name for name, number in names.items() if number > 1)
    if not repeated:
        return None
    return BatchError(
        f"The grid asks for the same run more than once: {repeated}. Remove the entries that "
        f"do not differ."
    )
