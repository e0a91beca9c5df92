"""The commands ``ecglib batch`` and ``ecglib status``."""

import argparse
from typing import TYPE_CHECKING, Any

from ecglib.cli import batch_printing, printing
from ecglib.cli.parser import parse_assignments
from ecglib.errors import EcgError
from ecglib.paths import find_batch_dir

if TYPE_CHECKING:  # importing these for real would cost every command
    from ecglib.batch import BatchFile, BatchReport
    from ecglib.batch.jobs import Batch
    from ecglib.datasets import Dataset

WRONG_INPUT = 2  # exit status, as of every command (`ecglib.cli.status`)


def carry_out_batch(options: argparse.Namespace) -> int:
    """Carry out the missing runs of a batch file, or plan them.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib batch``.

    Returns
    -------
    int
        Exit status: 1 if a run failed, 2 if a dry run finds problems.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> carry_out_batch(build_parser().parse_args(["batch", "none.yaml", "--dry-run"]))
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: The batch file none.yaml cannot be read: ...
    """
    from ecglib import datasets
    from ecglib.batch import BatchFile

    _check_executor(options)
    file = BatchFile.read(options.file, **parse_assignments(options.set))
    dataset = datasets.prepare(
        options.dataset or file.dataset,
        options.source,
        data_dir=options.data_dir,
        progress=not options.json,
    )
    if options.run:
        return _run_one(file, dataset, options)
    if options.dry_run or options.print_commands:
        from ecglib.batch.jobs import Batch

        batch = Batch(file=file, dataset=dataset, runs_dir=options.runs_dir.resolve())
        return _plan(batch, options) if options.dry_run else _print_commands(batch, options)
    return _run(file, dataset, options)


def _check_executor(options: argparse.Namespace) -> None:
    if options.executor == "dask" and not options.scheduler:
        raise EcgError(
            "--executor dask needs the address of a scheduler. Start one with `dask scheduler`, "
            "and give what it prints: --scheduler tcp://10.0.0.5:8786."
        )
    if options.scheduler and options.executor != "dask":
        raise EcgError(
            f"--scheduler {options.scheduler} is the address of a Dask scheduler: add --executor "
            f"dask, or leave it out to carry out the runs on this machine."
        )


def show_status(options: argparse.Namespace) -> int:
    """Show how far a batch is.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib status``.

    Returns
    -------
    int
        Exit status: 1 if a run failed.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> show_status(build_parser().parse_args(["status", "no_such_batch"]))
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: There is no batch ...
    """
    from ecglib.batch.status import FAILED, read_status

    status = read_status(find_batch_dir(options.batch, options.runs_dir))
    if options.json:
        printing.print_json(status.to_dict())
    else:
        batch_printing.print_status(status)
    return int(bool(status.count()[FAILED]))


def _plan(batch: "Batch", options: argparse.Namespace) -> int:
    from ecglib.batch.plan import plan_batch
    from ecglib.batch.resources import choose_n_jobs

    plan = plan_batch(batch, options.jobs or choose_n_jobs())
    if options.json:
        printing.print_json(plan.to_dict())
    else:
        batch_printing.print_plan(plan)
    return WRONG_INPUT if plan.problems else 0


def _print_commands(batch: "Batch", options: argparse.Namespace) -> int:
    from ecglib.batch.shell_commands import list_commands

    commands = list_commands(batch, options.set)
    if options.json:
        printing.print_json({"commands": commands.lines, "has_controls": commands.has_controls})
        return 0
    for line in commands.lines:
        print(line)
    batch_printing.print_note_on_commands(commands)
    return 0


def _run_one(file: "BatchFile", dataset: "Dataset", options: argparse.Namespace) -> int:
    from ecglib.batch.scheduling import run_one

    report = run_one(file, dataset, options.runs_dir, options.run)
    if options.json:
        printing.print_json(_list_outcomes(report))
    else:
        batch_printing.print_batch(report)
    return int(bool(report.failed))


def _run(file: "BatchFile", dataset: "Dataset", options: argparse.Namespace) -> int:
    from ecglib.batch import run_batch

    report = run_batch(file, dataset, options.runs_dir, options.jobs, options.scheduler)
    if options.json:
        printing.print_json(_list_outcomes(report) | {"report": str(report.html)})
    else:
        batch_printing.print_batch(report)
        if not report.has_controls:
            print("  No controls were made: they are chosen once all runs of the grid exist.")
        for comparison in report.comparisons:
            printing.print_comparison(comparison)
        print(f"\nReport: {report.html}")
    return int(bool(report.failed))


def _list_outcomes(report: "BatchReport") -> dict[str, Any]:
    return {
        "batch": str(report.folder),
        "new": report.new,
        "existing": report.existing,
        "failed": report.failed,
        "incomplete": report.incomplete,
        "damaged": report.damaged,
        "retried": report.retried,
        "not_started": report.not_started,
    }
