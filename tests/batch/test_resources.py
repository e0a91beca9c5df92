"""Cores, memory and GPUs that the runs of a batch share."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from waiting import wait_for

from ecglib.batch import resources
from ecglib.batch.resources import GpuPool, MemoryGate, choose_n_jobs, list_gpus


@pytest.fixture
def memory(monkeypatch):
    """What is available, in GiB."""
    state = SimpleNamespace(available_gib=16)
    monkeypatch.setattr(resources, "LOOK_AT_MEMORY_S", 0.02)
    monkeypatch.setattr(
        resources.psutil,
        "virtual_memory",
        lambda: SimpleNamespace(available=state.available_gib << 30),
    )
    return state


@pytest.mark.parametrize(
    ("n_cores", "available_gib", "environment", "expected"),
    [
        (8, 64, {"CUDA_VISIBLE_DEVICES": ""}, 8),
        (8, 64, {"CUDA_VISIBLE_DEVICES": "", "ECGLIB_THREADS": "4"}, 2),
        (8, 5, {"CUDA_VISIBLE_DEVICES": ""}, 2),
        (8, 1, {"CUDA_VISIBLE_DEVICES": ""}, 1),
        (8, 64, {"CUDA_VISIBLE_DEVICES": "0,1,2"}, 3),
        (2, 64, {"CUDA_VISIBLE_DEVICES": "0,1,2"}, 2),
    ],
    ids=["cores", "threads", "memory", "little memory", "GPUs", "fewer cores than GPUs"],
)
def test_as_many_runs_as_cores_memory_and_gpus_allow(
    n_cores, available_gib, environment, expected, memory, monkeypatch
):
    memory.available_gib = available_gib
    monkeypatch.setattr(resources.os, "cpu_count", lambda: n_cores)
    monkeypatch.delenv("ECGLIB_THREADS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert choose_n_jobs() == expected


def test_gpus_are_counted_by_their_device_files(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert list_gpus({}, tmp_path) == ["0", "1"]
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "GPU-7c, 1"}, tmp_path) == ["GPU-7c", "1"]


def test_workers_are_spread_over_the_gpus():
    gpus = GpuPool(["0", "1", "2"])
    taken = [gpus.take()["CUDA_VISIBLE_DEVICES"] for _ in range(7)]
    assert [taken.count(gpu) for gpu in "012"] == [3, 2, 2]


def test_a_run_waits_while_memory_is_short_and_another_runs(memory):
    gate, may_end, began = MemoryGate(), threading.Event(), []

    def run(name):
        with gate.enter(is_ended=lambda: False):
            began.append(name)
            may_end.wait(30)

    memory.available_gib = 1
    with ThreadPoolExecutor(2) as pool:
        pool.submit(run, "first")
        wait_for(lambda: began == ["first"])
        pool.submit(run, "second")
        assert not threading.Event().wait(0.2)
        assert began == ["first"]  # one runs, however little there is
        memory.available_gib = 3
        wait_for(lambda: began == ["first", "second"])
        may_end.set()


def test_a_run_that_waits_for_memory_begins_when_the_other_has_ended(memory):
    gate, may_end, began = MemoryGate(), threading.Event(), []

    def run(name):
        with gate.enter(is_ended=lambda: False):
            began.append(name)
            may_end.wait(30)

    memory.available_gib = 0
    with ThreadPoolExecutor(2) as pool:
        pool.submit(run, "first")
        wait_for(lambda: began == ["first"])
        pool.submit(run, "second")
        may_end.set()
        wait_for(lambda: began == ["first", "second"])


def test_nothing_is_waited_for_once_the_batch_has_ended(memory):
    memory.available_gib = 0
    gate = MemoryGate()
    with gate.enter(is_ended=lambda: False), gate.enter(is_ended=lambda: True):
        assert gate.n_running == 2
