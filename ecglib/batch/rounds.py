"""Have the missing runs of a batch carried out by an executor, and report what became of each."""

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from tqdm.auto import tqdm

from ecglib.batch.batch_report import BatchReport
from ecglib.batch.execution import BUSY, EXISTING, FAILED, NEW, Outcome, find_lock, is_missing
from ecglib.batch.executors import JobExecutor
from ecglib.batch.jobs import Job
from ecglib.batch.processes import INTERRUPTED
from ecglib.batch.progress import read_progress

MAX_EQUAL_FAILURES = 3  # then the batch stops: the others would most likely fail as well
LOOK_AGAIN_S = 2.0  # at the runs of another batch, and at the progress of those that run here
MAX_SHOWN = 4  # runs in the progress line
FINISHING = (
    "The runs that have begun are being finished, no other is started. Press Ctrl-C again to stop "
    "at once."
)


def run_jobs(
    jobs: Sequence[Job],
    report: BatchReport,
    executor: JobExecutor,
    description: str,
) -> None:
    """Carry out the missing runs by an executor, and report them.

    Runs that another batch carries out are waited for, and carried out here if it does not.

    Parameters
    ----------
    jobs : sequence of Job
        The runs, also those that exist.
    report : BatchReport
        Gets what becomes of each.
    executor : JobExecutor
        Carries them out (`ecglib.batch.executors.open_executor`).
    description : str
        What the runs are, for the progress line.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C; the runs that had begun were finished, unless it was pressed twice.

    Examples
    --------
    ::

        with open_executor(batch, n_jobs=2) as executor:
            run_jobs(batch.list_jobs(), report, executor, "runs")
    """
    missing = []
    for job in jobs:
        if is_missing(job):
            missing.append(job)
        else:
            report.existing.append(job.path.name)
    if not missing:
        return
    with tqdm(total=len(missing), desc=f"{report.batch}: {description}", unit="run") as bar:
        round_ = _Round(report=report, bar=bar, executor=executor)
        while missing := round_.execute(missing):
            time.sleep(LOOK_AGAIN_S)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Round:
    """Carries out jobs with an executor, and reports what became of each."""

    report: BatchReport
    bar: tqdm
    executor: JobExecutor

    def execute(self, jobs: Sequence[Job]) -> list[Job]:
        """Execute jobs; return those that another batch is executing."""
        waiting: dict[Future[Outcome], Job] = {}
        try:
            for job in jobs:
                waiting[self.executor.submit(job)] = job
            busy = self._collect(waiting)
        except KeyboardInterrupt:
            self._print(FINISHING)
            self.executor.cancel_waiting(waiting)
            self._collect(waiting)
            raise
        if not self._has_to_stop():
            return busy
        self.report.not_started.extend(job.path.name for job in busy)
        return []

    def _collect(self, waiting: dict[Future[Outcome], Job]) -> list[Job]:
        """Report jobs as they end, and take them out; return those of another batch."""
        busy = []
        for job, outcome in self._wait(waiting):
            if outcome.status == BUSY:
                busy.append(job)
            else:
                self._report(job.path.name, outcome)
        return busy

    def _wait(self, waiting: dict[Future[Outcome], Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield each job with its outcome, until the batch has to stop."""
        while waiting:
            wait(waiting, LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
            # Its result may lack cancelled futures: Dask does not notify it of all of them.
            for future in [one for one in waiting if one.done()]:
                job = waiting.pop(future)
                outcome = self.executor.collect(job, future)
                if outcome is None:
                    self.report.not_started.append(job.path.name)
                    continue
                yield job, outcome
                if self._has_to_stop():
                    self.executor.cancel_waiting(waiting)
            self._show_running(list(waiting.values()))

    def _has_to_stop(self) -> bool:
        groups = self.report.group_failures().values()
        return any(len(names) >= MAX_EQUAL_FAILURES for names in groups)

    def _report(self, name: str, outcome: Outcome) -> None:
        report = self.report
        if outcome.damage:
            report.damaged[name] = outcome.damage
            self._print(f"made again: {outcome.damage}")
        if outcome.died:
            report.retried[name] = outcome.died
            self._print(f"tried again: {name}: {outcome.died}")
        if outcome.status == FAILED:
            report.failed[name] = outcome.problem
            if outcome.log:
                report.logs[name] = outcome.log
            if outcome.problem != INTERRUPTED:
                self._print(f"failed: {name}: {outcome.problem}")
        else:
            {NEW: report.new, EXISTING: report.existing}[outcome.status].append(name)
            if outcome.problem:
                report.incomplete[name] = outcome.problem
                self._print(f"finished, but {name}: {outcome.problem}")
        self.bar.update()

    def _show_running(self, jobs: Sequence[Job]) -> None:
        """Show what runs at the end of the progress line."""
        if sys.stderr.isatty():  # a log would get a line each time
            self.bar.set_postfix_str(describe_running(jobs))

    def _print(self, text: str) -> None:
        self.bar.write(text, file=sys.stderr)


def describe_running(jobs: Sequence[Job]) -> str:
    """Describe the runs that are being carried out, with their epochs.

    Parameters
    ----------
    jobs : sequence of Job
        Runs that are not finished.

    Returns
    -------
    str
        For example "time-cnn_seed0 3/20, time-cnn_seed1 1/20"; empty if none runs.

    Examples
    --------
    >>> describe_running([])
    ''
    """
    running = [job for job in jobs if find_lock(job).exists()]
    texts = [_describe(job) for job in running[:MAX_SHOWN]]
    if len(running) > MAX_SHOWN:
        texts.append(f"{len(running) - MAX_SHOWN} more")
    return ", ".join(texts)


def _describe(job: Job) -> str:
    name, _, _ = job.path.name.rpartition("_")
    progress = read_progress(job.path)
    epoch = progress.epoch if progress else 0
    return f"{name} {epoch}/{job.experiment.training.epochs}"
