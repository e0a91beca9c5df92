"""Where the runs of a batch are carried out: on this machine, or on the workers of Dask.

Both follow `concurrent.futures.Executor`. Dask is imported only if it is used.
"""

import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ecglib import runs
from ecglib.batch.execution import EXISTING, FAILED, NEW, Outcome, execute_job, find_lock
from ecglib.batch.jobs import WORK_FOLDER, Batch, Job
from ecglib.batch.locks import STALE_AFTER_S, is_held
from ecglib.batch.processes import ProcessGroup
from ecglib.batch.remote import RemoteBatch, execute_remotely
from ecglib.batch.workers import WorkerPool
from ecglib.errors import BatchError, EcgError
from ecglib.experiment.environment import describe_environment, read_threads_variable

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 10.0
LOOK_FOR_RUN_S = 0.5
WORKERS_DIED = (
    "its Dask workers were killed each time that it was tried, perhaps because memory was short. "
    "Give them more, or fewer runs at the same time (dask worker --nthreads)"
)


class JobExecutor(Protocol):
    """Carries out jobs somewhere.

    Examples
    --------
    How a batch uses one::

        with open_executor(batch, n_jobs=2) as executor:
            futures = {executor.submit(job): job for job in jobs}
            for future in concurrent.futures.as_completed(futures):
                outcome = executor.collect(futures[future], future)
    """

    def submit(self, job: Job) -> Future[Outcome]:
        """Have a job carried out."""

    def collect(self, job: Job, future: Future[Outcome]) -> Outcome | None:
        """Return how a job went whose future is done; None if it was cancelled."""

    def cancel_waiting(self, futures: Mapping[Future[Outcome], Job]) -> None:
        """Cancel the jobs that have not begun."""


@contextlib.contextmanager
def open_executor(batch: Batch, n_jobs: int, scheduler: str = "") -> Iterator[JobExecutor]:
    """Open the executor of a batch, for the length of a block.

    Parameters
    ----------
    batch : Batch
        The batch.
    n_jobs : int
        Number of runs at the same time on this machine.
    scheduler : str, default ""
        Address of a Dask scheduler, whose workers carry out the runs then.

    Yields
    ------
    JobExecutor
        The executor. If the block is left by an exception, jobs that have not begun are cancelled;
        those that run are ended on this machine, and finish on Dask workers.

    Raises
    ------
    BatchError
        If Dask is not installed, or the scheduler cannot be reached.

    Examples
    --------
    ::

        with open_executor(batch, n_jobs=2, scheduler="tcp://10.0.0.5:8786") as executor:
            future = executor.submit(job)
    """
    opened = _open_dask(batch, scheduler) if scheduler else _open_local(batch, n_jobs)
    with opened as executor:
        yield executor


@contextlib.contextmanager
def _open_local(batch: Batch, n_jobs: int) -> Iterator[JobExecutor]:
    with (
        ProcessGroup() as processes,
        WorkerPool(processes) as workers,
        ThreadPoolExecutor(n_jobs) as pool,
    ):
        try:
            yield _LocalExecutor(batch, pool, workers)
        except BaseException:
            processes.end()  # or leaving the pool would wait for them
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _LocalExecutor:
    """Carries out jobs with worker processes of this machine, each waited for by a thread."""

    def __init__(self, batch: Batch, pool: Executor, workers: WorkerPool):
        self._batch = batch
        self._pool = pool
        self._workers = workers

    def submit(self, job: Job) -> Future[Outcome]:
        file = self._batch.file
        return self._pool.submit(execute_job, job, file.notebook, file.time_limit_s, self._workers)

    def collect(self, job: Job, future: Future[Outcome]) -> Outcome | None:
        return None if future.cancelled() else future.result()

    def cancel_waiting(self, futures: Mapping[Future[Outcome], Job]) -> None:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def _open_dask(batch: Batch, scheduler: str) -> Iterator[JobExecutor]:
    work_folder = batch.folder / WORK_FOLDER
    work_folder.mkdir(parents=True, exist_ok=True)
    with (
        _connect(scheduler) as client,
        tempfile.NamedTemporaryFile(prefix=".dask-", dir=work_folder) as marker,
    ):
        remote = RemoteBatch(
            notebook=batch.file.notebook.resolve(),
            time_limit_s=batch.file.time_limit_s,
            environment=describe_environment(threads=read_threads_variable()),
            marker=Path(marker.name),
        )
        executor = _DaskExecutor(client, remote)
        try:
            yield executor
        except BaseException:
            n_running = executor.count_running()
            if n_running and client.status == "running":  # without a scheduler its workers end
                print(
                    f"{n_running} runs go on on Dask workers and finish there; those that have "
                    f"not begun are cancelled. The same command continues.",
                    file=sys.stderr,
                )
            executor.cancel_all()
            raise


