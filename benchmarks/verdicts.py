"""Verdicts: patient resamples, influence values, and which patients decide a score."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from ecglib.evaluation import Contestant, Predictions, resample_scores
from ecglib.evaluation.dependence import compute_dependence
from ecglib.evaluation.influence import Windows, measure
from ecglib.evaluation.resampling import draw_patient_counts

N_RECORDS, N_CLASSES = 2158, 71  # the test fold of PTB-XL with all statements
N_DRAWS = 1000
N_DRAWS_OF_PEER = 2  # of scikit-learn, which takes minutes for all
N_MODELS, N_SEEDS = 20, 5
N_DRAWS_OF_INFLUENCE = 5000
N_DRAWS_TIMED = 20
N_LONG_WINDOWS, N_LONG_PATIENTS = 50_000, 22
MAX_DIFFERENCE = 1e-12


def measure_resampling() -> Figure:
    """Paired patient resamples of macro AUROC, against a loop over scikit-learn."""
    rng = np.random.default_rng(0)
    y = rng.random((N_RECORDS, N_CLASSES)) < 0.05
    patients = rng.integers(N_RECORDS * 9 // 10, size=N_RECORDS)
    contestants = [np.round(rng.random(y.shape) * 0.7 + 0.3 * y, 3) for _ in range(2)]
    index = np.unique(patients, return_inverse=True)[1]
    found: dict[str, np.ndarray] = {}

    def resample() -> None:
        found["ours"] = np.array(
            [resample_scores(y, p, p > 0.5, patients, N_DRAWS)["auroc"] for p in contestants]
        )

    def loop_over_scikit_learn() -> None:
        weights = draw_patient_counts(patients, N_DRAWS, seed=0)[:N_DRAWS_OF_PEER, index]
        found["peer"] = np.array(
            [[_score_classes(y, p, one) for one in weights] for p in contestants]
        )

    sides = {
        "resampled": Side(resample, N_DRAWS),
        "scikit-learn": Side(loop_over_scikit_learn, N_DRAWS_OF_PEER),
    }
    speeds = alternate(sides, 3, "verdicts.resampling")
    difference = np.nanmax(np.abs(found["ours"][:, :N_DRAWS_OF_PEER] - found["peer"]))
    assert difference <= MAX_DIFFERENCE, f"the two differ by {difference:.1e}"
    return Figure(
        name="verdicts.resampling",
        what=f"{N_DRAWS:,} paired patient resamples of {N_RECORDS:,} records x {N_CLASSES} classes",
        against="a loop over sklearn.metrics.roc_auc_score, equal to 1e-12",
        floor=200,
        ratios=compute_ratios(speeds["resampled"], speeds["scikit-learn"]),
        detail=compute_medians(speeds, "resamples/s"),
    )


def _score_classes(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> list[float]:
    kept = weights > 0
    scores = []
    for k in range(y.shape[1]):
        labels = y[kept, k]
        if labels.all() or not labels.any():
            scores.append(float("nan"))
        else:
            scores.append(roc_auc_score(labels, p[kept, k], sample_weight=weights[kept]))
    return scores


def measure_influence() -> Figure:
    """Influence values of many models, against the resamples that would replace them."""
    rng = np.random.default_rng(0)
    y = rng.random((N_RECORDS, 5)) < 0.25
    patients = np.arange(N_RECORDS)
    p = rng.random((N_MODELS * N_SEEDS, *y.shape)) * 0.7 + 0.3 * y
    windows = Windows(y=y, patient=patients)

    def resample() -> None:
        resample_scores(y, p[0], p[0] > 0.5, patients, N_DRAWS_TIMED)

    sides = {
        "influence": Side(lambda: measure(windows, p, p > 0.5, "auroc"), len(p)),
        # One model's draws are a fraction of the work on it.
        "resampled": Side(resample, N_DRAWS_TIMED / N_DRAWS_OF_INFLUENCE),
    }
    speeds = alternate(sides, 5, "verdicts.influence")
    return Figure(
        name="verdicts.influence",
        what=f"influence values of {N_MODELS} models x {N_SEEDS} seeds, {N_RECORDS:,} patients",
        against=f"{N_DRAWS_OF_INFLUENCE:,} patient resamples of each",
        floor=50,
        ratios=compute_ratios(speeds["influence"], speeds["resampled"]),
        detail=compute_medians(speeds, "models/s"),
    )


def measure_dependence() -> Figure:
    """Which patients decide a score over many windows, against one second."""
    rng = np.random.default_rng(0)
    y = np.eye(4, dtype=int)[rng.choice(4, size=N_LONG_WINDOWS, p=[0.89, 0.04, 0.06, 0.01])]
    p = rng.random(y.shape) + y
    patients = np.sort(rng.integers(N_LONG_PATIENTS, size=N_LONG_WINDOWS)).astype(str)
    predictions = Predictions(
        kind="multi_class",
        classes=("N", "S", "V", "F"),
        rows=np.arange(N_LONG_WINDOWS),
        records=patients,
        patients=patients,
        y=y,
        p=p / p.sum(axis=1, keepdims=True),
    )
    contestant = Contestant(
        name="time:cnn",
        role="single",
        branches=("time:cnn",),
        seed=0,
        predictions=predictions,
        thresholds=np.ones(4),
        validation=predictions,
        parameters=1000,
    )
    speeds = alternate(
        {"patients": Side(lambda: compute_dependence([contestant], "auroc"), 1)},
        5,
        "verdicts.dependence",
    )
    return Figure(
        name="verdicts.dependence",
        what=f"who decides the score of {N_LONG_WINDOWS:,} windows of {N_LONG_PATIENTS} patients",
        against="the limit: one second",
        floor=1,
        ratios=speeds["patients"],
        detail=compute_medians(speeds, "scores/s"),
    )


FIGURES: Mapping[str, Callable[[], Figure]] = MappingProxyType(
    {
        "resampling": measure_resampling,
        "influence": measure_influence,
        "dependence": measure_dependence,
    }
)
