"""Carry out one run of a batch: alone among all batches, and with a plain account of how it went.

`execute_job` needs nothing but its arguments and the folder of runs, so that any executor may call
it, on any machine that shares the folder.
"""

import contextlib
import dataclasses
import os
from pathlib import Path

from ecglib import runs
from ecglib.batch.jobs import FAILED_FOLDER, WORK_FOLDER, Job
from ecglib.batch.locks import hold_lock
from ecglib.batch.notebooks import NotebookTask, execute_notebook
from ecglib.batch.processes import INTERRUPTED, ProcessResult, read_end
from ecglib.batch.workers import WorkerPool
from ecglib.errors import DamagedRunError
from ecglib.experiment import Experiment

DAMAGED_FOLDER = "damaged"  # in the folder of a batch: damaged runs that were set aside
NEW, EXISTING, FAILED, BUSY = "new", "existing", "failed", "busy"

CELL_FAILED = "PapermillExecutionError"
KERNEL_DIED = "DeadKernelError"
CRASHED = "Fatal Python error"  # printed by Python on a crash, but not if it is killed
OUT_OF_MEMORY = (
    "killed, probably out of memory. Run fewer at a time (--jobs), or with a smaller batch_size"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job went.

    Parameters
    ----------
    status : {"new", "existing", "failed", "busy"}
        Whether the run was carried out now, existed or failed, or another process carries it out.
    problem : str
        Why it failed; or what happened in its notebook after the run was written.
    log : Path, optional
        Of a failed run, what its process printed. The executed notebook is beside it.
    damage : str
        What was wrong with a run that was set aside and made again.
    died : str
        Why the first attempt ended, if its kernel died and the run was tried again.

    Examples
    --------
    >>> Outcome(status="failed", problem="ValueError: no").status
    'failed'
    """

    status: str
    problem: str = ""
    log: Path | None = None
    damage: str = ""
    died: str = ""


def execute_job(job: Job, notebook: Path, time_limit_s: float, workers: WorkerPool) -> Outcome:
    """Carry out a job, unless its run is finished or another process carries it out.

    A run without its executed notebook gets it: the notebook opens a run that exists. A damaged run
    is set aside and made again. If the kernel dies, the run is tried once more, from its last
    epoch; a cell that fails, a wrong parameter for instance, would fail again.

    Parameters
    ----------
    job : Job
        The job.
    notebook : Path
        The notebook that carries it out.
    time_limit_s : float
        Time after which it is ended; 0 for no limit.
    workers : WorkerPool
        The workers, one of which executes the notebook.

    Returns
    -------
    Outcome
        How it went.

    Examples
    --------
    The run of an interactive session, while another process has its lock:

    >>> import tempfile
    >>> from ecglib.batch.processes import ProcessGroup
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> with tempfile.TemporaryDirectory() as folder, ProcessGroup() as processes:
    ...     workers = WorkerPool(processes)
    ...     path = Path(folder) / experiment.run_name
    ...     job = Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path)
    ...     with hold_lock(find_lock(job)):
    ...         outcome = execute_job(job, Path("train.ipynb"), 0.0, workers)
    >>> outcome.status
    'busy'
    """
    try:
        with hold_lock(find_lock(job)) as is_held:
            if not is_held:
                return Outcome(status=BUSY)
            damage = set_damaged_run_aside(job)
            if is_finished(job):
                return Outcome(status=EXISTING, damage=damage)
            outcome = _execute(job, notebook, time_limit_s, workers)
            return dataclasses.replace(outcome, damage=damage)
    except OSError as error:
        return Outcome(status=FAILED, problem=f"a file cannot be written: {error}")


def is_finished(job: Job) -> bool:
    """Return whether a run and its executed notebook exist.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> path = Path("runs/none") / experiment.run_name
    >>> is_finished(Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path))
    False
    """
    return runs.run_exists(job.path) and (job.path / runs.NOTEBOOK).is_file()


def is_missing(job: Job) -> bool:
    """Return whether a run has to be carried out: it or its notebook is missing or damaged.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> path = Path("runs/none") / experiment.run_name
    >>> is_missing(Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path))
    True
    """
    return not is_finished(job) or bool(find_damage(job.path, job.experiment))


def find_damage(path: Path, experiment: Experiment) -> str:
    """Find what is wrong with a run that exists.

    Parameters
    ----------
    path : Path
        Folder of the run.
    experiment : Experiment
        What it should hold.

    Returns
    -------
    str
        Empty if it is whole, or does not exist.

    Raises
    ------
    RunError
        If it is not damaged, but was written by another version.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> find_damage(Path("runs/none"), Experiment.from_flat(settings))
    ''
    """
    if not runs.run_exists(path):
        return ""
    try:
        run = runs.Run(path)
        run.verify()
    except DamagedRunError as error:
        return str(error)
    if run.experiment.hash != experiment.hash:
        return f"The run {path} holds another experiment, {run.experiment.run_name}."
    return ""


def set_damaged_run_aside(job: Job) -> str:
    """Move a damaged run into the folder `DAMAGED_FOLDER` of its batch; return what was wrong.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> path = Path("runs/none") / experiment.run_name
    >>> job = Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path)
    >>> set_damaged_run_aside(job)
    ''
    """
    damage = find_damage(job.path, job.experiment)
    if not damage:
        return ""
    folder = job.path.parent / DAMAGED_FOLDER
    folder.mkdir(exist_ok=True)
    number = sum(1 for _ in folder.glob(f"{job.path.name}*"))
    place = folder / f"{job.path.name}-{number + 1}"
    job.path.rename(place)
    return f"{damage} It is now {place}."


def find_lock(job: Job) -> Path:
    """Return the lock of a run.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> path = Path("runs/fusion/one")
    >>> job = Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path)
    >>> find_lock(job).as_posix()
    'runs/fusion/.work/one.lock'
    """
    return _work_file(job, ".lock")


def _execute(job: Job, notebook: Path, time_limit_s: float, workers: WorkerPool) -> Outcome:
    existed = runs.run_exists(job.path)
    task = NotebookTask(
        notebook=notebook,
        executed=_work_file(job, ".ipynb"),
        parameters=job.notebook_parameters,
        log=_work_file(job, ".log"),
        time_limit_s=time_limit_s,
    )
    result, died = execute_notebook(task, workers), ""
    if kernel_died(result) and not runs.run_exists(job.path):
        died = explain_failure(result)
        result = execute_notebook(task, workers)
    outcome = _conclude(job, task, result, existed)
    if died and outcome.status == FAILED and outcome.problem != INTERRUPTED:
        outcome = dataclasses.replace(outcome, problem=f"{outcome.problem} (tried twice)")
    return dataclasses.replace(outcome, died=died)


def _conclude(job: Job, task: NotebookTask, result: ProcessResult, existed: bool) -> Outcome:
    """Put away what a notebook has left, and say how the job went."""
    if not runs.run_exists(job.path):
        if result.ended_by_us == INTERRUPTED:  # which is no failure to look into
            task.executed.unlink(missing_ok=True)
            task.log.unlink(missing_ok=True)
            return Outcome(status=FAILED, problem=INTERRUPTED)
        problem = explain_failure(result)
        return Outcome(status=FAILED, problem=problem, log=_keep_failed(job, task, problem))
    # Whatever happened after the run was written, its numbers are final.
    problem = ""
    if result.exit_status != 0:
        problem = f"the notebook stopped after the run was written: {explain_failure(result)}"
    if result.exit_status == 0 or CELL_FAILED in result.output:
        with contextlib.suppress(FileNotFoundError):
            os.replace(task.executed, job.path / runs.NOTEBOOK)
        _remove_failed(job)
    task.log.unlink(missing_ok=True)
    return Outcome(status=EXISTING if existed else NEW, problem=problem)


def kernel_died(result: ProcessResult) -> bool:
    """Return whether a kernel or its papermill process died, which another attempt may survive.

    Parameters
    ----------
    result : ProcessResult
        How the process ended.

    Returns
    -------
    bool
        False if a cell failed, or if the batch ended the process.

    Examples
    --------
    >>> kernel_died(ProcessResult(exit_status=-9, output=""))
    True
    >>> kernel_died(ProcessResult(exit_status=1, output="PapermillExecutionError\\nValueError: no"))
    False
    """
    if result.ended_by_us or CELL_FAILED in result.output:
        return False
    return result.exit_status < 0 or (result.exit_status != 0 and KERNEL_DIED in result.output)


def explain_failure(result: ProcessResult) -> str:
    """Explain why a notebook did not end well.

    Parameters
    ----------
    result : ProcessResult
        How its process ended.

    Returns
    -------
    str
        One line.

    Examples
    --------
    >>> explain_failure(ProcessResult(exit_status=1, output="Traceback ...\\nValueError: no\\n"))
    'ValueError: no'
    >>> explain_failure(ProcessResult(exit_status=-9, output=""))
    'killed, probably out of memory. Run fewer at a time (--jobs), or with a smaller batch_size'
    """
    lines = [line.strip() for line in result.output.splitlines() if line.strip()]
    if result.ended_by_us:
        return result.ended_by_us
    if crashed := [line for line in lines if line.startswith(CRASHED)]:
        return f"the kernel crashed: {crashed[-1]}"
    if KERNEL_DIED in result.output or result.exit_status == -9:
        return OUT_OF_MEMORY
    return lines[-1] if lines else f"exit status {result.exit_status}, no run written"


def _work_file(job: Job, ending: str) -> Path:
    return job.path.parent / WORK_FOLDER / f"{job.path.name}{ending}"


def find_last_line(log: Path) -> str:
    """Find the last line of a log: of a failed run the reason.

    Examples
    --------
    >>> find_last_line(Path("none.log"))
    ''
    """
    lines = [line.strip() for line in read_end(log).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _keep_failed(job: Job, task: NotebookTask, problem: str) -> Path:
    """Move the notebook and the log of a failed run to where they are looked for.

    The log ends with the problem then, also that of a process that could not print it.
    """
    folder = job.path.parent / FAILED_FOLDER
    folder.mkdir(exist_ok=True)
    if find_last_line(task.log) != problem:
        with task.log.open("a", encoding="utf-8") as log:
            log.write(f"\n{problem}\n")
    for file in (task.executed, task.log):
        with contextlib.suppress(FileNotFoundError):
            os.replace(file, folder / file.name)
    return folder / task.log.name


def _remove_failed(job: Job) -> None:
    """Remove what is left of earlier attempts."""
    for ending in (".ipynb", ".log"):
        (job.path.parent / FAILED_FOLDER / f"{job.path.name}{ending}").unlink(missing_ok=True)
