"""The preparation of a store."""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from benchmarks.memory import measure_extra_mb, measure_peaks_mb
from benchmarks.noise import NoiseSource, find_real_data
from ecglib.datasets.duplicates import Signatures
from ecglib.datasets.sources import mitdb as mitdb_module
from ecglib.datasets.sources.ptbxl import open_ptbxl
from ecglib.datasets.writer import write_store

ROUNDS = 5
N_RECORDS_OF_EACH_SET = 3
N_RECORDS_READ = 200  # with wfdb, which is slow


def measure_mitdb() -> Figure:
    """The complete preparation of MIT-BIH records against reading them with wfdb."""
    import wfdb

    folder = find_real_data("mitdb")
    ds1 = mitdb_module.DS1[:N_RECORDS_OF_EACH_SET]
    ds2 = mitdb_module.DS2[:N_RECORDS_OF_EACH_SET]

    def prepare() -> None:
        with tempfile.TemporaryDirectory() as data_dir:
            write_store(mitdb_module.MitdbSource(folder), data_dir, progress=False)

    def read() -> None:
        for name in ds1 + ds2:
            wfdb.rdrecord(str(folder / name))

    n = len(ds1 + ds2)
    with mock.patch.multiple(mitdb_module, DS1=ds1, DS2=ds2):
        sides = {"prepared": Side(prepare, n), "read": Side(read, n)}
        speeds = alternate(sides, ROUNDS, "prepare.mitdb")
    return Figure(
        name="prepare.mitdb",
        what=f"preparation of {n} half-hour MIT-BIH records with all their beats",
        against="the limit: wfdb.rdrecord of the same records",
        floor=0.3,
        ratios=compute_ratios(speeds["prepared"], speeds["read"]),
        detail=compute_medians(speeds, "records/s"),
    )


def measure_ptbxl() -> Figure:
    """The complete preparation of PTB-XL records against reading them with wfdb."""
    import wfdb

    folder = find_real_data("ptbxl_z100")
    paths = [f"{folder}/{path}" for path in open_ptbxl(folder).table["path"]]
    read_paths = paths[:: len(paths) // N_RECORDS_READ]

    def prepare() -> None:
        with tempfile.TemporaryDirectory() as data_dir:
            write_store(open_ptbxl(folder), data_dir, progress=False)

    def prepare_without_search() -> None:
        with (
            mock.patch.object(Signatures, "add"),
            mock.patch.object(Signatures, "find_pairs", return_value=[]),
        ):
            prepare()

    def read_with_wfdb() -> None:
        for path in read_paths:
            wfdb.rdsamp(path)

    sides = {
        "prepared": Side(prepare, len(paths)),
        "prepared without the near-identical search": Side(prepare_without_search, len(paths)),
        "read": Side(read_with_wfdb, len(read_paths)),
    }
    speeds = alternate(sides, ROUNDS, "prepare.ptbxl")
    return Figure(
        name="prepare.ptbxl",
        what=f"preparation of {len(paths):,} PTB-XL records of 12 leads x 1000 samples: tables, "
        "headers, checksums, leads, quality, hashes, near-identical search, reports",
        against="wfdb.rdsamp of the same records, which only reads them",
        floor=25,
        ratios=compute_ratios(speeds["prepared"], speeds["read"]),
        detail=compute_medians(speeds, "records/s"),
    )


def measure_save() -> Figure:
    """Writing a store of records in memory against np.save of the same samples."""
    n, passes = 1000, 5
    source = NoiseSource(n)
    records = list(source.read_records())
    source.read_records = lambda: iter(records)
    steps = np.concatenate([record.steps for record in records])
    with tempfile.TemporaryDirectory() as folder:

        def write() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as data_dir:
                write_store(source, data_dir, progress=False)

        def save() -> None:
            for i in range(passes):
                np.save(Path(folder) / f"plain{i}.npy", steps)

        sides = {"written": Side(write, n), "saved": Side(save, passes * n)}
        speeds = alternate(sides, ROUNDS, "prepare.save")
    return Figure(
        name="prepare.save",
        what=(
            f"store of {n} records of 12 leads x 1000 samples: checks, hashes, near-identical "
            "search"
        ),
        against="the limit: np.save of the same samples, int16 already",
        floor=0.02,
        ratios=compute_ratios(speeds["written"], speeds["saved"]),
        detail=compute_medians(speeds, "records/s"),
    )


SIZES = [10_000, 20_000, 40_000]
N_SAMPLES = 500


def measure_memory() -> Figure:
    """Memory that writing a store adds, with 1, 2 and 4 times as many records."""
    peaks = measure_peaks_mb(measure_memory_of_writing, SIZES, 2, "prepare.memory")
    extra = {f"extra at {size:,} records": peaks_mb for size, peaks_mb in peaks.items()}
    return Figure(
        name="prepare.memory",
        what=f"extra memory of writing {SIZES[0]:,} records of 12 leads x {N_SAMPLES} samples",
        against=(
            f"the same with {SIZES[-1]:,} records: 1 is flat, {SIZES[0] / SIZES[-1]:g} grows with "
            "the data"
        ),
        floor=0.7,
        ratios=compute_ratios(peaks[SIZES[0]], peaks[SIZES[-1]]),
        detail=compute_medians(extra, "MB"),
    )


def measure_memory_of_writing(n_records: int) -> float:
    """Measure the MB that writing a store adds; run in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        # Imports at the first use are not counted.
        write_store(NoiseSource(2, N_SAMPLES), f"{folder}/first", progress=False)
        source = NoiseSource(n_records, N_SAMPLES)
        return measure_extra_mb(lambda: write_store(source, folder, progress=False))


FIGURES = {
    "ptbxl": measure_ptbxl,
    "mitdb": measure_mitdb,
    "save": measure_save,
    "memory": measure_memory,
}