def _connect(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise BatchError(
            'Dask is not installed. Install it here and where its workers run: pip install "'
            'ecg-fusion[dask]".'
        ) from None
    # Of a lost connection it prints tracebacks; the batch says it in a sentence.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise BatchError(
            f"The Dask scheduler {scheduler!r} cannot be reached: {error}. Give the address that "
            f"`dask scheduler` prints, such as tcp://10.0.0.5:8786."
        ) from None
    if not client.nthreads():
        print(f"{scheduler} has no workers yet; runs begin once it has.", file=sys.stderr)
    return client


class _DaskExecutor:
    """Carries out jobs on the workers of a Dask scheduler.

    Their futures can always be cancelled, also while they run, which does not end the run. Whether
    it has begun is seen by its lock.
    """

    def __init__(self, client: "Client", batch: RemoteBatch):
        self._client = client
        self._batch = batch
        # Or Dask takes a job that is submitted again for the same, and returns what it has.
        self._pool = client.get_executor(pure=False)
        self._pending: dict[Future[Outcome], Job] = {}
        self._cancelled: set[Future[Outcome]] = set()

    def submit(self, job: Job) -> Future[Outcome]:
        future = self._pool.submit(execute_remotely, job, self._batch)
        self._pending[future] = job
        return future

    def collect(self, job: Job, future: Future[Outcome]) -> Outcome | None:
        from distributed import KilledWorker

        self._pending.pop(future, None)
        if future in self._cancelled:
            return None
        if future.cancelled():
            raise BatchError(
                "The connection to the Dask scheduler was lost. Start it again with its workers; "
                "the same command continues."
            )
        try:
            outcome = future.result()
        except KilledWorker:
            return Outcome(status=FAILED, problem=WORKERS_DIED)
        except EcgError:
            raise
        except Exception as error:
            raise BatchError(
                f"A Dask worker cannot carry out a run: {type(error).__name__}: {error}. Start the "
                f"workers from the checkout and the environment of the batch."
            ) from error
        if outcome.status in (NEW, EXISTING):
            _wait_until_seen(job)
        return outcome

    def cancel_waiting(self, futures: Mapping[Future[Outcome], Job]) -> None:
        for future, job in futures.items():
            if not future.done() and not is_held(find_lock(job)):
                self._cancelled.add(future)
                future.cancel()

    def count_running(self) -> int:
        return sum(is_held(find_lock(job)) for job in self._pending.values())

    def cancel_all(self) -> None:
        """Cancel what has not begun, and let go of what has."""
        self._pool.shutdown(wait=False)


def _wait_until_seen(job: Job) -> None:
    """Wait until a run that another machine has written is seen here.

    A network file system may take a while. Listing the folder makes it ask its server.
    """
    deadline_s = time.monotonic() + STALE_AFTER_S
    while not runs.run_exists(job.path):
        if time.monotonic() > deadline_s:
            raise BatchError(
                f"A Dask worker has written {job.path}, but it is not seen here. Put the runs into "
                f"a folder that all machines share (--runs-dir)."
            )
        os.listdir(job.path.parent)
        time.sleep(LOOK_FOR_RUN_S)
