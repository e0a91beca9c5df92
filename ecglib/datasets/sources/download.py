"""Download a PhysioNet database through wfdb, each file checked against its published SHA-256.

The folder holds the files under their published names, the published ``SHA256SUMS.txt``, and
``downloaded.json`` with database, version and whether the folder is complete. A file gets its name
when its checksum is right; until then it is ``.NAME.partial``, and the next call resumes it.

A folder that was filled by other means (with its ``SHA256SUMS.txt``) is checked, not downloaded.
"""

import contextlib
import hashlib
import json
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar
from urllib.parse import quote

from tqdm.auto import tqdm

from ecglib import paths
from ecglib.errors import DatasetError

SUMS = "SHA256SUMS.txt"
MARKER = "downloaded.json"
LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(\S.*)")

N_THREADS = 4  # wfdb uses two connections per server; meanwhile the others hash and write
PIECE = 2**20  # bytes per request; what a broken connection can lose
MAX_TRANSFERS = 3  # before a failing connection is an error
MAX_DOWNLOADS = 2  # before a wrong checksum is an error
PAUSE_S = 1.0
MAX_SILENCE_S = 120.0  # wfdb itself waits for ever
POLL_S = 0.5
MAX_EXIT_S = 2.0

T = TypeVar("T")


def accept_all(name: str) -> bool:
    """Accept every file.

    Parameters
    ----------
    name : str
        Name of the file.

    Returns
    -------
    bool
        True.

    Examples
    --------
    >>> accept_all("100.dat")
    True
    """
    return True


def download(
    database: str,
    version: str,
    folder: str | Path,
    wanted: Callable[[str], bool] = accept_all,
    progress: bool = True,
) -> Path:
    """Download a database, or the files of it that are missing.

    The server is the one set by ``wfdb.set_db_index_url``, by default PhysioNet. If all files are
    present, nothing is requested. Files that are new or changed are checked: those with the right
    checksum stay, the others are downloaded.

    Parameters
    ----------
    database : str
        Name of the project at PhysioNet, such as ``"mitdb"`` or ``"ptb-xl"``.
    version : str
        Its version, such as ``"1.0.0"``.
    folder : str or Path
        Folder of the files, which have the names in ``SHA256SUMS.txt`` below it.
    wanted : callable, default accept_all
        Tells for each of these names whether to download the file.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    Path
        `folder`, complete.

    Raises
    ------
    DatasetError
        If there is no network, no such database or no access to it; if a file is missing on the
        server or repeatedly has another checksum; if the list of checksums is not valid or names a
        file outside the folder; if the disk is full; or if the folder belongs to another database
        or another process is using it. Downloaded files stay, and the next call resumes.

    Examples
    --------
    From the network::

        download("mitdb", "1.0.0", "data/raw/mitdb")

    A folder that holds another database is refused:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     marker = '{"database": "nstdb", "version": "1.0.0"}'
    ...     _ = Path(folder, "downloaded.json").write_text(marker)
    ...     download("mitdb", "1.0.0", folder)
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: ... holds nstdb 1.0.0, not mitdb 1.0.0...
    """
    folder = Path(folder)
    _check_marker(folder, database, version)
    if _is_unchanged(folder, wanted):
        return folder
    try:
        with _lock_folder(folder):
            remote = _Remote(database, version, folder)
            chosen = _choose_files(remote.load_sums(), wanted)
            _write_marker(folder, database, version, complete=False)
            with (
                tqdm(
                    total=len(chosen), desc=remote.label, unit="file", disable=not progress
                ) as bar,
                contextlib.closing(
                    remote.run_in_threads(remote.provide_file, list(chosen.items()))
                ) as finished,
            ):
                for _ in finished:
                    bar.set_postfix_str(f"{remote.n_bytes / 1e6:.1f} MB", refresh=False)
                    bar.update()
            summary, _ = _summarize_files(folder, chosen)
            _write_marker(folder, database, version, complete=True, **summary)
    except OSError as error:  # errors of the network are DatasetErrors already
        raise DatasetError(
            f"{database} {version} could not be written to {folder}: {error}. Free some space or "
            f"give a writable folder, then call again: downloaded files are kept."
        ) from error
    return folder


