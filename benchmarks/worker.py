"""Work in a process of its own, done when it is asked for.

TensorFlow and PyTorch do not share a process well, and what makes training repeatable cannot be
undone, so each stands in one that waits while the other works. Only the standard library is
imported: both interpreters read this file.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

ROUND_S = 0.5  # a round is as many repetitions as take about this long
READY = "ready"


class WorkerError(Exception):
    """A worker ended or answered something else; the message has its last words."""


class Worker:
    """A process that does a named piece of work as often as it is told.

    Parameters
    ----------
    command
        interpreter and arguments; the process calls `serve`.
    folder
        where it starts.
    errors
        file for what it writes to standard error: a pipe that nobody reads may fill up.
    """

    def __init__(self, command: list[str], folder: Path, errors: IO[str]):
        own = os.environ | {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": ""}
        self._errors = errors
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        self._process = subprocess.Popen(command, cwd=folder, env=own, text=True, **pipes)
        self.told = dict(pair.split("=") for pair in self._answer(READY).split())

    def work(self, name: str, n: int) -> None:
        """Do the work of this name `n` times; return when it is done."""
        with contextlib.suppress(BrokenPipeError):  # what went wrong is read with the answer
            self._process.stdin.write(f"{name} {n}\n")
            self._process.stdin.flush()
        self._answer(name)

    def repetitions(self, name: str) -> int:
        """How often the work is to be done for a round, after some of it that warms up."""
        self.work(name, 2)
        started = time.perf_counter()
        self.work(name, 2)
        return max(2, round(ROUND_S / ((time.perf_counter() - started) / 2)))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self, word: str) -> str:
        """The rest of the line that begins with this word."""
        line = self._process.stdout.readline()
        if line.split(" ", 1)[0].strip() != word:
            self._process.kill()
            self._process.communicate()
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-5:]
            raise WorkerError(f"{line!r} was answered, expected {word!r}:\n" + "\n".join(last))
        return line.removeprefix(word)


@contextlib.contextmanager
def workers(commands: dict[str, list[str]], folder: Path) -> Iterator[dict[str, Worker]]:
    """Start a process for each command; all of them end with the block."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, command in commands.items():
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            started[name] = Worker(command, folder, errors)
            stack.callback(started[name].close)
        yield started


def serve(works: dict[str, Callable[[], object]], **told: int) -> None:
    """Be a worker: say what is to be told, then do each piece of work that a line asks for."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # a library that prints must not answer
    print(READY, *(f"{key}={value}" for key, value in told.items()), file=answers, flush=True)
    for line in sys.stdin:
        name, n = line.split()
        for _ in range(int(n)):
            works[name]()
        print(name, file=answers, flush=True)
