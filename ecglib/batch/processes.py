"""Processes that a batch starts, with all that they start: ended together, never left behind."""

import contextlib
import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

POLL_S = 0.2
LOOK_FOR_CHILDREN_S = 5.0
GRACE_S = 3.0  # from closing standard input until SIGKILL
N_ERROR_BYTES = 20_000  # of the end of a log: more than a traceback
INTERRUPTED = "interrupted"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A program to run, and how.

    Parameters
    ----------
    arguments : list of str
        The program and its arguments.
    environment : dict of str to str
        Its environment variables.
    request : str
        What it reads from standard input. That stays open until the program is to end, which a
        program may watch.
    log : Path
        File for all that it prints.
    time_limit_s : float
        Time after which it is ended; 0 for no limit.

    Examples
    --------
    >>> Command(arguments=["sleep", "1"], environment={}, log=Path("sleep.log")).time_limit_s
    0.0
    """

    arguments: list[str]
    environment: dict[str, str]
    log: Path
    request: str = ""
    time_limit_s: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessResult:
    """How a process ended.

    Parameters
    ----------
    exit_status : int
        0 on success; negative if a signal ended it.
    output : str
        The end of what it printed.
    ended_by_us : str
        Why it was ended by the batch: its time limit, or an interruption; empty if it was not.

    Examples
    --------
    >>> ProcessResult(exit_status=0, output="").ended_by_us
    ''
    """

    exit_status: int
    output: str
    ended_by_us: str = ""


class ProcessGroup:
    """The processes of a batch, as a context; all are ended if it is left by an exception.

    Examples
    --------
    >>> import os
    >>> import sys
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, ProcessGroup() as processes:
    ...     command = Command(
    ...         arguments=[sys.executable, "-c", "print(1 + 1)"],
    ...         environment=dict(os.environ),
    ...         log=Path(folder, "log"),
    ...     )
    ...     result = processes.run(command)
    >>> result.exit_status, result.output
    (0, '2\\n')
    """

    def __init__(self) -> None:
        self._is_ended = threading.Event()

    def __enter__(self) -> Self:
        self._previous_handler = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._previous_handler)
        if error_type is not None:
            self.end()

    def end(self) -> None:
        """End every process within `GRACE_S`, and start no more; return at once."""
        self._is_ended.set()

    def run(self, command: Command) -> ProcessResult:
        """Run a command and wait for it; nothing that it started is left afterwards.

        Parameters
        ----------
        command : Command
            The command.

        Returns
        -------
        ProcessResult
            Exit status and output; status 1 if the group has been ended.

        Raises
        ------
        OSError
            If the log cannot be written or the program not be started.
        """
        if self._is_ended.is_set():
            return ProcessResult(exit_status=1, output="", ended_by_us=INTERRUPTED)
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("wb") as log:
            process = subprocess.Popen(
                command.arguments,
                env=command.environment,
                stdin=subprocess.PIPE,
                stdout=log,  # a file: the pipe of a program that survives would never end
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the batch alone
            )
        started: set[psutil.Process] = set()
        try:
            with contextlib.suppress(BrokenPipeError):
                _send(process, command.request)
            ended_by_us = self._wait(process, command.time_limit_s, started)
        finally:
            _end_process(process, started)
        return ProcessResult(
            exit_status=process.returncode, output=read_end(command.log), ended_by_us=ended_by_us
        )

    def _wait(
        self, process: subprocess.Popen, time_limit_s: float, started: set[psutil.Process]
    ) -> str:
        """Wait for a process; return why it has to be ended, or an empty text if it ended."""
        began_s = looked_s = time.monotonic()
        while process.poll() is None:
            if self._is_ended.wait(POLL_S):
                return INTERRUPTED
            now_s = time.monotonic()
            if time_limit_s and now_s - began_s > time_limit_s:
                return f"not finished within {time_limit_s:g} s"
            if now_s - looked_s > LOOK_FOR_CHILDREN_S:
                started |= _find_children(process)
                looked_s = now_s
        return ""


def _send(process: subprocess.Popen, request: str) -> None:
    if process.stdin is not None:
        process.stdin.write(request)
        process.stdin.flush()


def _end_process(process: subprocess.Popen, started: Iterable[psutil.Process]) -> None:
    """End a process and all that it started: those seen before, and those it has now."""
    children = {*started, *_find_children(process)}
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        children |= _find_children(process)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()  # psutil makes sure that the number was not used again
    if process.poll() is None:
        process.kill()
        process.wait()


def _find_children(process: subprocess.Popen) -> set[psutil.Process]:
    try:
        return set(psutil.Process(process.pid).children(recursive=True))
    except psutil.Error:
        return set()


def read_end(path: Path) -> str:
    """Read the end of a log; an empty text if it cannot be read.

    Examples
    --------
    >>> read_end(Path("none.log"))
    ''
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - N_ERROR_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
