"""Processes that a batch starts: nothing of them is left, however they or the batch end."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import is_running, read_number, wait_for

from ecglib.batch import processes
from ecglib.batch.processes import Command, ProcessGroup

SLEEP = "import time; time.sleep(600)"
# Starts a process in a session of its own, as Jupyter starts kernels, and writes its number.
START_A_KERNEL = f"""
import os, pathlib, subprocess, sys, time
kernel = subprocess.Popen([sys.executable, "-c", "{SLEEP}"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(kernel.pid))
"""


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    monkeypatch.setattr(processes, "LOOK_FOR_CHILDREN_S", 0.1)
    monkeypatch.setattr(processes, "POLL_S", 0.02)


def make_command(folder, code, *arguments, **options):
    return Command(
        arguments=[sys.executable, "-c", code, *arguments],
        environment=dict(os.environ),
        log=folder / "log",
        **options,
    )


def test_what_a_process_prints_and_its_status_are_reported(tmp_path):
    code = "import sys; print(sys.stdin.readline()); sys.exit('an error')"
    with ProcessGroup() as group:
        result = group.run(make_command(tmp_path, code, request="a request\n"))
    assert (result.exit_status, result.ended_by_us) == (1, "")
    assert result.output.split("\n") == ["a request", "", "an error", ""]


@pytest.mark.parametrize("is_frozen", [False, True], ids=["running", "frozen"])
def test_ending_the_group_ends_processes_and_their_kernels(tmp_path, is_frozen):
    code = START_A_KERNEL + "kernel.wait()"
    with ThreadPoolExecutor(1) as pool, ProcessGroup() as group:
        future = pool.submit(group.run, make_command(tmp_path, code, str(tmp_path / "kernel")))
        kernel = read_number(tmp_path / "kernel")
        if is_frozen:
            os.kill(kernel, signal.SIGSTOP)
        group.end()
        result = future.result(timeout=30)
        assert result.ended_by_us == "interrupted"
        wait_for(lambda: not is_running(kernel))
        again = group.run(make_command(tmp_path, SLEEP))
        assert (again.exit_status, again.ended_by_us) == (1, "interrupted")


def test_a_process_that_does_not_end_is_ended_at_its_time_limit(tmp_path):
    code = START_A_KERNEL + "time.sleep(600)"
    with ProcessGroup() as group:
        command = make_command(tmp_path, code, str(tmp_path / "kernel"), time_limit_s=1.5)
        result = group.run(command)
    assert result.ended_by_us == "not finished within 1.5 s"
    kernel = read_number(tmp_path / "kernel")
    wait_for(lambda: not is_running(kernel))


def test_the_kernel_of_a_process_that_was_killed_does_not_go_on(tmp_path):
    code = START_A_KERNEL + "time.sleep(1); os.kill(os.getpid(), 9)"
    with ProcessGroup() as group:
        result = group.run(make_command(tmp_path, code, str(tmp_path / "kernel")))
    assert result.exit_status == -signal.SIGKILL
    kernel = read_number(tmp_path / "kernel")
    wait_for(lambda: not is_running(kernel))


def test_a_child_that_keeps_the_output_open_does_not_make_the_batch_wait(tmp_path):
    code = START_A_KERNEL.replace("start_new_session=True", "")
    with ProcessGroup() as group:
        began = time.monotonic()
        result = group.run(make_command(tmp_path, code, str(tmp_path / "kernel")))
    assert result.exit_status == 0
    assert time.monotonic() - began < 300  # the child would print nothing for ten minutes
