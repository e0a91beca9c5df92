"""Tabular values computed from signals: beats, heart rate."""

from ecglib.datasets.tabular.beats import INTERVALS, SHAPES, compute_beat_values
from ecglib.datasets.tabular.heart_rate import (
    HEART_RATE,
    compute_heart_rate,
    find_r_peaks,
    load_or_compute_heart_rate,
)

__all__ = [
    "HEART_RATE",
    "INTERVALS",
    "SHAPES",
    "compute_beat_values",
    "compute_heart_rate",
    "find_r_peaks",
    "load_or_compute_heart_rate",
]
