"""Helpers of the tests of models: small models, batches, and one check for all of them.

The check is in the manner of `run_backbone_test` of KerasHub.
"""

import keras
import numpy as np
from backends import BACKEND, compute_weight_gradients

from ecglib.experiment.branches import list_representations
from ecglib.models import (
    BranchLoss,
    ModelSpec,
    build_model,
    build_training_model,
    find_scaling_axes,
    set_scaling,
)

SHAPES = {
    "time": (128, 2),
    "frequency": (20, 2),
    "spectrogram": (8, 10, 2),
    "scalogram": (12, 9, 2),
    "tabular": (12,),
}
N_WINDOWS = 32
N_CLASSES = 3
STEPS = 80


def build_tiny_model(
    branches: dict, fusion: str, kind: str = "multi_label", **changes
) -> keras.Model:
    """Build a small model with the shapes of `SHAPES`."""
    shapes = {name: SHAPES[name] for name in list_representations(branches)}
    sizes = {"width": 8, "feature_dim": 8, "dropout": 0.2, "seed": 1, **changes}
    settings = ModelSpec(branches=branches, fusion=fusion, n_classes=N_CLASSES, kind=kind, **sizes)
    return build_model(shapes, settings)


def make_windows(branches, n_windows: int = N_WINDOWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Make a batch of noise far from mean 0 and variance 1, like the representations.

    In every third window the first tabular value is missing.
    """
    random = np.random.default_rng(seed)
    batch = {
        name: random.normal(3.0, 0.1, (n_windows, *SHAPES[name])).astype("float32")
        for name in list_representations(branches)
    }
    if "tabular" in batch:
        batch["tabular"][::3, 0] = np.nan
    return batch


def make_labels(kind: str, n_windows: int = N_WINDOWS, seed: int = 1) -> np.ndarray:
    """Make random labels, multi-hot or one-hot."""
    random = np.random.default_rng(seed)
    if kind == "multi_class":
        return np.eye(N_CLASSES, dtype="float32")[random.integers(N_CLASSES, size=n_windows)]
    return random.integers(2, size=(n_windows, N_CLASSES)).astype("float32")


def scale(model: keras.Model, batch: dict) -> None:
    """Set the scaling of a model from one batch."""
    statistics = {}
    for name, x in batch.items():
        axes = find_scaling_axes(name, x.ndim)
        statistics[name] = (np.nanmean(x, axis=axes), np.nanvar(x, axis=axes))
    set_scaling(model, statistics)


def compile_for_training(model: keras.Model, kind: str, optimizer) -> keras.Model:
    """Return the model to fit, compiled with the loss of its kind of task."""
    loss = (
        keras.losses.BinaryCrossentropy()
        if kind == "multi_label"
        else keras.losses.CategoricalCrossentropy()
    )
    trained, has_branch_output = build_training_model(model)
    trained.compile(optimizer, BranchLoss(loss) if has_branch_output else loss, jit_compile=False)
    return trained


def settle_statistics(model: keras.Model, batch: dict) -> None:
    """Set the moving averages of the normalizations from this batch, as training does slowly.

    With the initial ones a deep network predicts with channels that grow from block to block.
    """
    normalizations = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    model(batch, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum


def list_initial_weights(model: keras.Model) -> list:
    """List all weights, trained or not, except statistics of the data."""
    return [w for w in model.weights if "_scaling/" not in w.path and "moving_" not in w.path]


def predict(model: keras.Model, batch: dict) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(batch, training=False))


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


def run_model_check(branches: dict, fusion: str, kind: str, folder) -> None:
    """Check everything that a user relies on of a model with these branches and this fusion.

    The kind of the task decides only the last activation, so slow checks that cannot depend on it
    are run for one kind.
    """
    model, batch = build_tiny_model(branches, fusion, kind), make_windows(branches)
    scale(model, batch)
    settle_statistics(model, batch)
    _check_probabilities(model, batch, kind)
    _check_round_trips(model, batch, folder)
    if kind == "multi_label":
        _check_feeding(model, batch)
        _check_seeds(model, branches, fusion, kind)
        _check_mixed_precision(model, branches, fusion, kind)
        _check_overfitting(branches, fusion, kind)
    _check_gradients(model, batch, kind)  # last: it changes the averages of the normalization


def _check_probabilities(model, batch, kind):
    p = predict(model, batch)
    assert p.shape == (N_WINDOWS, N_CLASSES)
    assert [x.name for x in model.inputs] == [name for name in SHAPES if name in batch]
    assert model.output_names == ["probabilities"]
    assert ((p > 0) & (p < 1)).all()
    if kind == "multi_class":
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    # Different windows have different probabilities, also of an unlikely class.
    assert np.ptp(np.log(p), axis=0).min() > 1e-3


def _check_feeding(model, batch):
    whole = predict(model, batch)
    other_order = dict(reversed(batch.items()))
    np.testing.assert_allclose(model.predict(other_order, verbose=0), whole, atol=1e-5)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices(other_order).batch(12)
        np.testing.assert_allclose(model.predict(dataset, verbose=0), whole, atol=1e-5)
    for row in range(3):
        alone = predict(model, {name: x[row : row + 1] for name, x in batch.items()})
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-5)


def _check_round_trips(model, batch, folder):
    expected = predict(model, batch)
    path = folder / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    np.testing.assert_allclose(predict(loaded, batch), expected, atol=1e-6)

    rebuilt = keras.Model.from_config(model.get_config())
    assert rebuilt.get_config() == model.get_config()
    rebuilt.set_weights(model.get_weights())
    scale(rebuilt, batch)
    np.testing.assert_allclose(predict(rebuilt, batch), expected, atol=1e-6)


def _check_gradients(model, batch, kind):
    fitted = compile_for_training(model, kind, "sgd")
    y = make_labels(kind)
    for weight in model.trainable_weights:
        # An initial scale of 0 (a residual block that starts as the identity) blocks gradients at
        # first; it is no longer 0 after one step.
        if weight.path.endswith("gamma") and not keras.ops.any(weight.value):
            weight.assign(keras.ops.full_like(weight.value, 0.1))
    gradients = compute_weight_gradients(fitted, batch, lambda outputs: fitted.loss(y, outputs))
    assert len(gradients) == len(model.trainable_weights) > 0
    for weight, gradient in zip(fitted.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert keras.ops.max(keras.ops.abs(gradient)) > 0, weight.path


def _check_seeds(model, branches, fusion, kind):
    keras.utils.set_random_seed(99)  # must not matter
    same, other = (build_tiny_model(branches, fusion, kind, seed=seed) for seed in (1, 2))
    kernels = []
    for weight, repeated, different in zip(
        list_initial_weights(model),
        list_initial_weights(same),
        list_initial_weights(other),
        strict=True,
    ):
        np.testing.assert_array_equal(weight, repeated, err_msg=weight.path)
        if "kernel" in weight.path or "embedding" in weight.path:
            assert not np.array_equal(weight, different), weight.path
            kernels.append(np.asarray(weight))
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels), "two layers start equal"


def _check_overfitting(branches, fusion, kind):
    """Check it for one of two seeds: so small a network may get stuck by chance."""
    batch, y = make_windows(branches), make_labels(kind)
    # The same batch repeated in one epoch: an epoch costs more than such a step.
    repeated_batch = {name: np.concatenate([x] * STEPS) for name, x in batch.items()}
    repeated_y = np.concatenate([y] * STEPS)
    accuracies = []
    for seed in (1, 2):
        model = build_tiny_model(branches, fusion, kind, dropout=0.0, seed=seed)
        scale(model, batch)
        fitted = compile_for_training(model, kind, keras.optimizers.Adam(0.01))
        fitted.fit(repeated_batch, repeated_y, batch_size=len(y), shuffle=False, verbose=0)
        settle_statistics(model, batch)
        accuracies.append(((predict(model, batch) > 0.5) == (y > 0.5)).mean())
        if accuracies[-1] > 0.95:
            return
    raise AssertionError(f"accuracy after {STEPS} steps: {accuracies}")


def _check_mixed_precision(model, branches, fusion, kind):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed, batch = build_tiny_model(branches, fusion, kind), make_windows(branches)
    finally:
        keras.config.set_dtype_policy(before)
    scale(mixed, batch)
    settle_statistics(mixed, batch)
    assert {weight.dtype for weight in mixed.trainable_weights} == {"float32"}
    p = predict(mixed, batch)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, predict(model, batch), atol=0.01)
    _check_gradients(mixed, batch, kind)
