"""Check the parameters of notebooks, which papermill does not, and execute them in processes."""

import ast
import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecglib.batch.processes import ProcessResult
from ecglib.batch.workers import WorkerPool
from ecglib.errors import BatchError, did_you_mean

# On Windows Jupyter chooses the ports of a kernel before the kernel opens them. When several start
# at once, one may find its ports taken (papermill issue 511); it is started again.
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
    if problems := find_parameter_problems(notebook, defaults, parameters):
        raise BatchError(" ".join(problems.values()))
    return defaults | dict(parameters)


def find_parameter_problems(
    notebook: Path, defaults: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, str]:
    """Find every parameter that a notebook does not have, or of another type than its default.

    Parameters
    ----------
    notebook : Path
        The notebook, for the messages.
    defaults : mapping of str to object
        Its parameters and their defaults (`read_defaults`).
    parameters : mapping of str to object
        Values for some of them.

    Returns
    -------
    dict of str to str
        Parameter -> what is wrong.

    Examples
    --------
    >>> list(find_parameter_problems(Path("n.ipynb"), {"seed": 0}, {"seed": "1", "sede": 2}))
    ['seed', 'sede']
    """
    problems = {}
    for name, value in parameters.items():
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            problems[name] = (
                f"{notebook.name} has no parameter {name!r}; it has {sorted(defaults)}.{hint}"
            )
            continue
        expected, given = type(defaults[name]), type(value)
        if given is not expected and not (expected is float and given is int):
            problems[name] = (
                f"Parameter {name}={value!r} of {notebook.name} is {given.__name__}, expected "
                f"{expected.__name__} as in its default {defaults[name]!r}."
            )
    return problems


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotebookTask:
    """A notebook to execute.

    Parameters
    ----------
    notebook : Path
        The notebook; it is not changed.
    executed : Path
        Where the notebook with its parameters and outputs is written.
    parameters : dict of str to object
        Its parameters (`check_parameters`).
    log : Path
        File for what is printed.
    time_limit_s : float
        Time after which it is ended; 0 for no limit.

    Examples
    --------
    >>> task = NotebookTask(
    ...     notebook=Path("train.ipynb"),
    ...     executed=Path("out.ipynb"),
    ...     parameters={"seed": 1},
    ...     log=Path("out.log"),
    ... )
    >>> task.time_limit_s
    0.0
    """

    notebook: Path
    executed: Path
    parameters: dict[str, Any]
    log: Path
    time_limit_s: float = 0.0


def execute_notebook(task: NotebookTask, workers: WorkerPool) -> ProcessResult:
    """Execute a notebook with papermill; start its kernel again if it did not come up.

    Parameters
    ----------
    task : NotebookTask
        The notebook.
    workers : WorkerPool
        The workers, one of which executes it.

    Returns
    -------
    ProcessResult
        Exit status and output of the last start.

    Raises
    ------
    OSError
        If the log cannot be written.

    Examples
    --------
    In a batch that has been ended:

    >>> import tempfile
    >>> from ecglib.batch.processes import ProcessGroup
    >>> with tempfile.TemporaryDirectory() as folder, ProcessGroup() as processes:
    ...     task = NotebookTask(
    ...         notebook=Path(folder, "none.ipynb"),
    ...         executed=Path(folder, "out.ipynb"),
    ...         parameters={},
    ...         log=Path(folder, "out.log"),
    ...     )
    ...     processes.end()
    ...     result = execute_notebook(task, WorkerPool(processes))
    >>> result.exit_status, result.ended_by_us
    (1, 'interrupted')
    """
    request = {
        "notebook": str(task.notebook),
        "executed": str(task.executed),
        "parameters": task.parameters,
    }
    for _ in range(MAX_STARTS):
        result = workers.execute(request, task.log, task.time_limit_s)
        if result.exit_status == 0 or KERNEL_NOT_STARTED not in result.output:
            break
    return result
