"""The jobs of a batch: one for each run, with its checked experiment."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import check_parameters
from ecglib.datasets.store import Dataset
from ecglib.errors import BatchError
from ecglib.experiment import Experiment, check_experiment

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
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
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
        return _remove_repetitions(
            self.create_job(parameters) for parameters in self.file.list_parameters()
        )

    def create_job(self, parameters: Mapping[str, Any]) -> Job:
        """Create a job from the parameters of the batch file.

        Raises
        ------
        EcgError
            If a parameter is unknown, reserved or of the wrong type, or the experiment does not
            fit the dataset.
        """
        reserved = self.reserved_parameters
        if taken := sorted(set(parameters) & set(reserved)):
            raise BatchError(
                f"{self.file.path} sets the parameters {taken}, which the batch gives to each run. "
                f"Remove them from the file."
            )
        notebook_parameters = dict(parameters) | reserved
        values = check_parameters(self.file.notebook, notebook_parameters)
        experiment = Experiment.from_namespace(values, self.dataset)
        check_experiment(experiment, self.dataset)
        return Job(
            experiment=experiment,
            parameters=dict(parameters),
            notebook_parameters=notebook_parameters,
            path=self.folder / experiment.run_name,
        )


def _remove_repetitions(jobs: Iterable[Job]) -> list[Job]:
    jobs = list(jobs)
    names = [job.path.name for job in jobs if job.experiment.role != "baseline"]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise BatchError(
            f"The grid asks for the same run more than once: {repeated}. Remove the entries that "
            f"do not differ."
        )
    return list({job.path: job for job in jobs}.values())
