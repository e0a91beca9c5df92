"""Opens the records in a file, whatever its format."""

import os
from collections.abc import Iterator
from pathlib import Path

from ecglib.datasets.formats.base import FileOptions, LeadReader
from ecglib.datasets.formats.csv_files import read_csv
from ecglib.datasets.formats.edf_files import read_edf
from ecglib.datasets.formats.given import OpenedRecord, relabel_leads
from ecglib.datasets.formats.numpy_files import read_npy
from ecglib.datasets.wfdb.records import read_record
from ecglib.errors import RecordError

SUFFIXES = (".hea", ".csv", ".edf", ".bdf", ".npy")
WFDB_SIGNAL_SUFFIXES = (".dat", ".mat")


def get_record_name(path: Path) -> str:
    """Return the name of the record in a file: its path, without ``.hea``.

    Parameters
    ----------
    path : Path
        The file.

    Examples
    --------
    >>> get_record_name(Path("visit1.hea")), get_record_name(Path("visit1.csv"))
    ('visit1', 'visit1.csv')
    """
    return escape_bytes(str(path.with_suffix("") if path.suffix.lower() == ".hea" else path))


def escape_bytes(text: str) -> str:
    """Write the bytes of a file name that are not UTF-8, which file systems allow, as text.

    Parameters
    ----------
    text : str
        A path, or a message with one.

    Returns
    -------
    str
        The same, with such bytes as ``\\xff``; a data frame or a file cannot hold them.

    Examples
    --------
    >>> print(escape_bytes(os.fsdecode(b"r\\xff.csv")))
    r\\xff.csv
    """
    return os.fsencode(text).decode(errors="backslashreplace")


def open_record(path: Path, options: FileOptions | None = None) -> LeadReader:
    """Open the only record in a file.

    Parameters
    ----------
    path : Path
        A file with one of `SUFFIXES`.
    options : FileOptions, optional
        What the file does not say.

    Returns
    -------
    LeadReader
        The record.

    Raises
    ------
    RecordError
        If the file cannot be read, does not say enough or holds several records.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("I,II\\n0.1,0.2\\n")
    ...     record = open_record(path, FileOptions(sampling_rate_hz=100.0, unit="mV"))
    >>> record.leads, record.to_steps([1]).tolist()
    (('I', 'II'), [[200]])
    """
    records = [record for _, record in open_records(path, options)]
    if len(records) > 1:
        raise RecordError(
            "unreadable",
            f"{path} holds {len(records)} records, expected one. Save each record to its file.",
        )
    return records[0]


def open_records(
    path: Path, options: FileOptions | None = None
) -> Iterator[tuple[str, LeadReader]]:
    """Yield the name of each record in a file, and the record.

    Parameters
    ----------
    path : Path
        A file with one of `SUFFIXES`. Only a NumPy file can hold several records.
    options : FileOptions, optional
        What the file does not say.

    Yields
    ------
    tuple of (str, LeadReader)
        Name and record. Several records in one file are numbered: ``a.npy[0]``.

    Raises
    ------
    RecordError
        If the file cannot be read or does not say enough.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.npy"
    ...     np.save(path, np.zeros((2, 4, 2)))
    ...     [Path(name).name for name, record in open_records(path, options)]
    ['two.npy[0]', 'two.npy[1]']
    """
    options = options or FileOptions()
    for name, record in _read_file(path, options):
        leads = relabel_leads(record.leads, options.lead_columns)
        yield escape_bytes(name), OpenedRecord(record=record, leads=leads, given=options)


def _read_file(path: Path, options: FileOptions) -> Iterator[tuple[str, LeadReader]]:
    suffix = path.suffix.lower()
    if suffix != ".hea" and not path.is_file():
        reason = "is not a regular file" if path.exists() else "does not exist (a broken link?)"
        raise RecordError(
            "missing_file", f"{path} {reason}. Get it from where the record came from."
        )
    if suffix == ".npy":
        yield from read_npy(path, options)
    elif suffix == ".hea":
        yield get_record_name(path), read_record(path)
    elif suffix == ".csv":
        yield get_record_name(path), read_csv(path, options)
    elif suffix in (".edf", ".bdf"):
        yield get_record_name(path), read_edf(path, options)
    else:
        raise RecordError(
            "unreadable",
            f"{path} is not a record: its name must end in {', '.join(SUFFIXES)}. Convert it to "
            f"one of these formats.",
        )
