"""Logs of trainings for TensorBoard: one folder for each run.

They are written with the `tensorboard` package. `keras.callbacks.TensorBoard` is not used: it
writes a folder for training and one for validation, and a training that resumes would log epochs
twice or not at all.
"""

import ecglib._keras  # noqa: F401

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from ecglib.runs import Run
from ecglib.training.tracking.values import (
    describe_run,
    list_epochs,
    list_scores,
    list_settings,
    name_values,
)


class EventFile:
    """A file of a TensorBoard log, which replaces the files that its folder has.

    Parameters
    ----------
    folder : Path
        The folder of a run's log; it is created if necessary.

    Raises
    ------
    OSError, tensorflow.errors.OpError
        If the file cannot be written; also by each method.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = EventFile(Path(folder))
    ...     file.write_scalars({"epoch/loss": 0.4}, step=1)
    ...     file.close()
    ...     [path.name.split(".")[2] for path in Path(folder).iterdir()]
    ['tfevents']
    """

    def __init__(self, folder: Path):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        earlier = list(folder.glob("events.out.tfevents.*"))
        self._writer = EventFileWriter(str(folder))
        # A TensorBoard that has read the earlier files drops what it has read.
        self._writer.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        for path in earlier:
            path.unlink(missing_ok=True)

    def write_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write values of one step; they have reached the file on return."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        for name, value in values.items():
            self._write(scalar_pb(name, value), step)
        self._writer.flush()

    def write_run(self, run: Run) -> None:
        """Write a finished run: epochs, scores with intervals, settings and where it is."""
        from tensorboard.plugins.hparams.api import hparams_pb
        from tensorboard.plugins.text.summary_v2 import text_pb

        for epoch, values in list_epochs(run.history):
            self.write_scalars(values, epoch)
        self.write_scalars(list_scores(run.metrics), step=0)
        self._write(hparams_pb(list_settings(run.experiment), trial_id=run.path.name))
        self._write(text_pb("run", describe_run(run)))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, summary: Any, step: int = 0) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


class LogEpochs(keras.callbacks.Callback):
    """Log each epoch for TensorBoard while a run is trained.

    It comes after `ecglib.training.callbacks.Checkpoint`, and logs the epochs that were restored as
    well: each epoch is there once, whenever the training was killed. If the log cannot be written,
    a warning says so, and training goes on.

    Parameters
    ----------
    folder : Path
        The folder of the run's log.
    n_members : int
        How many models are trained one after the other, each with this callback.

    Examples
    --------
    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = keras.ops.ones((4, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = LogEpochs(Path(folder) / "run", n_members=1)
    ...     history = model.fit(x, x[:, :1], callbacks=[log], verbose=0)
    ...     len(list(Path(folder).glob("run/events.out.tfevents.*")))
    1
    """

    def __init__(self, folder: Path, n_members: int):
        super().__init__()
        self.folder, self.n_members = folder, n_members
        self.member = -1
        self.file: EventFile | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Log the epochs that were restored."""
        self.member += 1
        try:
            if self.member == 0:
                self.file = EventFile(self.folder)
        except Exception as error:
            self._warn(error)
        restored = self.model.history.history
        for epoch, values in enumerate(zip(*restored.values(), strict=True)):
            self.on_epoch_end(epoch, dict(zip(restored, values, strict=True)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log an epoch."""
        if not self.file:
            return
        try:
            values = name_values(logs or {}, self.member, self.n_members)
            self.file.write_scalars(values, epoch + 1)
        except Exception as error:
            self.file = None
            self._warn(error)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the log after the last model."""
        if self.file and self.member == self.n_members - 1:
            self.file.close()

    def _warn(self, error: Exception) -> None:
        warnings.warn(
            f"The epochs are not logged for TensorBoard in {self.folder}: {error}. Training goes "
            f"on without it.",
            stacklevel=2,
        )


def write_tensorboard_log(run: Run, folder: Path) -> None:
    """Write the log of a finished run, in place of what is there.

    Parameters
    ----------
    run : Run
        The run.
    folder : Path
        The folder of its log.

    Raises
    ------
    OSError, tensorflow.errors.OpError
        If it cannot be written.

    Examples
    --------
    >>> write_tensorboard_log(open_run("0123456789"), Path("logs/b/r"))  # doctest: +SKIP
    """
    file = EventFile(folder)
    try:
        file.write_run(run)
    finally:
        file.close()
