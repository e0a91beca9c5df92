"""A simulated study as the folder of a batch: finished runs whose truth is known, no training."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from run_helpers import simulate_predictions

from ecglib.datasets.schema import SignalSpec
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.simulation import StudySettings, simulate_study
from ecglib.experiment import Contract, Experiment, Processing, describe_environment
from ecglib.runs import Result, Run, find_run_path, write_run

FUSIONS = ("late_average", "late_weighted", "intermediate_concat", "intermediate_gated")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyFolder:
    """Where and as what a study is written."""

    runs_dir: Path
    batch: str = "fusion-simulated-0123"
    dataset: str = "simulated"
    task: str = "superdiagnostic"
    class_names: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ("synthetic data",)
    kind: str = "multi_label"
    has_baseline: bool = True
    has_notebooks: bool = True

    @property
    def folder(self) -> Path:
        return self.runs_dir / self.batch


def write_study(settings: StudySettings, place: StudyFolder, seed: int = 0) -> Path:
    """Write every model and seed of a simulated study as a run; return the batch's folder."""
    study = simulate_study(settings, seed)
    fusions = sorted({one.name for one in study if one.role == "fusion"})
    for contestant in study:
        write_contestant(contestant, place, _list_model_settings(contestant, fusions))
        is_worst = contestant.role == "single" and contestant.branches == study[0].branches
        if is_worst and place.has_baseline:
            write_contestant(contestant, place, {"branches": {"handcrafted": "random_forest"}})
    return place.folder


def write_contestant(contestant: Contestant, place: StudyFolder, model: dict) -> None:
    """Write the run of one model and seed, or those of all folds."""
    folds = contestant.predictions.folds
    settings = {
        "dataset": place.dataset,
        "fingerprint": "0123",
        "task": place.task,
        "seed": contestant.seed,
        **model,
    }
    if folds is None:
        _write_run(contestant, place, Experiment.from_flat(settings), fold=0)
        return
    n_folds = int(folds.max())
    for fold in range(1, n_folds + 1):
        experiment = Experiment.from_flat(settings | {"n_folds": n_folds, "fold": fold})
        _write_run(contestant, place, experiment, fold)


# A notebook of 6 s: 1.5 s of training, of which 1.2 s are in proportion to its epochs.
NOTEBOOK_S, EPOCHS_S = 6.0, 1.2
MODEL_COST = {
    "parameters": 1000,
    "multiply_adds": 10,
    "seconds": 1.5,
    "seconds_by_stage": {"first step": 0.2, "steps": 0.9, "validation": 0.3},
}


def write_experiment(experiment: Experiment, place: StudyFolder, strength: float = 1.0) -> Run:
    """Write a run of any experiment, with simulated predictions of two classes."""
    predictions = simulate_predictions(strength, experiment.training.seed)
    result = Result(
        model={"estimator": "RandomForestClassifier"},
        history=pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "val_auroc": [0.7, 0.8]}),
        predictions={"validation": predictions, "test": predictions},
        metrics={"model": dict(MODEL_COST)},
        contract=_make_contract(experiment, np.array([0.5, 0.5]), predictions.classes, place),
        environment=describe_environment(threads=1),
    )
    run = write_run(find_run_path(experiment, place.runs_dir, place.batch), experiment, result)
    if place.has_notebooks:
        notebook = {"metadata": {"papermill": {"duration": NOTEBOOK_S}}}
        (run.path / "train.ipynb").write_text(json.dumps(notebook))
    return run


def _write_run(
    contestant: Contestant, place: StudyFolder, experiment: Experiment, fold: int
) -> None:
    classes = place.class_names or contestant.predictions.classes
    predictions = {
        "validation": _change_task(_select_fold(contestant.validation, fold), classes, place.kind),
        "test": _change_task(_select_fold(contestant.predictions, fold), classes, place.kind),
    }
    # As in a store, the splits have no window in common.
    validation = predictions["validation"]
    predictions["validation"] = dataclasses.replace(validation, rows=validation.rows + 1_000_000)
    epochs = np.arange(1, 9)
    history = pd.DataFrame({"epoch": epochs, "loss": 1 / epochs, "val_loss": 1.1 / epochs})
    history["val_auroc"] = 0.9 - 0.3 / epochs + 0.01 * np.sin(epochs + contestant.seed)
    history["val_f1"] = history["val_auroc"] - 0.2
    cost = {"parameters": contestant.parameters, "multiply_adds": 120_000, "seconds": 12.5}
    result = Result(
        model={"estimator": "RandomForestClassifier"},
        history=history,
        predictions=predictions,
        metrics={"model": cost, "test": {"macro": {"auroc": {"estimate": 0.9}}}},
        contract=_make_contract(
            experiment, np.atleast_2d(contestant.thresholds)[fold - 1], classes, place
        ),
        environment=describe_environment(threads=1),
    )
    run = write_run(find_run_path(experiment, place.runs_dir, place.batch), experiment, result)
    if place.has_notebooks:
        (run.path / "train.ipynb").write_text("{}")
    os.utime(run.path / "metrics.json", (1_700_000_000, 1_700_000_000))


def _select_fold(predictions: Predictions, fold: int) -> Predictions:
    if not fold:
        return predictions
    rows = predictions.folds == fold
    names = ("rows", "records", "patients", "y", "p")
    selected = {name: getattr(predictions, name)[rows] for name in names}
    return dataclasses.replace(predictions, folds=None, **selected)


def _change_task(predictions: Predictions, classes: tuple[str, ...], kind: str) -> Predictions:
    """Rename the classes; of a multi-class task, each window keeps its first class alone."""
    if kind == "multi_label":
        return dataclasses.replace(predictions, classes=classes)
    y = np.eye(len(classes))[predictions.y.argmax(axis=1)]
    p = predictions.p / predictions.p.sum(axis=1, keepdims=True)
    return dataclasses.replace(predictions, classes=classes, kind=kind, y=y, p=p)


def _list_model_settings(contestant: Contestant, fusions: Sequence[str]) -> dict:
    settings = {
        "branches": dict(branch.split(":") for branch in contestant.branches),
        "ensemble_size": contestant.ensemble_size,
    }
    if contestant.role == "fusion":
        settings["fusion"] = FUSIONS[fusions.index(contestant.name)]
    if contestant.role == "widened":
        settings["target_parameters"] = contestant.parameters
    return settings


def _make_contract(
    experiment: Experiment,
    thresholds: np.ndarray,
    classes: tuple[str, ...],
    place: StudyFolder,
) -> Contract:
    return Contract(
        dataset=experiment.data.dataset,
        fingerprint=experiment.data.fingerprint,
        task=experiment.data.task,
        kind=place.kind,
        classes=classes,
        part_column="part",
        signal=SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("II",)),
        processing=Processing(
            band_hz=(0.5, 40.0),
            notch_hz=0.0,
            denoise=False,
            representations=experiment.representations,
            representation_options={},
            crop_s=0.0,
            crop_hop_s=0.0,
            crop_aggregation="mean",
        ),
        calibration_scale=(1.0,) * len(classes),
        calibration_bias=(0.0,) * len(classes),
        thresholds=tuple(thresholds.tolist()),
        caveats=place.caveats,
    )
