"""A lock on a folder of entries: processes that track one run at once make one entry."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

LOCK = ".ecglib.lock"
TIMEOUT_S = 60


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Let one process at a time write to a folder.

    Parameters
    ----------
    folder : Path
        The folder; it is created if necessary.

    Raises
    ------
    OSError
        If the folder cannot be written.
    filelock.Timeout
        If another process has it for more than a minute.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, lock_folder(Path(folder) / "logs"):
    ...     [path.name for path in Path(folder).iterdir()]
    ['logs']
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK, timeout=TIMEOUT_S):
        yield
