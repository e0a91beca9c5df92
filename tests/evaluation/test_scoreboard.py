import dataclasses
import math

import numpy as np
import pytest
from contestant_helpers import (
    make_contestant,
    make_ensemble,
    make_fusion,
    make_predictions,
    make_seeds,
    replace_predictions,
)
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ecglib.errors import RunError
from ecglib.evaluation.contestants import group_by_model
from ecglib.evaluation.influence import MEASURED_METRICS, measure
from ecglib.evaluation.score_table import build_score_table
from ecglib.evaluation.scoreboard import (
    build_windows,
    check_metric,
    compute_score_interval,
    measure_models,
    score_predictions,
)
from ecglib.evaluation.seeds import estimate_seed_variances
from ecglib.evaluation.threshold_sampling import N_DRAWS, draw_scores_over_thresholds
from ecglib.evaluation.variances import Variance, add_variances


def make_models(n_seeds=3, **other):
    return {
        "time:cnn": make_seeds(make_contestant, n_seeds=n_seeds, noise=0.5, **other),
        "intermediate_gated": make_seeds(make_fusion, 1.2, n_seeds=n_seeds, noise=0.5, **other),
        "3 x time:cnn": make_seeds(make_ensemble, 1.1, n_seeds=n_seeds, noise=0.5, **other),
    }


# --- scores


@pytest.mark.parametrize(
    ("metric", "reference"), [("auroc", roc_auc_score), ("auprc", average_precision_score)]
)
def test_scores_are_means_over_classes_and_seeds(metric, reference):
    models = make_models()
    scores = [
        reference(one.predictions.y, one.predictions.p, average="macro")
        for one in models["time:cnn"]
    ]
    found = measure_models(models, metric).score("time:cnn")
    assert found.estimate == pytest.approx(np.mean(scores))
    assert found.seed_std == pytest.approx(np.std(scores, ddof=1))
    assert found.low < found.estimate < found.high


def test_validation_is_scored_on_the_validation_split():
    models = make_models()
    scores = [
        f1_score(one.validation.y, one.validation.p >= 0.5, average="macro")
        for one in models["time:cnn"]
    ]
    found = measure_models(models, "f1", split="validation")
    assert found.score("time:cnn").estimate == pytest.approx(np.mean(scores))
    assert not found.threshold_draws


@pytest.mark.parametrize("metric", MEASURED_METRICS)
def test_the_better_of_two_models_has_the_greater_oriented_score(metric):
    models = {
        "time:cnn": [make_contestant(strength=1.0)],
        "intermediate_gated": [make_fusion(2.0)],
    }
    board = measure_models(models, metric)
    assert board.score_oriented("intermediate_gated") > board.score_oriented("time:cnn")
    difference = board.subtract("intermediate_gated", "time:cnn")
    assert difference.estimate > 0.01
    assert board.subtract("time:cnn", "intermediate_gated").estimate == -difference.estimate
    assert abs(difference.estimate) == pytest.approx(
        abs(board.score("intermediate_gated").estimate - board.score("time:cnn").estimate)
    )


def test_undefined_models_and_metrics_are_refused():
    with pytest.raises(RunError, match=r"Unknown metric 'log_loss'; expected one of auroc, "):
        check_metric("log_loss")
    with pytest.raises(RunError, match="Did you mean 'auroc'"):
        check_metric("aurok")
    alone = make_contestant()
    alone = replace_predictions(alone, patients=np.full(300, "same"))
    with pytest.raises(RunError, match="The test split has 1 patient; a comparison needs"):
        measure_models({"time:cnn": [alone]}, "auroc")


# --- variances


def test_the_variance_of_a_difference_is_of_patients_paired_and_of_the_seeds_of_both():
    models = make_models()
    board = measure_models(models, "auroc")
    difference = board.subtract("intermediate_gated", "time:cnn")

    windows = build_windows(models["time:cnn"][0].predictions)
    p = {name: np.stack([one.predictions.p for one in seeds]) for name, seeds in models.items()}
    measured = {name: measure(windows, one, one > 0.5, "auroc") for name, one in p.items()}
    influence = {name: one.macro_influence.mean(axis=0) for name, one in measured.items()}
    gap = influence["intermediate_gated"] - influence["time:cnn"]
    assert difference.patients.value == pytest.approx(300 / 299 * (gap**2).sum())
    assert difference.patients.value < 0.5 * sum(
        (influence[name] ** 2).sum() for name in ("intermediate_gated", "time:cnn")
    )
    assert difference.patients.degrees_of_freedom == board.effective_patients.total - 1
    seeds = dict(zip(models, estimate_seed_variances(list(measured.values())), strict=True))
    assert difference.seeds == (seeds["intermediate_gated"], seeds["time:cnn"])
    cautious = estimate_seed_variances(list(measured.values()), cautious=True)
    assert difference.cautious_seeds == (cautious[1], cautious[0])


