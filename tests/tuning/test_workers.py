"""Several processes share a search: nothing is trained twice, nothing lost when one is killed."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ecglib.errors import ExperimentError, RunError
from tuning import workers
from tuning.search import plan_search, search
from tuning.settings import SearchSettings
from tuning.workers import Order

# A worker whose trainings take half a second, and write down who trained what. Where the folder
# holds a file `kill-<number>` the worker kills itself in the middle of that trial, and removes it.
FAKE_WORKER = """
import os, signal, sys, time
from pathlib import Path
from tuning import training, workers
from tuning.trials import Trial

def run_trial(number, settings, dataset, options=None):
    diary = Path({diary!r})
    (diary / f"began-{{number}}-{{settings['seed']}}-{{os.getpid()}}").touch()
    (diary / "preallocate").write_text(os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"])
    time.sleep(0.5)
    kill = diary / f"kill-{{number}}"
    if kill.exists():
        kill.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if (diary / "fail").exists():
        return Trial(number=number, status="failed", experiment=settings, model="-", error="boom")
    return Trial(number=number, status="completed", experiment=settings, model="time:cnn",
                 val_auroc=1 - settings["learning_rate"], parameters=9,
                 history=[{{"epoch": 1, "val_auroc": 0.5}}])

training.run_trial = run_trial
workers.main()
"""


@pytest.fixture
def diary(tmp_path, monkeypatch, training):
    folder = tmp_path / "diary"
    folder.mkdir()
    script = tmp_path / "worker.py"
    script.write_text(FAKE_WORKER.format(diary=str(folder)))
    monkeypatch.setattr(workers, "WORKER", (sys.executable, str(script)))
    monkeypatch.setenv("PYTHONPATH", str(Path(workers.__file__).parents[1]))
    return folder


def list_begun(diary):
    """Number and process of each training that began."""
    parts = [path.name.split("-") for path in diary.glob("began-*")]
    return sorted((int(number), int(process)) for _, number, _, process in parts)


@pytest.fixture
def settings():
    return SearchSettings(max_trials=8, finalists=0)


@pytest.mark.slow
def test_two_workers_train_each_trial_once_and_find_what_one_does(
    small_store, diary, training, settings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared_encoders.py").write_text("def encode(x): pass\n")
    encoders = {name: ["shared_encoders:encode"] for name in ("time", "frequency")}
    settings = dataclasses.replace(settings, encoders=encoders, seed=1)
    alone = search(small_store, settings, tmp_path / "alone")
    training.numbers.clear()
    shared = search(small_store, settings, tmp_path / "shared", n_workers=2)
    for one, other in zip(shared.trials, alone.trials, strict=True):
        assert (one.experiment, one.val_auroc) == (other.experiment, other.val_auroc)
    assert "shared_encoders:encode@" in str([trial.experiment for trial in shared.trials])
    assert shared.winner.trial.number == alone.winner.trial.number
    begun = list_begun(diary)
    assert [number for number, _ in begun] == list(range(1, 9))
    assert len({process for _, process in begun}) == 2
    assert training.numbers == []  # the parent trained nothing
    assert (diary / "preallocate").read_text() == "false"  # or JAX takes the GPU for one worker
    assert list(shared.folder.rglob("*.lock")) == []


@pytest.mark.slow
@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_the_trial_of_a_killed_worker_is_run_again(
    small_store, diary, training, settings, tmp_path, oracle
):
    (diary / "kill-3").touch()
    asked = dataclasses.replace(settings, oracle=oracle)
    result = search(small_store, asked, tmp_path, n_workers=2)
    numbers = [number for number, _ in list_begun(diary)]
    assert sorted(numbers) == [1, 2, 3, 3, 4, 5, 6, 7, 8]
    assert all(trial.is_completed for trial in result.trials)
    assert len(result.trials) == 8
    assert training.numbers == []


@pytest.mark.slow
def test_failing_trials_end_all_workers_with_their_cause(
    small_store, diary, training, settings, tmp_path
):
    (diary / "fail").touch()
    with pytest.raises(RunError, match=r"No worker finished.*3 trials failed in a row.*boom"):
        search(small_store, settings, tmp_path, n_workers=2)
    assert len(list_begun(diary)) <= 6


@pytest.mark.slow
def test_workers_end_with_their_parent_and_the_search_continues(
    small_store, diary, training, settings, tmp_path
):
    """The parent is killed: its workers end too, and the next search repeats no finished trial."""
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from tuning import workers\n"
        "order, script = json.loads(sys.argv[1]), sys.argv[2]\n"
        "workers.WORKER = (sys.executable, script)\n"
        "workers.run_workers(workers.Order.parse(order), 2)\n"
    )
    plan = plan_search(small_store, settings, tmp_path)
    plan.write_request()
    order = Order(
        dataset=small_store.path, settings=settings, searches_dir=tmp_path, folder=plan.folder
    )
    text = json.dumps(workers.yaml.safe_load(order.format()))
    parent = subprocess.Popen(
        [sys.executable, "-c", code, text, workers.WORKER[1]], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(list((plan.folder / "trials").glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert (len(children), alive) == (2, [])
    finished = {int(path.stem) for path in (plan.folder / "trials").glob("*.json")}
    result = search(small_store, settings, tmp_path)
    assert set(training.numbers) == set(range(1, 9)) - finished
    assert all(trial.is_completed for trial in result.trials)


def test_less_than_one_worker_is_refused(small_store, training, settings, tmp_path):
    with pytest.raises(ExperimentError, match="workers=0 must be at least 1"):
        search(small_store, settings, tmp_path, n_workers=0)
