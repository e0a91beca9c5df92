"""A kernel that dies is tried once more; what would fail again is not."""

import pytest
from stand_in import DIED, FAILURE, PLOT, SUCCESS

from ecglib.batch.execution import FAILED, execute_job, kernel_died
from ecglib.batch.processes import ProcessGroup, ProcessResult
from ecglib.batch.workers import WorkerPool
from ecglib.errors import BatchError

KILLED = ProcessResult(exit_status=-9, output="")
TIME_LIMIT = ProcessResult(exit_status=-9, output="", ended_by_us="not finished within 5 s")
INTERRUPTED = ProcessResult(exit_status=-9, output="", ended_by_us="interrupted")


@pytest.mark.parametrize("first", [DIED, KILLED], ids=["kernel", "process"])
def test_a_run_whose_kernel_died_is_tried_once_more(stand_in, first, capsys):
    name = stand_in.jobs[0].path.name
    stand_in.results[name] = [first, SUCCESS]
    report = stand_in.run_batch(ensemble_sizes=[])
    assert (name in report.new, report.failed) == (True, {})
    assert stand_in.calls.count(name) == 2
    assert "out of memory" in report.retried[name]
    assert f"tried again: {name}: killed" in capsys.readouterr().err
    assert not (report.folder / "failed").exists()


def test_a_kernel_that_dies_twice_fails(stand_in):
    name = stand_in.jobs[0].path.name
    stand_in.results[name] = [DIED, DIED]
    report = stand_in.run_batch()
    assert stand_in.calls.count(name) == 2
    assert report.failed[name].endswith("(tried twice)")
    assert report.logs[name].is_file()


@pytest.mark.parametrize("result", [FAILURE, TIME_LIMIT, INTERRUPTED])
def test_what_would_fail_again_or_was_ended_is_not_tried_again(stand_in, result):
    job = stand_in.jobs[0]
    stand_in.results[job.path.name] = result
    with ProcessGroup() as processes, WorkerPool(processes) as workers:
        outcome = execute_job(job, stand_in.notebook, 0.0, workers)
    assert (outcome.status, outcome.died) == (FAILED, "")
    assert stand_in.calls == [job.path.name]


def test_three_runs_whose_kernels_die_twice_stop_the_batch(stand_in):
    stand_in.results["*"] = DIED
    grid = {"model": [{"branches": {"time": "cnn"}}], "seed": [0, 1, 2, 3, 4]}
    with pytest.raises(BatchError, match="tried twice"):
        stand_in.run_batch(grid=grid)
    assert len(set(stand_in.calls)) in (3, 4)
    assert all(stand_in.calls.count(name) == 2 for name in set(stand_in.calls[:-1]))


def test_a_cell_that_fails_is_no_kernel_that_died():
    assert not kernel_died(PLOT)
    assert not kernel_died(SUCCESS)
    assert not kernel_died(ProcessResult(exit_status=3, output=""))
