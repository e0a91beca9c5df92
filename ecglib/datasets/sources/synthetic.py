"""Synthetic 12-lead ECGs: the dataset that needs no download.

Ten seconds at 100 Hz with the five diagnostic superclasses of PTB-XL, several records for some
patients, age and sex. The signals come from a heart vector of Gaussian waves (`_heart_vector`):
each patient has a different heart, each finding changes its waves as described in textbooks, with a
severity from borderline to clear. Class frequencies and combinations are roughly those of PTB-XL
(Wagner et al. 2020). Rhythm (rate, variability, ectopic beats, fibrillation) is not a class, but is
related to some of them; noise is independent of all of them. A few labels are wrong.

The data say nothing about real patients: they are for trying things out, and for tests.

References:
    McSharry PE, Clifford GD, Tarassenko L, Smith LA. A dynamical model for generating synthetic
    electrocardiogram signals. IEEE Trans Biomed Eng 50:289-294, 2003.
    Sameni R, Clifford GD, Jutten C, Shamsollahi MB. Multichannel ECG and noise modeling:
    application to maternal and fetal ECG signals. EURASIP J Adv Signal Process 2007:043407, 2007.
    Dower GE. A lead synthesizer for the Frank system to simulate the standard 12-lead
    electrocardiogram. J Electrocardiol 1:101-116, 1968.
    Wagner P et al. PTB-XL, a large publicly available electrocardiography dataset. Scientific Data
    7:154, 2020.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeVar

import numpy as np

from ecglib.datasets.options import Accepted, Seed, convert_value
from ecglib.datasets.schema import Record, SignalSpec, Task
from ecglib.datasets.sources import _heart_vector as hv
from ecglib.errors import DatasetError, require_one_of
from ecglib.splits import split_by_patient

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")

T = TypeVar("T")

# Combinations of classes, and the weight of each.
_COMBINATIONS = {
    ("NORM",): 430,
    ("MI",): 120,
    ("STTC",): 115,
    ("CD",): 80,
    ("MI", "CD"): 62,
    ("STTC", "HYP"): 37,
    ("MI", "STTC"): 29,
    ("HYP",): 26,
    ("STTC", "CD"): 22,
    ("NORM", "CD"): 19,
    ("MI", "STTC", "HYP"): 17,
    ("CD", "HYP"): 14,
    ("MI", "STTC", "CD"): 11,
    ("STTC", "CD", "HYP"): 10,
    ("MI", "HYP"): 9,
    ("MI", "STTC", "CD", "HYP"): 7,
    ("MI", "CD", "HYP"): 6,
}
# The findings of each class, or combinations of them, and the weight of each.
_INFARCTS = {"anterior_mi": 42, "inferior_mi": 43, "lateral_mi": 15}
_REPOLARISATION = {
    ("st_depression",): 30,
    ("t_inversion",): 30,
    ("st_depression", "t_inversion"): 25,
    ("long_qt",): 8,
    ("t_inversion", "long_qt"): 7,
}
_BLOCKS = {("rbbb",): 34, ("lbbb",): 14, ("lafb",): 28, ("av_block",): 16, ("rbbb", "lafb"): 8}
_HYPERTROPHY = {"lvh": 85, "rvh": 15}
#: Class -> the findings that it shows in a record.
CLASS_FINDINGS = {
    "MI": {*_INFARCTS, "old_mi", "fragmented_qrs"},
    "STTC": {finding for kinds in _REPOLARISATION for finding in kinds},
    "CD": {finding for kinds in _BLOCKS for finding in kinds},
    "HYP": set(_HYPERTROPHY),
}
RECORDS_PER_PATIENT = {1: 0.76, 2: 0.16, 3: 0.08}
_WRONG_LABEL = 0.04  # fraction of records with a label missing or one too many


@dataclasses.dataclass(frozen=True)
class Visit:
    """One record before it is drawn."""

    key: tuple[int, int]
    labels: list[str]
    age: float
    sex: int
    description: hv.Description


# Each of three splits needs a patient, and patients are numbered with six digits.
NPatients = Annotated[int, Accepted(minimum=3, maximum=99_999)]


class SimulatedSource:
    """Records of simulated patients, of which subclasses say what each has.

    The signals, labels, age and sex of a patient depend only on `seed` and the patient's number, so
    more patients leave the earlier ones unchanged. The split of a patient depends on all patients.

    Parameters
    ----------
    n_patients : int
        Number of patients, at least 3.
    seed : int
        Seed of all random numbers, at least 0.

    Raises
    ------
    DatasetError
        If `n_patients` or `seed` is not such a number.

    Examples
    --------
    >>> issubclass(SyntheticSource, SimulatedSource)
    True
    """

    name: ClassVar[str]
    description: ClassVar[str]
    task: ClassVar[Task]
    fractions: ClassVar[Mapping[str, float]]
    version: int  # of the content; raise it whenever the same request gives other bits

    synthetic = True
    citation = "McSharry et al. 2003, IEEE TBME 50:289; Sameni et al. 2007, EURASIP JASP 043407"
    signal = SignalSpec(float(hv.RATE_HZ), hv.N_SAMPLES, hv.LEADS)
    tabular = ("age", "sex")
    columns: Mapping[str, str] = {}
    caveats = ("synthetic data",)

    def __init__(self, n_patients: int, seed: int):
        self.n_patients = convert_value("n_patients", n_patients, NPatients)
        self.seed = convert_value("seed", seed, Seed)
        self.options = {"n_patients": self.n_patients, "seed": self.seed}
        self.tasks = {self.task.name: self.task}

    def draw_visits(self, patient: int) -> list[Visit]:
        """Draw the descriptions of the records of one patient, numbered from 0."""
        raise NotImplementedError

    def remove_class(self, description: hv.Description, class_name: str) -> hv.Description | None:
        """Return the description of the same record without the evidence of a class.

        Parameters
        ----------
        description : Description
            Of a record with the class.
        class_name : str
            The class.

        Returns
        -------
        Description or None
            None if the evidence is at no place of the signal.
        """
        raise NotImplementedError

    def simulate_evidence(self, record: str, class_name: str) -> np.ndarray | None:
        """Simulate what the evidence of a class is in a record.

        Parameters
        ----------
        record : str
            Name of the record.
        class_name : str
            The class.

        Returns
        -------
        array of shape (1000, 12), or None
            The record minus the same record without the class, in mV: the same heart, beats and
            noise. None if the evidence is at no place of the signal.

        Raises
        ------
        DatasetError
            If there is no such record.
        ExperimentError
            If there is no such class.
        """
        require_one_of("class_name", class_name, self.task.classes)
        visit = self._find_visit(record)
        without = self.remove_class(visit.description, class_name)
        if without is None:
            return None
        rendered = (hv.render(one, self.seed, visit.key) for one in (visit.description, without))
        signal_mv, without_mv = rendered
        return signal_mv - without_mv

    def locate_waves(self, record: str) -> hv.BeatWaves:
        """Locate P, QRS and T of each beat of a record.

        Parameters
        ----------
        record : str
            Name of the record.

        Raises
        ------
        DatasetError
            If there is no such record.
        """
        visit = self._find_visit(record)
        return hv.locate_waves(visit.description, self.seed, visit.key)

    def _find_visit(self, record: str) -> Visit:
        prefix, _, number = record.rpartition("-")
        is_known = prefix == self.name and number.isdecimal()
        if not is_known or not 1 <= int(number) <= len(self._visits):
            raise DatasetError(
                f"{record!r} is no record of {self.name!r} with {self.options}. Its records are "
                f"{self.name}-00001 to {self.name}-{len(self._visits):05d}."
            )
        return self._visits[int(number) - 1]

    def hash_content(self) -> str:
        """Return "": nothing is read from files."""
        return ""

    def count_records(self) -> int:
        """Count the records that `read_records` yields."""
        return len(self._visits)

    def count_excluded(self) -> dict[str, int]:
        """Return an empty dict: no record is excluded."""
        return {}

    def read_records(self) -> Iterator[Record]:
        """Yield the records one at a time, each simulated when it is needed."""
        visits = zip(self._visits, self._parts, strict=True)
        for number, (visit, part) in enumerate(visits, start=1):
            window = {
                "patient": _format_patient(visit),
                "start": 0,
                "length": hv.N_SAMPLES,
                "labels": list(visit.labels),
                "part": str(part),
                "age": visit.age,
                "sex": visit.sex,
            }
            signal_mv = hv.render(visit.description, self.seed, visit.key)
            yield Record.from_mv(f"{self.name}-{number:05d}", signal_mv, [window])

    @cached_property
    def _visits(self) -> list[Visit]:
        return [visit for patient in range(self.n_patients) for visit in self.draw_visits(patient)]

    @cached_property
    def _parts(self) -> np.ndarray:
        y = np.array([[name in one.labels for name in self.task.classes] for one in self._visits])
        patients = [_format_patient(visit) for visit in self._visits]
        return split_by_patient(patients, y, self.fractions, seed=self.seed)


class SyntheticSource(SimulatedSource):
    """Records of synthetic patients with the diagnostic superclasses of PTB-XL.

    Parameters
    ----------
    n_patients : int, default 1520
        Number of patients, at least 3; there are about 4 records per 3 patients.
    seed : int, default 0
        Seed of all random numbers, at least 0.

    Raises
    ------
    DatasetError
        If `n_patients` or `seed` is not such a number.

    Examples
    --------
    >>> source = SyntheticSource(n_patients=3, seed=0)
    >>> record = next(source.read_records())
    >>> record.name, record.steps.shape
    ('synthetic-00001', (1000, 12))
    """

    name = "synthetic"
    description = "Synthetic 12-lead ECGs from a model of the heart vector, PTB-XL's superclasses"
    task = Task(
        name="superdiagnostic",
        kind="multi_label",
        classes={name: [name] for name in CLASSES},
        description="the five diagnostic superclasses of PTB-XL",
    )
    fractions = MappingProxyType({"train": 0.7, "validation": 0.15, "test": 0.15})
    version = 2

    def __init__(self, n_patients: NPatients = 1520, seed: Seed = 0):
        super().__init__(n_patients, seed)

    def draw_visits(self, patient: int) -> list[Visit]:
        """Draw the descriptions of the records of one patient, numbered from 0."""
        return _draw_visits(self.seed, patient)

    def remove_class(self, description: hv.Description, class_name: str) -> hv.Description | None:
        """Return the description without the findings of a class; None for NORM, which has none."""
        if class_name not in CLASS_FINDINGS:
            return None
        findings = {
            name: severity
            for name, severity in description.findings.items()
            if name not in CLASS_FINDINGS[class_name]
        }
        return dataclasses.replace(description, findings=findings)


def _format_patient(visit: Visit) -> str:
    return f"patient-{visit.key[0] + 1:05d}"


def _draw_visits(seed: int, patient: int) -> list[Visit]:
    """Draw the descriptions of the records of one patient."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient, 0, 0)))
    classes = choose_by_weight(rng, _COMBINATIONS)
    ill = classes[0] != "NORM"
    male = rng.random() < (0.66 if "MI" in classes else 0.48)
    age = float(np.clip(rng.normal(65 if ill else 53, 13 if ill else 16), 18, 89).round())
    heart = draw_heart(rng, age, male)
    findings = _draw_findings(rng, classes)
    rhythm = _draw_rhythm(rng, classes, findings, age)
    visits = []
    for number in range(choose_by_weight(rng, RECORDS_PER_PATIENT)):
        description = hv.Description(
            heart=dataclasses.replace(
                heart, lead_field=heart.lead_field + 0.03 * rng.standard_normal((8, 3))
            ),
            rhythm=_vary_rhythm(rng, rhythm),
            noise=draw_noise(seed, (patient, number + 1)),
            findings={
                name: float(np.clip(severity * rng.lognormal(0, 0.2), 0, 1))
                for name, severity in findings.items()
            },
            beat_variation=float(rng.uniform(0.02, 0.06)),
        )
        labels = _draw_labels(rng, classes)
        visits.append(Visit((patient, number + 1), labels, age, int(not male), description))
        age += float(rng.integers(0, 3))
    return visits


