"""MIT-BIH Arrhythmia Database: a few seconds around each beat, or windows of one rhythm.

Beat classes after ANSI/AAMI EC57, records dealt to DS1 (training) and DS2 (test) after de Chazal,
O'Dwyer, Reilly 2004 (IEEE Trans Biomed Eng 51:1196). The four paced records are left out.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecglib.datasets.schema import Problem, Record, SignalSpec, Task
from ecglib.datasets.sources import simulated_beats
from ecglib.datasets.sources.download import download as download_files
from ecglib.datasets.tabular import beats
from ecglib.datasets.units import STEP_MV, resample_steps, to_steps
from ecglib.datasets.wfdb.records import read_record
from ecglib.errors import DatasetError, RecordError
from ecglib.splits import TRAINING_ONLY, split_by_patient

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
VERSION = 5  # of what is made of the same files; raise it when that changes

RHYTHM_S = 10.0
RHYTHMS = {
    "N": ["N"],
    "AF": ["AFIB", "AFL"],
    "other": "AB B BII IVR NOD P PREX SBR SVTA T VFL VT".split(),
}
FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


class MitdbRecords:
    """The 44 records that are not paced, leads ``MLII`` and ``V`` at the rate of the contract.

    ``V`` is the chest lead of the record: V1, V2, V4 or V5. What a window is, a subclass says.

    Parameters
    ----------
    folder
        folder with the WFDB files (``100.hea``, ``100.dat``, ``100.atr``, ...).

    Raises
    ------
    DatasetError
        a record's file is missing.
    """

    synthetic = False
    citation = (
        "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol "
        "20:45-50 (2001). Goldberger AL et al. Circulation 101:e215-e220 (2000). ODC-By 1.0."
    )
    caveats = ()
    signal: SignalSpec

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

    def to_request(self) -> dict:
        """The content of every file that is read, as one hash."""
        content = hashlib.blake2b(digest_size=16)
        for record in DS1 + DS2:
            for ext in ("hea", "dat", "atr"):
                content.update((self.folder / f"{record}.{ext}").read_bytes())
        return {"version": VERSION, "files": content.hexdigest()}

    def count_records(self) -> int:
        """44: all but the paced ones."""
        return len(DS1 + DS2)

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records of DS1, then of DS2."""
        import wfdb

        for name in DS1 + DS2:
            try:
                record = read_record(self.folder / name)
                columns = _columns_of_leads(name, record.leads)
                signal_mv = record.to_mv(columns)
                rate_hz = self.signal.sampling_rate_hz
                steps = resample_steps(signal_mv, record.sampling_rate_hz, rate_hz)
            except RecordError as error:
                yield Problem(name, error.kind, str(error))
                continue
            notes = wfdb.rdann(str(self.folder / name), "atr")
            yield from self.made_of(name, notes.sample / record.sampling_rate_hz, notes, steps)

    def made_of(self, name: str, times_s: np.ndarray, notes, steps: np.ndarray) -> Iterator[Record]:
        """Yield what is handed over of a record; the arguments are those of `windows`."""
        if windows := self.windows(name, times_s, notes, steps):
            yield Record(name, steps, windows)

    def windows(self, name: str, times_s: np.ndarray, notes, steps: np.ndarray) -> list[dict]:
        """The windows of a record.

        Parameters
        ----------
        name
            name of the record.
        times_s
            time of each annotation, in s.
        notes
            the annotations as wfdb reads them.
        steps
            the record at the rate of the contract, shape (n_samples, n_leads).
        """
        raise NotImplementedError

    def count_excluded(self) -> dict[str, int]:
        """Paced records, and the windows that could not be, by kind."""
        return dict(self._lost)


class MitdbSource(MitdbRecords):
    """Beats of the MIT-BIH Arrhythmia Database.

    A window is 2.5 s before to 1.5 s after an annotated beat, at 120 Hz. Its tabular values tell
    how the beat stands to the patient's own: RR intervals (`beat_values.intervals`) and shape
    (`beat_values.shapes`). They know the whole record, also what comes after the beat, but nothing
    of any beat's class.
    """

    name = "mitdb"
    description = "MIT-BIH Arrhythmia Database 1.0.0: 44 half-hour two-lead records, beat classes."
    signal = SignalSpec(
        RATE_HZ, round((BEFORE_S + AFTER_S) * RATE_HZ), ("MLII", "V"), around_beats=True
    )
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
    tabular = beats.INTERVALS + beats.SHAPES
    columns = {}

    def windows(self, name: str, times_s: np.ndarray, notes, steps: np.ndarray) -> list[dict]:
        """One window a beat that is not too near to an edge."""
        beats_s, symbols = _beats(times_s, notes)
        rows = _rows(beats.of_beats(steps * STEP_MV, beats_s, RATE_HZ))
        windows = []
        for i, start in enumerate(_starts(beats_s)):
            if start < 0 or start + self.signal.n_samples > len(steps):
                self._lost[f"{aami_class(symbols[i])} beats at an edge, {data_set(name)}"] += 1
                continue
            windows.append(self._window(name, start, symbols[i], rows[i]))
        return windows

    def _window(self, name: str, start: int, symbol: str, values: dict) -> dict:
        return {
            "patient": SAME_PERSON.get(name, name),
            "start": int(start),
            "length": self.signal.n_samples,
            "labels": [str(symbol)],
            "part": part(name),
            "part_disjoint": "train" if name in SAME_PERSON else part(name),
            **values,
        }


