"""Preparing a store."""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.measure import Figure, Side, alternate, medians, ratios
from benchmarks.memory import extra_mb, peaks_mb
from benchmarks.noise import NoiseSource, real_data
from ecglib.datasets.duplicates import Signatures
from ecglib.datasets.sources import mitdb as mitdb_module
from ecglib.datasets.sources.ptbxl import open_ptbxl
from ecglib.datasets.writer import write_store

ROUNDS = 5
RECORDS_OF_EACH_SET = 3
RECORDS_READ = 200  # with wfdb, which is slow


def mitdb() -> Figure:
    """The whole preparation of MIT-BIH records against reading them with wfdb."""
    import wfdb

    folder = real_data("mitdb")
    ds1 = mitdb_module.DS1[:RECORDS_OF_EACH_SET]
    ds2 = mitdb_module.DS2[:RECORDS_OF_EACH_SET]

    def prepare():
        with tempfile.TemporaryDirectory() as data_dir:
            write_store(mitdb_module.MitdbSource(folder), data_dir, progress=False)

    def read():
        for name in ds1 + ds2:
            wfdb.rdrecord(str(folder / name))

    n = len(ds1 + ds2)
    with mock.patch.multiple(mitdb_module, DS1=ds1, DS2=ds2):
        sides = {"prepared": Side(prepare, n), "read": Side(read, n)}
        speeds = alternate(sides, ROUNDS, "prepare.mitdb")
    return Figure(
        "prepare.mitdb",
        f"preparation of {n} half-hour MIT-BIH records with all their beats",
        "the limit: wfdb.rdrecord of the same records",
        0.3,
        ratios(speeds["prepared"], speeds["read"]),
        medians(speeds, "records/s"),
    )


def ptbxl() -> Figure:
    """The whole preparation of PTB-XL records against reading them with wfdb."""
    import wfdb

    folder = real_data("ptbxl_z100")
    paths = [f"{folder}/{path}" for path in open_ptbxl(folder).table["path"]]
    read = paths[:: len(paths) // RECORDS_READ]

    def prepare():
        with tempfile.TemporaryDirectory() as data_dir:
            write_store(open_ptbxl(folder), data_dir, progress=False)

    def prepare_unsearched():
        with (
            mock.patch.object(Signatures, "add"),
            mock.patch.object(Signatures, "find_pairs", return_value=[]),
        ):
            prepare()

    def read_with_wfdb():
        for path in read:
            wfdb.rdsamp(path)

    sides = {
        "prepared": Side(prepare, len(paths)),
        "prepared without the near-identical search": Side(prepare_unsearched, len(paths)),
        "read": Side(read_with_wfdb, len(read)),
    }
    speeds = alternate(sides, ROUNDS, "prepare.ptbxl")
    return Figure(
        "prepare.ptbxl",
        f"preparation of {len(paths):,} PTB-XL records of 12 leads x 1000 samples: tables, "
        "headers, checksums, leads, quality, hashes, near-identical search, reports",
        "wfdb.rdsamp of the same records, nothing but reading",
        25,
        ratios(speeds["prepared"], speeds["read"]),
        medians(speeds, "records/s"),
    )


def save() -> Figure:
    """Writing a store of records in memory against np.save of the same samples."""
    n, passes = 1000, 5
    source = NoiseSource(n)
    records = list(source.read_records())
    source.read_records = lambda: iter(records)
    steps = np.concatenate([record.steps for record in records])
    with tempfile.TemporaryDirectory() as folder:

        def write():
            with tempfile.TemporaryDirectory(dir=folder) as data_dir:
                write_store(source, data_dir, progress=False)

        def plain():
            for i in range(passes):
                np.save(Path(folder) / f"plain{i}.npy", steps)

        sides = {"written": Side(write, n), "saved": Side(plain, passes * n)}
        speeds = alternate(sides, ROUNDS, "prepare.save")
    return Figure(
        "prepare.save",
        f"store of {n} records of 12 leads x 1000 samples: checks, hashes, near-identical search",
        "the limit: np.save of the same samples, int16 already",
        0.02,
        ratios(speeds["written"], speeds["saved"]),
        medians(speeds, "records/s"),
    )


SIZES = [10_000, 20_000, 40_000]
N_SAMPLES = 500


def memory() -> Figure:
    """Memory that writing a store adds, with 1, 2 and 4 times the records."""
    peaks = peaks_mb(memory_of_writing, SIZES, 2, "prepare.memory")
    sizes = {f"extra at {size:,} records": own for size, own in peaks.items()}
    return Figure(
        "prepare.memory",
        f"extra memory of writing {SIZES[0]:,} records of 12 leads x {N_SAMPLES} samples",
        f"the same with {SIZES[-1]:,} records: 1 is flat, {SIZES[0] / SIZES[-1]:g} grows with "
        "the data",
        0.7,
        ratios(peaks[SIZES[0]], peaks[SIZES[-1]]),
        medians(sizes, "MB"),
    )


def memory_of_writing(n_records: int) -> float:
    """Run in a process of its own: MB that writing a store adds."""
    with tempfile.TemporaryDirectory() as folder:
        # What is imported at the first use does not count.
        write_store(NoiseSource(2, N_SAMPLES), f"{folder}/first", progress=False)
        source = NoiseSource(n_records, N_SAMPLES)
        return extra_mb(lambda: write_store(source, folder, progress=False))


FIGURES = {"ptbxl": ptbxl, "mitdb": mitdb, "save": save, "memory": memory}
