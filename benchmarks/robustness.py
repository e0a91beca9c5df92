"""The disturbances of windows, each against one prediction of the same windows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from benchmarks.noise import LEADS
from ecglib.datasets.schema import SignalSpec
from ecglib.experiment.contract import Processing

if TYPE_CHECKING:
    import keras

N_WINDOWS = 64
ROUNDS = 5
# All disturbances exist at this rate; mains hum needs more than 120 Hz.
SIGNAL = SignalSpec(sampling_rate_hz=250.0, n_samples=2500, leads=LEADS)
PREDICTION = "prediction"


def measure_disturbances() -> Figure:
    """The slowest disturbance of windows against one prediction of them by a CNN."""
    from ecglib.robustness import DISTURBANCES, Disturber

    shape = (N_WINDOWS, SIGNAL.n_samples, len(SIGNAL.leads))
    windows_mv = np.random.default_rng(0).standard_normal(shape, np.float32)
    disturber, numbers = Disturber(SIGNAL), np.arange(N_WINDOWS)
    model = _build_model()
    predict = functools.partial(model.predict, windows_mv, batch_size=N_WINDOWS, verbose=0)
    sides = {PREDICTION: Side(predict, N_WINDOWS)}
    for name in DISTURBANCES:
        severity = disturber.list_severities(name)[-1]
        run = functools.partial(disturber.disturb, windows_mv, numbers, name, severity)
        sides[name] = Side(run, N_WINDOWS)
    speeds = alternate(sides, ROUNDS, "robustness.disturbances")
    ratios = {name: compute_ratios(speeds[name], speeds[PREDICTION]) for name in DISTURBANCES}
    costs = {
        f"{name}, cost in predictions of the same windows": round(1 / float(np.median(one)), 2)
        for name, one in ratios.items()
    }
    return Figure(
        name="robustness.disturbances",
        what=(
            f"the slowest of {len(DISTURBANCES)} disturbances of {N_WINDOWS} windows of "
            f"{SIGNAL.n_samples} samples x {len(LEADS)} leads"
        ),
        against="one prediction of the same windows from mV by a CNN",
        floor=1.0,
        ratios=[min(one) for one in zip(*ratios.values(), strict=True)],
        detail=costs | compute_medians({PREDICTION: speeds[PREDICTION]}, "windows/s"),
    )


def _build_model() -> keras.Model:
    import ecglib._keras  # noqa: F401

    from ecglib.models import ModelSpec, build_model
    from ecglib.models.end_to_end import build_processing, build_window_model

    processing = Processing(
        band_hz=(0.5, 40.0),
        notch_hz=0.0,
        denoise=False,
        representations=("time",),
        representation_options={},
        crop_s=0.0,
        crop_hop_s=0.0,
        crop_aggregation="mean",
    )
    spec = ModelSpec(branches={"time": "cnn"}, fusion="none", n_classes=5, kind="multi_label")
    network = build_model({"time": (SIGNAL.n_samples, len(LEADS))}, spec)
    representations = build_processing(SIGNAL, processing)
    return build_window_model(SIGNAL, representations, network, processing, "multi_label")


FIGURES = {"disturbances": measure_disturbances}
