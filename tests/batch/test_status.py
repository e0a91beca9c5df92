"""`ecglib status`: how far a batch is, seen from another process."""

import dataclasses
import json
import threading

import keras
import numpy as np
import pytest
from stand_in import FAILURE
from studies import NOTEBOOK_S, StudyFolder, write_experiment

from ecglib.batch.execution import find_lock
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch
from ecglib.batch.locks import Owner, hold_lock
from ecglib.batch.processes import ProcessResult
from ecglib.batch.progress import read_progress, record_request
from ecglib.batch.status import read_status
from ecglib.cli.commands import main
from ecglib.experiment import describe_environment
from ecglib.training.callbacks import Checkpoint, CheckpointPlace


@pytest.fixture
def jobs(small_store, small_batch, write_batch_file, tmp_path):
    """Four seeds of one model with ten epochs, recorded as a batch records them."""
    path = write_batch_file(
        tmp_path,
        grid={"model": small_batch["grid"]["model"][:1], "seed": [0, 1, 2, 3]},
        parameters=small_batch["parameters"] | {"epochs": 10},
    )
    batch = Batch(file=BatchFile.read(path), dataset=small_store, runs_dir=tmp_path / "runs")
    listed = batch.list_jobs()
    record_request(batch.folder, listed)
    return listed


def finish(job):
    place = StudyFolder(runs_dir=job.path.parents[1], batch=job.path.parent.name)
    write_experiment(job.experiment, place)


def train_for(n_epochs, path, name="seed0"):
    """Write the checkpoints of a small training; return its scores after the last epoch."""
    folder = path.with_name(f".{path.name}.checkpoint") / name
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    place = CheckpointPlace(folder=folder, environment=describe_environment(threads=1))
    score = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(val_auroc=0.5 + epoch / 100)
    )
    callbacks = [score, Checkpoint(place, model, n_epochs=10)]
    x, y = np.ones((4, 2)), np.zeros((4, 1))
    return model.fit(x, y, epochs=n_epochs, callbacks=callbacks, verbose=0).history


def test_the_states_of_all_runs_and_the_time_left(jobs, capsys):
    """One finished, one at epoch 3 of 10, one begun and killed, one not."""
    finish(jobs[0])
    history = train_for(3, jobs[1].path)
    train_for(5, jobs[2].path)
    with hold_lock(find_lock(jobs[1])):
        status = read_status(jobs[0].path.parent)
    assert [run.name for run in status.runs] == [job.path.name for job in jobs]
    assert [run.state for run in status.runs] == ["finished", "running", "waiting", "waiting"]
    assert [run.epoch for run in status.runs] == [0, 3, 5, 0]
    assert status.runs[1].n_epochs == 10
    assert status.runs[1].scores["val_auroc"] == pytest.approx(0.52)
    assert status.runs[1].scores["loss"] == pytest.approx(history["loss"][-1])
    assert status.seconds_left == pytest.approx((0.7 + 0.5 + 1.0) * NOTEBOOK_S)
    assert read_status(jobs[0].path.parent).seconds_left is None  # nothing runs any more


def test_a_model_without_a_finished_run_counts_as_the_mean_of_the_others(jobs):
    other = jobs[1].experiment.replace(branches={"frequency": "cnn"})
    requested = [jobs[0], dataclasses.replace(jobs[1], experiment=other)]
    record_request(jobs[0].path.parent, requested)
    finish(jobs[0])
    with hold_lock(find_lock(jobs[1])):
        left = read_status(jobs[0].path.parent).seconds_left
    assert left == pytest.approx(NOTEBOOK_S)


