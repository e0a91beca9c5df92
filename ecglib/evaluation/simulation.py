"""Simulated studies whose truth is known: what the error rates of a verdict are measured on.

A study has three single branches, fusions, and for each branch an ensemble and a branch of the size
of the fusions. Windows, patients, models and seeds each add their part to a probability, as the
components of variance of a mixed model do; a true gain in AUROC is set by the distance between
positive and negative windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ecglib.errors import require_one_of
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.thresholds import DEFAULT_THRESHOLD, fit_thresholds

BRANCHES = ("time:cnn", "frequency:cnn", "spectrogram:cnn2d")
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
PREVALENCES = (0.45, 0.25, 0.25, 0.2, 0.12)
# Distance between positive and negative windows, in standard deviations: an AUROC of 0.90.
DISTANCE = 1.8
# Parts of the variance of a logit, which sum to one: of patients and windows in common, of what
# each model sees in them, and of what each seed of a model sees in them. With them, seeds of a
# model correlate by 0.92 and the means of two seeds of two models by 0.90, as on 253 records of
# PTB-XL (time:cnn, its controls, late_average and intermediate_concat; within classes).
COMMON_PATIENT, COMMON_WINDOW = 0.364, 0.5
MODEL_PATIENT, MODEL_WINDOW = 0.02, 0.036
SEED_PATIENT, SEED_WINDOW = 0.03, 0.05
LABEL_AGREEMENT = 0.7  # fraction of windows with the labels of their patient
WINDOW_NUMBERS = ("one", "few", "unequal")


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What a simulated study is like.

    Parameters
    ----------
    n_patients : int, default 250
        Number of test patients.
    n_validation_patients : int, default 250
        Number of validation patients.
    windows : {"one", "few", "unequal"}, default "one"
        Number of windows of a patient: one, one to six, or log-normal with a median of 20, as in
        long recordings.
    n_seeds : int, default 5
        Seeds of each model.
    seed_std : float, default 0.004
        Standard deviation of the AUROC between seeds.
    n_fusions : int, default 6
        Number of fusions.
    gain : float, default 0.0
        True gain of each fusion in AUROC over the best branch, its ensemble and its same-size
        control.
    branch_deficits : tuple of float, default (0.0, 0.0, 0.0)
        How far each branch, with its controls, is below the best in AUROC.
    control_gain : float, default 0.0
        What controls and fusions gain over their branch.
    unstable_std : float, default 0.0
        Standard deviation between seeds of the first fusion; 0 for that of all.
    has_controls : bool, default True
        Whether ensembles and same-size controls are simulated.
    has_thresholds : bool, default False
        Whether thresholds are fitted on the validation split, which F1 needs.
    n_folds : int, default 0
        Number of folds of a cross-validation, whose models differ in offset and scale.

    Raises
    ------
    EcgError
        If `windows` is unknown.

    Examples
    --------
    >>> StudySettings(n_patients=22, windows="unequal").n_seeds
    5
    """

    n_patients: int = 250
    n_validation_patients: int = 250
    windows: str = "one"
    n_seeds: int = 5
    seed_std: float = 0.004
    n_fusions: int = 6
    gain: float = 0.0
    branch_deficits: tuple[float, float, float] = (0.0, 0.0, 0.0)
    control_gain: float = 0.0
    unstable_std: float = 0.0
    has_controls: bool = True
    has_thresholds: bool = False
    n_folds: int = 0

    def __post_init__(self) -> None:
        require_one_of("windows", self.windows, WINDOW_NUMBERS)


def simulate_study(settings: StudySettings, seed: int) -> list[Contestant]:
    """Simulate the predictions of all models of a study.

    Parameters
    ----------
    settings : StudySettings
        What the study is like.
    seed : int
        Seed of the simulation.

    Returns
    -------
    list of Contestant
        Every seed of every model.

    Examples
    --------
    >>> study = simulate_study(StudySettings(n_patients=20, n_seeds=2), seed=0)
    >>> len(study), study[0].predictions.n_patients
    (30, 20)
    """
    rng = np.random.default_rng(seed)
    models = _list_models(settings)
    shifts = rng.normal(size=(len(models), settings.n_seeds))
    shifts *= np.array([model.seed_std for model in models])[:, None]
    shifts += np.array([model.gain for model in models])[:, None]
    distances = DISTANCE + shifts / _AUROC_PER_DISTANCE
    test = _simulate_split(settings, settings.n_patients, distances, rng)
    validation = _simulate_split(settings, settings.n_validation_patients, distances, rng)
    contestants = []
    for i, model in enumerate(models):
        for j in range(settings.n_seeds):
            contestants.append(
                Contestant(
                    name=model.name,
                    role=model.role,
                    branches=model.branches,
                    seed=j,
                    predictions=test[i][j],
                    thresholds=_fit(validation[i][j], settings),
                    validation=validation[i][j],
                    parameters=model.parameters,
                    ensemble_size=3 if model.role == "ensemble" else 1,
                )
            )
    return contestants


# Slope of the AUROC of two normal distributions by the distance of their means.
_AUROC_PER_DISTANCE = float(np.exp(-(DISTANCE**2) / 4) / np.sqrt(2 * np.pi) / np.sqrt(2))


