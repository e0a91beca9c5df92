"""Callbacks: averaged weights, validation scores, early stopping, checkpoints."""

import ecglib._keras  # noqa: F401

import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ecglib.datasets.selection import Selection
from ecglib.errors import ExperimentError, RunError
from ecglib.experiment import Environment
from ecglib.experiment.settings import TrainingSettings
from ecglib.paths import replace_file
from ecglib.runs import read_arrays
from ecglib.training.adamw import AveragingAdamW
from ecglib.training.stopwatch import Stopwatch
from ecglib.training.validation import score_validation

MONITORED_SCORES = {"auroc": "val_auroc", "f1": "val_f1"}
CHECKPOINT_LISTS = ("variables", "best", "current")
# Callbacks of Keras that do what a setting decides, and what to use in their place.
SETTINGS_INSTEAD = {
    keras.callbacks.EarlyStopping: "Use patience and monitor",
    keras.callbacks.LearningRateScheduler: "Use schedule and learning_rate",
    keras.callbacks.ReduceLROnPlateau: "Use schedule and learning_rate",
    keras.callbacks.SwapEMAWeights: "Use ema_decay",
    keras.callbacks.BackupAndRestore: "Leave it out: training that was killed resumes by itself",
}
STOPPING_STATE = ("wait", "best", "best_epoch", "stopped_epoch")


class UseAverages(keras.callbacks.Callback):
    """Give the model the averaged weights between two epochs, and its current ones within an epoch.

    So what is validated, kept as best and saved is the same. `keras.callbacks.SwapEMAWeights` is
    not used: it swaps by adding and subtracting, which rounds the weights.

    Parameters
    ----------
    optimizer : AveragingAdamW
        Holds the averages.

    Examples
    --------
    >>> UseAverages(AveragingAdamW()).current
    []
    """

    def __init__(self, optimizer: AveragingAdamW):
        super().__init__()
        self.optimizer = optimizer
        self.current: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Continue with the current weights."""
        for weight, value in zip(self.optimizer.averaged, self.current, strict=bool(self.current)):
            weight.assign(value)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Store the current weights and put the averages in their place."""
        self.current = _copy_values(self.optimizer.averaged)
        for weight, average in zip(self.optimizer.averaged, self.optimizer.averages, strict=True):
            weight.assign(average)


