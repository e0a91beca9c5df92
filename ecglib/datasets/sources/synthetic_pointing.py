"""Synthetic 12-lead ECGs in which the evidence of each class is at one known place.

The dataset tests explanations: an attribution should be high where the evidence is
(`ecglib.explain.measure_pointing`). It has four classes, independent of each other. The evidence of
each is in one chest lead, which no other electrode sees, and in one wave or one frequency band:

- P: a higher P wave in V1.
- QRS: a notch in the QRS complex of V3.
- T: a higher T wave in V5.
- BAND: a tremor of 20 Hz in V6.

Hearts, rhythm, noise and other leads do not depend on the classes. Hearts and noise are those of
the dataset `synthetic`. The data say nothing about real patients.
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

PREVALENCE = 0.4  # of each class
SIZE = (0.7, 1.3)  # evidence of a patient, relative to the following

LOCAL_WAVES = {
    "P": hv.LocalWave(lead="V1", wave="P", amplitude_mv=0.3, width_ms=20.0),
    "QRS": hv.LocalWave(lead="V3", wave="QRS", amplitude_mv=-1.0, width_ms=10.0),
    "T": hv.LocalWave(lead="V5", wave="T", amplitude_mv=0.7, width_ms=40.0),
}
BAND, TREMOR_LEAD = "BAND", "V6"
TREMOR_MV, TREMOR_HZ, TREMOR_WIDTH_HZ = 0.08, 20.0, 0.5
CLASSES = (*LOCAL_WAVES, BAND)


class SyntheticPointingSource(SimulatedSource):
    """Records of synthetic patients in which each class is in one lead and one wave or band.

    Parameters
    ----------
    n_patients : int, default 900
        Number of patients, at least 3; there are about 4 records per 3 patients.
    seed : int, default 0
        Seed of all random numbers, at least 0.

    Raises
    ------
    DatasetError
        If `n_patients` or `seed` is not such a number.

    Examples
    --------
    >>> source = SyntheticPointingSource(n_patients=3, seed=0)
    >>> list(source.tasks["pointing"].classes)
    ['P', 'QRS', 'T', 'BAND']
    >>> evidence_mv = source.simulate_evidence("synthetic_pointing-00001", "T")
    >>> evidence_mv.shape
    (1000, 12)
    """

    name = "synthetic_pointing"
    description = "Synthetic 12-lead ECGs with the evidence of each class in one lead and wave"
    task = Task(
        name="pointing",
        kind="multi_label",
        classes={name: [name] for name in CLASSES},
        description="four classes, each with its evidence at one known place",
    )
    # The test split is large, because explanations of it are what it is for.
    fractions = MappingProxyType({"train": 0.6, "validation": 0.15, "test": 0.25})
    version = 1

    def __init__(self, n_patients: NPatients = 900, seed: Seed = 0):
        super().__init__(n_patients, seed)

    def draw_visits(self, patient: int) -> list[Visit]:
        """Draw the descriptions of the records of one patient, numbered from 0."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(patient, 0, 0)))
        has_class = rng.random(len(CLASSES)) < PREVALENCE
        sizes = rng.uniform(*SIZE, len(CLASSES))
        male = rng.random() < 0.5
        age = float(np.clip(rng.normal(58, 15), 18, 89).round())
        heart = draw_heart(rng, age, male)
        rate_bpm = float(np.clip(rng.normal(72, 9), 50, 105))
        labels = [name for name, has in zip(CLASSES, has_class, strict=True) if has]
        size = dict(zip(CLASSES, sizes, strict=True))
        visits = []
        for number in range(1, choose_by_weight(rng, RECORDS_PER_PATIENT) + 1):
            noise = draw_noise(self.seed, (patient, number))
            if BAND in labels:
                noise = dataclasses.replace(
                    noise,
                    tremor_mv=float(TREMOR_MV * size[BAND]),
                    tremor_hz=TREMOR_HZ,
                    tremor_width_hz=TREMOR_WIDTH_HZ,
                    tremor_electrodes=(hv.LEADS.index(TREMOR_LEAD) - 3,),
                )
            local_waves = tuple(
                dataclasses.replace(wave, amplitude_mv=float(wave.amplitude_mv * size[name]))
                for name, wave in LOCAL_WAVES.items()
                if name in labels
            )
            description = hv.Description(
                heart=dataclasses.replace(
                    heart, lead_field=heart.lead_field + 0.03 * rng.standard_normal((8, 3))
                ),
                rhythm=hv.Rhythm(
                    rate_bpm=float(rate_bpm * rng.lognormal(0, 0.08)),
                    respiration_hz=float(rng.uniform(0.18, 0.36)),
                ),
                noise=noise,
                beat_variation=float(rng.uniform(0.02, 0.06)),
                local_waves=local_waves,
            )
            visits.append(Visit((patient, number), labels, age, int(not male), description))
            age += float(rng.integers(0, 3))
        return visits

    def remove_class(self, description: hv.Description, class_name: str) -> hv.Description | None:
        """Return the description without the wave or the tremor of a class."""
        if class_name == BAND:
            return dataclasses.replace(
                description, noise=dataclasses.replace(description.noise, tremor_mv=0.0)
            )
        removed = LOCAL_WAVES[class_name]
        remaining = tuple(
            one
            for one in description.local_waves
            if (one.lead, one.wave) != (removed.lead, removed.wave)
        )
        return dataclasses.replace(description, local_waves=remaining)
