import json
import subprocess
import sys

import numpy as np
import pytest
from made import small_source

from ecglib import paths
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, ExperimentError, LeakError, RunError
from ecglib.experiment.config import Experiment
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS
from ecglib.training import input_pipeline, trainer
from tuning import search as searching
from tuning import space, trials
from tuning.search import search
from tuning.trials import COMPLETED, FAILED, INFEASIBLE, Trial


class Carried:
    """Stands in for training: notes what was asked, scores by learning rate."""

    def __init__(self):
        self.numbers, self.fates = [], {}

    def __call__(self, number, values, dataset, callbacks=()):
        self.numbers.append(number)
        fate = self.fates.get(number, COMPLETED)
        if fate is KeyboardInterrupt:
            raise KeyboardInterrupt
        made = {"number": number, "experiment": values, "model": Experiment(**values).model}
        if fate != COMPLETED:
            return Trial(**made, status=fate, error=f"Traceback\nOSError: boom {number}")
        score = 1 - values["learning_rate"]
        history = [{"epoch": 1, "val_auroc": score}]
        return Trial(**made, status=fate, val_auroc=score, parameters=9, history=history)


@pytest.fixture
def carried(monkeypatch):
    fake = Carried()
    monkeypatch.setattr(trials, "carry_out", fake)
    return fake


def suggested(result):
    return [trial.experiment for trial in result.trials]


def tiny(hp, crops_s):
    """A single branch, and the fusion that is fitted in a way of its own; small ones."""
    fusion = hp.Choice("fusion", ["none", "late_weighted"])
    branches = {"time": "cnn", "frequency": "cnn"} if fusion != "none" else {"frequency": "cnn"}
    return {"branches": branches, "fusion": fusion, "width": 4, "feature_dim": 8}


@pytest.fixture(scope="module")
def real(small_store, tmp_path_factory):
    """Two trials that were really trained, and the rows whose signals were read for them."""
    feed, rows = input_pipeline.feed, set()

    def watched(dataset, selection, *args, **options):
        rows.update(selection.rows.tolist())
        return feed(dataset, selection, *args, **options)

    patch = pytest.MonkeyPatch()
    patch.setattr(input_pipeline, "feed", watched)
    patch.setattr(searching, "suggest", tiny)
    result = search(
        small_store,
        parameters={"batch_size": 16},
        **{"max_trials": 2, "epochs": 1, "seed": 4},
        folder=tmp_path_factory.mktemp("searches"),
    )
    patch.undo()
    return result, rows


def test_the_test_part_is_not_touched(real, small_store):
    selection = small_store.select("letters")
    rows = {part: set(selection.in_split(part).rows) for part in ("train", "validation", "test")}
    assert real[1] == rows["train"] | rows["validation"]
    assert not real[1] & rows["test"]
    assert "test" not in trials.without_test(selection).part


def test_labels_of_the_test_part_do_not_matter(real, small_store, monkeypatch):
    """The same trial, with every test label turned round, has the same bits."""
    select = Dataset.select

    def turned(self, *asked):
        selection = select(self, *asked)
        test = selection.part == "test"
        selection.y[test] = 1 - selection.y[test]
        return selection

    monkeypatch.setattr(Dataset, "select", turned)
    first = real[0].trials[0]
    again = trials.carry_out(1, first.experiment, small_store)
    assert again.val_auroc == first.val_auroc
    assert again.history == first.history


def test_a_trial_is_what_a_run_of_its_experiment_gives(real, small_store, tmp_path):
    best = real[0].best
    run = trainer.train(Experiment(**best.experiment), small_store, tmp_path)
    assert run.metrics["validation"]["macro"]["auroc"]["estimate"] == best.val_auroc
    assert run.metrics["model"]["parameters"] == best.parameters
    assert run.history["val_auroc"].tolist() == [epoch["val_auroc"] for epoch in best.history]


def test_a_search_leaves_experiments_and_histories_but_no_weights(real):
    folder = real[0].folder
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    own = {"search.json", "winner.yaml", real[0].batch.name}
    assert names == own | {"trials/001.json", "trials/002.json"}
    left = json.loads((folder / "trials" / "001.json").read_text())
    assert left["status"] == COMPLETED
    assert left["experiment"]["seed"] == 4
    assert [epoch["epoch"] for epoch in left["history"]] == [1]


def test_suggestions_are_feasible_and_reach_the_whole_space(small_store, carried, tmp_path):
    experiments = suggested(search(small_store, max_trials=300, folder=tmp_path))
    fusions, branches, crops = set(), set(), set()
    for values in experiments:
        Experiment(**values)
        fusions.add(values["fusion"])
        branches |= set(values["branches"].items())
        crops.add(values["crop_s"])
        assert (values["fusion"] == "none") == (len(values["branches"]) == 1)
    assert fusions == {"none", *FUSIONS}
    assert branches == {
        (name, encoder)
        for name, representation in REPRESENTATIONS.items()
        for encoder in representation.encoders
    }
    assert crops == {0.0, 2.5}  # of windows of 4 s
    singles = sum(values["fusion"] == "none" for values in experiments)
    assert 25 < singles < 75  # 5 subsets of 31


