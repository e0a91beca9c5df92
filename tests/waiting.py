"""Waiting for processes in tests."""

import time

import psutil


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def read_number(path):
    """The process number in a file, once it is there."""
    wait_for(lambda: path.is_file() and path.read_text())
    return int(path.read_text())


def is_running(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
