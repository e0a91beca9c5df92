"""Many runs with papermill: check everything, run what is missing, compare, report.

A batch is what its file says (`ecglib.batch.file`); `ecglib.batch.notebooks` executes its notebooks.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm.auto import tqdm

from ecglib import paths, runs
from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import Processes, check_parameters, execute
from ecglib.datasets.store import Dataset
from ecglib.errors import BatchError
from ecglib.experiment.config import Experiment
from ecglib.experiment.registry import SAME_SIZE_RATIO

WORK = ".work"
FAILED = "failed"
MOST_JOBS = 4


@dataclasses.dataclass(frozen=True)
class Job:
    """One run to be made: its own parameters, and all that the notebook is given."""

    experiment: Experiment
    own: dict
    parameters: dict
    path: Path


@dataclasses.dataclass
class Report:
    """What a batch did: runs made, runs found finished, and failures with their last lines."""

    batch: str
    folder: Path
    made: list[str] = dataclasses.field(default_factory=list)
    found: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    html: Path | None = None


def run_batch(
    file: BatchFile, dataset: Dataset, runs_dir: str | Path = "", jobs: int = 0
) -> Report:
    """Make the runs that are missing, then compare all and write ``report.html``.

    Parameters
    ----------
    file
        the batch file.
    dataset
        the prepared store.
    runs_dir
        folder of all batches; empty for the usual one (`ecglib.paths`).
    jobs
        runs at a time; 0 for one a core, at most 4. The cores are shared out among them.

    Raises
    ------
    BatchError
        a parameter is wrong, or nothing finished; nothing was started if a parameter
        is wrong.
    """
    name = f"{file.path.stem}-{dataset.path.name}"
    runs_dir = paths.runs_dir(runs_dir).resolve()
    given = {
        "dataset": str(dataset.path.resolve()),
        "runs_dir": str(runs_dir),
        "batch": name,
    }
    folder = runs_dir / name
    report = Report(name, folder)
    jobs = jobs or min(os.cpu_count() or 1, MOST_JOBS)
    grid = [_job(file, own, given, dataset, folder) for own in file.combinations()]
    grid = _without_twins(grid)
    _run(file.notebook, grid, report, jobs, "runs")
    controls = _controls(file, grid, given, dataset, folder)
    _run(file.notebook, controls, report, jobs, "controls")
    if not report.made and not report.found:
        raise BatchError(f"No run of {name} finished: {report.failed}")
    report.html = _compare(file.compare, folder, report)
    return report


def _job(file: BatchFile, own: dict, given: dict, dataset: Dataset, folder: Path) -> Job:
    """A checked job; see `check_parameters` and `Experiment.check` for the errors."""
    if taken := set(own) & set(given):
        raise BatchError(f"{file.path} sets the parameters {sorted(taken)}; the batch gives them.")
    values = check_parameters(file.notebook, own | given)
    experiment = Experiment.from_parameters(values, dataset.name, dataset.fingerprint)
    experiment.check(dataset)
    return Job(experiment, own, own | given, folder / experiment.run_name)


def _without_twins(jobs: list[Job]) -> list[Job]:
    """Refuse to make a run twice, but for trees: an axis of learning rates, say, is not theirs."""
    names = [job.path.name for job in jobs if job.experiment.role != "baseline"]
    if twins := {name for name in names if names.count(name) > 1}:
        raise BatchError(f"The grid asks for the same run more than once: {sorted(twins)}.")
    return list({job.path: job for job in jobs}.values())


def _controls(
    file: BatchFile, grid: list[Job], given: dict, dataset: Dataset, folder: Path
) -> list[Job]:
    """The controls, made of the best single branch, one for each of its seeds and each size."""
    best = _best_branch(grid)
    if not best:
        return []
    changes = [{"ensemble_size": members} for members in file.ensembles]
    if file.widened:
        changes += [{"target_parameters": size} for size in _sizes(grid, _parameters(best[0]))]
    return [
        _job(file, job.own | change, given, dataset, folder) for change in changes for job in best
    ]


def _best_branch(grid: list[Job]) -> list[Job]:
    """The seeds of the single branch with the highest validation score; empty without any."""
    by_model: dict[str, list[Job]] = {}
    for job in grid:
        if job.experiment.role == "single" and runs.exists(job.path):
            by_model.setdefault(job.experiment.model_hash, []).append(job)

    def validation_auroc(jobs: list[Job]) -> float:
        scores = [
            runs.Run(j.path).metrics["validation"]["macro"]["auroc"]["estimate"] for j in jobs
        ]
        return sum(scores) / len(scores)

    return max(by_model.values(), key=validation_auroc, default=[])


def _sizes(grid: list[Job], smallest: int) -> list[int]:
    """Sizes, largest first, so that each fusion has one about its own and none is smaller than it.

    Fusions about as large as the `smallest` size, or smaller, need none.
    """
    fusions = [j for j in grid if j.experiment.role == "fusion" and runs.exists(j.path)]
    sizes: list[int] = []
    for size in sorted(map(_parameters, fusions), reverse=True):
        if size > SAME_SIZE_RATIO * smallest and (not sizes or sizes[-1] > SAME_SIZE_RATIO * size):
            sizes.append(size)
    return sizes


def _parameters(job: Job) -> int:
    return runs.Run(job.path).metrics["model"]["parameters"]


def _run(notebook: Path, jobs: list[Job], report: Report, at_once: int, what: str) -> None:
    """Make the missing runs, a bounded number at a time; one that fails stops no other."""
    for job in jobs:
        if runs.exists(job.path):
            _keep_notebook(job)
            report.found.append(job.path.name)
    missing = [job for job in jobs if not runs.exists(job.path)]
    if not missing:
        return
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    bar = tqdm(total=len(missing), desc=f"{report.batch}: {what}", unit="run")
    with Processes() as processes, ThreadPoolExecutor(at_once) as pool, bar:
        futures = {pool.submit(_execute, notebook, job, threads, processes): job for job in missing}
        try:
            for future in as_completed(futures):
                job, error = futures[future], future.result()
                if error:
                    report.failed[job.path.name] = error
                    bar.write(f"failed: {job.path.name}: {error}", file=sys.stderr)
                else:
                    report.made.append(job.path.name)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()  # or leaving the pool would wait for them
            raise


def _execute(notebook: Path, job: Job, threads: str, processes: Processes) -> str:
    """Execute one notebook in a process of its own; return what went wrong, or nothing."""
    executed = _executed(job)
    executed.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"ECGLIB_THREADS": threads, "OMP_NUM_THREADS": threads}
    code, errors = execute(notebook, executed, job.parameters, environment, processes)
    if code == 0 and runs.exists(job.path):
        _keep_notebook(job)
        return ""
    kept = job.path.parent / FAILED / executed.name
    kept.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(executed, kept)
    lines = [line for line in errors.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit status {code}, no run written") + f" (see {kept})"


def _executed(job: Job) -> Path:
    return job.path.parent / WORK / f"{job.path.name}.ipynb"


def _keep_notebook(job: Job) -> None:
    """Move the executed notebook into its run; the run itself was already whole."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(_executed(job), job.path / "train.ipynb")


