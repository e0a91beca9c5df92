"""Shared by several tests: small sources, and the folder of the real data."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, sosfilt

from ecglib.datasets.schema import Task
from ecglib.datasets.sources.arrays import ArraysSource, Recordings

RATE_HZ = 100.0
N_SAMPLES = 400
LEADS = ("I", "II", "V1")
SHARED = Path(os.environ.get("ECG_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def find_shared_data(name: str) -> Path:
    """Find the folder of a real dataset; skip the test, naming what is missing, if it is absent."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} (set ECG_SHARED_DATA to the folder above it)")
    return folder


def make_small_source(n_records=96, n_patients=48, seed=0, kind="multi_label", **options):
    """Make records whose classes are easy to tell: A has slow waves and is old, B has fast waves.

    The age of every seventh record is missing.
    """
    rng = np.random.default_rng(seed)
    patients = np.arange(n_records) % n_patients
    flags = rng.random((n_records, 2)) < 0.5
    if kind == "multi_class":
        flags[:, 1] = ~flags[:, 0]
    shape = (n_records, N_SAMPLES, len(LEADS))
    signals = 0.2 * rng.standard_normal(shape)
    for column, band_hz in enumerate([(2, 5), (12, 20)]):
        filter_ = butter(2, band_hz, "band", fs=RATE_HZ, output="sos")
        waves = sosfilt(filter_, rng.standard_normal(shape), axis=1)
        signals += flags[:, column, None, None] * waves
    labels = [[c for c, on in zip("AB", row, strict=True) if on] for row in flags]
    names = [f"r{i:03d}" for i in range(n_records)]
    age = 40 + 30 * flags[:, 0] + np.arange(n_records) % 5.0
    age[::7] = np.nan
    table = pd.DataFrame(
        {
            "record": names,
            "patient": [f"p{p:02d}" for p in patients],
            "labels": labels,
            "age": age,
        }
    )
    task = Task("letters", kind, {"A": ["A"], "B": ["B"]})
    return ArraysSource("small", make_recordings(signals, names), table, task, **options)


def make_short_source(n_records=80, n_patients=40, kind="multi_label"):
    """Make records of 0.6, 1.5 and 4 s of noise in windows of 4 s, the rest padded with 0 mV."""
    rng = np.random.default_rng(0)
    lengths = [(N_SAMPLES, 150, 60)[i % 3] for i in range(n_records)]
    signals = [0.3 * rng.standard_normal((length, len(LEADS))) for length in lengths]
    names = [f"r{i:03d}" for i in range(n_records)]
    patients = [f"p{i % n_patients:02d}" for i in range(n_records)]
    labels = [["AB"[(i // 3) % 2]] for i in range(n_records)]
    table = pd.DataFrame({"record": names, "patient": patients, "labels": labels})
    task = Task("letters", kind, {"A": ["A"], "B": ["B"]})
    return ArraysSource("short", make_recordings(signals, names), table, task)


def make_recordings(signals, names):
    return Recordings(
        signals=signals, names=names, sampling_rate_hz=RATE_HZ, leads=LEADS, unit="mV"
    )
