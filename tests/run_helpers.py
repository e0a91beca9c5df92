"""Runs that are plain objects with simulated probabilities."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.special import expit

from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.summary import score_with_intervals
from ecglib.experiment import Environment, Experiment
from ecglib.runs import Run

N_WINDOWS = 400
ENVIRONMENT = Environment(code="0123", commit="", threads=1, versions={"keras": "3.15"})


def make_experiment(**changes):
    settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    return Experiment.from_flat(settings | changes)


def simulate_predictions(strength, seed):
    rng = np.random.default_rng(0)
    y = (rng.random((N_WINDOWS, 2)) < 0.4).astype(np.float32)
    noise = rng.normal(0, 1.5, y.shape) + np.random.default_rng([1, seed]).normal(0, 0.3, y.shape)
    patients = np.array([f"p{i // 4}" for i in range(N_WINDOWS)])
    return Predictions(
        kind="multi_label",
        classes=("A", "B"),
        rows=np.arange(N_WINDOWS),
        records=patients,
        patients=patients,
        y=y,
        p=expit(strength * (2 * y - 1) + noise),
    )


class SimulatedRun(Run):
    """A run without files."""

    def __init__(self, **values):
        vars(self).update(values)


def make_run(strength, caveats=("synthetic data",), **changes):
    """A run whose model separates the classes by `strength`."""
    experiment = make_experiment(**changes)
    size = experiment.model.target_parameters or 10 * len(experiment.model.branches)
    predictions = simulate_predictions(strength, experiment.training.seed)
    scores = score_with_intervals(predictions, [0.5, 0.5])
    return SimulatedRun(
        path=Path("runs/batch") / experiment.run_name,
        experiment=experiment,
        environment=ENVIRONMENT,
        contract=SimpleNamespace(thresholds=(0.5, 0.5), caveats=caveats),
        metrics={"validation": scores, "test": scores, "model": {"parameters": size}},
        predictions=lambda split: predictions,
    )
