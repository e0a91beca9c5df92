"""What every model has to be able to do, whatever its encoders and fusion.

Each check takes a `Candidate` and returns what is wrong, or "". The tests of the encoders and
fusions of ecglib are these checks, in the manner of `run_backbone_test` of KerasHub.
"""

import contextlib
import functools
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

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
from ecglib.models.compilation import COMPILES
from ecglib.models.fusion.branches import OUTPUT

STEPS = 120  # of the training in `check_learning`
MIN_ACCURACY = 0.95
MIN_DIFFERENCE = 1e-3  # of the logarithms of probabilities of different windows
TOLERANCE = 1e-5
TOLERANCE_FLOAT16 = 0.01


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The parts of a small model that is checked.

    Parameters
    ----------
    branches : mapping of str to str
        Branch -> encoder.
    fusion : str, default "none"
        Name of the fusion.
    kind : {"multi_label", "multi_class"}
        Kind of the task. It decides only the last activation.

    Examples
    --------
    >>> candidate = Candidate(branches={"frequency": "mlp"})
    >>> check_probabilities(candidate), check_gradients(candidate)
    ('', '')
    """

    branches: Mapping[str, str]
    fusion: str = "none"
    kind: str = "multi_label"

    def build(self, **changes: Any) -> keras.Model:
        """Build the model, not scaled, with other settings where they are given."""
        return build_tiny_model(self.branches, self.fusion, self.kind, **changes)

    @functools.cached_property
    def batch(self) -> dict[str, np.ndarray]:
        """A batch of noise."""
        return make_windows(self.branches)

    @property
    def labels(self) -> np.ndarray:
        """Random labels of the batch."""
        return make_labels(self.kind)

    @functools.cached_property
    def model(self) -> keras.Model:
        """The model, scaled and settled; a check leaves its weights as they are."""
        return self.prepare(self.build())

    def prepare(self, model: keras.Model) -> keras.Model:
        """Scale a model, and settle its normalizations."""
        scale(model, self.batch)
        settle_statistics(model, self.batch)
        return model


Check = Callable[[Candidate], str]


def check_probabilities(candidate: Candidate) -> str:
    """Check shape and range of the output, and that it depends on the window.

    Examples
    --------
    >>> check_probabilities(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    model, names = candidate.model, [name for name in SHAPES if name in candidate.batch]
    p = predict(model, candidate.batch)
    if p.shape != (N_WINDOWS, N_CLASSES) or model.output_names != [OUTPUT]:
        return f"The output {model.output_names} has shape {p.shape}, expected one per class."
    if [x.name for x in model.inputs] != names:
        return f"The inputs are {[x.name for x in model.inputs]}, expected {names}."
    if not np.isfinite(p).all():
        return "The probabilities are NaN or infinite for windows of noise."
    if not ((p > 0) & (p < 1)).all():
        return f"The probabilities are in [{p.min():.3g}, {p.max():.3g}], expected in (0, 1)."
    if candidate.kind == "multi_class" and np.abs(p.sum(axis=1) - 1).max() > TOLERANCE:
        return "The probabilities of a multi-class task do not have the sum 1."
    if np.ptp(np.log(p), axis=0).min() <= MIN_DIFFERENCE:
        return (
            "Different windows get the same probabilities. Something discards the input: a "
            "multiplication by 0, an activation that is always 0, or a normalization of one value."
        )
    return ""


def check_feeding(candidate: Candidate) -> str:
    """Check that a window alone gets the probabilities that it gets in a batch.

    Examples
    --------
    >>> check_feeding(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    whole = predict(candidate.model, candidate.batch)
    for row in range(3):
        window = {name: x[row : row + 1] for name, x in candidate.batch.items()}
        if np.abs(predict(candidate.model, window)[0] - whole[row]).max() > TOLERANCE:
            return (
                "A window alone gets other probabilities than in a batch. A layer computes "
                "something over the windows: normalize over time or leads instead."
            )
    other_order = dict(reversed(candidate.batch.items()))
    if np.abs(candidate.model.predict(other_order, verbose=0) - whole).max() > TOLERANCE:
        return (
            "model.predict and a call of the model differ: a layer computes otherwise in a graph."
        )
    return ""


def check_layers(candidate: Candidate) -> str:
    """Check that there is no `Lambda` layer, and that other layers than Keras's are registered.

    Examples
    --------
    >>> check_layers(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    for layer in candidate.model._flatten_layers(include_self=False):
        kind = type(layer)
        if kind.__name__ == "Lambda":
            return (
                f"{layer.name!r} is a Lambda layer, which saves code that is executed when the "
                f"model is loaded. Write a layer class, or use keras.ops directly on the tensor."
            )
        name = keras.saving.get_registered_name(kind)
        is_builtin = kind.__module__.split(".")[0] == "keras"
        if not is_builtin and keras.saving.get_registered_object(name) is None:
            return (
                f"The layer class {kind.__name__} is not registered, so that a saved model cannot "
                f"be loaded. Put this line before the class: "
                f'@keras.saving.register_keras_serializable(package="{kind.__module__}")'
            )
    return ""


def check_saving(candidate: Candidate) -> str:
    """Check that a saved and loaded model, and one built from the configuration, are the same.

    Examples
    --------
    >>> check_saving(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    model, batch = candidate.model, candidate.batch
    expected = predict(model, batch)
    advice = (
        "A layer of one's own needs a get_config that returns each argument of its __init__, and "
        "weights made by self.add_weight."
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        try:
            model.save(path)
            loaded = keras.models.load_model(path, safe_mode=True)
            rebuilt = keras.Model.from_config(model.get_config())
        except Exception as error:  # whatever a layer or Keras raises
            problem = str(error).rpartition("Exception encountered: ")[2]
            problem = " ".join(problem.partition("Full object config")[0].split())
            return f"The model cannot be saved and loaded: {problem[:300]} {advice}"
    if np.abs(predict(loaded, batch) - expected).max() > TOLERANCE / 10:
        return f"The saved model predicts something else once it is loaded. {advice}"
    if rebuilt.get_config() != model.get_config():
        return f"A model built from the configuration has another configuration. {advice}"
    rebuilt.set_weights(model.get_weights())
    scale(rebuilt, batch)
    if np.abs(predict(rebuilt, batch) - expected).max() > TOLERANCE / 10:
        return f"A model built from the configuration predicts something else. {advice}"
    return ""


def check_gradients(candidate: Candidate) -> str:
    """Check that the gradient reaches every weight.

    Examples
    --------
    >>> check_gradients(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    # Not as a graph, which takes longer to trace; those of float16 and of the learning are graphs.
    return _find_weight_without_gradient(candidate, candidate.model, run_eagerly=not COMPILES)


def check_seeds(candidate: Candidate) -> str:
    """Check that the seed, and nothing else, decides the initial weights and what is dropped.

    Examples
    --------
    >>> check_seeds(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    built = []
    for global_seed, seed in ((98, 1), (99, 1), (99, 2)):
        with _seed_everything(global_seed):
            model = candidate.build(seed=seed)
            scale(model, candidate.batch)
            weights = _list_initial_weights(model)
            outputs = keras.ops.convert_to_numpy(model(candidate.batch, training=True))
        built.append((weights, outputs))
    (first, outputs), (again, outputs_again), (other, _) = built
    advice = (
        "Draw random numbers with a seed from the argument `seed`, not from NumPy or without one."
    )
    for (name, values), (_, repeated) in zip(first, again, strict=True):
        if not np.array_equal(values, repeated):
            return f"Two models with one seed differ in the weights {name}. {advice}"
    if not np.array_equal(outputs, outputs_again):
        return f"Two models with one seed drop different values in training. {advice}"
    # Constant ones, such as a scale that begins at 0, do not depend on a seed.
    kernels = []
    for (name, values), (_, different) in zip(first, other, strict=True):
        if ("kernel" in name or "embedding" in name) and np.ptp(values):
            if np.array_equal(values, different):
                return f"Two models with different seeds have the same weights {name}. {advice}"
            kernels.append(values.tobytes())
    if len(set(kernels)) < len(kernels):
        return "Two layers begin with the same weights. Give each layer another seed."
    return ""


def check_mixed_precision(candidate: Candidate) -> str:
    """Check that the model predicts nearly the same in float16, and can be trained.

    Examples
    --------
    >>> check_mixed_precision(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = candidate.build()
    finally:
        keras.config.set_dtype_policy(before)
    candidate.prepare(mixed)
    p, expected = predict(mixed, candidate.batch), predict(candidate.model, candidate.batch)
    if {weight.dtype for weight in mixed.trainable_weights} != {"float32"}:
        return "Not all weights are float32 with precision='mixed_float16'. Use self.add_weight."
    if p.dtype != np.float32:
        return f"The probabilities are {p.dtype} with precision='mixed_float16', expected float32."
    if not np.abs(p - expected).max() <= TOLERANCE_FLOAT16:
        return (
            f"With precision='mixed_float16' the probabilities differ by up to "
            f"{np.abs(p - expected).max():.3g}. Compute what needs it in float32, by a layer with "
            f"dtype='float32'."
        )
    # On JAX without XLA, which has no gradient of attention in float16 on a CPU.
    return _find_weight_without_gradient(candidate, mixed, run_eagerly=COMPILES)


def check_learning(candidate: Candidate) -> str:
    """Check that the model learns the labels of one batch by heart, for one of two seeds.

    So small a network may get stuck by chance.

    Examples
    --------
    >>> check_learning(Candidate(branches={"frequency": "mlp"}))
    ''
    """
    batch, y = candidate.batch, candidate.labels
    # The same batch repeated in one epoch: an epoch costs more than such a step.
    repeated_batch = {name: np.concatenate([x] * STEPS) for name, x in batch.items()}
    repeated_y = np.concatenate([y] * STEPS)
    accuracies = []
    for seed in (1, 2):
        model = candidate.build(dropout=0.0, seed=seed)
        scale(model, batch)
        fitted = compile_for_training(model, candidate.kind, keras.optimizers.Adam(0.01))
        fitted.fit(repeated_batch, repeated_y, batch_size=len(y), shuffle=False, verbose=0)
        settle_statistics(model, batch)
        accuracies.append(((predict(model, batch) > 0.5) == (y > 0.5)).mean())
        if accuracies[-1] > MIN_ACCURACY:
            return ""
    return (
        f"After {STEPS} steps on one batch of {len(y)} windows it predicts "
        f"{max(accuracies):.0%} of their random labels, expected over {MIN_ACCURACY:.0%}. Look for "
        f"a layer that passes little on, such as a pooling over everything at the beginning."
    )


CHECKS: Mapping[str, Check] = {
    "probabilities": check_probabilities,
    "each window for itself": check_feeding,
    "registered layers": check_layers,
    "saving and loading": check_saving,
    "gradients": check_gradients,
    "seeds": check_seeds,
    "float16": check_mixed_precision,
    "learning": check_learning,
}


class GradientRecorder(keras.optimizers.Optimizer):
    """Puts the gradient of each weight in place of the weight, on any backend.

    Examples
    --------
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(GradientRecorder(1.0), loss="mean_absolute_error")
    >>> _ = model.train_on_batch(np.array([[3.0]]), np.array([[-1e6]]))
    >>> model.get_weights()[0].tolist()
    [[3.0]]
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign(variable, keras.ops.cast(gradient, variable.dtype))


def _find_weight_without_gradient(
    candidate: Candidate, model: keras.Model, run_eagerly: bool = False
) -> str:
    """Name the first weight that the gradient does not reach; the weights stay as they are."""
    saved = model.get_weights()
    fitted = compile_for_training(model, candidate.kind, GradientRecorder(1.0, name="recorder"))
    weights = fitted.trainable_weights
    if not weights or len(weights) != len(model.trainable_weights):
        return (
            f"{len(weights)} of {len(model.trainable_weights)} weights are trained. A fusion whose "
            f"name begins with late_ has no weights besides those of its branches."
        )
    for weight in weights:
        # An initial scale of 0 (a residual block that starts as the identity) blocks gradients at
        # first; it is no longer 0 after one step.
        if not weight.path.endswith(("bias", "beta")) and not keras.ops.any(weight.value):
            weight.assign(keras.ops.full_like(weight.value, 0.1))
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of weights without gradients
        fitted.run_eagerly = run_eagerly
        fitted.train_on_batch(candidate.batch, candidate.labels)
        fitted.run_eagerly = False
    after = [keras.ops.convert_to_numpy(weight) for weight in weights]
    names = [weight.path for weight in weights]
    model.set_weights(saved)
    for name, old, gradient in zip(names, before, after, strict=True):
        if np.array_equal(old, gradient) or not gradient.any():
            return (
                f"The gradient does not reach the weights {name}: they would never be trained. Use "
                f"the layer's output, or remove the layer."
            )
        if not np.isfinite(gradient).all():
            return f"The gradient of the weights {name} is NaN or infinite."
    return ""


def _list_initial_weights(model: keras.Model) -> list[tuple[str, np.ndarray]]:
    """List all weights with their paths, trained or not, but for statistics of data and seeds."""
    excluded = ("_scaling/", "moving_", "seed_generator")
    return [
        (weight.path, keras.ops.convert_to_numpy(weight).copy())
        for weight in model.weights
        if not any(part in weight.path for part in excluded)
    ]


@contextlib.contextmanager
def _seed_everything(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy and Keras in the block; those of Python are restored."""
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
