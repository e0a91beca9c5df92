"""The process that executes one notebook for a batch: ``python -m ecglib.batch.notebook_process``.

It reads what to execute from its standard input, as YAML up to `END`. The batch keeps the other
end open; when that closes, because the batch has ended or asks for an end, the kernel and then this
process are killed. So nothing of a batch goes on after it, however it ended.
"""

import logging
import os
import sys
import threading
from typing import Any, TextIO

import psutil
import yaml

END = "---"
STOPPED = 130  # exit status when the batch has ended


def main() -> None:
    """Execute the notebook that standard input names.

    Raises
    ------
    papermill.PapermillExecutionError
        If a cell fails; the executed notebook has its traceback.
    """
    request = read_request(sys.stdin)
    threading.Thread(target=_end_with_batch, args=(sys.stdin,), daemon=True).start()
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill.execute_notebook(
        request["notebook"],
        request["executed"],
        request["parameters"],
        kernel_name="python3",
        progress_bar=False,
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
        notebook, executed (where it is written) and parameters.

    Examples
    --------
    >>> import io
    >>> text = "notebook: train.ipynb\\nexecuted: out.ipynb\\nparameters: {seed: 1}\\n---\\n"
    >>> read_request(io.StringIO(text))["parameters"]
    {'seed': 1}
    """
    lines = []
    while (line := stream.readline()) and line.rstrip("\n") != END:
        lines.append(line)
    return yaml.safe_load("".join(lines))


def _end_with_batch(stream: TextIO) -> None:
    """Wait until the batch closes its end, then kill the kernel and this process."""
    while stream.read(1):
        pass
    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
