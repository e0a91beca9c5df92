"""Start the kernel of a notebook by `multiprocessing`, in place of Jupyter's launcher.

A kernel that is forked has the modules that its parent has imported.
"""

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager

SHUTDOWN_S = 5.0


class ProcessKernelManager(AsyncKernelManager):
    """Connects notebook clients to a kernel that is already running.

    Examples
    --------
    >>> ProcessKernelManager().has_kernel
    False
    """

    process: BaseProcess | None = None

    @property
    def has_kernel(self) -> bool:
        """Whether the kernel was started."""
        return self.process is not None

    async def _async_is_alive(self) -> bool:
        # What `is_alive` and the clients of a manager ask.
        return self.process is not None and self.process.is_alive()


@contextlib.contextmanager
def start_kernel(start_method: str) -> Iterator[ProcessKernelManager]:
    """Start a kernel; it is shut down at the end of the context.

    Parameters
    ----------
    start_method : {"fork", "spawn"}
        How its process is started (`multiprocessing`).

    Yields
    ------
    ProcessKernelManager
        For a notebook client: ``papermill.execute_notebook(..., km=kernel)``.

    Examples
    --------
    ::

        with start_kernel("spawn") as kernel:
            papermill.execute_notebook("train.ipynb", "executed.ipynb", km=kernel)
    """
    with tempfile.TemporaryDirectory(prefix="ecglib-kernel-") as folder:
        file = str(Path(folder, "kernel.json"))
        # Sockets in a folder of their own: no port that another process may take.
        transport = "ipc" if os.name == "posix" else "tcp"
        manager = ProcessKernelManager(transport=transport, connection_file=file)
        manager.write_connection_file()
        context = multiprocessing.get_context(start_method)
        process = context.Process(target=_run_kernel, args=(file,))  # type: ignore[attr-defined]
        process.start()
        manager.process = process
        try:
            yield manager
        finally:
            _shut_down(manager, process)


def _run_kernel(connection_file: str) -> None:
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance(connection_file=connection_file, parent_handle=os.getppid())
    app.initialize([])
    app.start()


def _shut_down(manager: ProcessKernelManager, process: BaseProcess) -> None:
    if process.is_alive():
        client = manager.blocking_client()
        client.start_channels(shell=False, iopub=False, stdin=False, hb=False)
        client.shutdown()
        process.join(SHUTDOWN_S)
        client.stop_channels()
    process.kill()
    process.join()
