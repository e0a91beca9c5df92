"""Small models and batches of noise, to check encoders and fusions with in seconds."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from ecglib.experiment.branches import list_representations
from ecglib.models.builder import build_model
from ecglib.models.compilation import COMPILES
from ecglib.models.inputs import find_scaling_axes, set_scaling
from ecglib.models.losses import BranchLoss, build_training_model
from ecglib.models.spec import ModelSpec

SHAPES: Mapping[str, tuple[int, ...]] = {
    "time": (128, 2),
    "frequency": (20, 2),
    "spectrogram": (8, 10, 2),
    "scalogram": (12, 9, 2),
    "tabular": (12,),
}
N_WINDOWS = 32
N_CLASSES = 3


def build_tiny_model(
    branches: Mapping[str, str], fusion: str, kind: str = "multi_label", **changes: object
) -> keras.Model:
    """Build a small model with the shapes of `SHAPES`.

    Parameters
    ----------
    branches : mapping of str to str
        Branch -> encoder.
    fusion : str
        Name of the fusion.
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    **changes
        Other values of `ecglib.models.ModelSpec`.

    Examples
    --------
    >>> build_tiny_model({"time": "cnn"}, "none").output_shape
    (None, 3)
    """
    shapes = {name: SHAPES[name] for name in list_representations(branches)}
    sizes = {"width": 8, "feature_dim": 8, "dropout": 0.2, "seed": 1, **changes}
    settings = ModelSpec(branches=branches, fusion=fusion, n_classes=N_CLASSES, kind=kind, **sizes)  # type: ignore[arg-type]
    return build_model(shapes, settings)


def make_windows(
    branches: Iterable[str], n_windows: int = N_WINDOWS, seed: int = 0
) -> dict[str, np.ndarray]:
    """Make a batch of noise far from mean 0 and variance 1, like the representations.

    In every third window the first tabular value is missing.

    Parameters
    ----------
    branches : iterable of str
        The branches.
    n_windows : int, default 32
        Number of windows.
    seed : int, default 0
        Seed of the noise.

    Returns
    -------
    dict of str to array
        Representation -> array of the shape in `SHAPES`.

    Examples
    --------
    >>> make_windows(["time"])["time"].shape
    (32, 128, 2)
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
    """Make random labels, multi-hot or one-hot.

    Examples
    --------
    >>> make_labels("multi_class").sum(axis=1).tolist() == [1.0] * 32
    True
    """
    random = np.random.default_rng(seed)
    if kind == "multi_class":
        return np.eye(N_CLASSES, dtype="float32")[random.integers(N_CLASSES, size=n_windows)]
    return random.integers(2, size=(n_windows, N_CLASSES)).astype("float32")


def scale(model: keras.Model, batch: Mapping[str, np.ndarray]) -> None:
    """Set the scaling of a model from one batch.

    Examples
    --------
    >>> scale(build_tiny_model({"frequency": "mlp"}, "none"), make_windows(["frequency"]))
    """
    statistics = {}
    for name, x in batch.items():
        axes = find_scaling_axes(name, x.ndim)
        statistics[name] = (np.nanmean(x, axis=axes), np.nanvar(x, axis=axes))
    set_scaling(model, statistics)


def settle_statistics(model: keras.Model, batch: Mapping[str, np.ndarray]) -> None:
    """Set the moving averages of the normalizations from this batch, as training does slowly.

    With the initial ones a deep network predicts with channels that grow from block to block.

    Examples
    --------
    >>> settle_statistics(
    ...     build_tiny_model({"frequency": "mlp"}, "none"), make_windows(["frequency"])
    ... )
    """
    normalizations = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    model(batch, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum


def compile_for_training(
    model: keras.Model, kind: str, optimizer: str | keras.optimizers.Optimizer
) -> keras.Model:
    """Return the model to fit, compiled with the loss of its kind of task.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model`.
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    optimizer : str or keras.optimizers.Optimizer
        The optimizer; losses are not scaled for float16.

    Examples
    --------
    >>> model = build_tiny_model({"frequency": "mlp"}, "none")
    >>> compile_for_training(model, "multi_label", "sgd") is model
    True
    """
    loss = (
        keras.losses.BinaryCrossentropy()
        if kind == "multi_label"
        else keras.losses.CategoricalCrossentropy()
    )
    trained, has_branch_output = build_training_model(model)
    trained.compile(
        optimizer,
        BranchLoss(loss) if has_branch_output else loss,
        jit_compile=COMPILES,
        auto_scale_loss=False,
    )
    # Variables that the first step would create inside its graph cost a second tracing.
    trained.optimizer.build(trained.trainable_variables)
    return trained


def predict(model: keras.Model, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """Predict the probabilities of a batch.

    Examples
    --------
    >>> model = build_tiny_model({"frequency": "mlp"}, "none")
    >>> predict(model, make_windows(["frequency"])).shape
    (32, 3)
    """
    return keras.ops.convert_to_numpy(model(batch, training=False))
