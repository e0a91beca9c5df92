"""Locks on files, with owners that live, died, and are on another machine."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from ecglib.batch import locks
from ecglib.batch.locks import Owner, hold_lock, read_owner


@pytest.fixture
def path(tmp_path):
    return tmp_path / "work" / "run.lock"


def write_lock(path, owner, age_s=0.0):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(owner)))
    modified = time.time() - age_s
    os.utime(path, (modified, modified))


def describe_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return dataclasses.replace(Owner.describe_this_process(), process=process.pid)


def take(path):
    with hold_lock(path) as is_held:
        return is_held


def test_one_of_many_threads_gets_the_lock(path):
    results, together = [], threading.Barrier(8)

    def compete():
        together.wait()
        with hold_lock(path) as is_held:
            results.append(is_held)
            together.wait()

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    assert list(path.parent.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over_at_once(path):
    write_lock(path, describe_dead_process())
    assert take(path)


def test_the_lock_of_a_living_process_is_kept_however_old_it_is(path):
    write_lock(path, Owner.describe_this_process(), age_s=1e6)
    assert not take(path)


def test_a_process_that_has_only_the_number_of_the_owner_does_not_have_its_lock(path):
    owner = Owner.describe_this_process()
    write_lock(path, dataclasses.replace(owner, started_s=owner.started_s - 3600))
    assert take(path)


@pytest.mark.parametrize(("age_s", "is_taken"), [(0.0, False), (locks.STALE_AFTER_S + 60, True)])
def test_the_lock_of_another_machine_is_taken_over_when_it_is_stale(path, age_s, is_taken):
    owner = dataclasses.replace(Owner.describe_this_process(), machine="elsewhere")
    write_lock(path, owner, age_s)
    assert take(path) == is_taken


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "x"}'])
def test_a_damaged_lock_is_kept_until_it_is_stale(path, text):
    path.parent.mkdir()
    path.write_text(text)
    assert not take(path)
    os.utime(path, (0, 0))
    assert take(path)


def test_a_held_lock_is_touched(path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.01)
    with hold_lock(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_lock_that_was_taken_over_is_not_given_back_by_its_first_owner(path):
    other = dataclasses.replace(Owner.describe_this_process(), machine="elsewhere")
    with hold_lock(path) as is_held:
        assert is_held
        write_lock(path, other)
    assert read_owner(path) == other
