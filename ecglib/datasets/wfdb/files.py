"""Opens the files of a WFDB record: regular files in the folder of its header, nothing else."""

import os
import stat

from ecglib.errors import RecordError

READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # the second on Windows
# Opening a named pipe would wait for somebody to write into it.
DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0)


def open_file(path: str) -> int:
    """Open a file of a record for reading.

    Parameters
    ----------
    path : str
        Path of the file. Where there is none, a file whose name differs only in capitals is
        opened, as in copies from systems that do not tell them apart.

    Returns
    -------
    int
        A file descriptor, for the functions of `os`; to be closed with `os.close`.

    Raises
    ------
    RecordError
        If the file is missing (``missing_file``), cannot be opened or is not a regular file
        (``unreadable``).

    Notes
    -----
    With file objects, reading the two short files of a record takes 1.5 times as long.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     descriptor = open_file(file.name)
    ...     os.close(descriptor)
    """
    try:
        descriptor = os.open(path, READ_ONLY | DO_NOT_WAIT)
    except FileNotFoundError:
        return _open_other_capitals(path)
    except (OSError, ValueError) as error:
        raise make_unreadable_error(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise make_unreadable_error(path, "it is not a regular file. Replace it by one.")
    return descriptor


def locate_file(header_path: str, name: str) -> str:
    """Locate a file that a header names.

    Parameters
    ----------
    header_path : str
        Path of the header.
    name : str
        Name of the file, relative to the folder of the header.

    Returns
    -------
    str
        Path of the file.

    Raises
    ------
    RecordError
        If the file is outside the folder of the header (``bad_header``), by its name or by a link.

    Examples
    --------
    >>> locate_file("records/r1.hea", "r1.dat")
    'records/r1.dat'
    >>> locate_file("records/r1.hea", "../r1.dat")
    Traceback (most recent call last):
    ...
    ecglib.errors.RecordError: records/r1.hea names '../r1.dat', a file outside its folder. ...
    """
    folder, slash, _ = header_path.rpartition("/")
    path = f"{folder}{slash}{name}"
    if "/" in name or "\\" in name or ":" in name or os.path.islink(path):
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or os.path.isabs(name) or ":" in name or not _is_inside(path, header_path):
            raise RecordError(
                "bad_header",
                f"{header_path} names {name[:100]!r}, a file outside its folder. Put the file "
                f"beside the header and correct the name.",
            )
    return path


def read_size(path: str) -> int:
    """Return the number of bytes in a file of a record, which must be as for `open_file`.

    Parameters
    ----------
    path : str
        Path of the file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"abc")
    ...     file.flush()
    ...     read_size(file.name)
    3
    """
    descriptor = open_file(path)
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def make_unreadable_error(path: str, reason: Exception | str) -> RecordError:
    """Make the error for a file that exists and cannot be read.

    Parameters
    ----------
    path : str
        Path of the file.
    reason : Exception or str
        The reason.

    Returns
    -------
    RecordError
        Of kind ``unreadable``.

    Examples
    --------
    >>> str(make_unreadable_error("r1.dat", OSError("is a directory")))
    'r1.dat cannot be read: is a directory'
    """
    return RecordError("unreadable", f"{path} cannot be read: {reason}")


def _open_other_capitals(path: str) -> int:
    folder, name = os.path.split(path)
    try:
        names = [other for other in os.listdir(folder or ".") if other.lower() == name.lower()]
    except (OSError, ValueError):
        names = []
    # A link to a file that does not exist has the name itself.
    if len(names) != 1 or names == [name]:
        raise RecordError(
            "missing_file", f"{path} does not exist. Get it from where the record came from."
        )
    return open_file(os.path.join(folder, names[0]))


def _is_inside(path: str, header_path: str) -> bool:
    """Tell whether a file is below the folder of the header, or of the file it is a link to."""
    target = os.path.realpath(path)
    folders = (os.path.realpath(os.path.dirname(header_path)), os.path.realpath(header_path))
    return any(
        os.path.commonpath([target, folder]) == folder
        for folder in (folders[0], os.path.dirname(folders[1]))
    )
