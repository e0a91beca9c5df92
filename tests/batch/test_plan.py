"""What a batch would do: `ecglib batch FILE --dry-run`."""

import json

import pytest
from studies import EPOCHS_S, NOTEBOOK_S, StudyFolder, write_experiment

from ecglib.batch import jobs
from ecglib.batch.costs import Cost, Costs, read_costs
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch
from ecglib.batch.plan import plan_batch
from ecglib.batch.workers import WorkerPool
from ecglib.cli.commands import main
from ecglib.errors import BatchError


@pytest.fixture
def make_batch(small_store, write_batch_file, tmp_path):
    """A batch of the small grid with some keys of its file changed."""

    def make(**changes) -> Batch:
        file = BatchFile.read(write_batch_file(tmp_path, **changes))
        return Batch(file=file, dataset=small_store, runs_dir=tmp_path / "runs")

    return make


def finish(job, has_notebook=True):
    """Write a simulated run."""
    place = StudyFolder(
        runs_dir=job.path.parents[1], batch=job.path.parent.name, has_notebooks=has_notebook
    )
    return write_experiment(job.experiment, place)


def test_a_plan_lists_all_runs_and_starts_and_writes_nothing(make_batch, monkeypatch):
    monkeypatch.setattr(WorkerPool, "execute", None)
    batch = make_batch()
    plan = plan_batch(batch, n_jobs=2)
    assert [run.name for run in plan.runs] == [job.path.name for job in batch.list_jobs()]
    assert (plan.count_missing(), plan.problems, plan.has_controls) == (3, [], False)
    assert plan.estimate_seconds() is None
    assert not batch.runs_dir.exists()


def test_a_run_without_its_notebook_is_planned_and_a_finished_one_is_not(make_batch):
    batch = make_batch()
    first, second, _ = batch.list_jobs()
    finish(first)
    finish(second, has_notebook=False)
    plan = plan_batch(batch, n_jobs=1)
    assert [run.exists for run in plan.runs] == [True, False, False]


def test_a_plan_of_a_complete_grid_has_the_controls_that_the_batch_would_make(make_batch):
    batch = make_batch(same_size_branch=False)
    grid = batch.list_jobs()
    for job in grid:
        finish(job)
    plan = plan_batch(batch, n_jobs=1)
    controls = [run.name for run in plan.runs[len(grid) :]]
    assert plan.has_controls
    assert controls
    assert all(name.startswith("2x_") for name in controls)
    assert len(plan.missing) == len(controls)


def test_every_wrong_parameter_of_every_run_is_found_at_once(make_batch, small_batch):
    """Those of one run, and of different runs; each is named once with the number of runs."""
    models = [
        {"branches": {"time": "cnn"}, "wdith": 8, "dropout": 1.5, "batch_size": "16"},
        {"branches": {"time": "cnn"}, "band_hz": [0.5, 80.0]},
        {"branches": {"time": "lstn"}},
        {"branches": {"frequency": "cnn"}},
    ]
    parameters = small_batch["parameters"] | {"epochs": 0, "runs_dir": "x"}
    batch = make_batch(grid={"model": models, "seed": [0, 1]}, parameters=parameters)
    problems = plan_batch(batch, n_jobs=1).problems
    expected = {
        "has no parameter 'wdith'": 2,
        "dropout=1.5": 2,
        "batch_size='16'": 2,
        "epochs=0": 8,
        "sets the parameter 'runs_dir'": 8,
        "lstn": 2,
    }
    assert len(problems) == len(expected)
    for text, n_runs in expected.items():
        (problem,) = [one for one in problems if text in one]
        assert problem.endswith(f"({n_runs} runs)")
    with pytest.raises(BatchError, match="6 problems, nothing was started: 1"):
        batch.list_jobs()


