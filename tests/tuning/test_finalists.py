"""Finalists get more seeds, and the winner's score is said to be too good by as much as it is."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

from ecglib.datasets.selection import Selection
from ecglib.evaluation.influence import Windows, measure
from ecglib.experiment import Experiment, select_windows
from tuning import training as training_module
from tuning.optimism import compute_posterior, estimate_optimism
from tuning.search import search
from tuning.settings import Budget, SearchSettings
from tuning.training import TrialOptions, list_folds, run_trial
from tuning.trials import COMPLETED, INFEASIBLE, Trial

N_REPEATS = 150


@pytest.fixture
def noisy_training(monkeypatch, small_store):
    """A training whose score depends on learning rate and seed, with influence values."""
    trained = []

    def train(number, settings, dataset, options):
        experiment = Experiment.from_flat(settings)
        validation = select_windows(experiment, dataset).in_split("validation")
        n_patients = len(np.unique(validation.patients))
        noise = np.random.default_rng([number, settings["seed"]]).normal(0, 0.01, n_patients)
        trained.append((number, settings["seed"]))
        return Trial(
            number=number,
            status=COMPLETED,
            experiment=settings,
            model=experiment.model_name,
            val_auroc=0.9 - settings["learning_rate"] + float(noise.sum()) / 10,
            parameters=9,
            influence=(noise - noise.mean()).tolist(),
            history=[{"epoch": 1, "val_auroc": 0.9}],
        )

    monkeypatch.setattr(training_module, "run_trial", train)
    return trained


def test_finalists_get_more_seeds_and_the_best_mean_wins(small_store, noisy_training, tmp_path):
    settings = SearchSettings(max_trials=6, finalists=3, finalist_seeds=4, seed=2)
    first = search(small_store, dataclasses.replace(settings, finalists=0), tmp_path)
    best = sorted(first.trials, key=lambda trial: -trial.val_auroc)[:3]
    noisy_training.clear()
    result = search(small_store, settings, tmp_path)
    expected = {(trial.number, seed) for trial in best for seed in (3, 4, 5)}
    assert len(noisy_training) == 9
    assert set(noisy_training) == expected
    finalists = {trial.number: trial for trial in result.trials if trial.n_seeds == 4}
    assert set(finalists) == {trial.number for trial in best}
    assert result.winner.trial == max(finalists.values(), key=lambda trial: trial.val_auroc)
    scores = [trial.val_auroc for trial in finalists.values()]
    differences = result.compare_finalists()
    assert np.allclose(
        sorted(differences["difference"]), sorted(max(scores) - np.array(scores))[1:], atol=1e-12
    )
    assert (differences["low"] < differences["difference"]).all()
    assert any("Expected optimism of the best of 6" in one for one in result.describe())
    noisy_training.clear()
    search(small_store, settings, tmp_path)
    assert noisy_training == []


def test_without_finalists_the_optimism_says_what_it_leaves_out(
    small_store, noisy_training, tmp_path
):
    result = search(small_store, SearchSettings(max_trials=4, finalists=0), tmp_path)
    assert "if another seed changes nothing" in result.optimism.describe()
    assert len(result.compare_finalists()) == 0


@pytest.mark.parametrize(
    ("n_trials", "spread"), [(20, 0.0), (20, 0.005), (20, 0.02), (6, 0.02), (60, 0.01)]
)
def test_the_optimism_is_that_of_simulated_searches(n_trials, spread):
    """True scores are known: what the best score exceeds its true score by, on average."""
    rng = np.random.default_rng(7)
    common, noise = 0.02, 0.01  # of the patients that all trials share, and of each trial
    covariance = common**2 + noise**2 * np.eye(n_trials)
    estimated, actual, covered = [], [], []
    for _ in range(N_REPEATS):
        true = 0.85 + rng.normal(0, spread, n_trials)
        scores = true + rng.normal(0, common) + rng.normal(0, noise, n_trials)
        posterior = compute_posterior(scores, covariance)
        best = scores.argmax()
        estimated.append(scores[best] - posterior.mean[best])
        actual.append(scores[best] - true[best])
        covered.append(abs(posterior.mean[best] - true[best]) < 1.96 * posterior.std[best])
    error = np.std(np.subtract(estimated, actual)) / N_REPEATS**0.5
    assert abs(np.mean(estimated) - np.mean(actual)) < 0.0025 + 3 * error
    assert np.mean(actual) > 0.004  # so that an estimate of zero would fail
    assert np.mean(covered) > 0.90


def test_trials_that_did_not_learn_do_not_hide_the_optimism_of_the_others():
    rng = np.random.default_rng(8)
    covariance = 0.02**2 + 0.01**2 * np.eye(20)
    estimated, actual = [], []
    for _ in range(N_REPEATS):
        true = 0.85 - 0.15 * (rng.random(20) < 0.3) + rng.normal(0, 0.005, 20)
        scores = true + rng.normal(0, 0.02) + rng.normal(0, 0.01, 20)
        best = scores.argmax()
        estimated.append(scores[best] - compute_posterior(scores, covariance).mean[best])
        actual.append(scores[best] - true[best])
    assert abs(np.mean(estimated) - np.mean(actual)) < 0.004
    assert np.mean(actual) > 0.01


@pytest.mark.parametrize(("spread", "low", "high"), [(0.0, 0.6, 1.1), (0.25, 0.8, 1.5)])
def test_the_optimism_of_models_on_the_same_patients_follows_from_their_influence(
    spread, low, high
):
    """Twelve models whose true AUROC are known, on the same 120 patients.

    The score of a patient is the patient's class times a strength, plus noise that all models
    share, plus noise of the model; binormal scores have a true AUROC in closed form.
    """
    rng = np.random.default_rng(9)
    y = np.arange(120) % 2
    windows = Windows(y=y[:, None] == 1, patient=np.arange(120))
    estimated, actual = [], []
    for _ in range(100):
        strengths = 1 + rng.normal(0, spread, 12)
        true = norm.cdf(strengths / 2**0.5)
        shared = rng.normal(0, 0.5**0.5, 120)
        p = y * strengths[:, None] + shared + rng.normal(0, 0.5**0.5, (12, 120))
        found = measure(windows, p[:, :, None], np.zeros((12, 120, 1), bool), "auroc")
        trials = [
            Trial(
                number=i + 1,
                status=COMPLETED,
                experiment={"width": i},
                model="-",
                val_auroc=float(found.macro_scores[i]),
                influence=found.macro_influence[i].tolist(),
            )
            for i in range(12)
        ]
        best = max(trials, key=lambda trial: trial.val_auroc)
        estimated.append(estimate_optimism(trials, best).value)
        # The luck of the patients, which all models share, is zero on average: left out.
        luck = found.macro_scores - true
        actual.append(luck[best.number - 1] - luck.mean())
    assert np.mean(actual) > 0.015
    assert low < np.mean(estimated) / np.mean(actual) < high


def test_the_folds_of_a_trial_validate_every_patient_once(small_store):
    experiment = Experiment.from_flat({"task": "letters", "branches": {"time": "cnn"}}, small_store)
    validated = []
    for one in list_folds(experiment, 3):
        selection: Selection = select_windows(one, small_store)
        validated += np.unique(selection.in_split("validation").patients).tolist()
    whole = small_store.select("letters")
    assert sorted(validated) == sorted(set(whole.patients[whole.part != "test"]))


@pytest.fixture
def tiny(small_store):
    return {
        "dataset": small_store.name,
        "fingerprint": small_store.fingerprint,
        "task": "letters",
        "branches": {"frequency": "mlp"},
        "width": 4,
        "feature_dim": 4,
        "epochs": 1,
        "batch_size": 16,
    }


@pytest.mark.slow
def test_a_trial_of_folds_has_the_mean_score_of_the_folds(small_store, tiny):
    whole = run_trial(1, tiny, small_store, TrialOptions(n_folds=3))
    folds = [run_trial(1, tiny | {"n_folds": 3, "fold": k}, small_store) for k in (1, 2, 3)]
    assert whole.val_auroc == pytest.approx(np.mean([fold.val_auroc for fold in folds]), rel=1e-12)
    joined = np.concatenate([fold.influence for fold in folds]) / 3
    assert np.allclose(whole.influence, joined, rtol=1e-5)
    assert [epoch["fold"] for epoch in whole.history] == [1, 2, 3]


@pytest.mark.slow
def test_a_trial_over_its_budget_is_infeasible_with_the_reason(small_store, tiny):
    within = run_trial(1, tiny, small_store)
    n_parameters = within.parameters
    same = run_trial(1, tiny, small_store, TrialOptions(budget=Budget(max_parameters=n_parameters)))
    assert (same.val_auroc, same.history) == (within.val_auroc, within.history)
    large = run_trial(
        1, tiny, small_store, TrialOptions(budget=Budget(max_parameters=n_parameters - 1))
    )
    slow = run_trial(1, tiny, small_store, TrialOptions(budget=Budget(max_seconds=1e-6)))
    assert (large.status, slow.status) == (INFEASIBLE, INFEASIBLE)
    assert f"{n_parameters:,} parameters" in large.reason
    assert "max_seconds=1e-06" in slow.reason
