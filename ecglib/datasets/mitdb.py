"""MIT-BIH Arrhythmia Database: a few seconds around each beat, AAMI classes, by patient.

Classes after ANSI/AAMI EC57, records dealt to DS1 (training) and DS2 (test) after de Chazal,
O'Dwyer, Reilly 2004 (IEEE Trans Biomed Eng 51:1196). The four paced records are left out.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecglib import folders
from ecglib.datasets.signals import resample
from ecglib.datasets.store import Record, SignalContract, Task
from ecglib.errors import DatasetError

PACED = ("102", "104", "107", "217")
DS1 = (
    "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"
).split()
DS2 = (
    "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"
).split()
# Whole patients of DS1, chosen before any training so that each class has beats in validation.
VALIDATION = ("114", "118", "124", "205", "223")
SAME_PERSON = {"202": "201"}
CLASSES = {
    "N": ["N", "L", "R", "e", "j"],
    "S": ["A", "a", "J", "S"],
    "V": ["V", "E"],
    "F": ["F"],
}
UNKNOWN = ("/", "f", "Q")
BEATS = {symbol for symbols in CLASSES.values() for symbol in symbols} | set(UNKNOWN)

RATE_HZ = 120.0
BEFORE_S, AFTER_S = 2.5, 1.5
RR_MEAN_OVER = 10


class MitdbSource:
    """The complete MIT-BIH Arrhythmia Database.

    A window is 2.5 s before to 1.5 s after an annotated beat, at 120 Hz, leads ``MLII`` and ``V``
    (the chest lead of the record: V1, V2, V4 or V5). RR intervals in s are kept as tabular
    values: to the beat before, to the beat after, and the mean of up to ten intervals before.

    Parameters
    ----------
    folder
        folder with the WFDB files (``100.hea``, ``100.dat``, ``100.atr``, ...).

    Raises
    ------
    DatasetError
        a record's file is missing.
    """

    name = "mitdb"
    synthetic = False
    description = "MIT-BIH Arrhythmia Database 1.0.0: 44 half-hour two-lead records, beat classes."
    citation = (
        "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol "
        "20:45-50 (2001). Goldberger AL et al. Circulation 101:e215-e220 (2000). ODC-By 1.0."
    )
    signal = SignalContract(RATE_HZ, round((BEFORE_S + AFTER_S) * RATE_HZ), ("MLII", "V"))
    tasks = {
        "aami": Task(
            "aami",
            "multi_class",
            CLASSES,
            description="N, S, V, F; DS1 for training and validation, DS2 for test. The person of "
            "records 201 (DS1) and 202 (DS2) stands on both sides.",
        ),
        "aami_disjoint": Task(
            "aami_disjoint",
            "multi_class",
            CLASSES,
            part="part_disjoint",
            description="As aami, with record 202 moved from DS2 to training.",
        ),
    }
    tabular = ("rr_before_s", "rr_after_s", "rr_mean_s")

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._lost = Counter({"paced records": len(PACED)})
        files = [f"{r}.{ext}" for r in DS1 + DS2 for ext in ("hea", "dat", "atr")]
        if missing := [name for name in files if not (self.folder / name).is_file()]:
            raise DatasetError(
                f"{self.folder} lacks {len(missing)} files of the MIT-BIH Arrhythmia Database, for "
                f"example {missing[:3]}. Give the folder that holds 100.hea, or leave the folder "
                f"out to download it with wfdb."
            )

    def request(self) -> dict:
        """The content of every file that is read, as one hash."""
        content = hashlib.blake2b(digest_size=16)
        for record in DS1 + DS2:
            for ext in ("hea", "dat", "atr"):
                content.update((self.folder / f"{record}.{ext}").read_bytes())
        return {"version": 1, "files": content.hexdigest()}

    def n_records(self) -> int:
        """44: all but the paced ones."""
        return len(DS1 + DS2)

    def records(self) -> Iterator[Record]:
        """Yield the records of DS1, then of DS2."""
        import wfdb

        for name in DS1 + DS2:
            path = str(self.folder / name)
            record, notes = wfdb.rdrecord(path), wfdb.rdann(path, "atr")
            order = _order_of_leads(name, record.sig_name, record.units)
            signal_mv = resample(record.p_signal[:, order], record.fs, RATE_HZ)
            is_beat = np.isin(notes.symbol, list(BEATS))
            yield Record(
                name,
                signal_mv,
                self._windows(
                    name,
                    notes.sample[is_beat] / record.fs,
                    np.asarray(notes.symbol)[is_beat],
                    len(signal_mv),
                ),
            )

    def left_out(self) -> dict[str, int]:
        """Paced records, and beats too near to an edge of their record, by class and data set."""
        return dict(self._lost)

    def _windows(self, name: str, beats_s: np.ndarray, symbols: np.ndarray, n: int) -> list[dict]:
        rr = np.diff(beats_s, prepend=np.nan, append=np.nan)
        windows = []
        for i, (beat_s, symbol) in enumerate(zip(beats_s, symbols, strict=True)):
            start = round((beat_s - BEFORE_S) * RATE_HZ)
            if start < 0 or start + self.signal.n_samples > n:
                self._lost[f"{aami_class(symbol)} beats at an edge, {data_set(name)}"] += 1
                continue
            # rr[0] has no beat before it, so the mean starts at the second beat.
            before = rr[max(1, i - RR_MEAN_OVER + 1) : i + 1]
            windows.append(
                {
                    "patient": SAME_PERSON.get(name, name),
                    "start": start,
                    "length": self.signal.n_samples,
                    "labels": [str(symbol)],
                    "part": part(name),
                    "part_disjoint": "train" if name in SAME_PERSON else part(name),
                    "rr_before_s": rr[i],
                    "rr_after_s": rr[i + 1],
                    "rr_mean_s": before.mean() if len(before) else np.nan,
                }
            )
        return windows


def aami_class(symbol: str) -> str:
    """The AAMI class (N, S, V, F or Q) of a beat annotation."""
    return next((c for c, symbols in CLASSES.items() if symbol in symbols), "Q")


def data_set(record: str) -> str:
    """DS1 or DS2."""
    return "DS1" if record in DS1 else "DS2"


def part(record: str) -> str:
    """The standard part of a record: DS2 is the test part, five patients of DS1 validate."""
    if record in DS2:
        return "test"
    return "validation" if record in VALIDATION else "train"


def download(folder: Path) -> Path:
    """Download the database with wfdb; it appears whole or not at all.

    Raises
    ------
    DatasetError
        there is no network, or the download broke off.
    """
    if folder.exists():
        return folder
    import wfdb

    try:
        with folders.unfinished(folder.parent, "mitdb") as partial:
            wfdb.dl_database("mitdb", str(partial))
            MitdbSource(partial)
            partial.rename(folder)
    except Exception as error:
        raise DatasetError(
            f"The MIT-BIH Arrhythmia Database could not be downloaded: {error}. Download it from "
            f"PhysioNet by other means and give its folder as the source."
        ) from error
    return folder


def _order_of_leads(record: str, names: list[str], units: list[str]) -> list[int]:
    """Columns of MLII and of the chest lead: record 114 stores them the other way round."""
    chest = [i for i, name in enumerate(names) if name.startswith("V")]
    if "MLII" not in names or len(chest) != 1 or set(units) != {"mV"}:
        raise DatasetError(
            f"Record {record} has leads {names} in {units}, expected MLII and one chest lead in mV."
        )
    return [names.index("MLII"), chest[0]]