def _compare(notebook: Path, folder: Path, report: Report) -> Path:
    """Execute the comparison over a batch's folder and write it as HTML, unless nothing changed."""
    html = folder / "report.html"
    compared = _content(notebook, folder)
    stamp = folder / WORK / "compared.json"
    if html.exists() and stamp.exists() and json.loads(stamp.read_text()) == compared:
        return html
    executed = folder / WORK / "compare.ipynb"
    executed.parent.mkdir(exist_ok=True)
    parameters = {"batch_dir": str(folder)}
    check_parameters(notebook, parameters)
    with Processes() as processes:
        code, errors = execute(notebook, executed, parameters, dict(os.environ), processes)
    if code:
        raise BatchError(f"{notebook.name} failed on {folder} (see {executed}): {errors[-2000:]}")
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_filename(str(executed))
    os.replace(executed, folder / "compare.ipynb")
    paths.write_text(html, body)
    paths.write_text(stamp, json.dumps(compared))
    return html


def _content(notebook: Path, folder: Path) -> dict[str, str]:
    """Hashes of what a report is made of: the notebook, and the scores of each run."""
    files = {run.path.name: run.path / "metrics.json" for run in runs.find_runs(folder)}
    files[notebook.name] = notebook
    return {name: hashlib.blake2b(path.read_bytes()).hexdigest() for name, path in files.items()}
