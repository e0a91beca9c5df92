"""Records in NumPy files: one array of samples and leads, or of several such records."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecglib.datasets.formats.base import ColumnRecord, FileOptions
from ecglib.datasets.leads import list_leads
from ecglib.datasets.units import mask_code
from ecglib.errors import RecordError


def read_npy(path: Path, options: FileOptions) -> Iterator[tuple[str, ColumnRecord]]:
    """Yield the name and the record of each recording in a NumPy file.

    Parameters
    ----------
    path : Path
        A ``.npy`` file of numbers, of shape (n_samples, n_leads) or, for several records,
        (n_records, n_samples, n_leads). It is memory-mapped.
    options : FileOptions
        Gives the sampling rate, the unit and the leads.

    Yields
    ------
    tuple of (str, ColumnRecord)
        Name and record.

    Raises
    ------
    RecordError
        If the file cannot be read, its shape does not fit, or the sampling rate, the unit or the
        leads are not given.

    Examples
    --------
    >>> import tempfile
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npy"
    ...     np.save(path, [[0.1, 0.2]])
    ...     [record.to_steps([1]).tolist() for name, record in read_npy(path, options)]
    [[[200]]]
    """
    options.require_rate_and_unit(path)
    n_leads = len(options.leads)
    if not n_leads:
        raise RecordError(
            "missing_lead",
            f"{path} does not name its leads. Name them in the order of its columns (--leads, or "
            f"leads).",
        )
    array = open_npy(path)
    if array.ndim not in (2, 3) or array.shape[-1] != n_leads or array.dtype.kind not in "iuf":
        raise RecordError(
            "unreadable",
            f"{path} holds {array.dtype} of shape {array.shape}, expected numbers of shape "
            f"(n_samples, {n_leads}) or (n_records, n_samples, {n_leads}) for the leads "
            f"{', '.join(options.leads)}. Transpose the array, or correct the leads.",
        )
    if array.ndim == 2:
        yield str(path), wrap_array(array, options)
    elif not len(array):
        raise RecordError("too_short", f"{path} holds no record. Leave it out.")
    else:
        for number, recording in enumerate(array):
            yield f"{path}[{number}]", wrap_array(recording, options)


def open_npy(path: Path) -> np.ndarray:
    """Open a NumPy file as an array on disk; nothing in it is executed.

    Parameters
    ----------
    path : Path
        The ``.npy`` file.

    Returns
    -------
    array
        Memory-mapped: its size is bounded by that of the file.

    Raises
    ------
    RecordError
        If the file is not a ``.npy`` file, or holds objects.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npy"
    ...     np.save(path, [1, 2])
    ...     open_npy(path).tolist()
    [1, 2]
    """
    try:
        with open(path, "rb") as file:
            if not (start := file.read(len(np.lib.format.MAGIC_PREFIX))):
                raise ValueError("it is empty")
            if start != np.lib.format.MAGIC_PREFIX:
                raise ValueError("it does not begin like one")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises errors of any type
        raise RecordError(
            "unreadable",
            f"{path} cannot be read as a .npy file: {str(error)[:200]}. Save it with numpy.save.",
        ) from None


def wrap_array(recording: np.ndarray, options: FileOptions) -> ColumnRecord:
    """Make a record of an array.

    Parameters
    ----------
    recording : array of shape (n_samples, n_leads)
        Samples in the unit of the options; NaN where nothing was measured.
    options : FileOptions
        Gives the sampling rate, the unit and the leads.

    Returns
    -------
    ColumnRecord
        The record; the samples are not copied.

    Raises
    ------
    RecordError
        If the shape does not fit the leads.

    Examples
    --------
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV", leads=("I", "II"))
    >>> wrap_array(np.array([[0.1, 0.2]]), options).to_steps([1]).tolist()
    [[200]]
    """
    n_leads = len(options.leads)
    if np.ndim(recording) != 2 or recording.shape[1] != n_leads:
        raise RecordError(
            "unreadable",
            f"The samples have shape {np.shape(recording)}, expected (n_samples, {n_leads}) for "
            f"the leads {list_leads(options.leads)}. Transpose them, or correct the leads.",
        )
    return ColumnRecord(
        leads=options.leads,
        units=(options.unit,) * n_leads,
        sampling_rates_hz=(options.sampling_rate_hz,) * n_leads,
        read_column=lambda column: mask_code(recording[:, column]),
    )
