"""Steps of training, against what the machine can do and against PyTorch.

These ratios need idle cores. Where others use them, threads that wait for each other (those of a
matrix product, and of PyTorch most of all) lose far more than others, and ours look too good.
"""

import functools
import statistics
import sys

from benchmarks.keras_steps import BATCH, PRODUCT
from benchmarks.measure import Figure, Side, SkippedError, alternate, medians, ratios
from benchmarks.noise import ROOT
from benchmarks.worker import workers

ROUNDS = 9
OURS = ("step", "convolutions")
BACKENDS = ".venv-backends/ready"
TORCH = ROOT / ".venv-backends" / "bin" / "python"
# `random` has no twin: its convolutions are never trained, so a step is a forward pass of a layer
# of ours, which PyTorch has not.
TWINS = {
    "time": (
        *("cnn", "cnn_bilstm", "cnn_attention", "cnn_transformer"),
        *("resnet1d", "xresnet1d", "inception_time", "s4d"),
    ),
    "spectrogram": ("cnn2d", "resnet2d", "crnn", "patch_transformer"),
}


def cnn() -> Figure:
    """Multiply-adds a second in training the encoder cnn, against a bare matrix product.

    The detail also has those of its convolutions alone: as TensorFlow does them, no step of these
    layers can be faster.
    """
    with workers({"ours": _command(sys.executable, "keras_steps", "time", "cnn")}, ROOT) as started:
        ours = started["ours"]
        # Backward there are two products for each one forward: by the weights, by the input.
        work = dict.fromkeys(OURS, 3 * BATCH * int(ours.told["multiply_adds"]))
        work |= dict.fromkeys(("tensorflow", "numpy"), PRODUCT**3)
        sides = {name: _side(ours, name, n / 1e9) for name, n in work.items()}
        speeds = alternate(sides, ROUNDS, "training.cnn")
    fastest = [max(both) for both in zip(speeds["tensorflow"], speeds["numpy"], strict=True)]
    seconds = {name: work[name] / 1e9 / statistics.median(speeds[name]) for name in OURS}
    ms = {f"{name}, ms": round(1000 * own, 2) for name, own in seconds.items()}
    return Figure(
        "training.cnn",
        f"10^9 multiply-adds a second of a training step of cnn, batches of {BATCH}, backward "
        "counted as twice forward",
        f"the limit: a float32 matrix product of {PRODUCT} by {PRODUCT}, by TensorFlow or NumPy",
        0.65,
        ratios(speeds["step"], fastest),
        medians(speeds, "10^9/s") | ms,
    )


def against_torch(name: str, representation: str, encoder: str) -> Figure:
    """A training step against one of the same layers in PyTorch."""
    if not TORCH.exists():
        raise SkippedError(f"PyTorch is in an environment of its own; make {BACKENDS}")
    commands = {
        "ours": _command(sys.executable, "keras_steps", representation, encoder),
        "PyTorch": _command(str(TORCH), "torch_twins", representation, encoder),
    }
    with workers(commands, ROOT) as started:
        counts = {side: int(own.told["parameters"]) for side, own in started.items()}
        if len(set(counts.values())) > 1:
            raise AssertionError(f"{encoder} and its twin differ in trained parameters: {counts}")
        speeds = alternate({s: _side(own, "step", 1) for s, own in started.items()}, ROUNDS, name)
    detail = {f"{s}, ms": round(1000 / statistics.median(own), 1) for s, own in speeds.items()}
    return Figure(
        name,
        f"training steps a second of {encoder}, {representation} view, batches of {BATCH}",
        "the same layers and parameters in PyTorch, AdamW, as many threads",
        0.87,
        ratios(speeds["ours"], speeds["PyTorch"]),
        detail | {"trained parameters": counts["ours"]},
    )


def _command(python: str, module: str, *branch: str) -> list[str]:
    return [python, "-m", f"benchmarks.{module}", *branch]


def _side(worker, name: str, n: float) -> Side:
    """As many repetitions as a round takes, each of which handles `n` things."""
    repetitions = worker.repetitions(name)
    return Side(functools.partial(worker.work, name, repetitions), n * repetitions)


def _against_torch(representation: str, encoder: str):
    # The name of cnn alone is that of its rate.
    name = f"training.{encoder}" if encoder != "cnn" else "training.cnn_twin"
    figure = functools.partial(against_torch, name, representation, encoder)
    figure.__doc__ = f"A training step of {encoder} ({representation}) against one in PyTorch."
    return name.partition(".")[2], figure


FIGURES = {
    "cnn": cnn,
    **dict(_against_torch(view, encoder) for view, own in TWINS.items() for encoder in own),
}
