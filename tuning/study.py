"""The jobs of a search: handed out one by one, to one process or to several.

A search is a folder. Each process that works on it takes the lock of the search, looks which trials
are suggested and which are finished, and takes the first one that nobody works on; if there is
none, it asks the oracle for another. It holds the lock of its trial while it works, so that the
others see that it lives (`ecglib.batch.locks`): a trial whose process was killed is run again, at
once if it ran on the same machine, after two minutes otherwise. There is no chief that could die or
wait for ever, and nothing listens on a network.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecglib import paths
from ecglib.batch.locks import hold_lock
from ecglib.errors import RunError
from tuning.oracles import Proposer, Suggestion
from tuning.trials import FAILED, Trial, read_trial, write_trial

POLL_S = 0.2
MAX_ATTEMPTS = 3  # of a trial whose process ends without a result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One training of a search.

    Parameters
    ----------
    number : int
        Number of the trial.
    settings : dict of str to object
        The settings of the experiment, flat.
    path : Path
        File of the result.

    Examples
    --------
    >>> Job(number=1, settings={"width": 16}, path=Path("trials/001.json")).name
    'trial 1'
    """

    number: int
    settings: dict[str, Any]
    path: Path

    @property
    def is_finalist(self) -> bool:
        """Whether it repeats a trial with another seed."""
        return self.path.parent.name == "finalists"

    @property
    def name(self) -> str:
        """Readable name, with the seed of a finalist."""
        seed = f", seed {self.settings['seed']}" if self.is_finalist else ""
        return f"trial {self.number}{seed}"


