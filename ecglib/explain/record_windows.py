"""Windows of records to be explained: of the dataset of a run, or of a file."""

import ecglib._keras  # noqa: F401

import dataclasses
from pathlib import Path

import numpy as np

from ecglib.datasets.schema import Problem
from ecglib.datasets.store import Dataset
from ecglib.errors import DatasetError, RunError, did_you_mean
from ecglib.experiment.contract import Contract
from ecglib.inference import RecordOptions, Window, find_records, read_windows
from ecglib.runs import Run

MAX_NAMED = 5  # records in a message


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RecordWindow:
    """A window to be explained, and what is known of it.

    Parameters
    ----------
    window : Window
        The window.
    split : str or None, default None
        Its split for the run; "" if it is in none, None if it is not from the dataset of the run.
    labels : tuple of str, default ()
        Its true classes.

    Examples
    --------
    >>> window = Window(record="100", start_s=0.0, steps=np.zeros((200, 2), np.int16))
    >>> RecordWindow(window=window).split is None
    True
    """

    window: Window
    split: str | None = None
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StoredRecord:
    """The windows of one record of the dataset of a run, in the order of time.

    Parameters
    ----------
    record : str
        Name of the record.
    rows : int array of shape (n_windows,)
        Rows of the window table.
    splits : tuple of str
        Split of each window for the run: train, validation or test; "" if it is in none.
    labels : tuple of tuple of str
        True classes of each window; empty also where the window is in no split.

    Examples
    --------
    >>> stored = StoredRecord(
    ...     record="100", rows=np.array([3]), splits=("test",), labels=(("MI",),)
    ... )
    >>> stored.splits[0]
    'test'
    """

    record: str
    rows: np.ndarray
    splits: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]


def find_stored_record(run: Run, dataset: Dataset, record: str) -> StoredRecord:
    """Find a record in the dataset of a run, with the splits that its windows have for the run.

    Parameters
    ----------
    run : Run
        The run. Of a cross-validation it is the run of one fold, and the splits are those of it.
    dataset : Dataset
        The store that it was trained on.
    record : str
        Name of the record.

    Returns
    -------
    StoredRecord
        All windows of the record.

    Raises
    ------
    RunError
        If the run was trained on another dataset.
    DatasetError
        If the dataset has no such record.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> find_stored_record(open_run(), open_dataset("mitdb"), "100").rows  # doctest: +SKIP
    array([0, 1, ...])
    """
    contract = run.contract
    if contract.fingerprint != dataset.fingerprint:
        raise RunError(
            f"{run.path.name} was trained on {contract.dataset}-{contract.fingerprint}, not on "
            f"{dataset.path.name}. Open the dataset that it was trained on."
        )
    records = dataset.windows["record"].to_numpy(str)
    rows = np.flatnonzero(records == record)
    if not len(rows):
        names = list(dict.fromkeys(records))
        raise DatasetError(
            f"{record!r} is not a record of {dataset.path.name}, and there is no such file. Its "
            f"{len(names):,} records: {', '.join(names[:MAX_NAMED])}, ..."
            f"{did_you_mean(record, names)}"
        )
    rows = rows[np.argsort(dataset.starts[rows], kind="stable")]
    selection = dataset.select(contract.task, n_folds=run.data.n_folds, fold=run.data.fold)
    places = {row: place for place, row in enumerate(selection.rows.tolist())}
    found = [places.get(row, -1) for row in rows.tolist()]
    return StoredRecord(
        record=record,
        rows=rows,
        splits=tuple(str(selection.part[place]) if place >= 0 else "" for place in found),
        labels=tuple(
            tuple(np.array(selection.classes)[selection.y[place] == 1].tolist())
            if place >= 0
            else ()
            for place in found
        ),
    )


def read_file_windows(
    contract: Contract, record: str | Path, options: RecordOptions
) -> list[Window]:
    """Read the windows of one record in a file, as `ecglib.inference.Predictor` reads them.

    Parameters
    ----------
    contract : Contract
        Of the run.
    record : str or Path
        A WFDB, CSV, EDF or NumPy file.
    options : RecordOptions
        What the file does not say.

    Returns
    -------
    list of Window
        One for each start; one in the middle if no start is given.

    Raises
    ------
    DatasetError
        If there is no such record, it is a folder of several, or it does not fit the contract.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract
    >>> read_file_windows(make_contract(["time"]), "none.hea", RecordOptions())
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: none.hea is not a record: ...
    """
    files = find_records([record])
    if len(files) > 1:
        raise DatasetError(
            f"{record} holds {len(files):,} records, and one record is explained at a time. Give "
            f"one of them, for example {files[0]}."
        )
    windows = []
    for item in read_windows(files, contract.signal, options):
        if isinstance(item, Problem):
            raise DatasetError(f"{record} does not fit the run: {item.detail}")
        windows.append(item)
    return windows
