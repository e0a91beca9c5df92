"""The cost of an explanation of one record, against predictions with the same model."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.measure import (
    Figure,
    Side,
    SkippedError,
    alternate,
    compute_medians,
    compute_ratios,
)
from benchmarks.noise import LEADS, RATE_HZ, ROOT
from benchmarks.training import BACKENDS, TORCH
from benchmarks.worker import start_workers

if TYPE_CHECKING:
    import keras

    from ecglib.explain import ClassScore

ROUNDS = 5
N_SAMPLES = 1000
N_STEPS = 128  # of integrated gradients
BATCH = 64
FUSION = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}


class Method(NamedTuple):
    """A method, the branches of the model that it explains, and the windows that it has to predict.

    Parameters
    ----------
    run : callable
        From a `ClassScore` to an explanation.
    branches : dict of str to str
        Branch -> encoder.
    n_windows : int
        How many windows the method has to predict for one record.
    floor : float
        Of the ratio.
    from_signal : bool
        Whether the record is explained in mV, or on its representations.
    """

    run: Callable[[ClassScore], object]
    branches: dict[str, str]
    n_windows: int
    floor: float
    from_signal: bool = True


def list_methods() -> dict[str, Method]:
    """List the methods; a gradient costs about three times a prediction, forward and backward."""
    from ecglib import explain

    time = {"time": "cnn"}
    transformer = {"time": "cnn_transformer"}
    return {
        "gradient": Method(explain.attribute_by_gradient, time, 1, 0.3),
        "smoothgrad": Method(explain.attribute_by_smoothgrad, time, 50, 0.3),
        "integrated_gradients": Method(
            functools.partial(explain.attribute_by_integrated_gradients, n_steps=N_STEPS),
            time,
            N_STEPS,
            0.3,
        ),
        "occlude_leads": Method(explain.occlude_leads, time, 1 + len(LEADS), 0.5),
        "occlude_segments": Method(explain.occlude_segments, time, 101, 0.5),
        "occlude_bands": Method(explain.occlude_bands, time, 11, 0.5),
        "grad_cam": Method(
            functools.partial(explain.compute_grad_cam, branch="time"), time, 1, 0.2, False
        ),
        "attention_rollout": Method(
            functools.partial(explain.compute_attention_rollout, branch="time"),
            transformer,
            1,
            0.2,
            False,
        ),
        "branch_contributions": Method(
            explain.compute_branch_contributions, FUSION, 2 ** len(FUSION), 0.2, False
        ),
    }


def measure_method(name: str) -> Figure:
    """An explanation of one record against the predictions that it needs."""
    method = list_methods()[name]
    target = make_target(method.branches, from_signal=method.from_signal)
    windows = {key: np.repeat(x, method.n_windows, axis=0) for key, x in target.inputs.items()}

    def predict(n_windows: int) -> np.ndarray:
        given = {key: x[:n_windows] for key, x in windows.items()}
        return target.model.predict(given, batch_size=BATCH, verbose=0)

    sides = {
        "explained": Side(lambda: method.run(target), 1),
        "predicted": Side(lambda: predict(method.n_windows), 1),
        "one prediction": Side(lambda: predict(1), 1),
    }
    speeds = alternate(sides, ROUNDS, f"explain.{name}")
    cost = compute_ratios(speeds["one prediction"], speeds["explained"])
    return Figure(
        name=f"explain.{name}",
        what=f"one record of {N_SAMPLES / RATE_HZ:g} s and {len(LEADS)} leads, {_name(method)}",
        against=f"model.predict of the {method.n_windows} windows that it needs, of this model",
        floor=method.floor,
        ratios=compute_ratios(speeds["explained"], speeds["predicted"]),
        detail={
            "cost in predictions of one record": round(statistics.median(cost), 1),
            **{
                f"{side}, ms": round(1000 / statistics.median(values), 1)
                for side, values in speeds.items()
            },
        },
    )


def measure_captum() -> Figure:
    """Integrated gradients on PyTorch against those of Captum, of the same model."""
    if not TORCH.exists():
        raise SkippedError(f"PyTorch and Captum are in another environment; run make {BACKENDS}")
    command = [str(TORCH), "-m", "benchmarks.explain_torch"]
    with start_workers({"ours": command}, ROOT) as workers:
        worker = workers["ours"]
        sides = {
            name: Side(functools.partial(worker.work, name, 1), 1) for name in ("ours", "captum")
        }
        speeds = alternate(sides, ROUNDS, "explain.captum")
    return Figure(
        name="explain.captum",
        what=f"integrated gradients of one record on PyTorch, {N_STEPS} steps, cnn",
        against="captum.attr.IntegratedGradients with as many steps, the same nodes and batches",
        floor=0.8,
        ratios=compute_ratios(speeds["ours"], speeds["captum"]),
        detail=compute_medians(speeds, "records/s"),
    )


def make_target(branches: Mapping[str, str], *, from_signal: bool) -> ClassScore:
    """Make the score of a class for one window of noise, by an untrained model."""
    from ecglib.datasets.schema import SignalSpec
    from ecglib.experiment.contract import Contract, Processing
    from ecglib.explain import (
        ClassScore,
        build_representation_scores,
        build_signal_scores,
        compute_outputs,
    )
    from ecglib.models.end_to_end import build_processing

    signal = SignalSpec(RATE_HZ, N_SAMPLES, LEADS)
    processing = Processing(
        band_hz=(0.5, 40.0),
        notch_hz=0.0,
        denoise=False,
        representations=tuple(branches),
        representation_options={},
        crop_s=0.0,
        crop_hop_s=0.0,
        crop_aggregation="mean",
    )
    classes = ("NORM", "MI", "STTC", "CD", "HYP")
    contract = Contract(
        dataset="noise",
        fingerprint="0123",
        task="noise",
        kind="multi_label",
        classes=classes,
        part_column="part",
        signal=signal,
        processing=processing,
        calibration_scale=(1.0,) * len(classes),
        calibration_bias=(0.0,) * len(classes),
        thresholds=(0.5,) * len(classes),
        caveats=("noise",),
    )
    representations = build_processing(signal, processing)
    network = _build_network(branches, representations, len(classes))
    windows = {"signal": np.random.default_rng(0).standard_normal((1, N_SAMPLES, len(LEADS)))}
    if not from_signal:
        windows = compute_outputs(representations, windows)
    build = build_signal_scores if from_signal else build_representation_scores
    return ClassScore(
        scores=build(contract, network), inputs=windows, class_name="MI", windows=("noise",)
    )


def _build_network(
    branches: Mapping[str, str], representations: keras.Model, n_classes: int
) -> keras.Model:
    from ecglib.models import ModelSpec, build_model

    spec = ModelSpec(
        branches=dict(branches),
        fusion="none" if len(branches) == 1 else "intermediate_gated",
        n_classes=n_classes,
        kind="multi_label",
    )
    shapes = {name: x.shape[1:] for name, x in representations.output.items()}
    return build_model(shapes, spec)


def _name(method: Method) -> str:
    branches = " + ".join(f"{name}:{encoder}" for name, encoder in method.branches.items())
    return f"{branches}, {'in mV' if method.from_signal else 'on the representations'}"


def _make_figure(name: str) -> Callable[[], Figure]:
    measure = functools.partial(measure_method, name)
    measure.__doc__ = f"An explanation by {name} of one record against predictions."
    return measure


NAMES = (
    "gradient",
    "smoothgrad",
    "integrated_gradients",
    "occlude_leads",
    "occlude_segments",
    "occlude_bands",
    "grad_cam",
    "attention_rollout",
    "branch_contributions",
)
FIGURES = {**{name: _make_figure(name) for name in NAMES}, "captum": measure_captum}
