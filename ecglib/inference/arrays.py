"""Windows of recordings that are arrays in memory."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ecglib.datasets.formats import wrap_array
from ecglib.datasets.schema import Problem, SignalSpec
from ecglib.errors import DatasetError
from ecglib.inference.options import RecordOptions
from ecglib.inference.records import Window, cut_windows


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
        f"mV, or a list of the latter. For files use predict_records, for windows predict_windows."
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
