"""Notebooks with parameters: checked, which papermill does not, and executed in processes."""

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import yaml

from ecglib.errors import BatchError, did_you_mean

# Jupyter chooses the ports of a kernel before the kernel takes them. Where several start at a time
# one may find them taken, before a cell was executed (papermill issue 511): it is started again.
NOT_STARTED, MOST_STARTS = "Kernel died before replying to kernel_info", 3


def check_parameters(notebook: Path, parameters: dict) -> dict:
    """Hold parameters against a notebook, which papermill does not do.

    Parameters
    ----------
    notebook
        the notebook, with a cell tagged ``parameters``.
    parameters
        what is to be given to it.

    Returns
    -------
    The notebook's parameters with their defaults, those given replaced.

    Raises
    ------
    BatchError
        a name that the notebook does not know, or a value of another type than its
        default's.
    """
    defaults = notebook_defaults(notebook)
    for name, value in parameters.items():
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            raise BatchError(
                f"{notebook.name} has no parameter {name!r}; it has {sorted(defaults)}.{hint}"
            )
        wanted, given = type(defaults[name]), type(value)
        if given is not wanted and not (wanted is float and given is int):
            raise BatchError(
                f"Parameter {name}={value!r} of {notebook.name} is {given.__name__}, expected "
                f"{wanted.__name__} as in its default {defaults[name]!r}."
            )
    return defaults | parameters


def notebook_defaults(notebook: Path) -> dict:
    """The parameters of a notebook with their default values.

    Raises
    ------
    BatchError
        there is no parameters cell, or a default is no plain literal.
    """
    cells = json.loads(notebook.read_text())["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise BatchError(f"{notebook} has {len(tagged)} cells tagged 'parameters', expected one.")
    defaults = {}
    for statement in ast.parse("".join(tagged[0]["source"])).body:
        try:
            defaults[statement.targets[0].id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise BatchError(
                f"The parameters cell of {notebook} may only hold `name = literal`, found: "
                f"{ast.unparse(statement)}"
            ) from None
    return defaults


def execute(
    notebook: Path, executed: Path, parameters: dict, environment: dict, processes: "Processes"
) -> tuple[int, str]:
    """Execute a notebook with papermill, whose kernel may need several starts.

    Parameters
    ----------
    notebook
        the notebook, which stays as it is.
    executed
        what is written: the notebook with parameters and outputs.
    parameters
        what it is given (`check_parameters`).
    environment
        environment variables of the process.
    processes
        that it is to be one of.

    Returns
    -------
    Exit status and standard error.
    """
    command = _papermill(notebook, executed, parameters)
    for _ in range(MOST_STARTS):
        code, errors = processes.run(command, environment)
        if code == 0 or NOT_STARTED not in errors:
            break
    return code, errors


def _papermill(notebook: Path, executed: Path, parameters: dict) -> list[str]:
    return [
        *(sys.executable, "-m", "papermill", str(notebook), str(executed)),
        *("--no-progress-bar", "--log-level", "ERROR", "--kernel", "python3"),
        *("--parameters_yaml", yaml.safe_dump(parameters)),
    ]


class Processes:
    """The processes of a batch; all of them end when the batch is interrupted."""

    def __init__(self):
        self._own, self._lock, self._ended = set(), threading.Lock(), False

    def __enter__(self):
        self._previous = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, error_type, *_):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._previous)
        if error_type is not None:
            self.end()

    def end(self) -> None:
        """End every process, and start none any more."""
        with self._lock:
            self._ended = True
            for process in self._own:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def run(self, command: list[str], environment: dict) -> tuple[int, str]:
        """Exit status and standard error of a command in a process group of its own."""
        with self._lock:
            if self._ended:
                return 1, "interrupted"
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._own.add(process)
        errors = process.communicate()[1]
        with self._lock:
            self._own.discard(process)
        return process.returncode, errors
