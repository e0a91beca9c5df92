"""Class scores of small models for the tests of explanations."""

import numpy as np

from ecglib.explain import (
    Axis,
    ClassScore,
    ModelInput,
    ScoreModel,
    build_score_model,
)
from ecglib.models import ModelSpec, build_model, set_scaling

RATE_HZ = 100.0
SHAPES = {"time": (64, 2), "frequency": (20, 2), "spectrogram": (8, 8, 2)}
ENCODERS = {"time": "cnn", "time_2": "cnn", "frequency": "mlp", "spectrogram": "cnn2d"}
AXES = {
    "time": ("time", "lead"),
    "frequency": ("frequency", "lead"),
    "spectrogram": ("time", "frequency", "lead"),
}


def describe_input(shape, names=("time", "lead"), unit="mV"):
    """Describe an input of any shape, with the baseline 0 and leads named by numbers."""
    axes = tuple(make_axis(name, n) for name, n in zip(names, shape, strict=True))
    return ModelInput(axes=axes, unit=unit, baseline=np.zeros(shape, np.float32))


def make_axis(name, n):
    if name == "time":
        return Axis(name=name, unit="s", values=np.arange(n) / RATE_HZ)
    if name == "frequency":
        return Axis(name=name, unit="Hz", values=np.arange(1, n + 1) * 1.0)
    return Axis(name=name, unit="", values=np.array([f"{name} {k}" for k in range(n)]))


def make_target(model, inputs, class_name="A", names=("time", "lead"), kind="multi_label"):
    """Make the score of a class from a model that gives the probabilities of A, B, ..."""
    described = {key: describe_input(x.shape[1:], names) for key, x in inputs.items()}
    scores = ScoreModel(
        model=build_score_model(model, kind),
        classes=tuple("ABCDE"[: model.output_shape[-1]]),
        inputs=described,
    )
    n_windows = len(next(iter(inputs.values())))
    windows = tuple(f"window {k}" for k in range(n_windows))
    return ClassScore(scores=scores, inputs=inputs, class_name=class_name, windows=windows)


def make_noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def build_fusion(fusion, branches=("time", "frequency", "spectrogram"), **settings):
    """Build a fusion whose scaling subtracts 0.3 from its representations."""
    spec = ModelSpec(
        branches={name: ENCODERS[name] for name in branches},
        fusion=fusion,
        n_classes=2,
        kind="multi_label",
        width=4,
        feature_dim=8,
        **settings,
    )
    names = [name for name in SHAPES if name in branches]
    network = build_model({name: SHAPES[name] for name in names}, spec)
    scaling = {}
    for name in names:
        shape = network.get_layer(f"{name}_scaling").weights[0].shape
        scaling[name] = (np.full(shape, 0.3), np.ones(shape))
    set_scaling(network, scaling)
    return network


def make_fusion_target(network, n_windows=3):
    """Make the score of class B of a network from its representations, for windows of noise."""
    inputs = {
        x.name: make_noise(n_windows, *x.shape[1:], seed=k) for k, x in enumerate(network.inputs)
    }
    described = {name: describe_input(x.shape[1:], AXES[name]) for name, x in inputs.items()}
    return ClassScore(
        scores=ScoreModel(
            model=build_score_model(network, "multi_label"), classes=("A", "B"), inputs=described
        ),
        inputs=inputs,
        class_name="B",
        windows=tuple(f"window {k}" for k in range(n_windows)),
    )
