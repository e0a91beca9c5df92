"""The search: what it trains, what it reuses, what it refuses and what it reports."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import make_small_source

from ecglib import paths
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, ExperimentError, LeakError, RunError
from ecglib.experiment import Experiment
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS
from ecglib.training import pipeline_feed, train, trainer
from tuning import search as search_module
from tuning import space
from tuning import training as training_module
from tuning.search import search
from tuning.settings import SearchSettings
from tuning.trials import COMPLETED, FAILED, INFEASIBLE


def run_search(dataset, searches_dir, **settings):
    return search(dataset, SearchSettings(**({"finalists": 0} | settings)), searches_dir)


def suggest_small(hp, space=None):
    """Suggest a small single branch, or the fusion whose weights are fitted after training."""
    fusion = hp.Choice("fusion", ["none", "late_weighted"])
    branches = {"time": "cnn", "frequency": "cnn"} if fusion != "none" else {"frequency": "cnn"}
    return {"branches": branches, "fusion": fusion, "width": 4, "feature_dim": 8}


@pytest.fixture(scope="module")
def trained(small_store, tmp_path_factory):
    """Two trials that were really trained, and the rows whose signals were read for them."""
    make_batches, rows = pipeline_feed.make_batches, set()

    def record_rows(dataset, selection, *args, **options):
        rows.update(selection.rows.tolist())
        return make_batches(dataset, selection, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_feed, "make_batches", record_rows)
        patch.setattr(search_module, "suggest", suggest_small)
        result = run_search(
            small_store,
            tmp_path_factory.mktemp("searches"),
            trial_settings={"batch_size": 16},
            max_trials=2,
            epochs=1,
            seed=4,
        )
    return result, rows


@pytest.mark.slow
def test_the_test_split_is_not_used(trained, small_store):
    _, rows = trained
    selection = small_store.select("letters")
    expected = {
        split: set(selection.in_split(split).rows) for split in ("train", "validation", "test")
    }
    assert rows == expected["train"] | expected["validation"]
    assert not rows & expected["test"]
    assert "test" not in training_module.exclude_test_split(selection).part


@pytest.mark.slow
def test_labels_of_the_test_split_do_not_matter(trained, small_store, monkeypatch):
    """The same trial with every test label inverted has the same bits."""
    select = Dataset.select

    def select_with_inverted_test_labels(self, *arguments):
        selection = select(self, *arguments)
        test = selection.part == "test"
        selection.y[test] = 1 - selection.y[test]
        return selection

    monkeypatch.setattr(Dataset, "select", select_with_inverted_test_labels)
    first = trained[0].trials[0]
    again = training_module.run_trial(1, first.experiment, small_store)
    assert again.val_auroc == first.val_auroc
    assert again.history == first.history


@pytest.mark.slow
def test_a_trial_gives_what_a_run_of_its_experiment_gives(trained, small_store, tmp_path):
    best = trained[0].winner.trial
    run = train(small_store, Experiment.from_flat(best.experiment), batch=tmp_path)
    assert run.metrics["validation"]["macro"]["auroc"]["estimate"] == best.val_auroc
    assert run.metrics["model"]["parameters"] == best.parameters
    assert run.history["val_auroc"].tolist() == [epoch["val_auroc"] for epoch in best.history]


@pytest.mark.slow
def test_a_search_leaves_experiments_and_histories_but_no_weights(trained):
    result, _ = trained
    files = {
        str(path.relative_to(result.folder)) for path in result.folder.rglob("*") if path.is_file()
    }
    assert files == {
        "search.json",
        "winner.yaml",
        result.winner.batch.name,
        "suggestions/001.json",
        "suggestions/002.json",
        "trials/001.json",
        "trials/002.json",
    }
    trial = json.loads((result.folder / "trials" / "001.json").read_text())
    assert trial["status"] == COMPLETED
    assert trial["experiment"]["seed"] == 4
    assert [epoch["epoch"] for epoch in trial["history"]] == [1]


def test_suggestions_are_feasible_and_reach_the_whole_space(small_store, training, tmp_path):
    result = run_search(small_store, tmp_path, max_trials=300)
    fusions, branches, crops = set(), set(), set()
    for trial in result.trials:
        experiment = Experiment.from_flat(trial.experiment)
        fusions.add(experiment.model.fusion)
        branches |= set(experiment.model.branches.items())
        crops.add(experiment.inputs.crop_s)
        assert (experiment.model.fusion == "none") == (len(experiment.model.branches) == 1)
    assert fusions == {"none", *FUSIONS}
    assert branches == {
        (name, encoder)
        for name, representation in REPRESENTATIONS.items()
        for encoder in representation.encoders
    }
    assert crops == {0.0, 2.5}  # of windows of 4 s
    n_singles = sum(trial.experiment["fusion"] == "none" for trial in result.trials)
    assert 25 < n_singles < 75  # 5 subsets of 31


def test_windows_around_beats_are_not_cropped():
    around_beats = SignalSpec(120.0, 480, ("MLII", "V"), around_beats=True)
    assert space.list_crop_lengths(around_beats) == [0.0]
    assert space.list_crop_lengths(SignalSpec(100.0, 1000, ("I",))) == [0.0, 2.5, 5.0]


def test_the_same_seed_gives_the_same_trials_zero_included(small_store, training, tmp_path):
    zero, again, one = (
        [
            trial.experiment
            for trial in run_search(small_store, tmp_path / name, max_trials=8, seed=seed).trials
        ]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert zero == again
    assert not {v["learning_rate"] for v in zero} & {v["learning_rate"] for v in one}


def test_the_best_trial_has_the_highest_score(small_store, training, tmp_path):
    result = run_search(small_store, tmp_path, max_trials=5)
    scores = [trial.val_auroc for trial in result.trials]
    assert result.winner.trial.val_auroc == max(scores)
    table = result.table()
    assert table["validation macro AUROC"].tolist() == sorted(scores, reverse=True)
    assert table["trial"][0] == result.winner.trial.number


def test_a_killed_search_continues_with_the_same_trials(small_store, training, tmp_path, capsys):
    training.outcomes = {3: KeyboardInterrupt}
    with pytest.raises(KeyboardInterrupt):
        run_search(small_store, tmp_path / "killed", max_trials=5)
    assert training.numbers == [1, 2, 3]
    training.outcomes = {}
    capsys.readouterr()
    resumed = run_search(small_store, tmp_path / "killed", max_trials=5)
    shown = capsys.readouterr().err
    assert "2/5" in shown
    assert "1/5" not in shown
    assert training.numbers == [1, 2, 3, 3, 4, 5]
    assert resumed.n_existing == 2
    whole = run_search(small_store, tmp_path / "whole", max_trials=5)
    assert resumed.trials == whole.trials


def test_a_finished_search_runs_nothing_and_more_trials_add_to_it(small_store, training, tmp_path):
    first = run_search(small_store, tmp_path, max_trials=3)
    second = run_search(small_store, tmp_path, max_trials=3)
    assert training.numbers == [1, 2, 3]
    assert second.trials == first.trials
    assert "All 3 trials already exist; nothing to run." in second.describe()
    third = run_search(small_store, tmp_path, max_trials=12)
    assert training.numbers == list(range(1, 13))
    assert third.trials[:3] == first.trials
    assert "New trials: 9, existing: 3." in third.describe()


def test_a_different_question_does_not_continue_an_old_answer(
    small_store, small_class_store, training, tmp_path, monkeypatch
):
    folders = [
        run_search(small_store, tmp_path, max_trials=2).folder,
        run_search(small_store, tmp_path, max_trials=2, epochs=5).folder,
        run_search(small_store, tmp_path, max_trials=2, seed=1).folder,
        run_search(small_store, tmp_path, max_trials=2, trial_settings={"batch_size": 32}).folder,
        run_search(small_class_store, tmp_path, max_trials=2).folder,
    ]

    def suggest_less(hp, space):
        rate = hp.Choice("learning_rate", [1e-3, 2e-3, 3e-3])
        return {"branches": {"time": "cnn"}, "fusion": "none", "learning_rate": rate}

    monkeypatch.setattr(search_module, "suggest", suggest_less)
    folders.append(run_search(small_store, tmp_path, max_trials=2).folder)
    assert len(set(folders)) == len(folders)
    assert training.numbers == [1, 2] * len(folders)
    exhausted = run_search(small_store, tmp_path, max_trials=9)
    assert len(exhausted.trials) == 3
    assert "holds no more" in exhausted.describe()[1]


def test_another_backend_is_another_search_of_the_same_trials(
    small_store, training, tmp_path, monkeypatch
):
    first = run_search(small_store, tmp_path, max_trials=2)
    monkeypatch.setattr(search_module.keras.backend, "backend", lambda: "jax")
    second = run_search(small_store, tmp_path, max_trials=2)
    assert second.folder != first.folder
    assert second.n_existing == 0
    assert second.trials == first.trials
    assert json.loads((second.folder / "search.json").read_text())["backend"] == "jax"


def test_a_trial_that_was_cut_short_or_altered_is_run_again(small_store, training, tmp_path):
    folder = run_search(small_store, tmp_path, max_trials=3).folder / "trials"
    (folder / "001.json").write_text('{"number": 1, "sta')
    altered = json.loads((folder / "003.json").read_text())
    altered["experiment"]["width"] = 999
    (folder / "003.json").write_text(json.dumps(altered))
    assert run_search(small_store, tmp_path, max_trials=3).n_existing == 1
    assert training.numbers == [1, 2, 3, 1, 3]


def test_a_failed_trial_is_shown_and_tried_again(small_store, training, tmp_path, capsys):
    training.outcomes = {2: FAILED, 4: INFEASIBLE}
    result = run_search(small_store, tmp_path, max_trials=4)
    assert "failed: OSError: boom 2" in capsys.readouterr().out
    assert "Trial 2 failed: OSError: boom 2" in result.describe()
    assert result.table()["status"].tolist().count(COMPLETED) == 2
    assert result.winner.trial.number in (1, 3)
    training.outcomes = {}
    again = run_search(small_store, tmp_path, max_trials=4)
    assert training.numbers == [1, 2, 3, 4, 2]  # an infeasible one stays infeasible
    assert [trial.status for trial in again.trials] == [COMPLETED] * 3 + [INFEASIBLE]


def test_three_failures_in_a_row_end_the_search_with_their_cause(small_store, training, tmp_path):
    training.outcomes = {1: FAILED, 3: FAILED, 4: INFEASIBLE, 5: FAILED, 6: FAILED}
    with pytest.raises(RunError, match=r"3 trials failed in a row.*boom 6.*006\.json"):
        run_search(small_store, tmp_path, max_trials=9)
    assert training.numbers == [1, 2, 3, 4, 5, 6]
    training.outcomes = {}
    assert run_search(small_store, tmp_path, max_trials=9).n_existing == 2


@pytest.mark.parametrize("outcome", [FAILED, INFEASIBLE])
def test_a_search_without_any_result_says_so(small_store, training, tmp_path, outcome):
    training.outcomes = dict.fromkeys(range(1, 3), outcome)
    with pytest.raises(RunError, match=r"None of 2 trials completed.*boom 2"):
        run_search(small_store, tmp_path, max_trials=2)


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("oops"), FAILED), (ExperimentError("no"), INFEASIBLE)]
)
def test_an_error_in_training_ends_the_trial_only(small_store, monkeypatch, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(trainer.Trainer, "fit_model", fail)
    settings = {
        "dataset": small_store.name,
        "fingerprint": small_store.fingerprint,
        "task": "letters",
        "branches": {"time": "cnn"},
    }
    trial = training_module.run_trial(1, settings, small_store)
    assert trial.status == status
    assert trial.reason.endswith(str(error))
    impossible = training_module.run_trial(2, settings | {"fusion": "late_average"}, small_store)
    assert impossible.status == INFEASIBLE
    assert "with one branch" in impossible.reason


def test_an_error_of_the_search_itself_is_not_swallowed(small_store, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError("my own mistake")

    monkeypatch.setattr(training_module, "run_trial", fail)
    with pytest.raises(KeyError, match="my own mistake"):
        run_search(small_store, tmp_path, max_trials=2)


def test_a_full_disk_is_reported_and_leaves_no_half_file(
    small_store, training, tmp_path, monkeypatch
):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", fail)
    with pytest.raises(RunError, match="No space left"):
        run_search(small_store, tmp_path, max_trials=2)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"trial_settings": {"fusion": "none"}}, ExperimentError, "space.py says what is searched"),
        ({"trial_settings": {"seed": 8}}, ExperimentError, "settings of the search"),
        ({"trial_settings": {"batchsize": 8}}, ExperimentError, "batchsize"),
        ({"trial_settings": {"batch_size": "8"}}, ValueError, "expected int"),
        ({"trial_settings": {"band_hz": [0.5, 80.0]}}, ExperimentError, "Nyquist"),
        ({"task": "numbers"}, DatasetError, "no task 'numbers'"),
        ({"max_trials": -1}, ExperimentError, "max_trials=-1"),
        ({"seed": -1}, ExperimentError, "seed=-1"),
        ({"oracle": "greedy"}, ExperimentError, "greedy"),
        ({"n_folds": 2}, ExperimentError, "n_folds=2 must be at least 3"),
        ({"encoders": ["a:b"]}, ExperimentError, "expected a mapping of representations to lists"),
        ({"encoders": {"time": "a:b"}}, ExperimentError, "expected a list of import paths"),
        ({"encoders": {"time": ["cnn"]}}, ExperimentError, "searched without being named"),
        ({"encoders": {"time": ["nowhere:b"]}}, ExperimentError, "no module 'nowhere'"),
        ({"encoders": {"tim": ["a:b"]}}, ExperimentError, "Did you mean 'time'"),
        ({"fusions": ["json:loads"]}, ExperimentError, "begin with its family"),
        ({"fusions": "a:b"}, ExperimentError, "expected a list of import paths"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    small_store, training, tmp_path, settings, error, message
):
    with pytest.raises(error, match=message):
        run_search(small_store, tmp_path, **({"max_trials": 2} | settings))
    assert training.numbers == []
    assert list(tmp_path.iterdir()) == []


def test_a_leak_is_refused_or_becomes_a_caveat(training, tmp_path):
    source = make_small_source()
    source._table["part"] = np.resize(["train", "test", "validation", "train", "test"], 96)
    store = write_store(source, tmp_path / "data", progress=False)
    with pytest.raises(LeakError, match="shared_patients"):
        run_search(store, tmp_path, max_trials=1)
    allowed = {"allow_leaks": ["shared_patients"]}
    result = run_search(store, tmp_path, trial_settings=allowed, max_trials=1)
    assert "shared patients" in result.caveat
    assert f"Caveat: {result.caveat}." in result.describe()
    assert f"# {result.caveat}" in result.winner.batch.read_text()


def test_help_does_not_import_keras():
    code = (
        "import sys\nimport tuning.__main__\ntry: tuning.__main__.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'keras', 'keras_tuner', 'tensorflow', 'matplotlib'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "--trials" in process.stdout


def test_the_command_prints_trials_winner_and_what_is_next(
    small_store, training, tmp_path, capsys, monkeypatch
):
    from tuning.__main__ import main

    monkeypatch.chdir(tmp_path)
    options = ["--dataset", str(small_store.path), "--trials", "3", "--searches-dir", "searches"]
    assert main([*options, "--set", "batch_size=16"]) == 0
    printed = capsys.readouterr().out
    assert "Best on the validation patients: trial" in printed
    assert printed.count(COMPLETED) == 3
    line = next(line for line in printed.splitlines() if "ecglib batch" in line)
    assert (tmp_path / line.split()[-1]).is_file()
    assert main([*options, "--set", "fusion=none"]) == 2
    assert "fusion" in capsys.readouterr().err


def test_the_command_searches_encoders_and_fusions_of_other_packages(
    small_store, training, tmp_path, capsys, monkeypatch
):
    from tuning.__main__ import main

    monkeypatch.chdir(tmp_path)
    code = tmp_path / "searched_code.py"
    source = "def first(x): pass\ndef second(x): pass\ndef late_mine(branches): pass\n"
    code.write_text(source)
    options = ["--dataset", str(small_store.path), "--trials", "1", "--searches-dir", "searches"]
    for name in ("time=searched_code:first", "time=searched_code:second"):
        options += ["--encoder", name]
    options += ["--fusion", "searched_code:late_mine", "--finalists", "0"]
    assert main(options) == 0
    (folder,) = (tmp_path / "searches").iterdir()
    space = json.loads((folder / "search.json").read_text())["space"]
    values = {one["config"]["name"]: one["config"].get("values", []) for one in space}
    names = [name.partition("@")[0] for name in values["time_encoder"][-2:]]
    assert names == ["searched_code:first", "searched_code:second"]
    assert values["fusion"][-1].startswith("searched_code:late_mine@")
    code.write_text(source.replace("pass", "return 1"))
    assert main(options) == 0  # other code is another search
    assert len(list((tmp_path / "searches").iterdir())) == 2
    assert main([*options, "--encoder", "searched_code:first"]) == 2
    assert "Write REPRESENTATION=MODULE:FUNCTION" in capsys.readouterr().err
