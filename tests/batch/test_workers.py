"""Workers: each notebook gets processes of its own, which end with it, its worker or its batch."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest
from waiting import is_running, read_number, wait_for

from ecglib.batch import processes, worker_process
from ecglib.batch import workers as pool
from ecglib.batch.processes import ProcessGroup
from ecglib.batch.workers import WorkerPool

SLEEP = "import time; time.sleep(600)"
WRITE_NUMBER = "import os, pathlib; pathlib.Path(number_file).write_text(str(os.getpid()))"


CHANGED = "from ecglib.batch import worker_process as w; {}; w.main()"
LIGHT = CHANGED.format("w.IMPORTED_AHEAD = ('papermill', 'ipykernel.kernelapp')")


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(processes, "LOOK_FOR_CHILDREN_S", 0.1)
    monkeypatch.setattr(processes, "POLL_S", 0.02)
    use_worker(monkeypatch, LIGHT)


def use_worker(monkeypatch, code):
    monkeypatch.setattr(pool, "WORKER", (sys.executable, "-c", code))


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with the parameters x and number_file."""
    parameters = nbformat.v4.new_code_cell("x = 0\nnumber_file = ''")
    parameters.metadata["tags"] = ["parameters"]
    cells = [parameters, *(nbformat.v4.new_code_cell(source) for source in sources)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture
def execute(tmp_path):
    """Execute a notebook of these cells by a pool of one worker, which the test may look at."""
    with ProcessGroup() as group, WorkerPool(group) as workers:

        def run(*sources, x=0, time_limit_s=0.0):
            write_notebook(tmp_path / "n.ipynb", *sources)
            request = {
                "notebook": str(tmp_path / "n.ipynb"),
                "executed": str(tmp_path / "out.ipynb"),
                "parameters": {"x": x, "number_file": str(tmp_path / "number")},
            }
            return workers.execute(request, tmp_path / "log", time_limit_s)

        run.group, run.workers = group, workers
        yield run


def read_outputs(path: Path) -> list[str]:
    """The text that the last cell has printed."""
    outputs = nbformat.read(path, 4).cells[-1].outputs
    return [output.get("text", "") for output in outputs]


def test_notebooks_share_a_worker_but_neither_names_nor_processes(execute, tmp_path):
    source = "seen = 'made' in globals(); made = x; import os; print(seen, x, os.getppid())"
    texts = []
    for x in (1, 2):
        assert execute(source, x=x).exit_status == 0
        texts.append(read_outputs(tmp_path / "out.ipynb")[0].split())
    assert [text[:2] for text in texts] == [["False", "1"], ["False", "2"]]
    assert texts[0][2] != texts[1][2]


@pytest.mark.skipif(worker_process.START_METHOD != "fork", reason="workers are copied on Linux")
def test_what_a_training_needs_is_imported_already_and_no_operation_was_run(
    execute, tmp_path, monkeypatch
):
    use_worker(monkeypatch, CHANGED.format("pass"))
    source = (
        "import sys; from tensorflow.python.eager import context as c; "
        "print('ecglib.training' in sys.modules, c.context()._initialized)"
    )
    assert execute(source).exit_status == 0
    assert read_outputs(tmp_path / "out.ipynb") == ["True False\n"]


def test_the_log_of_a_cell_that_fails_ends_with_its_error(execute, tmp_path):
    for _ in range(2):  # the second time by a worker that has seen a failure
        result = execute("print('first')", "raise ValueError('no such lead')")
        assert result.exit_status == 1
        assert "PapermillExecutionError" in result.output
        assert result.output.rstrip().endswith("ValueError: no such lead")
        assert (tmp_path / "log").read_text() == result.output


def test_a_kernel_that_is_killed_ends_its_notebook_and_the_worker_goes_on(execute):
    result = execute("import os; os.kill(os.getpid(), 9)")
    assert result.exit_status == 1
    assert "DeadKernelError" in result.output
    assert execute("1 + 1").exit_status == 0


@pytest.mark.parametrize("is_frozen", [False, True], ids=["running", "frozen"])
def test_ending_the_group_ends_the_worker_and_the_kernel(execute, tmp_path, is_frozen):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(execute, WRITE_NUMBER, SLEEP)
        kernel = read_number(tmp_path / "number")
        if is_frozen:
            os.kill(kernel, signal.SIGSTOP)
        execute.group.end()
        assert future.result(timeout=30).ended_by_us == "interrupted"
    wait_for(lambda: not is_running(kernel))


def test_a_notebook_is_ended_at_its_time_limit_and_the_next_is_executed(execute, tmp_path):
    assert execute("1 + 1").exit_status == 0  # so that a worker has started
    result = execute(WRITE_NUMBER, SLEEP, time_limit_s=5)
    assert result.ended_by_us == "not finished within 5 s"
    kernel = read_number(tmp_path / "number")
    wait_for(lambda: not is_running(kernel))
    assert execute("1 + 1").exit_status == 0


def test_a_worker_that_is_killed_takes_its_notebook_along_and_is_replaced(execute, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(execute, WRITE_NUMBER, SLEEP)
        kernel = psutil.Process(read_number(tmp_path / "number"))
        parents = kernel.parents()
        parents[1].kill()
        result = future.result(timeout=60)
    assert result.exit_status == -signal.SIGKILL
    wait_for(lambda: not is_running(kernel.pid) and not is_running(parents[0].pid))
    assert execute("1 + 1").exit_status == 0


def test_a_worker_that_cannot_start_says_why(execute, monkeypatch):
    use_worker(monkeypatch, "import nothing")
    result = execute("1 + 1")
    assert result.exit_status == 1
    assert "No module named 'nothing'" in result.output


def test_where_processes_cannot_be_copied_each_notebook_imports_by_itself(
    execute, tmp_path, monkeypatch
):
    use_worker(monkeypatch, CHANGED.format("w.START_METHOD = 'spawn'"))
    assert execute("import sys; print('ecglib.training' in sys.modules, x)", x=3).exit_status == 0
    assert read_outputs(tmp_path / "out.ipynb") == ["False 3\n"]


BATCH = f"""
import pathlib, sys
from ecglib.batch import workers as pool
pool.WORKER = (sys.executable, "-c", {LIGHT!r})
from ecglib.batch.processes import ProcessGroup
from ecglib.batch.workers import WorkerPool
folder = pathlib.Path(sys.argv[1])
request = {{
    "notebook": str(folder / "n.ipynb"),
    "executed": str(folder / "out.ipynb"),
    "parameters": {{"number_file": str(folder / "number")}},
}}
with ProcessGroup() as processes, WorkerPool(processes) as workers:
    workers.execute(request, folder / "log")
"""


@pytest.mark.parametrize("is_frozen", [False, True], ids=["running", "frozen"])
def test_nothing_of_a_batch_goes_on_after_it_was_killed(tmp_path, is_frozen):
    """Its workers, their notebooks and the kernels of these end, without anybody to end them."""
    write_notebook(tmp_path / "n.ipynb", WRITE_NUMBER, SLEEP)
    batch = subprocess.Popen([sys.executable, "-c", BATCH, str(tmp_path)])
    kernel = read_number(tmp_path / "number")
    started = [child.pid for child in psutil.Process(batch.pid).children(recursive=True)]
    assert kernel in started
    assert len(started) >= 3
    if is_frozen:
        os.kill(kernel, signal.SIGSTOP)
    batch.kill()
    batch.wait()
    wait_for(lambda: not any(is_running(number) for number in started))
