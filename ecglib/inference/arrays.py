"""What a user gives to be predicted: paths of records, or recordings that are arrays."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ecglib.datasets.formats import wrap_array
from ecglib.datasets.schema import Problem, SignalSpec
from ecglib.errors import DatasetError
from ecglib.inference.options import RecordOptions
from ecglib.inference.records import Window, cut_windows

Records = str | Path | np.ndarray | Sequence[str | Path] | Sequence[np.ndarray]


def list_paths(records: Records) -> list[str | Path] | None:
    """List the paths, if a user gave paths.

    Parameters
    ----------
    records : str, Path, array, or sequence of one of them
        What the user gave.

    Returns
    -------
    list of (str or Path) or None
        None if they are not paths.

    Raises
    ------
    DatasetError
        If only some are paths.

    Examples
    --------
    >>> list_paths("record.hea"), list_paths(np.zeros((500, 2)))
    (['record.hea'], None)
    """
    if isinstance(records, str | Path):
        return [records]
    if not isinstance(records, list | tuple):
        return None
    is_path = [isinstance(one, str | Path) for one in records]
    if any(is_path) and not all(is_path):
        other = type(records[is_path.index(False)]).__name__
        raise DatasetError(
            f"The records are paths and {other} mixed. Predict files and arrays in two calls."
        )
    return list(records) if records and all(is_path) else None


def require_arrays(records: object, options: RecordOptions) -> np.ndarray | Sequence[np.ndarray]:
    """Check that arrays were given, with what they do not say themselves.

    Parameters
    ----------
    records : object
        What the user gave, no paths.
    options : RecordOptions
        With sampling rate and leads, if they are given.

    Returns
    -------
    array or sequence of arrays
        The same; `name_arrays` checks their shapes.

    Raises
    ------
    DatasetError
        If it is no array either, or if sampling rate or leads are missing.

    Examples
    --------
    >>> require_arrays(np.zeros((500, 2)), RecordOptions(leads=("I", "II")))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: An array does not name its sampling rate. ...
    """
    if not isinstance(records, np.ndarray | list | tuple):
        raise DatasetError(
            f"{type(records).__name__} was given, expected records: paths of files or folders, or "
            f"arrays in mV. What a run predicts for its dataset is in run.predictions('test')."
        )
    given = {"sampling rate": options.sampling_rate_hz, "leads": options.leads}
    if missing := [name for name, value in given.items() if not value]:
        raise DatasetError(
            f"An array does not name its {' and '.join(missing)}. Give both, as in "
            f"predict(signals, sampling_rate_hz=500, leads=['I', 'II'])."
        )
    return records


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class NamedArrays:
    """Recordings in memory, each with a name.

    Parameters
    ----------
    signals : list of array of shape (n_samples, n_leads)
        The samples, NaN where nothing was measured. The lengths may differ.
    names : tuple of str
        Name of each recording.

    Examples
    --------
    >>> NamedArrays(signals=[np.zeros((500, 2))], names=("visit 1",)).names
    ('visit 1',)
    """

    signals: list[np.ndarray]
    names: tuple[str, ...]


def name_arrays(
    signals: np.ndarray | Sequence[np.ndarray], n_leads: int, names: Sequence[str] = ()
) -> NamedArrays:
    """Check the shapes of recordings in memory and name those that have no name.

    Parameters
    ----------
    signals : array of shape (n_records, n_samples, n_leads), or sequence of arrays
        One recording has shape (n_samples, n_leads); the recordings of a sequence may differ in
        length.
    n_leads : int
        Number of leads that were named.
    names : sequence of str, default ()
        Name of each recording; by default ``signals[0]`` and so on.

    Returns
    -------
    NamedArrays
        The recordings.

    Raises
    ------
    DatasetError
        If `signals` holds no numbers or another number of leads, or the names do not fit.

    Examples
    --------
    >>> name_arrays(np.zeros((2, 500, 12)), n_leads=12).names
    ('signals[0]', 'signals[1]')
    >>> name_arrays(np.zeros((12, 500)), n_leads=12)
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: signals has shape (12, 500) ... Transpose the array, ...
    """
    arrays = _split_recordings(signals)
    is_single = isinstance(signals, np.ndarray) and signals.ndim == 2
    labels = ["signals"] if is_single else [f"signals[{k}]" for k in range(len(arrays))]
    for label, array in zip(labels, arrays, strict=True):
        if array.ndim != 2 or array.shape[1] != n_leads or array.dtype.kind not in "iuf":
            raise DatasetError(
                f"{label} has shape {array.shape} and type {array.dtype}, expected numbers of "
                f"shape (n_samples, {n_leads}) for the {n_leads} leads. Transpose the array, or "
                f"correct the leads."
            )
    if names and len(names) != len(arrays):
        raise DatasetError(
            f"{len(names)} names for {len(arrays)} recordings. Give one name for each, or none."
        )
    return NamedArrays(signals=arrays, names=tuple(map(str, names or labels)))


def _split_recordings(signals: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """List the recordings, whatever their shapes."""
    if isinstance(signals, list | tuple):
        return [np.asarray(recording) for recording in signals]
    array = np.asarray(signals)
    if array.ndim in (2, 3):
        return [array] if array.ndim == 2 else list(array)
    what = f"an array of shape {array.shape}" if array.ndim else type(signals).__name__
    raise DatasetError(
        f"signals is {what}, expected (n_records, n_samples, n_leads) or (n_samples, n_leads) in "
        f"mV, or a list of the latter. For windows use predict_windows."
    )


def read_array_windows(
    arrays: NamedArrays, signal: SignalSpec, options: RecordOptions
) -> Iterator[Window | Problem]:
    """Yield the windows of each recording, or its problem.

    Parameters
    ----------
    arrays : NamedArrays
        The recordings.
    signal : SignalSpec
        What a window must be.
    options : RecordOptions
        Sampling rate, unit and leads of all recordings; where the windows start.

    Yields
    ------
    Window or Problem
        In the order of the recordings.

    Examples
    --------
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=("I",))
    >>> options = RecordOptions(sampling_rate_hz=200.0, unit="mV", leads=("I",))
    >>> t = np.arange(400) / 200
    >>> arrays = name_arrays(np.sin(6 * t)[None, :, None], n_leads=1)
    >>> (window,) = read_array_windows(arrays, signal, options)
    >>> window.record, window.steps.shape
    ('signals[0]', (200, 1))
    """
    for name, array in zip(arrays.names, arrays.signals, strict=True):
        yield from cut_windows(name, wrap_array(array, options), signal, options)
