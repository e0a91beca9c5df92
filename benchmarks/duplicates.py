"""The search for near-identical records."""

import functools
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measure import Figure, Side, alternate, compute_ratios
from benchmarks.memory import check_status_file, measure_extra_mb
from benchmarks.noise import RATE_HZ, find_real_data
from ecglib.datasets.duplicates import COLUMNS, ROWS, Signatures

ROUNDS = 3
N_PTBXL = 21_799
N_MANY, N_FEWER = 200_000, 50_000
N_COPIES = 200
BLOCK = 500  # records that are added at once
LEADS = [0, 4, 7, 11]  # those that a signature uses of twelve
N_FEATURES = 432  # amplitudes of a signature of four leads
EVERY = 20  # of so many tiles, one is multiplied
LIMIT = "the limit: a float32 matrix product of as many rows and columns, without anything else"


def measure_search21799() -> Figure:
    """The search among as many records as PTB-XL has, against a bare matrix product."""
    source = _find_source()
    with TemporaryDirectory() as folder:
        signatures, _ = _write_signatures(folder, source, N_PTBXL)
        sides = {
            "searched": Side(signatures.find_pairs, N_PTBXL),
            "multiplied": Side(lambda: _multiply(N_PTBXL), N_PTBXL),
        }
        speeds = alternate(sides, ROUNDS, "duplicates.search21799")
    return Figure(
        name="duplicates.search21799",
        what=f"all pairs of {N_PTBXL:,} records of four leads",
        against=LIMIT,
        floor=0.25,
        ratios=compute_ratios(speeds["searched"], speeds["multiplied"]),
        detail={
            f"{name}, s": round(N_PTBXL / float(np.median(per_second)), 2)
            for name, per_second in speeds.items()
        },
    )


def measure_search200000() -> Figure:
    """The search among 200,000 records that contain planted copies."""
    found = _measure_in_new_process(N_MANY)
    return Figure(
        name="duplicates.search200000",
        what=f"all pairs of {N_MANY:,} records of four leads, {N_COPIES} of them planted copies",
        against=LIMIT,
        floor=0.25,
        ratios=[found["multiplied, s"] / found["searched, s"]],
        detail=found,
    )


def measure_memory() -> Figure:
    """Memory that the search adds, with four times as many records."""
    fewer, many = _measure_in_new_process(N_FEWER), _measure_in_new_process(N_MANY)
    return Figure(
        name="duplicates.memory",
        what=f"extra memory of the search among {N_FEWER:,} records",
        against=(
            f"the same among {N_MANY:,}: 1 is flat, {N_FEWER / N_MANY:g} grows with the records"
        ),
        floor=0.8,
        ratios=[fewer["extra, MB"] / many["extra, MB"]],
        detail={
            f"extra at {N_FEWER:,} records, MB": fewer["extra, MB"],
            f"extra at {N_MANY:,} records, MB": many["extra, MB"],
        },
    )


@functools.cache
def _measure_in_new_process(n_records: int) -> dict[str, float]:
    check_status_file()
    source = _find_source()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, n_records, source).result()


def _measure(n_records: int, source: Path) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        signatures, copies = _write_signatures(folder, source, n_records)
        signatures_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        _multiply(BLOCK)
        multiplied = _time(lambda: _multiply(n_records, EVERY))
        pairs: list[tuple] = []
        started = time.perf_counter()
        extra = measure_extra_mb(lambda: pairs.extend(signatures.find_pairs()))
        searched = time.perf_counter() - started
        multiplied += _time(lambda: _multiply(n_records, EVERY))
    found = {pair[:2] for pair in pairs}
    return {
        "searched, s": round(searched, 1),
        "multiplied, s": round(multiplied * EVERY / 2, 1),
        "extra, MB": round(extra, 1),
        "signatures on disk, MB": round(signatures_mb, 1),
        "planted copies found, %": round(100 * len(found & copies) / len(copies), 1),
        "other pairs": len(found - copies),
    }


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _multiply(n_records: int, every: int = 1) -> None:
    """Multiply the tiles of the search, or one of every so many, without anything else."""
    rng = np.random.default_rng(0)
    rows = rng.random((ROWS, N_FEATURES), np.float32)
    columns = rng.random((COLUMNS, N_FEATURES), np.float32)
    tiles = [
        min(ROWS, column + COLUMNS - row)
        for row in range(0, n_records, ROWS)
        for column in range(row, n_records, COLUMNS)
    ]
    for n in tiles[::every]:
        rows[:n] @ columns.T


def _write_signatures(
    folder: str, source: Path, n_records: int
) -> tuple[Signatures, set[tuple[int, int]]]:
    """Write the signatures of distinct records, followed by copies of some of them.

    The second result has the numbers of each record and its copy.
    """
    rng = np.random.default_rng(0)
    records = [np.fromfile(path, "<i2").reshape(-1, 12) for path in sorted(source.rglob("*.dat"))]
    real = np.stack(records)[:, :, LEADS].astype(np.float32)
    signatures, candidates = Signatures(Path(folder)), []
    n_distinct = n_records - N_COPIES
    for start in range(0, n_distinct, BLOCK):
        block = _make_distinct_records(rng, real, min(BLOCK, n_distinct - start))
        signatures.add(block, RATE_HZ)
        candidates += [(start + i, record) for i, record in enumerate(block[:10])]
    chosen = [candidates[i] for i in np.linspace(0, len(candidates) - 1, N_COPIES).astype(int)]
    copies = _make_copies(rng, np.stack([record for _, record in chosen]))
    signatures.add(copies, RATE_HZ)
    pairs = {(number, n_distinct + i) for i, (number, _) in enumerate(chosen)}
    return signatures, pairs


def _make_distinct_records(rng: np.random.Generator, real: np.ndarray, n: int) -> np.ndarray:
    """Make records from real ones: another heart rate, more variable, and another heart axis."""
    which = rng.integers(0, len(real), (n, 1))
    speed = rng.uniform(0.9, 1.1, (n, 1)) * (1 + 0.02 * rng.standard_normal((n, 10)))
    place = np.cumsum(np.repeat(speed, 100, axis=1), axis=1) + rng.uniform(0, 200, (n, 1))
    place = np.abs((place + 998) % 1996 - 998)  # after its end a record runs backwards
    before = np.minimum(place.astype(int), 998)
    fraction = (place - before).astype(np.float32)[..., None]
    signal = real[which, before] * (1 - fraction) + real[which, before + 1] * fraction
    rotation = np.eye(len(LEADS)) + 0.1 * rng.standard_normal((n, len(LEADS), len(LEADS)))
    return np.clip(np.rint(signal @ rotation.astype(np.float32)), -32767, 32767).astype(np.int16)


def _make_copies(rng: np.random.Generator, records: np.ndarray) -> np.ndarray:
    """Copy records with another gain for each lead, half a second later, with 20 dB of noise."""
    signal = records[:, 50:] * rng.uniform(0.3, 1.2, (len(records), 1, len(LEADS)))
    noise = 0.1 * signal.std(axis=1, keepdims=True) * rng.standard_normal(signal.shape)
    return np.clip(np.rint(signal + noise), -32767, 32767).astype(np.int16)


def _find_source() -> Path:
    return find_real_data("ptbxl_z100") / "records100"


FIGURES = {
    "search21799": measure_search21799,
    "search200000": measure_search200000,
    "memory": measure_memory,
}
