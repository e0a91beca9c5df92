"""The cores, memory and GPUs that the runs of a batch share."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from ecglib.experiment.environment import read_threads_variable

RUN_BYTES = 2 << 30  # of memory that a run needs, with its kernel and TensorFlow
LOOK_AT_MEMORY_S = 2.0
DEVICES = Path("/dev")
GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"


def choose_n_jobs() -> int:
    """Choose how many runs fit at the same time: into cores and memory, and one for each GPU.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ExperimentError
        If ``ECGLIB_THREADS``, the number of threads of a run, is not a whole number.

    Examples
    --------
    >>> choose_n_jobs() >= 1
    True
    """
    by_cores = (os.cpu_count() or 1) // (read_threads_variable() or 1)
    by_memory = psutil.virtual_memory().available // RUN_BYTES
    limits = [by_cores, by_memory]
    if gpus := list_gpus(os.environ):
        limits.append(len(gpus))
    return max(1, min(limits))


def list_gpus(environment: Mapping[str, str], devices: Path = DEVICES) -> list[str]:
    """List the GPUs of NVIDIA that a process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables; ``CUDA_VISIBLE_DEVICES`` limits the GPUs.
    devices : Path, optional
        Folder of the device files.

    Returns
    -------
    list of str
        Empty without a GPU.

    Examples
    --------
    >>> list_gpus({"CUDA_VISIBLE_DEVICES": "2,3"})
    ['2', '3']
    >>> list_gpus({"CUDA_VISIBLE_DEVICES": ""})
    []
    """
    if (visible := environment.get(GPU_VARIABLE)) is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name not in ("", "-1")]
    return [str(number) for number in range(len(list(devices.glob("nvidia[0-9]*"))))]


class GpuPool:
    """Assigns each worker the GPU that has the fewest workers.

    Parameters
    ----------
    gpus : sequence of str
        What `list_gpus` returns.

    Examples
    --------
    >>> gpus = GpuPool(["0", "1"])
    >>> [gpus.take(), gpus.take(), gpus.take()]
    [{'CUDA_VISIBLE_DEVICES': '0'}, {'CUDA_VISIBLE_DEVICES': '1'}, {'CUDA_VISIBLE_DEVICES': '0'}]
    >>> gpus.give_back({"CUDA_VISIBLE_DEVICES": "1"})
    >>> gpus.take()
    {'CUDA_VISIBLE_DEVICES': '1'}
    >>> GpuPool([]).take()
    {}
    """

    def __init__(self, gpus: Sequence[str]):
        self._n_workers = dict.fromkeys(gpus, 0)
        self._lock = threading.Lock()

    def take(self) -> dict[str, str]:
        """Return the environment variable for one more worker; empty without a GPU."""
        if not self._n_workers:
            return {}
        with self._lock:
            gpu = min(self._n_workers, key=lambda name: self._n_workers[name])
            self._n_workers[gpu] += 1
        return {GPU_VARIABLE: gpu}

    def give_back(self, variables: Mapping[str, str]) -> None:
        """Take back the GPU of a worker that has ended."""
        if variables:
            with self._lock:
                self._n_workers[variables[GPU_VARIABLE]] -= 1


class MemoryGate:
    """Lets runs begin one after another while memory is short.

    Parameters
    ----------
    n_bytes : int, optional
        Memory that has to be available when a run begins beside others.

    Examples
    --------
    >>> gate = MemoryGate()
    >>> with gate.enter(is_ended=lambda: False):
    ...     gate.n_running
    1
    >>> gate.n_running
    0
    """

    def __init__(self, n_bytes: int = RUN_BYTES):
        self.n_bytes = n_bytes
        self.n_running = 0
        self._condition = threading.Condition()

    @contextmanager
    def enter(self, is_ended: Callable[[], bool]) -> Iterator[None]:
        """Wait until memory is available, or nothing else runs; the block is one run.

        Parameters
        ----------
        is_ended : callable
            Returns whether there is nothing to wait for any more.
        """
        with self._condition:
            while self.n_running and not self._has_memory() and not is_ended():
                self._condition.wait(LOOK_AT_MEMORY_S)
            self.n_running += 1
        try:
            yield
        finally:
            with self._condition:
                self.n_running -= 1
                self._condition.notify_all()

    def _has_memory(self) -> bool:
        return psutil.virtual_memory().available >= self.n_bytes