def is_complete(folder: str | Path) -> bool:
    """Tell whether the last download into a folder finished.

    Parameters
    ----------
    folder : str or Path
        Folder of a download.

    Returns
    -------
    bool
        Whether it finished.

    Examples
    --------
    >>> is_complete("no/such/folder")
    False
    """
    return _read_marker(Path(folder)).get("complete") is True


def parse_sums(text: str) -> dict[str, str]:
    """Parse a list made by ``sha256sum``.

    Parameters
    ----------
    text : str
        Content of the list.

    Returns
    -------
    dict of str to str
        Checksum of each file.

    Raises
    ------
    DatasetError
        If the text is not such a list or is cut off, or a name would leave the folder.

    Examples
    --------
    >>> parse_sums("0" * 64 + " RECORDS\\n") == {"RECORDS": "0" * 64}
    True
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not (line := line.rstrip("\r")):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise DatasetError(
                f"Line {number} of {SUMS} is {line[:80]!r}, expected a SHA-256 sum, a blank and a "
                f"file name. A proxy or a login page may have answered instead of the server: open "
                f"the address in a browser, remove a local {SUMS} and call again."
            )
        sum_, name = match[1].lower(), _check_name(match[2])
        if sums.setdefault(name, sum_) != sum_:
            raise DatasetError(
                f"{SUMS} lists {name!r} twice, with two checksums. Report it to its host."
            )
    if not sums or not text.endswith("\n"):
        raise DatasetError(
            f"{SUMS} is cut off after {len(sums)} files. Remove the local one and call again."
        )
    return sums


class _Remote:
    """One version of a database on the server, and the folder it goes to.

    `stopped`, `last_activity_s` and `n_bytes` are shared by the threads.
    """

    def __init__(self, database: str, version: str, folder: Path):
        from wfdb.io.download import config

        self.label = f"{database} {version}"
        self.folder = folder
        self.url = f"{config.db_index_url.rstrip('/')}/{database}/{version}"
        self.stopped = threading.Event()
        self.last_activity_s = time.monotonic()
        self.n_bytes = 0

    def load_sums(self) -> dict[str, str]:
        """Load the published checksums: from the folder, else from the server."""
        if not (self.folder / SUMS).is_file():
            list(self.run_in_threads(self._fetch_sums, [SUMS]))
        return _read_local_sums(self.folder)

    def run_in_threads(
        self, work: Callable[[T], None], items: list[T]
    ) -> Generator[None, None, None]:
        """Do `work` on each item in threads, and yield once for each that is finished.

        The threads are daemons, and they write nothing once `stopped` is set: neither an error nor
        Ctrl-C waits for a silent server.
        """
        todo: queue.SimpleQueue = queue.SimpleQueue()
        finished: queue.SimpleQueue = queue.SimpleQueue()
        for item in items:
            todo.put(item)
        self.stopped.clear()
        self.last_activity_s = time.monotonic()
        threads = [
            threading.Thread(
                target=self._run_thread,
                args=(work, todo, finished),
                name=f"download {self.label}",
                daemon=True,
            )
            for _ in range(min(N_THREADS, len(items)))
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in items:
                if (error := self._wait_for_result(finished)) is not None:
                    raise error
                yield
        finally:
            self.stopped.set()
            deadline_s = time.monotonic() + MAX_EXIT_S
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, deadline_s - time.monotonic()))

    def provide_file(self, item: tuple[str, str]) -> None:
        """Put one file in its place with the right checksum: as present, or downloaded."""
        name, expected = item
        path = self.folder / name
        if path.is_file() and self._compute_sha256(path) == expected:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _find_partial(path)
        found = ""
        for _ in range(MAX_DOWNLOADS + partial.is_file()):  # one more for resuming an old file
            self._fetch(name, partial)
            found = self._compute_sha256(partial)
            if found == expected:
                os.replace(partial, path)
                return
            partial.unlink()
        raise DatasetError(
            f"{self.url}/{name} came {MAX_DOWNLOADS} times with the SHA-256 sum {found}, expected "
            f"{expected} by {self.folder / SUMS}. If that list is of another version, remove it "
            f"and call again; otherwise the file is damaged on the way or on the server: "
            f"{self._suggest_other_means()}"
        )

    def _fetch_sums(self, name: str) -> None:
        """Fetch the list of checksums; it gets its name only if it can be parsed."""
        partial = _find_partial(self.folder / name)
        partial.unlink(missing_ok=True)  # nothing would reveal a wrong continuation
        self._fetch(name, partial)
        try:
            parse_sums(partial.read_text("utf-8", errors="replace"))
        except DatasetError:
            partial.unlink()
            raise
        os.replace(partial, self.folder / name)

    def _fetch(self, name: str, partial: Path) -> None:
        """Append to a partial file what is missing, and try again if the connection fails."""
        for transfer in range(1, MAX_TRANSFERS + 1):
            try:
                with partial.open("ab") as file:
                    for piece in self._read_pieces(name, file.tell()):
                        file.write(piece)
                return
            except _TransferError as error:
                if transfer == MAX_TRANSFERS:
                    raise self._make_connection_error(name, error.reason) from error.reason
                self.stopped.wait(PAUSE_S * transfer)

    def _read_pieces(self, name: str, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file on the server from `start`, one request per piece."""
        from wfdb.io._url import openurl

        try:
            with openurl(f"{self.url}/{quote(name)}", "rb") as file:
                file.seek(start)
                while piece := file.read(PIECE):
                    self._report_activity(len(piece))
                    yield piece
                # The list itself has no checksum.
                if name == SUMS and file.tell() != file.seek(0, os.SEEK_END):
                    raise EOFError
        except FileNotFoundError as error:
            raise self._make_missing_error(name) from error
        except PermissionError as error:
            raise DatasetError(
                f"The server denies access to {self.url}/{name} without an account or a signed "
                f"agreement ({error}): {self._suggest_other_means()}"
            ) from error
        except (OSError, EOFError) as error:
            raise _TransferError(error) from error

    def _run_thread(
        self, work: Callable[[T], None], todo: queue.SimpleQueue, finished: queue.SimpleQueue
    ) -> None:
        """Do `work` on one item after the other, until none is left or the thread is stopped."""
        with contextlib.suppress(queue.Empty, _StoppedError):
            while not self.stopped.is_set():
                item = todo.get_nowait()
                try:
                    work(item)
                except _StoppedError:
                    raise
                except Exception as error:
                    finished.put(error)
                else:
                    finished.put(None)

    def _wait_for_result(self, finished: queue.SimpleQueue) -> Exception | None:
        """Wait for the next result, as long as the threads are active."""
        while True:
            with contextlib.suppress(queue.Empty):
                return finished.get(timeout=POLL_S)
            if time.monotonic() - self.last_activity_s > MAX_SILENCE_S:
                from wfdb.io._url import _get_session

                _get_session().close()  # the next call must not queue behind dead connections
                raise DatasetError(
                    f"Nothing has come from {self.url} for {MAX_SILENCE_S:g} s. Call again to "
                    f"resume; if it stays silent: {self._suggest_other_means()}"
                )

    def _compute_sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                self._report_activity()
        return digest.hexdigest()

    def _report_activity(self, n_bytes: int = 0) -> None:
        """Record that this thread is active, or end it if it was stopped."""
        if self.stopped.is_set():
            raise _StoppedError
        self.last_activity_s = time.monotonic()
        self.n_bytes += n_bytes  # for the bar only: two threads may lose a count

    def _make_missing_error(self, name: str) -> DatasetError:
        if name == SUMS:
            return DatasetError(
                f"There is no {self.url}/{name}. Check name and version of the database: "
                f"{self.label!r} was requested."
            )
        return DatasetError(
            f"{name} is listed in {self.folder / SUMS}, but there is no {self.url}/{name}. If that "
            f"list is of another version, remove it and call again; otherwise: "
            f"{self._suggest_other_means()}"
        )

    def _make_connection_error(self, name: str, error: Exception) -> DatasetError:
        from wfdb.io._url import NetFileError

        problem = "The server failed" if isinstance(error, NetFileError) else "No network"
        reason = str(error) or "the transfer was cut off"
        return DatasetError(
            f"{problem}: {self.url}/{name} could not be downloaded in {MAX_TRANSFERS} attempts "
            f"({reason}). Call again later: downloaded files are kept. Or: "
            f"{self._suggest_other_means()}"
        )

    def _suggest_other_means(self) -> str:
        return (
            f"get the files of {self.label} by other means and put them with their {SUMS} into "
            f"{self.folder}."
        )