def test_a_difference_of_decisions_has_the_variance_of_the_thresholds():
    models = make_models(n_patients=100)
    board = measure_models(models, "f1")
    difference = board.subtract("intermediate_gated", "time:cnn")
    draws = draw_scores_over_thresholds(models, "f1")
    gain = (draws["intermediate_gated"] - draws["time:cnn"]).mean(axis=-1)
    covariances = [
        np.mean([np.cov(first[i : i + 2], second[i : i + 2])[0, 1] for i in range(0, N_DRAWS, 2)])
        for first, second in gain
    ]
    sampled = 2 ** (-4 / 3) * np.mean(covariances)
    without = dataclasses.replace(board, threshold_draws={}).subtract(
        "intermediate_gated", "time:cnn"
    )
    assert difference.patients.value == pytest.approx(without.patients.value + sampled)
    assert sampled > 0.02 * without.patients.value
    assert (
        board.score("time:cnn").low
        < dataclasses.replace(board, threshold_draws={}).score("time:cnn").low
    )


def test_rankings_and_multi_class_decisions_do_not_depend_on_fitted_thresholds():
    assert not measure_models(make_models(), "auroc").threshold_draws
    one = make_contestant()
    y = np.stack([one.predictions.y[:, 0], 1 - one.predictions.y[:, 0]], axis=1)
    multi_class = dataclasses.replace(
        one,
        predictions=dataclasses.replace(one.predictions, y=y, kind="multi_class"),
        thresholds=np.ones(2),
    )
    assert not measure_models({"time:cnn": [multi_class]}, "f1").threshold_draws


def test_the_seeds_of_baselines_do_not_count_for_networks():
    models = make_models()
    alone = measure_models(models, "auroc")
    wild = [
        make_contestant(
            "handcrafted:random_forest", "baseline", strength=strength, seed=seed, noise=0.5
        )
        for seed, strength in enumerate([0.1, 1.0, 2.0])
    ]
    board = measure_models(models | {"handcrafted:random_forest": wild}, "auroc")
    assert board.seeds["time:cnn"] == alone.seeds["time:cnn"]
    assert board.cautious_seeds["time:cnn"] == alone.cautious_seeds["time:cnn"]
    forest = board.seeds["handcrafted:random_forest"]
    assert forest.value > 100 * board.seeds["time:cnn"].value


def test_a_class_is_measured_by_itself():
    models = make_models()
    board = measure_models(models, "auroc").by_class[1]
    scores = [
        roc_auc_score(o.predictions.y[:, 1], o.predictions.p[:, 1]) for o in models["time:cnn"]
    ]
    assert board.score("time:cnn").estimate == pytest.approx(np.mean(scores))
    assert board.score("time:cnn").seed_std == pytest.approx(np.std(scores, ddof=1))
    whole = measure_models(models, "auroc").effective_patients
    assert board.effective_patients.total == pytest.approx(whole.by_class[1])


# --- intervals of scores


@pytest.mark.parametrize("n", [3, 22, 7.5])
def test_a_perfect_score_has_the_exact_interval_of_clopper_and_pearson(n):
    zero = Variance(0.0, n - 1)
    low, high = compute_score_interval(1.0, zero, n)
    assert (low, high) == (pytest.approx(stats.beta.ppf(0.025, n, 1)), 1.0)
    low, high = compute_score_interval(0.0, zero, n)
    assert (low, high) == (0.0, pytest.approx(stats.beta.ppf(0.975, 1, n)))
    if n == int(n):
        exact = stats.binomtest(int(n), int(n)).proportion_ci(0.95, method="exact")
        assert compute_score_interval(1.0, zero, n)[0] == pytest.approx(exact.low)


def test_an_interval_stays_in_the_range_of_the_score():
    wide = Variance(0.2**2, 4)
    low, high = compute_score_interval(0.95, wide, 5)
    assert 0 < low < 0.95 < high < 1
    low, high = compute_score_interval(-0.9, wide, 5, minimum=-1.0)
    assert -1 < low < -0.9 < high < 1


