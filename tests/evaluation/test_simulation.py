import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ecglib.errors import EcgError
from ecglib.evaluation.contestants import group_by_model
from ecglib.evaluation.effective_patients import is_measurable
from ecglib.evaluation.scoreboard import measure_models
from ecglib.evaluation.simulation import StudySettings, simulate_study
from ecglib.evaluation.thresholds import fit_thresholds
from ecglib.evaluation.verdict import ADDS, ADDS_LITTLE, compute_verdicts


def score(contestant):
    return roc_auc_score(contestant.predictions.y, contestant.predictions.p, average="macro")


def test_branches_have_an_auroc_of_about_90_percent():
    settings = StudySettings(n_patients=20_000, n_seeds=1, n_fusions=1, seed_std=0.0)
    scores = [score(one) for one in simulate_study(settings, seed=0)]
    assert len(scores) == 10
    assert scores == pytest.approx([stats.norm.cdf(1.8 / np.sqrt(2))] * 10, abs=0.005)


def test_a_true_gain_is_reached_on_average():
    settings = StudySettings(
        n_patients=20_000,
        n_validation_patients=20,
        n_seeds=1,
        n_fusions=1,
        seed_std=0.0,
        gain=0.02,
        control_gain=0.01,
        branch_deficits=(0.0, 0.0, 0.03),
    )
    models = group_by_model(simulate_study(settings, seed=1))
    scores = {name: score(seeds[0]) for name, seeds in models.items()}
    single = scores["time:cnn"]
    assert scores["fusion 1"] - scores["3x time:cnn"] == pytest.approx(0.02, abs=0.004)
    assert scores["time:cnn widened"] - single == pytest.approx(0.01, abs=0.004)
    assert scores["spectrogram:cnn2d"] - single == pytest.approx(-0.03, abs=0.004)


def test_seeds_have_the_standard_deviation_that_was_asked_for():
    """Each seed also sees the patients in its own way; with many patients that is negligible."""
    settings = StudySettings(
        n_patients=5000,
        n_validation_patients=20,
        n_seeds=40,
        n_fusions=1,
        seed_std=0.01,
        unstable_std=0.03,
        has_controls=False,
    )
    models = group_by_model(simulate_study(settings, seed=2))
    spread = {name: np.std([score(one) for one in seeds], ddof=1) for name, seeds in models.items()}
    # Standard error of a standard deviation of 40 values: 11 %; three branches: 7 %.
    singles = [spread[name] for name in spread if name != "fusion 1"]
    assert np.mean(singles) == pytest.approx(0.01, rel=0.2)
    assert spread["fusion 1"] == pytest.approx(0.03, rel=0.3)


@pytest.mark.parametrize(("windows", "low", "high"), [("one", 1, 1), ("few", 1, 6)])
def test_patients_have_as_many_windows_as_asked_for(windows, low, high):
    settings = StudySettings(n_patients=500, n_seeds=1, windows=windows)
    predictions = simulate_study(settings, seed=0)[0].predictions
    counts = np.unique(predictions.patients, return_counts=True)[1]
    assert (counts.min(), counts.max(), len(counts)) == (low, high, 500)


def test_long_recordings_have_unequal_numbers_of_windows():
    settings = StudySettings(n_patients=500, n_seeds=1, n_fusions=1, windows="unequal")
    predictions = simulate_study(settings, seed=0)[0].predictions
    counts = np.unique(predictions.patients, return_counts=True)[1]
    # Log-normal: median 20, mean 20 exp(1/2).
    assert np.median(counts) == pytest.approx(20, abs=3)
    assert counts.mean() == pytest.approx(20 * np.exp(0.5), rel=0.15)


def test_thresholds_are_fitted_on_validation_windows_where_asked():
    settings = StudySettings(n_patients=50, n_seeds=1, has_thresholds=True)
    one = simulate_study(settings, seed=0)[3]
    expected = fit_thresholds(one.validation.y, one.validation.p, "multi_label")
    np.testing.assert_array_equal(one.thresholds, expected)
    without = simulate_study(StudySettings(n_patients=50, n_seeds=1), seed=0)[3]
    np.testing.assert_array_equal(without.thresholds, 0.5)


def test_folds_spoil_the_ranking_over_all_windows_but_not_within_folds():
    settings = StudySettings(n_patients=2000, n_seeds=1, n_fusions=1, seed_std=0.0, n_folds=5)
    one = simulate_study(settings, seed=3)[0]
    folds = one.predictions.folds
    assert np.unique(folds).tolist() == [1, 2, 3, 4, 5]
    assert one.thresholds.shape == (5, 5)
    assert all(
        np.unique(folds[one.predictions.patients == patient]).size == 1
        for patient in np.unique(one.predictions.patients)[:50]
    )
    board = measure_models({"time:cnn": [one]}, "auroc")
    assert board.score("time:cnn").estimate == pytest.approx(0.8985, abs=0.015)
    assert score(one) < board.score("time:cnn").estimate - 0.01


def test_the_same_seed_gives_the_same_study():
    settings = StudySettings(n_patients=30, n_seeds=2)
    first, again, other = (simulate_study(settings, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first[7].predictions.p, again[7].predictions.p)
    assert (first[7].predictions.p != other[7].predictions.p).any()


def test_unknown_numbers_of_windows_are_refused():
    with pytest.raises(EcgError, match=r"windows.*'many'"):
        StudySettings(windows="many")


# --- error rates, a small version of `make verdict-check`


def judge_studies(settings, n_studies):
    """Count studies in which a fusion is said to add; compute the coverage in each measurable one.

    The coverage is the fraction of all differences between a fusion and a rival whose interval
    holds the true gain.
    """
    n_adding, coverage = 0, []
    for seed in range(n_studies):
        models = group_by_model(simulate_study(settings, seed))
        board = measure_models(models, "auroc")
        verdicts = compute_verdicts(models, board)
        n_adding += any(verdict.word in (ADDS, ADDS_LITTLE) for verdict in verdicts)
        if is_measurable(board.effective_patients.total):
            differences = [rival.difference for verdict in verdicts for rival in verdict.rivals]
            coverage.append(np.mean([one.low <= settings.gain <= one.high for one in differences]))
    return n_adding, np.array(coverage)


def is_below(coverage, level):
    """Whether the mean coverage is below a level by more than three standard errors."""
    return coverage.mean() + 3 * coverage.std(ddof=1) / np.sqrt(len(coverage)) < level


@pytest.mark.slow
def test_useless_fusions_seldom_seem_to_add_and_intervals_hold_the_truth():
    n_adding, coverage = judge_studies(StudySettings(n_patients=250, n_fusions=6), 150)
    # What a correct method exceeds in one of 1,000 repetitions.
    assert n_adding <= stats.binom.ppf(0.999, 150, 0.025)
    assert not is_below(coverage, 0.95)


@pytest.mark.slow
def test_intervals_hold_the_truth_with_few_patients_with_unequal_windows():
    settings = StudySettings(
        n_patients=22, n_validation_patients=22, windows="unequal", n_fusions=1
    )
    _, coverage = judge_studies(settings, 100)
    assert len(coverage) > 90
    assert not is_below(coverage, 0.95)


@pytest.mark.slow
def test_a_fusion_that_gains_two_margins_is_found_more_often_than_not():
    settings = StudySettings(n_patients=500, n_fusions=1, gain=0.02)
    n_adding, coverage = judge_studies(settings, 50)
    assert n_adding > 25
    assert not is_below(coverage, 0.95)
