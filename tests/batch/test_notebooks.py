"""The parameters of notebooks, and the processes that execute them."""

import json
from pathlib import Path

import pytest

from ecglib.batch import notebooks
from ecglib.batch.notebooks import (
    NotebookTask,
    check_parameters,
    execute_notebook,
    read_defaults,
)
from ecglib.batch.processes import ProcessResult, limit_threads
from ecglib.errors import BatchError
from ecglib.experiment.config import list_settings

TRAIN = Path(__file__).parents[2] / "notebooks" / "03_train.ipynb"


def test_the_parameters_of_the_training_notebook_are_those_of_an_experiment():
    folders = {"source", "data_dir", "runs_dir", "batch"}
    settings = set(list_settings()) - {"fingerprint"}
    assert set(read_defaults(TRAIN)) == settings | folders


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epoch": 3}, r"no parameter 'epoch'.*Did you mean 'epochs'"),
        ({"epochs": "3"}, r"epochs='3' .* is str, expected int"),
        ({"epochs": 2.5}, r"is float, expected int"),
        ({"branches": ["time"]}, r"is list, expected dict"),
    ],
)
def test_unknown_names_and_wrong_types_are_refused(parameters, message):
    with pytest.raises(BatchError, match=message):
        check_parameters(TRAIN, parameters)


def test_whole_numbers_may_stand_for_floats_and_defaults_are_filled_in():
    values = check_parameters(TRAIN, {"learning_rate": 1})
    assert values["learning_rate"] == 1
    assert values["task"] == "superdiagnostic"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("epochs = 2 * 3", r"may only hold `name = literal`, found: epochs = 2 \* 3"),
        ("import os", "found: import os"),
        ("first = second = 0", "found: first = second = 0"),
        ("epochs =", "is not Python"),
    ],
)
def test_a_parameters_cell_may_only_assign_literals(tmp_path, source, message):
    cell = {"metadata": {"tags": ["parameters"]}, "source": [source]}
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(BatchError, match=message):
        read_defaults(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"cells": []}', "0 cells tagged 'parameters'"), ("[]", "cannot be read"), ("", "cannot be")],
)
def test_a_file_that_is_no_notebook_with_parameters_is_refused(tmp_path, text, message):
    path = tmp_path / "train.ipynb"
    path.write_text(text)
    with pytest.raises(BatchError, match=message):
        read_defaults(path)


NOT_STARTED = ProcessResult(exit_status=1, output=f"RuntimeError: {notebooks.KERNEL_NOT_STARTED}")
CELL_FAILED = ProcessResult(exit_status=1, output="ValueError")
SUCCESS = ProcessResult(exit_status=0, output="")


@pytest.fixture
def task(tmp_path):
    return NotebookTask(
        notebook=tmp_path / "n.ipynb",
        executed=tmp_path / "out.ipynb",
        parameters={"seed": 1, "branches": {"time": "cnn"}},
        log=tmp_path / "log",
    )


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([NOT_STARTED, NOT_STARTED, SUCCESS], SUCCESS),
        ([NOT_STARTED, NOT_STARTED, NOT_STARTED, SUCCESS], NOT_STARTED),
        ([CELL_FAILED, SUCCESS], CELL_FAILED),
    ],
    ids=["starts at last", "never starts", "a cell failed"],
)
def test_a_kernel_that_did_not_start_is_started_again(results, expected, task):
    remaining, requests = iter(results), []

    class Workers:
        def execute(self, request, log, time_limit_s):
            requests.append(request)
            return next(remaining)

    assert execute_notebook(task, Workers()) == expected
    assert requests[0]["parameters"] == task.parameters


@pytest.mark.parametrize(("given", "threads"), [({}, "1"), ({"ECGLIB_THREADS": "3"}, "3")])
def test_the_threads_of_a_run_do_not_depend_on_the_cores_or_on_other_runs(given, threads):
    environment = limit_threads({"PATH": "/bin", **given})
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == threads
    assert environment["PATH"] == "/bin"
    assert environment.get("ECGLIB_THREADS") == given.get("ECGLIB_THREADS")
