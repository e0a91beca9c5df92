"""Download a PhysioNet database through wfdb, each file checked against its published SHA-256.

The folder holds the files under their published names, the published ``SHA256SUMS.txt``, and
``downloaded.json``, which says database, version and whether the folder is whole. A file gets its
name when its sum is right; until then it is ``.NAME.partial`` and the next call goes on with it.

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
from urllib.parse import quote

from tqdm.auto import tqdm

from ecglib import paths
from ecglib.errors import DatasetError

SUMS = "SHA256SUMS.txt"
MARKER = "downloaded.json"
LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(\S.*)")

THREADS = 4  # wfdb keeps to two connections a server; meanwhile the others hash and write
PIECE = 2**20  # bytes a request; what a connection that breaks can lose
TRANSFERS = 3  # before a connection that fails is an error
CHANCES = 2  # before a wrong sum is an error
PAUSE_S = 1.0
STALLED_S = 120.0  # wfdb itself waits for ever
POLL_S = 0.5
LEAVE_S = 2.0


def everything(name: str) -> bool:
    """Want each file."""
    return True


def download(
    database: str,
    version: str,
    folder: str | Path,
    wanted: Callable[[str], bool] = everything,
    progress: bool = True,
) -> Path:
    """Download a database, or what is still missing of it.

    The server is the one set by ``wfdb.set_db_index_url``, PhysioNet unless told otherwise. Where
    everything is there already, there is no request. Files that were changed, added to the wish
    or not yet there are looked at: those with the right sum stay, the others are fetched.

    Parameters
    ----------
    database
        name of the project at PhysioNet: ``"mitdb"``, ``"ptb-xl"``.
    version
        its version: ``"1.0.0"``.
    folder
        where the files go, below it as they are named in ``SHA256SUMS.txt``.
    wanted
        which of these names to take.
    progress
        show a progress bar.

    Returns
    -------
    Path
        `folder`, whole.

    Raises
    ------
    DatasetError
        there is no network, no such database or no access to it; a file is missing there or keeps
        coming with another sum; the list of sums is not one, or names a file outside the folder;
        the disk is full; the folder belongs to another database or another process is at it. What
        has arrived stays, and the next call goes on from there.
    """
    folder = Path(folder)
    _refuse_another(folder, database, version)
    if _is_still_whole(folder, wanted):
        return folder
    try:
        with _alone_in(folder):
            remote = _Remote(database, version, folder)
            chosen = _choose(remote.sums(), wanted)
            _mark(folder, database, version, whole=False)
            with (
                tqdm(
                    total=len(chosen), desc=remote.label, unit="file", disable=not progress
                ) as bar,
                contextlib.closing(remote.each(remote.bring, list(chosen.items()))) as done,
            ):
                for _ in done:
                    bar.set_postfix_str(f"{remote.n_bytes / 1e6:.1f} MB fetched", refresh=False)
                    bar.update()
            _mark(folder, database, version, whole=True, **_summary(folder, chosen)[0])
    except OSError as error:  # what the network does is a DatasetError already
        raise DatasetError(
            f"{database} {version} could not be written to {folder}: {error}. Make room or give a "
            f"folder that can be written, then call again: what has arrived is kept."
        ) from error
    return folder


def is_whole(folder: str | Path) -> bool:
    """Whether the last download into this folder came to its end."""
    return _marker(Path(folder)).get("whole") is True


def read_sums(text: str) -> dict[str, str]:
    """The names in a list made by ``sha256sum``, each with its sum.

    Raises
    ------
    DatasetError
        the text is no such list, it is cut off, or a name would leave the folder.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not (line := line.rstrip("\r")):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise DatasetError(
                f"Line {number} of {SUMS} is {line[:80]!r}, expected a SHA-256 sum, a blank and a "
                f"file name. A proxy or a login page may have answered in the server's place: "
                f"open the address in a browser, remove a local {SUMS} and call again."
            )
        sum_, name = match[1].lower(), _inside(match[2])
        if sums.setdefault(name, sum_) != sum_:
            raise DatasetError(
                f"{SUMS} lists {name!r} twice, with two sums. Report it to its host."
            )
    if not sums or not text.endswith("\n"):
        raise DatasetError(
            f"{SUMS} is cut off after {len(sums)} files. Remove the local one and call again."
        )
    return sums


