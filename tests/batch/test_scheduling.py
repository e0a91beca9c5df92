import dataclasses
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from made import small_source

from ecglib import runs
from ecglib.batch import notebooks, scheduling
from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import check_parameters, notebook_defaults
from ecglib.batch.scheduling import run_batch
from ecglib.datasets.writer import write_store
from ecglib.errors import BatchError, ExperimentError
from ecglib.experiment import Experiment

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BRANCHES = {"time": "cnn", "frequency": "cnn"}
GRID = {
    "model": [
        {"branches": {"time": "cnn"}},
        {"branches": {"frequency": "cnn"}},
        {"branches": BRANCHES, "fusion": "late_average"},
    ],
    "seed": [0],
}
SMALL = {
    **{"task": "letters", "fusion": "none", "width": 4, "feature_dim": 8, "epochs": 1},
    "batch_size": 16,
}


def written(folder, **changes):
    values = {
        "notebook": str(NOTEBOOKS / "03_train.ipynb"),
        "compare": str(NOTEBOOKS / "04_compare.ipynb"),
        "dataset": "small",
        "parameters": SMALL,
        "grid": GRID,
        "ensembles_of_best_branch": [2],
        "widened_best_branch": True,
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return path


def test_the_parameters_of_the_training_notebook_are_those_of_an_experiment():

    names = set(notebook_defaults(NOTEBOOKS / "03_train.ipynb"))
    places = {"source", "data_dir", "runs_dir", "batch"}
    fields = {f.name for f in dataclasses.fields(Experiment)} - {"fingerprint"}
    assert names == fields | places


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, r"no parameter 'epoch'.*Did you mean 'epochs'"),
        ({"epochs": "3"}, r"epochs='3' .* is str, expected int"),
        ({"epochs": 2.5}, r"is float, expected int"),
        ({"branches": ["time"]}, r"is list, expected dict"),
    ],
)
def test_unknown_names_and_wrong_types_are_refused(given, message):
    with pytest.raises(BatchError, match=message):
        check_parameters(NOTEBOOKS / "03_train.ipynb", given)


def test_whole_numbers_stand_for_floats_and_defaults_fill_up():
    values = check_parameters(NOTEBOOKS / "03_train.ipynb", {"learning_rate": 1})
    assert values["learning_rate"] == 1
    assert values["task"] == "superdiagnostic"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gird": {}}, r"unknown keys \['gird'\]"),
        ({"notebook": "no.ipynb"}, r"names the notebook no\.ipynb"),
        ({"grid": None}, r"grid"),
        ({"widened_best_branch": 2}, "must be true or false, found 2"),
    ],
)
def test_a_wrong_batch_file_is_refused(tmp_path, changes, message):
    with pytest.raises(BatchError, match=message):
        BatchFile.read(written(tmp_path, **changes))


MAIN_JOBS = [f"fusion{dataset}" for dataset in ("", "_ptbxl", "_cinc2017", "_mitdb")]
OTHERS = {"representations": 24, "branch_training": 16, "encoders_ptbxl": 25, "aami_mitdb": 25}
OTHERS |= {"aami_mitdb_folds": 24}
RUNS = dict.fromkeys(MAIN_JOBS, 20) | OTHERS


def experiments_of(name: str) -> list[Experiment]:
    file = BatchFile.read(NOTEBOOKS / "batches" / f"{name}.yaml")
    given = [check_parameters(file.notebook, own) for own in file.combinations()]
    return [Experiment.from_parameters(values, "d", "f") for values in given]


def test_every_batch_file_has_a_number_of_runs_here():
    assert set(RUNS) == {path.stem for path in (NOTEBOOKS / "batches").glob("*.yaml")}


@pytest.mark.parametrize(("name", "runs"), RUNS.items())
def test_what_a_batch_file_asks_for_is_known_and_differs(name, runs):
    assert len({one.hash for one in experiments_of(name)}) == runs


@pytest.mark.parametrize("name", [*MAIN_JOBS, "representations", "aami_mitdb"])
def test_the_classical_baseline_stands_beside_the_networks(name):
    all_of_them = experiments_of(name)
    trees = [one.seed for one in all_of_them if one.role == "baseline"]
    assert trees == sorted({one.seed for one in all_of_them if one.role != "baseline"})


@pytest.mark.parametrize("name", MAIN_JOBS)
def test_the_main_job_is_the_same_for_every_dataset(name):
    models = [(own.branches, own.fusion, own.seed) for own in experiments_of(name)]
    assert models == [(own.branches, own.fusion, own.seed) for own in experiments_of("fusion")]
    file = BatchFile.read(NOTEBOOKS / "batches" / f"{name}.yaml")
    assert (list(file.ensembles), file.widened) == ([3], True)


