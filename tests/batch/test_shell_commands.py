"""`ecglib batch FILE --print-commands`: one shell command for each missing run."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from stand_in import FAILURE

from ecglib import runs
from ecglib.batch.execution import find_lock
from ecglib.batch.file import BatchFile
from ecglib.batch.locks import hold_lock
from ecglib.batch.scheduling import run_batch
from ecglib.batch.workers import WorkerPool
from ecglib.cli.commands import main


@pytest.fixture
def command(small_store, write_batch_file, tmp_path):
    """The command of the batch of `stand_in`."""
    path = write_batch_file(tmp_path, ensembles=[2], same_size_branch=False)
    options = ["--dataset", str(small_store.path), "--runs-dir", str(tmp_path / "runs")]
    return ["batch", str(path), *options]


def print_commands(command, capsys):
    assert main([*command, "--print-commands"]) == 0
    return capsys.readouterr().out.splitlines()


def execute(line):
    """Execute the words of a line in this process, whose notebooks are stand-ins."""
    python, module, name, *arguments = shlex.split(line)
    assert (python, module, name) == (sys.executable, "-m", "ecglib")
    return main(arguments)


def test_each_line_executes_one_run_and_all_make_the_batch(command, stand_in, capsys):
    """In any order; the controls follow, and then the batch has nothing to do but to compare."""
    lines = print_commands(command, capsys)
    names = [job.path.name for job in stand_in.jobs]
    assert [line.split()[-1] for line in lines] == names
    for number, line in enumerate(reversed(lines), start=1):
        assert execute(line) == 0
        assert stand_in.calls == names[::-1][:number]
    capsys.readouterr()
    controls = print_commands(command, capsys)
    assert controls
    for line in controls:
        assert shlex.split(line)[-1].startswith("2x_")
        assert execute(line) == 0
    capsys.readouterr()
    assert print_commands(command, capsys) == []
    n_calls = len(stand_in.calls)
    report = stand_in.run_batch()
    assert (report.new, len(report.existing), report.has_controls) == ([], n_calls, True)
    assert len(stand_in.calls) == n_calls


def test_a_line_that_is_executed_twice_repeats_nothing(command, stand_in, capsys):
    line = print_commands(command, capsys)[0]
    assert [execute(line), execute(line)] == [0, 0]
    assert len(stand_in.calls) == 1
    assert "already exist" in capsys.readouterr().out


def test_a_line_whose_run_fails_exits_with_1_and_names_it(command, stand_in, capsys):
    stand_in.results["*"] = FAILURE
    line = print_commands(command, capsys)[1]
    assert execute(line) == 1
    printed = capsys.readouterr().out
    assert "the same for all" in printed
    assert stand_in.jobs[1].path.name in printed


def test_a_line_waits_for_the_run_of_another_process(command, stand_in, capsys, monkeypatch):
    """Which gives its lock back without the run: this one carries it out."""
    job = stand_in.jobs[0]
    line = print_commands(command, capsys)[0]
    lock = hold_lock(find_lock(job))
    assert lock.__enter__()

    def sleep(seconds):
        assert stand_in.calls == []
        lock.__exit__(None, None, None)

    monkeypatch.setattr("ecglib.batch.rounds.time.sleep", sleep)
    assert execute(line) == 0
    assert stand_in.calls == [job.path.name]


def test_options_and_threads_are_part_of_a_line(command, stand_in, capsys, monkeypatch):
    monkeypatch.setenv("ECGLIB_THREADS", "2")
    assignments = ["--set", "seed=3"]
    assert main([*command, *assignments, "--print-commands", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["has_controls"] is False
    words = shlex.split(printed["commands"][0])
    assert words[:2] == ["env", "ECGLIB_THREADS=2"]
    assert words[words.index("--set") + 1] == "seed=3"
    assert "_seed3_" in words[-1]
    assert main(words[5:]) == 0
    assert stand_in.calls == [words[-1]]


def test_a_run_that_the_batch_does_not_ask_for_is_refused(command, stand_in, capsys):
    assert main([*command, "--run", "time-cnn_seed9_0123456789"]) == 2
    assert "asks for no run 'time-cnn_seed9_0123456789'" in capsys.readouterr().err
    assert stand_in.calls == []


def test_printing_commands_starts_nothing_and_refuses_wrong_parameters(
    command, capsys, monkeypatch
):
    monkeypatch.setattr(WorkerPool, "execute", None)
    assert len(print_commands(command, capsys)) == 3
    assert main([*command, "--print-commands", "--set", "epochs=0"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_line_in_a_shell_gives_the_bits_of_the_batch(
    small_store, small_batch, write_batch_file, tmp_path, capsys
):
    grid = {"model": small_batch["grid"]["model"][:1], "seed": [0, 1]}
    path = write_batch_file(tmp_path, grid=grid, ensembles=[], same_size_branch=False)
    batch = run_batch(BatchFile.read(path), small_store, tmp_path / "batch", n_jobs=2)
    command = ["batch", str(path), "--dataset", str(small_store.path)]
    lines = print_commands([*command, "--runs-dir", str(tmp_path / "shell")], capsys)
    for line in lines:
        subprocess.run(line, shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert sorted(batch.new) == sorted(line.split()[-1] for line in lines)
    for name in batch.new:
        one = runs.Run(batch.folder / name)
        other = runs.Run(tmp_path / "shell" / batch.batch / name)
        assert one.environment.describe_difference(other.environment) == ""
        assert (other.path / "train.ipynb").is_file()
        for split in ("validation", "test"):
            assert np.array_equal(one.predictions(split).p, other.predictions(split).p)
