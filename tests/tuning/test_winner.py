import itertools

import pytest
import yaml

from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import check_parameters, read_defaults
from ecglib.experiment import Experiment
from tuning import plots, winner
from tuning.trials import COMPLETED, FAILED, Trial

NUMBERS = itertools.count(1)


@pytest.fixture
def trial(small_store):
    """Make a finished trial of given branches and score."""

    def make(branches, val_auroc, fusion="none", status=COMPLETED, **changes):
        experiment = {
            **{"dataset": small_store.name, "fingerprint": small_store.fingerprint},
            **{"task": "letters", "ensemble_size": 1, "epochs": 4, "seed": 5, "batch_size": 16},
            **{"branches": branches, "fusion": fusion, "width": 16, "learning_rate": 0.001},
            **changes,
        }
        return Trial(
            number=next(NUMBERS),
            status=status,
            experiment=experiment,
            model=Experiment(**experiment).model,
            val_auroc=val_auroc,
            history=[{"epoch": 1, "val_auroc": val_auroc}],
        )

    return make


def written(tmp_path, store, trials, caveats=()):
    parameters, batch = winner.write(tmp_path, store, trials, list(caveats))
    return yaml.safe_load(parameters.read_text()), BatchFile.read(batch)


def jobs(batch, store):
    """The experiments of a batch's grid, checked as `ecglib batch` checks them."""
    made = []
    for own in batch.list_parameters():
        values = check_parameters(batch.notebook, own)
        experiment = Experiment.from_parameters(values, store.name, store.fingerprint)
        experiment.check(store)
        made.append(experiment)
    assert len({e.run_name for e in made}) == len(made)
    return made


def test_a_fusion_that_won_meets_what_it_has_to_beat(tmp_path, small_store, trial):
    branches = {"time": "cnn", "frequency": "cnn_transformer"}
    won = trial(branches, 0.9, "intermediate_gated", width=32, learning_rate=0.004)
    tuned = trial({"time": "cnn"}, 0.8, width=24)
    others = [trial({"time": "cnn"}, 0.7), trial(branches, 0.85, "late_average")]
    values, batch = written(tmp_path, small_store, [*others, tuned, won])
    assert (batch.ensemble_sizes, batch.widened_branch) == ([2], True)
    made = jobs(batch, small_store)
    assert {e.seed for e in made} == {5, 6}
    assert {(e.model, e.width, e.learning_rate) for e in made} == {
        (won.model, 32, 0.004),
        ("time:cnn", 24, 0.001),  # as the search tuned it, not as the fusion likes it
        ("frequency:cnn_transformer", 32, 0.004),
    }
    assert all(e.batch_size == 16 and e.task == "letters" for e in made)
    assert values["width"] == 32
    assert values["branches"] == branches


def test_a_single_branch_that_won_meets_the_best_fusion(tmp_path, small_store, trial):
    three = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}
    won, fusion = trial({"time": "cnn"}, 0.9, width=8), trial(three, 0.6, "early_concat")
    values, batch = written(tmp_path, small_store, [fusion, won])
    assert batch.ensemble_sizes == [3]
    models = {(e.model, e.width) for e in jobs(batch, small_store)}
    singles = {("time:cnn", 8), ("frequency:cnn", 16), ("spectrogram:cnn2d", 16)}
    assert models == {(fusion.model, 16), *singles}
    assert values["branches"] == {"time": "cnn"}


def test_without_any_fusion_the_batch_has_the_single_branch_only(tmp_path, small_store, trial):
    failed = trial({"time": "cnn", "frequency": "cnn"}, None, "late_average", status=FAILED)
    _, batch = written(tmp_path, small_store, [failed, trial({"time": "cnn"}, 0.9)])
    assert {e.model for e in jobs(batch, small_store)} == {"time:cnn"}
    assert (batch.ensemble_sizes, batch.widened_branch) == ([], False)


def test_the_parameters_are_those_of_the_notebook_with_time_to_train(tmp_path, small_store, trial):
    values, batch = written(tmp_path, small_store, [trial({"time": "cnn"}, 0.9)])
    check_parameters(winner.NOTEBOOK, values)
    assert values["dataset"] == str(small_store.path.resolve()) == batch.dataset
    usual = read_defaults(winner.NOTEBOOK)["epochs"]
    assert values["epochs"] == batch.parameters["epochs"] == usual
    longer = trial({"time": "cnn"}, 0.95, epochs=usual + 7)
    assert written(tmp_path, small_store, [longer])[0]["epochs"] == usual + 7


def test_another_winner_has_a_batch_of_another_name(tmp_path, small_store, trial):
    first = trial({"time": "cnn"}, 0.8)
    _, one = written(tmp_path, small_store, [first])
    _, same = written(tmp_path, small_store, [first])
    _, other = written(tmp_path, small_store, [first, trial({"frequency": "cnn"}, 0.9)])
    assert one.path == same.path != other.path
    assert {path.name for path in tmp_path.iterdir()} == {"winner.yaml", other.path.name}


def test_the_files_say_where_they_come_from(tmp_path, small_store, trial):
    won = trial({"time": "cnn"}, 0.8)
    for path in winner.write(tmp_path, small_store, [won], ["synthetic data"]):
        head = path.read_text().split("\n")[:3]
        assert f"Trial {won.number} of {tmp_path.name}" in head[0]
        assert "0.8000" in head[1]
        assert head[2] == "# synthetic data"


def test_the_figure_shows_the_completed_trials_best_first(trial):
    low, high = trial({"time": "cnn"}, 0.7), trial({"frequency": "cnn"}, 0.8)
    failed = trial({"time": "cnn"}, None, status=FAILED)
    figure = plots.scores([low, failed, high], "synthetic data")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{t.model}  #{t.number}" for t in (high, low)]
    assert figure.get_suptitle() == "synthetic data"
