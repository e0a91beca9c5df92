"""Reading WFDB records."""

from functools import partial
from pathlib import Path

from benchmarks.measure import Figure, Side, alternate, medians, ratios
from benchmarks.noise import real_data
from ecglib.datasets.wfdb.records import read_header, read_record

ROUNDS = 7
N_FORMAT16, PASSES16 = 100, 50
N_FORMAT212, PASSES212 = 10, 7
SPEED = "records/s"


def format16() -> Figure:
    """PTB-XL records at 100 Hz, checksums verified, against wfdb.rdsamp."""
    import wfdb

    folder = real_data("ptbxl") / "records100"
    paths = _records(folder, "*/*.hea", N_FORMAT16)
    n, leads = len(paths), range(12)
    sides = {
        "read as steps": Side(partial(_steps, paths * PASSES16, leads), PASSES16 * n),
        "read by wfdb": Side(partial(_each, wfdb.rdsamp, paths), n),
        "read as mV": Side(partial(_mv, paths * PASSES16, leads), PASSES16 * n),
        **_parts(paths * PASSES16),
    }
    speeds = alternate(sides, ROUNDS, "reading.format16")
    return Figure(
        "reading.format16",
        f"{n} PTB-XL records, 100 Hz, to int16 steps of 0.001 mV, checksums verified",
        "the usual way: wfdb.rdsamp of the same records",
        50.0,
        ratios(speeds["read as steps"], speeds["read by wfdb"]),
        medians(speeds, SPEED),
    )


def format212() -> Figure:
    """MIT-BIH records, checksums verified, to mV as wfdb.rdsamp gives it."""
    import wfdb

    paths = _records(real_data("mitdb"), "*.hea", N_FORMAT212)
    n, leads = len(paths), range(2)
    sides = {
        "read as mV": Side(partial(_mv, paths * PASSES212, leads), PASSES212 * n),
        "read by wfdb": Side(partial(_each, wfdb.rdsamp, paths), n),
        "read as steps": Side(partial(_steps, paths, leads), n),
        **_parts(paths * PASSES212),
    }
    speeds = alternate(sides, ROUNDS, "reading.format212")
    return Figure(
        "reading.format212",
        f"{n} MIT-BIH records, half an hour of two leads, to mV, checksums verified",
        "the usual way: wfdb.rdsamp of the same records",
        6.0,
        ratios(speeds["read as mV"], speeds["read by wfdb"]),
        medians(speeds, SPEED),
    )


def _records(folder: Path, pattern: str, n: int) -> list[str]:
    return [str(path.with_suffix("")) for path in sorted(folder.glob(pattern))[:n]]


def _parts(paths: list[str]) -> dict[str, Side]:
    """Less and less of the reading, to see what its parts cost."""
    work = {
        "digital": read_record,
        "digital, not verified": partial(read_record, verify=False),
        "header alone": read_header,
        "both files, bytes alone": _bytes,
    }
    return {name: Side(partial(_each, read, paths), len(paths)) for name, read in work.items()}


def _each(read, paths: list[str]) -> None:
    for path in paths:
        read(path)


def _steps(paths: list[str], leads: range) -> None:
    for path in paths:
        read_record(path).to_steps(leads)


def _mv(paths: list[str], leads: range) -> None:
    for path in paths:
        read_record(path).to_mv(leads)


def _bytes(path: str) -> None:
    for name in (path + ".hea", path + ".dat"):
        with open(name, "rb") as file:
            file.read()


FIGURES = {"format16": format16, "format212": format212}
