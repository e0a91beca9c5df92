"""What Ctrl-C does to a batch, what a stopped batch waits for, and what its progress line shows."""

import dataclasses
import signal
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from ecglib import runs
from ecglib.batch.batch_report import BatchReport
from ecglib.batch.execution import Outcome, find_lock
from ecglib.batch.locks import hold_lock
from ecglib.batch.rounds import describe_running, run_jobs
from ecglib.errors import RunError

GRID = {"model": [{"branches": {"time": "cnn"}}], "seed": [0, 1, 2]}


@pytest.fixture(autouse=True)
def interrupts():
    """A command that a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_ctrl_c_once_finishes_what_runs_and_starts_nothing_more(stand_in, capsys):
    def press(name):
        threading.Event().wait(0.3)  # until all runs have been submitted
        press_ctrl_c()
        threading.Event().wait(0.3)  # so that the batch has seen it before the run ends

    stand_in.before = press
    with pytest.raises(KeyboardInterrupt):
        stand_in.run_batch(grid=GRID)
    folder = stand_in.jobs[0].path.parent
    assert [run.path.name for run in runs.find_runs(folder)] == stand_in.calls
    assert len(stand_in.calls) == 1
    assert "Press Ctrl-C again to stop at once" in capsys.readouterr().err
    stand_in.before = lambda name: None
    report = stand_in.run_batch(grid=GRID, ensemble_sizes=[])
    assert (len(report.existing), len(report.new)) == (1, 2)


def test_ctrl_c_twice_ends_what_runs(stand_in):
    ended = []

    def press_twice(name):
        threading.Event().wait(0.3)
        for _ in range(2):
            press_ctrl_c()
            threading.Event().wait(0.3)
        ended.append(stand_in.workers.processes.is_ended)
        raise InterruptedError("ended with the batch")

    stand_in.before = press_twice
    with pytest.raises(KeyboardInterrupt):
        stand_in.run_batch(grid=GRID)
    threading.Event().wait(0.5)
    assert ended == [True]
    with pytest.raises(RunError, match="No finished run"):
        runs.find_runs(stand_in.jobs[0].path.parent)


class CancelsSilently:
    """An executor whose cancelled futures do not wake `wait`, as it happens on Dask.

    Three jobs fail, and the others never end.
    """

    def __init__(self):
        self.n_submitted = 0

    def submit(self, job):
        future = Future()
        self.n_submitted += 1
        if self.n_submitted <= 3:
            future.set_result(Outcome(status="failed", problem="the same for all"))
        return future

    def collect(self, job, future):
        return None if future.cancelled() else future.result()

    def cancel_waiting(self, futures):
        for future in futures:
            future.cancel()


def test_a_batch_that_stops_does_not_wait_for_what_it_has_cancelled(stand_in):
    job = stand_in.jobs[0]
    names = [f"time-cnn_seed{seed}_0" for seed in range(5)]
    jobs = [dataclasses.replace(job, path=job.path.with_name(name)) for name in names]
    report = BatchReport(batch="b", folder=Path("runs/b"))
    run_jobs(jobs, report, CancelsSilently(), "runs")
    assert (list(report.failed), report.not_started) == (names[:3], names[3:])


def test_the_progress_line_names_what_runs_with_its_epochs(stand_in):
    jobs = stand_in.jobs
    assert describe_running(jobs) == ""
    with hold_lock(find_lock(jobs[0])), hold_lock(find_lock(jobs[1])):
        assert describe_running(jobs) == "time-cnn_seed0 0/1, frequency-cnn_seed0 0/1"


def test_failures_that_name_the_run_and_its_seed_are_of_one_kind():
    report = BatchReport(batch="b", folder=Path("runs/b"))
    for seed in range(3):
        name = f"time-cnn_seed{seed}_{seed}f3a"
        path = f"runs/b/.{name}.checkpoint/seed{seed}/checkpoint.npz"
        report.failed[name] = f"Writing the checkpoint {path} failed: No space left on device."
    report.failed["time-cnn_seed9_01"] = "ValueError: no"
    groups = report.group_failures()
    assert [len(names) for names in groups.values()] == [3, 1]
    assert next(iter(groups)) == report.failed["time-cnn_seed0_0f3a"]
