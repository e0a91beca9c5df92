"""Run pieces of work on demand in a separate process.

TensorFlow and PyTorch do not share a process well, and the settings that make training repeatable
cannot be undone. So each has its own process, which waits while the other works. This module only
imports the standard library, because both interpreters read it.
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

ROUND_S = 0.5  # duration of the repetitions of one round, approximately
READY = "ready"


class WorkerError(Exception):
    """A worker ended or gave an unexpected answer; the message has its last output."""


class Worker:
    """A process that repeats named pieces of work on demand.

    Parameters
    ----------
    command : list of str
        Interpreter and arguments; the process calls `serve`.
    folder : Path
        Working directory of the process.
    errors : text file
        For its standard error, because a pipe that nobody reads may fill up.
    """

    def __init__(self, command: list[str], folder: Path, errors: IO[str]) -> None:
        self._errors = errors
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": ""},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        self.facts = dict(pair.split("=") for pair in self._read_answer(READY).split())

    def work(self, name: str, n: int) -> None:
        """Do the work of this name `n` times; return when it is done."""
        with contextlib.suppress(BrokenPipeError):  # the error is read with the answer
            self._process.stdin.write(f"{name} {n}\n")
            self._process.stdin.flush()
        self._read_answer(name)

    def count_repetitions(self, name: str) -> int:
        """Find how often the work has to be repeated to fill a round, after a warm-up."""
        self.work(name, 2)
        started = time.perf_counter()
        self.work(name, 2)
        return max(2, round(ROUND_S / ((time.perf_counter() - started) / 2)))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read_answer(self, word: str) -> str:
        """Read a line that begins with a word, and return the rest of it."""
        line = self._process.stdout.readline()
        if line.split(" ", 1)[0].strip() != word:
            self._process.kill()
            self._process.communicate()
            self._errors.seek(0)
            last = "\n".join(self._errors.read().strip().splitlines()[-5:])
            raise WorkerError(f"The worker answered {line!r} instead of {word!r}:\n{last}")
        return line.removeprefix(word)


@contextlib.contextmanager
def start_workers(commands: dict[str, list[str]], folder: Path) -> Iterator[dict[str, Worker]]:
    """Start a process for each command, and end all of them with the block."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, command in commands.items():
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            started[name] = Worker(command, folder, errors)
            stack.callback(started[name].close)
        yield started


def serve(works: dict[str, Callable[[], object]], **facts: int) -> None:
    """Act as a worker: announce some facts, then do each piece of work that a line asks for."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not be read as an answer
    print(READY, *(f"{key}={value}" for key, value in facts.items()), file=answers, flush=True)
    for line in sys.stdin:
        name, n = line.split()
        for _ in range(int(n)):
            works[name]()
        print(name, file=answers, flush=True)