def test_what_does_not_fit_the_dataset_is_found_in_every_run(make_batch, small_batch):
    models = [
        {"branches": {"time": "cnn"}, "band_hz": [0.5, 80.0]},
        {"branches": {"time": "cnn"}, "notch_hz": 60.0},
        {"branches": {"time": "cnn"}, "class_weights": "sqrt"},
        {"branches": {"time": "cnn"}},
    ]
    checked = make_batch(grid={"model": models}).check_jobs()
    texts = [problem.describe() for problem in checked.problems]
    assert ["band_hz" in texts[0], "notch_hz" in texts[1], "class_weights" in texts[2]] == [
        True
    ] * 3
    assert (len(texts), len(checked.jobs)) == (3, 1)


def test_the_windows_are_examined_once_for_all_runs_of_a_task(make_batch, monkeypatch):
    """So that a grid of thousands is planned in seconds."""
    batch = make_batch(grid={"model": [{"branches": {"time": "cnn"}}], "seed": list(range(50))})
    calls = []
    select = type(batch.dataset).select

    def count(dataset, *arguments):
        calls.append(arguments)
        return select(dataset, *arguments)

    monkeypatch.setattr(type(batch.dataset), "select", count)
    reads = []
    read = jobs.read_defaults
    monkeypatch.setattr(jobs, "read_defaults", lambda path: reads.append(path) or read(path))
    assert len(batch.list_jobs()) == 50
    assert (len(calls), len(reads)) == (1, 1)


def test_time_and_disk_are_estimated_from_runs_of_the_same_model(make_batch, small_batch):
    """One seed of the first model is finished: its notebook's time, and the sizes of its files."""
    grid = small_batch["grid"] | {"seed": [0, 1, 2]}
    batch = make_batch(grid=grid, ensembles=[], same_size_branch=False)
    run = finish(batch.list_jobs()[0])
    n_bytes = sum(file.stat().st_size for file in run.path.iterdir())
    plan = plan_batch(batch, n_jobs=2)
    known = [one for one in plan.missing if one.cost]
    assert [one.name.rsplit("_", 1)[0] for one in known] == ["time-cnn_seed1", "time-cnn_seed2"]
    each = Cost(seconds=NOTEBOOK_S, n_bytes=n_bytes, fixed_s=NOTEBOOK_S - EPOCHS_S)
    assert {one.cost for one in known} == {each}
    assert plan.count_without_estimate() == 6  # which count as the mean of the others
    assert plan.estimate_seconds() == pytest.approx(8 * each.seconds / 2)
    assert plan.estimate_cost().n_bytes == pytest.approx(8 * n_bytes)


def test_costs_of_other_epochs_are_scaled_and_other_stores_are_ignored(make_batch, tmp_path):
    batch = make_batch()
    experiment = batch.list_jobs()[0].experiment
    finish(batch.list_jobs()[0])
    (tmp_path / "runs" / "b" / "damaged").mkdir(parents=True)
    (tmp_path / "runs" / "b" / "damaged" / "metrics.json").write_text("{")
    costs = read_costs(batch.runs_dir, batch.dataset.fingerprint)
    estimated = costs.estimate(experiment.replace(epochs=experiment.training.epochs * 4))
    assert estimated.seconds == pytest.approx(NOTEBOOK_S + 3 * EPOCHS_S)
    assert read_costs(batch.runs_dir, "other").estimate(experiment) is None
    assert Costs([]).estimate(experiment) is None


def test_a_dry_run_prints_the_plan_and_exits_with_2_on_a_problem(
    small_store, write_batch_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(WorkerPool, "execute", None)
    command = ["batch", str(write_batch_file(tmp_path)), "--dataset", str(small_store.path)]
    command += ["--runs-dir", str(tmp_path / "runs"), "--dry-run"]
    assert main(command) == 0
    assert "3 runs, 0 exist, 3 are missing" in capsys.readouterr().out
    wrong = [*command, "--json", "--set", "epochs=0", "--set", "sead=1"]
    assert main(wrong) == 2
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["problems"]) == 2
    assert printed["runs"] == []
    assert not (tmp_path / "runs").exists()
