"""What a run and entered predictions have in common: a folder that is compared with others."""

import abc
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ecglib._display import Displayed
from ecglib.errors import DamagedRunError, RunError, require_one_of
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment.settings import DataSettings
from ecglib.runs.files import (
    ARRAYS,
    MAX_SHOWN,
    PREDICTIONS,
    SPLITS,
    hash_content,
    hash_values,
    read_arrays,
)


class ContestantFolder(abc.ABC, Displayed):
    """The folder of a contestant: predictions of both splits, thresholds and scores.

    There are two kinds: a run (`Run`), and predictions of another framework that were entered
    (`Entry`). A file is compared with its hash before it is used.

    Parameters
    ----------
    path : str or Path
        The folder.

    Attributes
    ----------
    path : Path
        The folder.
    metrics : dict
        The cost of the model, and for each split every score with its interval.

    Examples
    --------
    >>> from ecglib.runs import Entry, Run
    >>> [issubclass(one, ContestantFolder) for one in (Run, Entry)]
    [True, True]
    """

    NOUN: ClassVar[str]  # what a message calls it
    REMEDY: ClassVar[str]  # what helps if it cannot be used, besides removing it

    path: Path
    metrics: dict[str, Any]
    _hashes: dict[str, str]

    @property
    @abc.abstractmethod
    def data(self) -> DataSettings:
        """Store, task, split and allowed leaks."""

    @property
    @abc.abstractmethod
    def seed(self) -> int:
        """Seed of the training."""

    @property
    @abc.abstractmethod
    def role(self) -> str:
        """What the model is in a comparison (`ecglib.evaluation.contestants`)."""

    @property
    @abc.abstractmethod
    def branch_names(self) -> tuple[str, ...]:
        """Names of the branches."""

    @property
    @abc.abstractmethod
    def ensemble_size(self) -> int:
        """Number of models that are averaged."""

    @property
    @abc.abstractmethod
    def hash(self) -> str:
        """Differs as soon as two contestants differ."""

    @property
    @abc.abstractmethod
    def model_hash(self) -> str:
        """The hash without seed and fold: equal for all seeds and folds of one model."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """Kind of the task: multi_label or multi_class."""

    @property
    @abc.abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""

    @property
    @abc.abstractmethod
    def thresholds(self) -> np.ndarray:
        """Decision thresholds, one a class, fitted on the validation split."""

    @property
    @abc.abstractmethod
    def caveats(self) -> tuple[str, ...]:
        """Shown with every number."""

    @property
    def parameters(self) -> int:
        """Number of parameters of the model; of trees, of their nodes."""
        return self.metrics["model"]["parameters"]

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
                kind=self.kind,
                classes=self.classes,
                **{name: arrays[f"{split}_{name}"] for name in ARRAYS},
            )
        except (KeyError, ValueError) as error:
            raise self._report_damage(f"{PREDICTIONS}: {error!r}") from None

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

    def _describe_test_score(self) -> str:
        """Describe the macro AUROC on the test split, and the caveats."""
        score = self.metrics["test"]["macro"]["auroc"]
        values = [score[name] for name in ("estimate", "low", "high")]
        estimate, low, high = ("-" if one is None else f"{one:.3f}" for one in values)
        return (
            f"macro AUROC {estimate} [{low}, {high}] on the test split"
            f"{f'; {one}' if (one := '; '.join(self.caveats)) else ''}"
        )

    def _read(self, name: str) -> bytes:
        """Read a file, and compare it with its hash."""
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise self._report_damage(f"{name} cannot be read: {error}") from None
        if hash_content(content) != self._hashes.get(name):
            raise self._report_damage(f"{name} is not the file that was written")
        return content

    def _read_predictions(self) -> dict[str, np.ndarray]:
        content = self._read(PREDICTIONS)
        try:
            return read_arrays(content)
        except RunError as error:
            raise self._report_damage(f"{PREDICTIONS}: {error}") from None

    def _read_description(self, name: str, expected_format: int) -> dict[str, Any]:
        """Read the file that describes the folder, and compare it with the hash it ends with."""
        try:
            values = json.loads((self.path / name).read_bytes())
            found = values["format"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._report_damage(f"{name}: {error!r}") from None
        if found != expected_format:
            raise RunError(
                f"{self.path} has format {found}, this version reads format {expected_format}. "
                f"Remove the folder and {self.REMEDY}."
            )
        checksum = values.pop("checksum", None)
        if checksum != hash_values(values) or not isinstance(values.get("files"), dict):
            raise self._report_damage(f"{name} is not the file that was written")
        return values

    def _report_damage(self, what: str) -> DamagedRunError:
        return DamagedRunError(
            f"The {self.NOUN} {self.path} is damaged: {what[:MAX_SHOWN]}. Remove or rename the "
            f"folder and {self.REMEDY}."
        )
