"""The stages of a training add up to its time."""

import time

import keras
import numpy as np
import pytest

from ecglib.experiment import Experiment
from ecglib.training import train
from ecglib.training.stopwatch import StepTimes, Stopwatch


class Slow(keras.layers.Layer):
    """Takes 0.2 s at the first call of the training, and 0.05 s at each."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def call(self, x):
        self.calls += 1
        time.sleep(0.05 if self.calls > 1 else 0.25)
        return x


def test_the_first_step_is_told_from_the_others_and_what_follows_an_epoch_is_neither():
    stopwatch = Stopwatch()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    slow = Slow()
    model.add(slow)
    model.compile("sgd", "mse", run_eagerly=True)
    slow.calls = 0
    x = np.ones((8, 2), dtype="float32")
    pause = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: time.sleep(1))
    callbacks = [StepTimes(stopwatch), pause]
    model.fit(x, x[:, :1], batch_size=2, epochs=2, callbacks=callbacks, verbose=0)
    assert stopwatch.seconds["first step"] >= 0.25
    assert 7 * 0.05 <= stopwatch.seconds["steps"] < 7 * 0.05 + 1


@pytest.mark.slow
def test_a_run_tells_the_time_of_each_stage(small_store, tmp_path):
    settings = {"task": "letters", "branches": {"frequency": "mlp"}, "width": 4, "epochs": 2}
    run = train(small_store, Experiment.from_flat(settings, small_store), batch=tmp_path)
    model = run.metrics["model"]
    stages = model["seconds_by_stage"]
    names = {"building", "scaling", "first step", "steps", "validation", "prediction"}
    assert set(stages) == names
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) <= model["seconds"]
