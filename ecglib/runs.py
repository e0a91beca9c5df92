"""A run's folder: writing, reading, finding.

``runs/<batch>/<run>/`` holds experiment.json, contract.json, model.keras, history.csv,
predictions.npz and metrics.json; a batch adds the executed notebook. A baseline of trees has
trees.json, its settings and inputs, in place of model.keras. The folder is written under a
temporary name and renamed, metrics.json last: a folder without it is not a run.

experiment.json also holds the environment of the training and the hash of each file. A file is
compared with its hash before it is used, so that a damaged or edited run is noticed.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import os
import platform
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecglib._display import Displayed
from ecglib.errors import DamagedRunError, EcgError, RunError, require_one_of
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment import Contract, Environment, Experiment
from ecglib.paths import make_temporary_folder, publish_folder, write_json
from ecglib.paths import runs_dir as find_runs_dir

if TYPE_CHECKING:
    import keras

    from ecglib.inference import PredictedRecords, Predictor, RecordOptions
    from ecglib.inference.arrays import Records

FORMAT = 5  # of a run's folder; a run of another format is refused
MODEL, TREES = "model.keras", "trees.json"
METRICS = "metrics.json"
REPORT = "report.html"  # in the folder of a batch that was carried out
EXPERIMENT, CONTRACT = "experiment.json", "contract.json"
HISTORY, PREDICTIONS = "history.csv", "predictions.npz"
FILES = (EXPERIMENT, CONTRACT, HISTORY, PREDICTIONS, METRICS)
NOTEBOOK = "train.ipynb"  # added by a batch, once it was executed
MAX_SHOWN = 1000  # characters of an error about a file
MAX_ARRAY_BYTES = 4 << 30  # of all arrays of one file
SPLITS = ("validation", "test")
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
    environment : Environment
        The code, versions and threads of the training.

    Examples
    --------
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


class Run(Displayed):
    """A finished run: its experiment, scores and predictions; predicts further records.

    Parameters
    ----------
    path : str or Path
        The run's folder.

    Raises
    ------
    RunError
        If a file is missing, or the run has another format.
    DamagedRunError
        If a file is not the one that was written; also by each method that reads one.

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
        values = self._read_description()
        self._hashes: dict[str, str] = values["files"]
        try:
            self.experiment = Experiment.from_flat(values["experiment"])
            self.environment = Environment.from_dict(values["environment"])
            self.contract = Contract.from_dict(json.loads(self._read(CONTRACT)))
            self.metrics: dict[str, Any] = dict(json.loads(self._read(METRICS)))
        except DamagedRunError:
            raise
        except EcgError as error:
            raise RunError(
                f"The run {self.path} cannot be opened: {str(error)[:MAX_SHOWN]} It was written by "
                f"another version; open it with that one, or remove the folder and run the "
                f"experiment again."
            ) from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise self._report_damage(repr(error)) from None

    def __repr__(self) -> str:
        score = self.metrics["test"]["macro"]["auroc"]
        values = [score[name] for name in ("estimate", "low", "high")]
        estimate, low, high = ("-" if one is None else f"{one:.3f}" for one in values)
        return (
            f"Run({self.path.name}: macro AUROC {estimate} [{low}, {high}] on the test split"
            f"{f'; {one}' if (one := '; '.join(self.caveats)) else ''})"
        )

    @property
    def versions(self) -> dict[str, str]:
        """Version of Python and of each distribution."""
        return self.environment.versions

    @property
    def caveats(self) -> tuple[str, ...]:
        """Shown with every number of this run."""
        return self.contract.caveats

    @property
    def history(self) -> pd.DataFrame:
        """One row for each epoch and model."""
        content = io.BytesIO(self._read(HISTORY))
        try:
            return pd.read_csv(content)
        except ValueError as error:
            raise self._report_damage(f"{HISTORY}: {error}") from None

    def predictions(self, split: str) -> Predictions:
        """Read the labels and calibrated probabilities of a split.

        Parameters
        ----------
        split : {"validation", "test"}
            The split.

        Raises
        ------
        ExperimentError
            If there is no such split.
        """
        require_one_of("split", split, SPLITS)
        arrays = self._read_predictions()
        try:
            return Predictions(
                kind=self.contract.kind,
                classes=self.contract.classes,
                **{name: arrays[f"{split}_{name}"] for name in ARRAYS},
            )
        except (KeyError, ValueError) as error:
            raise self._report_damage(f"{PREDICTIONS}: {error!r}") from None

    def predict(
        self,
        records: "Records",
        *,
        sampling_rate_hz: float = 0.0,
        leads: Sequence[str] = (),
        names: Sequence[str] = (),
        options: "RecordOptions | None" = None,
        keep_signal: bool = False,
    ) -> "PredictedRecords":
        """Predict records in files, or recordings that are arrays.

        The first call builds the model, from mV to calibrated probabilities, which later calls use
        again.

        Parameters
        ----------
        records : str, Path, array, or sequence of one of them
            A record (WFDB, CSV, EDF or NumPy file) or a folder of records; or an array in mV of
            shape (n_records, n_samples, n_leads) or (n_samples, n_leads), NaN where nothing was
            measured.
        sampling_rate_hz : float, default 0.0
            Sampling rate of arrays, and of CSV and NumPy files, in Hz.
        leads : sequence of str, default ()
            Names of the columns of arrays and NumPy files, in order, such as ``["I", "II"]``.
        names : sequence of str, default ()
            Name of each recording that is an array.
        options : RecordOptions, optional
            Unit, starts of the windows, padding, tabular values (`ecglib.RecordOptions`).
        keep_signal : bool, default False
            Whether the result has the samples of the windows, to draw them.

        Returns
        -------
        PredictedRecords
            Probabilities and decisions, and the records that were refused.

        Raises
        ------
        RunError
            If the run is a baseline, whose trees are not saved.
        DatasetError
            As for `ecglib.Predictor.predict`.

        Examples
        --------
        >>> run = open_run("0123456789")  # doctest: +SKIP
        >>> run.predict("record.hea")  # doctest: +SKIP
        >>> run.predict(signals, sampling_rate_hz=500, leads=["I", "II"])  # doctest: +SKIP
        """
        return self._predictor.predict(
            records,
            sampling_rate_hz=sampling_rate_hz,
            leads=leads,
            names=names,
            options=options,
            keep_signal=keep_signal,
        )

    @functools.cached_property
    def _predictor(self) -> "Predictor":
        from ecglib.inference import Predictor  # needs Keras

        return Predictor(self)

    def load_network(self) -> "keras.Model":
        """Load the bare network, from the representations to uncalibrated probabilities.

        To predict, use `predict`: it resamples, filters and calibrates as well. As one
        Keras model that is `ecglib.inference.build_run_model`.

        Raises
        ------
        RunError
            If the run is a baseline, whose trees are not saved.
        """
        if self.experiment.role == "baseline":
            raise RunError(
                f"{self.path.name} has no network to load, export or predict with: fitted trees "
                f"are not saved, because their file would be a pickle, which executes what it "
                f"holds. Its predictions and scores are in the run. Choose the run of a network, "
                f"or fit the trees again as {TREES} says (`ecglib.training.trees`)."
            )
        import keras

        import ecglib.models  # noqa: F401 - registers the layers

        self._read(MODEL)
        return keras.models.load_model(self.path / MODEL, compile=False)

    def verify(self) -> None:
        """Compare every file with what was written.

        Raises
        ------
        DamagedRunError
            If one differs or is missing.
        """
        for name in self._hashes:
            self._read(name)
        for split in SPLITS:
            self.predictions(split)

    def _read(self, name: str) -> bytes:
        """Read a file, and compare it with its hash."""
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise self._report_damage(f"{name} cannot be read: {error}") from None
        if _hash(content) != self._hashes.get(name):
            raise self._report_damage(f"{name} is not the file that was written")
        return content

    def _read_predictions(self) -> dict[str, np.ndarray]:
        content = self._read(PREDICTIONS)
        try:
            return read_arrays(content)
        except RunError as error:
            raise self._report_damage(f"{PREDICTIONS}: {error}") from None

    def _read_description(self) -> dict[str, Any]:
        """Read experiment.json, and compare it with the hash that it ends with."""
        try:
            values = json.loads((self.path / EXPERIMENT).read_bytes())
            found = values["format"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._report_damage(f"{EXPERIMENT}: {error!r}") from None
        if found != FORMAT:
            raise RunError(
                f"{self.path} has format {found}, this version reads format {FORMAT}. Remove the "
                f"folder and run the experiment again."
            )
        checksum = values.pop("checksum", None)
        if checksum != _hash_values(values) or not isinstance(values.get("files"), dict):
            raise self._report_damage(f"{EXPERIMENT} is not the file that was written")
        return values

    def _report_damage(self, what: str) -> DamagedRunError:
        return DamagedRunError(
            f"The run {self.path} is damaged: {what[:MAX_SHOWN]}. Remove or rename the folder and "
            f"run the experiment again; `ecglib batch` does both."
        )


def require_run(run: object) -> Run:
    """Check that a run was given where one is due.

    Parameters
    ----------
    run : object
        What the user gave.

    Returns
    -------
    Run
        The same.

    Raises
    ------
    RunError
        If it is something else; the message says how to get a run.

    Examples
    --------
    >>> require_run("runs/explore/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: 'runs/explore/none' is a name, expected a run. Open it first: ...
    """
    if isinstance(run, Run):
        return run
    if isinstance(run, str | Path):
        raise RunError(
            f"{str(run)!r} is a name, expected a run. Open it first: ecglib.open_run(...) for one "
            f"run, ecglib.find_runs(...) for the folder of a batch."
        )
    raise RunError(
        f"{type(run).__name__} was given, expected a run. Give what ecglib.train returned, or open "
        f"one: ecglib.open_run(...)."
    )


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
    _require_path(batch_dir)
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
    _require_path(name)
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
            arrays: dict[str, Any] = _list_arrays(result.predictions)
            np.savez_compressed(folder / PREDICTIONS, **arrays)
            write_json(folder / METRICS, result.metrics)
            write_description(folder, experiment, result.environment)
            _publish_run(folder, path)
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
    >>> import tempfile
    >>> from ecglib.experiment import describe_environment
    >>> settings = {"dataset": "d", "fingerprint": "0", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_description(Path(folder), experiment, describe_environment(threads=1))
    ...     json.loads(Path(folder, "experiment.json").read_text())["model"]
    'time:cnn'
    """
    files = [folder / name for name in (*FILES[1:], MODEL, TREES)]
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
        "files": {file.name: _hash(file.read_bytes()) for file in files if file.is_file()},
    }
    write_json(folder / EXPERIMENT, values | {"checksum": _hash_values(values)})


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of an NPZ file, without trusting the sizes that it states.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    dict of str to array
        Name -> array.

    Raises
    ------
    RunError
        If it is no NPZ file of plain arrays, or larger than `MAX_ARRAY_BYTES` when unpacked.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> np.savez(file, p=np.array([0.25, 0.75]))
    >>> read_arrays(file.getvalue())
    {'p': array([0.25, 0.75])}
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            n_bytes = sum(entry.file_size for entry in archive.infolist())
            if n_bytes > MAX_ARRAY_BYTES:
                raise ValueError(f"{n_bytes} bytes, expected at most {MAX_ARRAY_BYTES}")
            return {
                entry.filename.removesuffix(".npy"): _read_array(archive.read(entry))
                for entry in archive.infolist()
            }
    except Exception as error:  # whatever a damaged archive raises
        raise RunError(f"it holds no readable arrays ({type(error).__name__}: {error})") from None


def _read_array(content: bytes) -> np.ndarray:
    """Read an array whose header fits its size: NumPy would ask for the memory first."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of the NPY format than 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"shape {shape} does not fit {len(content)} bytes")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _publish_run(folder: Path, path: Path) -> None:
    """Rename the folder to the run, unless another process has finished the run meanwhile."""
    if run_exists(path):
        return
    shutil.rmtree(path, ignore_errors=True)
    try:
        publish_folder(folder, path)
    except OSError:
        if not run_exists(path):
            raise


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _hash_values(values: dict[str, Any]) -> str:
    return _hash(json.dumps(values, sort_keys=True).encode())


def _list_arrays(predictions: dict[str, Predictions]) -> dict[str, np.ndarray]:
    return {
        f"{split}_{name}": getattr(one, name)
        for split, one in predictions.items()
        for name in ARRAYS
    }


def _require_path(name: object) -> None:
    if not isinstance(name, str | Path):
        raise RunError(
            f"{type(name).__name__} was given, expected the name or the folder of runs. What "
            f"ecglib.train returned is open already."
        )


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
