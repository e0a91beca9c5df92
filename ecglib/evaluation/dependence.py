"""Who decides a score: how many patients it rests on, and which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.effective_patients import compute_effective_patients
from ecglib.evaluation.influence import Windows, measure
from ecglib.evaluation.scoreboard import build_windows

# The score is computed without each of so many patients, the most influential ones.
N_LEFT_OUT = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class PatientDependence:
    """Which patients decide the score of a model.

    Parameters
    ----------
    model : str
        Name of the model.
    metric : str
        The score, mean over the classes.
    estimate : float
        The score, averaged over seeds.
    effective_patients : float
        Number of equally important patients that would give as variable a score.
    design_effect : float
        Variance of the score over its variance if all windows were of different patients.
    min_without_one, max_without_one : float
        Range of the score when one of the most influential patients is left out.
    classes : DataFrame
        One row for each class: ``class``, ``positive`` windows, ``patients`` that have them,
        ``effective_patients``, ``max_fraction`` of them that one patient has, and that
        ``patient`` ("" without positive windows).
    table : DataFrame
        One row for each patient, the most influential first: ``patient``, ``windows``, one column
        for each class with its positive windows, ``variance_fraction`` (of the variance of the
        score), and ``score_without`` (nan for the less influential ones).

    Examples
    --------
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> model = simulate_study(StudySettings(n_patients=30, n_seeds=1), seed=0)[:1]
    >>> found = compute_dependence(model, "auroc")
    >>> bool(found.min_without_one < found.estimate < found.max_without_one)
    True
    """

    model: str
    metric: str
    estimate: float
    effective_patients: float
    design_effect: float
    min_without_one: float
    max_without_one: float
    classes: pd.DataFrame
    table: pd.DataFrame


def compute_dependence(seeds: Sequence[Contestant], metric: str) -> PatientDependence:
    """Find out which patients decide the score of a model on the test split.

    Parameters
    ----------
    seeds : sequence of Contestant
        The seeds of the model.
    metric : str
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`.

    Returns
    -------
    PatientDependence
        With a table of the patients.

    Notes
    -----
    The design effect is that of Kish (Survey Sampling, 1965), here the ratio of the sums of squared
    influences, of patients over windows.

    Examples
    --------
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> model = simulate_study(StudySettings(n_patients=30, n_seeds=1), seed=0)[:1]
    >>> compute_dependence(model, "auroc").table.columns.tolist()[:3]
    ['patient', 'windows', 'NORM']
    """
    predictions = seeds[0].predictions
    windows = build_windows(predictions)
    p = np.stack([one.predictions.p for one in seeds])
    decisions = np.stack([one.decide() for one in seeds])
    measurement = measure(windows, p, decisions, metric)
    influence = measurement.macro_influence.mean(axis=0)
    by_window = Windows(y=windows.y, patient=np.arange(len(windows.y)), fold=windows.fold)
    window_influence = measure(by_window, p, decisions, metric).macro_influence.mean(axis=0)

    order = np.argsort(-np.abs(influence), kind="stable")
    without = np.full(windows.n_patients, np.nan)
    for patient in order[:N_LEFT_OUT]:
        rest = windows.patient != patient
        left = Windows(
            y=windows.y[rest],
            patient=np.zeros(int(rest.sum()), dtype=int),
            fold=None if windows.fold is None else windows.fold[rest],
        )
        without[patient] = measure(left, p[:, rest], decisions[:, rest], metric).macro_scores.mean()

    names = np.unique(predictions.patients)
    effective = compute_effective_patients(windows)
    positives = windows.sum_by_patient(windows.y.T.astype(float)).astype(int)
    table = {"patient": names, "windows": np.bincount(windows.patient)}
    table |= dict(zip(predictions.classes, positives, strict=True))
    table["variance_fraction"] = influence**2 / max((influence**2).sum(), 1e-300)
    table["score_without"] = without
    classes = {
        "class": list(predictions.classes),
        "positive": positives.sum(axis=1),
        "patients": (positives > 0).sum(axis=1),
        "effective_patients": effective.by_class,
        "max_fraction": effective.max_positive_fraction,
        "patient": np.where(positives.any(axis=1), names[effective.max_positive_patient], ""),
    }
    return PatientDependence(
        model=seeds[0].name,
        metric=metric,
        estimate=float(measurement.macro_scores.mean()),
        effective_patients=effective.total,
        design_effect=float((influence**2).sum() / max((window_influence**2).sum(), 1e-300)),
        min_without_one=float(np.nanmin(without)),
        max_without_one=float(np.nanmax(without)),
        classes=pd.DataFrame(classes),
        table=pd.DataFrame(table).iloc[order].reset_index(drop=True),
    )
