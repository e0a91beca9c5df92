"""Synthetic 12-lead ECGs in which rhythm, shape and spectrum hold different evidence.

On this dataset it is known beforehand which fusions help. It has three classes, independent of each
other. Each changes one property and leaves the other two as they are:

- RHYTHM: the RR intervals vary from beat to beat without memory, as in atrial fibrillation. The
  mean rate is unchanged, and each beat keeps its P wave.
- SHAPE: T is inverted. Half of the patients have a heart vector that points the other way, P and
  QRS included. An amplitude spectrum tells whether T has the sign of QRS, not which sign it has, so
  with or without the class it has the same distribution.
- SPECTRUM: a weak tremor of the limb muscles is faster, 25.4 instead of 24.6 Hz; tremors differ
  in their frequency (Deuschl et al. 1998). Its power is the same.

A time series shows SHAPE to a small convolutional network. An amplitude spectrum of the whole
record shows RHYTHM, because the harmonics of a regular rhythm are lines, and SPECTRUM. A
spectrogram shows SPECTRUM, and nothing that the spectrum lacks. A fusion of time series and
spectrum should help, one of spectrum and spectrogram should not.

The evidence of a class is continuous, and that of many patients is borderline, so that no model
separates the classes. Hearts, noise and leads are those of the dataset `synthetic`. The data say
nothing about real patients.

References:
    Deuschl G, Bain P, Brin M. Consensus statement of the Movement Disorder Society on tremor.
    Movement Disorders 13 Suppl 3:2-23, 1998.
    Oppenheim AV, Lim JS. The importance of phase in signals. Proc IEEE 69:529-541, 1981.
    Further references: `ecglib.datasets.sources.synthetic`.
"""

import dataclasses
from types import MappingProxyType

import numpy as np

from ecglib.datasets.options import Seed
from ecglib.datasets.schema import Task
from ecglib.datasets.sources import _heart_vector as hv
from ecglib.datasets.sources.synthetic import (
    RECORDS_PER_PATIENT,
    NPatients,
    SimulatedSource,
    Visit,
    choose_by_weight,
    draw_heart,
    draw_noise,
)

CLASSES = ("RHYTHM", "SHAPE", "SPECTRUM")
PREVALENCE = 0.4  # of each class
BORDERLINE = 0.4  # fraction of borderline patients, for each class

# What evidence of -1 and of 1 means.
IRREGULAR = (0.01, 0.25)  # variation of RR relative to its mean
T_SIZE = (0.75, -0.75)  # opposite sizes, relative to that of the dataset `synthetic`
TREMOR_HZ = (24.6, 25.4)
TREMOR_MV, TREMOR_WIDTH_HZ = 0.06, 0.1


