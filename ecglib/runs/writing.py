"""Writes the folder of a run atomically."""

import dataclasses
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ecglib.errors import RunError
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment import Contract, Environment, Experiment
from ecglib.paths import make_temporary_folder, write_json
from ecglib.runs.files import (
    CONTRACT,
    EXPERIMENT,
    FILES,
    FORMAT,
    HISTORY,
    METRICS,
    MODEL,
    TREES,
    hash_files,
    hash_values,
    publish_run,
    write_predictions,
)
from ecglib.runs.run import Run

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What training an experiment gave, before it is written.

    Parameters
    ----------
    model : keras.Model or dict
        From the representations to uncalibrated probabilities; of trees their settings and inputs,
        as plain values.
    history : DataFrame
        One row for each epoch and model.
    predictions : dict of str to Predictions
        Calibrated predictions of the validation and the test split.
    metrics : dict
        The cost of the model, and for each split every score with its interval.
    contract : Contract
        What a record must be to be given to the model.
    environment : Environment
        The code, versions and threads of the training.

    Examples
    --------
    >>> import numpy as np
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.experiment import Processing, describe_environment
    >>> contract = Contract(
    ...     dataset="synthetic",
    ...     fingerprint="0123",
    ...     task="rhythm",
    ...     kind="multi_label",
    ...     classes=("N", "AF"),
    ...     part_column="part",
    ...     signal=SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("II",)),
    ...     processing=Processing(
    ...         band_hz=(0.5, 40.0),
    ...         notch_hz=0.0,
    ...         denoise=False,
    ...         representations=("handcrafted",),
    ...         representation_options={},
    ...         crop_s=0.0,
    ...         crop_hop_s=0.0,
    ...         crop_aggregation="mean",
    ...     ),
    ...     calibration_scale=(1.0, 1.0),
    ...     calibration_bias=(0.0, 0.0),
    ...     thresholds=(0.5, 0.5),
    ...     caveats=("synthetic data",),
    ... )
    >>> predictions = Predictions(
    ...     kind=contract.kind,
    ...     classes=contract.classes,
    ...     rows=np.array([4]),
    ...     records=np.array(["r1"]),
    ...     patients=np.array(["p1"]),
    ...     y=np.array([[1, 0]]),
    ...     p=np.array([[0.75, 0.25]]),
    ... )
    >>> result = Result(
    ...     model={"estimator": "RandomForestClassifier"},
    ...     history=pd.DataFrame({"epoch": [1], "val_auroc": [0.9]}),
    ...     predictions={"validation": predictions, "test": predictions},
    ...     metrics={"model": {"parameters": 8400}},
    ...     contract=contract,
    ...     environment=describe_environment(threads=1),
    ... )
    >>> result.predictions["test"].p.tolist(), result.metrics["model"]["parameters"]
    ([[0.75, 0.25]], 8400)
    """

    model: "keras.Model | dict[str, Any]"
    history: pd.DataFrame
    predictions: dict[str, Predictions]
    metrics: dict[str, Any]
    contract: Contract
    environment: Environment


def write_run(path: Path, experiment: Experiment, result: Result) -> Run:
    """Write a run's folder atomically. A run that exists is kept.

    Parameters
    ----------
    path : Path
        The run's folder.
    experiment : Experiment
        What was trained.
    result : Result
        What it gave.

    Returns
    -------
    Run
        The run, opened.

    Raises
    ------
    RunError
        If a file cannot be written; nothing is left of the run then.

    Examples
    --------
    The result of a baseline of trees, whose description stands for the model:

    >>> import tempfile
    >>> import numpy as np
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.experiment import Processing, describe_environment
    >>> settings = {
    ...     "dataset": "synthetic",
    ...     "fingerprint": "0123",
    ...     "task": "rhythm",
    ...     "branches": {"handcrafted": "random_forest"},
    ... }
    >>> experiment = Experiment.from_flat(settings)
    >>> contract = Contract(
    ...     dataset="synthetic",
    ...     fingerprint="0123",
    ...     task="rhythm",
    ...     kind="multi_label",
    ...     classes=("N", "AF"),
    ...     part_column="part",
    ...     signal=SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("II",)),
    ...     processing=Processing(
    ...         band_hz=(0.5, 40.0),
    ...         notch_hz=0.0,
    ...         denoise=False,
    ...         representations=("handcrafted",),
    ...         representation_options={},
    ...         crop_s=0.0,
    ...         crop_hop_s=0.0,
    ...         crop_aggregation="mean",
    ...     ),
    ...     calibration_scale=(1.0, 1.0),
    ...     calibration_bias=(0.0, 0.0),
    ...     thresholds=(0.5, 0.5),
    ...     caveats=("synthetic data",),
    ... )
    >>> predictions = Predictions(
    ...     kind=contract.kind,
    ...     classes=contract.classes,
    ...     rows=np.array([4]),
    ...     records=np.array(["r1"]),
    ...     patients=np.array(["p1"]),
    ...     y=np.array([[1, 0]]),
    ...     p=np.array([[0.75, 0.25]]),
    ... )
    >>> result = Result(
    ...     model={"estimator": "RandomForestClassifier"},
    ...     history=pd.DataFrame({"epoch": [1], "val_auroc": [0.9]}),
    ...     predictions={"validation": predictions, "test": predictions},
    ...     metrics={"model": {"parameters": 8400}},
    ...     contract=contract,
    ...     environment=describe_environment(threads=1),
    ... )
    >>> from ecglib.runs import find_run_path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = write_run(find_run_path(experiment, folder, "explore"), experiment, result)
    ...     run.predictions("test").p.tolist(), (run.path / "trees.json").is_file()
    ([[0.75, 0.25]], True)
    """
    try:
        with make_temporary_folder(path.parent, "run") as folder:
            write_json(folder / CONTRACT, result.contract.to_dict())
            if isinstance(result.model, dict):
                write_json(folder / TREES, result.model)
            else:
                result.model.save(folder / MODEL)
            result.history.to_csv(folder / HISTORY, index=False)
            write_predictions(folder, result.predictions)
            write_json(folder / METRICS, result.metrics)
            write_description(folder, experiment, result.environment)
            publish_run(folder, path)
    except OSError as error:
        raise RunError(
            f"Writing the run {path} failed: {error}. Nothing was written; check the disk (space, "
            f"permissions) and run it again."
        ) from error
    return Run(path)


def write_description(folder: Path, experiment: Experiment, environment: Environment) -> None:
    """Write experiment.json: experiment, environment, and the hash of each other file.

    Parameters
    ----------
    folder : Path
        Folder of the run, with all its other files.
    experiment : Experiment
        What was trained.
    environment : Environment
        The code, versions and threads of the training.

    Examples
    --------
    >>> import json, tempfile
    >>> from ecglib.experiment import describe_environment
    >>> settings = {"dataset": "d", "fingerprint": "0", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_description(Path(folder), experiment, describe_environment(threads=1))
    ...     json.loads(Path(folder, "experiment.json").read_text())["model"]
    'time:cnn'
    """
    values = {
        "format": FORMAT,
        "experiment": experiment.to_flat(),
        "hash": experiment.hash,
        "model": experiment.model_name,
        "environment": environment.to_dict(),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
        "files": hash_files(folder, (*FILES[1:], MODEL, TREES)),
    }
    write_json(folder / EXPERIMENT, values | {"checksum": hash_values(values)})
