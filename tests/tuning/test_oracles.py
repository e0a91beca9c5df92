"""Oracles repeat themselves: a search that was killed continues as if it had not been."""

import contextlib
import dataclasses
import math

import keras_tuner
import pytest

from ecglib.errors import RunError
from tuning import oracles
from tuning import search as search_module
from tuning.oracles import Proposer
from tuning.search import search
from tuning.settings import SearchSettings
from tuning.trials import FAILED, INFEASIBLE

DECISIVE = ("width", "learning_rate", "dropout", "tuner/epochs")  # for a training
ORACLES = ("random", "bayesian", "hyperband")


def suggest_few(hp, space=None):
    """Suggest from a space of two hyperparameters, one of them conditional."""
    width = hp.Choice("width", [8, 16, 24])
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    settings = {"branches": {"time": "cnn"}, "fusion": "none", "width": width}
    with hp.conditional_scope("width", [16, 24]):
        dropout = hp.Choice("dropout", [0.1, 0.3])
    return settings | {"learning_rate": rate, "dropout": dropout or 0.0}


@pytest.fixture
def few(monkeypatch, training):
    monkeypatch.setattr(search_module, "suggest", suggest_few)
    monkeypatch.setattr(oracles, "N_INITIAL_TRIALS", 3)
    return training


@pytest.fixture
def settings():
    return SearchSettings(max_trials=8, epochs=9, finalists=0)


def list_values(result):
    """The suggestions as they were recorded, byte for byte."""
    return [path.read_text() for path in sorted((result.folder / "suggestions").iterdir())]


@pytest.mark.parametrize(
    ("oracle", "killed_at"),
    [
        ("random", 5),
        ("hyperband", 2),
        ("hyperband", 7),
        ("bayesian", 5),
        pytest.param("bayesian", 2, marks=pytest.mark.slow),
        pytest.param("bayesian", 7, marks=pytest.mark.slow),
    ],
)
def test_a_killed_search_suggests_what_an_uninterrupted_one_does(
    small_store, few, settings, tmp_path, oracle, killed_at
):
    settings = dataclasses.replace(settings, oracle=oracle)
    whole = search(small_store, settings, tmp_path / "whole")
    few.outcomes = {killed_at: KeyboardInterrupt}
    with pytest.raises(KeyboardInterrupt):
        search(small_store, settings, tmp_path / "killed")
    few.outcomes, few.numbers = {}, []
    resumed = search(small_store, settings, tmp_path / "killed")
    assert few.numbers == list(range(killed_at, 9))
    assert list_values(resumed) == list_values(whole)
    assert resumed.trials == whole.trials


def test_the_bayesian_oracle_searches_where_scores_are_high(small_store, few, settings, tmp_path):
    settings = dataclasses.replace(settings, oracle="bayesian")
    result = search(small_store, settings, tmp_path)
    rates = [math.log10(trial.experiment["learning_rate"]) for trial in result.trials]
    # Low rates score best here; a random search would average -2.5.
    assert sum(rates[3:]) / 5 < -2.9
    assert len({str(trial.experiment) for trial in result.trials}) == 8


@pytest.mark.parametrize("status", [FAILED, INFEASIBLE])
def test_trials_without_a_score_disturb_no_oracle(small_store, few, settings, tmp_path, status):
    few.outcomes = dict.fromkeys((2, 6), status)
    for oracle in ORACLES:
        asked = dataclasses.replace(settings, oracle=oracle)
        result = search(small_store, asked, tmp_path)
        assert [trial.number for trial in result.trials if trial.is_completed] == [1, 3, 4, 5, 7, 8]


