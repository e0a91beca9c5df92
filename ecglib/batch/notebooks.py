"""Check the parameters of notebooks, which papermill does not, and execute them in processes."""

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml

from ecglib.errors import BatchError, did_you_mean

# Jupyter chooses the ports of a kernel before the kernel opens them. When several kernels start at
# once, one may find its ports taken before any cell has run (papermill issue 511); it is started
# again.
KERNEL_NOT_STARTED = "Kernel died before replying to kernel_info"
MAX_STARTS = 3


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters against those of a notebook, and fill in its defaults.

    Parameters
    ----------
    notebook : Path
        The notebook, with one cell tagged ``parameters``.
    parameters : mapping of str to object
        Values for some of its parameters.

    Returns
    -------
    dict of str to object
        All parameters of the notebook: the given values, and defaults for the others.

    Raises
    ------
    BatchError
        If the notebook has no parameter of a name, or a value and its default differ in type (an
        int is accepted for a float).

    Examples
    --------
    >>> import tempfile
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": "epochs = 20\\nseed = 0"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notebook = Path(folder) / "train.ipynb"
    ...     _ = notebook.write_text(json.dumps({"cells": [cell]}))
    ...     check_parameters(notebook, {"epochs": 5})
    {'epochs': 5, 'seed': 0}
    """
    defaults = read_defaults(notebook)
    for name, value in parameters.items():
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            raise BatchError(
                f"{notebook.name} has no parameter {name!r}; it has {sorted(defaults)}.{hint}"
            )
        expected, given = type(defaults[name]), type(value)
        if given is not expected and not (expected is float and given is int):
            raise BatchError(
                f"Parameter {name}={value!r} of {notebook.name} is {given.__name__}, expected "
                f"{expected.__name__} as in its default {defaults[name]!r}."
            )
    return defaults | dict(parameters)


def read_defaults(notebook: Path) -> dict[str, Any]:
    """Read the parameters of a notebook and their default values.

    Parameters
    ----------
    notebook : Path
        The notebook, with one cell tagged ``parameters``.

    Returns
    -------
    dict of str to object
        Parameter -> default.

    Raises
    ------
    BatchError
        If the file is not a notebook, the parameters cell is missing, or it holds anything but
        assignments of literals.

    Examples
    --------
    >>> import tempfile
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": "seed = 0  # of the weights"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notebook = Path(folder) / "train.ipynb"
    ...     _ = notebook.write_text(json.dumps({"cells": [cell]}))
    ...     read_defaults(notebook)
    {'seed': 0}
    """
    defaults = {}
    for statement in _parse_parameters_cell(notebook).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                with contextlib.suppress(ValueError, TypeError):
                    defaults[name] = ast.literal_eval(expression)
                    continue
        raise BatchError(
            f"The parameters cell of {notebook} may only hold `name = literal`, found: "
            f"{ast.unparse(statement)}"
        )
    return defaults


def _parse_parameters_cell(notebook: Path) -> ast.Module:
    try:
        cells = json.loads(notebook.read_text())["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BatchError(f"The notebook {notebook} cannot be read: {error!r}") from None
    if len(tagged) != 1:
        raise BatchError(f"{notebook} has {len(tagged)} cells tagged 'parameters', expected one.")
    try:
        return ast.parse("".join(tagged[0]["source"]))
    except SyntaxError as error:
        raise BatchError(f"The parameters cell of {notebook} is not Python: {error}") from None


class ProcessResult(NamedTuple):
    """How a process ended.

    Parameters
    ----------
    exit_status : int
        0 on success; negative if a signal ended it.
    errors : str
        What it wrote to standard error.

    Examples
    --------
    >>> ProcessResult(exit_status=0, errors="").exit_status
    0
    """

    exit_status: int
    errors: str


class ProcessGroup:
    """The processes of a batch, as a context; all are ended if it is left by an exception.

    Examples
    --------
    >>> with ProcessGroup() as processes:
    ...     processes.run([sys.executable, "-c", "pass"], dict(os.environ))
    ProcessResult(exit_status=0, errors='')
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

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
        """End every process, and start no more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def run(self, command: list[str], environment: dict[str, str]) -> ProcessResult:
        """Run a command and wait for it; `end` also ends the processes that it started.

        Parameters
        ----------
        command : list of str
            The program and its arguments.
        environment : dict of str to str
            Its environment variables.

        Returns
        -------
        ProcessResult
            Exit status and standard error; status 1 if the group has been ended.
        """
        with self._lock:
            if self._ended:
                return ProcessResult(exit_status=1, errors="interrupted")
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._running.add(process)
        errors = process.communicate()[1]
        with self._lock:
            self._running.discard(process)
        return ProcessResult(exit_status=process.returncode, errors=errors)


def execute_notebook(
    notebook: Path,
    executed: Path,
    parameters: Mapping[str, Any],
    environment: dict[str, str],
    processes: ProcessGroup,
) -> ProcessResult:
    """Execute a notebook with papermill; start its kernel again if it did not come up.

    Parameters
    ----------
    notebook : Path
        The notebook; it is not changed.
    executed : Path
        Where the notebook with its parameters and outputs is written.
    parameters : mapping of str to object
        Its parameters (`check_parameters`).
    environment : dict of str to str
        Environment variables of the process.
    processes : ProcessGroup
        The group that the process belongs to.

    Returns
    -------
    ProcessResult
        Exit status and standard error of the last start.

    Examples
    --------
    From the checkout::

        with ProcessGroup() as processes:
            notebook = Path("notebooks/01_dataset.ipynb")
            execute_notebook(notebook, Path("out.ipynb"), {}, dict(os.environ), processes)

    A notebook that does not exist:

    >>> with ProcessGroup() as processes:
    ...     result = execute_notebook(
    ...         Path("none.ipynb"), Path("out.ipynb"), {}, dict(os.environ), processes
    ...     )
    >>> result.exit_status, "none.ipynb" in result.errors
    (1, True)
    """
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(notebook),
        str(executed),
        "--no-progress-bar",
        "--log-level",
        "ERROR",
        "--kernel",
        "python3",
        "--parameters_yaml",
        yaml.safe_dump(dict(parameters)),
    ]
    for _ in range(MAX_STARTS):
        result = processes.run(command, environment)
        if result.exit_status == 0 or KERNEL_NOT_STARTED not in result.errors:
            break
    return result
