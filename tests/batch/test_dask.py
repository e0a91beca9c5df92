"""Batches whose runs are carried out by the workers of Dask."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import SimpleNamespace

import distributed
import numpy as np
import psutil
import pytest
from stand_in import FAILURE
from waiting import is_running, wait_for

from ecglib import runs
from ecglib.batch import executors, remote
from ecglib.batch.execution import Outcome, find_lock
from ecglib.batch.executors import open_executor
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch
from ecglib.batch.locks import hold_lock, read_owner
from ecglib.batch.progress import read_progress
from ecglib.batch.remote import RemoteBatch, check_machine
from ecglib.batch.scheduling import run_batch
from ecglib.cli import main
from ecglib.errors import BatchError
from ecglib.experiment.environment import describe_environment

ADDRESS = "tcp://127.0.0.1:1"  # where nothing listens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "dask"], "--scheduler tcp://"),
        (["--scheduler", ADDRESS], "add --executor dask"),
    ],
)
def test_dask_and_the_address_of_its_scheduler_go_together(options, message, capsys):
    assert main(["batch", "none.yaml", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--dry-run"], ["--print-commands"], ["--run", "a"]])
def test_what_trains_nothing_or_one_run_needs_no_scheduler(other, capsys):
    with pytest.raises(SystemExit):
        main(["batch", "none.yaml", "--executor", "dask", "--scheduler", ADDRESS, *other])
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.fixture
def batch(small_store, write_batch_file, tmp_path):
    file = BatchFile.read(write_batch_file(tmp_path, ensembles=[], same_size_branch=False))
    return Batch(file=file, dataset=small_store, runs_dir=(tmp_path / "runs").resolve())


def carry_out(batch, **options):
    return run_batch(batch.file, batch.dataset, batch.runs_dir, **options)


def test_the_workers_of_dask_decide_how_many_run_at_the_same_time(batch):
    with pytest.raises(BatchError, match=r"jobs=2 is for this machine.*--nthreads"):
        carry_out(batch, n_jobs=2, scheduler=ADDRESS)


@pytest.mark.parametrize("address", [ADDRESS, "nonsense", "http://127.0.0.1:1"])
def test_a_scheduler_that_cannot_be_reached_is_named(batch, monkeypatch, address):
    monkeypatch.setattr(executors, "CONNECT_S", 0.1)
    with pytest.raises(BatchError, match=f"scheduler '{address}' cannot be reached: .*tcp://"):
        carry_out(batch, scheduler=address)


def test_without_dask_the_batch_says_how_to_install_it(batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BatchError, match=r'pip install "ecg-fusion\[dask\]"'):
        carry_out(batch, scheduler=ADDRESS)


@pytest.fixture
def shared(batch, tmp_path):
    """What a Dask worker gets to know of the batch, and can see."""
    marker = tmp_path / "marker"
    marker.touch()
    return RemoteBatch(
        notebook=batch.file.notebook,
        time_limit_s=0.0,
        environment=describe_environment(threads=0),
        marker=marker,
    )


@pytest.mark.parametrize("field", ["marker", "notebook"])
def test_a_worker_that_does_not_see_the_folders_is_refused(batch, shared, tmp_path, field):
    job = batch.list_jobs()[0]
    check_machine(job, shared)
    elsewhere = dataclasses.replace(shared, **{field: tmp_path / "none"})
    with pytest.raises(BatchError, match=r"does not see the (folder|notebook) .*all machines"):
        check_machine(job, elsewhere)


def test_a_worker_that_does_not_see_the_store_is_refused(batch, shared):
    job = batch.list_jobs()[0]
    elsewhere = dataclasses.replace(job, notebook_parameters={"dataset": "/none/store"})
    with pytest.raises(BatchError, match="does not see the store /none/store"):
        check_machine(elsewhere, shared)


def test_a_worker_with_other_code_or_versions_is_refused(batch, shared):
    versions = shared.environment.versions | {"numpy": "1.0"}
    other = dataclasses.replace(shared.environment, code="0123", versions=versions)
    with pytest.raises(BatchError, match=r"other results .*code \w+ against 0123, numpy .*1\.0"):
        check_machine(batch.list_jobs()[0], dataclasses.replace(shared, environment=other))


@pytest.mark.parametrize(("threads", "expected"), [(0, None), (2, "2")])
def test_the_threads_of_a_run_are_those_of_the_batch(monkeypatch, threads, expected):
    monkeypatch.setattr(remote, "_POOLS", {})
    monkeypatch.setenv("ECGLIB_THREADS", "7")  # of the Dask worker
    environments = []
    monkeypatch.setattr(remote, "WorkerPool", lambda _, found: environments.append(found))
    remote._find_pool(threads)
    assert environments[0].get("ECGLIB_THREADS") == expected


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler, and two workers that are threads of this process."""
    with distributed.LocalCluster(
        local_directory=str(tmp_path_factory.mktemp("dask")),
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=None,
    ) as found:
        yield found.scheduler_address


