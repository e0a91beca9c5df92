"""Executes the notebooks of a batch by a function, in place of processes."""

import json
import time
from pathlib import Path
from unittest.mock import NonCallableMock

from studies import StudyFolder, write_experiment

from ecglib.batch.notebooks import read_defaults
from ecglib.batch.processes import ProcessResult
from ecglib.datasets.store import Dataset
from ecglib.experiment import Experiment


def make_dataset(name):
    """A dataset of which a description of an experiment needs the names only."""
    dataset = NonCallableMock(spec=Dataset)
    dataset.name, dataset.fingerprint, dataset.default_task = name, "f", "letters"
    return dataset


class StandIn:
    """Executes a notebook by writing its run with simulated predictions."""

    def __init__(self):
        self.calls, self.results = [], {}
        self.before = lambda name: None  # called with the name of each run
        self.workers = None  # of the batch

    def __call__(self, task, workers):
        name = task.executed.stem
        self.workers = workers
        self.calls.append(name)
        self.before(name)
        task.log.parent.mkdir(parents=True, exist_ok=True)
        result = self.results.get(name, self.results.get("*", SUCCESS))
        if isinstance(result, list):  # one for each attempt
            result = result.pop(0)
        if result == FAILURE:
            time.sleep(0.3)  # as every notebook takes longer than stopping a batch
        task.log.write_text(result.output)
        task.executed.write_text(json.dumps({"cells": [], "output": result.output}))
        if result == SUCCESS or "plot" in result.output:
            self.write(task)
        return result

    def write(self, task):
        place = StudyFolder(
            runs_dir=Path(task.parameters["runs_dir"]),
            batch=task.parameters["batch"],
            has_notebooks=False,
        )
        values = {**read_defaults(task.notebook), **task.parameters}
        dataset = Dataset(task.parameters["dataset"])
        experiment = Experiment.from_namespace(values, dataset)
        write_experiment(experiment, place)


SUCCESS = ProcessResult(exit_status=0, output="")
FAILURE = ProcessResult(exit_status=1, output="Traceback\nValueError: the same for all\n")
PLOT = ProcessResult(
    exit_status=1, output="papermill.exceptions.PapermillExecutionError: plot\nValueError: a plot\n"
)
DIED = ProcessResult(exit_status=1, output="nbclient.exceptions.DeadKernelError: Kernel died\n")
