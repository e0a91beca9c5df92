"""One trial: carried out on the training and validation splits, written, read."""

import ecglib._keras  # noqa: F401

import dataclasses
import json
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from ecglib import paths
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError
from ecglib.experiment import Experiment, select_windows
from ecglib.training.input_pipeline import make_deterministic
from ecglib.training.trainer import Trainer, TrainerOptions
from ecglib.training.validation import compute_macro_auroc

# Each trial is another model, so TensorFlow has to trace it and need not warn of retracing.
logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())

COMPLETED, INFEASIBLE, FAILED = "completed", "infeasible", "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """The outcome of one suggestion.

    Parameters
    ----------
    number : int
        Its number in the search, from 1.
    status : str
        "completed", "infeasible" (the settings contradict each other) or "failed".
    experiment : dict of str to object
        The settings of the experiment, flat.
    model : str
        Readable name of the model.
    val_auroc : float, optional
        Validation macro AUROC; None unless it completed.
    parameters : int, optional
        Number of parameters of the model; None unless it completed.
    seconds : float
        Time that it took, in s.
    error : str
        Why it is infeasible, or the traceback of its failure.
    history : list of dict
        One entry per epoch; empty unless it completed.

    Examples
    --------
    >>> error = "Traceback (most recent call last):\\nOSError: disk full"
    >>> Trial(number=3, status=FAILED, experiment={}, model="time:cnn", error=error).reason
    'OSError: disk full'
    """

    number: int
    status: str
    experiment: dict[str, Any]
    model: str
    val_auroc: float | None = None
    parameters: int | None = None
    seconds: float = 0.0
    error: str = ""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def reason(self) -> str:
        """The last line of `error`."""
        return self.error.strip().splitlines()[-1] if self.error else ""


def run_trial(
    number: int,
    settings: Mapping[str, Any],
    dataset: Dataset,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Trial:
    """Train one model and score it on the validation split; the test split is not used.

    An error ends the trial, not the search: it is returned with the trial.

    Parameters
    ----------
    number : int
        Number of the trial, from 1.
    settings : mapping of str to object
        The settings of the experiment, flat.
    dataset : Dataset
        The prepared store.
    callbacks : sequence of keras.callbacks.Callback, default ()
        Callbacks that show progress.

    Returns
    -------
    Trial
        The outcome.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     settings = {
    ...         "dataset": "synthetic",
    ...         "fingerprint": dataset.fingerprint,
    ...         "task": "superdiagnostic",
    ...         "branches": {"frequency": "mlp"},
    ...         "width": 4,
    ...         "epochs": 1,
    ...     }
    ...     trial = run_trial(1, settings, dataset)
    ...     contradictory = run_trial(2, settings | {"fusion": "late_average"}, dataset)
    >>> trial.status, trial.model, len(trial.history)
    ('completed', 'frequency:mlp', 1)
    >>> contradictory.status
    'infeasible'
    """
    started = time.perf_counter()
    trial = Trial(number=number, status=FAILED, experiment=dict(settings), model="-")
    try:
        experiment = Experiment.from_flat(settings)
        trial = dataclasses.replace(trial, model=experiment.model_name)
        score = _train_and_score(experiment, dataset, callbacks)
        trial = dataclasses.replace(
            trial,
            status=COMPLETED,
            val_auroc=score.val_auroc,
            parameters=score.parameters,
            history=score.history,
        )
    except ExperimentError as error:
        trial = dataclasses.replace(trial, status=INFEASIBLE, error=str(error))
    except Exception:  # whatever it is, it is shown, and the next trial may do better
        trial = dataclasses.replace(trial, status=FAILED, error=traceback.format_exc())
    return dataclasses.replace(trial, seconds=round(time.perf_counter() - started, 2))


class _Score(NamedTuple):
    val_auroc: float
    parameters: int
    history: list[dict[str, Any]]


def _train_and_score(
    experiment: Experiment, dataset: Dataset, callbacks: Sequence[keras.callbacks.Callback]
) -> _Score:
    keras.backend.clear_session()  # or the models of all trials stay in memory
    seed = experiment.training.seed
    make_deterministic(seed)
    windows = exclude_test_split(select_windows(experiment, dataset))
    trainer = Trainer(experiment, dataset, TrainerOptions(callbacks=tuple(callbacks)), windows)
    model, history = trainer.fit_model(seed)
    # Not the best score of the history: late fusions fit their weights after the last epoch.
    predictions = trainer.predict(model, "validation")
    return _Score(
        val_auroc=compute_macro_auroc(predictions.y, predictions.p),
        parameters=model.count_params(),
        history=[
            {str(column): value for column, value in epoch.items()}
            for epoch in history.to_dict("records")
        ],
    )


def exclude_test_split(selection: Selection) -> Selection:
    """Return the windows of the other splits, so that a trial cannot use the test split.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     selection = exclude_test_split(dataset.select("superdiagnostic"))
    >>> sorted(set(selection.part.tolist()))
    ['train', 'validation']
    """
    return selection.take(selection.part != "test")


def read_trial(path: Path, settings: Mapping[str, Any]) -> Trial | None:
    """Read the finished trial of an experiment.

    Parameters
    ----------
    path : Path
        The file.
    settings : mapping of str to object
        The settings of the experiment, flat.

    Returns
    -------
    Trial or None
        None if there is no file, a crash cut it short, it holds another experiment, or the trial
        failed.

    Examples
    --------
    >>> read_trial(Path("trials/001.json"), {}) is None
    True
    """
    try:
        trial = Trial(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return trial if trial.experiment == settings and trial.status != FAILED else None


def write_trial(path: Path, trial: Trial) -> None:
    """Write a trial atomically, as JSON.

    Examples
    --------
    >>> import tempfile
    >>> settings = {"task": "superdiagnostic", "branches": {"time": "cnn"}}
    >>> trial = Trial(
    ...     number=1, status=COMPLETED, experiment=settings, model="time:cnn", val_auroc=0.9
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_trial(Path(folder, "001.json"), trial)
    ...     read_trial(Path(folder, "001.json"), settings) == trial
    True
    """
    paths.write_json(path, dataclasses.asdict(trial))
