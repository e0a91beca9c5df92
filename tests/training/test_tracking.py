"""What TensorBoard and MLflow read of tracked runs, with their own readers."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from ecglib.errors import EcgError
from ecglib.experiment import Experiment
from ecglib.training import track_run, train, trainer
from ecglib.training.tracking.lock import lock_folder

EVERYTHING = {"tensors": 0}  # TensorBoard samples otherwise
INTERVAL = ("estimate", "low", "high")


@pytest.fixture(scope="module", autouse=True)
def _reset_variables():
    """Nothing is tracked unless a test says so; MLflow 3 reads folders only if it is told to."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("ECGLIB_TENSORBOARD", raising=False)
        monkeypatch.delenv("ECGLIB_MLFLOW", raising=False)
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        yield


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """Turn both on; return the folder above the runs, logs and entries."""
    monkeypatch.setenv("ECGLIB_TENSORBOARD", str(tmp_path / "logs"))
    monkeypatch.setenv("ECGLIB_MLFLOW", str(tmp_path / "mlruns"))
    return tmp_path


@pytest.fixture(scope="module")
def untracked_run(small_store, tmp_path_factory):
    return train_as_new_process(
        create(small_store), small_store, tmp_path_factory.mktemp("untracked")
    )


def create(store, **changes):
    values = {
        "task": "letters",
        "branches": {"frequency": "cnn"},
        "width": 4,
        "feature_dim": 8,
        "epochs": 3,
        "batch_size": 16,
    }
    return Experiment.from_flat(values | changes, store)


def train_as_new_process(experiment, store, folder):
    """Keras keeps counting names, which changes the rounding."""
    keras.backend.clear_session()
    return train(store, experiment, batch=folder / "b")


class Killed(KeyboardInterrupt):
    """Unlike KeyboardInterrupt itself it does not end the tests where nothing catches it."""


def train_and_kill(experiment, store, folder, kill_at):
    """Train until an epoch, counted over all members, was scored, and no further."""
    seen, score = [], trainer.ValidationScore

    class Watched(score):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            seen.append(epoch)
            if len(seen) == kill_at:
                raise Killed

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(trainer, "ValidationScore", Watched)
        with pytest.raises(Killed):
            train_as_new_process(experiment, store, folder)


def list_entries(folder):
    """Every entry that MLflow shows, of all experiments."""
    client = MlflowClient((folder / "mlruns").as_uri())
    experiments = client.search_experiments()
    return client.search_runs([one.experiment_id for one in experiments])


def read_entry(folder):
    """The only entry: its client and what it holds."""
    (entry,) = list_entries(folder)
    return MlflowClient((folder / "mlruns").as_uri()), entry


def read_log(folder):
    """The only log below a folder: its path and what TensorBoard reads of it."""
    (path,) = (folder / "logs").rglob("events.out.tfevents.*")
    log = EventAccumulator(str(path.parent), EVERYTHING)
    return path.parent, log.Reload()


def read_series(log, tag):
    return {event.step: make_ndarray(event.tensor_proto).item() for event in log.Tensors(tag)}


def list_expected_scores(run):
    return {
        f"{split}/{metric}/{part}": value[part]
        for split in ("validation", "test")
        for metric, value in run.metrics[split]["macro"].items()
        for part in INTERVAL
        if value[part] is not None
    }


def assert_entry_is_that_of(run, folder, group="epoch"):
    client, entry = read_entry(folder)
    assert entry.info.status == "FINISHED"
    assert entry.info.run_name == run.path.name
    for name, value in list_expected_scores(run).items():
        assert entry.data.metrics[name] == value
    for column in ("loss", "val_auroc"):
        points = client.get_metric_history(entry.info.run_id, f"{group}/{column}")
        found = [(point.step, point.value) for point in points]
        assert found == list(zip(run.history["epoch"], run.history[column], strict=True))


def assert_log_is_that_of(run, folder, group="epoch"):
    path, log = read_log(folder)
    assert path == folder / "logs" / "b" / run.path.name
    for name, value in list_expected_scores(run).items():
        assert read_series(log, name) == {0: np.float32(value)}
    for column in ("loss", "val_auroc"):
        values = np.float32(run.history[column])
        assert read_series(log, f"{group}/{column}") == dict(
            zip(run.history["epoch"], values, strict=True)
        )


