"""The most memory that a piece of work adds to a process of its own."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from benchmarks.measure import SkippedError

STATUS = Path("/proc/self/status")
EVERY_S = 0.002


def peaks_mb(
    job: Callable[..., float], sizes: list[int], rounds: int, name: str, *arguments
) -> dict[int, list[float]]:
    """Run ``job(size, *arguments)`` in a fresh process, the sizes in turn.

    Returns
    -------
    For each size what `job` returned in each round, in MB.

    Raises
    ------
    SkippedError
        the system has no /proc.
    """
    if not STATUS.exists():
        raise SkippedError(f"memory is read from {STATUS}, which this system does not have")
    peaks = {size: [] for size in sizes}
    for _ in tqdm(range(rounds), desc=name, unit="round", leave=False):
        for size in sizes:
            # A process that has worked before keeps memory, and a fork has that of its parent.
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                peaks[size].append(pool.submit(job, size, *arguments).result())
    return peaks


def extra_mb(work: Callable[[], object]) -> float:
    """The most MB that this process held during `work`, less what it held before.

    Pages of a mapped file are not counted: the system takes them back when it needs them.
    """
    before = most = _held_mb()
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.wait(EVERY_S):
            most = max(most, _held_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
        most = max(most, _held_mb())
    finally:
        done.set()
        watcher.join()
    return most - before


def _held_mb() -> float:
    line = next(own for own in STATUS.read_text().splitlines() if own.startswith("RssAnon"))
    return int(line.split()[1]) / 1024
