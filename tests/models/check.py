"""Helpers of the tests of models: small models, batches and `ecglib.models.checks`."""

import keras
import numpy as np
from backends import BACKEND

from ecglib.models.checks import CHECKS, Candidate
from ecglib.models.checks.tiny_models import (
    N_CLASSES,
    N_WINDOWS,
    SHAPES,
    build_tiny_model,
    compile_for_training,
    make_labels,
    make_windows,
    predict,
    scale,
    settle_statistics,
)

__all__ = [
    "N_CLASSES",
    "N_WINDOWS",
    "SHAPES",
    "assert_close",
    "build_tail",
    "build_tiny_model",
    "compile_for_training",
    "make_labels",
    "make_windows",
    "predict",
    "run_model_check",
    "scale",
    "settle_statistics",
]
# What cannot depend on the kind of the task, and takes seconds, is checked for one kind.
OF_ONE_KIND = ("each window for itself", "seeds", "float16", "learning")


def build_tail(model: keras.Model, names):
    """Return a function from the features of these branches to the model's output."""
    inputs = [model.get_layer(f"{name}_features").output for name in names]
    tail = keras.Model(inputs, model.output)
    return lambda *features: keras.ops.convert_to_numpy(
        tail([x.astype("float32") for x in features])
    )


def assert_close(found, expected, atol=1e-6, rtol=1e-7) -> None:
    """Compare tensors or arrays."""
    found, expected = keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected)
    np.testing.assert_allclose(found, expected, atol=atol, rtol=rtol)


def run_model_check(branches: dict, fusion: str, kind: str) -> None:
    """Check everything that a user relies on of a model with these branches and this fusion."""
    candidate = Candidate(branches=branches, fusion=fusion, kind=kind)
    for name, check in CHECKS.items():
        if kind == "multi_label" or name not in OF_ONE_KIND:
            assert check(candidate) == "", name
    if kind == "multi_label" and BACKEND == "tensorflow":
        check_feeding_by_tensorflow(candidate)


def check_feeding_by_tensorflow(candidate: Candidate) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(dict(reversed(candidate.batch.items()))).batch(12)
    whole = predict(candidate.model, candidate.batch)
    np.testing.assert_allclose(candidate.model.predict(dataset, verbose=0), whole, atol=1e-5)
