"""The files of a run's folder: their names, hashes and arrays, and publishing them atomically."""

import hashlib
import io
import json
import math
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.predictions import Predictions
from ecglib.paths import publish_folder

#: Format of a run's folder; a run of another format is refused.
FORMAT = 5
#: The experiment, the environment of its training, and the hash of each other file.
EXPERIMENT = "experiment.json"
#: What a record must be to be given to the model.
CONTRACT = "contract.json"
#: The network.
MODEL = "model.keras"
#: In place of the network: the settings and inputs of trees.
TREES = "trees.json"
#: One row for each epoch and model.
HISTORY = "history.csv"
#: Labels and calibrated probabilities of both splits.
PREDICTIONS = "predictions.npz"
#: Cost and scores, written last: a folder without it is not a run.
METRICS = "metrics.json"
#: The files of a run besides its model.
FILES = (EXPERIMENT, CONTRACT, HISTORY, PREDICTIONS, METRICS)
#: Added by a batch, once it was executed.
NOTEBOOK = "train.ipynb"
#: In the folder of a batch that was carried out.
REPORT = "report.html"
#: The splits that a run predicts.
SPLITS = ("validation", "test")

ARRAYS = ("rows", "records", "patients", "y", "p")
MAX_ARRAY_BYTES = 4 << 30  # of all arrays of one file
MAX_SHOWN = 1000  # characters of an error about a file


def run_exists(path: str | Path) -> bool:
    """Return whether a folder holds a finished run.

    Examples
    --------
    >>> run_exists("runs/explore/none")
    False
    """
    return (Path(path) / METRICS).is_file()


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of an NPZ file, without trusting the sizes that it states.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    dict of str to array
        Name -> array.

    Raises
    ------
    RunError
        If it is no NPZ file of plain arrays, or larger than `MAX_ARRAY_BYTES` when unpacked.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> np.savez(file, p=np.array([0.25, 0.75]))
    >>> read_arrays(file.getvalue())
    {'p': array([0.25, 0.75])}
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            n_bytes = sum(entry.file_size for entry in archive.infolist())
            if n_bytes > MAX_ARRAY_BYTES:
                raise ValueError(f"{n_bytes} bytes, expected at most {MAX_ARRAY_BYTES}")
            return {
                entry.filename.removesuffix(".npy"): _read_array(archive.read(entry))
                for entry in archive.infolist()
            }
    except Exception as error:  # whatever a damaged archive raises
        raise RunError(f"it holds no readable arrays ({type(error).__name__}: {error})") from None


def _read_array(content: bytes) -> np.ndarray:
    """Read an array whose header fits its size: NumPy would ask for the memory first."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of the NPY format than 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"shape {shape} does not fit {len(content)} bytes")
    return np.load(io.BytesIO(content), allow_pickle=False)


def write_predictions(folder: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the predictions of both splits into a folder.

    Parameters
    ----------
    folder : Path
        The folder, not yet published.
    predictions : mapping of str to Predictions
        By split.

    Examples
    --------
    >>> import tempfile
    >>> one = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.array([4]),
    ...     records=np.array(["r1"]),
    ...     patients=np.array(["p1"]),
    ...     y=np.array([[1]]),
    ...     p=np.array([[0.75]]),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_predictions(Path(folder), {"validation": one, "test": one})
    ...     read_arrays(Path(folder, PREDICTIONS).read_bytes())["test_p"].tolist()
    [[0.75]]
    """
    arrays: dict[str, Any] = {
        f"{split}_{name}": getattr(one, name)
        for split, one in predictions.items()
        for name in ARRAYS
    }
    np.savez_compressed(folder / PREDICTIONS, **arrays)


def publish_run(folder: Path, path: Path) -> None:
    """Rename a finished folder to that of a run, unless another process has finished it meanwhile.

    Parameters
    ----------
    folder : Path
        The folder with all its files.
    path : Path
        The run's folder; it is replaced if it is unfinished.

    Raises
    ------
    OSError
        If the folder cannot be renamed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder, path = Path(parent, "new"), Path(parent, "run")
    ...     folder.mkdir()
    ...     publish_run(folder, path)
    ...     path.is_dir(), folder.is_dir()
    (True, False)
    """
    if run_exists(path):
        return
    shutil.rmtree(path, ignore_errors=True)
    try:
        publish_folder(folder, path)
    except OSError:
        if not run_exists(path):
            raise


def hash_content(content: bytes) -> str:
    """Return the hash of a file's content.

    Examples
    --------
    >>> len(hash_content(b""))
    32
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def hash_values(values: dict[str, Any]) -> str:
    """Return the hash of plain values, whatever their order.

    Examples
    --------
    >>> hash_values({"a": 1, "b": 2}) == hash_values({"b": 2, "a": 1})
    True
    """
    return hash_content(json.dumps(values, sort_keys=True).encode())


def hash_files(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the hash of each file of a folder that exists.

    Examples
    --------
    >>> hash_files(Path("runs/none"), (METRICS,))
    {}
    """
    files = [folder / name for name in names]
    return {file.name: hash_content(file.read_bytes()) for file in files if file.is_file()}
