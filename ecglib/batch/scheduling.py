"""Carry out a batch: check every run, execute those that are missing, compare, report.

`ecglib.batch.file` describes the batch file, `ecglib.batch.execution` carries one run out.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecglib import paths, runs
from ecglib.batch.batch_report import BatchReport
from ecglib.batch.comparison import compare_batches
from ecglib.batch.controls import list_controls
from ecglib.batch.executors import open_executor
from ecglib.batch.file import BatchFile
from ecglib.batch.jobs import Batch, Job
from ecglib.batch.progress import record_request
from ecglib.batch.resources import choose_n_jobs
from ecglib.batch.rounds import run_jobs
from ecglib.batch.shell_commands import find_job
from ecglib.batch.state import Grid, record_grid, record_settings
from ecglib.datasets.store import Dataset
from ecglib.datasets.store_files import verify_store
from ecglib.errors import BatchError, RunError


def run_batch(
    file: BatchFile,
    dataset: Dataset,
    runs_dir: str | Path = "",
    n_jobs: int = 0,
    scheduler: str = "",
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
        Number of runs at the same time; 0 for as many as cores and memory allow, and one for each
        GPU. It does not change the results.
    scheduler : str, default ""
        Address of a Dask scheduler, such as ``tcp://10.0.0.5:8786``. Its workers carry out the
        runs then, as many at the same time as they have threads; they need the same folders, under
        the same paths, and the same code and versions.

    Returns
    -------
    BatchReport
        The runs that are new, existed or failed, and the report. A run that fails stops no other,
        but after three that failed in the same way the batch stops. Controls are made once all
        runs of the grid exist.

    Raises
    ------
    EcgError
        If a parameter is wrong, an experiment does not fit the dataset, or the store is not as it
        was prepared (`verify_store`); nothing was started.
    BatchError
        If no run finished, the runs that did cannot be compared, the folder cannot be written, or
        the scheduler or one of its workers cannot be used.
    RunError
        If a run was written by another version.

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
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     run_batch(file, dataset, folder)
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: train.ipynb has no parameter 'epoch'; ... Did you mean 'epochs'?
    """
    batch = Batch(file=file, dataset=dataset, runs_dir=paths.runs_dir(runs_dir).resolve())
    report = BatchReport(batch=batch.name, folder=batch.folder)
    if n_jobs < 0:
        raise BatchError(f"{n_jobs} runs at the same time: give a whole number from 1, or 0.")
    if n_jobs and scheduler:
        raise BatchError(
            f"jobs={n_jobs} is for this machine: with Dask as many run at the same time as its "
            f"workers have threads. Leave it out, or choose `dask worker --nthreads`."
        )
    n_jobs = n_jobs or choose_n_jobs()
    jobs = batch.list_jobs()
    verify_store(dataset.path)
    with _explain_write_errors(batch.folder):
        record_settings(batch.folder, file.comparison)
        record_request(batch.folder, jobs)
        with open_executor(batch, n_jobs, scheduler) as executor:
            run_jobs(jobs, report, executor, description="runs")
            report.has_controls = all(runs.run_exists(job.path) for job in jobs)
            # In an incomplete grid another branch would be taken for the best.
            if report.has_controls:
                run_jobs(_add_controls(batch, jobs), report, executor, description="controls")
        return _compare(report)


def _add_controls(batch: Batch, jobs: Sequence[Job]) -> list[Job]:
    """List the controls of a grid that is complete, and record that the batch asks for them."""
    controls = list_controls(batch, jobs)
    record_request(batch.folder, [*jobs, *controls])
    record_grid(batch.folder, Grid(runs=_list_names(jobs), controls=_list_names(controls)))
    return controls


def run_one(file: BatchFile, dataset: Dataset, runs_dir: str | Path, name: str) -> BatchReport:
    """Carry out one run of a batch, unless it is finished; another process is waited for.

    Parameters
    ----------
    file : BatchFile
        The batch file.
    dataset : Dataset
        The prepared store.
    runs_dir : str or Path
        Folder of all batches; empty for the usual one (`ecglib.paths.runs_dir`).
    name : str
        Name of the run, of the grid or of its controls.

    Returns
    -------
    BatchReport
        Of this run alone; nothing is compared.

    Raises
    ------
    EcgError
        As for `run_batch`, or if the batch asks for no such run.

    Examples
    --------
    What each line of ``ecglib batch FILE --print-commands`` does::

        report = run_one(file, dataset, "runs", "time-cnn_seed0_0123456789")
    """
    batch = Batch(file=file, dataset=dataset, runs_dir=paths.runs_dir(runs_dir).resolve())
    report = BatchReport(batch=batch.name, folder=batch.folder)
    job = find_job(batch, name)
    verify_store(dataset.path)
    with _explain_write_errors(batch.folder):
        record_settings(batch.folder, file.comparison)
        with open_executor(batch, n_jobs=1) as executor:
            run_jobs([job], report, executor, description="run")
    return report


@contextlib.contextmanager
def _explain_write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BatchError(
            f"The folder {folder} cannot be used: {error}. Make it writable, free space on its "
            f"disk, or name another with --runs-dir."
        ) from error


def _compare(report: BatchReport) -> BatchReport:
    if not report.new and not report.existing:
        n_left = len(report.not_started)
        raise BatchError(
            f"No run of {report.batch} finished: {report.describe_failures()}"
            + (f"; {n_left} were not started" if n_left else "")
        )
    from ecglib.batch.report import write_report  # draws figures: only once there are runs

    try:
        report.comparisons = compare_batches([report.folder])
    except RunError as error:
        if not report.failed:
            raise
        raise BatchError(
            f"{len(report.failed)} runs of {report.batch} failed, and the others cannot be "
            f"compared without them. {error} Failed: {report.describe_failures()}"
        ) from error
    report.html = write_report(report.folder, report.comparisons)
    return report


def _list_names(jobs: Sequence[Job]) -> tuple[str, ...]:
    return tuple(job.path.name for job in jobs)
