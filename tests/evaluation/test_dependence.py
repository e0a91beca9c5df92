import numpy as np
import pytest
from contestant_helpers import make_contestant, make_seeds, replace_predictions
from sklearn.metrics import f1_score, roc_auc_score

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.dependence import N_LEFT_OUT, compute_dependence
from ecglib.evaluation.effective_patients import compute_effective_patients
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.scoreboard import build_windows


def make_clustered(n_patients=25, **other):
    """300 windows, of few patients with unequal numbers of windows."""
    rng = np.random.default_rng(2)
    patients = np.sort(rng.geometric(0.1, 300) % n_patients).astype(str)
    return [
        replace_predictions(one, patients=patients)
        for one in make_seeds(make_contestant, n_seeds=2, noise=0.5, **other)
    ]


def score(one, rows, metric):
    y, p = one.predictions.y[rows], one.predictions.p[rows]
    if metric == "auroc":
        return roc_auc_score(y, p, average="macro")
    return f1_score(y, p >= 0.5, average="macro")


@pytest.mark.parametrize("metric", ["auroc", "f1"])
def test_scores_without_a_patient_are_scikit_learns_on_the_others(metric):
    seeds = make_clustered()
    found = compute_dependence(seeds, metric)
    patients = seeds[0].predictions.patients
    assert found.table["score_without"].notna().sum() == N_LEFT_OUT
    assert found.table["score_without"][:N_LEFT_OUT].notna().all()
    for patient, without in zip(
        found.table["patient"][:10], found.table["score_without"], strict=False
    ):
        expected = np.mean([score(one, patients != patient, metric) for one in seeds])
        assert without == pytest.approx(expected)
    assert found.estimate == pytest.approx(
        np.mean([score(one, slice(None), metric) for one in seeds])
    )
    assert found.min_without_one == found.table["score_without"].min()
    assert found.max_without_one == found.table["score_without"].max()
    assert found.min_without_one < found.estimate < found.max_without_one


def test_windows_of_different_patients_have_a_design_effect_of_one():
    found = compute_dependence([make_contestant()], "auroc")
    assert found.design_effect == pytest.approx(1)


def test_repeated_windows_have_their_number_as_design_effect():
    """Four copies of each window are one observation that is counted four times."""
    one = make_contestant(n_patients=80)
    rows = np.repeat(np.arange(80), 4)
    fields = ("rows", "records", "patients", "y", "p")
    copies = {name: getattr(one.predictions, name)[rows] for name in fields}
    found = compute_dependence([replace_predictions(one, **copies)], "auroc")
    assert found.design_effect == pytest.approx(4)
    assert found.effective_patients == pytest.approx(
        compute_dependence([one], "auroc").effective_patients
    )


def test_the_table_counts_windows_of_each_patient_and_class():
    seeds = make_clustered()
    found, predictions = compute_dependence(seeds, "auroc"), seeds[0].predictions
    table = found.table.set_index("patient")
    assert table["windows"].sum() == 300
    assert table["variance_fraction"].sum() == pytest.approx(1)
    assert table["variance_fraction"].is_monotonic_decreasing
    for patient in np.unique(predictions.patients):
        y = predictions.y[predictions.patients == patient]
        assert table.loc[patient, ["windows", "NORM", "MI"]].tolist() == [len(y), *y.sum(axis=0)]
    classes = found.classes.set_index("class")
    assert classes["positive"].tolist() == predictions.y.sum(axis=0).tolist()
    assert classes.loc["MI", "patients"] == (table["MI"] > 0).sum()
    assert classes.loc["MI", "max_fraction"] == pytest.approx(table["MI"].max() / table["MI"].sum())
    assert classes.loc["MI", "patient"] == table["MI"].idxmax()
    effective = compute_effective_patients(build_windows(predictions))
    assert found.effective_patients == effective.total
    assert classes["effective_patients"].tolist() == effective.by_class.tolist()


def test_a_class_that_nobody_has_names_no_patient():
    one = make_contestant(n_patients=40)
    y = one.predictions.y.copy()
    y[:, 1] = 0
    classes = compute_dependence([replace_predictions(one, y=y)], "auroc").classes
    assert classes["patient"][1] == ""
    assert classes["patients"][1] == 0
    assert np.isnan(classes["max_fraction"][1])


def test_in_a_cross_validation_the_rest_is_scored_within_folds():
    (one,) = make_clustered(n_patients=25)[:1]
    folds = np.unique(one.predictions.patients, return_inverse=True)[1] % 2 + 1
    shifted = np.where(folds[:, None] == 1, one.predictions.p / 2, one.predictions.p)
    one = replace_predictions(one, p=shifted, folds=folds)
    found = compute_dependence([one], "auroc")

    def score_within_folds(rows):
        total = np.zeros(2)
        pairs = np.zeros(2)
        for fold in (1, 2):
            for k in range(2):
                y = one.predictions.y[rows & (folds == fold), k]
                p = one.predictions.p[rows & (folds == fold), k]
                n = y.sum() * (1 - y).sum()
                total[k] += n * roc_auc_score(y, p)
                pairs[k] += n
        return (total / pairs).mean()

    patients = one.predictions.patients
    assert found.estimate == pytest.approx(score_within_folds(np.full(300, True)))
    for patient, without in found.table[["patient", "score_without"]][:5].itertuples(index=False):
        assert without == pytest.approx(score_within_folds(patients != patient))


def test_on_mit_bih_one_record_decides_the_supraventricular_and_one_the_fusion_class(mitdb_store):
    """Of DS2: record 232 has 75.2 % of the S beats, record 213 has 93.3 % of the F beats."""
    windows = mitdb_store.select("aami").in_split("test")
    p = np.random.default_rng(0).dirichlet(np.ones(len(windows.classes)), size=len(windows.y))
    predictions = Predictions.from_selection(windows, p)
    contestant = Contestant(
        name="time:cnn",
        role="single",
        branches=("time:cnn",),
        seed=0,
        predictions=predictions,
        thresholds=np.ones(len(windows.classes)),
        validation=predictions,
        parameters=1000,
    )
    found = compute_dependence([contestant], "auroc").classes.set_index("class")
    assert found.loc["S", "max_fraction"] == pytest.approx(0.752, abs=5e-4)
    assert "232" in found.loc["S", "patient"]
    assert found.loc["F", "max_fraction"] == pytest.approx(0.933, abs=5e-4)
    assert "213" in found.loc["F", "patient"]
    assert found.loc["F", "effective_patients"] < 2 < found.loc["V", "effective_patients"]