class _TransferError(Exception):
    """A transfer failed in a way that another attempt may fix."""

    def __init__(self, reason: Exception):
        super().__init__(str(reason))
        self.reason = reason


class _StoppedError(Exception):
    """This thread was stopped."""


def _check_name(name: str) -> str:
    """Refuse a listed name that leaves the folder or that this module uses itself."""
    path = PurePosixPath(name)
    escapes = any(p.anchor or ".." in p.parts for p in (path, PureWindowsPath(name)))
    if escapes or not path.parts or not name.isprintable() or str(path) in (SUMS, MARKER):
        raise DatasetError(
            f"{SUMS} lists {name!r}, expected names of files below the folder. Nothing is "
            f"downloaded by such a list: check where it comes from."
        )
    return str(path)


def _choose_files(sums: dict[str, str], wanted: Callable[[str], bool]) -> dict[str, str]:
    chosen = {name: sum_ for name, sum_ in sums.items() if wanted(name)}
    if not chosen:
        raise DatasetError(
            f"None of the {len(sums)} files in {SUMS} is wanted, such as {list(sums)[:3]}. Check "
            f"the function that chooses them, and the version of the database."
        )
    return chosen


def _read_local_sums(folder: Path) -> dict[str, str]:
    return parse_sums((folder / SUMS).read_text("utf-8", errors="replace"))