class Study:
    """The folder of a search.

    Parameters
    ----------
    folder : Path
        The folder.
    proposer : Proposer
        Suggests the trials.
    complete : callable
        Makes the settings of an experiment of the suggested values.
    n_trials : int, optional
        Number of trials to try; None for as many as the oracle wants.
    choose_finalists : callable
        Lists number and settings of further trainings, once all trials have finished.

    Examples
    --------
    >>> import tempfile
    >>> import keras_tuner
    >>> space = keras_tuner.HyperParameters()
    >>> width = space.Choice("width", [8, 16, 24, 32])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = Study(
    ...         folder=Path(folder),
    ...         proposer=Proposer("random", space, seed=0, epochs=4),
    ...         complete=dict,
    ...         n_trials=1,
    ...         choose_finalists=lambda trials: [],
    ...     )
    ...     with study.take_job() as job:
    ...         study.finish(job, Trial(
    ...             number=1, status=FAILED, experiment=job.settings, model="-", error="no"
    ...         ))
    ...     with study.take_job() as after:
    ...         pass
    ...     n_finished = len(study.list_trials())
    >>> job.name, after, n_finished
    ('trial 1', None, 1)
    """

    def __init__(
        self,
        *,
        folder: Path,
        proposer: Proposer,
        complete: Callable[[dict[str, Any]], dict[str, Any]],
        n_trials: int | None,
        choose_finalists: Callable[[Sequence[Trial]], list[tuple[int, dict[str, Any]]]],
    ) -> None:
        self.folder, self.proposer, self.complete = folder, proposer, complete
        self.n_trials, self.choose_finalists = n_trials, choose_finalists
        self._finished: dict[Path, Trial] = {}
        self._jobs: dict[int, Job] = {}
        self._n_refused = -1  # finished trials when the oracle had no suggestion

    @contextlib.contextmanager
    def take_job(self) -> Iterator[Job | None]:
        """Take the next job and hold its lock; None when all are finished.

        Raises
        ------
        RunError
            If the record of the suggestions is damaged.
        """
        with contextlib.ExitStack() as stack:
            job = self._wait_for_job(stack)
            try:
                yield job
            finally:  # only a process that was killed keeps the count
                if job is not None:
                    self._attempts(job).unlink(missing_ok=True)

    def finish(self, job: Job, trial: Trial) -> None:
        """Write the result of a job."""
        write_trial(job.path, trial)

    def forget_failures(self) -> None:
        """Remove the results that failed, so that these trainings are tried again."""
        for path in self.folder.glob("*/*.json"):
            if path.parent.name in ("trials", "finalists"):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    if json.loads(path.read_text()).get("status") == FAILED:
                        path.unlink()

    def list_trials(self) -> list[Trial]:
        """List all finished trials, in the order of their numbers."""
        jobs = [self._trial_job(one) for one in self._read_suggestions()]
        return [trial for job in jobs if (trial := self._read(job)) is not None]

    def list_finalists(self) -> dict[int, list[Trial]]:
        """List the finished further trainings by the number of their trial."""
        found: dict[int, list[Trial]] = {}
        for job in self._finalist_jobs():
            if (trial := self._read(job)) is not None:
                found.setdefault(job.number, []).append(trial)
        return found

    def _wait_for_job(self, stack: contextlib.ExitStack) -> Job | None:
        while True:
            with hold_lock(self.folder / "search.lock") as is_held:
                if is_held:
                    job, is_finished = self._find_job(stack)
                    if job is not None or is_finished:
                        return job
            time.sleep(POLL_S)

    def _find_job(self, stack: contextlib.ExitStack) -> tuple[Job | None, bool]:
        """Return the next job, locked, or whether all are finished."""
        suggestions = self._read_suggestions()
        jobs = [self._trial_job(one) for one in suggestions]
        if job := self._take_first(jobs, stack):
            return job, False
        if self.n_trials is None or len(jobs) < self.n_trials:
            self.proposer.replay(suggestions)
            if suggestion := self._propose(jobs):
                return self._take_first([self._trial_job(suggestion)], stack), False
        if any(self._read(job) is None for job in jobs):
            return None, False
        jobs = self._finalist_jobs()
        if job := self._take_first(jobs, stack):
            return job, False
        return None, all(self._read(job) is not None for job in jobs)

    def _propose(self, jobs: Sequence[Job]) -> Suggestion | None:
        """Ask for another suggestion and record it."""
        finished = [trial for job in jobs if (trial := self._read(job)) is not None]
        if len(finished) == self._n_refused:  # the oracle has learned nothing since
            return None
        suggestion = self.proposer.propose({one.number: one.val_auroc for one in finished})
        if suggestion is None:
            self._n_refused = len(finished)
            return None
        paths.write_json(self._suggestion_path(suggestion.number), suggestion._asdict())
        return suggestion

    def _take_first(self, jobs: Sequence[Job], stack: contextlib.ExitStack) -> Job | None:
        """Take the first job that is not finished and that no living process works on."""
        for job in jobs:
            if self._read(job) is None:
                with contextlib.ExitStack() as lock:
                    is_held = lock.enter_context(hold_lock(job.path.with_suffix(".lock")))
                    # Read again: another process may have finished it at this moment.
                    if is_held and self._read(job) is None and self._count_attempt(job):
                        stack.push(lock.pop_all())
                        return job
        return None

    def _count_attempt(self, job: Job) -> bool:
        """Count an attempt; after too many the job has failed."""
        path = self._attempts(job)
        n_before = len(path.read_text()) if path.exists() else 0
        if n_before < MAX_ATTEMPTS:
            paths.write_text(path, "+" * (n_before + 1))
            return True
        error = f"Its process was killed {n_before} times, perhaps for lack of memory."
        failed = Trial(
            number=job.number, status=FAILED, experiment=job.settings, model="-", error=error
        )
        write_trial(job.path, failed)
        path.unlink()
        return False

    def _attempts(self, job: Job) -> Path:
        return job.path.with_suffix(".attempts")

    def _read(self, job: Job) -> Trial | None:
        if job.path not in self._finished:
            trial = read_trial(job.path, job.settings)
            if trial is None:
                return None
            self._finished[job.path] = trial
        return self._finished[job.path]

    def _trial_job(self, suggestion: Suggestion) -> Job:
        number = suggestion.number
        if number not in self._jobs:
            self._jobs[number] = Job(
                number=number,
                settings=self.complete(suggestion.values),
                path=self.folder / "trials" / f"{number:03d}.json",
            )
        return self._jobs[number]

    def _finalist_jobs(self) -> list[Job]:
        return [
            Job(
                number=number,
                settings=settings,
                path=self.folder / "finalists" / f"{number:03d}-seed{settings['seed']}.json",
            )
            for number, settings in self.choose_finalists(self.list_trials())
        ]

    def _suggestion_path(self, number: int) -> Path:
        return self.folder / "suggestions" / f"{number:03d}.json"

    def _read_suggestions(self) -> list[Suggestion]:
        suggestions = list(self.proposer.suggestions)
        while (path := self._suggestion_path(len(suggestions) + 1)).exists():
            suggestions.append(_read_suggestion(path, len(suggestions) + 1))
        if self._suggestion_path(len(suggestions) + 2).exists():
            raise RunError(f"{path} is missing. Restore it, or remove {self.folder}.")
        return suggestions[: self.n_trials]


def _read_suggestion(path: Path, number: int) -> Suggestion:
    try:
        values: Mapping[str, Any] = json.loads(path.read_text())
        scores = [(int(finished), score) for finished, score in values["scores"]]
        suggestion = Suggestion(int(values["number"]), dict(values["values"]), scores)
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{path} is damaged ({error}), so the search cannot be continued. Restore it, or "
            f"remove {path.parent.parent} to search again."
        ) from error
    if suggestion.number != number:
        raise RunError(f"{path} holds suggestion {suggestion.number}. Restore it.")
    return suggestion
