"""What the commands about batches print."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing these for real would cost every command
    from ecglib.batch.batch_report import BatchReport
    from ecglib.batch.plan import Plan
    from ecglib.batch.shell_commands import ShellCommands
    from ecglib.batch.status import BatchStatus, RunStatus

SHOWN_SCORES = ("val_auroc", "val_f1")
UNITS_OF_TIME = ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def print_batch(report: "BatchReport") -> None:
    """Print which runs of a batch were carried out, existed already or failed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from ecglib.batch import BatchReport
    >>> report = BatchReport(batch="b", folder=Path("runs/b"), existing=["a", "b"])
    >>> print_batch(report)
    All 2 runs already exist; nothing to run.
    >>> report.failed |= {"c": "ValueError: no", "d": "ValueError: no"}
    >>> print_batch(report)
    New runs: 0, existing: 2, failed: 2
      failed: ValueError: no
        c
        d
    """
    if not report.new and not report.failed:
        print(f"All {len(report.existing)} runs already exist; nothing to run.")
    else:
        print(
            f"New runs: {len(report.new)}, existing: {len(report.existing)}, "
            f"failed: {len(report.failed)}"
        )
    for damage in report.damaged.values():
        print(f"  made again: {damage}")
    for name, reason in report.retried.items():
        print(f"  tried again: {name}: {reason}")
    for name, problem in report.incomplete.items():
        print(f"  {name}: {problem}")
    for reason, names in report.group_failures().items():
        print(f"  failed: {reason}")
        for name in names:
            print(f"    {name}" + (f" (see {report.logs[name]})" if name in report.logs else ""))
    if report.not_started:
        print(
            f"  Stopped after failures of the same kind; {len(report.not_started)} runs were not "
            f"started. Remove the cause and run the same command again."
        )


def print_plan(plan: "Plan") -> None:
    """Print which runs of a batch exist, what is wrong, and what the missing ones will cost.

    Examples
    --------
    >>> from pathlib import Path
    >>> from ecglib.batch.costs import Cost
    >>> from ecglib.batch.plan import Plan, PlannedRun
    >>> plan = Plan(
    ...     batch="fusion",
    ...     folder=Path("runs/fusion"),
    ...     runs=[
    ...         PlannedRun(name="a", exists=True),
    ...         PlannedRun(name="b", exists=False, cost=Cost(seconds=90.0, n_bytes=2e6)),
    ...         PlannedRun(name="c", exists=False),
    ...     ],
    ...     problems=[],
    ...     has_controls=False,
    ...     n_jobs=1,
    ...     free_bytes=10**9,
    ... )
    >>> print_plan(plan)
      exists   a
      missing  b  about 90 s
      missing  c
    fusion: 3 runs, 1 exist, 2 are missing
      about 3 min, 1 at a time; 4 MB on disk, 1,000 MB are free
      1 missing run has no earlier run of its model and counts as the mean of the others
      Controls come on top: they are chosen once all runs of the grid exist.
    """
    for run in plan.runs:
        cost = f"  about {format_duration(run.cost.seconds)}" if run.cost else ""
        print(f"  {'exists ' if run.exists else 'missing'}  {run.name}{cost}")
    n_missing, seconds, cost_of_all = (
        len(plan.missing),
        plan.estimate_seconds(),
        plan.estimate_cost(),
    )
    print(
        f"{plan.batch}: {len(plan.runs):,} runs, {len(plan.runs) - n_missing:,} exist, "
        f"{n_missing:,} are missing"
    )
    if seconds is None or cost_of_all is None:
        print("  time and disk are not known: there is no earlier run of these models")
    elif n_missing:
        print(
            f"  about {format_duration(seconds)}, {plan.n_jobs} at a time; "
            f"{cost_of_all.n_bytes / 1e6:,.0f} MB on disk, {plan.free_bytes / 1e6:,.0f} MB are free"
        )
        if n_without := plan.count_without_estimate():
            if n_without == 1:
                which = "1 missing run has no earlier run of its model and counts"
            else:
                which = f"{n_without:,} missing runs have no earlier run of their model and count"
            print(f"  {which} as the mean of the others")
        if cost_of_all.n_bytes > plan.free_bytes:
            print("  The disk is too small. Free space, or name another folder with --runs-dir.")
    if not plan.has_controls:
        print("  Controls come on top: they are chosen once all runs of the grid exist.")
    if plan.problems:
        print(f"{len(plan.problems)} problems, nothing would be started:")
        for problem in plan.problems:
            print(f"  {problem}")


def print_note_on_commands(commands: "ShellCommands") -> None:
    """Say on standard error what else is to be done: standard output has the commands alone.

    Examples
    --------
    >>> from ecglib.batch.shell_commands import ShellCommands
    >>> print_note_on_commands(ShellCommands(lines=[], has_controls=True))
    """
    note = f"{len(commands.lines):,} runs are missing."
    if commands.lines and not commands.has_controls:
        note += " Then print the commands again: controls are chosen once all these runs exist."
    print(f"{note} At the end `ecglib batch` without this option compares.", file=sys.stderr)


def print_status(status: "BatchStatus") -> None:
    """Print how many runs of a batch are in each state, which run or failed, and the time left.

    Examples
    --------
    >>> from pathlib import Path
    >>> from ecglib.batch.status import BatchStatus, RunStatus
    >>> running = RunStatus(
    ...     name="b", state="running", epoch=4, n_epochs=10, scores={"loss": 0.3, "val_auroc": 0.91}
    ... )
    >>> failed = RunStatus(name="c", state="failed", problem="ValueError: no", log=Path("c.log"))
    >>> runs = [RunStatus(name="a", state="finished"), running, failed]
    >>> print_status(BatchStatus(folder=Path("runs/fusion"), runs=runs, seconds_left=300.0))
    fusion: 3 runs: 1 finished, 1 running, 1 failed, 0 waiting; about 5 min left
      running  b: epoch 4 of 10, val_auroc 0.910
      failed   c: ValueError: no (see c.log)
    """
    counts = ", ".join(f"{number:,} {state}" for state, number in status.count().items())
    left = status.seconds_left
    time_left = "" if left is None else f"; about {format_duration(left)} left"
    print(f"{status.folder.name}: {len(status.runs):,} runs: {counts}{time_left}")
    for run in status.runs:
        if run.problem or run.state == "failed":
            print(f"  {run.state:<7}  {run.name}: {run.problem} (see {run.log})")
        elif run.state == "running" or run.epoch:
            print(f"  {run.state:<7}  {run.name}: {_describe_progress(run)}")


def _describe_progress(run: "RunStatus") -> str:
    parts = [f"epoch {run.epoch}" + (f" of {run.n_epochs}" if run.n_epochs else "")]
    if run.branch:
        parts.insert(0, f"branch {run.branch} alone")
    if run.n_models > 1:
        parts.insert(0, f"model {run.model} of {run.n_models}")
    scores = {name: value for name, value in run.scores.items() if name in SHOWN_SCORES}
    parts += [f"{name} {value:.3f}" for name, value in scores.items()]
    return ", ".join(parts)


def format_duration(seconds: float) -> str:
    """Format a duration in the unit that suits it.

    Parameters
    ----------
    seconds : float
        The duration, in s.

    Returns
    -------
    str
        A whole number, or one with one decimal for a few hours or days.

    Examples
    --------
    >>> [format_duration(seconds) for seconds in (4.2, 90, 720, 9000, 300_000)]
    ['4 s', '90 s', '12 min', '2.5 h', '3.5 days']
    """
    for length_s, unit in UNITS_OF_TIME:
        if seconds >= 2 * length_s:
            n_decimals = 1 if length_s > 60 and seconds < 10 * length_s else 0
            return f"{seconds / length_s:.{n_decimals}f} {unit}"
    return f"{seconds:.0f} s"
