"""Contestants whose scores are set by one number, for the tests of the evaluation."""

from dataclasses import replace

import numpy as np
from scipy.special import expit

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions

N_PATIENTS = 300
CLASSES = ("NORM", "MI")
FUSED = ("time:cnn", "frequency:mlp", "spectrogram:cnn2d")


def make_predictions(strength, noise_seed, n_patients=N_PATIENTS, noise=0.1, split="test"):
    """Predictions that separate two classes by `strength`, with one window for each patient.

    All models see the same labels and the same noise of the data; each training adds its own.
    """
    rng = np.random.default_rng([{"test": 0, "validation": 1}[split], n_patients])
    y = (rng.random((n_patients, len(CLASSES))) < [0.3, 0.5]).astype("float32")
    logits = strength * (2 * y - 1) + rng.normal(0, 1.5, y.shape)
    logits += noise * np.random.default_rng(noise_seed).normal(size=y.shape)
    return Predictions(
        kind="multi_label",
        classes=CLASSES,
        rows=np.arange(n_patients),
        records=np.array([f"record {i}" for i in range(n_patients)]),
        patients=np.array([f"patient {i:04d}" for i in range(n_patients)]),
        y=y,
        p=expit(logits),
    )


def make_contestant(
    name="time:cnn", role="single", branches=None, strength=1.0, seed=0, validation=None, **other
):
    """One seed of a model; `validation` is its strength on the validation split, if another.

    `n_patients` and `noise` are those of `make_predictions`; all else are fields of `Contestant`.
    """
    size = {key: other.pop(key) for key in ("n_patients", "noise") if key in other}
    noise_seed = [seed, *name.encode()]
    return Contestant(
        name=name,
        role=role,
        branches=branches or (name,),
        seed=seed,
        predictions=make_predictions(strength, noise_seed, **size),
        thresholds=np.array([0.5, 0.5]),
        validation=make_predictions(
            strength if validation is None else validation, noise_seed, split="validation", **size
        ),
        **({"parameters": 1000} | other),
    )


def make_fusion(strength, name="intermediate_gated", branches=FUSED, **other):
    return make_contestant(name, "fusion", branches, strength, **other)


def make_ensemble(strength, branch="time:cnn", ensemble_size=3, **other):
    name = f"{ensemble_size} x {branch}"
    return make_contestant(
        name, "ensemble", (branch,), strength, ensemble_size=ensemble_size, **other
    )


def make_widened(strength, parameters, branch="time:cnn", **other):
    name = f"{branch} widened to {parameters}"
    return make_contestant(name, "widened", (branch,), strength, parameters=parameters, **other)


def make_seeds(make, *arguments, n_seeds=5, **other):
    """Several seeds of one model."""
    return [make(*arguments, seed=seed, **other) for seed in range(n_seeds)]


def replace_predictions(one, **changes):
    """The same model with other values in its test predictions."""
    return replace(one, predictions=replace(one.predictions, **changes))
