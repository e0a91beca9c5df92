"""Class scores of small models for the tests of explanations."""

import numpy as np

from ecglib.explain import (
    Axis,
    ClassScore,
    ModelInput,
    ScoreModel,
    build_score_model,
)

RATE_HZ = 100.0


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
