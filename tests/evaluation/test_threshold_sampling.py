import dataclasses

import numpy as np
import pytest
from contestant_helpers import make_contestant, make_seeds
from sklearn.metrics import f1_score

from ecglib.evaluation.metrics import compute_scores
from ecglib.evaluation.threshold_sampling import (
    N_DRAWS,
    N_HALVINGS,
    VARIANCE_PER_HALF,
    compute_threshold_variance,
    draw_half_samples,
    draw_halves,
    draw_scores_over_thresholds,
)
from ecglib.evaluation.thresholds import fit_thresholds


def give_patients(predictions, patients, decimals=8):
    """The same windows, of other patients and with rounded probabilities."""
    return dataclasses.replace(
        predictions, patients=np.asarray(patients).astype(str), p=predictions.p.round(decimals)
    )


def make_clustered(decimals, **other):
    """Validation patients with several windows each; few have the first class."""
    rng = np.random.default_rng(5)
    one = make_contestant(n_patients=60, **other)
    validation = give_patients(one.validation, rng.integers(12, size=60), decimals)
    return dataclasses.replace(one, validation=validation)


def draw_scores(seeds, metric):
    """Scores of one model over drawn thresholds."""
    return draw_scores_over_thresholds({"time:cnn": seeds}, metric)["time:cnn"]


def refit(validation, rows, draw):
    """Thresholds of the windows whose patients were drawn."""
    drawn = rows[draw]
    return fit_thresholds(validation.y[drawn], validation.p[drawn], "multi_label")


@pytest.mark.parametrize("decimals", [1, 8], ids=["ties", "no ties"])
def test_drawn_thresholds_are_those_refitted_on_the_drawn_windows(decimals):
    one = make_clustered(decimals)
    patients = one.validation.patients
    draws = draw_half_samples(patients, N_DRAWS, 0)
    found = draw_scores([one], "f1")
    assert found.shape == (N_HALVINGS, 2, N_DRAWS, 2)
    is_second = draw_halves(one.predictions.patients)[1]
    for r in range(N_DRAWS):
        thresholds = refit(one.validation, np.arange(60), draws[r])
        for half in (0, 1):
            rows = is_second == half
            for k in range(2):
                decided = one.predictions.p[rows, k] >= thresholds[k]
                expected = f1_score(one.predictions.y[rows, k], decided)
                assert found[1, half, r, k] == pytest.approx(expected)
    assert np.unique(found[0, 0, :, 0]).size > 3


def test_halves_divide_the_patients_and_differ_between_halvings():
    patients = np.array([f"p{i // 3}" for i in range(60)])
    halves = draw_halves(patients)
    for half in halves:
        in_second = {patient: set(half[patients == patient]) for patient in patients}
        assert all(len(values) == 1 for values in in_second.values())
        assert sum(values == {1} for values in in_second.values()) == 10
    assert len({half.tobytes() for half in halves}) == N_HALVINGS


def test_patients_are_divided_into_halves_with_all_their_windows():
    patients = np.array([f"p{i // 3}" for i in range(30)])
    drawn = draw_half_samples(patients, 50, seed=1)
    assert (drawn.reshape(50, 10, 3) == drawn.reshape(50, 10, 3)[:, :, :1]).all()
    assert (drawn[:, ::3].sum(axis=1) == 5).all()
    assert (drawn[0::2] != drawn[1::2]).all()
    assert np.unique(drawn, axis=0).shape[0] > 40


def test_chance_that_the_halves_do_not_share_is_no_variance_of_thresholds():
    rng = np.random.default_rng(0)
    common = rng.normal(0, 2, size=20_000)
    halves = common + rng.normal(0, 5, size=(3, 2, 20_000))
    expected = 4 * VARIANCE_PER_HALF
    assert compute_threshold_variance(halves) == pytest.approx(expected, rel=0.1)
    assert compute_threshold_variance(halves - common) < 0.3


def test_each_fold_draws_its_own_validation_patients():
    one = make_clustered(8)
    test_folds, folds = np.arange(60) % 2 + 1, (np.arange(60) < 25) + 1
    one = dataclasses.replace(
        one,
        predictions=dataclasses.replace(one.predictions, folds=test_folds),
        validation=dataclasses.replace(one.validation, folds=folds),
        thresholds=np.full((2, 2), 0.5),
    )
    found = draw_scores([one], "f1")
    rows = [np.flatnonzero(folds == fold) for fold in (1, 2)]
    patients = [one.validation.patients[of_fold] for of_fold in rows]
    draws = [draw_half_samples(names, N_DRAWS, i) for i, names in enumerate(patients)]
    second = draw_halves(one.predictions.patients)[0] == 1
    for r in range(20):
        thresholds = np.array([refit(one.validation, rows[i], draws[i][r]) for i in range(2)])
        scores = compute_scores(
            one.predictions.y[second],
            one.predictions.p[second],
            thresholds[test_folds - 1][second],
            "multi_label",
            one.predictions.classes,
        )
        expected = [scores["per_class"][name]["f1"] for name in one.predictions.classes]
        assert found[0, 1, r].tolist() == pytest.approx(expected)


def test_a_class_that_no_drawn_patient_has_keeps_its_threshold():
    one = make_clustered(8)
    y = np.zeros_like(one.validation.y)
    y[one.validation.patients == "3"] = 1
    one = dataclasses.replace(
        one,
        validation=dataclasses.replace(one.validation, y=y),
        thresholds=np.array([0.2, 0.7]),
    )
    draws = draw_half_samples(one.validation.patients, N_DRAWS, 0)
    without = draws[:, one.validation.patients == "3"][:, 0] == 0
    first = draw_halves(one.predictions.patients)[0] == 0
    kept = compute_scores(
        one.predictions.y[first],
        one.predictions.p[first],
        one.thresholds,
        "multi_label",
        one.predictions.classes,
    )["per_class"]
    found = draw_scores([one], "f1")[0, 0, without]
    assert len(found) == N_DRAWS / 2
    for k, name in enumerate(one.predictions.classes):
        assert found[:, k].tolist() == pytest.approx([kept[name]["f1"]] * len(found))


def test_scores_are_averaged_over_seeds_in_the_same_draws():
    seeds = make_seeds(make_contestant, n_seeds=2, n_patients=80, noise=1.0)
    expected = np.mean([draw_scores([one], "mcc") for one in seeds], axis=0)
    np.testing.assert_allclose(draw_scores(seeds, "mcc"), expected)


def test_draws_are_paired_between_models():
    """Two models that differ little are cut by the same patients, so their difference is steady."""
    a, b = (make_contestant(name, noise=0.02, n_patients=200) for name in ("time:cnn", "time:s4d"))
    first, second = (draw_scores([one], "f1").mean(axis=-1) for one in (a, b))
    apart = compute_threshold_variance(first) + compute_threshold_variance(second)
    assert compute_threshold_variance(first - second) < 0.7 * apart