def test_hyperband_gives_the_best_of_a_round_more_epochs(small_store, few, tmp_path):
    asked = SearchSettings(oracle="hyperband", epochs=9, finalists=0)
    trials = search(small_store, asked, tmp_path).trials
    # Li et al. (2018) with R = 9 and eta = 3 in the sizes of KerasTuner: brackets of 9, 5 and 3.
    epochs = [trial.experiment["epochs"] for trial in trials]
    assert epochs == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] * 2 + [9] * 3

    def list_rates(selected):
        return sorted(trial.experiment["learning_rate"] for trial in selected)

    assert list_rates(trials[9:12]) == list_rates(trials[:9])[:3]  # the lowest rates score best
    assert list_rates(trials[12:13]) == list_rates(trials[9:12])[:1]


def test_a_round_of_hyperband_in_which_trials_failed_goes_on(small_store, few, tmp_path):
    few.outcomes = dict.fromkeys((1, 4), FAILED)
    asked = SearchSettings(oracle="hyperband", epochs=9, finalists=0)
    trials = search(small_store, asked, tmp_path).trials
    assert [trial.experiment["epochs"] for trial in trials[9:13]] == [3, 3, 3, 9]


@pytest.mark.parametrize("oracle", ["random", "hyperband"])
def test_the_trials_are_the_same_whatever_the_order_in_which_they_finish(oracle):
    """One at a time, or four at a time that finish in reverse."""

    def score(suggestion):
        return 1 - suggestion.values["learning_rate"]

    def run(n_at_a_time):
        hp = keras_tuner.HyperParameters()
        suggest_few(hp)
        proposer, outcomes, running, found = Proposer(oracle, hp, 3, 9), {}, [], set()
        for _ in range(200):
            while len(running) < n_at_a_time and len(found) < 23:
                suggestion = proposer.propose(dict(outcomes))
                if suggestion is None:
                    break
                running.append(suggestion)
                values = {k: v for k, v in suggestion.values.items() if k in DECISIVE}
                found.add(str(sorted(values.items())))
            if not running:
                return found
            finished = running.pop()
            outcomes[finished.number] = score(finished)
        return found

    assert run(1) == run(4)
    assert len(run(1)) == 23


def test_running_trials_are_not_suggested_again():
    """Four at a time get four different suggestions, near what is known to be good."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.0, 1.0)
    proposer = Proposer("bayesian", hp, 0, 4)
    outcomes = {}
    for number in range(1, 13):
        suggestion = proposer.propose(outcomes)
        outcomes[number] = 1 - (suggestion.values["rate"] - 0.3) ** 2
    parallel = [proposer.propose(outcomes).values["rate"] for _ in range(4)]
    assert len({round(rate, 6) for rate in parallel}) == 4


def test_a_changed_record_of_suggestions_is_refused(small_store, few, settings, tmp_path):
    folder = search(small_store, settings, tmp_path).folder
    path = folder / "suggestions" / "003.json"
    text = path.read_text()
    more = dataclasses.replace(settings, max_trials=9)
    path.write_text(text.replace('"width": ', '"width": 1'))
    with pytest.raises(RunError, match="suggests other values for trial 3"):
        search(small_store, more, tmp_path)
    path.write_text(text[:20])
    with pytest.raises(RunError, match="is damaged"):
        search(small_store, more, tmp_path)
    path.unlink()
    with pytest.raises(RunError, match="is missing"):
        search(small_store, more, tmp_path)


def test_the_folder_of_another_search_is_refused(small_store, few, settings, tmp_path):
    path = search(small_store, settings, tmp_path).folder / "search.json"
    path.write_text(path.read_text().replace('"n_folds": 0', '"n_folds": 5'))
    with pytest.raises(RunError, match="holds a search for something else"):
        search(small_store, settings, tmp_path)


def test_a_trial_whose_process_is_killed_again_and_again_fails(
    small_store, few, settings, tmp_path
):
    plan = search_module.plan_search(small_store, settings, tmp_path)

    numbers = []
    for _ in range(4):
        with contextlib.ExitStack() as stack:  # gives the lock back, but not the count
            job, _ = plan.open_study()._find_job(stack)
            numbers.append(job.number)
    assert numbers == [1, 1, 1, 2]
    first = plan.open_study().list_trials()[0]
    assert first.status == FAILED
    assert "killed 3 times" in first.reason
