"""Carry out a batch: check every run, execute those that are missing, compare, report.

`ecglib.batch.file` describes the batch file, `ecglib.batch.notebooks` executes notebooks.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm.auto import tqdm

from ecglib import paths, runs
from ecglib.batch.comparison import compare_batches, record_settings
from ecglib.batch.controls import list_controls
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import WORK_FOLDER, Batch, Job
from ecglib.batch.notebooks import ProcessGroup, execute_notebook
from ecglib.datasets.store import Dataset
from ecglib.datasets.store_files import verify_store
from ecglib.errors import BatchError
from ecglib.evaluation.comparison import Comparison

FAILED_FOLDER = "failed"  # in the folder of a batch: notebooks that failed
MAX_DEFAULT_JOBS = 4


@dataclasses.dataclass(kw_only=True)
class BatchReport:
    """What a batch did.

    Parameters
    ----------
    batch : str
        Name of the batch.
    folder : Path
        Folder of its runs.
    new : list of str
        Names of the runs that were carried out now.
    existing : list of str
        Names of the runs that existed before.
    failed : dict of str to str
        Name of each run that failed -> last line of its error.
    comparisons : list of Comparison
        Of all its runs, one for each task and store.
    html : Path, optional
        The report, once it is written.

    Examples
    --------
    >>> report = BatchReport(batch="fusion", folder=Path("runs/fusion"))
    >>> report.new.append("time-cnn_seed0_0123456789")
    >>> len(report.new), report.failed
    (1, {})
    """

    batch: str
    folder: Path
    new: list[str] = dataclasses.field(default_factory=list)
    existing: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    comparisons: list[Comparison] = dataclasses.field(default_factory=list)
    html: Path | None = None


def run_batch(
    file: BatchFile, dataset: Dataset, runs_dir: str | Path = "", n_jobs: int = 0
) -> BatchReport:
    """Carry out the missing runs of a batch, then compare all and write ``report.html``.

    Parameters
    ----------
    file : BatchFile
        The batch file.
    dataset : Dataset
        The prepared store.
    runs_dir : str or Path, default ""
        Folder of all batches; empty for the usual one (`ecglib.paths.runs_dir`).
    n_jobs : int, default 0
        Number of runs at the same time; 0 for one per core, at most 4. The cores are divided
        among them.

    Returns
    -------
    BatchReport
        The runs that are new, existed or failed, and the report. A run that fails stops no other.

    Raises
    ------
    EcgError
        If a parameter is wrong, an experiment does not fit the dataset, or the store is not as it
        was prepared (`verify_store`); nothing was started.
    BatchError
        If no run finished.
    RunError
        If the runs cannot be compared.

    Examples
    --------
    The main job on the synthetic data, from the checkout; it takes minutes::

        file = BatchFile.read("notebooks/batches/fusion.yaml", epochs=1)
        report = run_batch(file, ecglib.prepare("synthetic"))
        print(report.html)

    A wrong parameter is found before anything is started:

    >>> import json
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": "seed = 0\\nepochs = 20"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notebook = Path(folder, "train.ipynb")
    ...     _ = notebook.write_text(json.dumps({"cells": [cell]}))
    ...     file = BatchFile(
    ...         path=Path(folder, "seeds.yaml"),
    ...         notebook=notebook,
    ...         dataset="synthetic",
    ...         parameters={"epoch": 5},
    ...         grid={"seed": [0, 1]},
    ...         ensemble_sizes=[],
    ...         widened_branch=False,
    ...     )
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     run_batch(file, dataset, folder)
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: train.ipynb has no parameter 'epoch'; ... Did you mean 'epochs'?
    """
    batch = Batch(file=file, dataset=dataset, runs_dir=paths.runs_dir(runs_dir).resolve())
    report = BatchReport(batch=batch.name, folder=batch.folder)
    n_jobs = n_jobs or min(os.cpu_count() or 1, MAX_DEFAULT_JOBS)
    jobs = batch.list_jobs()
    verify_store(dataset.path)
    record_settings(batch.folder, file.comparison)
    _run_jobs(file.notebook, jobs, report, n_jobs, description="runs")
    controls = list_controls(batch, jobs)
    _run_jobs(file.notebook, controls, report, n_jobs, description="controls")
    if not report.new and not report.existing:
        raise BatchError(f"No run of {batch.name} finished: {report.failed}")
    from ecglib.batch.report import write_report  # draws figures: only once there are runs

    report.comparisons = compare_batches([batch.folder])
    report.html = write_report(batch.folder, report.comparisons)
    return report


def _run_jobs(
    notebook: Path, jobs: Sequence[Job], report: BatchReport, n_jobs: int, description: str
) -> None:
    """Carry out the missing runs, at most `n_jobs` at the same time, and report them."""
    missing = []
    for job in jobs:
        if runs.run_exists(job.path):
            _move_notebook_into_run(job)
            report.existing.append(job.path.name)
        else:
            missing.append(job)
    if not missing:
        return
    n_threads = max(1, (os.cpu_count() or 1) // n_jobs)
    bar = tqdm(total=len(missing), desc=f"{report.batch}: {description}", unit="run")
    with ProcessGroup() as processes, ThreadPoolExecutor(n_jobs) as pool, bar:
        futures = {
            pool.submit(_execute_job, notebook, job, n_threads, processes): job for job in missing
        }
        try:
            for future in as_completed(futures):
                name, error = futures[future].path.name, future.result()
                if error:
                    report.failed[name] = error
                    bar.write(f"failed: {name}: {error}", file=sys.stderr)
                else:
                    report.new.append(name)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()  # or leaving the pool would wait for them
            raise


def _execute_job(notebook: Path, job: Job, n_threads: int, processes: ProcessGroup) -> str:
    """Execute the notebook of one run; return what went wrong, or an empty text."""
    executed = _executed_notebook(job)
    executed.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "ECGLIB_THREADS": str(n_threads),
        "OMP_NUM_THREADS": str(n_threads),
    }
    result = execute_notebook(notebook, executed, job.notebook_parameters, environment, processes)
    if result.exit_status == 0 and runs.run_exists(job.path):
        _move_notebook_into_run(job)
        return ""
    failed = job.path.parent / FAILED_FOLDER / executed.name
    failed.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(executed, failed)
    lines = [line for line in result.errors.splitlines() if line.strip()]
    reason = lines[-1] if lines else f"exit status {result.exit_status}, no run written"
    return f"{reason} (see {failed})"


def _executed_notebook(job: Job) -> Path:
    return job.path.parent / WORK_FOLDER / f"{job.path.name}.ipynb"


def _move_notebook_into_run(job: Job) -> None:
    """Move the executed notebook into the folder of its run, which was complete before."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(_executed_notebook(job), job.path / "train.ipynb")
