"""MIT-BIH Arrhythmia Database: a few seconds around each beat, or windows of one rhythm.

Beat classes follow ANSI/AAMI EC57; the records are divided into DS1 (training) and DS2 (test) as by
de Chazal, O'Dwyer, Reilly 2004 (IEEE Trans Biomed Eng 51:1196). The four paced records are
excluded.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ecglib.datasets.problems import make_problem
from ecglib.datasets.schema import Problem, Record, SignalSpec, Task
from ecglib.datasets.sources.checksums import Checksums
from ecglib.datasets.sources.download import download as download_files
from ecglib.datasets.sources.simulated_beats import find_fusion_beats, simulate_rhythm
from ecglib.datasets.tabular.beats import INTERVALS, SHAPES, compute_beat_values
from ecglib.datasets.units import STEP_MV, resample_steps, to_steps
from ecglib.datasets.wfdb.annotations import read_annotations
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
# Whole patients of DS1, chosen before any training so that validation has beats of each class.
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
EXTENSIONS = ("hea", "dat", "atr")
VERSION = 5  # of the content; raise it when the same files give other windows

RHYTHM_S = 10.0
RHYTHMS = {
    "N": ["N"],
    "AF": ["AFIB", "AFL"],
    "other": "AB B BII IVR NOD P PREX SBR SVTA T VFL VT".split(),
}
FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


class Annotations(NamedTuple):
    """The annotations of a record.

    Parameters
    ----------
    times_s : array of shape (n_annotations,)
        Time of each, in s.
    symbols : str array of shape (n_annotations,)
        Symbol of each: a beat, or ``"+"`` where the rhythm changes.
    notes : list of str
        Further text of each, such as ``"(AFIB"``.

    Examples
    --------
    >>> annotations = Annotations(
    ...     times_s=np.array([0.2, 0.9, 1.7]),
    ...     symbols=np.array(["+", "N", "V"]),
    ...     notes=["(N", "", ""],
    ... )
    >>> changes = np.flatnonzero(annotations.symbols == "+")
    >>> [(float(annotations.times_s[i]), annotations.notes[i]) for i in changes]
    [(0.2, '(N')]
    """

    times_s: np.ndarray
    symbols: np.ndarray
    notes: list[str]


class Beats(NamedTuple):
    """The annotated beats of a record.

    Parameters
    ----------
    times_s : array of shape (n_beats,)
        Time of each, in s.
    symbols : str array of shape (n_beats,)
        Symbol of each.

    Examples
    --------
    >>> beats = Beats(times_s=np.array([0.9, 1.7]), symbols=np.array(["N", "V"]))
    >>> [find_aami_class(symbol) for symbol in beats.symbols]
    ['N', 'V']
    """

    times_s: np.ndarray
    symbols: np.ndarray


class MitdbRecords:
    """The 44 records that are not paced, leads ``MLII`` and ``V`` at the rate of the signal spec.

    ``V`` is the chest lead of the record: V1, V2, V4 or V5. Subclasses define the windows.

    Parameters
    ----------
    folder : str or Path
        Folder with the WFDB files (``100.hea``, ``100.dat``, ``100.atr``, ...).

    Raises
    ------
    DatasetError
        If a file of a record is missing.

    Examples
    --------
    With the files of the database::

        source = MitdbSource("data/raw/mitdb")
        source.count_records()  # 44

    Without them:

    >>> MitdbSource("data/raw/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: data/raw/none lacks 132 files of the MIT-BIH ...
    """

    synthetic = False
    citation = (
        "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol "
        "20:45-50 (2001). Goldberger AL et al. Circulation 101:e215-e220 (2000). ODC-By 1.0."
    )
    caveats: tuple[str, ...] = ()
    version = VERSION
    options: Mapping[str, Any] = {}
    signal: SignalSpec

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._excluded = Counter({"paced records": len(PACED)})
        files = [f"{record}.{ext}" for record in DS1 + DS2 for ext in EXTENSIONS]
        if missing := [name for name in files if not (self.folder / name).is_file()]:
            raise DatasetError(
                f"{self.folder} lacks {len(missing)} files of the MIT-BIH Arrhythmia Database, for "
                f"example {missing[:3]}. Give the folder that holds 100.hea, or omit the folder to "
                f"download it with wfdb."
            )

    def hash_content(self) -> str:
        """Hash the content of every file that is read."""
        content = hashlib.blake2b(digest_size=16)
        for record in DS1 + DS2:
            for ext in EXTENSIONS:
                content.update((self.folder / f"{record}.{ext}").read_bytes())
        return content.hexdigest()

    def count_records(self) -> int:
        """Count the records that are not paced: 44."""
        return len(DS1 + DS2)

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records of DS1, then of DS2."""
        checksums = Checksums(self.folder)
        for name in DS1 + DS2:
            try:
                for ext in EXTENSIONS:
                    checksums.check_file(f"{name}.{ext}")
                record = read_record(self.folder / name)
                columns = _find_lead_columns(name, record.leads)
                rate_hz = self.signal.sampling_rate_hz
                steps = resample_steps(record.to_mv(columns), record.sampling_rate_hz, rate_hz)
                file = read_annotations(self.folder / name)
                times_s = file.samples / record.sampling_rate_hz
                annotations = Annotations(times_s, file.symbols, file.notes)
                records = list(self.make_records(name, annotations, steps))
            except Exception as error:
                yield make_problem(name, error)
            else:
                yield from records

    def make_records(
        self, name: str, annotations: Annotations, steps: np.ndarray
    ) -> Iterator[Record]:
        """Yield what is made of a published record; the arguments are those of `find_windows`."""
        if windows := self.find_windows(name, annotations, steps):
            yield Record(name, steps, windows)

    def find_windows(
        self, name: str, annotations: Annotations, steps: np.ndarray
    ) -> list[dict[str, Any]]:
        """Find the windows of a record.

        Parameters
        ----------
        name : str
            Name of the record.
        annotations : Annotations
            Its annotations.
        steps : int16 array of shape (n_samples, n_leads)
            The record at the rate of the signal spec, in 0.001 mV.

        Returns
        -------
        list of dict
            The windows, see `Record`.
        """
        raise NotImplementedError

    def count_excluded(self) -> dict[str, int]:
        """Count the paced records and, by kind, the windows that could not be cut."""
        return dict(self._excluded)


class MitdbSource(MitdbRecords):
    """Beats of the MIT-BIH Arrhythmia Database.

    A window is 2.5 s before to 1.5 s after an annotated beat, at 120 Hz. Its tabular values
    describe the beat relative to the patient's other beats: RR intervals
    (`beats.compute_intervals`) and shape (`beats.compute_shapes`). They depend on the whole record,
    including what comes after the beat, but not on the class of any beat.

    Parameters
    ----------
    folder : str or Path
        Folder with the WFDB files (``100.hea``, ``100.dat``, ``100.atr``, ...).

    Raises
    ------
    DatasetError
        If a file of a record is missing.

    Examples
    --------
    >>> MitdbSource.signal.n_samples, list(MitdbSource.tasks)
    (480, ['aami_disjoint', 'aami'])
    """

    name = "mitdb"
    description = "MIT-BIH Arrhythmia Database 1.0.0: 44 half-hour two-lead records, beat classes."
    signal = SignalSpec(
        RATE_HZ,
        round((BEFORE_S + AFTER_S) * RATE_HZ),
        ("MLII", "V"),
        around_beats=True,
        beat_s=BEFORE_S,
    )
    tasks = {  # the default is the one without a leak
        "aami_disjoint": Task(
            "aami_disjoint",
            "multi_class",
            CLASSES,
            part="part_disjoint",
            description="N, S, V, F; DS1 for training and validation, DS2 for test, with record "
            "202 of DS2 in training, as it is the same person as record 201.",
        ),
        "aami": Task(
            "aami",
            "multi_class",
            CLASSES,
            description="As aami_disjoint, but with DS1 and DS2 as published: the person of "
            "records 201 (DS1) and 202 (DS2) is on both sides.",
        ),
    }
    tabular = INTERVALS + SHAPES
    columns: Mapping[str, str] = {}

    def find_windows(
        self, name: str, annotations: Annotations, steps: np.ndarray
    ) -> list[dict[str, Any]]:
        """Find one window for each beat that is far enough from both ends of the record."""
        beats = _find_beats(annotations)
        rows = _list_rows(compute_beat_values(steps * STEP_MV, beats.times_s, RATE_HZ))
        windows = []
        for i, start in enumerate(_find_starts(beats.times_s)):
            if start < 0 or start + self.signal.n_samples > len(steps):
                beat_class = find_aami_class(beats.symbols[i])
                self._excluded[f"{beat_class} beats at an edge, {find_data_set(name)}"] += 1
                continue
            windows.append(self._make_window(name, start, beats.symbols[i], rows[i]))
        return windows

    def _make_window(
        self, name: str, start: int, symbol: str, values: dict[str, float]
    ) -> dict[str, Any]:
        return {
            "patient": SAME_PERSON.get(name, name),
            "start": int(start),
            "length": self.signal.n_samples,
            "labels": [str(symbol)],
            "part": assign_part(name),
            "part_disjoint": "train" if name in SAME_PERSON else assign_part(name),
            **values,
        }


class SimulatedMitdbSource(MitdbSource):
    """As `MitdbSource`, plus for each training record one of rhythms simulated from its beats.

    Of a simulated record, for example ``101_simulated``, the beats in changed stretches are windows
    of the training split (`simulated_beats`); validation and test splits are those of ``mitdb``.

    Parameters
    ----------
    folder : str or Path
        Folder with the WFDB files (``100.hea``, ``100.dat``, ``100.atr``, ...).

    Raises
    ------
    DatasetError
        If a file of a record is missing.

    Examples
    --------
    >>> SimulatedMitdbSource.caveats
    ('simulated beats in training',)
    """

    name = "mitdb_simulated"
    description = MitdbSource.description + " Training records also with simulated rhythms."
    caveats = ("simulated beats in training",)
    columns = {TRAINING_ONLY: "bool"}  # so that no fold is scored on simulated beats either

    def count_records(self) -> int:
        """Count the records that are not paced, and one more for each training record."""
        return super().count_records() + sum(assign_part(name) == "train" for name in DS1)

    def make_records(
        self, name: str, annotations: Annotations, steps: np.ndarray
    ) -> Iterator[Record]:
        """Yield the record, then the simulated one."""
        yield from super().make_records(name, annotations, steps)
        if assign_part(name) == "train":
            yield from self._simulate(name, _find_beats(annotations), steps)

    def _simulate(self, name: str, beats: Beats, steps: np.ndarray) -> Iterator[Record]:
        """Yield the record with other rhythms, if it is regular enough for any."""
        classes = np.array([find_aami_class(symbol) for symbol in beats.symbols])
        rhythm = simulate_rhythm(steps * STEP_MV, beats.times_s, classes, RATE_HZ, int(name))
        if rhythm is None:
            return
        simulated_steps = to_steps(rhythm.signal_mv)
        values = compute_beat_values(simulated_steps * STEP_MV, rhythm.beats_s, RATE_HZ)
        starts = _find_starts(rhythm.beats_s)
        fits = (starts >= 0) & (starts + self.signal.n_samples <= len(simulated_steps))
        is_plausible = (rhythm.classes != "F") | (classes == "F") | find_fusion_beats(values)
        symbols = np.where(rhythm.classes == classes, beats.symbols, rhythm.classes)
        rows = _list_rows(values)
        windows = [
            self._make_window(name, starts[i], symbols[i], rows[i]) | {TRAINING_ONLY: True}
            for i in np.flatnonzero(rhythm.in_stretch & fits & is_plausible)
        ]
        if windows:
            yield Record(f"{name}_simulated", simulated_steps, windows)


class MitdbRhythmSource(MitdbRecords):
    """Rhythm of the MIT-BIH Arrhythmia Database, in windows of 10 s, end to end.

    The label of a window is the rhythm annotation that holds throughout; windows in which it
    changes are excluded. Few patients have atrial fibrillation, so DS1 and DS2 do not serve: splits
    are by patient, stratified over the seconds of each class.

    Parameters
    ----------
    folder : str or Path
        Folder with the WFDB files (``100.hea``, ``100.dat``, ``100.atr``, ...).

    Raises
    ------
    DatasetError
        If a file of a record is missing.

    Examples
    --------
    >>> list(MitdbRhythmSource.tasks["rhythm"].classes)
    ['N', 'AF', 'other']
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
    tabular: tuple[str, ...] = ()
    columns: Mapping[str, str] = {}

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records, once all annotations are read: their splits depend on them."""
        records = list(super().read_records())
        windows = [
            window for record in records if isinstance(record, Record) for window in record.windows
        ]
        y = np.array(
            [[window["labels"][0] in labels for labels in RHYTHMS.values()] for window in windows]
        )
        parts = split_by_patient([window["patient"] for window in windows], y, FRACTIONS)
        for window, part in zip(windows, parts, strict=True):
            window["part"] = str(part)
        yield from records

    def find_windows(
        self, name: str, annotations: Annotations, steps: np.ndarray
    ) -> list[dict[str, Any]]:
        """Find the windows in which one rhythm holds throughout."""
        changes = np.flatnonzero(annotations.symbols == "+")
        starts = np.array([0.0, *annotations.times_s[changes]])
        rhythms = ["", *(annotations.notes[i].strip("\0").lstrip("(") for i in changes)]
        n_samples = self.signal.n_samples
        windows = []
        for start in range(0, len(steps) - n_samples + 1, n_samples):
            edges_s = [start / RATE_HZ, (start + n_samples) / RATE_HZ]
            first, last = np.searchsorted(starts, edges_s, "right")
            if first != last and (first, last) != (1, 2):
                self._excluded["windows in which the rhythm changes"] += 1
                continue
            windows.append(
                {
                    "patient": SAME_PERSON.get(name, name),
                    "start": start,
                    "length": n_samples,
                    "labels": [rhythms[last - 1]],
                }
            )
        return windows


def _find_beats(annotations: Annotations) -> Beats:
    is_beat = np.isin(annotations.symbols, list(BEATS))
    return Beats(annotations.times_s[is_beat], annotations.symbols[is_beat])


def _find_starts(beats_s: np.ndarray) -> np.ndarray:
    """Find the first samples of the windows around beats."""
    return np.round((beats_s - BEFORE_S) * RATE_HZ).astype(int)


def _list_rows(values: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """List the values of each beat by name."""
    columns = (column.tolist() for column in values.values())
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


def find_aami_class(symbol: str) -> str:
    """Find the AAMI class of a beat annotation.

    Parameters
    ----------
    symbol : str
        Symbol of the annotation.

    Returns
    -------
    str
        N, S, V, F or Q.

    Examples
    --------
    >>> [find_aami_class(symbol) for symbol in ("L", "a", "/")]
    ['N', 'S', 'Q']
    """
    return next((name for name, symbols in CLASSES.items() if symbol in symbols), "Q")


def find_data_set(record: str) -> str:
    """Find the data set of a record.

    Parameters
    ----------
    record : str
        Name of the record.

    Returns
    -------
    str
        DS1 or DS2.

    Examples
    --------
    >>> find_data_set("100")
    'DS2'
    """
    return "DS1" if record in DS1 else "DS2"


def assign_part(record: str) -> str:
    """Assign a record to the standard split: DS2 for test, five patients of DS1 for validation.

    Parameters
    ----------
    record : str
        Name of the record.

    Returns
    -------
    str
        train, validation or test.

    Examples
    --------
    >>> [assign_part(record) for record in ("101", "114", "100")]
    ['train', 'validation', 'test']
    """
    if record in DS2:
        return "test"
    return "validation" if record in VALIDATION else "train"


def download(folder: Path) -> Path:
    """Download the database, verified and resumable.

    Parameters
    ----------
    folder : Path
        Folder of the download.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DatasetError
        If there is no network, or a file differs from its published checksum.

    Examples
    --------
    From the network::

        download(Path("data/raw/mitdb"))

    A folder that holds another database is refused:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     marker = '{"database": "nstdb", "version": "1.0.0"}'
    ...     _ = Path(folder, "downloaded.json").write_text(marker)
    ...     download(Path(folder))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: ... holds nstdb 1.0.0, not mitdb 1.0.0...
    """
    endings = (".hea", ".dat", ".atr")
    return download_files("mitdb", "1.0.0", folder, lambda name: name.endswith(endings))


def _find_lead_columns(record: str, names: tuple[str, ...]) -> list[int]:
    """Find the columns of MLII and of the chest lead: record 114 stores them in reverse order."""
    chest = [i for i, name in enumerate(names) if name.startswith("V")]
    if "MLII" not in names or len(chest) != 1:
        raise RecordError(
            "missing_lead", f"Record {record} has leads {names}, expected MLII and one chest lead."
        )
    return [names.index("MLII"), chest[0]]
