"""A source of noise with the shape of an ECG, and the folder of the real datasets."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.measure import SkippedError
from ecglib.datasets.schema import Record, SignalSpec, Task

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ = 100.0
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
TASK = Task("noise", "multi_label", {"A": ["A"], "B": ["B"]})


class NoiseSource:
    """A source of noise: each record has `n_windows` adjacent windows of `n_samples` samples."""

    name = "noise"
    synthetic = True
    description = "Noise, for benchmarks."
    citation = ""
    tasks = {TASK.name: TASK}
    tabular = ()
    columns: ClassVar[dict[str, str]] = {}
    caveats = ("noise",)
    version = 1

    def __init__(self, n_records: int, n_samples: int = 1000, n_windows: int = 1) -> None:
        self._n_records = n_records
        self._n_windows = n_windows
        self.signal = SignalSpec(RATE_HZ, n_samples, LEADS)
        self.options = {"n_records": n_records, "n_windows": n_windows}

    def hash_content(self) -> str:
        return ""

    def count_records(self) -> int:
        return self._n_records

    def read_records(self) -> Iterator[Record]:
        n_samples = self.signal.n_samples
        rng = np.random.default_rng(0)
        for i in range(self._n_records):
            shape = (self._n_windows * n_samples, len(LEADS))
            signal_mv = rng.standard_normal(shape, np.float32).astype(np.float64)
            windows = [
                {
                    "patient": f"p{i}",
                    "labels": ["AB"[i % 2]],
                    "part": "train",
                    "start": n_samples * window,
                    "length": n_samples,
                }
                for window in range(self._n_windows)
            ]
            yield Record.from_mv(f"r{i}", signal_mv, windows)

    def count_excluded(self) -> dict[str, int]:
        return {}


def find_real_data(name: str) -> Path:
    """Return the folder of a real dataset.

    Raises
    ------
    SkippedError
        If there is no such folder.
    """
    folder = Path(os.environ.get("ECG_SHARED_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        raise SkippedError(f"no data at {folder}; set ECG_SHARED_DATA to the folder above it")
    return folder
