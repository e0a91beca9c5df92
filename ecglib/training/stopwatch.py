"""How long the stages of a training take."""

import ecglib._keras  # noqa: F401

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import keras


class Stopwatch:
    """Adds up the seconds of each stage.

    Attributes
    ----------
    seconds : dict of str to float
        Stage -> wall time in s.

    Examples
    --------
    >>> stopwatch = Stopwatch()
    >>> with stopwatch.measure("scaling"):
    ...     pass
    >>> list(stopwatch.seconds)
    ['scaling']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage.

        Parameters
        ----------
        stage : str
            Name of the stage.
        """
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def add(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class StepTimes(keras.callbacks.Callback):
    """Adds the first step, in which the training is traced and compiled, and all other steps.

    It comes before callbacks that do something after an epoch.

    Parameters
    ----------
    stopwatch : Stopwatch
        Gets the stages ``first step`` and ``steps``.

    Examples
    --------
    >>> stopwatch = Stopwatch()
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = keras.ops.ones((4, 2))
    >>> _ = model.fit(x, x[:, :1], batch_size=2, callbacks=[StepTimes(stopwatch)], verbose=0)
    >>> list(stopwatch.seconds)
    ['first step', 'steps']
    """

    def __init__(self, stopwatch: Stopwatch):
        super().__init__()
        self._stopwatch = stopwatch
        self._is_first = True
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the first step."""
        if self._is_first:
            self._is_first = False
            self._add("first step")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the other steps of the epoch."""
        self._add("steps")

    def _add(self, stage: str) -> None:
        now = time.perf_counter()
        self._stopwatch.add(stage, now - self._started)
        self._started = now
