"""The winner's files: what it has to beat, and what the batch file asks for."""

import itertools

import pytest
import yaml

from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import check_parameters, read_defaults
from ecglib.errors import RunError
from ecglib.evaluation.rules import MIN_SEEDS
from ecglib.experiment import Experiment, check_experiment
from tuning import plots
from tuning.trials import COMPLETED, FAILED, Trial
from tuning.winner import NOTEBOOK, write_winner

NUMBERS = itertools.count(1)


@pytest.fixture
def make_trial(small_store):
    """Make a finished trial with these branches and this score."""

    def make(branches, val_auroc, fusion="none", status=COMPLETED, **changes):
        experiment = {
            "dataset": small_store.name,
            "fingerprint": small_store.fingerprint,
            "task": "letters",
            "ensemble_size": 1,
            "epochs": 4,
            "seed": 5,
            "batch_size": 16,
            "branches": branches,
            "fusion": fusion,
            "width": 16,
            "learning_rate": 0.001,
        } | changes
        return Trial(
            number=next(NUMBERS),
            status=status,
            experiment=experiment,
            model=Experiment.from_flat(experiment).model_name,
            val_auroc=val_auroc,
            history=[{"epoch": 1, "val_auroc": val_auroc}],
        )

    return make


def write_and_read(folder, store, trials):
    """Write the files of the winner; return its parameters and the batch file."""
    winner = write_winner(folder, store, trials, [])
    return yaml.safe_load(winner.parameters.read_text()), BatchFile.read(winner.batch)


def list_experiments(batch, store):
    """The experiments of a batch's grid, checked as `ecglib batch` checks them."""
    experiments = []
    for parameters in batch.list_parameters():
        values = check_parameters(batch.notebook, parameters)
        experiment = Experiment.from_namespace(values, store)
        check_experiment(experiment, store)
        experiments.append(experiment)
    assert len({one.run_name for one in experiments}) == len(experiments)
    return experiments


def test_a_fusion_that_won_meets_what_it_has_to_beat(tmp_path, small_store, make_trial):
    branches = {"time": "cnn", "frequency": "cnn_transformer"}
    won = make_trial(branches, 0.9, "intermediate_gated", width=32, learning_rate=0.004)
    tuned = make_trial({"time": "cnn"}, 0.8, width=24)
    others = [make_trial({"time": "cnn"}, 0.7), make_trial(branches, 0.85, "late_average")]

    values, batch = write_and_read(tmp_path, small_store, [*others, tuned, won])

    assert (batch.ensemble_sizes, batch.widened_branch) == ([2], True)
    experiments = list_experiments(batch, small_store)
    assert {one.training.seed for one in experiments} == set(range(5, 5 + MIN_SEEDS))
    settings = {
        (one.model_name, one.model.width, one.training.learning_rate) for one in experiments
    }
    assert settings == {
        (won.model, 32, 0.004),
        ("time:cnn", 24, 0.001),  # with the settings found for it, not with those of the fusion
        ("frequency:cnn_transformer", 32, 0.004),
    }
    assert all(one.training.batch_size == 16 for one in experiments)
    assert all(one.data.task == "letters" for one in experiments)
    assert values["width"] == 32
    assert values["branches"] == branches


def test_a_single_branch_that_won_meets_the_best_fusion(tmp_path, small_store, make_trial):
    branches = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}
    won = make_trial({"time": "cnn"}, 0.9, width=8)
    fusion = make_trial(branches, 0.6, "early_concat")

    values, batch = write_and_read(tmp_path, small_store, [fusion, won])

    assert batch.ensemble_sizes == [3]
    models = {(one.model_name, one.model.width) for one in list_experiments(batch, small_store)}
    assert models == {
        (fusion.model, 16),
        ("time:cnn", 8),
        ("frequency:cnn", 16),
        ("spectrogram:cnn2d", 16),
    }
    assert values["branches"] == {"time": "cnn"}


def test_without_a_fusion_the_batch_has_the_single_branch_only(tmp_path, small_store, make_trial):
    branches = {"time": "cnn", "frequency": "cnn"}
    failed = make_trial(branches, None, "late_average", status=FAILED)
    _, batch = write_and_read(tmp_path, small_store, [failed, make_trial({"time": "cnn"}, 0.9)])
    models = {one.model_name for one in list_experiments(batch, small_store)}
    assert models == {"time:cnn"}
    assert (batch.ensemble_sizes, batch.widened_branch) == ([], False)


def test_without_a_completed_trial_nothing_is_written(tmp_path, small_store, make_trial):
    failed = make_trial({"time": "cnn"}, None, status=FAILED)
    with pytest.raises(RunError, match=r"No trial of .* completed"):
        write_winner(tmp_path, small_store, [failed], [])
    assert list(tmp_path.iterdir()) == []


def test_the_parameters_are_those_of_the_notebook_with_time_to_train(
    tmp_path, small_store, make_trial
):
    values, batch = write_and_read(tmp_path, small_store, [make_trial({"time": "cnn"}, 0.9)])
    check_parameters(NOTEBOOK, values)
    assert values["dataset"] == str(small_store.path.resolve()) == batch.dataset
    default = read_defaults(NOTEBOOK)["epochs"]
    assert values["epochs"] == batch.parameters["epochs"] == default
    longer = make_trial({"time": "cnn"}, 0.95, epochs=default + 7)
    values, _ = write_and_read(tmp_path, small_store, [longer])
    assert values["epochs"] == default + 7


def test_another_winner_has_a_batch_of_another_name(tmp_path, small_store, make_trial):
    first = make_trial({"time": "cnn"}, 0.8)
    better = make_trial({"frequency": "cnn"}, 0.9)
    _, one = write_and_read(tmp_path, small_store, [first])
    _, same = write_and_read(tmp_path, small_store, [first])
    _, other = write_and_read(tmp_path, small_store, [first, better])
    assert one.path == same.path != other.path
    assert {path.name for path in tmp_path.iterdir()} == {"winner.yaml", other.path.name}


def test_the_files_say_where_they_come_from(tmp_path, small_store, make_trial):
    trial = make_trial({"time": "cnn"}, 0.8)
    winner = write_winner(tmp_path, small_store, [trial], ["synthetic data"])
    for path in (winner.parameters, winner.batch):
        comments = path.read_text().split("\n")[:3]
        assert f"Trial {trial.number} of {tmp_path.name}" in comments[0]
        assert "0.8000" in comments[1]
        assert comments[2] == "# synthetic data"


def test_the_figure_shows_the_completed_trials_best_first(make_trial):
    low, high = make_trial({"time": "cnn"}, 0.7), make_trial({"frequency": "cnn"}, 0.8)
    failed = make_trial({"time": "cnn"}, None, status=FAILED)
    figure = plots.plot_trials([low, failed, high], "synthetic data")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{t.model}  #{t.number}" for t in (high, low)]
    assert figure.get_suptitle() == "synthetic data"
