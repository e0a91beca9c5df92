"""The parameters of notebooks, and the processes that execute them."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecglib.batch import notebooks
from ecglib.batch.notebooks import (
    ProcessGroup,
    ProcessResult,
    check_parameters,
    execute_notebook,
    read_defaults,
)
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


def test_ending_the_processes_does_not_wait_for_them():
    """A command that would run for minutes ends at once, and no other is started."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with ThreadPoolExecutor(1) as pool, ProcessGroup() as processes:
        future = pool.submit(processes.run, sleep, dict(os.environ))
        while not processes._running:
            time.sleep(0.01)
        processes.end()
        assert future.result(timeout=60).exit_status == -signal.SIGTERM
        assert processes.run(sleep, {}) == ProcessResult(1, "interrupted")


NOT_STARTED = ProcessResult(1, f"RuntimeError: {notebooks.KERNEL_NOT_STARTED}")
CELL_FAILED = ProcessResult(1, "ValueError")
SUCCESS = ProcessResult(0, "")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([NOT_STARTED, NOT_STARTED, SUCCESS], SUCCESS),
        ([NOT_STARTED, NOT_STARTED, NOT_STARTED, SUCCESS], NOT_STARTED),
        ([CELL_FAILED, SUCCESS], CELL_FAILED),
    ],
    ids=["starts at last", "never starts", "a cell failed"],
)
def test_a_kernel_that_did_not_start_is_started_again(results, expected):
    remaining = iter(results)

    class Processes:
        def run(self, command, environment):
            return next(remaining)

    result = execute_notebook(Path("n.ipynb"), Path("out.ipynb"), {}, {}, Processes())
    assert result == expected
