"""What a run of a batch costs beyond its training steps, and how busy a batch keeps the cores."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import Figure, compute_ratios
from ecglib import runs
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch, Job
from ecglib.batch.notebooks import NotebookTask, execute_notebook
from ecglib.batch.processes import ProcessGroup
from ecglib.batch.scheduling import run_batch
from ecglib.batch.workers import WorkerPool
from ecglib.datasets import prepare

FILE = Path(__file__).resolve().parents[1] / "notebooks" / "batches" / "evidence.yaml"
MODEL = {"branches": {"time": "cnn"}, "fusion": "none"}
N_ROUNDS, N_SEEDS, N_EPOCHS = 5, 8, 2
IMPORTS = "import tensorflow, keras"


def measure_fixed() -> Figure:
    """Measure the time of a run beside its training steps, by stage."""
    stages: list[dict[str, float]] = []
    imports: list[float] = []
    with tempfile.TemporaryDirectory() as folder, ProcessGroup() as processes:
        jobs = _list_jobs(Path(folder), range(N_ROUNDS + 1))
        notebook = BatchFile.read(FILE).notebook
        with WorkerPool(processes) as workers:
            for job in tqdm(jobs, desc="run.fixed", unit="run", leave=False):
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True)
                imports.append(time.perf_counter() - started)
                task = NotebookTask(
                    notebook=notebook,
                    executed=Path(folder, "executed.ipynb"),
                    parameters=job.notebook_parameters,
                    log=Path(folder, "log"),
                )
                started = time.perf_counter()
                result = execute_notebook(task, workers)
                seconds = time.perf_counter() - started
                if result.exit_status != 0:
                    raise RuntimeError(result.output)
                stages.append(_divide(seconds, task.executed, job.path))
    stages, imports = stages[1:], imports[1:]  # the first worker had to start
    fixed = [sum(one.values()) - one["steps"] for one in stages]
    detail = {stage: [one[stage] for one in stages] for stage in stages[0]}
    return Figure(
        name="run.fixed",
        what="a papermill run of time:cnn, 10 epochs, beside its training steps (one thread)",
        against="a Python process that imports TensorFlow and Keras, which most of it was once",
        floor=0.6,
        ratios=compute_ratios(imports, fixed),
        detail={
            "s beside the steps": round(statistics.median(fixed), 2),
            "s of the imports": round(statistics.median(imports), 2),
            **{f"s: {k}": round(statistics.median(v), 2) for k, v in detail.items()},
        },
    )


def measure_busy() -> Figure:
    """Measure how much of all cores a batch of short runs uses."""
    n_jobs = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        dataset = prepare("synthetic_evidence", data_dir=Path(folder, "data"), progress=False)
        file = _read_batch_file(range(N_SEEDS), epochs=N_EPOCHS)
        before, started = os.times(), time.perf_counter()
        run_batch(file, dataset, Path(folder, "runs"), n_jobs)
        seconds, after = time.perf_counter() - started, os.times()
    busy = sum(after[:4]) - sum(before[:4])
    return Figure(
        name="run.busy",
        what=f"processor time of a batch of {N_SEEDS} runs of {N_EPOCHS} epochs, with its report",
        against="all cores busy all the time",
        floor=0.85,
        ratios=[busy / (seconds * n_jobs)],
        detail={"s of the batch": round(seconds, 1), "s of a run": round(seconds / N_SEEDS, 2)},
    )


def _read_batch_file(seeds: range, epochs: int) -> BatchFile:
    file = BatchFile.read(FILE, epochs=epochs)
    grid = {"model": [MODEL], "seed": list(seeds)}
    return dataclasses.replace(file, grid=grid, ensemble_sizes=[], widened_branch=False)


def _list_jobs(folder: Path, seeds: range) -> list[Job]:
    dataset = prepare("synthetic_evidence", data_dir=folder / "data", progress=False)
    file = _read_batch_file(seeds, epochs=10)
    return Batch(file=file, dataset=dataset, runs_dir=folder / "runs").list_jobs()


def _divide(seconds: float, executed: Path, run: Path) -> dict[str, float]:
    """Divide the time of a run into its stages."""
    cells = [
        cell for cell in json.loads(executed.read_bytes())["cells"] if cell["cell_type"] == "code"
    ]
    # Without tags are those that do something; others hold parameters or install the package.
    store, training, *rest = [_get_duration(one) for one in cells if not one["metadata"]["tags"]]
    model = runs.Run(run).metrics["model"]
    stages = model["seconds_by_stage"]
    return {
        "kernel and papermill": seconds - sum(_get_duration(one) for one in cells),
        "store": store,
        **stages,
        "rest of the training": model["seconds"] - sum(stages.values()),
        "writing": training - model["seconds"],
        "plots and tables": sum(rest),
    }


def _get_duration(cell: dict[str, Any]) -> float:
    return float(cell["metadata"]["papermill"]["duration"])


FIGURES = {"fixed": measure_fixed, "busy": measure_busy}