def _find_partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _read_marker(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        if isinstance(marker := json.loads((folder / MARKER).read_text()), dict):
            return marker
    return {}


def _write_marker(folder: Path, database: str, version: str, **values: object) -> None:
    paths.write_json(folder / MARKER, {"database": database, "version": version, **values})


def _summarize_files(folder: Path, chosen: dict[str, str]) -> tuple[dict[str, Any], int]:
    """Number, bytes and checksums of files, and when the last of them was changed (in ns)."""
    stats = [os.stat(f"{folder}/{name}") for name in chosen]
    summary = {
        "n_files": len(chosen),
        "n_bytes": sum(stat.st_size for stat in stats),
        "files": hashlib.sha256(json.dumps(sorted(chosen.items())).encode()).hexdigest(),
    }
    return summary, max(stat.st_mtime_ns for stat in stats)


def _is_unchanged(folder: Path, wanted: Callable[[str], bool]) -> bool:
    """Whether these files were all downloaded, and none is missing or changed since."""
    marker = _read_marker(folder)
    if marker.get("complete") is not True or not (folder / SUMS).is_file():
        return False
    chosen = _choose_files(_read_local_sums(folder), wanted)
    try:
        summary, changed_ns = _summarize_files(folder, chosen)
        written_ns = (folder / MARKER).stat().st_mtime_ns
        return summary.items() <= marker.items() and changed_ns <= written_ns
    except OSError:
        return False


def _check_marker(folder: Path, database: str, version: str) -> None:
    """Refuse a folder that holds another database or version."""
    marker = _read_marker(folder)
    found = marker.get("database", database), marker.get("version", version)
    if found != (database, version):
        raise DatasetError(
            f"{folder} holds {' '.join(map(str, found))}, not {database} {version}. Give another "
            f"folder, or remove this one."
        )


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keep other downloads out of the folder, where the system has such locks."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(
                f"Another process is downloading to {folder}. Wait until it finishes, or end it, "
                f"and call again."
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)
