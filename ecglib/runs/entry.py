"""Predictions of another framework, entered into a batch: writing and reading their folder.

``runs/<batch>/entered_<name>_seed<seed>_<hash>/`` holds entry.json, predictions.npz and
metrics.json. As that of a run, it is written under a temporary name and renamed, and a file is
compared with its hash before it is used.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from ecglib.errors import DamagedRunError, EcgError, RunError
from ecglib.evaluation.contestants import ENTERED
from ecglib.evaluation.summary import Evaluated
from ecglib.experiment.settings import DataSettings
from ecglib.paths import make_temporary_folder, write_json
from ecglib.runs.files import (
    METRICS,
    PREDICTIONS,
    hash_files,
    hash_values,
    publish_run,
    write_predictions,
)
from ecglib.runs.folder import ContestantFolder

ENTRY_FORMAT = 1  # of the folder of an entry; another format is refused
ENTRY = "entry.json"
NOT_TRAINED_HERE = "not trained here"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntryDetails:
    """What is known of entered predictions.

    Parameters
    ----------
    name : str
        Name of the model; all its seeds have the same.
    seed : int
        Seed of its training.
    parameters : int
        Number of its parameters.
    source : str
        Name of the file that was entered; "" for a table in memory.
    data : DataSettings
        Store, task and split that the predictions are of.
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    classes : tuple of str
        Names of the classes, in the order of the probabilities.
    calibration_scale, calibration_bias : tuple of float
        Parameters of the calibration, one a class (`ecglib.evaluation.calibration`).
    thresholds : tuple of float
        Decision thresholds, one a class.
    caveats : tuple of str
        The caveats of store and split.

    Examples
    --------
    >>> details = EntryDetails(
    ...     name="resnet",
    ...     seed=0,
    ...     parameters=1000,
    ...     source="predictions.csv",
    ...     data=DataSettings(dataset="synthetic", fingerprint="0123", task="rhythm"),
    ...     kind="multi_label",
    ...     classes=("N", "AF"),
    ...     calibration_scale=(1.0, 1.0),
    ...     calibration_bias=(0.0, 0.0),
    ...     thresholds=(0.5, 0.5),
    ...     caveats=("synthetic data",),
    ... )
    >>> EntryDetails.from_dict(json.loads(json.dumps(details.to_dict()))) == details
    True
    >>> details.model_name, details.folder_name
    ('resnet (not trained here)', 'entered_resnet_seed0_...')
    """

    name: str
    seed: int
    parameters: int
    source: str
    data: DataSettings
    kind: str
    classes: tuple[str, ...]
    calibration_scale: tuple[float, ...]
    calibration_bias: tuple[float, ...]
    thresholds: tuple[float, ...]
    caveats: tuple[str, ...]

    @property
    def model_name(self) -> str:
        """The name that is shown, which says that the model was not trained here."""
        return f"{self.name} ({NOT_TRAINED_HERE})"

    @property
    def folder_name(self) -> str:
        """Name of the folder: readable words, then a hash of name, seed, store, task and split."""
        data = self.data
        identity = json.dumps([self.name, self.seed, dataclasses.asdict(data)], sort_keys=True)
        words = ["entered", re.sub(r"[^A-Za-z0-9.+-]+", "-", self.name).strip("-.")]
        if data.n_folds:
            words.append(f"fold{data.fold}of{data.n_folds}")
        digest = hashlib.blake2b(identity.encode(), digest_size=5).hexdigest()
        return "_".join([*words, f"seed{self.seed}", digest])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the details of plain values, such as those of a JSON file.

        Raises
        ------
        TypeError, ValueError
            If a value is missing, unknown or of another kind.
        """
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        plain["data"] = DataSettings(**values["data"])
        details = cls(**plain)
        details._check()
        return details

    def _check(self) -> None:
        """Check what a comparison uses, as a file may hold anything."""
        texts = (self.name, self.source, *self.classes, *self.caveats)
        numbers = (self.seed, self.parameters, *self.thresholds)
        if not all(isinstance(one, str) for one in texts):
            raise TypeError("a name or caveat is no text")
        if not all(isinstance(one, int | float) for one in numbers):
            raise TypeError("a number is no number")
        if len(self.thresholds) != len(self.classes):
            raise ValueError(f"{len(self.thresholds)} thresholds of {len(self.classes)} classes")