def test_windows_around_beats_are_not_cut():
    assert space.crop_lengths(SignalSpec(120.0, 480, ("MLII", "V"), around_beats=True)) == [0.0]
    assert space.crop_lengths(SignalSpec(100.0, 1000, ("I",))) == [0.0, 2.5, 5.0]


def test_same_seed_same_trials_zero_included(small_store, carried, tmp_path):
    zero, again, one = (
        suggested(search(small_store, max_trials=8, seed=seed, folder=tmp_path / name))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert zero == again
    assert not {v["learning_rate"] for v in zero} & {v["learning_rate"] for v in one}


def test_the_best_is_the_highest(small_store, carried, tmp_path):
    result = search(small_store, max_trials=5, folder=tmp_path)
    scores = [trial.val_auroc for trial in result.trials]
    assert result.best.val_auroc == max(scores)
    assert result.table()["validation macro AUROC"].tolist() == sorted(scores, reverse=True)
    assert result.table()["trial"][0] == result.best.number


def test_a_killed_search_goes_on_with_the_trials_it_would_have_made(small_store, carried, tmp_path):
    carried.fates = {3: KeyboardInterrupt}
    with pytest.raises(KeyboardInterrupt):
        search(small_store, max_trials=5, folder=tmp_path / "killed")
    assert carried.numbers == [1, 2, 3]
    carried.fates = {}
    resumed = search(small_store, max_trials=5, folder=tmp_path / "killed")
    assert carried.numbers == [1, 2, 3, 3, 4, 5]
    assert resumed.found == 2
    whole = search(small_store, max_trials=5, folder=tmp_path / "whole")
    assert resumed.trials == whole.trials


def test_a_finished_search_does_nothing_and_more_trials_add_to_it(small_store, carried, tmp_path):
    first = search(small_store, max_trials=3, folder=tmp_path)
    second = search(small_store, max_trials=3, folder=tmp_path)
    assert carried.numbers == [1, 2, 3]
    assert second.trials == first.trials
    assert "Nothing was to do" in second.sentences()[0]
    third = search(small_store, max_trials=12, folder=tmp_path)
    assert carried.numbers == list(range(1, 13))
    assert third.trials[:3] == first.trials
    assert "made: 9, found: 3" in third.sentences()[0]


def test_another_question_does_not_continue_an_old_answer(
    small_store, small_class_store, carried, tmp_path, monkeypatch
):
    def found(store=small_store, **changes):
        return search(store, **({"max_trials": 2, "folder": tmp_path} | changes))

    folders = [found().folder]
    paths.append(found(epochs=5).folder)
    paths.append(found(seed=1).folder)
    paths.append(found(parameters={"batch_size": 32}).folder)
    paths.append(found(small_class_store).folder)

    def smaller(hp, crops_s):
        rate = hp.Choice("learning_rate", [1e-3, 2e-3, 3e-3])
        return {"branches": {"time": "cnn"}, "learning_rate": rate}

    monkeypatch.setattr(searching, "suggest", smaller)
    paths.append(found().folder)
    assert len(set(folders)) == len(folders)
    assert carried.numbers == [1, 2] * len(folders)
    exhausted = found(max_trials=9)
    assert len(exhausted.trials) == 3
    assert "holds no more" in exhausted.sentences()[1]


def test_a_trial_that_was_cut_short_or_altered_is_made_again(small_store, carried, tmp_path):
    folder = search(small_store, max_trials=3, folder=tmp_path).folder / "trials"
    (folder / "001.json").write_text('{"number": 1, "sta')
    altered = json.loads((folder / "003.json").read_text())
    altered["experiment"]["width"] = 999
    (folder / "003.json").write_text(json.dumps(altered))
    assert search(small_store, max_trials=3, folder=tmp_path).found == 1
    assert carried.numbers == [1, 2, 3, 1, 3]


def test_a_failed_trial_is_shown_and_tried_again(small_store, carried, tmp_path, capsys):
    carried.fates = {2: FAILED, 4: INFEASIBLE}
    result = search(small_store, max_trials=4, folder=tmp_path)
    assert "failed: OSError: boom 2" in capsys.readouterr().out
    assert "Trial 2 failed: OSError: boom 2" in result.sentences()
    assert result.table()["status"].tolist().count(COMPLETED) == 2
    assert result.best.number in (1, 3)
    carried.fates = {}
    again = search(small_store, max_trials=4, folder=tmp_path)
    assert carried.numbers == [1, 2, 3, 4, 2]  # an infeasible one stays infeasible
    assert [trial.status for trial in again.trials] == [COMPLETED] * 3 + [INFEASIBLE]


def test_three_failures_in_a_row_end_the_search_with_their_cause(small_store, carried, tmp_path):
    carried.fates = {1: FAILED, 3: FAILED, 4: INFEASIBLE, 5: FAILED, 6: FAILED}
    with pytest.raises(RunError, match=r"3 trials failed in a row.*boom 6.*006\.json"):
        search(small_store, max_trials=9, folder=tmp_path)
    assert carried.numbers == [1, 2, 3, 4, 5, 6]
    carried.fates = {}
    assert search(small_store, max_trials=9, folder=tmp_path).found == 2


@pytest.mark.parametrize("fate", [FAILED, INFEASIBLE])
def test_a_search_without_any_result_says_so(small_store, carried, tmp_path, fate):
    carried.fates = dict.fromkeys(range(1, 3), fate)
    with pytest.raises(RunError, match=r"None of 2 trials completed.*boom 2"):
        search(small_store, max_trials=2, folder=tmp_path)


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("oops"), FAILED), (ExperimentError("no"), INFEASIBLE)]
)
def test_an_error_in_training_ends_the_trial_only(small_store, monkeypatch, error, status):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(trainer, "fit", broken)
    values = {
        **{"dataset": small_store.name, "fingerprint": small_store.fingerprint},
        **{"task": "letters", "branches": {"time": "cnn"}},
    }
    trial = trials.carry_out(1, values, small_store)
    assert trial.status == status
    assert trial.reason.endswith(str(error))
    impossible = trials.carry_out(2, values | {"fusion": "late_average"}, small_store)
    assert impossible.status == INFEASIBLE
    assert "with one branch" in impossible.reason