def test_with_folds_each_combination_is_run_once_a_fold(tmp_path):
    file = BatchFile.read(written(tmp_path), n_folds=3)
    combinations = file.combinations()
    assert [own["fold"] for own in combinations] == [1, 2, 3] * 3
    assert [own["branches"] for own in combinations[2:4]] == [{"time": "cnn"}, {"frequency": "cnn"}]
    grid = GRID | {"fold": [2]}
    assert len(BatchFile.read(written(tmp_path, grid=grid), n_folds=3).combinations()) == 3


def test_the_grid_is_every_combination(tmp_path):
    grid = {"model": GRID["model"][:2], "seed": [0, 1], "width": [4]}
    file = BatchFile.read(written(tmp_path, grid=grid), epochs=7)
    combinations = file.combinations()
    assert len(combinations) == 4
    assert {(tuple(c["branches"]), c["seed"]) for c in combinations} == {
        (("time",), 0),
        (("time",), 1),
        (("frequency",), 0),
        (("frequency",), 1),
    }
    assert all(c["epochs"] == 7 and c["width"] == 4 for c in combinations)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"parameters": SMALL | {"wdith": 3}}, BatchError, "Did you mean 'width'"),
        ({"parameters": SMALL | {"band_hz": [0.5, 80.0]}}, ExperimentError, "Nyquist"),
        ({"parameters": SMALL | {"runs_dir": "x"}}, BatchError, r"sets .*'runs_dir'"),
        ({"grid": GRID | {"seed": [0, 0]}}, BatchError, "same run more than once"),
    ],
)
def test_nothing_starts_when_a_parameter_is_wrong(
    small_store, tmp_path, monkeypatch, changes, error, message
):
    monkeypatch.setattr(scheduling, "_execute", None)
    file = BatchFile.read(written(tmp_path, **changes))
    with pytest.raises(error, match=message):
        run_batch(file, small_store, tmp_path / "runs")


@pytest.fixture(scope="module")
def made(small_store, tmp_path_factory):
    """A batch of three runs and two controls, carried out through papermill."""
    folder = tmp_path_factory.mktemp("batch")
    file = BatchFile.read(written(folder))
    return file, folder / "runs", run_batch(file, small_store, folder / "runs", jobs=2)


def test_a_batch_leaves_runs_with_notebooks_and_a_report(made):
    _, _, report = made
    assert not report.failed
    assert len(report.made) == 5
    found = runs.find_runs(report.folder)
    roles = sorted(run.experiment.role for run in found)
    assert roles == ["ensemble", "fusion", "single", "single", "widened"]
    assert all((run.path / "train.ipynb").is_file() for run in found)
    html = report.html.read_text()
    assert "late_average" in html
    assert "data:image/png" in html


def test_the_control_repeats_the_branch_that_validates_best(made):
    found = runs.find_runs(made[2].folder)
    singles = [run for run in found if run.experiment.role == "single"]
    best = max(singles, key=lambda r: r.metrics["validation"]["macro"]["auroc"]["estimate"])
    (control,) = [run for run in found if run.experiment.role == "ensemble"]
    assert control.experiment.branches == best.experiment.branches
    assert control.experiment.ensemble_size == 2
    (fusion,) = [run for run in found if run.experiment.role == "fusion"]
    (wide,) = [run for run in found if run.experiment.role == "widened"]
    wanted = fusion.metrics["model"]["parameters"]
    assert wide.experiment.branches == best.experiment.branches
    assert (wide.experiment.target_parameters, wide.experiment.width) == (
        wanted,
        best.experiment.width,
    )
    assert wide.metrics["model"]["width"] > best.metrics["model"]["width"] == 4
    assert wide.metrics["model"]["parameters"] == pytest.approx(wanted, rel=0.25)
    told = f"{wide.metrics['model']['parameters']:,} parameters, the fusion has {wanted:,}"
    assert told in made[2].html.read_text()


def test_one_widened_branch_for_all_fusions_of_about_one_size(monkeypatch):
    sizes = {"single": 90, "a": 100, "b": 120, "c": 150, "d": 160, "e": 200, "f": 201, "g": 300}
    own = {"dataset": "d", "fingerprint": "f", "task": "t"}
    single = Experiment(**own, branches={"time": "cnn"})
    fused = Experiment(**own, branches=BRANCHES, fusion="late_average")
    grid = [
        scheduling.Job(single if name == "single" else fused, {}, {}, Path(name)) for name in sizes
    ]
    monkeypatch.setattr(runs, "exists", lambda path: path.name != "g")  # which failed
    monkeypatch.setattr(scheduling, "_parameters", lambda job: sizes[job.path.name])
    assert scheduling._sizes(grid, 40) == [201, 160, 120]
    assert scheduling._sizes(grid, 100) == [201, 160]
    assert scheduling._sizes(grid, 500) == []


def test_a_finished_batch_has_nothing_to_do(made, small_store, monkeypatch):
    file, folder, first = made
    monkeypatch.setattr(scheduling, "execute", None)
    again = run_batch(file, small_store, folder)
    assert again.made == []
    assert len(again.found) == 5
    assert again.html == first.html