@pytest.mark.parametrize("n_patients", [15, 30, 200])
@pytest.mark.parametrize("truth", [0.7, 0.9, 0.97, 0.99])
def test_the_interval_of_a_fraction_of_patients_covers_the_truth(n_patients, truth):
    """Exact: the sum of the binomial probabilities of the counts whose interval has the truth."""
    coverage = 0.0
    for count in range(n_patients + 1):
        found = count / n_patients
        variance = Variance(found * (1 - found) / (n_patients - 1), n_patients - 1)
        low, high = compute_score_interval(found, variance, n_patients)
        if low <= truth <= high:
            coverage += stats.binom.pmf(count, n_patients, truth)
    assert coverage > 0.935


def test_an_interval_close_to_a_perfect_score_does_not_reach_the_other_end():
    variance = Variance(0.01**2, 20)
    at_end = stats.beta.ppf(0.025, 30, 1)
    half = stats.t.ppf(0.975, 20) * 0.01
    low, high = compute_score_interval(1 - 1e-6, variance, 30)
    assert low == pytest.approx(at_end - half, abs=2e-6)
    assert 1 - 1e-6 < high <= 1
    low, high = compute_score_interval(1e-6, variance, 30)
    assert high == pytest.approx(1 - at_end + half, abs=2e-6)


def test_a_narrow_interval_is_students():
    variance = Variance(0.001**2, 12)
    expected = stats.t.interval(0.95, 12, 0.8, 0.001)
    assert compute_score_interval(0.8, variance, 13) == pytest.approx(expected, abs=2e-5)
    expected = stats.t.interval(0.95, 12, 0.3, 0.001)
    assert compute_score_interval(0.3, variance, 13, minimum=-1) == pytest.approx(
        expected, abs=2e-5
    )


def test_a_score_that_one_patient_decides_has_no_interval():
    one = make_contestant(n_patients=40)
    y = np.zeros_like(one.predictions.y)
    y[3] = 1  # both classes of one patient alone
    board = measure_models({"time:cnn": [replace_predictions(one, y=y)]}, "auroc")
    score = board.score("time:cnn")
    assert board.effective_patients.total < 2
    assert math.isnan(score.low)
    assert math.isnan(score.high)
    assert score.format() == f"{score.estimate:.3f} [no interval]"


def test_scores_of_one_training_have_intervals_over_patients():
    predictions = make_predictions(1.0, 0, noise=0.5)
    board = score_predictions(predictions, predictions.p > 0.5, "f1")
    expected = measure_models({"time:cnn": [make_contestant(noise=0.5)]}, "f1")
    assert board.score("").low < board.score("").estimate < board.score("").high
    assert board.effective_patients.total == expected.effective_patients.total
    total = add_variances([Variance(1.0, 5), board.seeds[""]])
    assert total == (1.0, 5.0)


# --- the table of scores


def test_the_table_has_one_row_a_model_with_its_mean_interval_and_spread():
    seeds = make_seeds(make_contestant, n_seeds=3, noise=0.5, caveats=("synthetic data",))
    models = group_by_model([*seeds, make_fusion(1.5)])
    boards = [measure_models(models, metric) for metric in ("auroc", "f1")]
    table = build_score_table(models, boards)
    assert table["model"].tolist() == ["time:cnn", "intermediate_gated"]
    assert table["role"].tolist() == ["single", "fusion"]
    assert table["seeds"].tolist() == [3, 1]
    assert table["branches"][0] == "time:cnn"
    assert table["caveats"].tolist() == ["synthetic data", ""]
    assert not any(column.startswith("auprc") for column in table)
    row, score = table.iloc[0], boards[0].score("time:cnn")
    macros = [one.compute_scores()["macro"]["auroc"] for one in seeds]
    assert row["auroc"] == pytest.approx(np.mean(macros))
    assert row["auroc_std"] == pytest.approx(np.std(macros, ddof=1))
    assert (row["auroc_low"], row["auroc_high"]) == (score.low, score.high)
    assert row["auroc"] == pytest.approx((row["auroc:NORM"] + row["auroc:MI"]) / 2)
    assert np.isnan(table.iloc[1]["auroc_std"])
    of_class = boards[1].by_class[1].score("time:cnn")
    assert (row["f1:MI_low"], row["f1:MI_high"]) == (of_class.low, of_class.high)


def test_the_table_names_undefined_and_never_predicted_classes():
    one = make_contestant()
    y = one.predictions.y.copy()
    y[:, 1] = 0
    one = dataclasses.replace(replace_predictions(one, y=y), thresholds=np.array([0.5, 1.1]))
    models = {"time:cnn": [one]}
    row = build_score_table(models, [measure_models(models, "auroc")]).iloc[0]
    assert (row["undefined"], row["never_predicted"]) == ("MI", "MI")
    assert np.isnan(row["auroc:MI"])
    assert np.isnan(row["auroc:MI_low"])
    assert row["auroc"] == row["auroc:NORM"]