def test_nothing_is_tracked_by_default(untracked_run):
    folder = untracked_run.path.parent.parent
    track_run(untracked_run)
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_a_tracked_run_is_bit_for_bit_the_one_that_is_not(small_store, untracked_run, tracked):
    run = train_as_new_process(untracked_run.experiment, small_store, tracked / "runs")
    assert run.path.name == untracked_run.path.name
    assert run.history.equals(untracked_run.history)
    for split in ("validation", "test"):
        assert np.array_equal(run.predictions(split).p, untracked_run.predictions(split).p)
        assert run.metrics[split] == untracked_run.metrics[split]
    names = {path.name for path in run.path.iterdir()}
    assert names == {path.name for path in untracked_run.path.iterdir()}
    assert_entry_is_that_of(run, tracked)
    assert_log_is_that_of(run, tracked)


def test_a_run_that_is_tracked_again_has_one_entry(untracked_run, small_store, tracked):
    track_run(untracked_run)
    (first,) = list_entries(tracked)
    track_run(untracked_run)
    runs_dir = untracked_run.path.parent.parent
    run = train(small_store, untracked_run.experiment, batch=runs_dir / "b")  # opens what is there
    assert_entry_is_that_of(run, tracked)
    assert_log_is_that_of(run, tracked)
    (entry,) = list_entries(tracked)
    assert entry.info.run_id == first.info.run_id


def test_an_entry_has_the_settings_and_leads_to_the_folder_of_the_run(untracked_run, tracked):
    track_run(untracked_run)
    client, entry = read_entry(tracked)
    settings = untracked_run.experiment.to_flat()
    assert set(entry.data.params) == set(settings)
    assert entry.data.params["epochs"] == "3"
    assert entry.data.params["branches"] == '{"frequency": "cnn"}'
    assert entry.data.tags["ecglib.run"] == str(untracked_run.path)
    assert str(untracked_run.path) in entry.data.tags["mlflow.note.content"]
    assert client.get_experiment(entry.info.experiment_id).name == "b"
    duration_s = (entry.info.end_time - entry.info.start_time) / 1000
    assert duration_s == pytest.approx(untracked_run.metrics["model"]["seconds"], abs=0.01)
    assert client.list_artifacts(entry.info.run_id) == []


def test_a_log_has_the_settings_and_names_the_folder_of_the_run(untracked_run, tracked):
    track_run(untracked_run)
    _, log = read_log(tracked)
    (text,) = (make_ndarray(event.tensor_proto).item().decode() for event in log.Tensors("run"))
    assert str(untracked_run.path) in text
    content = log.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["learning_rate"].number_value == 0.003
    assert settings["branches"].string_value == '{"frequency": "cnn"}'


def test_training_that_was_killed_has_each_epoch_once(small_store, untracked_run, tracked):
    train_and_kill(untracked_run.experiment, small_store, tracked / "runs", kill_at=3)
    assert not (tracked / "mlruns").exists()
    _, log = read_log(tracked)
    assert sorted(read_series(log, "epoch/loss")) == [1, 2]
    run = train_as_new_process(untracked_run.experiment, small_store, tracked / "runs")
    assert run.history.equals(untracked_run.history)
    assert_entry_is_that_of(run, tracked)
    assert_log_is_that_of(run, tracked)
    open_log = log.Reload()  # a TensorBoard that was open meanwhile
    assert len(open_log.Tensors("epoch/loss")) == 3


@pytest.mark.slow
def test_an_ensemble_has_one_entry_with_a_curve_for_each_member(small_store, tracked):
    experiment = create(small_store, ensemble_size=2, epochs=2)
    train_and_kill(experiment, small_store, tracked / "runs", kill_at=4)
    _, log = read_log(tracked)
    assert sorted(read_series(log, "member0/loss")) == [1, 2]
    assert sorted(read_series(log, "member1/loss")) == [1]
    run = train_as_new_process(experiment, small_store, tracked / "runs")
    client, entry = read_entry(tracked)
    _, log = read_log(tracked)
    for member, rows in run.history.groupby("member"):
        tag, losses = f"member{member}/loss", list(rows["loss"])
        points = client.get_metric_history(entry.info.run_id, tag)
        assert [point.value for point in points] == losses
        assert list(read_series(log, tag).values()) == list(np.float32(losses))


@pytest.mark.slow
def test_a_baseline_of_trees_is_tracked_too(small_store, tracked):
    experiment = create(small_store, branches={"handcrafted": "random_forest"})
    run = train(small_store, experiment, batch=tracked / "runs" / "b")
    assert_entry_is_that_of(run, tracked)
    assert_log_is_that_of(run, tracked)