def test_each_run_goes_through_dask_once(batch, stand_in, cluster):
    report = carry_out(batch, scheduler=cluster)
    names = sorted(job.path.name for job in batch.list_jobs())
    assert sorted(report.new) == sorted(stand_in.calls) == names
    assert not list(report.folder.glob(".work/.dask-*"))
    assert sorted(carry_out(batch, scheduler=cluster).existing) == names
    assert len(stand_in.calls) == 3


def test_failures_of_one_kind_stop_a_batch_on_dask_too(batch, stand_in, cluster):
    stand_in.results["*"] = FAILURE
    grid = {"model": [{"branches": {"time": "cnn"}}], "seed": list(range(9))}
    many = dataclasses.replace(batch, file=dataclasses.replace(batch.file, grid=grid))
    with pytest.raises(BatchError, match=r"the same for all.*were not started"):
        carry_out(many, scheduler=cluster)
    assert len(stand_in.calls) < 9


def test_a_run_that_another_batch_carries_out_is_asked_for_again(batch, stand_in, cluster):
    job = batch.list_jobs()[0]
    with ThreadPoolExecutor(1) as pool:
        with hold_lock(find_lock(job)):
            future = pool.submit(carry_out, batch, scheduler=cluster)
            wait_for(lambda: len(stand_in.calls) == 2)
        assert job.path.name in future.result().new


def test_what_refuses_a_worker_ends_the_batch(batch, stand_in, cluster, monkeypatch):
    environment = describe_environment(threads=0)
    other = dataclasses.replace(environment, code="0123")
    monkeypatch.setattr(executors, "describe_environment", lambda threads: other)
    with pytest.raises(BatchError, match=r"The Dask worker on .* other results"):
        carry_out(batch, scheduler=cluster)
    assert stand_in.calls == []


@pytest.fixture
def two_running(batch, stand_in, cluster):
    """An executor with two jobs that run until `go_on` is set, and a third that waits."""
    go_on = threading.Event()
    stand_in.before = lambda name: go_on.wait(30)
    with open_executor(batch, 0, cluster) as executor:
        futures = {executor.submit(job): job for job in batch.list_jobs()}
        wait_for(lambda: len(stand_in.calls) == 2)
        yield SimpleNamespace(executor=executor, futures=futures, go_on=go_on)
        go_on.set()


def test_only_runs_that_have_not_begun_are_cancelled(two_running, stand_in):
    two_running.executor.cancel_waiting(two_running.futures)
    two_running.go_on.set()
    outcomes = {
        job.path.name: two_running.executor.collect(job, future)
        for future, job in two_running.futures.items()
        if future.done() or wait([future], timeout=30).done
    }
    assert len(outcomes) == 3
    begun = {name for name, outcome in outcomes.items() if outcome is not None}
    assert begun == set(stand_in.calls)
    assert {outcomes[name].status for name in begun} == {"new"}


