"""Worker processes that execute notebooks for a batch, each one notebook after another."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from ecglib.batch import worker_process
from ecglib.batch.processes import (
    INTERRUPTED,
    ProcessGroup,
    ProcessResult,
    ProcessTree,
    limit_threads,
    read_end,
    start_process,
)
from ecglib.batch.resources import GpuPool, MemoryGate, list_gpus

WORKER = (sys.executable, "-c", "from ecglib.batch.worker_process import main; main()")
# Workers may share a GPU: none takes all of its memory at once.
SHARED_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
VARIABLES = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as kernels set it for themselves
    **SHARED_GPU,
}


class WorkerPool:
    """Workers of a batch, as a context: started when they are needed, and kept for the next.

    Each worker has one GPU, if there are any. While memory is short, a notebook is executed only
    once no other is (`ecglib.batch.resources`).

    Parameters
    ----------
    processes : ProcessGroup
        The group that the workers belong to.
    environment : mapping of str to str, optional
        Environment variables of the workers; by default those of this process.

    Examples
    --------
    >>> with ProcessGroup() as processes, WorkerPool(processes) as workers:
    ...     processes.end()
    ...     result = workers.execute({"notebook": "train.ipynb"}, Path("train.log"))
    >>> result.ended_by_us
    'interrupted'
    """

    def __init__(self, processes: ProcessGroup, environment: Mapping[str, str] | None = None):
        self.processes = processes
        self._environment = dict(os.environ if environment is None else environment)
        self._gpus = GpuPool(list_gpus(self._environment))
        self._memory = MemoryGate()
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._end(self._idle.get_nowait())

    def execute(
        self, request: Mapping[str, Any], log: Path, time_limit_s: float = 0.0
    ) -> ProcessResult:
        """Let a worker execute a notebook, and wait for it; call it from several threads.

        Parameters
        ----------
        request : mapping of str to object
            What `ecglib.batch.worker_process.execute` gets, without the log.
        log : Path
            File for all that is printed.
        time_limit_s : float, default 0.0
            Time after which it is ended; 0 for no limit.

        Returns
        -------
        ProcessResult
            Exit status and output; status 1 if the group has been ended.

        Raises
        ------
        OSError
            If the log cannot be written or the worker not be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        with self._memory.enter(is_ended=lambda: self.processes.is_ended):
            if self.processes.is_ended:
                return ProcessResult(exit_status=1, output="", ended_by_us=INTERRUPTED)
            return self._execute(request, log, time_limit_s)

    def _execute(self, request: Mapping[str, Any], log: Path, time_limit_s: float) -> ProcessResult:
        worker = self._take()
        is_whole = False
        try:
            worker.send({**request, "log": str(log)})
            ended_by_us = self.processes.wait(worker.tree, time_limit_s, worker.has_answered)
            is_whole = not ended_by_us and worker.is_running
        finally:
            if is_whole:
                self._idle.put(worker)
            else:
                self._end(worker)
        return ProcessResult(
            exit_status=-signal.SIGKILL if ended_by_us else worker.exit_status,
            output=read_end(log) + worker.read_errors(),
            ended_by_us=ended_by_us,
        )

    def _take(self) -> "_Worker":
        """Take a worker that is idle, or start one."""
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker.is_running:
                    return worker
                self._end(worker)  # it was killed meanwhile
        return _Worker(self._environment, self._gpus.take())

    def _end(self, worker: "_Worker") -> None:
        worker.end()
        self._gpus.give_back(worker.gpu)


class _Worker:
    """One worker process."""

    def __init__(self, environment: Mapping[str, str], gpu: Mapping[str, str]):
        self.gpu = gpu
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        variables = {**limit_threads(environment), **VARIABLES, **gpu}
        process = start_process(WORKER, variables, subprocess.PIPE, self._errors)
        self.tree = ProcessTree(process)
        self.exit_status = 0  # of the last notebook, or of the worker if it has ended
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        # A thread, since a pipe cannot be waited for with a timeout on every system.
        threading.Thread(target=self._read_answers, daemon=True).start()

    @property
    def is_running(self) -> bool:
        return self.tree.process.poll() is None

    def send(self, request: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # then there is no answer
            self.tree.send(f"{yaml.safe_dump(dict(request))}{worker_process.END}\n")

    def has_answered(self, timeout_s: float) -> bool:
        """Wait for the answer, or the end of the worker, for some seconds."""
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return False
        self.exit_status = int(answer) if answer else self.tree.process.wait()
        return True

    def end(self) -> None:
        self.tree.end(grace_s=0.0)

    def read_errors(self) -> str:
        """Read what the worker itself has printed, once it has ended."""
        if self.is_running:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def _read_answers(self) -> None:
        for line in self.tree.process.stdout or ():
            self._answers.put(line.strip())
        self._answers.put("")
