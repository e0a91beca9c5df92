"""Locks on files: which process carries out a run, on this machine or on another.

A lock is a file that names its owner and is touched every `HEARTBEAT_S` seconds. It is taken over
if its owner no longer lives on this machine, or if it was not touched for `STALE_AFTER_S` seconds.
Times are those of the file system, so that the clocks of two machines may differ.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0  # longer than network file systems keep what they know of a file
SAME_START_S = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that has a lock.

    Parameters
    ----------
    machine : str
        Name of the machine, and of the container if there is one.
    process : int
        Number of the process.
    started_s : float
        When it started, as numbers are used again.
    token : str
        Distinguishes the locks of one process.

    Examples
    --------
    >>> Owner.describe_this_process().is_alive()
    True
    """

    machine: str
    process: int
    started_s: float
    token: str

    @classmethod
    def describe_this_process(cls) -> "Owner":
        """Describe this process, with a new token."""
        return cls(
            machine=_describe_machine(),
            process=os.getpid(),
            started_s=psutil.Process().create_time(),
            token=secrets.token_hex(8),
        )

    @property
    def is_here(self) -> bool:
        """Whether the owner is a process of this machine."""
        return self.machine == _describe_machine()

    def is_alive(self) -> bool:
        """Return whether the process, of this machine, still lives."""
        try:
            started_s = psutil.Process(self.process).create_time()
        except psutil.Error:
            return False
        return abs(started_s - self.started_s) < SAME_START_S


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Take a lock if nobody has it, and give it back at the end of the block.

    Parameters
    ----------
    path : Path
        File of the lock; its folder is created if necessary.

    Yields
    ------
    bool
        Whether this block has the lock; False if another process, or another thread of this one,
        has it.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.lock")
    ...     with hold_lock(path) as first, hold_lock(path) as second:
    ...         taken = first, second
    ...     taken, path.exists()
    ((True, False), False)
    """
    owner = Owner.describe_this_process()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _acquire(path, owner):
        yield False
        return
    finished = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, owner, finished), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        finished.set()
        heart.join()
        if read_owner(path) == owner:
            path.unlink(missing_ok=True)


def read_owner(path: Path) -> Owner | None:
    """Read who has a lock; None if nobody has, or the file cannot be read.

    Examples
    --------
    >>> read_owner(Path("none.lock")) is None
    True
    """
    try:
        owner = Owner(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    is_whole = isinstance(owner.process, int) and isinstance(owner.started_s, int | float)
    return owner if is_whole else None


def is_held(path: Path) -> bool:
    """Return whether a process that lives has a lock.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.lock")
    ...     with hold_lock(path):
    ...         is_held(path)
    ...     is_held(path)
    True
    False
    """
    return path.exists() and not _is_stale(path)


def _acquire(path: Path, owner: Owner) -> bool:
    if _create(path, owner):
        return True
    return _is_stale(path) and _remove_stale(path, owner) and _create(path, owner)


def _create(path: Path, owner: Owner) -> bool:
    try:
        with path.open("x") as file:  # fails if the file exists, on network file systems too
            json.dump(dataclasses.asdict(owner), file)
    except FileExistsError:
        return False
    return True


def _is_stale(path: Path) -> bool:
    owner = read_owner(path)
    if owner is not None and owner.is_here:
        return not owner.is_alive()
    clock = path.with_name(f".{secrets.token_hex(4)}.clock")
    try:
        clock.touch()
        return clock.stat().st_mtime - path.stat().st_mtime > STALE_AFTER_S
    except FileNotFoundError:  # given back at this moment
        return False
    finally:
        clock.unlink(missing_ok=True)


def _remove_stale(path: Path, owner: Owner) -> bool:
    """Remove a stale lock; renaming it first, only one of several processes can do so."""
    found, aside = read_owner(path), path.with_name(f".{owner.token}.stale")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    is_ours = read_owner(aside) == found
    if is_ours:
        aside.unlink()
    else:  # another process has just taken the lock over
        aside.rename(path)
    return is_ours


def _beat(path: Path, owner: Owner, finished: threading.Event) -> None:
    while not finished.wait(HEARTBEAT_S):
        if read_owner(path) != owner:  # taken over: this machine had slept for long
            return
        with contextlib.suppress(OSError):
            os.utime(path)


def _describe_machine() -> str:
    """Describe where process numbers are unique: a machine, or a container in it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()