def choose_by_weight(rng: np.random.Generator, weights: Mapping[T, float]) -> T:
    """Draw one of the keys, by weight."""
    cumulative = np.cumsum(list(weights.values())) / sum(weights.values())
    return list(weights)[int(np.searchsorted(cumulative, rng.random(), side="right"))]


def draw_heart(rng: np.random.Generator, age: float, male: bool) -> hv.Heart:
    """Draw a patient's heart and torso; voltage falls and the axis turns left with age."""
    direction = rng.standard_normal(3)
    return hv.Heart(
        frontal_deg=float(rng.normal(6 - 0.35 * (age - 45), 16)),
        horizontal_deg=float(rng.normal(0, 12)),
        voltage=float((1.08 if male else 0.94) * rng.lognormal(-0.003 * (age - 50), 0.18)),
        t_voltage=float(rng.lognormal(0, 0.28)),
        qrs_stretch=float((1.0 if male else 0.94) * rng.lognormal(0, 0.06)),
        pr_s=float(np.clip(rng.normal(0.158 + 0.0003 * (age - 50), 0.018), 0.11, 0.21)),
        qtc_s=float(rng.normal(0.405 if male else 0.418, 0.016)),
        vectors=0.16 * rng.standard_normal((hv.N_WAVES, 3)),
        timing=1.5 * rng.standard_normal(hv.N_WAVES),
        lead_field=0.07 * rng.standard_normal((8, 3)),
        ectopic=direction / np.linalg.norm(direction) * rng.uniform(0.8, 1.2),
    )


