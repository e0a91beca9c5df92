"""The threads of a run."""

import os

import pytest
import tensorflow as tf

from ecglib.errors import ExperimentError
from ecglib.experiment.environment import THREADS_VARIABLE
from ecglib.training.devices import choose_threads, count_threads, make_deterministic


def test_threads_that_are_limited_too_late_are_reported(monkeypatch):
    tf.constant(1.0)
    before = count_threads()
    monkeypatch.setenv(THREADS_VARIABLE, str(before + 1))
    with pytest.warns(UserWarning, match=f"ECGLIB_THREADS={before + 1} has no effect"):
        make_deterministic(0)
    assert count_threads() == before


@pytest.mark.parametrize("given", ["0", "two", "-1", "1.5"])
def test_a_number_of_threads_that_is_no_number_is_refused(given, monkeypatch):
    monkeypatch.setenv(THREADS_VARIABLE, given)
    with pytest.raises(ExperimentError, match=f"ECGLIB_THREADS='{given}' must be a whole number"):
        choose_threads()


def test_a_run_has_the_same_threads_whatever_the_cores(monkeypatch):
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    for cores in (1, 2, 64):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert choose_threads() == 1
