"""The process that executes notebooks for a batch (`main`).

It reads a request from its standard input (YAML, up to `END`), executes the notebook, prints the
exit status, and reads the next request. Each notebook runs in two new processes: papermill and the
kernel. On Linux both are forked from this process, which has imported TensorFlow and Keras but has
not run an operation; on other systems they are spawned and import everything themselves.

This process and all its children end when the batch ends or is killed.
"""

import gc
import importlib
import logging
import multiprocessing
import os
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import psutil
import yaml

END = "---"
POLL_S = 0.5
# A copy of a process whose threads hold locks may hang. Importing TensorFlow starts no thread; on
# macOS system libraries start theirs.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
IMPORTED_AHEAD = ("papermill", "ipykernel.kernelapp", "ecglib.plots", "ecglib.training")


def main() -> None:
    """Execute the notebooks that standard input names, until it ends."""
    parent = psutil.Process().parent()
    context = multiprocessing.get_context(START_METHOD)
    if START_METHOD == "fork":
        import_ahead()
    while request := read_request(sys.stdin):
        process = context.Process(target=execute, args=(request,))  # type: ignore[attr-defined]
        process.start()
        while process.exitcode is None:
            process.join(POLL_S)
            if psutil.Process().parent() != parent:
                end_process()
        print(process.exitcode, flush=True)


def import_ahead() -> None:
    """Import what a training and its notebook need, and hash the imported code.

    The hash is cached (`ecglib.experiment.environment.hash_code`), so that a run records the code
    that it used even if the files change later. The garbage collector skips what was imported,
    hundreds of thousands of objects: going through them takes time, and copies their memory in
    each process that is forked.
    """
    gc.disable()
    for name in IMPORTED_AHEAD:
        importlib.import_module(name)
    from ecglib.experiment.environment import hash_code

    hash_code()
    gc.freeze()
    gc.enable()


def execute(request: dict[str, Any]) -> None:
    """Execute a notebook; what is printed goes to its log.

    Parameters
    ----------
    request : dict of str to object
        notebook, executed (where it is written), parameters and log.

    Raises
    ------
    papermill.PapermillExecutionError
        If a cell fails; the executed notebook has its traceback.
    """
    with Path(request["log"]).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from ecglib.batch.kernel import start_kernel

    with start_kernel(START_METHOD) as kernel:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        import papermill

        logging.getLogger("papermill").setLevel(logging.ERROR)
        papermill.execute_notebook(
            request["notebook"],
            request["executed"],
            request["parameters"],
            kernel_name="python3",
            progress_bar=False,
            km=kernel,
        )


def read_request(stream: TextIO) -> dict[str, Any]:
    """Read what to execute.

    Parameters
    ----------
    stream : text stream
        Lines of YAML, then the line `END`.

    Returns
    -------
    dict of str to object
        The values; empty at the end of the stream.

    Examples
    --------
    >>> import io
    >>> text = "notebook: train.ipynb\\nexecuted: out.ipynb\\nparameters: {seed: 1}\\n---\\n"
    >>> read_request(io.StringIO(text))["parameters"]
    {'seed': 1}
    """
    lines: list[str] = []
    while line := stream.readline():
        if line.rstrip("\n") == END:
            return yaml.safe_load("".join(lines))
        lines.append(line)
    return {}


def end_process() -> None:
    """End this process and all that it started, at once."""
    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end_process()
