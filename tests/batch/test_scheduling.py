"""Batches that are carried out through papermill, and what stops them."""

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import psutil
import pytest
from helpers import make_small_source
from stand_in import FAILURE, PLOT
from studies import StudyFolder, write_experiment

from ecglib import runs
from ecglib.batch.comparison import compare_batches
from ecglib.batch.execution import explain_failure, find_lock
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import FAILED_FOLDER, Batch
from ecglib.batch.locks import hold_lock
from ecglib.batch.processes import ProcessResult
from ecglib.batch.scheduling import run_batch
from ecglib.batch.workers import WorkerPool
from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store
from ecglib.errors import BatchError, DamagedRunError, DatasetError, ExperimentError


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
    monkeypatch.setattr(WorkerPool, "execute", None)
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
    monkeypatch.setattr(WorkerPool, "execute", None)
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
    monkeypatch.setattr(WorkerPool, "execute", None)
    again = run_batch(file, small_store, runs_dir)
    assert again.new == []
    assert sorted(again.existing) == sorted(first.new)
    assert again.html == first.html


@pytest.mark.slow
def test_the_report_is_written_again_when_its_batch_has_changed(finished, small_store):
    file, runs_dir, first = finished
    first.html.write_text("kept")
    assert run_batch(file, small_store, runs_dir).html.read_text() == "kept"
    other = dataclasses.replace(file.comparison, margin=0.02)
    (first.folder / "batch.json").unlink()
    run_batch(dataclasses.replace(file, comparison=other), small_store, runs_dir)
    assert first.html.read_text() != "kept"
    (first.folder / "batch.json").unlink()


@pytest.mark.slow
def test_the_number_of_jobs_does_not_change_a_bit(
    finished, small_store, small_batch, write_batch_file, tmp_path, monkeypatch
):
    """One run at a time against two, as in the batch above, and without limits from outside."""
    for library in ("INTRAOP", "INTEROP"):
        monkeypatch.delenv(f"TF_NUM_{library}_THREADS", raising=False)
    _, _, first = finished
    grid = {"model": small_batch["grid"]["model"][:2], "seed": [0]}
    file = BatchFile.read(
        write_batch_file(tmp_path, grid=grid, ensembles=[], same_size_branch=False)
    )
    again = run_batch(file, small_store, tmp_path / "runs", n_jobs=1)
    assert len(again.new) == 2
    for name in again.new:
        one, other = runs.Run(first.folder / name), runs.Run(again.folder / name)
        assert one.environment.describe_difference(other.environment) == ""
        assert other.environment.threads == 1
        assert one.history.equals(other.history)
        for split in ("validation", "test"):
            assert np.array_equal(one.predictions(split).p, other.predictions(split).p)


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
def test_a_run_that_fails_is_reported_and_stops_no_other(
    small_store, small_batch, write_batch_file, tmp_path
):
    wrong = {
        "branches": {"spectrogram": "cnn2d"},
        "representation_options": {"spectrogram": {"hop": 1.0}},
    }
    grid = {"model": [wrong, {"branches": {"frequency": "cnn"}}]}
    path = write_batch_file(tmp_path, grid=grid, ensembles=[2])
    report = run_batch(BatchFile.read(path), small_store, tmp_path / "runs", n_jobs=1)
    assert len(report.new) == 1
    ((name, error),) = report.failed.items()
    assert "spectrogram" in name
    assert "hop" in error
    assert not report.has_controls
    assert {run.experiment.role for run in runs.find_runs(report.folder)} == {"single"}
    failed = sorted(path.name for path in (report.folder / FAILED_FOLDER).iterdir())
    assert failed == [f"{name}.ipynb", f"{name}.log"]
    assert report.logs[name].read_text().rstrip().endswith(error)