def test_an_entry_that_was_not_finished_or_is_of_other_files_is_replaced(untracked_run, tracked):
    client = MlflowClient((tracked / "mlruns").as_uri())
    experiment = client.create_experiment("b")
    client.create_run(experiment, run_name=untracked_run.path.name)  # killed after this
    track_run(untracked_run)
    assert_entry_is_that_of(untracked_run, tracked)
    (entry,) = list_entries(tracked)
    client.set_tag(entry.info.run_id, "ecglib.checksum", "of a run that was damaged since then")
    track_run(untracked_run)
    assert_entry_is_that_of(untracked_run, tracked)


def test_values_that_do_not_exist_are_left_out(untracked_run, tracked, monkeypatch):
    macro = {"auroc": {"estimate": None, "low": None, "high": None}}
    monkeypatch.setitem(untracked_run.metrics, "test", {"macro": macro})
    history = untracked_run.history.assign(val_auroc=[math.nan, 0.5, 0.6])
    monkeypatch.setattr(type(untracked_run), "history", history)
    track_run(untracked_run)
    client, entry = read_entry(tracked)
    points = client.get_metric_history(entry.info.run_id, "epoch/val_auroc")
    assert [(point.step, point.value) for point in points] == [(2, 0.5), (3, 0.6)]
    assert not any(name.startswith("test/") for name in entry.data.metrics)
    _, log = read_log(tracked)
    assert sorted(read_series(log, "epoch/val_auroc")) == [2, 3]


@pytest.mark.slow
def test_processes_that_track_at_once_make_one_entry(untracked_run, tracked):
    code = "import sys; from ecglib.runs import Run; from ecglib.training import track_run; "
    code += "track_run(Run(sys.argv[1]))"
    command = [sys.executable, "-W", "error", "-c", code, str(untracked_run.path)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert_entry_is_that_of(untracked_run, tracked)
    assert_log_is_that_of(untracked_run, tracked)


@pytest.mark.parametrize("name", ["logs", "mlruns"])
def test_one_process_writes_to_a_folder_at_a_time(untracked_run, tracked, monkeypatch, name):
    monkeypatch.setattr("ecglib.training.tracking.lock.TIMEOUT_S", 0.1)
    with lock_folder(tracked / name), pytest.warns(UserWarning, match="not tracked"):
        track_run(untracked_run)
    assert [path.name for path in (tracked / name).rglob("*.tfevents.*")] == []
    track_run(untracked_run)
    assert_entry_is_that_of(untracked_run, tracked)
    assert_log_is_that_of(untracked_run, tracked)


def test_folders_that_cannot_be_written_do_not_fail_a_run(
    small_store, untracked_run, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ECGLIB_TENSORBOARD", str(tmp_path / "file"))
    monkeypatch.setenv("ECGLIB_MLFLOW", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not tracked") as warned:
        run = train_as_new_process(untracked_run.experiment, small_store, tmp_path / "runs")
    assert np.array_equal(run.predictions("test").p, untracked_run.predictions("test").p)
    texts = [str(one.message) for one in warned]
    assert any("epochs are not logged for TensorBoard" in text for text in texts)
    for variable in ("ECGLIB_TENSORBOARD", "ECGLIB_MLFLOW"):
        assert any(f"is finished, but not tracked in {variable}=" in text for text in texts)


def test_a_log_that_cannot_be_continued_does_not_stop_training(
    small_store, untracked_run, tmp_path, monkeypatch
):
    def fill_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("ECGLIB_TENSORBOARD", str(tmp_path / "logs"))
    monkeypatch.setattr("ecglib.training.tracking.tensorboard_log.name_values", fill_disk)
    with pytest.warns(
        UserWarning, match=r"not logged .*No space left.* Training goes on"
    ) as warned:
        run = train_as_new_process(untracked_run.experiment, small_store, tmp_path / "runs")
    assert len([one for one in warned if "Training goes on" in str(one.message)]) == 1
    assert run.history.equals(untracked_run.history)


def test_a_server_that_does_not_answer_does_not_fail_a_run(untracked_run, monkeypatch):
    monkeypatch.setenv("ECGLIB_MLFLOW", "http://127.0.0.1:9")  # the port that discards
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.warns(UserWarning, match=r"is finished, but not tracked in ECGLIB_MLFLOW='http:"):
        track_run(untracked_run)


def test_without_mlflow_training_says_what_to_install_before_it_begins(
    small_store, untracked_run, tracked, monkeypatch
):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(EcgError, match=r"not installed.*pip install \"ecg-fusion\[mlflow\]\""):
        train(small_store, untracked_run.experiment, batch=tracked / "runs" / "explore")
    assert not (tracked / "runs").exists()
    with pytest.warns(UserWarning, match=r"is finished, but not tracked.*ecg-fusion\[mlflow\]"):
        track_run(untracked_run)
    assert_log_is_that_of(untracked_run, tracked)
