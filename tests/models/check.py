"""One check for every encoder and every fusion, in the manner of KerasHub's run_backbone_test."""

import keras
import numpy as np
from backends import BACKEND, compute_weight_gradients

from ecglib.experiment.branches import list_representations
from ecglib.models import (
    BranchLoss,
    ModelSettings,
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


def tiny_model(branches: dict, fusion: str, kind: str = "multi_label", **changes) -> keras.Model:
    """Build a small model with the shapes of `SHAPES`."""
    shapes = {name: SHAPES[name] for name in list_representations(branches)}
    sizes = {"width": 8, "feature_dim": 8, "dropout": 0.2, "seed": 1, **changes}
    settings = ModelSettings(
        branches=branches, fusion=fusion, n_classes=N_CLASSES, kind=kind, **sizes
    )
    return build_model(shapes, settings)


def windows(branches, n_windows: int = N_WINDOWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Make a batch of noise far from mean 0 and variance 1, as views are.

    Of the tabular values some are missing, in the first column of every third window.
    """
    random = np.random.default_rng(seed)
    batch = {
        name: random.normal(3.0, 0.1, (n_windows, *SHAPES[name])).astype("float32")
        for name in list_representations(branches)
    }
    if "tabular" in batch:
        batch["tabular"][::3, 0] = np.nan
    return batch


def labels(kind: str, n_windows: int = N_WINDOWS, seed: int = 1) -> np.ndarray:
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


def compiled(model: keras.Model, kind: str, optimizer) -> keras.Model:
    """Return the model to fit, compiled."""
    loss = (
        keras.losses.BinaryCrossentropy()
        if kind == "multi_label"
        else keras.losses.CategoricalCrossentropy()
    )
    fitted, per_branch = build_training_model(model)
    fitted.compile(optimizer, BranchLoss(loss) if per_branch else loss, jit_compile=False)
    return fitted


def settle(model: keras.Model, batch: dict) -> None:
    """Bring the averages of the normalisations to this batch at once, as training does slowly.

    Before, a deep network predicts with channels that grow from block to block.
    """
    found = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [layer.momentum for layer in found]
    for layer in found:
        layer.momentum = 0.0
    model(batch, training=True)
    for layer, momentum in zip(found, kept, strict=True):
        layer.momentum = momentum


def initial_weights(model: keras.Model) -> list:
    """All weights, trained or not, but those that are statistics of the data."""
    return [w for w in model.weights if "_scaling/" not in w.path and "moving_" not in w.path]


def probabilities(model: keras.Model, batch: dict) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(batch, training=False))


def run_model_check(branches: dict, fusion: str, kind: str, folder) -> None:
    """Check a model that is built of these values in every way a user relies on.

    The kind of the task decides the last activation only, so what takes long and cannot depend
    on it is checked for one kind.
    """
    model, batch = tiny_model(branches, fusion, kind), windows(branches)
    scale(model, batch)
    settle(model, batch)
    _check_probabilities(model, batch, kind)
    _check_round_trips(model, batch, folder)
    if kind == "multi_label":
        _check_feeding(model, batch)
        _check_seeds(model, branches, fusion, kind)
        _check_mixed_precision(model, branches, fusion, kind)
        _check_overfitting(branches, fusion, kind)
    _check_gradients(model, batch, kind)  # last: it moves the averages of the normalisation


def _check_probabilities(model, batch, kind):
    p = probabilities(model, batch)
    assert p.shape == (N_WINDOWS, N_CLASSES)
    assert [x.name for x in model.inputs] == [name for name in SHAPES if name in batch]
    assert model.output_names == ["probabilities"]
    assert ((p > 0) & (p < 1)).all()
    if kind == "multi_class":
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    # Two windows, two answers, also of a class that is unlikely: the input reaches the output.
    assert np.ptp(np.log(p), axis=0).min() > 1e-3


def _check_feeding(model, batch):
    whole = probabilities(model, batch)
    other_order = dict(reversed(batch.items()))
    np.testing.assert_allclose(model.predict(other_order, verbose=0), whole, atol=1e-5)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices(other_order).batch(12)
        np.testing.assert_allclose(model.predict(dataset, verbose=0), whole, atol=1e-5)
    for row in range(3):
        alone = probabilities(model, {name: x[row : row + 1] for name, x in batch.items()})
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-5)


def _check_round_trips(model, batch, folder):
    expected = probabilities(model, batch)
    path = folder / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    np.testing.assert_allclose(probabilities(loaded, batch), expected, atol=1e-6)

    rebuilt = keras.Model.from_config(model.get_config())
    assert rebuilt.get_config() == model.get_config()
    rebuilt.set_weights(model.get_weights())
    scale(rebuilt, batch)
    np.testing.assert_allclose(probabilities(rebuilt, batch), expected, atol=1e-6)


def _check_gradients(model, batch, kind):
    fitted = compiled(model, kind, "sgd")
    y = labels(kind)
    for weight in model.trainable_weights:
        # A scale that starts at 0 (a residual block that starts as the identity) lets nothing
        # through at first; it has left 0 after one step.
        if weight.path.endswith("gamma") and not keras.ops.any(weight.value):
            weight.assign(keras.ops.full_like(weight.value, 0.1))
    gradients = compute_weight_gradients(fitted, batch, lambda outputs: fitted.loss(y, outputs))
    assert len(gradients) == len(model.trainable_weights) > 0
    for weight, gradient in zip(fitted.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert keras.ops.max(keras.ops.abs(gradient)) > 0, weight.path


def _check_seeds(model, branches, fusion, kind):
    keras.utils.set_random_seed(99)  # must not matter
    same, other = (tiny_model(branches, fusion, kind, seed=seed) for seed in (1, 2))
    kernels = []
    for weight, again, different in zip(
        *(initial_weights(own) for own in (model, same, other)), strict=True
    ):
        np.testing.assert_array_equal(weight, again, err_msg=weight.path)
        if "kernel" in weight.path or "embedding" in weight.path:
            assert not np.array_equal(weight, different), weight.path
            kernels.append(np.asarray(weight))
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels), "two layers start equal"


def _check_overfitting(branches, fusion, kind):
    """From one of two beginnings: a few steps of so small a network may be stuck by chance."""
    batch, y = windows(branches), labels(kind)
    # The same batch again and again in one epoch: an epoch costs more than such a step.
    again, same = ({name: np.concatenate([x] * STEPS) for name, x in batch.items()}, [y] * STEPS)
    shares = []
    for seed in (1, 2):
        model = tiny_model(branches, fusion, kind, dropout=0.0, seed=seed)
        scale(model, batch)
        fitted = compiled(model, kind, keras.optimizers.Adam(0.01))
        fitted.fit(again, np.concatenate(same), batch_size=len(y), shuffle=False, verbose=0)
        settle(model, batch)
        shares.append(((probabilities(model, batch) > 0.5) == (y > 0.5)).mean())
        if shares[-1] > 0.95:
            return
    raise AssertionError(f"right answers after {STEPS} steps: {shares}")


def _check_mixed_precision(model, branches, fusion, kind):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed, batch = tiny_model(branches, fusion, kind), windows(branches)
    finally:
        keras.config.set_dtype_policy(before)
    scale(mixed, batch)
    settle(mixed, batch)
    assert {weight.dtype for weight in mixed.trainable_weights} == {"float32"}
    p = probabilities(mixed, batch)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, probabilities(model, batch), atol=0.01)
    _check_gradients(mixed, batch, kind)
