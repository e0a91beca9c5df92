"""The WFDB reader."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from benchmarks.noise import find_real_data
from ecglib.datasets.wfdb.records import read_header, read_record

ROUNDS = 7
N_FORMAT16, N_PASSES16 = 100, 50
N_FORMAT212, N_PASSES212 = 10, 7
SPEED = "records/s"


def measure_format16() -> Figure:
    """PTB-XL records at 100 Hz, checksums verified, against wfdb.rdsamp."""
    import wfdb

    folder = find_real_data("ptbxl") / "records100"
    paths = _list_records(folder, "*/*.hea", N_FORMAT16)
    n, leads = len(paths), range(12)
    sides = {
        "read as steps": Side(partial(_read_steps, paths * N_PASSES16, leads), N_PASSES16 * n),
        "read by wfdb": Side(partial(_read_each, wfdb.rdsamp, paths), n),
        "read as mV": Side(partial(_read_mv, paths * N_PASSES16, leads), N_PASSES16 * n),
        **_make_partial_sides(paths * N_PASSES16),
    }
    speeds = alternate(sides, ROUNDS, "reading.format16")
    return Figure(
        name="reading.format16",
        what=f"{n} PTB-XL records, 100 Hz, to int16 steps of 0.001 mV, checksums verified",
        against="the usual way: wfdb.rdsamp of the same records",
        floor=50.0,
        ratios=compute_ratios(speeds["read as steps"], speeds["read by wfdb"]),
        detail=compute_medians(speeds, SPEED),
    )


def measure_format212() -> Figure:
    """MIT-BIH records to mV, checksums verified, against wfdb.rdsamp."""
    import wfdb

    paths = _list_records(find_real_data("mitdb"), "*.hea", N_FORMAT212)
    n, leads = len(paths), range(2)
    sides = {
        "read as mV": Side(partial(_read_mv, paths * N_PASSES212, leads), N_PASSES212 * n),
        "read by wfdb": Side(partial(_read_each, wfdb.rdsamp, paths), n),
        "read as steps": Side(partial(_read_steps, paths, leads), n),
        **_make_partial_sides(paths * N_PASSES212),
    }
    speeds = alternate(sides, ROUNDS, "reading.format212")
    return Figure(
        name="reading.format212",
        what=f"{n} MIT-BIH records, half an hour of two leads, to mV, checksums verified",
        against="the usual way: wfdb.rdsamp of the same records",
        floor=6.0,
        ratios=compute_ratios(speeds["read as mV"], speeds["read by wfdb"]),
        detail=compute_medians(speeds, SPEED),
    )


def _list_records(folder: Path, pattern: str, n: int) -> list[str]:
    return [str(path.with_suffix("")) for path in sorted(folder.glob(pattern))[:n]]


def _make_partial_sides(paths: list[str]) -> dict[str, Side]:
    """Make sides that do less and less of the reading, to see what each part costs."""
    readers: dict[str, Callable[[str], object]] = {
        "digital": read_record,
        "digital, not verified": partial(read_record, verify=False),
        "header only": read_header,
        "both files, bytes only": _read_bytes,
    }
    return {
        name: Side(partial(_read_each, read, paths), len(paths)) for name, read in readers.items()
    }


def _read_each(read: Callable[[str], object], paths: list[str]) -> None:
    for path in paths:
        read(path)


def _read_steps(paths: list[str], leads: range) -> None:
    for path in paths:
        read_record(path).to_steps(leads)


def _read_mv(paths: list[str], leads: range) -> None:
    for path in paths:
        read_record(path).to_mv(leads)


def _read_bytes(path: str) -> None:
    for name in (path + ".hea", path + ".dat"):
        with open(name, "rb") as file:
            file.read()


FIGURES = {"format16": measure_format16, "format212": measure_format212}