class Entry(ContestantFolder):
    """Predictions of another framework that stand in the comparison of a batch.

    It has no model: it cannot predict further records and cannot be exported.

    Parameters
    ----------
    path : str or Path
        The folder of the entry.

    Raises
    ------
    RunError
        If a file is missing, or the entry has another format.
    DamagedRunError
        If a file is not the one that was written; also by each method that reads one.

    Examples
    --------
    >>> Entry("runs/explore/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: runs/explore/none is not a complete entry: ...
    """

    NOUN = "entry"
    REMEDY = "enter the predictions again (`ecglib enter`)"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        names = (ENTRY, PREDICTIONS, METRICS)
        missing = [name for name in names if not (self.path / name).is_file()]
        if missing:
            raise RunError(
                f"{self.path} is not a complete entry: {', '.join(missing)} missing. Remove the "
                f"folder and {self.REMEDY}."
            )
        values = self._read_description(ENTRY, ENTRY_FORMAT)
        self._hashes = values["files"]
        try:
            self.details = EntryDetails.from_dict(values["entry"])
            self.metrics = dict(json.loads(self._read(METRICS)))
        except DamagedRunError:
            raise
        except (EcgError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise self._report_damage(repr(error)) from None

    def __repr__(self) -> str:
        return f"Entry({self.details.model_name}: {self._describe_test_score()})"

    @property
    def data(self) -> DataSettings:
        """Store, task, split and allowed leaks."""
        return self.details.data

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.details.seed

    @property
    def role(self) -> str:
        """What the model is in a comparison."""
        return ENTERED

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The name of the model, whose branches are not known."""
        return (self.details.name,)

    @property
    def ensemble_size(self) -> int:
        """1: how many models were averaged is not known."""
        return 1

    @property
    def hash(self) -> str:
        """Differs as soon as two entries differ, or their predictions."""
        return f"{self.path.name} {self._hashes.get(PREDICTIONS)}"

    @property
    def model_hash(self) -> str:
        """Equal for all seeds and folds of one model."""
        return self.details.model_name

    @property
    def kind(self) -> str:
        """Kind of the task: multi_label or multi_class."""
        return self.details.kind

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.details.classes

    @property
    def thresholds(self) -> np.ndarray:
        """Decision thresholds, one a class, fitted on the validation split."""
        return np.array(self.details.thresholds)

    @property
    def caveats(self) -> tuple[str, ...]:
        """Those of store and split, and that the training is not known."""
        return (
            *self.details.caveats,
            f"{self.details.name} was {NOT_TRAINED_HERE}: which data, splits and settings it was "
            f"trained with is not known",
        )

    def predict(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is no model.

        Raises
        ------
        RunError
            Always.
        """
        raise self.refuse_prediction()

    def load_network(self) -> NoReturn:
        """Refuse: there is no model.

        Raises
        ------
        RunError
            Always.
        """
        raise self.refuse_prediction()

    def refuse_prediction(self) -> RunError:
        """Return the error of whoever asks for the model."""
        return RunError(
            f"{self.details.name} was {NOT_TRAINED_HERE}: only its predictions were entered, so "
            f"there is no model to load, export or predict with. Choose a run that was trained "
            f"here."
        )


def write_entry(batch_dir: Path, details: EntryDetails, evaluated: Evaluated) -> Entry:
    """Write the folder of an entry atomically.

    Parameters
    ----------
    batch_dir : Path
        Folder of the batch.
    details : EntryDetails
        What is known of the predictions.
    evaluated : Evaluated
        Their calibrated probabilities and scores.

    Returns
    -------
    Entry
        The entry, opened.

    Raises
    ------
    RunError
        If a file cannot be written; nothing is left of the entry then.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.evaluation.predictions import Predictions
    >>> from ecglib.evaluation.summary import evaluate
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.arange(4),
    ...     records=np.array(["r1", "r2", "r3", "r4"]),
    ...     patients=np.array(["p1", "p2", "p3", "p4"]),
    ...     y=np.array([[0], [0], [1], [1]]),
    ...     p=np.array([[0.1], [0.6], [0.4], [0.9]]),
    ... )
    >>> details = EntryDetails(
    ...     name="resnet",
    ...     seed=0,
    ...     parameters=1000,
    ...     source="",
    ...     data=DataSettings(dataset="synthetic", fingerprint="0123", task="rhythm"),
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     calibration_scale=(1.0,),
    ...     calibration_bias=(0.0,),
    ...     thresholds=(0.5,),
    ...     caveats=(),
    ... )
    >>> evaluated = evaluate({"validation": predictions, "test": predictions})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     entry = write_entry(Path(folder), details, evaluated)
    >>> entry
    Entry(resnet (not trained here): macro AUROC 0.750 [...] on the test split; resnet was ...)
    """
    path = batch_dir / details.folder_name
    try:
        with make_temporary_folder(batch_dir, "entry") as folder:
            write_predictions(folder, evaluated.predictions)
            cost = {"parameters": details.parameters, "multiply_adds": None}
            write_json(folder / METRICS, {"model": cost} | evaluated.scores)
            values = {
                "format": ENTRY_FORMAT,
                "entry": details.to_dict(),
                "files": hash_files(folder, (PREDICTIONS, METRICS)),
            }
            values = json.loads(json.dumps(values))
            write_json(folder / ENTRY, values | {"checksum": hash_values(values)})
            publish_run(folder, path)
    except OSError as error:
        raise RunError(
            f"Writing the entry {path} failed: {error}. Nothing was written; check the disk "
            f"(space, permissions) and enter the predictions again."
        ) from error
    return Entry(path)
