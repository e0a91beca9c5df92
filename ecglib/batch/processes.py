"""Processes that a batch starts, with all that they start: ended together, never left behind."""

import contextlib
import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

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

    @property
    def is_ended(self) -> bool:
        """Whether `end` was called."""
        return self._is_ended.is_set()

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
        if self.is_ended:
            return ProcessResult(exit_status=1, output="", ended_by_us=INTERRUPTED)
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("wb") as log:
            # A file: the pipe of a program that survives would never end.
            process = start_process(command.arguments, command.environment, log, log)
        tree = ProcessTree(process)
        try:
            with contextlib.suppress(BrokenPipeError):
                tree.send(command.request)
            ended_by_us = self.wait(tree, command.time_limit_s, tree.has_ended)
        finally:
            tree.end(GRACE_S)
        return ProcessResult(
            exit_status=process.returncode, output=read_end(command.log), ended_by_us=ended_by_us
        )

    def wait(
        self, tree: "ProcessTree", time_limit_s: float, has_finished: Callable[[float], bool]
    ) -> str:
        """Wait for a process.

        Parameters
        ----------
        tree : ProcessTree
            The process.
        time_limit_s : float
            Time after which it has to be ended; 0 for no limit.
        has_finished : callable
            Waits for at most the given number of seconds, and returns whether the process has done
            what is waited for.

        Returns
        -------
        str
            Why it has to be ended; empty if it has finished.
        """
        began_s = looked_s = time.monotonic()
        while not has_finished(POLL_S):
            now_s = time.monotonic()
            if self.is_ended:
                return INTERRUPTED
            if time_limit_s and now_s - began_s > time_limit_s:
                return f"not finished within {time_limit_s:g} s"
            if now_s - looked_s > LOOK_FOR_CHILDREN_S:
                tree.look_for_children()
                looked_s = now_s
        return ""


class ProcessTree:
    """A process with all that it started.

    Parameters
    ----------
    process : subprocess.Popen
        The process, with text as its standard input.

    Examples
    --------
    >>> tree = ProcessTree(start_process([sys.executable, "-c", "input()"], {}))
    >>> tree.has_ended(0.0)
    False
    >>> tree.end(grace_s=0.0)
    >>> tree.has_ended(0.0)
    True
    """

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self._children: set[psutil.Process] = set()

    def send(self, text: str) -> None:
        """Write to its standard input.

        Raises
        ------
        BrokenPipeError
            If it has ended.
        """
        if self.process.stdin is not None:
            self.process.stdin.write(text)
            self.process.stdin.flush()

    def has_ended(self, timeout_s: float) -> bool:
        """Wait for its end for some seconds; return whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
        return self.process.poll() is not None

    def look_for_children(self) -> None:
        """Note what it has started: that is not found any more once it has ended."""
        with contextlib.suppress(psutil.Error):
            self._children |= set(psutil.Process(self.process.pid).children(recursive=True))

    def end(self, grace_s: float) -> None:
        """End it and all that it started: those seen before, and those it has now.

        Parameters
        ----------
        grace_s : float
            Seconds that it gets to end by itself, once its standard input is closed.
        """
        self.look_for_children()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        if not self.has_ended(grace_s):
            self.look_for_children()
        for child in self._children:
            with contextlib.suppress(psutil.Error):
                child.kill()  # psutil makes sure that the number was not used again
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start_process(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: int | IO = subprocess.PIPE,
    errors: int | IO = subprocess.DEVNULL,
) -> subprocess.Popen:
    """Start a process that Ctrl-C does not reach, with an open standard input.

    Parameters
    ----------
    arguments : sequence of str
        The program and its arguments.
    environment : mapping of str to str
        Its environment variables.
    output, errors : int or file
        Where it prints to, as for `subprocess.Popen`.

    Returns
    -------
    subprocess.Popen
        The process.

    Raises
    ------
    OSError
        If it cannot be started.

    Examples
    --------
    >>> process = start_process([sys.executable, "-c", "print(1 + 1)"], {})
    >>> process.communicate()[0].strip()
    '2'
    """
    return subprocess.Popen(
        arguments,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


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


def limit_threads(environment: Mapping[str, str]) -> dict[str, str]:
    """Limit the threads of numerical libraries in a process, so that several share the cores.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables. ``ECGLIB_THREADS`` holds the number of threads of a run; without it
        the training chooses, and everything else gets one.

    Returns
    -------
    dict of str to str
        The variables for the process.

    Examples
    --------
    >>> limit_threads({"ECGLIB_THREADS": "2"})["OMP_NUM_THREADS"]
    '2'
    """
    threads = environment.get("ECGLIB_THREADS", "1")
    return {**environment, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
