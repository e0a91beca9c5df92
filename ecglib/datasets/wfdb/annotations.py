"""WFDB annotation files, as annot(5) of the WFDB Applications Guide describes them."""

import os
from typing import NamedTuple

import numpy as np

from ecglib.datasets.wfdb.files import make_unreadable_error, open_file
from ecglib.errors import RecordError

SKIP, AUXILIARY = 59, 63  # codes that more bytes follow
CODE_BITS = 10  # the code is in the bits above
SKIP_BYTES = 4


class AnnotationFile(NamedTuple):
    """The annotations of a record.

    Parameters
    ----------
    samples : int array of shape (n_annotations,)
        Sample of each.
    symbols : str array of shape (n_annotations,)
        Symbol of each.
    notes : list of str
        Further text of each, often empty.

    Examples
    --------
    >>> AnnotationFile(np.array([77]), np.array(["N"]), [""]).symbols.tolist()
    ['N']
    """

    samples: np.ndarray
    symbols: np.ndarray
    notes: list[str]


def read_annotations(path: str | os.PathLike, extension: str = "atr") -> AnnotationFile:
    """Read the annotations of a record.

    Parameters
    ----------
    path : str or path-like
        The record, without an ending.
    extension : str, default "atr"
        Ending of the annotation file.

    Returns
    -------
    AnnotationFile
        The annotations.

    Raises
    ------
    RecordError
        If the file is missing (``missing_file``), cut short (``truncated``) or cannot be read
        (``unreadable``).

    Notes
    -----
    The annotations are read by ``wfdb.rdann``, which takes a file that is cut short for a complete
    one: the mark at the end is looked for first.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> words = np.array([1 << 10 | 77, 5 << 10 | 200, 0], "<u2")  # N, V, end
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.atr").write_bytes(words.tobytes())
    ...     annotations = read_annotations(f"{folder}/r1")
    >>> annotations.samples.tolist(), annotations.symbols.tolist()
    ([77, 277], ['N', 'V'])
    """
    import wfdb

    name = f"{os.fspath(path)}.{extension}"
    if not _has_end(_read_bytes(name)):
        raise RecordError(
            "truncated",
            f"{name} has no mark of its end, so annotations may be missing. Download it again.",
        )
    try:
        file = wfdb.rdann(os.fspath(path), extension)
    except Exception as error:  # wfdb raises any
        raise make_unreadable_error(name, f"{type(error).__name__}: {error}") from error
    return AnnotationFile(np.asarray(file.sample), np.asarray(file.symbol), file.aux_note)


def _read_bytes(name: str) -> bytes:
    descriptor = open_file(name)
    with open(descriptor, "rb") as file:
        return file.read()


def _has_end(content: bytes) -> bool:
    """Tell whether the annotations in a file end with the word 0."""
    words = np.frombuffer(content[: len(content) // 2 * 2], "<u2")
    codes, lengths = (words >> CODE_BITS).tolist(), (words & (1 << CODE_BITS) - 1).tolist()
    place = 0
    while place < len(codes):
        code, length = codes[place], lengths[place]
        if code == 0 and length == 0:
            return True
        place += 1
        if code == SKIP:
            place += SKIP_BYTES // 2
        elif code == AUXILIARY:
            place += (length + 1) // 2
    return False
