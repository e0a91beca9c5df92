"""Training steps, against what the machine can do and against PyTorch.

These ratios need idle cores. On shared cores, threads that wait for each other (those of a matrix
product, and those of PyTorch most of all) lose far more than others, and our ratios are too high.
"""

import functools
import importlib.util
import statistics
import sys
from collections.abc import Callable

from benchmarks.keras_steps import BATCH, PRODUCT_SIZE
from benchmarks.measure import (
    Figure,
    Side,
    SkippedError,
    alternate,
    compute_medians,
    compute_ratios,
)
from benchmarks.noise import ROOT
from benchmarks.worker import Worker, start_workers
from ecglib.experiment.registry import REPRESENTATIONS

ROUNDS = 9
OURS = ("step", "convolutions")
BACKENDS = ".venv-backends/ready"
TORCH = ROOT / ".venv-backends" / "bin" / "python"
# `random` has no twin: its convolutions are never trained, so its step is a forward pass of a layer
# that PyTorch does not have.
WITHOUT_TWIN = ("random",)
EPOCHS = {
    "epoch_cnn": "time:cnn",
    "epoch_xresnet1d": "time:xresnet1d",
    "epoch_cnn2d": "spectrogram:cnn2d",
    "epoch_fusion": "time:cnn,spectrogram:cnn2d",
}
TWINS = {
    representation: tuple(
        encoder
        for encoder in REPRESENTATIONS[representation].encoders
        if encoder not in WITHOUT_TWIN
    )
    for representation in ("time", "spectrogram")
}


def measure_cnn() -> Figure:
    """Multiply-adds per second in training the encoder cnn, against a bare matrix product.

    The detail also has those of its convolutions alone, which are the limit of such a step in
    TensorFlow.
    """
    command = _make_command(sys.executable, "keras_steps", "time", "cnn")
    with start_workers({"ours": command}, ROOT) as workers:
        ours = workers["ours"]
        # Backward, there are two products for each one forward: by the weights and by the input.
        work = dict.fromkeys(OURS, 3 * BATCH * int(ours.facts["multiply_adds"]))
        work |= dict.fromkeys(("tensorflow", "numpy"), PRODUCT_SIZE**3)
        sides = {name: _make_side(ours, name, n / 1e9) for name, n in work.items()}
        speeds = alternate(sides, ROUNDS, "training.cnn")
    fastest = [
        max(products) for products in zip(speeds["tensorflow"], speeds["numpy"], strict=True)
    ]
    seconds = {name: work[name] / 1e9 / statistics.median(speeds[name]) for name in OURS}
    ms = {f"{name}, ms": round(1000 * step_s, 2) for name, step_s in seconds.items()}
    return Figure(
        name="training.cnn",
        what=(
            f"10^9 multiply-adds per second in a training step of cnn, batches of {BATCH}, "
            "backward counted as twice forward"
        ),
        against=(
            f"the limit: a float32 matrix product of {PRODUCT_SIZE} by {PRODUCT_SIZE}, by "
            "TensorFlow or NumPy"
        ),
        floor=0.65,
        ratios=compute_ratios(speeds["step"], fastest),
        detail=compute_medians(speeds, "10^9/s") | ms,
    )


def measure_against_torch(name: str, representation: str, encoder: str) -> Figure:
    """A training step against one of the same layers in PyTorch."""
    if not TORCH.exists():
        raise SkippedError(f"PyTorch is in a separate environment; run make {BACKENDS}")
    commands = {
        "ours": _make_command(sys.executable, "keras_steps", representation, encoder),
        "PyTorch": _make_command(str(TORCH), "torch_twins", representation, encoder),
    }
    with start_workers(commands, ROOT) as workers:
        counts = {side: int(worker.facts["parameters"]) for side, worker in workers.items()}
        if len(set(counts.values())) > 1:
            raise AssertionError(f"{encoder} and its twin differ in trained parameters: {counts}")
        sides = {side: _make_side(worker, "step", 1) for side, worker in workers.items()}
        speeds = alternate(sides, ROUNDS, name)
    detail = {
        f"{side}, ms": round(1000 / statistics.median(per_second), 1)
        for side, per_second in speeds.items()
    }
    return Figure(
        name=name,
        what=f"training steps per second of {encoder} on the {representation}, batches of {BATCH}",
        against="the same layers and parameters in PyTorch, with AdamW and as many threads",
        floor=0.87,
        ratios=compute_ratios(speeds["ours"], speeds["PyTorch"]),
        detail=detail | {"trained parameters": counts["ours"]},
    )


def measure_compiled_epoch(name: str, branches: str) -> Figure:
    """Epochs on JAX as one compiled function, against Keras' loop over the batches."""
    if importlib.util.find_spec("jax") is None:
        raise SkippedError("JAX is not installed: pip install jax")
    command = _make_command(sys.executable, "jax_epochs", branches)
    with start_workers({"ours": command}, ROOT) as workers:
        n_windows = int(workers["ours"].facts["windows"])
        sides = {side: _make_side(workers["ours"], side, n_windows) for side in ("epoch", "steps")}
        speeds = alternate(sides, ROUNDS, name)
    return Figure(
        name=name,
        what=f"windows per second of an epoch on JAX, {branches}, batches of {BATCH}",
        against="Keras' own loop on JAX, with the batches in memory",
        floor=1.0,
        ratios=compute_ratios(speeds["epoch"], speeds["steps"]),
        detail=compute_medians(speeds, "windows/s"),
    )


def _make_command(python: str, module: str, *branch: str) -> list[str]:
    return [python, "-m", f"benchmarks.{module}", *branch]


def _make_side(worker: Worker, name: str, n: float) -> Side:
    """Make a side of as many repetitions as fill a round, each of which processes `n` items."""
    n_repetitions = worker.count_repetitions(name)
    return Side(functools.partial(worker.work, name, n_repetitions), n * n_repetitions)


def _make_twin_figure(representation: str, encoder: str) -> tuple[str, Callable[[], Figure]]:
    # "cnn" is already the name of a figure.
    name = f"{encoder}_twin" if encoder == "cnn" else encoder
    measure = functools.partial(measure_against_torch, f"training.{name}", representation, encoder)
    measure.__doc__ = f"A training step of {encoder} ({representation}) against one in PyTorch."
    return name, measure


def _make_epoch_figure(name: str, branches: str) -> tuple[str, Callable[[], Figure]]:
    measure = functools.partial(measure_compiled_epoch, f"training.{name}", branches)
    measure.__doc__ = f"An epoch of {branches} on JAX against Keras' loop over the batches."
    return name, measure


FIGURES = {
    "cnn": measure_cnn,
    **dict(
        _make_twin_figure(representation, encoder)
        for representation, encoders in TWINS.items()
        for encoder in encoders
    ),
    **dict(_make_epoch_figure(name, branches) for name, branches in EPOCHS.items()),
}
