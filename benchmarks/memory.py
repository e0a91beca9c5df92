"""Measure the peak memory that a piece of work adds to a process."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import SkippedError

STATUS = Path("/proc/self/status")
INTERVAL_S = 0.002


def measure_peaks_mb(
    job: Callable[..., float], sizes: list[int], rounds: int, name: str, *arguments: Any
) -> dict[int, list[float]]:
    """Run ``job(size, *arguments)`` in a new process, for each size in turn.

    Parameters
    ----------
    job : callable
        Returns the memory that it added, in MB.
    sizes : list of int
        Sizes of the job.
    rounds : int
        How often each size is measured.
    name : str
        Shown in the progress bar.
    *arguments
        Passed to `job` after the size.

    Returns
    -------
    dict of int to list of float
        What `job` returned for each size in each round, in MB.

    Raises
    ------
    SkippedError
        If the system has no /proc.
    """
    check_status_file()
    peaks: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in tqdm(range(rounds), desc=name, unit="round", leave=False):
        for size in sizes:
            # A process that has already worked keeps memory, and a fork has that of its parent.
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                peaks[size].append(pool.submit(job, size, *arguments).result())
    return peaks


def check_status_file() -> None:
    """Check that the memory of a process can be read.

    Raises
    ------
    SkippedError
        If the system has no /proc.
    """
    if not STATUS.exists():
        raise SkippedError(f"memory is read from {STATUS}, which this system does not have")


def measure_extra_mb(work: Callable[[], object]) -> float:
    """Measure the peak memory of this process during `work` minus that before, in MB.

    Pages of a mapped file are not counted: the system reclaims them when it needs them.
    """
    before = peak = _read_used_mb()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(INTERVAL_S):
            peak = max(peak, _read_used_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
        peak = max(peak, _read_used_mb())
    finally:
        done.set()
        watcher.join()
    return peak - before


def _read_used_mb() -> float:
    lines = STATUS.read_text().splitlines()
    anonymous = next(line for line in lines if line.startswith("RssAnon"))
    return int(anonymous.split()[1]) / 1024