def test_runs_finish_on_their_workers_after_an_interruption(batch, stand_in, cluster, capsys):
    go_on = threading.Event()
    stand_in.before = lambda name: go_on.wait(30)

    def interrupt(futures):
        wait_for(lambda: len(stand_in.calls) == 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_executor(batch, 0, cluster) as executor:
        interrupt([executor.submit(job) for job in batch.list_jobs()])
    assert "2 runs go on on Dask workers and finish there" in capsys.readouterr().err
    go_on.set()
    wait_for(lambda: len(list(batch.folder.glob("[!.]*/train.ipynb"))) == 2)
    report = carry_out(batch, scheduler=cluster)
    assert (len(report.existing), len(report.new)) == (2, 1)


def make_future(result=None, error=None):
    future = Future()
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    return future


def test_a_run_whose_workers_were_killed_again_and_again_has_failed(batch, cluster):
    error = distributed.KilledWorker("execute", "tcp://10.0.0.7:1", 3)
    with open_executor(batch, 0, cluster) as executor:
        outcome = executor.collect(batch.list_jobs()[0], make_future(error=error))
    assert (outcome.status, outcome.problem) == ("failed", executors.WORKERS_DIED)


def test_a_worker_without_this_package_is_explained(batch, cluster):
    error = ModuleNotFoundError("No module named 'ecglib'")
    with (
        pytest.raises(BatchError, match=r"No module named 'ecglib'\. Start the workers"),
        open_executor(batch, 0, cluster) as executor,
    ):
        executor.collect(batch.list_jobs()[0], make_future(error=error))


def test_a_run_that_is_written_but_not_seen_is_no_new_run(batch, cluster, monkeypatch):
    monkeypatch.setattr(executors, "STALE_AFTER_S", 0.1)
    monkeypatch.setattr(executors, "LOOK_FOR_RUN_S", 0.02)
    with (
        pytest.raises(BatchError, match="is not seen here"),
        open_executor(batch, 0, cluster) as executor,
    ):
        executor.collect(batch.list_jobs()[0], make_future(Outcome(status="new")))


# With real processes, and notebooks that train.


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder):
        self._folder = folder
        self._processes = []
        self._file = folder / "scheduler.json"
        self._start("dask_scheduler", "--port", "0")
        wait_for(self._file.is_file)
        self.workers = [self._start_worker(number) for number in range(2)]
        self.scheduler = json.loads(self._file.read_text())["address"]

    def _start_worker(self, number):
        folder = self._folder / f"worker{number}"
        options = ["--no-nanny", "--nthreads", "1", "--local-directory", str(folder)]
        return self._start("dask_worker", *options)

    def _start(self, program, *options):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        command += ["--scheduler-file", str(self._file), "--host", "127.0.0.1", "--no-dashboard"]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, "ECGLIB_THREADS": "2"},  # which the batch does not have
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def end(self):
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.end()


@pytest.fixture(scope="module")
def make_batch(small_store, small_batch, write_batch_file, tmp_path_factory):
    """A batch of two runs with enough epochs to be killed in the middle."""

    def make():
        folder = tmp_path_factory.mktemp("batch")
        path = write_batch_file(
            folder,
            parameters=small_batch["parameters"] | {"epochs": 20},
            grid={"model": small_batch["grid"]["model"][:2], "seed": [0]},
            ensembles=[],
            same_size_branch=False,
        )
        return Batch(file=BatchFile.read(path), dataset=small_store, runs_dir=folder / "runs")

    return make


@pytest.fixture(scope="module")
def local(make_batch):
    """The batch, carried out on this machine and never interrupted."""
    batch = make_batch()
    assert not carry_out(batch, n_jobs=1).failed
    return batch


def assert_equal_runs(batch, other):
    for job in batch.list_jobs():
        one, another = runs.Run(job.path), runs.Run(other.folder / job.path.name)
        another.verify()
        assert one.environment.describe_difference(another.environment) == ""
        columns = one.history.columns.difference(["seconds"])
        assert one.history[columns].equals(another.history[columns])
        for split in ("validation", "test"):
            assert np.array_equal(one.predictions(split).p, another.predictions(split).p)


@pytest.mark.slow
def test_a_batch_on_dask_gives_the_bits_of_one_on_this_machine(local, make_batch, processes):
    batch = make_batch()
    report = carry_out(batch, scheduler=processes.scheduler)
    assert (len(report.new), report.existing, report.failed) == (2, [], {})
    assert_equal_runs(local, batch)


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_changes_nothing_and_leaves_nothing(
    local, make_batch, processes
):
    batch = make_batch()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(carry_out, batch, scheduler=processes.scheduler)
        job = wait_for_epochs(batch, 3)
        owner = read_owner(find_lock(job)).process
        (worker,) = [worker for worker in processes.workers if worker.pid == owner]
        started = [child.pid for child in psutil.Process(owner).children(recursive=True)]
        worker.kill()
        worker.wait()
        assert not runs.run_exists(job.path)
        report = future.result(timeout=300)
    assert (len(report.new), report.existing, report.failed) == (2, [], {})
    assert len(started) >= 3  # a warm worker, its notebook and the kernel
    wait_for(lambda: not any(is_running(number) for number in started))
    assert_equal_runs(local, batch)
    assert not list(batch.folder.glob(".work/*.lock"))


def wait_for_epochs(batch, n_epochs):
    """Wait until a run has so many epochs; return its job."""
    found = []

    def look():
        found[:] = [job for job in batch.list_jobs() if count_epochs(job) >= n_epochs]
        return found

    wait_for(look, seconds=120)
    return found[0]


def count_epochs(job):
    progress = read_progress(job.path)
    return progress.epoch if progress else 0