def test_the_report_is_made_anew_when_a_score_has_changed(made, small_store, monkeypatch):
    file, folder, first = made
    monkeypatch.setattr(scheduling, "execute", lambda *_: (1, "was executed"))
    scores = first.folder / first.made[0] / "metrics.json"
    before = scores.read_text()
    scores.write_text(before + "\n")
    with pytest.raises(BatchError, match="was executed"):
        run_batch(file, small_store, folder)
    scores.write_text(before)
    assert run_batch(file, small_store, folder).html == first.html


def test_trees_beside_networks_are_one_run_whatever_the_networks_try(small_store, tmp_path):
    """Learning rates are no axis of theirs, and what the batch shares does not stop it."""
    models = [{"branches": {"frequency": "cnn"}}, {"branches": {"handcrafted": "random_forest"}}]
    shared = SMALL | {"crop_s": 2.0, "augment": {"gain": {}}, "sampling": "balanced"}
    grid = {"model": models, "learning_rate": [0.01, 0.02], "seed": [0]}
    file = BatchFile.read(written(tmp_path, grid=grid, parameters=shared))
    given = {"dataset": str(small_store.path), "runs_dir": str(tmp_path), "batch": "b"}
    jobs = [scheduling._job(file, c, given, small_store, tmp_path) for c in file.combinations()]
    roles = sorted(job.experiment.role for job in scheduling._without_twins(jobs))
    assert roles == ["baseline", "single", "single"]


def test_one_that_fails_stops_no_other_and_is_said(small_store, tmp_path):
    grid = {
        "model": [
            {"branches": {"frequency": "cnn"}},
            {
                "branches": {"spectrogram": "cnn2d"},
                "representation_options": {"spectrogram": {"hop": 1.0}},
            },
        ]
    }
    changes = {"ensembles_of_best_branch": [], "widened_best_branch": False}
    file = BatchFile.read(written(tmp_path, grid=grid, **changes))
    report = run_batch(file, small_store, tmp_path / "runs", jobs=2)
    assert len(report.made) == 1
    ((name, error),) = report.failed.items()
    assert "spectrogram" in name
    assert "hop" in error
    kept = list((report.folder / scheduling.FAILED).glob("*.ipynb"))
    assert [path.stem for path in kept] == [name]


def test_a_killed_batch_goes_on_where_it_was(tmp_path):
    """The command is killed after its first run; the next call makes only what is missing."""
    store = write_store(small_source(), tmp_path / "data", progress=False)
    file = written(tmp_path, ensembles_of_best_branch=[], widened_best_branch=False)
    command = [sys.executable, "-m", "ecglib", "batch", str(file), "--jobs", "1"]
    command += ["--dataset", str(store.path), "--runs-dir", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    pattern = "*/[!.]*/metrics.json"
    while not list((tmp_path / "runs").glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    finished = {path.parent.name for path in (tmp_path / "runs").glob(pattern)}
    assert 1 <= len(finished) < 3
    report = run_batch(BatchFile.read(file), store, tmp_path / "runs", jobs=2)
    assert finished <= set(report.found)
    assert len(report.made) + len(report.found) == 3
    assert not report.failed


def test_ending_the_processes_does_not_wait_for_them(tmp_path):
    """A command that would run for minutes is gone at once, and none is started any more."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with ThreadPoolExecutor(1) as pool, notebooks.Processes() as processes:
        future = pool.submit(processes.run, sleep, dict(os.environ))
        while not processes._own:
            time.sleep(0.01)
        processes.end()
        code, _ = future.result(timeout=60)
        assert code == -signal.SIGTERM
        assert processes.run(sleep, {}) == (1, "interrupted")


def test_threads_are_shared_out(monkeypatch, tmp_path):
    seen = {}

    class Processes:
        def run(self, command, environment):
            seen.update(environment)
            return 1, "an error\n"

    job = scheduling.Job(None, {}, {}, tmp_path / "b" / "run")
    error = scheduling._execute(Path("n.ipynb"), job, "2", Processes())
    assert seen["ECGLIB_THREADS"] == "2"
    assert error.startswith("an error")
    assert os.environ.get("ECGLIB_THREADS") != "2"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["kernel", "kernel", "ok"], (0, "")),
        (["kernel"] * 4, (1, f"RuntimeError: {notebooks.NOT_STARTED}")),
        (["ValueError", "ok"], (1, "ValueError")),
    ],
    ids=["starts at last", "never starts", "a cell failed"],
)
def test_a_kernel_that_did_not_start_is_started_again(answers, expected):
    known = {"kernel": (1, f"RuntimeError: {notebooks.NOT_STARTED}"), "ok": (0, "")}
    left = [known.get(name, (1, name)) for name in answers]

    class Processes:
        def run(self, command, environment):
            return left.pop(0)

    assert notebooks.execute(Path("n.ipynb"), Path("out.ipynb"), {}, {}, Processes()) == expected