class _Remote:
    """One version of a database on the server, and the folder it goes to.

    `stopped`, `last_sign_s` and `n_bytes` are what the threads tell each other.
    """

    def __init__(self, database: str, version: str, folder: Path):
        from wfdb.io.download import config

        self.label = f"{database} {version}"
        self.folder = folder
        self.url = f"{config.db_index_url.rstrip('/')}/{database}/{version}"
        self.stopped = threading.Event()
        self.last_sign_s = time.monotonic()
        self.n_bytes = 0

    def sums(self) -> dict[str, str]:
        """The published sums: from the folder, else from the server."""
        if not (self.folder / SUMS).is_file():
            list(self.each(self._fetch_sums, [SUMS]))
        return _local_sums(self.folder)

    def each(self, work: Callable, items: list) -> Generator[None, None, None]:
        """Do `work` on each item in threads, and yield as often as one is done.

        The threads are daemons, and they write nothing once `stopped` is set: neither an error nor
        Ctrl-C waits for a server that is silent.
        """
        todo: queue.SimpleQueue = queue.SimpleQueue()
        done: queue.SimpleQueue = queue.SimpleQueue()
        for item in items:
            todo.put(item)
        self.stopped.clear()
        self.last_sign_s = time.monotonic()
        threads = [
            threading.Thread(
                target=self._work,
                args=(work, todo, done),
                name=f"download {self.label}",
                daemon=True,
            )
            for _ in range(min(THREADS, len(items)))
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in items:
                if (error := self._wait(done)) is not None:
                    raise error
                yield
        finally:
            self.stopped.set()
            leave_at_s = time.monotonic() + LEAVE_S
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, leave_at_s - time.monotonic()))

    def bring(self, item: tuple[str, str]) -> None:
        """Have one file in its place with the right sum: as found there, or fetched."""
        name, expected = item
        path = self.folder / name
        if path.is_file() and self._sha256(path) == expected:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path)
        found = ""
        for _ in range(CHANCES + partial.is_file()):  # what was left behind is worth a try
            self._fetch(name, partial)
            found = self._sha256(partial)
            if found == expected:
                os.replace(partial, path)
                return
            partial.unlink()
        raise DatasetError(
            f"{self.url}/{name} came {CHANCES} times with the SHA-256 sum {found}, expected "
            f"{expected} by {self.folder / SUMS}. Remove that list if it is of another version, "
            f"and call again; otherwise the file is damaged on the way or on the server: "
            f"{self._by_other_means()}"
        )

    def _fetch_sums(self, name: str) -> None:
        """Fetch the list of sums; it gets its name only if it reads as one."""
        partial = _partial(self.folder / name)
        partial.unlink(missing_ok=True)  # nothing would tell if it went on wrongly
        self._fetch(name, partial)
        try:
            read_sums(partial.read_text("utf-8", errors="replace"))
        except DatasetError:
            partial.unlink()
            raise
        os.replace(partial, self.folder / name)

    def _fetch(self, name: str, partial: Path) -> None:
        """Append to a partial file what it lacks, with another try where the connection fails."""
        for transfer in range(1, TRANSFERS + 1):
            try:
                with partial.open("ab") as file:
                    for piece in self._pieces(name, file.tell()):
                        file.write(piece)
                return
            except _BrokenError as error:
                if transfer == TRANSFERS:
                    raise self._no_connection(name, error.__cause__) from error.__cause__
                self.stopped.wait(PAUSE_S * transfer)

    def _pieces(self, name: str, start: int) -> Iterator[bytes]:
        """The bytes of a file on the server from `start`, a request for each piece."""
        from wfdb.io._url import openurl

        try:
            with openurl(f"{self.url}/{quote(name)}", "rb") as file:
                file.seek(start)
                while piece := file.read(PIECE):
                    self._sign(len(piece))
                    yield piece
                # Nothing else vouches for the list itself.
                if name == SUMS and file.tell() != file.seek(0, os.SEEK_END):
                    raise EOFError
        except FileNotFoundError as error:
            raise self._not_there(name) from error
        except PermissionError as error:
            raise DatasetError(
                f"The server gives {self.url}/{name} to nobody without an account or a signed "
                f"agreement ({error}). {self._by_other_means()}"
            ) from error
        except (OSError, EOFError) as error:
            raise _BrokenError from error

    def _work(self, work: Callable, todo: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
        """What a thread does: a file after the other, until none is left or it is told to stop."""
        with contextlib.suppress(queue.Empty, _StoppedError):
            while not self.stopped.is_set():
                item = todo.get_nowait()
                try:
                    work(item)
                except _StoppedError:
                    raise
                except Exception as error:
                    done.put(error)
                else:
                    done.put(None)

    def _wait(self, done: queue.SimpleQueue) -> Exception | None:
        """The next result, as long as there are signs of life."""
        while True:
            with contextlib.suppress(queue.Empty):
                return done.get(timeout=POLL_S)
            if time.monotonic() - self.last_sign_s > STALLED_S:
                from wfdb.io._url import _get_session

                _get_session().close()  # the next call shall not queue behind dead connections
                raise DatasetError(
                    f"Nothing has come from {self.url} for {STALLED_S:g} s. Call again to go on; "
                    f"if it stays silent: {self._by_other_means()}"
                )

    def _sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                self._sign()
        return digest.hexdigest()

    def _sign(self, n_bytes: int = 0) -> None:
        """Give a sign of life; in a thread that is to stop, stop."""
        if self.stopped.is_set():
            raise _StoppedError
        self.last_sign_s = time.monotonic()
        self.n_bytes += n_bytes  # for the bar only: two threads may lose a count

    def _not_there(self, name: str) -> DatasetError:
        if name == SUMS:
            return DatasetError(
                f"There is no {self.url}/{name}. Check name and version of the database: "
                f"{self.label!r} was asked for."
            )
        return DatasetError(
            f"{name} is listed in {self.folder / SUMS}, but there is no {self.url}/{name}. Remove "
            f"that list if it is of another version, and call again; otherwise: "
            f"{self._by_other_means()}"
        )

    def _no_connection(self, name: str, error: BaseException) -> DatasetError:
        from wfdb.io._url import NetFileError

        what = "The server failed" if isinstance(error, NetFileError) else "No network connection"
        reason = str(error) or "the transfer was cut off"
        return DatasetError(
            f"{what}: {self.url}/{name} could not be fetched in {TRANSFERS} tries ({reason}). Call "
            f"again once it is back: what has arrived is kept. Or: {self._by_other_means()}"
        )

    def _by_other_means(self) -> str:
        return (
            f"get the files of {self.label} by other means and put them with their {SUMS} into "
            f"{self.folder}."
        )


class _BrokenError(Exception):
    """A transfer failed in a way that another try may mend; its cause says how."""


class _StoppedError(Exception):
    """This thread was told to stop."""


def _inside(name: str) -> str:
    """A listed name, if it stays in the folder and is none of the names kept for ourselves."""
    path = PurePosixPath(name)
    escapes = any(p.anchor or ".." in p.parts for p in (path, PureWindowsPath(name)))
    if escapes or not path.parts or not name.isprintable() or str(path) in (SUMS, MARKER):
        raise DatasetError(
            f"{SUMS} lists {name!r}, expected names of files below the folder. Nothing is "
            f"downloaded by such a list: check where it comes from."
        )
    return str(path)


def _choose(sums: dict[str, str], wanted: Callable[[str], bool]) -> dict[str, str]:
    chosen = {name: sum_ for name, sum_ in sums.items() if wanted(name)}
    if not chosen:
        raise DatasetError(
            f"None of the {len(sums)} files in {SUMS} is wanted, such as {list(sums)[:3]}. Check "
            f"the rule that says which are, and the version of the database."
        )
    return chosen


def _local_sums(folder: Path) -> dict[str, str]:
    return read_sums((folder / SUMS).read_text("utf-8", errors="replace"))


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _marker(folder: Path) -> dict:
    with contextlib.suppress(OSError, ValueError):
        if isinstance(marker := json.loads((folder / MARKER).read_text()), dict):
            return marker
    return {}


def _mark(folder: Path, database: str, version: str, **values: object) -> None:
    marker = {"database": database, "version": version, **values}
    paths.write_json(folder / MARKER, marker)


def _summary(folder: Path, chosen: dict[str, str]) -> tuple[dict, int]:
    """What tells later that these files are as they were, and when the last was changed (in ns)."""
    stats = [os.stat(f"{folder}/{name}") for name in chosen]
    summary = {
        "n_files": len(chosen),
        "n_bytes": sum(stat.st_size for stat in stats),
        "files": hashlib.sha256(json.dumps(sorted(chosen.items())).encode()).hexdigest(),
    }
    return summary, max(stat.st_mtime_ns for stat in stats)


def _is_still_whole(folder: Path, wanted: Callable[[str], bool]) -> bool:
    """Whether these very files were all there once, and none is gone or changed since."""
    marker = _marker(folder)
    if marker.get("whole") is not True or not (folder / SUMS).is_file():
        return False
    chosen = _choose(_local_sums(folder), wanted)
    try:
        summary, changed_ns = _summary(folder, chosen)
        as_it_was = summary.items() <= marker.items()
        return as_it_was and changed_ns <= (folder / MARKER).stat().st_mtime_ns
    except OSError:
        return False


def _refuse_another(folder: Path, database: str, version: str) -> None:
    marker = _marker(folder)
    own = marker.get("database", database), marker.get("version", version)
    if own != (database, version):
        raise DatasetError(
            f"{folder} holds {' '.join(map(str, own))}, {database} {version} was to go there. Give "
            f"another folder, or remove this one."
        )


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep a second download out of the folder, where the system knows such locks."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(
                f"Another process is downloading to {folder}. Wait until it is done, or end it, "
                f"and call again."
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)