def kill_with_its_processes_left(process):
    """Kill a batch with SIGKILL, so that it can end nothing; return what it had started."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return started


@pytest.mark.slow
def test_killed_batches_on_one_folder_share_the_work_and_leave_nothing(write_batch_file, tmp_path):
    """One of two is killed after the first run; the other carries out what is missing, once."""
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    file = write_batch_file(tmp_path, ensembles=[], same_size_branch=False)
    command = [sys.executable, "-m", "ecglib", "batch", str(file), "--jobs", "1", "--json"]
    command += ["--dataset", str(store.path), "--runs-dir", str(tmp_path / "runs")]
    batches = [
        subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    deadline = time.monotonic() + 300
    while not list((tmp_path / "runs").glob("*/[!.]*/train.ipynb")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    started = kill_with_its_processes_left(batches[0])
    printed = json.loads(batches[1].communicate(timeout=300)[0])
    assert batches[1].returncode == 0
    assert len(printed["new"]) + len(printed["existing"]) == 3
    assert not printed["failed"]
    assert len(printed["existing"]) >= 1 or not started
    assert not psutil.wait_procs(started, timeout=30)[1]
    report = run_batch(BatchFile.read(file), store, tmp_path / "runs")
    assert (len(report.existing), report.new, report.damaged) == (3, [], {})
    assert not list(report.folder.glob(".work/*.lock"))


def test_three_failures_alike_stop_a_batch_and_are_named_once(stand_in):
    stand_in.results["*"] = FAILURE
    grid = {"model": [{"branches": {"time": "cnn"}}], "seed": [0, 1, 2, 3, 4]}
    with pytest.raises(BatchError) as caught:
        stand_in.run_batch(grid=grid)
    assert len(stand_in.calls) in (3, 4)  # one has begun when the third fails
    assert str(caught.value).count("the same for all") == 1
    assert "runs, such as time-cnn_seed0" in str(caught.value)
    assert f"{5 - len(stand_in.calls)} were not started" in str(caught.value)


def test_failures_that_differ_stop_nothing(stand_in):
    for number, job in enumerate(stand_in.jobs):
        text = f"ValueError: number {number}"
        stand_in.results[job.path.name] = ProcessResult(exit_status=1, output=text)
    with pytest.raises(BatchError, match=r"number 0.*number 1.*number 2"):
        stand_in.run_batch()
    assert len(stand_in.calls) == 3


def test_no_controls_are_made_while_a_run_of_the_grid_is_missing(stand_in):
    """And a control that another grid had asked for is not compared any more."""
    fusion = stand_in.jobs[2].path.name
    stand_in.results[fusion] = FAILURE
    report = stand_in.run_batch()
    assert (len(report.new), list(report.failed), report.has_controls) == (2, [fusion], False)
    assert len(stand_in.calls) == 3
    stand_in.results.clear()
    report = stand_in.run_batch()
    assert report.has_controls
    controls = [name for name in report.new if name != fusion]
    assert controls
    assert all(name.startswith("2x_") for name in controls)


def test_a_control_that_is_not_asked_for_is_not_in_the_report(stand_in):
    report = stand_in.run_batch()
    (control, *_) = [name for name in report.new if name.startswith("2x_")]
    assert "2 x " in report.html.read_text()
    without = stand_in.run_batch(ensemble_sizes=[])
    assert (without.folder / control / "metrics.json").is_file()
    assert "ensemble" not in set(without.comparisons[0].table["role"])
    (compared,) = compare_batches([without.folder])
    assert "ensemble" not in set(compared.table["role"])


def test_a_plot_that_fails_does_not_fail_its_run(stand_in):
    name = stand_in.jobs[0].path.name
    stand_in.results[name] = PLOT
    report = stand_in.run_batch()
    assert name in report.new
    assert not report.failed
    assert "after the run was written: ValueError: a plot" in report.incomplete[name]
    assert "a plot" in (report.folder / name / "train.ipynb").read_text()
    assert stand_in.run_batch().incomplete == {}


def test_a_run_without_its_notebook_gets_it_on_the_next_call(stand_in):
    report = stand_in.run_batch()
    n_calls, name = len(stand_in.calls), report.new[0]
    notebook = report.folder / name / "train.ipynb"
    notebook.unlink()
    before = (report.folder / name / "metrics.json").stat().st_mtime_ns
    again = stand_in.run_batch()
    assert (again.new, stand_in.calls[n_calls:]) == ([], [name])
    assert notebook.is_file()
    assert (report.folder / name / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("file", runs.FILES)
def test_a_damaged_run_is_named_set_aside_and_made_again(stand_in, file):
    first = stand_in.run_batch()
    name, n_calls = first.new[1], len(stand_in.calls)
    content = bytearray((first.folder / name / file).read_bytes())
    content[len(content) // 2] ^= 1
    (first.folder / name / file).write_bytes(content)
    with pytest.raises(DamagedRunError, match=name):
        runs.Run(first.folder / name).verify()
    report = stand_in.run_batch()
    assert stand_in.calls[n_calls:] == report.new == [name]
    assert file in report.damaged[name]
    assert (first.folder / "damaged" / f"{name}-1" / file).read_bytes() == content
    assert stand_in.run_batch().damaged == {}


def test_a_run_that_another_batch_carries_out_is_waited_for(stand_in):
    """Another process has the lock, writes the run and gives the lock back."""
    job = stand_in.jobs[0]
    held, finished = threading.Event(), threading.Event()

    def carry_out():
        with hold_lock(find_lock(job)):
            held.set()
            while len(stand_in.calls) < 2:
                time.sleep(0.01)
            write_experiment(job.experiment, place_of(job))
            finished.set()

    thread = threading.Thread(target=carry_out)
    thread.start()
    held.wait()
    report = stand_in.run_batch(ensemble_sizes=[])
    thread.join()
    assert finished.is_set()
    assert job.path.name not in stand_in.calls
    assert sorted([*report.new, *report.existing]) == sorted(job.path.name for job in stand_in.jobs)


def place_of(job):
    return StudyFolder(runs_dir=job.path.parents[1], batch=job.path.parent.name)


def test_an_interrupted_run_is_no_failure_to_look_into(stand_in):
    name = stand_in.jobs[0].path.name
    stand_in.results[name] = ProcessResult(exit_status=-9, output="", ended_by_us="interrupted")
    report = stand_in.run_batch()
    assert report.failed == {name: "interrupted"}
    assert not (report.folder / FAILED_FOLDER).exists()
    assert not list((report.folder / ".work").glob(f"{name}*"))


def test_a_run_over_its_time_limit_is_named_with_its_log(stand_in):
    name = stand_in.jobs[0].path.name
    limit = "not finished within 5 s"
    stand_in.results[name] = ProcessResult(exit_status=-9, output="", ended_by_us=limit)
    report = stand_in.run_batch(time_limit_s=5.0)
    assert report.failed == {name: limit}
    assert report.logs[name].is_file()


def test_a_folder_that_cannot_be_written_is_one_sentence(small_store, write_batch_file, tmp_path):
    (tmp_path / "runs").write_text("a file in place of the folder")
    with pytest.raises(BatchError, match=r"runs.* cannot be used.*--runs-dir"):
        run_batch(BatchFile.read(write_batch_file(tmp_path)), small_store, tmp_path / "runs")


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (FAILURE, "ValueError: the same for all"),
        (ProcessResult(exit_status=-9, output=""), "killed, probably out of memory"),
        (
            ProcessResult(exit_status=1, output="nbclient.exceptions.DeadKernelError: Kernel died"),
            "killed, probably out of memory",
        ),
        (
            ProcessResult(
                exit_status=1, output="Fatal Python error: Aborted\nDeadKernelError: died"
            ),
            "the kernel crashed: Fatal Python error: Aborted",
        ),
        (
            ProcessResult(exit_status=-9, output="", ended_by_us="not finished within 5 s"),
            "not fin",
        ),
        (ProcessResult(exit_status=3, output=""), "exit status 3, no run written"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(result, reason):
    explained = explain_failure(result)
    assert explained.startswith(reason)
    assert "\n" not in explained
