"""A finished run: its experiment, scores and predictions."""

import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecglib.errors import DamagedRunError, EcgError, ExperimentError, RunError
from ecglib.experiment import Contract, Environment, Experiment
from ecglib.experiment.settings import DataSettings
from ecglib.runs.entry import Entry
from ecglib.runs.files import (
    CONTRACT,
    EXPERIMENT,
    FILES,
    FORMAT,
    HISTORY,
    MAX_SHOWN,
    METRICS,
    MODEL,
    TREES,
)
from ecglib.runs.folder import ContestantFolder

if TYPE_CHECKING:
    import keras

    from ecglib.inference import PredictedRecords, Predictor, RecordOptions
    from ecglib.inference.arrays import Records


class Run(ContestantFolder):
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

    NOUN = "run"
    REMEDY = "run the experiment again; `ecglib batch` does both"

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
        values = self._read_description(EXPERIMENT, FORMAT)
        self._hashes = values["files"]
        try:
            self.experiment = Experiment.from_flat(values["experiment"])
            self.environment = Environment.from_dict(values["environment"])
            self.contract = Contract.from_dict(json.loads(self._read(CONTRACT)))
            self.metrics = dict(json.loads(self._read(METRICS)))
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
        return f"Run({self.path.name}: {self._describe_test_score()})"

    @property
    def data(self) -> DataSettings:
        """Store, task, split and allowed leaks."""
        return self.experiment.data

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.experiment.training.seed

    @property
    def role(self) -> str:
        """What the model is in a comparison."""
        return self.experiment.role

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Each branch as its representation and encoder."""
        return self.experiment.branch_names

    @property
    def ensemble_size(self) -> int:
        """Number of models that are averaged."""
        return self.experiment.model.ensemble_size

    @property
    def hash(self) -> str:
        """The hash of the experiment."""
        return self.experiment.hash

    @property
    def model_hash(self) -> str:
        """The hash of the experiment without seed and fold."""
        return self.experiment.model_hash

    @property
    def kind(self) -> str:
        """Kind of the task: multi_label or multi_class."""
        return self.contract.kind

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.contract.classes

    @property
    def thresholds(self) -> np.ndarray:
        """Decision thresholds, one a class, fitted on the validation split."""
        return np.array(self.contract.thresholds)

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
            If the run is a baseline, whose trees are not saved, or its network has layers of a
            module that is not installed here or has changed.
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
        from ecglib.models.importing import import_layers

        self._read(MODEL)
        try:
            import_layers(self.path / MODEL, self.experiment.model.import_paths)
        except ExperimentError as error:
            raise RunError(f"The network of {self.path.name} cannot be loaded. {error}") from None
        return keras.models.load_model(self.path / MODEL, compile=False)


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
    if isinstance(run, Entry):
        raise run.refuse_prediction()
    if isinstance(run, str | Path):
        raise RunError(
            f"{str(run)!r} is a name, expected a run. Open it first: ecglib.open_run(...) for one "
            f"run, ecglib.find_runs(...) for the folder of a batch."
        )
    raise RunError(
        f"{type(run).__name__} was given, expected a run. Give what ecglib.train returned, or open "
        f"one: ecglib.open_run(...)."
    )
