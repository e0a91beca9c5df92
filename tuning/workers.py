"""Several processes that share the trials of a search: ``python -m tuning --workers N``.

Each worker does what a single process does: it takes the next job of the folder (`tuning.study`).
The parent only starts them, starts those again that were killed, and ends with them. On several
machines, run the same command on each with one shared folder.

KerasTuner's chief and workers are not used, because the chief cannot tell that a worker died
(docs/guides/tuning.md): it keeps the trial as running and never ends. Its server has no
authentication.
"""

import dataclasses
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from tqdm.auto import tqdm

from ecglib.batch.processes import INTERRUPTED, Command, ProcessGroup, limit_threads
from ecglib.batch.worker_process import END, end_process, read_request
from ecglib.batch.workers import SHARED_GPU
from ecglib.datasets import prepare
from ecglib.errors import EcgError, ExperimentError, RunError
from tuning.settings import Budget, SearchSettings

WORKER = (sys.executable, "-m", "tuning.workers")
MAX_RESTARTS = 3  # of each worker
POLL_S = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker works on.

    Parameters
    ----------
    dataset : Path
        Folder of the store.
    settings : SearchSettings
        What is searched for.
    searches_dir : Path
        Folder of all searches.
    folder : Path
        Folder of the search, for logs.

    Examples
    --------
    >>> order = Order(
    ...     dataset=Path("data/mine"),
    ...     settings=SearchSettings(budget=Budget(max_parameters=9)),
    ...     searches_dir=Path("searches"),
    ...     folder=Path("searches/mine"),
    ... )
    >>> Order.parse(yaml.safe_load(order.format())) == order
    True
    """

    dataset: Path
    settings: SearchSettings
    searches_dir: Path
    folder: Path

    def format(self) -> str:
        """Return the order as YAML."""
        settings = dataclasses.asdict(self.settings)
        settings["trial_settings"] = dict(settings["trial_settings"])
        paths = {name: str(getattr(self, name)) for name in ("dataset", "searches_dir", "folder")}
        return yaml.safe_dump(paths | {"settings": settings})

    @classmethod
    def parse(cls, values: dict[str, Any]) -> "Order":
        """Return the order that YAML describes."""
        settings = dict(values["settings"])
        budget = Budget(**settings.pop("budget"))
        return cls(
            dataset=Path(values["dataset"]),
            settings=SearchSettings(budget=budget, **settings),
            searches_dir=Path(values["searches_dir"]),
            folder=Path(values["folder"]),
        )


def run_workers(order: Order, n_workers: int) -> None:
    """Run a search in several processes until all trials have finished.

    A worker that is killed is started again, at most three times; its trial is run again.

    Parameters
    ----------
    order : Order
        The search.
    n_workers : int
        Number of processes.

    Raises
    ------
    ExperimentError
        If there is less than one worker.
    RunError
        If no worker finished: the last message of one of them.

    Examples
    --------
    ::

        run_workers(order, n_workers=2)
    """
    if n_workers < 1:
        raise ExperimentError(f"workers={n_workers} must be at least 1.")
    total = order.settings.n_trials
    with ProcessGroup() as processes, ThreadPoolExecutor(n_workers) as threads:
        futures = [
            threads.submit(_keep_alive, processes, order, number + 1) for number in range(n_workers)
        ]
        try:
            with tqdm(total=total, desc=order.folder.name, unit="trial") as bar:
                while not all(future.done() for future in futures):
                    threading.Event().wait(POLL_S)
                    bar.n = len(list((order.folder / "trials").glob("*.json")))
                    bar.refresh()
        except BaseException:
            processes.end()
            raise
    errors = [error for future in futures if (error := future.result())]
    if len(errors) == n_workers:
        raise RunError(f"No worker finished. The first one: {errors[0]}")


def main() -> None:
    """Work on the search that standard input names, until it is finished or the parent ends."""
    order = Order.parse(read_request(sys.stdin))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from tuning.search import plan_search, work

    try:
        plan = plan_search(prepare(str(order.dataset)), order.settings, order.searches_dir)
        work(plan, plan.open_study())
    except EcgError as error:
        print(f"tuning: {error}", flush=True)
        sys.exit(2)


def _keep_alive(processes: ProcessGroup, order: Order, number: int) -> str:
    """Run a worker, again if it is killed; return why it did not finish, or an empty text."""
    command = Command(
        arguments=list(WORKER),
        environment=limit_threads(os.environ) | SHARED_GPU | {"PYTHONUNBUFFERED": "1"},
        request=f"{order.format()}{END}\n",
        log=order.folder / "logs" / f"worker-{number}.log",
    )
    for _ in range(MAX_RESTARTS + 1):
        result = processes.run(command)
        if result.exit_status == 0:
            return ""
        if result.ended_by_us == INTERRUPTED or result.exit_status > 0:
            break
    if result.exit_status < 0:
        name = signal.Signals(-result.exit_status).name
        return f"it was killed by {name} {MAX_RESTARTS + 1} times, perhaps for lack of memory."
    lines = result.output.strip().splitlines() or [f"exit status {result.exit_status}"]
    return f"{lines[-1]} (more in {command.log})"


def _end_with_parent() -> None:
    """Wait until the parent closes its end, then end this process and what it started."""
    while sys.stdin.read(1):
        pass
    end_process()


if __name__ == "__main__":
    main()