class SyntheticEvidenceSource(SimulatedSource):
    """Records of synthetic patients whose rhythm, shape and spectrum are independent.

    Parameters
    ----------
    n_patients : int, default 1400
        Number of patients, at least 3; there are about 4 records per 3 patients.
    seed : int, default 0
        Seed of all random numbers, at least 0.

    Raises
    ------
    DatasetError
        If `n_patients` or `seed` is not such a number.

    Examples
    --------
    >>> source = SyntheticEvidenceSource(n_patients=3, seed=0)
    >>> list(source.tasks["evidence"].classes)
    ['RHYTHM', 'SHAPE', 'SPECTRUM']
    >>> next(source.read_records()).name
    'synthetic_evidence-00001'
    """

    name = "synthetic_evidence"
    description = "Synthetic 12-lead ECGs in which rhythm, shape and spectrum are independent"
    task = Task(
        name="evidence",
        kind="multi_label",
        classes={name: [name] for name in CLASSES},
        description="three classes, each with its evidence in rhythm, shape or spectrum alone",
    )
    # The test split is large, because differences between models are what it is for.
    fractions = MappingProxyType({"train": 0.6, "validation": 0.15, "test": 0.25})
    version = 1

    def __init__(self, n_patients: NPatients = 1400, seed: Seed = 0):
        super().__init__(n_patients, seed)

    def draw_visits(self, patient: int) -> list[Visit]:
        """Draw the descriptions of the records of one patient, numbered from 0."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(patient, 0, 0)))
        has_class = rng.random(len(CLASSES)) < PREVALENCE
        evidence = np.where(has_class, 1, -1) * _draw_strengths(rng)
        male = rng.random() < 0.5
        age = float(np.clip(rng.normal(58, 15), 18, 89).round())
        heart = draw_heart(rng, age, male)
        direction = float(rng.choice((-1.0, 1.0)))
        heart = dataclasses.replace(heart, voltage=direction * heart.voltage)
        rate_bpm = float(np.clip(rng.normal(72, 9), 50, 105))
        visits = []
        for number in range(1, choose_by_weight(rng, RECORDS_PER_PATIENT) + 1):
            shown = np.clip(evidence + rng.normal(0, 0.1, len(CLASSES)), -1, 1)
            rhythm, shape, spectrum = (float(value) for value in shown)
            t_size = direction * np.interp(shape, (-1, 1), T_SIZE)  # T of the other way once more
            description = hv.Description(
                heart=dataclasses.replace(
                    heart,
                    t_voltage=float(t_size * heart.t_voltage),
                    lead_field=heart.lead_field + 0.03 * rng.standard_normal((8, 3)),
                ),
                rhythm=_draw_rhythm(rng, rate_bpm, rhythm),
                noise=dataclasses.replace(
                    draw_noise(self.seed, (patient, number)),
                    tremor_mv=float(rng.lognormal(np.log(TREMOR_MV), 0.3)),
                    tremor_hz=float(np.interp(spectrum, (-1, 1), TREMOR_HZ)),
                    tremor_width_hz=TREMOR_WIDTH_HZ,
                ),
                beat_variation=float(rng.uniform(0.02, 0.06)),
            )
            labels = [name for name, has in zip(CLASSES, has_class, strict=True) if has]
            visits.append(Visit((patient, number), labels, age, int(not male), description))
            age += float(rng.integers(0, 3))
        return visits

    def remove_class(self, description: hv.Description, class_name: str) -> hv.Description | None:
        """Return the description with the opposite evidence of a class.

        T points the other way, or the tremor is as much slower as it was faster. None for RHYTHM,
        whose evidence is the time between beats.
        """
        heart, noise = description.heart, description.noise
        if class_name == "SHAPE":
            return dataclasses.replace(
                description, heart=dataclasses.replace(heart, t_voltage=-heart.t_voltage)
            )
        if class_name == "SPECTRUM":
            opposite_hz = sum(TREMOR_HZ) - noise.tremor_hz
            return dataclasses.replace(
                description, noise=dataclasses.replace(noise, tremor_hz=opposite_hz)
            )
        return None


def _draw_strengths(rng: np.random.Generator) -> np.ndarray:
    """Draw how strong the evidence of each class is, from 0 to 1; below 0.2 it is borderline."""
    is_borderline = rng.random(len(CLASSES)) < BORDERLINE
    clear = rng.uniform(0.2, 1.0, len(CLASSES))
    return np.where(is_borderline, rng.uniform(0.0, 0.2, len(CLASSES)), clear)


def _draw_rhythm(rng: np.random.Generator, rate_bpm: float, evidence: float) -> hv.Rhythm:
    """Draw the rhythm of one record; the mean rate does not depend on the evidence."""
    return hv.Rhythm(
        rate_bpm=float(rate_bpm * rng.lognormal(0, 0.08)),
        respiration_hz=float(rng.uniform(0.18, 0.36)),
        respiratory=float(rng.lognormal(np.log(0.02), 0.4)),
        slow=float(rng.lognormal(np.log(0.01), 0.4)),
        irregular=float(np.exp(np.interp(evidence, (-1, 1), np.log(IRREGULAR)))),
    )