def _draw_severity(rng: np.random.Generator, minimum: float = 0.2) -> float:
    """Draw a severity from borderline to clear."""
    return float(minimum + (1 - minimum) * rng.beta(1.5, 1.5))


def _draw_findings(rng: np.random.Generator, classes: tuple[str, ...]) -> dict[str, float]:
    """Draw findings and their severities; the healthy sometimes have borderline ones."""
    findings: dict[str, float] = {}
    if "MI" in classes:
        findings[choose_by_weight(rng, _INFARCTS)] = _draw_severity(rng)
        findings["old_mi"] = float(rng.beta(1.0, 0.7))
        if rng.random() < 0.5:
            findings["fragmented_qrs"] = _draw_severity(rng)
    if "STTC" in classes:
        kinds = choose_by_weight(rng, _REPOLARISATION)
        findings |= {kind: _draw_severity(rng) for kind in kinds}
    if "CD" in classes:
        findings |= {kind: _draw_severity(rng) for kind in choose_by_weight(rng, _BLOCKS)}
    if "HYP" in classes:
        findings[choose_by_weight(rng, _HYPERTROPHY)] = _draw_severity(rng)
    if rng.random() < 0.35:
        benign = ("st_depression", "t_inversion", "rbbb", "lafb", "av_block", "lvh")
        kind = benign[rng.integers(len(benign))]
        findings[kind] = max(findings.get(kind, 0.0), float(0.4 * rng.beta(1.2, 2.0)))
    if rng.random() < 0.15:
        findings.setdefault("fragmented_qrs", float(0.4 * rng.random()))
    return findings


