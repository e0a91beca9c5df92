"""A run's folder: writing, reading, finding.

``runs/<batch>/<run>/`` holds experiment.json, contract.json, model.keras, history.csv,
predictions.npz and metrics.json; a batch adds the executed notebook. A baseline of trees has
trees.json, its settings and inputs, in place of model.keras. The folder is written under a
temporary name and renamed, metrics.json last: a folder without it is not a run.
"""

import dataclasses
import json
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecglib.errors import RunError
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment import Contract, Experiment
from ecglib.paths import make_temporary_folder, write_json
from ecglib.paths import runs_dir as find_runs_dir

if TYPE_CHECKING:
    import keras

FORMAT = 4  # of a run's folder; a run of another format is refused
DISTRIBUTIONS = ("ecg-fusion", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pandas")
MODEL, TREES = "model.keras", "trees.json"
METRICS = "metrics.json"
REPORT = "report.html"  # in the folder of a batch that was carried out
FILES = ("experiment.json", "contract.json", "history.csv", "predictions.npz", METRICS)
ARRAYS = ("rows", "records", "patients", "y", "p")


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

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.experiment import Processing
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
    ... )
    >>> result.predictions["test"].p.tolist(), result.metrics["model"]["parameters"]
    ([[0.75, 0.25]], 8400)
    """

    model: "keras.Model | dict[str, Any]"
    history: pd.DataFrame
    predictions: dict[str, Predictions]
    metrics: dict[str, Any]
    contract: Contract


class Run:
    """A finished run.

    Parameters
    ----------
    path : str or Path
        The run's folder.

    Raises
    ------
    RunError
        If a file is missing, or the run has another format.

    Examples
    --------
    >>> Run("runs/explore/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: runs/explore/none is not a complete run: ...
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        missing = [name for name in FILES if not (self.path / name).is_file()]
        if not any((self.path / name).is_file() for name in (MODEL, TREES)):
            missing.append(MODEL)
        if missing:
            raise RunError(
                f"{self.path} is not a complete run: {', '.join(missing)} missing. Remove the "
                f"folder and run the experiment again."
            )
        values = self._read_json("experiment.json")
        if values.get("format") != FORMAT:
            raise RunError(
                f"{self.path} has format {values.get('format')}, this version reads format "
                f"{FORMAT}. Remove the folder and run the experiment again."
            )
        self.experiment = Experiment.from_flat(values["experiment"])
        self.versions: dict[str, str] = values["versions"]
        self.contract = Contract.from_dict(self._read_json("contract.json"))
        self.metrics: dict[str, Any] = self._read_json(METRICS)

    def __repr__(self) -> str:
        return f"Run({self.path.name})"

    @property
    def caveats(self) -> tuple[str, ...]:
        """Shown with every number of this run."""
        return self.contract.caveats

    @property
    def history(self) -> pd.DataFrame:
        """One row for each epoch and model."""
        return pd.read_csv(self.path / "history.csv")

    def predictions(self, split: str) -> Predictions:
        """Read the labels and calibrated probabilities of a split.

        Parameters
        ----------
        split : {"validation", "test"}
            The split.
        """
        with np.load(self.path / "predictions.npz") as arrays:
            return Predictions(
                kind=self.contract.kind,
                classes=self.contract.classes,
                **{name: arrays[f"{split}_{name}"] for name in ARRAYS},
            )

    def load_network(self) -> "keras.Model":
        """Load the bare network, from the representations to uncalibrated probabilities.

        To predict, use `ecglib.Predictor`: it resamples, filters and calibrates as well. As one
        Keras model that is `ecglib.inference.build_run_model`.

        Raises
        ------
        RunError
            If the run is a baseline, whose trees are not saved.
        """
        if self.experiment.role == "baseline":
            raise RunError(
                f"{self.path.name} has no network to load, export or predict with: fitted trees are "
                f"not saved, because their file would be a pickle, which executes what it holds. "
                f"Its predictions and scores are in the run. Choose the run of a network, or fit "
                f"the trees again as {TREES} says (`ecglib.training.trees`)."
            )
        import keras

        import ecglib.models  # noqa: F401 - registers the layers

        return keras.models.load_model(self.path / MODEL, compile=False)

    def _read_json(self, name: str) -> dict[str, Any]:
        return json.loads((self.path / name).read_text())


def find_run_path(experiment: Experiment, runs_dir: str | Path, batch: str) -> Path:
    """Return the folder of an experiment's run, which need not exist.

    Examples
    --------
    >>> experiment = Experiment.from_flat(
    ...     {"dataset": "d", "fingerprint": "0", "task": "t", "branches": {"time": "cnn"}}
    ... )
    >>> path = find_run_path(experiment, "runs", "explore")
    >>> path == Path("runs/explore") / f"time-cnn_seed0_{experiment.hash}"
    True
    """
    return Path(runs_dir) / batch / experiment.run_name


def run_exists(path: str | Path) -> bool:
    """Return whether a folder holds a finished run.

    Examples
    --------
    >>> run_exists("runs/explore/none")
    False
    """
    return (Path(path) / METRICS).is_file()


def find_runs(batch_dir: str | Path) -> list[Run]:
    """Open the finished runs of a batch, sorted by name.

    Parameters
    ----------
    batch_dir : str or Path
        The batch's folder.

    Raises
    ------
    RunError
        If there is none.

    Examples
    --------
    >>> find_runs("runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """
    runs = [Run(path.parent) for path in sorted(Path(batch_dir).glob(f"[!.]*/{METRICS}"))]
    if not runs:
        raise RunError(
            f"No finished run in {batch_dir}. Run `ecglib batch` or the notebook 03_train first."
        )
    return runs


def find_newest_batch(runs_dir: str | Path) -> Path:
    """Return the folder of the batch whose last run is the newest.

    Batches that were carried out to their report come first: a notebook that was tried out since
    then writes its run into a folder of its own, which is no batch.

    Parameters
    ----------
    runs_dir : str or Path
        Folder of all batches.

    Returns
    -------
    Path
        The folder; one without a report only if there is no other.

    Raises
    ------
    RunError
        If there is no run at all.

    Examples
    --------
    >>> find_newest_batch("runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run below runs/none. ...
    """

    def rank(metrics: Path) -> tuple[bool, float]:
        return (metrics.parents[1] / REPORT).is_file(), _modification_time(metrics)

    return max(_list_metrics(runs_dir), key=rank).parents[1]


def open_run(name: str | Path = "", runs_dir: str | Path = "") -> Run:
    """Open a run by its name.

    Parameters
    ----------
    name : str or Path, default ""
        A run's folder, its path below `runs_dir`, or a part of the folder's name that only one run
        has, such as the hash at its end; empty for the newest run.
    runs_dir : str or Path, default ""
        Folder of all batches; empty for the default (`ecglib.paths.runs_dir`).

    Raises
    ------
    RunError
        If no run or more than one has this name.

    Examples
    --------
    >>> open_run("b1946ac92", "runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No run below runs/none has 'b1946ac92' in its name. ...
    """
    folder = find_runs_dir(runs_dir)
    for path in (Path(name), folder / name) if name else ():
        if run_exists(path):
            return Run(path)
    if not name:
        return Run(max(_list_metrics(folder), key=_modification_time).parent)
    every = sorted(path.parent for path in folder.glob(f"*/[!.]*/{METRICS}"))
    matching = [path for path in every if str(name) in path.name]
    if not matching:
        raise RunError(
            f"No run below {folder} has {str(name)!r} in its name. Give the folder of a run; there "
            f"are {_name_runs(every)}."
        )
    if len(matching) > 1:
        raise RunError(
            f"{len(matching)} runs below {folder} have {str(name)!r} in their names: "
            f"{_name_runs(matching)}. Give the folder of one of them."
        )
    return Run(matching[0])


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
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.experiment import Processing
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
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = write_run(find_run_path(experiment, folder, "explore"), experiment, result)
    ...     run.predictions("test").p.tolist(), (run.path / "trees.json").is_file()
    ([[0.75, 0.25]], True)
    """
    try:
        with make_temporary_folder(path.parent, "run") as folder:
            write_json(folder / "experiment.json", _describe_experiment(experiment))
            write_json(folder / "contract.json", result.contract.to_dict())
            if isinstance(result.model, dict):
                write_json(folder / TREES, result.model)
            else:
                result.model.save(folder / MODEL)
            result.history.to_csv(folder / "history.csv", index=False)
            arrays: dict[str, Any] = _list_arrays(result.predictions)
            np.savez_compressed(folder / "predictions.npz", **arrays)
            write_json(folder / METRICS, result.metrics)
            if not run_exists(path):
                shutil.rmtree(path, ignore_errors=True)
                folder.rename(path)
    except OSError as error:
        raise RunError(
            f"Writing the run {path} failed: {error}. Nothing was written; check the disk (space, "
            f"permissions) and run it again."
        ) from error
    return Run(path)


def _describe_experiment(experiment: Experiment) -> dict[str, Any]:
    versions = {name: metadata.version(name) for name in DISTRIBUTIONS}
    return {
        "format": FORMAT,
        "experiment": experiment.to_flat(),
        "hash": experiment.hash,
        "model": experiment.model_name,
        "versions": {"python": platform.python_version()} | versions,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def _list_arrays(predictions: dict[str, Predictions]) -> dict[str, np.ndarray]:
    return {
        f"{split}_{name}": getattr(one, name)
        for split, one in predictions.items()
        for name in ARRAYS
    }


def _name_runs(paths: list[Path]) -> str:
    names = [f"{path.parent.name}/{path.name}" for path in paths[:5]]
    return ", ".join(names) + (", ..." if len(paths) > 5 else "") if names else "none"


def _list_metrics(runs_dir: str | Path) -> list[Path]:
    """List the metrics of all finished runs; at least one."""
    found = list(Path(runs_dir).glob(f"*/[!.]*/{METRICS}"))
    if not found:
        raise RunError(
            f"No finished run below {runs_dir}. Run `ecglib batch` or the notebook 03_train first."
        )
    return found


def _modification_time(path: Path) -> float:
    return path.stat().st_mtime