class ValidationScore(keras.callbacks.Callback):
    """Add ``val_loss``, ``val_auroc`` and ``val_f1`` of what will predict, after each epoch.

    A late fusion is fitted through its branches; its scores are those of the fused prediction.

    Parameters
    ----------
    predict : callable
        Gives the probabilities of all windows of the validation split.
    validation : Selection
        These windows with their labels.
    stopwatch : Stopwatch
        Gets the stage ``validation``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> labels = np.array([[1], [0]])
    >>> validation = SimpleNamespace(y=labels, task=SimpleNamespace(kind="multi_label"))
    >>> logs = {}
    >>> score = ValidationScore(lambda: np.array([[0.9], [0.2]]), validation, Stopwatch())
    >>> score.on_epoch_end(epoch=0, logs=logs)
    >>> logs["val_auroc"], logs["val_f1"]
    (1.0, 1.0)
    """

    def __init__(
        self, predict: Callable[[], np.ndarray], validation: Selection, stopwatch: Stopwatch
    ):
        super().__init__()
        self.predict, self.validation, self.stopwatch = predict, validation, stopwatch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Score the validation split."""
        with self.stopwatch.measure("validation"):
            p = self.predict()
            scores = score_validation(self.validation.y, p, self.validation.task.kind)
        if logs is not None:
            logs.update(scores)


class Deadline(keras.callbacks.Callback):
    """End a training that is not finished in time.

    Parameters
    ----------
    deadline : float
        The last moment, on the clock of `time.monotonic`.

    Raises
    ------
    TimeoutError
        At the end of a step after this moment.

    Examples
    --------
    >>> Deadline(time.monotonic() + 60).on_train_batch_end(0)
    """

    def __init__(self, deadline: float):
        super().__init__()
        self.deadline = deadline

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the clock with the deadline."""
        if time.monotonic() > self.deadline:
            raise TimeoutError("The training was not finished before its deadline.")


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuse callbacks of a user that would change the training.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback
        What the user gave.

    Raises
    ------
    ExperimentError
        If one is no callback, or does what a setting decides.

    Examples
    --------
    >>> check_callbacks([keras.callbacks.EarlyStopping("loss")])
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: EarlyStopping changes the training, ... Use patience ...
    """
    if not isinstance(callbacks, list | tuple):
        raise ExperimentError(
            f"callbacks is {type(callbacks).__name__}, expected a list of Keras callbacks."
        )
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ExperimentError(
                f"A callback is {type(callback).__name__}, expected a keras.callbacks.Callback. "
                f"For a function use keras.callbacks.LambdaCallback."
            )
        for kind, instead in SETTINGS_INSTEAD.items():
            if isinstance(callback, kind):
                raise ExperimentError(
                    f"{kind.__name__} changes the training, which only the settings of the "
                    f"experiment may. {instead}."
                )


def build_early_stopping(settings: TrainingSettings) -> keras.callbacks.EarlyStopping | None:
    """Build what keeps the weights of the best epoch and stops.

    Parameters
    ----------
    settings : TrainingSettings
        Gives `monitor` and `patience`.

    Returns
    -------
    keras.callbacks.EarlyStopping or None
        None where the last epoch is used.

    Examples
    --------
    >>> build_early_stopping(TrainingSettings(monitor="f1")).monitor
    'val_f1'
    """
    if settings.monitor == "none":
        return None
    return keras.callbacks.EarlyStopping(
        MONITORED_SCORES[settings.monitor],
        mode="max",
        patience=settings.patience,
        restore_best_weights=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointPlace:
    """Where the checkpoint of one model is, and for what it is valid.

    Parameters
    ----------
    folder : Path
        A folder for this model alone.
    environment : Environment
        The code, versions and threads of the training; with others it starts from the beginning.

    Examples
    --------
    >>> from ecglib.experiment import describe_environment
    >>> place = CheckpointPlace(folder=Path("seed0"), environment=describe_environment(threads=1))
    >>> place.file.name
    'checkpoint.npz'
    """

    folder: Path
    environment: Environment

    @property
    def file(self) -> Path:
        """The file that is replaced after each epoch."""
        return self.folder / "checkpoint.npz"


class Checkpoint(keras.callbacks.Callback):
    """Write after each epoch everything that the next one depends on, and resume from it.

    `keras.callbacks.BackupAndRestore` keeps weights, optimizer and epoch, but neither the seeds of
    dropout, nor the history, nor the state of early stopping, whose best weights it forgets. Here
    training that was killed continues with the same bits, if the batches continue as well: by
    `n_done` epochs.

    A file that does not fit the model, is damaged or was written in another environment is not
    used: a warning says so, and training starts from the beginning.

    Parameters
    ----------
    place : CheckpointPlace or None
        Where the file is; None for no checkpoints.
    model : keras.Model
        The compiled model.
    n_epochs : int
        All epochs of the training.
    stopping : keras.callbacks.EarlyStopping, optional
        Comes before this callback.
    averages : UseAverages, optional
        Comes before this callback.

    Raises
    ------
    RunError
        If the file cannot be written.

    Examples
    --------
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> Checkpoint(None, model, n_epochs=5).n_done
    0
    """

    def __init__(
        self,
        place: CheckpointPlace | None,
        model: keras.Model,
        n_epochs: int,
        stopping: keras.callbacks.EarlyStopping | None = None,
        averages: UseAverages | None = None,
    ):
        super().__init__()
        self.place, self.stopping, self.averages = place, stopping, averages
        self.variables = [*model.variables, *model.optimizer.variables]
        self.model_weights = model.weights
        self.rows: list[dict[str, float]] = []
        self.found = self._read()
        self.n_done = 0
        if self.found:
            self.rows = self.found["state"]["rows"]
            self.n_done = n_epochs if self.found["state"]["stopped"] else len(self.rows)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore what was found."""
        if not self.found:
            return
        for variable, value in zip(self.variables, self.found["variables"], strict=True):
            variable.assign(value)
        if self.averages:
            self.averages.current = self.found["current"]
        if self.stopping:
            for name, value in self.found["state"]["stopping"].items():
                setattr(self.stopping, name, value)
            self.stopping.best_weights = self.found["best"] or None
        names = self.rows[0]
        self.model.history.history = {name: [row[name] for row in self.rows] for name in names}
        self.found = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the state atomically."""
        self.rows.append({name: float(value) for name, value in (logs or {}).items()})
        if not self.place:
            return
        try:
            with replace_file(self.place.file) as partial, partial.open("wb") as file:
                np.savez(file, **self._state(self.place.environment))
        except OSError as error:
            raise RunError(
                f"Writing the checkpoint {self.place.file} failed: {error}. Check the disk (space, "
                f"permissions) and run it again; it resumes from the last checkpoint."
            ) from error

    def _state(self, environment: Environment) -> dict[str, Any]:
        names = STOPPING_STATE if self.stopping else ()
        state = {
            "environment": environment.to_dict(),
            "rows": self.rows,
            "stopped": bool(self.model.stop_training),
            "stopping": {name: getattr(self.stopping, name) for name in names},
        }
        lists = {
            "variables": _copy_values(self.variables),
            "best": (self.stopping.best_weights or []) if self.stopping else [],
            "current": self.averages.current if self.averages else [],
        }
        numbered = {
            f"{name}-{i}": array for name, arrays in lists.items() for i, array in enumerate(arrays)
        }
        return {"state": json.dumps(state), **numbered}

    def _read(self) -> dict[str, Any] | None:
        if not self.place or not self.place.file.is_file():
            return None
        try:
            found = self._read_file(self.place)
        except RunError as error:
            warnings.warn(
                f"The checkpoint {self.place.file} is not used: {error}. Training starts from the "
                f"beginning.",
                stacklevel=4,
            )
            return None
        return found

    def _read_file(self, place: CheckpointPlace) -> dict[str, Any]:
        """Read a file, and refuse one that would not continue the same training."""
        try:
            arrays = read_arrays(place.file.read_bytes())
            state = json.loads(str(arrays["state"]))
            environment = Environment.from_dict(state["environment"])
            rows, stopping = state["rows"], state["stopping"]
            is_complete = all(row.keys() == rows[0].keys() for row in rows) and isinstance(
                state["stopped"], bool
            )
            names = STOPPING_STATE if self.stopping else ()
            is_complete &= bool(rows) and sorted(stopping) == sorted(names)
            lists = {name: _list_numbered(arrays, name) for name in CHECKPOINT_LISTS}
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise RunError(f"it is damaged ({error})") from None
        if difference := environment.describe_difference(place.environment):
            raise RunError(f"it was written with other code, versions or threads ({difference})")
        averaged = self.averages.optimizer.averaged if self.averages else []
        expected = {"variables": self.variables, "current": averaged}
        if self.stopping and lists["best"]:
            expected["best"] = self.model_weights
        is_numeric = all(array.dtype.kind in "fiub" for name in expected for array in lists[name])
        if not (is_complete and is_numeric) or any(
            [array.shape for array in lists[name]] != [tuple(one.shape) for one in variables]
            for name, variables in expected.items()
        ):
            raise RunError("it does not fit the model")
        return {**lists, "state": state}


def _copy_values(variables: list[keras.Variable]) -> list[np.ndarray]:
    """Copy the values: what Keras returns may share its memory with the variable."""
    return [np.array(variable.numpy()) for variable in variables]


def _list_numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    n = sum(key.startswith(f"{name}-") for key in arrays)
    return [arrays[f"{name}-{i}"] for i in range(n)]
