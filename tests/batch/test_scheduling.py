"""Batches that are carried out through papermill, and what stops them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from helpers import make_small_source

from ecglib import runs
from ecglib.batch import scheduling
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch, Job
from ecglib.batch.notebooks import ProcessGroup, ProcessResult
from ecglib.batch.scheduling import run_batch
from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store
from ecglib.errors import BatchError, DatasetError, ExperimentError


@pytest.mark.parametrize(
    ("parameters", "grid", "error", "message"),
    [
        ({"wdith": 3}, {}, BatchError, "Did you mean 'width'"),
        ({"band_hz": [0.5, 80.0]}, {}, ExperimentError, "Nyquist"),
        ({"runs_dir": "x"}, {}, BatchError, r"sets .*'runs_dir'"),
        ({}, {"seed": [0, 0]}, BatchError, "same run more than once"),
    ],
)
def test_nothing_starts_when_a_parameter_is_wrong(
    small_store,
    small_batch,
    write_batch_file,
    tmp_path,
    monkeypatch,
    parameters,
    grid,
    error,
    message,
):
    monkeypatch.setattr(ProcessGroup, "run", None)
    path = write_batch_file(
        tmp_path,
        parameters=small_batch["parameters"] | parameters,
        grid=small_batch["grid"] | grid,
    )
    with pytest.raises(error, match=message):
        run_batch(BatchFile.read(path), small_store, tmp_path / "runs")


def test_nothing_starts_when_a_sample_of_the_store_was_changed(
    small_store, write_batch_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(ProcessGroup, "run", None)
    store = Dataset(shutil.copytree(small_store.path, tmp_path / small_store.path.name))
    samples = bytearray((store.path / "signals.npy").read_bytes())
    samples[-1] ^= 1
    (store.path / "signals.npy").write_bytes(samples)
    with pytest.raises(DatasetError, match=r"signals\.npy was changed"):
        run_batch(BatchFile.read(write_batch_file(tmp_path)), store, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def finished(small_store, write_batch_file, tmp_path_factory):
    """The small batch, carried out: three runs, and two controls of each branch in question."""
    folder = tmp_path_factory.mktemp("batch")
    file = BatchFile.read(write_batch_file(folder))
    return file, folder / "runs", run_batch(file, small_store, folder / "runs", n_jobs=2)


@pytest.mark.slow
def test_a_batch_leaves_runs_with_notebooks_and_a_report(finished):
    _, _, report = finished
    assert not report.failed
    found = runs.find_runs(report.folder)
    assert len(report.new) == len(found)
    roles = Counter(run.experiment.role for run in found)
    assert (roles["single"], roles["fusion"]) == (2, 1)
    assert 1 <= roles["ensemble"] == roles["widened"] <= 2
    assert all((run.path / "train.ipynb").is_file() for run in found)
    html = report.html.read_text()
    assert "late_average" in html
    assert html.count('<svg xmlns="http://www.w3.org/2000/svg"') > 5
    assert (report.folder / "verdicts.csv").is_file()


@pytest.mark.slow
def test_the_controls_repeat_the_branch_that_validates_best(finished):
    _, _, report = finished
    found = runs.find_runs(report.folder)
    singles = [run for run in found if run.experiment.role == "single"]
    best = max(singles, key=lambda r: r.metrics["validation"]["macro"]["auroc"]["estimate"])
    controls = {
        run.experiment.role: run
        for run in found
        if run.experiment.model.branches == best.experiment.model.branches and run is not best
    }
    ensemble, widened = controls["ensemble"], controls["widened"]
    assert ensemble.experiment.model.ensemble_size == 2
    (fusion,) = [run for run in found if run.experiment.role == "fusion"]
    n_parameters = fusion.metrics["model"]["parameters"]
    assert widened.experiment.model.target_parameters == n_parameters
    assert widened.experiment.model.width == best.experiment.model.width
    assert widened.metrics["model"]["width"] > best.metrics["model"]["width"] == 4
    assert widened.metrics["model"]["parameters"] == pytest.approx(n_parameters, rel=0.25)
    html = report.html.read_text()
    assert f">{widened.metrics['model']['parameters']:,}<" in html
    assert f">{n_parameters:,}<" in html


@pytest.mark.slow
def test_a_finished_batch_runs_nothing(finished, small_store, monkeypatch):
    file, runs_dir, first = finished
    monkeypatch.setattr(ProcessGroup, "run", None)
    again = run_batch(file, small_store, runs_dir)
    assert again.new == []
    assert sorted(again.existing) == sorted(first.new)
    assert again.html == first.html


@pytest.mark.slow
def test_the_report_is_written_again_when_a_score_has_changed(finished, small_store):
    file, runs_dir, first = finished
    first.html.write_text("kept")
    assert run_batch(file, small_store, runs_dir).html.read_text() == "kept"
    scores = first.folder / first.new[0] / "metrics.json"
    scores.write_text(scores.read_text() + "\n")
    assert run_batch(file, small_store, runs_dir).html.read_text() != "kept"


@pytest.mark.slow
def test_trees_are_one_run_whatever_the_networks_try(
    small_store, small_batch, write_batch_file, tmp_path
):
    """They ignore learning rates, crops and augmentations, so these do not repeat them."""
    models = [{"branches": {"frequency": "cnn"}}, {"branches": {"handcrafted": "random_forest"}}]
    parameters = {"crop_s": 2.0, "augment": {"gain": {}}, "sampling": "balanced"}
    path = write_batch_file(
        tmp_path,
        grid={"model": models, "learning_rate": [0.01, 0.02], "seed": [0]},
        parameters=small_batch["parameters"] | parameters,
    )
    batch = Batch(file=BatchFile.read(path), dataset=small_store, runs_dir=tmp_path)
    roles = sorted(job.experiment.role for job in batch.list_jobs())
    assert roles == ["baseline", "single", "single"]


@pytest.mark.slow
def test_a_run_that_fails_is_reported_and_stops_no_other(small_store, write_batch_file, tmp_path):
    wrong = {
        "branches": {"spectrogram": "cnn2d"},
        "representation_options": {"spectrogram": {"hop": 1.0}},
    }
    path = write_batch_file(
        tmp_path,
        grid={"model": [{"branches": {"frequency": "cnn"}}, wrong]},
        ensembles=[],
        same_size_branch=False,
    )
    report = run_batch(BatchFile.read(path), small_store, tmp_path / "runs", n_jobs=2)
    assert len(report.new) == 1
    ((name, error),) = report.failed.items()
    assert "spectrogram" in name
    assert "hop" in error
    failed = list((report.folder / scheduling.FAILED_FOLDER).glob("*.ipynb"))
    assert [path.stem for path in failed] == [name]


@pytest.mark.slow
def test_a_killed_batch_continues_where_it_was(write_batch_file, tmp_path):
    """The command is killed after its first run; the next call runs only what is missing."""
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    file = write_batch_file(tmp_path, ensembles=[], same_size_branch=False)
    command = [sys.executable, "-m", "ecglib", "batch", str(file), "--jobs", "1"]
    command += ["--dataset", str(store.path), "--runs-dir", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    pattern = "*/[!.]*/metrics.json"
    while not list((tmp_path / "runs").glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    existing = {path.parent.name for path in (tmp_path / "runs").glob(pattern)}
    assert 1 <= len(existing) < 3
    report = run_batch(BatchFile.read(file), store, tmp_path / "runs", n_jobs=2)
    assert existing <= set(report.existing)
    assert len(report.new) + len(report.existing) == 3
    assert not report.failed


def test_the_cores_are_divided_among_the_runs(tmp_path):
    environments = []

    class Processes:
        def run(self, command, environment):
            environments.append(environment)
            return ProcessResult(1, "an error\n")

    path = tmp_path / "b" / "run"
    job = Job(experiment=None, parameters={}, notebook_parameters={}, path=path)
    error = scheduling._execute_job(Path("n.ipynb"), job, 2, Processes())
    assert environments[0]["ECGLIB_THREADS"] == "2"
    assert error.startswith("an error")
    assert os.environ.get("ECGLIB_THREADS") != "2"
