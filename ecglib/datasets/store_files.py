"""Read the files of a store, and verify that they are the ones that were prepared.

Nothing that a store says of itself is believed. ``dataset.json`` holds

- ``checksum``: hash of everything else in it;
- ``files``: hash of each other file. That of the window table is checked whenever the store is
  opened, those of the samples and of the list of problems by `verify_store`;
- ``content``: hash of the values of the window table, among them the hash of each window's samples;
- ``fingerprint``: hash of the signal spec, the tasks, all options and ``content``. Runs name it. It
  depends neither on the machine nor on the versions of the libraries that wrote the files.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm.auto import tqdm

from ecglib.datasets.request import REQUEST, encode_values
from ecglib.errors import DatasetError
from ecglib.splits import count_shared_patients

SUMMARY, SIGNALS, WINDOWS, PROBLEMS = (
    "dataset.json",
    "signals.npy",
    "windows.parquet",
    "problems.csv",
)
FORMAT = 4
CHUNK_BYTES = 1 << 20
MAX_REASON = 200  # characters of a message: that of another library may quote the file


def read_summary(path: Path) -> dict[str, Any]:
    """Read and verify ``dataset.json`` of a store.

    Parameters
    ----------
    path : Path
        The store's folder.

    Returns
    -------
    dict
        The content.

    Raises
    ------
    DatasetError
        If the file is missing, broken, changed or of another format.

    Examples
    --------
    >>> read_summary(Path("nowhere"))
    Traceback (most recent call last):
    ecglib.errors.DatasetError: nowhere is not a complete store: dataset.json is missing. ...
    """
    try:
        summary = json.loads((path / SUMMARY).read_bytes())
    except FileNotFoundError:
        raise _make_broken_error(path, f"{SUMMARY} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _make_broken_error(path, f"{SUMMARY} cannot be read ({error})") from None
    if not isinstance(summary, dict):
        raise _make_broken_error(path, f"{SUMMARY} holds no names and values")
    if (found := summary.get("format", "3 or less")) != FORMAT:
        raise DatasetError(
            f"{path} has format {found}, expected {FORMAT}: another version of ecglib wrote it. "
            f"Remove the folder and prepare it again (`ecglib prepare`)."
        )
    is_unchanged = summary.get("checksum") == compute_checksum(summary)
    if not is_unchanged or summary["fingerprint"] != compute_fingerprint(summary):
        raise _make_changed_error(path, SUMMARY)
    return summary


def read_windows(path: Path, summary: dict[str, Any]) -> pd.DataFrame:
    """Read and verify the window table of a store.

    Parameters
    ----------
    path : Path
        The store's folder.
    summary : dict
        What `read_summary` returned.

    Returns
    -------
    DataFrame
        The window table.

    Raises
    ------
    DatasetError
        If the file is missing or changed, or ``dataset.json`` counts other shared patients.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     windows = read_windows(dataset.path, dataset.summary)
    >>> windows["record"][0]
    'synthetic-00001'
    """
    try:
        content = pa.memory_map(str(path / WINDOWS)).read_buffer()
        # Before anything is parsed: a changed file may ask the parser for any amount of memory.
        if hashlib.blake2b(content).hexdigest() != summary["files"][WINDOWS]:
            raise _make_changed_error(path, WINDOWS)
        windows = pd.read_parquet(pa.BufferReader(content))
    except (OSError, pa.ArrowException) as error:
        raise _make_broken_error(path, f"{WINDOWS} cannot be read ({error})") from None
    for column, report in summary["leaks"].items():
        n_shared = count_shared_patients(windows, column)
        if (n_reported := report["shared_patients"]["count"]) != n_shared:
            raise DatasetError(
                f"{path} is not to be trusted: {SUMMARY} reports {n_reported} shared patients in "
                f"the column {column!r}, but there are {n_shared}. Remove the folder and run "
                f"`ecglib prepare` again."
            )
    return windows


def open_signals(path: Path, summary: dict[str, Any]) -> np.ndarray:
    """Open the samples of a store; `verify_store` verifies their values.

    Parameters
    ----------
    path : Path
        The store's folder.
    summary : dict
        What `read_summary` returned.

    Returns
    -------
    int16 array of shape (n_samples_of_all_records, n_leads)
        The samples in 0.001 mV, memory-mapped.

    Raises
    ------
    DatasetError
        If the file is missing, cut short, or of another shape or type.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     steps = open_signals(dataset.path, dataset.summary)
    >>> steps.shape[1]
    12
    """
    expected = (summary["n_samples"], len(summary["signal"]["leads"]))
    try:
        signals = np.load(path / SIGNALS, mmap_mode="r")
    except Exception as error:  # whatever NumPy raises for such a header
        raise _make_broken_error(path, f"{SIGNALS} cannot be read whole ({error})") from None
    if not isinstance(signals, np.memmap):
        raise _make_broken_error(path, f"{SIGNALS} is not a .npy file")
    if signals.shape != expected or signals.dtype != np.int16 or not signals.flags.c_contiguous:
        raise _make_broken_error(
            path, f"{SIGNALS} holds {signals.dtype}{signals.shape}, expected int16{expected}"
        )
    return signals


def verify_store(path: str | Path, progress: bool = True) -> None:
    """Verify every byte of a store, also the samples, which opening it does not read.

    Parameters
    ----------
    path : str or Path
        The store's folder.
    progress : bool, default True
        Whether to show a progress bar if it takes longer than a second (about 1 GB per s).

    Raises
    ------
    DatasetError
        If a file is missing, or not as it was prepared.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     verify_store(dataset.path)
    ...     with open(dataset.path / "signals.npy", "r+b") as file:
    ...         _ = file.seek(-1, 2), file.write(b"?")
    ...     verify_store(dataset.path)
    Traceback (most recent call last):
    ecglib.errors.DatasetError: ... signals.npy was changed after it was prepared. ...
    """
    path = Path(path)
    summary = read_summary(path)
    read_windows(path, summary)
    open_signals(path, summary)
    for name, expected in summary["files"].items():
        try:
            found = hash_file(path / name, progress)
        except OSError as error:
            raise _make_broken_error(path, f"{name} cannot be read ({error})") from None
        if found != expected:
            raise _make_changed_error(path, name)


def hash_file(path: Path, progress: bool = False) -> str:
    """Hash a file, a piece at a time.

    Parameters
    ----------
    path : Path
        The file.
    progress : bool, default False
        Whether to show a progress bar if it takes longer than a second.

    Returns
    -------
    str
        BLAKE2b of its content, in hexadecimal.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     _ = path.write_bytes(b"abc")
    ...     hash_file(path)[:16]
    'ba80a53f981c4d0d'
    """
    content = hashlib.blake2b()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    bar = tqdm(
        total=os.path.getsize(path),
        desc=f"verify {path.name}",
        unit="B",
        unit_scale=True,
        delay=1.0,
        disable=not progress,
    )
    with bar, open(path, "rb", buffering=0) as file:
        while n_bytes := file.readinto(buffer):
            content.update(buffer[:n_bytes])
            bar.update(n_bytes)
    return content.hexdigest()


def compute_checksum(summary: dict[str, Any]) -> str:
    """Compute the hash of everything in ``dataset.json`` but that hash itself.

    Parameters
    ----------
    summary : dict
        The content of ``dataset.json``.

    Returns
    -------
    str
        The hash, in hexadecimal.

    Examples
    --------
    >>> checksum = compute_checksum({"classes": {"A": ["a"], "B": ["b"]}})
    >>> checksum == compute_checksum({"classes": {"B": ["b"], "A": ["a"]}, "checksum": "0"})
    False
    """
    values = {name: value for name, value in summary.items() if name != "checksum"}
    return _hash_text(json.dumps(values), 32)  # the order of tasks, classes and leads counts


def compute_fingerprint(summary: dict[str, Any]) -> str:
    """Compute the hash of all that decides what a model is trained and scored on.

    Parameters
    ----------
    summary : dict
        The content of ``dataset.json``: the request (without the hash of the source's files), the
        hash of the window table and the pairs of near-identical records.

    Returns
    -------
    str
        16 hexadecimal digits.

    Examples
    --------
    >>> summary = {"name": "mine", "signal": {"sampling_rate_hz": 100.0}, "content": "0"}
    >>> changed = summary | {"signal": {"sampling_rate_hz": 250.0}}
    >>> compute_fingerprint(summary) == compute_fingerprint(changed)
    False
    """
    names = (*(name for name in REQUEST if name != "source"), "n_records", "n_samples", "content")
    identity = {name: summary.get(name) for name in names}
    # The correlation of a pair may differ in its last digit on another processor.
    identity["pairs"] = [[a, b] for a, b, _ in summary.get("near_identical_records", ())]
    return _hash_text(encode_values(identity), 8)


def _hash_text(text: str, n_bytes: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=n_bytes).hexdigest()


def _make_broken_error(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is not a complete store: {what[:MAX_REASON]}. Remove the folder and "
        f"run `ecglib prepare` again."
    )


def _make_changed_error(path: Path, name: str) -> DatasetError:
    return DatasetError(
        f"{path} is not to be trusted: {name} was changed after it was prepared. Remove the folder "
        f"and run `ecglib prepare` again. Do not use runs that were trained on it since."
    )
