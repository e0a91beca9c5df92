"""The sizes of widened branches; test_scheduling carries the controls out."""

from pathlib import Path

from run_helpers import make_run

from ecglib import runs
from ecglib.batch import controls
from ecglib.batch.jobs import Job
from ecglib.experiment import Experiment


def test_one_widened_branch_serves_all_fusions_of_about_one_size(monkeypatch):
    sizes = {"single": 90, "a": 100, "b": 120, "c": 150, "d": 160, "e": 200, "f": 201, "g": 300}
    dataset = {"dataset": "d", "fingerprint": "f", "task": "t"}
    single = Experiment.from_flat(dataset | {"branches": {"time": "cnn"}})
    branches = {"time": "cnn", "frequency": "cnn"}
    fusion = Experiment.from_flat(dataset | {"branches": branches, "fusion": "late_average"})
    jobs = [
        Job(
            experiment=single if name == "single" else fusion,
            parameters={},
            notebook_parameters={},
            path=Path(name),
        )
        for name in sizes
    ]
    monkeypatch.setattr(runs, "run_exists", lambda path: path.name != "g")  # which failed
    monkeypatch.setattr(controls, "_count_parameters", lambda job: sizes[job.path.name])
    assert controls.choose_sizes(jobs, min_parameters=40) == [201, 160, 120]
    assert controls.choose_sizes(jobs, min_parameters=100) == [201, 160]
    assert controls.choose_sizes(jobs, min_parameters=500) == []


def make_finished_jobs(monkeypatch, strengths):
    """Jobs of single branches with finished runs; some changes and the strength of each model."""
    made = [make_run(strength, **changes) for strength, changes in strengths]
    found = {run.path.name: run for run in made}
    monkeypatch.setattr(runs, "run_exists", lambda path: True)
    monkeypatch.setattr(runs, "Run", lambda path: found[path.name])
    return [
        Job(experiment=run.experiment, parameters={}, notebook_parameters={}, path=run.path)
        for run in made
    ]


def name_contenders(jobs):
    return [
        branch[0].experiment.model_name for branch in controls.find_contending_jobs(jobs, "auroc")
    ]


def test_a_branch_that_validation_does_not_clearly_beat_is_controlled_as_well(monkeypatch):
    models = [
        (strength, {"branches": branches, "seed": seed})
        for strength, branches in (
            (1.5, {"time": "cnn"}),
            (1.5, {"frequency": "cnn"}),
            (0.3, {"spectrogram": "cnn2d"}),
        )
        for seed in range(5)
    ]
    jobs = make_finished_jobs(monkeypatch, models)
    assert sorted(name_contenders(jobs)) == ["frequency:cnn", "time:cnn"]


def test_branches_of_another_recipe_are_controlled_by_themselves(monkeypatch):
    models = [
        (strength, {"branches": {"time": "cnn"}, "epochs": epochs, "seed": seed})
        for strength, epochs in ((2.0, 10), (0.5, 1))
        for seed in range(5)
    ]
    assert name_contenders(make_finished_jobs(monkeypatch, models)) == ["time:cnn", "time:cnn"]


def test_a_seed_of_which_a_fold_failed_is_left_out(monkeypatch):
    models = [
        (1.0, {"branches": {"time": "cnn"}, "seed": seed, "n_folds": 3, "fold": fold})
        for seed, folds in ((0, (1, 2, 3)), (1, (1, 3)))
        for fold in folds
    ]
    assert name_contenders(make_finished_jobs(monkeypatch, models)) == ["time:cnn"]
    alone = [model for model in models if model[1]["seed"] == 1]
    assert name_contenders(make_finished_jobs(monkeypatch, alone)) == []