@dataclass(frozen=True, kw_only=True)
class _Model:
    name: str
    role: str
    branches: tuple[str, ...]
    parameters: int
    gain: float
    seed_std: float


def _list_models(settings: StudySettings) -> list[_Model]:
    models = []
    for branch, deficit in zip(BRANCHES, settings.branch_deficits, strict=True):
        roles = {branch: "single"}
        if settings.has_controls:
            roles |= {f"3x {branch}": "ensemble", f"{branch} widened": "widened"}
        models += [
            _Model(
                name=name,
                role=role,
                branches=(branch,),
                parameters={"single": 1000, "ensemble": 3000, "widened": 4000}[role],
                gain=(0.0 if role == "single" else settings.control_gain) - deficit,
                seed_std=settings.seed_std,
            )
            for name, role in roles.items()
        ]
    models += [
        _Model(
            name=f"fusion {i + 1}",
            role="fusion",
            branches=BRANCHES,
            parameters=4000,
            gain=settings.control_gain + settings.gain,
            seed_std=settings.unstable_std
            if i == 0 and settings.unstable_std
            else settings.seed_std,
        )
        for i in range(settings.n_fusions)
    ]
    return models


def _simulate_split(
    settings: StudySettings, n_patients: int, distances: np.ndarray, rng: np.random.Generator
) -> list[list[Predictions]]:
    """Simulate the predictions of each model and seed on one split."""
    n_windows = _draw_window_numbers(settings.windows, n_patients, rng)
    patient = np.repeat(np.arange(n_patients), n_windows)
    y = _draw_labels(patient, n_patients, rng)
    z = _draw_logits(y, patient, distances, rng)
    folds = None
    if settings.n_folds:
        folds = patient % settings.n_folds + 1
        z *= rng.uniform(0.5, 2.0, size=settings.n_folds)[folds - 1][:, None]
        z += rng.normal(0, 1, size=settings.n_folds)[folds - 1][:, None]
    p = expit(z, out=z)
    rows, names = np.arange(len(patient)), patient.astype(str)
    return [
        [
            Predictions(
                kind="multi_label",
                classes=CLASSES,
                rows=rows,
                records=names,
                patients=names,
                y=y,
                p=p[i, j],
                folds=folds,
            )
            for j in range(distances.shape[1])
        ]
        for i in range(distances.shape[0])
    ]


def _draw_window_numbers(kind: str, n_patients: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "one":
        return np.ones(n_patients, dtype=int)
    if kind == "few":
        return rng.choice([1, 2, 3, 6], p=[0.7, 0.15, 0.1, 0.05], size=n_patients)
    return np.maximum(1, np.round(20 * np.exp(rng.normal(size=n_patients)))).astype(int)


def _draw_labels(patient: np.ndarray, n_patients: int, rng: np.random.Generator) -> np.ndarray:
    of_patient = rng.random((n_patients, len(CLASSES))) < PREVALENCES
    if len(patient) == n_patients:
        return of_patient
    other = rng.random((len(patient), len(CLASSES))) < PREVALENCES
    agrees = rng.random(other.shape) < LABEL_AGREEMENT
    return np.where(agrees, of_patient[patient], other)


def _draw_logits(
    y: np.ndarray, patient: np.ndarray, distances: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw logits: (n_models, n_seeds, n_windows, n_classes)."""
    n_models, n_seeds = distances.shape
    n_patients, n_classes = int(patient.max()) + 1, y.shape[1]

    def draw_normal(variance: float, shape: tuple[int, ...]) -> np.ndarray:
        z = rng.standard_normal(shape, dtype=np.float32)
        z *= np.sqrt(variance)
        return z

    def draw(n: tuple[int, ...], of_patient: float, of_window: float) -> np.ndarray:
        if n_patients == len(patient):
            return draw_normal(of_patient + of_window, (*n, n_patients, n_classes))
        common = draw_normal(of_patient, (*n, n_patients, n_classes))
        return common[..., patient, :] + draw_normal(of_window, (*n, len(patient), n_classes))

    z = draw((n_models, n_seeds), SEED_PATIENT, SEED_WINDOW)
    z += draw((n_models, 1), MODEL_PATIENT, MODEL_WINDOW)
    z += draw((), COMMON_PATIENT, COMMON_WINDOW)
    z += distances[:, :, None, None].astype(np.float32) * (y - np.float32(0.5))
    return z


def _fit(validation: Predictions, settings: StudySettings) -> np.ndarray:
    """Return the thresholds of each fold, or those of the split."""
    if not settings.has_thresholds:
        shape = (settings.n_folds, len(CLASSES)) if settings.n_folds else (len(CLASSES),)
        return np.full(shape, DEFAULT_THRESHOLD)
    if validation.folds is None:
        return fit_thresholds(validation.y, validation.p, "multi_label")
    return np.array(
        [
            fit_thresholds(validation.y[rows], validation.p[rows], "multi_label")
            for rows in (validation.folds == fold for fold in range(1, settings.n_folds + 1))
        ]
    )