def _draw_rhythm(
    rng: np.random.Generator, classes: tuple[str, ...], findings: dict[str, float], age: float
) -> hv.Rhythm:
    """Draw a patient's rhythm: faster, less variable, more ectopic beats in some of the ill."""
    ill = set(classes) - {"NORM"}
    fibrillation_probability = {"NORM": 0.0, "MI": 0.05, "STTC": 0.16, "CD": 0.08, "HYP": 0.10}
    # AV block cannot be seen in fibrillation, which has no P.
    fibrillation = rng.random() < max(fibrillation_probability[name] for name in classes)
    fibrillation &= findings.get("av_block", 0.0) == 0
    ectopy = rng.random() < 0.05 + 0.12 * len(ill & {"MI", "STTC"})
    rate = 68 + 7 * ("STTC" in ill) + 3 * ("MI" in ill) + 14 * fibrillation
    variability = np.exp(-0.012 * (age - 50)) * (0.6 if ill & {"MI", "STTC"} else 1.0)
    return hv.Rhythm(
        rate_bpm=float(np.clip(rng.normal(rate, 11), 44, 135)),
        respiration_hz=float(rng.uniform(0.18, 0.36)),
        respiratory=float(variability * rng.lognormal(np.log(0.03), 0.5)),
        slow=float(variability * rng.lognormal(np.log(0.015), 0.5)),
        fibrillation_mv=float(rng.uniform(0.03, 0.10)) if fibrillation else 0.0,
        fibrillation_hz=float(rng.uniform(4.5, 8.0)),
        ventricular=float(ectopy * rng.uniform(0.03, 0.18)),
        atrial=float(ectopy * rng.uniform(0.0, 0.10)),
    )


def _vary_rhythm(rng: np.random.Generator, rhythm: hv.Rhythm) -> hv.Rhythm:
    """Vary a patient's rhythm for another day."""
    rate = float(np.clip(rhythm.rate_bpm * rng.lognormal(0, 0.08), 42, 145))
    return dataclasses.replace(
        rhythm, rate_bpm=rate, respiratory=float(rhythm.respiratory * rng.lognormal(0, 0.2))
    )


def draw_noise(seed: int, key: tuple[int, int]) -> hv.Noise:
    """Draw the noise of one recording, with random numbers that do not depend on the patient."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, 0)))
    return hv.Noise(
        wander_mv=float(rng.lognormal(np.log(0.03), 0.5)),
        muscle_mv=float(rng.lognormal(np.log(0.012), 0.5)),
        mains_mv=float(rng.lognormal(np.log(0.015), 0.8)),
        artefacts=int(rng.poisson(0.15)),
    )


def _draw_labels(rng: np.random.Generator, classes: tuple[str, ...]) -> list[str]:
    """Draw the labels that the reader wrote down: rarely a class too few or one too many."""
    read = set(classes)
    if rng.random() < _WRONG_LABEL:
        if len(read) > 1:
            read.remove(list(classes)[rng.integers(len(classes))])
        elif read == {"NORM"}:
            read = {CLASSES[rng.integers(1, len(CLASSES))]}
        else:
            read = {"NORM"} if rng.random() < 0.5 else read | {CLASSES[rng.integers(1, 5)]}
    return [name for name in CLASSES if name in read]