def test_status_from_a_shell_in_text_and_json(jobs, capsys):
    finish(jobs[0])
    train_for(4, jobs[1].path)
    batch, runs_dir = jobs[0].path.parent.name, str(jobs[0].path.parents[1])
    with hold_lock(find_lock(jobs[1])):
        assert main(["status", batch, "--runs-dir", runs_dir]) == 0
        text = capsys.readouterr().out
        assert main(["status", f"{runs_dir}/{batch}", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert "4 runs: 1 finished, 1 running, 0 failed, 2 waiting; about " in text
    assert f"running  {jobs[1].path.name}: epoch 4 of 10, val_auroc 0.530" in text
    assert printed["counts"] == {"finished": 1, "running": 1, "failed": 0, "waiting": 2}
    assert printed["runs"][1]["scores"]["val_auroc"] == pytest.approx(0.53)


def test_the_lock_of_a_process_that_died_is_no_running_run(jobs):
    lock = find_lock(jobs[0])
    owner = Owner.describe_this_process()
    lock.write_text(json.dumps({**vars(owner), "started_s": owner.started_s - 1000}))
    assert read_status(jobs[0].path.parent).count()["running"] == 0
    assert lock.exists()


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (FAILURE, "ValueError: the same for all"),
        (
            ProcessResult(exit_status=-9, output="", ended_by_us="not finished within 5 s"),
            "not finished within 5 s",
        ),
    ],
)
def test_a_failed_run_is_named_with_its_reason_until_it_runs_again(
    stand_in, capsys, result, problem
):
    failed = stand_in.jobs[1]
    stand_in.results[failed.path.name] = result
    report = stand_in.run_batch()
    status = read_status(report.folder)
    assert status.count() == {"finished": 2, "running": 0, "failed": 1, "waiting": 0}
    assert (status.runs[1].problem, status.runs[1].log) == (problem, report.logs[failed.path.name])
    assert main(["status", str(report.folder)]) == 1
    assert f"failed   {failed.path.name}: {problem} (see " in capsys.readouterr().out
    with hold_lock(find_lock(failed)):
        assert read_status(report.folder).runs[1].state == "running"
    stand_in.results.clear()
    stand_in.run_batch()
    counts = read_status(report.folder).count()
    assert counts["finished"] > 3  # with controls
    assert counts["failed"] == counts["waiting"] == 0


def test_runs_are_seen_while_their_batch_carries_them_out(stand_in):
    """The status is read within a run, from another thread than that of the batch."""
    seen = []
    stand_in.before = lambda name: seen.append(read_status(stand_in.jobs[0].path.parent))
    thread = threading.Thread(target=stand_in.run_batch, kwargs={"ensemble_sizes": []})
    thread.start()
    thread.join()
    assert [one.count()["finished"] for one in seen] == [0, 1, 2]
    assert [one.count()["running"] for one in seen] == [1, 1, 1]
    assert [one.count()["waiting"] for one in seen] == [2, 1, 0]


def test_an_ensemble_and_branches_that_are_trained_alone_are_told(jobs):
    path = jobs[0].path
    train_for(1, path, "seed0-time/seed0")
    progress = read_progress(path)
    assert (progress.model, progress.branch, progress.epoch) == (1, "time", 1)
    train_for(2, path, "seed0")
    assert read_progress(path).branch == ""
    train_for(1, path, "seed1000")
    progress = read_progress(path)
    assert (progress.model, progress.epoch) == (2, 1)


def test_what_cannot_be_read_is_no_progress(jobs):
    folder = jobs[0].path.with_name(f".{jobs[0].path.name}.checkpoint")
    train_for(1, jobs[0].path)
    (folder / "seed0" / "checkpoint.npz").write_bytes(b"PK damaged")
    assert read_progress(jobs[0].path) is None
    (jobs[0].path.parent / ".work" / "request.json").write_text("[1]")
    finish(jobs[3])
    status = read_status(jobs[0].path.parent)
    assert [(run.name, run.state) for run in status.runs] == [(jobs[3].path.name, "finished")]


def test_a_batch_that_does_not_exist_is_named(tmp_path, capsys):
    assert main(["status", "nothing", "--runs-dir", str(tmp_path)]) == 2
    assert "There is no batch" in capsys.readouterr().err
