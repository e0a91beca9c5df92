"""The search for near-identical records."""

import functools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measure import Figure, Side, SkippedError, alternate, ratios
from benchmarks.memory import STATUS, extra_mb
from benchmarks.noise import RATE_HZ, real_data
from ecglib.datasets.duplicates import COLUMNS, ROWS, Signatures

ROUNDS = 3
PTBXL, MANY, FEWER = 21_799, 200_000, 50_000
N_COPIES = 200
BLOCK = 500
LEADS = [0, 4, 7, 11]  # those that a signature takes of twelve
N_FEATURES = 432  # amplitudes of a signature of four leads
SAMPLE = 20
LIMIT = "the limit: a float32 matrix product of as many rows and columns, with nothing after it"


def search21799() -> Figure:
    """The search among as many records as PTB-XL has, against a bare matrix product."""
    source = _source()
    with TemporaryDirectory() as folder:
        signatures, _ = _filled(folder, source, PTBXL)
        sides = {
            "searched": Side(signatures.find_pairs, PTBXL),
            "multiplied": Side(lambda: _multiply(PTBXL), PTBXL),
        }
        speeds = alternate(sides, ROUNDS, "duplicates.search21799")
    return Figure(
        "duplicates.search21799",
        f"all pairs of {PTBXL:,} records of four leads",
        LIMIT,
        0.25,
        ratios(speeds["searched"], speeds["multiplied"]),
        {f"{name}, s": round(PTBXL / float(np.median(own)), 2) for name, own in speeds.items()},
    )


def search200000() -> Figure:
    """The search among 200,000 records, planted copies among them."""
    found = _in_its_own_process(MANY)
    return Figure(
        "duplicates.search200000",
        f"all pairs of {MANY:,} records of four leads, {N_COPIES} of them planted copies",
        LIMIT,
        0.25,
        [found["multiplied, s"] / found["searched, s"]],
        found,
    )


def memory() -> Figure:
    """Memory that the search adds, with four times the records."""
    fewer, many = _in_its_own_process(FEWER), _in_its_own_process(MANY)
    return Figure(
        "duplicates.memory",
        f"extra memory of the search among {FEWER:,} records",
        f"the same among {MANY:,}: 1 is flat, {FEWER / MANY:g} grows with the records",
        0.8,
        [fewer["extra, MB"] / many["extra, MB"]],
        {f"extra at {n:,} records, MB": own["extra, MB"] for n, own in
         ((FEWER, fewer), (MANY, many))},
    )  # fmt: skip


@functools.cache
def _in_its_own_process(n_records: int) -> dict[str, float]:
    if not STATUS.exists():
        raise SkippedError(f"memory is read from {STATUS}, which this system does not have")
    source = _source()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, n_records, source).result()


def _measure(n_records: int, source: Path) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        signatures, copies = _filled(folder, source, n_records)
        signatures_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        _multiply(BLOCK)
        multiplied = _seconds(lambda: _multiply(n_records, SAMPLE))
        pairs = []
        started = time.perf_counter()
        extra = extra_mb(lambda: pairs.extend(signatures.find_pairs()))
        searched = time.perf_counter() - started
        multiplied += _seconds(lambda: _multiply(n_records, SAMPLE))
    found = {pair[:2] for pair in pairs}
    return {
        "searched, s": round(searched, 1),
        "multiplied, s": round(multiplied * SAMPLE / 2, 1),
        "extra, MB": round(extra, 1),
        "signatures on disk, MB": round(signatures_mb, 1),
        "planted copies found, %": round(100 * len(found & copies) / len(copies), 1),
        "other pairs": len(found - copies),
    }


def _seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _multiply(n_records: int, every: int = 1) -> None:
    """The tiles of the search, or every twentieth, and nothing but the products."""
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


def _filled(folder: str, source: Path, n_records: int) -> tuple[Signatures, set[tuple[int, int]]]:
    """Signatures of records that are nobody's copy and, last, of copies of some of them."""
    rng = np.random.default_rng(0)
    records = [np.fromfile(path, "<i2").reshape(-1, 12) for path in sorted(source.rglob("*.dat"))]
    real = np.stack(records)[:, :, LEADS].astype(np.float32)
    signatures, kept = Signatures(Path(folder)), []
    n_strangers = n_records - N_COPIES
    for start in range(0, n_strangers, BLOCK):
        block = _strangers(rng, real, min(BLOCK, n_strangers - start))
        signatures.add(block, RATE_HZ)
        kept += [(start + i, record) for i, record in enumerate(block[:10])]
    chosen = [kept[i] for i in np.linspace(0, len(kept) - 1, N_COPIES).astype(int)]
    signatures.add(_copies(rng, np.stack([record for _, record in chosen])), RATE_HZ)
    copies = {(number, n_strangers + i) for i, (number, _) in enumerate(chosen)}
    return signatures, copies


def _strangers(rng: np.random.Generator, real: np.ndarray, n: int) -> np.ndarray:
    """Real records whose heart beats faster or slower, less evenly, and lies otherwise."""
    which = rng.integers(0, len(real), (n, 1))
    speed = rng.uniform(0.9, 1.1, (n, 1)) * (1 + 0.02 * rng.standard_normal((n, 10)))
    place = np.cumsum(np.repeat(speed, 100, axis=1), axis=1) + rng.uniform(0, 200, (n, 1))
    place = np.abs((place + 998) % 1996 - 998)  # at its end a record runs backwards
    before = np.minimum(place.astype(int), 998)
    share = (place - before).astype(np.float32)[..., None]
    signal = real[which, before] * (1 - share) + real[which, before + 1] * share
    turned = np.eye(len(LEADS)) + 0.1 * rng.standard_normal((n, len(LEADS), len(LEADS)))
    return np.clip(np.rint(signal @ turned.astype(np.float32)), -32767, 32767).astype(np.int16)


def _copies(rng: np.random.Generator, records: np.ndarray) -> np.ndarray:
    """Another gain for each lead, half a second later, 20 dB of noise."""
    signal = records[:, 50:] * rng.uniform(0.3, 1.2, (len(records), 1, len(LEADS)))
    noise = 0.1 * signal.std(axis=1, keepdims=True) * rng.standard_normal(signal.shape)
    return np.clip(np.rint(signal + noise), -32767, 32767).astype(np.int16)


def _source() -> Path:
    return real_data("ptbxl_z100") / "records100"


FIGURES = {"search21799": search21799, "search200000": search200000, "memory": memory}
