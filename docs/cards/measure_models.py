"""Count and measure all encoders and fusions: ``python -m docs.cards.measure_models``.

Written to ``docs/cards/models.json``; ``docs/generate/model_cards.py`` makes the pages. It takes
about five minutes on two idle cores.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.keras_steps import BATCH, make_training_step
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.sources.mitdb import MitdbSource
from ecglib.datasets.sources.synthetic import SyntheticSource
from ecglib.datasets.tabular.heart_rate import HEART_RATE
from ecglib.experiment.environment import describe_environment
from ecglib.experiment.registry import FUSIONS, NO_FUSION, REPRESENTATIONS, TABULAR
from ecglib.models import ModelSpec, build_model, count_multiply_adds
from ecglib.paths import write_json
from ecglib.representations import build_representations

CARDS = Path(__file__).parent
COMMAND = "python -m docs.cards.measure_models"
# What the inputs are made of: the signal of a dataset, and how many tabular values it has.
INPUTS: Mapping[str, tuple[SignalSpec, int]] = {
    "synthetic": (SyntheticSource.signal, len(SyntheticSource.tabular + HEART_RATE)),
    "mitdb": (MitdbSource.signal, len(MitdbSource.tabular)),
}
N_CLASSES = 5
REFERENCE = ("time", "cnn")  # its training step is the unit of the others
BRANCHES = {"time": "cnn", "spectrogram": "cnn2d"}  # of the fusions
ROUNDS = 5
ROUND_S = 0.3  # CPU time of each side of a round, at least


def compute_shapes(dataset: str) -> dict[str, tuple[int, ...]]:
    """Compute the shape of one window in each representation.

    Parameters
    ----------
    dataset : str
        A key of `INPUTS`.

    Returns
    -------
    dict of str to tuple of int
        Representation -> shape.

    Examples
    --------
    >>> compute_shapes("synthetic")["time"]
    (1000, 12)
    """
    signal, n_values = INPUTS[dataset]
    names = [name for name in REPRESENTATIONS if name != TABULAR]
    outputs = build_representations(signal, names, (0.0, 0.0)).output
    return {name: tuple(outputs[name].shape[1:]) for name in names} | {TABULAR: (n_values,)}


def build(shapes: Mapping[str, tuple[int, ...]], branches: dict[str, str], fusion: str) -> Any:
    """Build a model of default size.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Representation -> shape of one window.
    branches : dict of str to str
        Branch -> encoder.
    fusion : str
        A fusion, or "none".

    Returns
    -------
    keras.Model
        Not compiled.

    Examples
    --------
    >>> build({"tabular": (8,)}, {"tabular": "mlp"}, "none").output_shape
    (None, 5)
    """
    settings = ModelSpec(branches=branches, fusion=fusion, n_classes=N_CLASSES, kind="multi_label")
    return build_model({name: shapes[name] for name in branches}, settings)


def count(model: Any) -> dict[str, int]:
    """Count the parameters of a model and the multiply-adds of one window."""
    return {"parameters": model.count_params(), "multiply_adds": count_multiply_adds(model)}


def compare_steps(step: Callable[[], object], reference: Callable[[], object]) -> float:
    """Measure the CPU time of a training step as a multiple of that of another.

    Parameters
    ----------
    step, reference : callable
        Each does one training step.

    Returns
    -------
    float
        Median over rounds, in which both are measured one after the other: what else the machine
        does changes from second to second.
    """
    step(), reference()  # compiled at the first call
    n_steps = {one: max(1, round(ROUND_S / _measure(one, 1))) for one in (step, reference)}
    ratios = []
    for _ in range(ROUNDS):
        seconds = {one: _measure(one, n) / n for one, n in n_steps.items()}
        ratios.append(seconds[step] / seconds[reference])
    return statistics.median(ratios)


def _measure(step: Callable[[], object], n: int) -> float:
    start = time.process_time()
    for _ in range(n):
        step()
    return time.process_time() - start


def main() -> None:
    """Count and measure all models, and write the file."""
    from ecglib.training import devices

    os.environ["ECGLIB_THREADS"] = "1"  # as in a run
    devices.make_deterministic(0)
    shapes = {dataset: compute_shapes(dataset) for dataset in INPUTS}
    here = shapes["synthetic"]
    reference = make_training_step(build(here, dict([REFERENCE]), NO_FUSION))
    encoders: dict[str, Any] = {name: {} for name in REPRESENTATIONS}
    pairs = [(name, one) for name in encoders for one in REPRESENTATIONS[name].encoders]
    for representation, encoder in tqdm(pairs, unit="encoder"):
        branches = {representation: encoder}
        values: dict[str, Any] = {
            dataset: count(build(shapes[dataset], branches, NO_FUSION)) for dataset in INPUTS
        }
        step = make_training_step(build(here, branches, NO_FUSION))
        is_reference = (representation, encoder) == REFERENCE
        ratio = 1.0 if is_reference else compare_steps(step, reference)
        encoders[representation][encoder] = values | {"step_ratio": round(ratio, 2)}
    card = {
        "command": COMMAND,
        "versions": describe_environment(threads=1).versions,
        "batch": BATCH,
        "n_classes": N_CLASSES,
        "width": ModelSpec.width,
        "feature_dim": ModelSpec.feature_dim,
        "reference": ":".join(REFERENCE),
        "shapes": shapes,
        "encoders": encoders,
        "branches": BRANCHES,
        "fusions": {name: count(build(here, BRANCHES, name)) for name in FUSIONS},
    }
    write_json(CARDS / "models.json", card)
    print(CARDS / "models.json")


if __name__ == "__main__":
    main()