class SimulatedMitdbSource(MitdbSource):
    """As `MitdbSource`, and beside each training record one of rhythms made of its beats.

    Of a made record, ``101_simulated`` for example, the beats in changed stretches are windows of
    the training part (`simulated_beats`); validation and test parts are those of ``mitdb``.
    """

    name = "mitdb_simulated"
    description = MitdbSource.description + " Training records also with simulated rhythms."
    caveats = ("simulated beats in training",)
    columns = {TRAINING_ONLY: "bool"}  # so that no fold is scored on made beats either

    def count_records(self) -> int:
        """44, and one for each training record."""
        return super().count_records() + sum(part(name) == "train" for name in DS1)

    def made_of(self, name: str, times_s: np.ndarray, notes, steps: np.ndarray) -> Iterator[Record]:
        """Yield the record, then what is made of it."""
        yield from super().made_of(name, times_s, notes, steps)
        if part(name) == "train":
            yield from self._simulated(name, *_beats(times_s, notes), steps)

    def _simulated(self, name: str, beats_s, symbols, steps) -> Iterator[Record]:
        """The record with other rhythms, if it is regular enough for any."""
        classes = np.array([aami_class(symbol) for symbol in symbols])
        made = simulated_beats.simulate(steps * STEP_MV, beats_s, classes, RATE_HZ, int(name))
        if made is None:
            return
        steps = to_steps(made.signal_mv)
        values = beats.of_beats(steps * STEP_MV, made.beats_s, RATE_HZ)
        starts = _starts(made.beats_s)
        used = made.stretches & (starts >= 0) & (starts + self.signal.n_samples <= len(steps))
        used &= (made.classes != "F") | (classes == "F") | simulated_beats.is_fusion(values)
        symbols = np.where(made.classes == classes, symbols, made.classes)
        rows = _rows(values)
        windows = [
            self._window(name, starts[i], symbols[i], rows[i]) | {TRAINING_ONLY: True}
            for i in np.flatnonzero(used)
        ]
        if windows:
            yield Record(f"{name}_simulated", steps, windows)


class MitdbRhythmSource(MitdbRecords):
    """Rhythm of the MIT-BIH Arrhythmia Database, in windows of 10 s, end to end.

    A window's label is the rhythm annotation that holds throughout; windows with a change are left
    out. Few patients have atrial fibrillation, so that DS1 and DS2 do not serve: parts are made by
    patient, stratified over the seconds of each class.
    """

    name = "mitdb_rhythm"
    description = "MIT-BIH Arrhythmia Database 1.0.0: 44 half-hour two-lead records, rhythm."
    signal = SignalSpec(RATE_HZ, round(RHYTHM_S * RATE_HZ), ("MLII", "V"))
    tasks = {
        "rhythm": Task(
            "rhythm",
            "multi_class",
            RHYTHMS,
            description="sinus rhythm (N), atrial fibrillation or flutter (AF), any other rhythm.",
        )
    }
    tabular = ()
    columns = {}

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records; their parts are known once all annotations are read."""
        given = list(super().read_records())
        windows = [w for record in given if isinstance(record, Record) for w in record.windows]
        y = np.array([[w["labels"][0] in own for own in RHYTHMS.values()] for w in windows])
        parts = split_by_patient([w["patient"] for w in windows], y, FRACTIONS)
        for window, own in zip(windows, parts, strict=True):
            window["part"] = str(own)
        yield from given

    def windows(self, name: str, times_s: np.ndarray, notes, steps: np.ndarray) -> list[dict]:
        """The windows in which one rhythm holds throughout."""
        changes = [i for i, symbol in enumerate(notes.symbol) if symbol == "+"]
        starts = np.array([0.0, *times_s[changes]])
        names = ["", *(notes.aux_note[i].strip("\0").lstrip("(") for i in changes)]
        n, windows = self.signal.n_samples, []
        for start in range(0, len(steps) - n + 1, n):
            first, last = np.searchsorted(starts, [start / RATE_HZ, (start + n) / RATE_HZ], "right")
            if first != last and (first, last) != (1, 2):
                self._lost["windows in which the rhythm changes"] += 1
                continue
            windows.append(
                {
                    "patient": SAME_PERSON.get(name, name),
                    "start": start,
                    "length": n,
                    "labels": [names[last - 1]],
                }
            )
        return windows


def _beats(times_s: np.ndarray, notes) -> tuple[np.ndarray, np.ndarray]:
    """Times and symbols of the annotations that are beats."""
    is_beat = np.isin(notes.symbol, list(BEATS))
    return times_s[is_beat], np.asarray(notes.symbol)[is_beat]


def _starts(beats_s: np.ndarray) -> np.ndarray:
    """The first samples of the windows around beats."""
    return np.round((beats_s - BEFORE_S) * RATE_HZ).astype(int)


def _rows(values: dict[str, np.ndarray]) -> list[dict]:
    """The values of each beat by name."""
    columns = (own.tolist() for own in values.values())
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


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
    """Download the database, verified and resumable.

    Raises
    ------
    DatasetError
        there is no network, or a file differs from its published checksum.
    """
    ends = (".hea", ".dat", ".atr")
    return download_files("mitdb", "1.0.0", folder, lambda name: name.endswith(ends))


def _columns_of_leads(record: str, names: tuple[str, ...]) -> list[int]:
    """Columns of MLII and of the chest lead: record 114 stores them the other way round."""
    chest = [i for i, name in enumerate(names) if name.startswith("V")]
    if "MLII" not in names or len(chest) != 1:
        raise RecordError(
            "missing_lead", f"Record {record} has leads {names}, expected MLII and one chest lead."
        )
    return [names.index("MLII"), chest[0]]