def test_an_error_of_the_search_itself_is_not_swallowed(small_store, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("my own mistake")

    monkeypatch.setattr(trials, "carry_out", broken)
    with pytest.raises(RunError, match="my own mistake"):
        search(small_store, max_trials=2, folder=tmp_path)


def test_a_full_disk_is_said_and_leaves_no_half_file(small_store, carried, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", full)
    with pytest.raises(RunError, match="No space left"):
        search(small_store, max_trials=2, folder=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"parameters": {"width": 8}}, ExperimentError, "space.py says what is searched"),
        ({"parameters": {"batchsize": 8}}, ExperimentError, "batchsize"),
        ({"parameters": {"batch_size": "8"}}, ValueError, "expected int"),
        ({"parameters": {"band_hz": [0.5, 80.0]}}, ExperimentError, "Nyquist"),
        ({"task": "numbers"}, DatasetError, "no task 'numbers'"),
        ({"max_trials": 0}, ExperimentError, "max_trials=0"),
        ({"seed": -1}, ExperimentError, "seed=-1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    small_store, carried, tmp_path, changes, error, message
):
    with pytest.raises(error, match=message):
        search(small_store, **({"max_trials": 2, "folder": tmp_path} | changes))
    assert carried.numbers == []
    assert list(tmp_path.iterdir()) == []


def test_a_leak_is_refused_or_marked(carried, tmp_path):
    source = small_source()
    source._table["part"] = np.resize(["train", "test", "validation", "train", "test"], 96)
    store = write_store(source, tmp_path / "data", progress=False)
    with pytest.raises(LeakError, match="shared_patients"):
        search(store, max_trials=1, folder=tmp_path)
    allowed = {"allow_leaks": ["shared_patients"]}
    result = search(store, parameters=allowed, max_trials=1, folder=tmp_path)
    assert "shared patients" in result.caveat
    assert f"Caveat: {result.caveat}." in result.sentences()
    assert f"# {result.caveat}" in result.batch.read_text()


def test_help_does_not_pay_for_keras():
    code = (
        "import sys\nimport tuning.__main__\ntry: tuning.__main__.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'keras', 'keras_tuner', 'tensorflow', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--trials" in done.stdout


def test_the_command_prints_trials_winner_and_what_is_next(
    small_store, carried, tmp_path, capsys, monkeypatch
):
    from tuning.__main__ import main

    monkeypatch.chdir(tmp_path)
    given = ["--dataset", str(small_store.path), "--trials", "3", "--folder", "searches"]
    assert main([*given, "--set", "batch_size=16"]) == 0
    printed = capsys.readouterr().out
    assert "Best on the validation part: trial" in printed
    assert printed.count(COMPLETED) == 3
    line = next(line for line in printed.splitlines() if "ecglib batch" in line)
    assert (tmp_path / line.split()[-1]).is_file()
    assert main([*given, "--set", "width=16"]) == 2
    assert "width" in capsys.readouterr().err
