"""Where stores, runs and searches are, and writing files and folders atomically."""

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet calculates what begins with them
STALE_AFTER_S = 24 * 3600


def data_dir(given: str | Path = "") -> Path:
    """Return the folder of the prepared stores.

    Parameters
    ----------
    given : str or Path, default ""
        The folder that the user named. If empty, the environment variable ``ECGLIB_DATA``, and
        without it ``data`` in the checkout (or in the working directory, if ecglib is installed).

    Returns
    -------
    Path
        The folder; it need not exist.

    Examples
    --------
    >>> data_dir("stores").name
    'stores'
    """
    return _choose_folder(given, "ECGLIB_DATA", "data")


def runs_dir(given: str | Path = "") -> Path:
    """Return the folder of the runs.

    Parameters
    ----------
    given : str or Path, default ""
        As for `data_dir`, with ``ECGLIB_RUNS`` and ``runs``.

    Returns
    -------
    Path
        The folder; it need not exist.

    Examples
    --------
    >>> runs_dir("results").name
    'results'
    """
    return _choose_folder(given, "ECGLIB_RUNS", "runs")


def find_batch_dir(batch: str | Path, runs: str | Path = "") -> Path:
    """Find the folder of a batch, given by its name or as a path.

    Parameters
    ----------
    batch : str or Path
        A folder, or the name of one in the folder of the runs.
    runs : str or Path, default ""
        The folder of the runs, as for `runs_dir`.

    Returns
    -------
    Path
        The folder; it need not exist.

    Examples
    --------
    >>> find_batch_dir("explore", "results").as_posix()
    'results/explore'
    >>> find_batch_dir("elsewhere/explore", "results").as_posix()
    'elsewhere/explore'
    """
    path = Path(batch)
    return path if len(path.parts) > 1 or path.is_dir() else runs_dir(runs) / path


def searches_dir(given: str | Path = "") -> Path:
    """Return the folder of the hyperparameter searches.

    Parameters
    ----------
    given : str or Path, default ""
        As for `data_dir`, with ``ECGLIB_SEARCHES`` and ``searches``.

    Returns
    -------
    Path
        The folder; it need not exist.

    Examples
    --------
    >>> searches_dir("tuned").name
    'tuned'
    """
    return _choose_folder(given, "ECGLIB_SEARCHES", "searches")


@contextlib.contextmanager
def make_temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder under a temporary name, to be filled and then renamed (`publish_folder`).

    On exit the folder is removed unless it was renamed. Temporary folders of killed processes are
    removed once they are a day old; a younger one may still be in use.

    Parameters
    ----------
    parent : Path
        Folder to make it in; it is created if necessary.
    name : str
        Beginning of the temporary name.

    Yields
    ------
    Path
        The empty folder.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     with make_temporary_folder(Path(parent), "run") as folder:
    ...         write_text(folder / "a.txt", "finished")
    ...         publish_folder(folder, Path(parent) / "run-1")
    ...     [path.name for path in Path(parent).iterdir()]
    ['run-1']
    """
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(".*.unfinished"):
        if time.time() - leftover.stat().st_mtime > STALE_AFTER_S:
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".unfinished", dir=parent))
    folder.chmod(0o755)  # mkdtemp makes a folder that only its owner may read
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish_folder(folder: Path, path: Path) -> None:
    """Rename a finished folder, after its files have reached the disk.

    Otherwise a power failure could leave the new name with empty files.

    Parameters
    ----------
    folder : Path
        The folder with all its files.
    path : Path
        Its new name, on the same file system.

    Raises
    ------
    OSError
        If `path` exists and is not an empty folder.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     with make_temporary_folder(Path(parent), "run") as folder:
    ...         publish_folder(folder, Path(parent) / "run-1")
    ...     (Path(parent) / "run-1").is_dir()
    True
    """
    for file in folder.rglob("*"):
        _flush_to_disk(file)
    _flush_to_disk(folder)
    folder.rename(path)
    _flush_to_disk(path.parent)


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically with one that the caller writes.

    Parameters
    ----------
    path : Path
        File to write or replace. Its folder is created if necessary.

    Yields
    ------
    Path
        The temporary file to write, which then replaces `path`, once it has reached the disk; it
        is removed if writing fails.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replace_file(Path(folder) / "a.bin") as partial:
    ...         _ = partial.write_bytes(b"all")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.bin']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes on several machines may write to one folder, so their numbers are not enough.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        _flush_to_disk(partial)
        os.replace(partial, path)
        _flush_to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    The text goes to a temporary file, which then replaces `path`.

    Parameters
    ----------
    path : Path
        File to write or replace. Its folder is created if necessary.
    text : str
        Content of the file, written as UTF-8.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "one line\\n")
    ...     (Path(folder) / "a.txt").read_text()
    'one line\\n'
    """
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, values: object) -> None:
    """Write a JSON file atomically, indented by one space.

    Parameters
    ----------
    path : Path
        File to write or replace. Its folder is created if necessary.
    values : object
        Values that JSON can represent.

    Raises
    ------
    TypeError
        If JSON cannot represent a value.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder) / "a.json", {"fold": 1})
    ...     print((Path(folder) / "a.json").read_text(), end="")
    {
     "fold": 1
    }
    """
    write_text(path, json.dumps(values, indent=1) + "\n")


def _flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot flush
            raise
    finally:
        os.close(descriptor)


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, atomically and without its index; no cell is a formula.

    Parameters
    ----------
    path : Path
        File to write or replace. Its folder is created if necessary.
    table : DataFrame
        The table.

    Notes
    -----
    Names of records, classes and models come from files of others; see `neutralize_formula`.

    Examples
    --------
    >>> import pandas as pd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(Path(folder) / "a.csv", pd.DataFrame({"record": ["=1+1"], "x": [-2.5]}))
    ...     print((Path(folder) / "a.csv").read_text(), end="")
    record,x
    '=1+1,-2.5
    """
    safe = table.rename(columns=neutralize_formula)
    write_text(path, safe.map(neutralize_formula).to_csv(index=False))


def neutralize_formula(cell: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would calculate as a formula.

    Parameters
    ----------
    cell : object
        A value of a table.

    Returns
    -------
    object
        Numbers, texts that are numbers and texts without a sign at their beginning as they are.

    Notes
    -----
    Spreadsheets calculate cells of CSV files that begin with ``=``, ``+``, ``-``, ``@``, a tab or
    a carriage return; an apostrophe makes them text (OWASP, CSV Injection).

    Examples
    --------
    >>> [neutralize_formula(cell) for cell in ("@SUM(A1)", "-0.5", "-", "I", -2.5)]
    ["'@SUM(A1)", '-0.5', '-', 'I', -2.5]
    """
    if not isinstance(cell, str) or cell[:1] not in FORMULA_SIGNS or cell == "-":
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _choose_folder(given: str | Path, variable: str, name: str) -> Path:
    if chosen := given or os.environ.get(variable):
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[1]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / name
