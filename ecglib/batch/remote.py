"""What a Dask worker does with a job of a batch (`execute_remotely`).

Dask is not imported here: this is what its workers import.
"""

import dataclasses
import os
import socket
import threading
from pathlib import Path

from ecglib.batch.execution import Outcome, execute_job
from ecglib.batch.jobs import Job
from ecglib.batch.processes import ProcessGroup
from ecglib.batch.workers import WorkerPool
from ecglib.errors import BatchError
from ecglib.experiment.environment import THREADS_VARIABLE, Environment, describe_environment

_POOLS: dict[int, WorkerPool] = {}  # by the number of threads of a run
_POOLS_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteBatch:
    """What a Dask worker has to know of a batch to carry out its jobs.

    Parameters
    ----------
    notebook : Path
        Absolute path of the notebook that carries them out.
    time_limit_s : float
        Time after which a run is ended; 0 for no limit.
    environment : Environment
        Of the batch: its code, its versions, and ``ECGLIB_THREADS`` (0 if it is not set).
    marker : Path
        A file in the folder of the batch that exists only as long as the batch runs. A machine that
        has another folder of the same name does not have it.

    Examples
    --------
    >>> batch = RemoteBatch(
    ...     notebook=Path("/shared/train.ipynb"),
    ...     time_limit_s=0.0,
    ...     environment=describe_environment(threads=0),
    ...     marker=Path("/shared/runs/fusion/.work/.dask-x1"),
    ... )
    >>> batch.environment.threads
    0
    """

    notebook: Path
    time_limit_s: float
    environment: Environment
    marker: Path


def execute_remotely(job: Job, batch: RemoteBatch) -> Outcome:
    """Carry out a job in this process, a Dask worker, with workers that are kept for the next.

    Parameters
    ----------
    job : Job
        The job.
    batch : RemoteBatch
        Its batch.

    Returns
    -------
    Outcome
        How it went (`execute_job`).

    Raises
    ------
    EcgError
        As for `check_machine`, or if the run was written by another version.

    Examples
    --------
    What the batch submits::

        client.submit(execute_remotely, job, batch)
    """
    check_machine(job, batch)
    return execute_job(
        job, batch.notebook, batch.time_limit_s, _find_pool(batch.environment.threads)
    )


def check_machine(job: Job, batch: RemoteBatch) -> None:
    """Check that this process sees the files of a batch, and gives the bits that the batch gives.

    Parameters
    ----------
    job : Job
        A job of the batch.
    batch : RemoteBatch
        The batch.

    Raises
    ------
    BatchError
        If a folder is missing or is another one, or the code or a version differs.

    Examples
    --------
    >>> from ecglib.experiment import Experiment
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> path = Path("/none/runs/fusion") / experiment.run_name
    >>> job = Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path)
    >>> batch = RemoteBatch(
    ...     notebook=Path("/none/train.ipynb"),
    ...     time_limit_s=0.0,
    ...     environment=describe_environment(threads=0),
    ...     marker=Path("/none/runs/fusion/.work/.dask-x1"),
    ... )
    >>> check_machine(job, batch)
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: The Dask worker on ... does not see the folder /none/runs/fusion ...
    """
    here = f"The Dask worker on {socket.gethostname()}"
    places = {
        f"the folder {job.path.parent} of this batch": batch.marker,
        f"the notebook {batch.notebook}": batch.notebook,
    }
    if dataset := job.notebook_parameters.get("dataset"):
        places[f"the store {dataset}"] = Path(dataset)
    for description, place in places.items():
        if not place.exists():
            raise BatchError(
                f"{here} does not see {description}. Put stores, runs and notebooks into a folder "
                f"that all machines share under the same path (--data-dir, --runs-dir)."
            )
    found = describe_environment(threads=batch.environment.threads)
    if difference := found.describe_difference(batch.environment):
        raise BatchError(
            f"{here} would give other results than this batch: {difference}. Start the workers "
            f"from the checkout and the environment of the batch."
        )


def _find_pool(threads: int) -> WorkerPool:
    """Find the workers for runs with this number of threads; they end with this process."""
    with _POOLS_LOCK:
        if threads not in _POOLS:
            variables = {name: v for name, v in os.environ.items() if name != THREADS_VARIABLE}
            if threads:
                variables[THREADS_VARIABLE] = str(threads)
            _POOLS[threads] = WorkerPool(ProcessGroup(), variables)
        return _POOLS[threads]
