"""Writes splits, labels and signals of a task for other frameworks.

What another framework predicts can be entered into a comparison (`ecglib.enter`): its file has the
columns of `build_split_table`, with probabilities in place of labels.
"""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import DatasetError
from ecglib.paths import make_temporary_folder, publish_folder, replace_file

#: Columns of the table of a split besides the classes.
SPLIT_COLUMNS = ("store", "task", "fold", "window", "record", "patient", "part")
N_WINDOWS_AT_A_TIME = 256  # read and written, so that memory does not grow with the dataset


def build_split_table(dataset: Dataset, selection: Selection, fold: int = 0) -> pd.DataFrame:
    """Build the table of the windows of a task: split, record, patient and labels.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    selection : Selection
        Windows of this dataset.
    fold : int, default 0
        The fold that the splits are of, from 1; 0 for the splits of the dataset.

    Returns
    -------
    DataFrame
        One row for each window in the order of the window table. Columns: ``store`` and ``task``;
        ``fold`` in a cross-validation; ``window``, the row of the window table; ``record``,
        ``patient``, ``part`` (train, validation or test); and one for each class, 0 or 1.

    Raises
    ------
    DatasetError
        If a class has the name of another column.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     table = build_split_table(dataset, dataset.select("superdiagnostic"))
    >>> list(table)
    ['store', 'task', 'window', 'record', 'patient', 'part', 'NORM', 'MI', 'STTC', 'CD', 'HYP']
    """
    if reserved := [name for name in selection.classes if name in SPLIT_COLUMNS]:
        raise DatasetError(
            f"Task {selection.task.name!r} has a class {reserved[0]!r}, which is the name of a "
            f"column of the table. Rename the class and prepare the dataset again."
        )
    columns: dict[str, object] = {
        "store": f"{dataset.name}-{dataset.fingerprint}",
        "task": selection.task.name,
    }
    if fold:
        columns["fold"] = fold
    columns |= {
        "window": selection.rows,
        "record": selection.records,
        "patient": selection.patients,
        "part": selection.part,
    }
    labels = selection.y.astype(np.uint8)
    columns |= {name: labels[:, k] for k, name in enumerate(selection.classes)}
    return pd.DataFrame(columns)


def write_signals(path: Path, dataset: Dataset, selection: Selection, fold: int = 0) -> None:
    """Write the signals of a selection as NumPy arrays, atomically.

    The arrays are ``signals`` (float32, shape (n_windows, n_samples, n_leads), in mV, 0 where a
    short record was padded), ``labels`` (shape (n_windows, n_classes), 0 or 1), ``window``,
    ``record``, ``patient`` and ``part`` of each window, ``classes``, ``leads``,
    ``sampling_rate_hz``, ``store``, ``task`` and ``fold``.

    Parameters
    ----------
    path : Path
        A file that ends with ``.npz``, or a folder that gets one ``.npy`` file for each array. A
        file ``signals.npy`` can be memory-mapped (``np.load(path, mmap_mode="r")``).
    dataset : Dataset
        The prepared store.
    selection : Selection
        Windows of this dataset.
    fold : int, default 0
        The fold that the splits are of, from 1; 0 for the splits of the dataset.

    Raises
    ------
    DatasetError
        If the folder exists and is not empty.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     selection = dataset.select("superdiagnostic")
    ...     write_signals(Path(folder, "signals.npz"), dataset, selection)
    ...     with np.load(Path(folder, "signals.npz")) as arrays:
    ...         shape = arrays["signals"].shape
    >>> shape == (len(selection.rows), 1000, 12)
    True
    """
    arrays = {
        "window": selection.rows,
        "record": selection.records,
        "patient": selection.patients,
        "part": selection.part,
        "labels": selection.y.astype(np.uint8),
        "classes": np.array(selection.classes),
        "leads": np.array(dataset.signal.leads),
        "sampling_rate_hz": np.array(dataset.signal.sampling_rate_hz),
        "store": np.array(f"{dataset.name}-{dataset.fingerprint}"),
        "task": np.array(selection.task.name),
        "fold": np.array(fold),
    }
    if path.suffix.lower() == ".npz":
        with replace_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
            with archive.open("signals.npy", "w", force_zip64=True) as file:
                _write_windows(file, dataset, selection.rows)
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetError(
            f"{path} exists and is not an empty folder. Give another folder or a file that ends "
            f"with .npz, or remove it."
        )
    with make_temporary_folder(path.parent, path.name) as folder:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        with (folder / "signals.npy").open("wb") as file:
            _write_windows(file, dataset, selection.rows)
        publish_folder(folder, path)


def _write_windows(file: IO[bytes], dataset: Dataset, rows: np.ndarray) -> None:
    """Write windows in mV as an NPY file, some at a time."""
    shape = (len(rows), dataset.signal.n_samples, len(dataset.signal.leads))
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for start in range(0, len(rows), N_WINDOWS_AT_A_TIME):
        windows = dataset.read(rows[start : start + N_WINDOWS_AT_A_TIME])
        file.write(windows.astype("<f4", order="C").tobytes())
