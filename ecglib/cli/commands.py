"""The command ``ecglib``: one function for each of its commands.

Each function imports what it needs, so that no command waits for imports of another, and returns
the exit status.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

from ecglib import paths
from ecglib.cli import (
    batch_commands,
    check_commands,
    entry_commands,
    explain_commands,
    printing,
)
from ecglib.cli.parser import build_parser, parse_assignments
from ecglib.cli.status import run_command
from ecglib.errors import EcgError


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments in place of those of the process.

    Returns
    -------
    int
        Exit status: 0 on success, 1 if the command found something wrong (a leak, a failed run, a
        refused record), 2 if the input is wrong or a file cannot be read or written, 130 if it was
        interrupted, 141 if nobody reads the output.

    Examples
    --------
    >>> main(["compare", "no_such_batch"])
    2
    """
    options = build_parser().parse_args(arguments)
    return run_command("ecglib", lambda: COMMANDS[options.command](options))


def _list_datasets(options: argparse.Namespace) -> int:
    from ecglib import datasets

    summaries, broken = [], []
    for path in datasets.find_stores(options.data_dir):
        try:
            summaries.append(printing.summarize_store(datasets.Dataset(path)))
        except EcgError as error:
            broken.append(str(error))
    if options.json:
        known = {name: source.description for name, source in datasets.SOURCES.items()}
        printing.print_json({"known": known, "prepared": summaries, "broken": broken})
        return int(bool(broken))
    print("Known:")
    for name, source in datasets.SOURCES.items():
        print(f"  {name:<12} {source.description}")
    print(f"Prepared in {options.data_dir}:" + ("" if summaries else " none"))
    for summary in summaries:
        print(
            f"  {summary['path']}: {summary['n_records']} records, {summary['n_windows']} windows"
        )
    for message in broken:
        print(f"  {message}")
    return int(bool(broken))


def _prepare(options: argparse.Namespace) -> int:
    from ecglib import datasets

    dataset = datasets.prepare(
        options.dataset,
        options.source,
        data_dir=options.data_dir,
        progress=not options.json,
        options=parse_assignments(options.set),
        rules=datasets.ProblemRules(
            keep=options.keep, exclude=options.exclude, strict=options.strict
        ),
    )
    if options.json:
        printing.print_json(printing.summarize_store(dataset))
    else:
        printing.print_store(dataset)
    return 0


def _check(options: argparse.Namespace) -> int:
    from ecglib import datasets
    from ecglib.experiment import find_split_problems
    from ecglib.splits import count_leaks
    from ecglib.splits.report import compute_balance

    dataset = datasets.open_dataset(options.dataset, options.data_dir)
    datasets.verify_store(dataset.path, progress=not options.json)
    names = [options.task] if options.task else list(dataset.tasks)
    selections = {name: dataset.select(name) for name in names}
    balances = {
        name: compute_balance(selection.y, selection.part, selection.classes)
        for name, selection in selections.items()
    }
    problems = {name: find_split_problems(selection) for name, selection in selections.items()}
    columns = {name: selection.task.part for name, selection in selections.items()}
    reports = {
        column: {kind: dataset.summary[kind][column] for kind in ("leaks", "duplicates", "people")}
        for column in dict.fromkeys(columns.values())
    }
    if options.json:
        tasks = {
            name: {
                "part": columns[name],
                "counts": selection.count_windows().to_dict(),
                "balance": balances[name],
                "leaks": reports[columns[name]]["leaks"],
                "problems": problems[name],
            }
            for name, selection in selections.items()
        }
        printing.print_json(
            {
                **printing.summarize_store(dataset),
                "near_identical_records": dataset.summary["near_identical_records"],
                "tasks": tasks,
                "parts": reports,
            }
        )
    else:
        printing.print_store(dataset)
        for column, report in reports.items():
            printing.print_splits(column, report)
        for name, selection in selections.items():
            printing.print_task(selection, balances[name])
            for problem in problems[name]:
                print(f"  cannot be trained: {problem}")
    has_leaks = any(count_leaks(report["leaks"]) for report in reports.values())
    return int(has_leaks or any(problems.values()))


def _compare(options: argparse.Namespace) -> int:
    from ecglib.batch.comparison import choose_settings, compare_batches

    folders = [paths.find_batch_dir(name, options.runs_dir) for name in options.batches]
    settings = choose_settings(folders, options.metric, options.margin)
    comparisons = compare_batches(folders, settings, options.only)
    if options.json:
        printing.print_json([comparison.to_dict() for comparison in comparisons])
        return 0
    for comparison in comparisons:
        printing.print_comparison(comparison)
    return 0


def _export(options: argparse.Namespace) -> int:
    from ecglib.runs import open_run

    run = open_run(options.run, options.runs_dir)
    from ecglib.inference import FILES, export_run  # imports Keras: after the run is found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # failed formats are printed
        exported = export_run(run, options.to, options.format, options.data_dir)
    if options.json:
        printing.print_json(
            {
                "path": str(exported.path),
                "files": {name: FILES[name] for name in exported.max_differences},
                "max_differences": exported.max_differences,
                "compared_with": exported.compared_with,
                "skipped": exported.skipped,
                "failed": exported.failed,
                "caveats": run.caveats,
            }
        )
    else:
        printing.print_exported(exported, FILES, run.caveats)
    return int(bool(exported.failed))


def _predict(options: argparse.Namespace) -> int:
    from ecglib.runs import open_run

    run = open_run(options.run, options.runs_dir)
    # Imports Keras: after the run is found.
    from ecglib.inference import Predictor, find_records

    record_options = explain_commands.build_record_options(options)
    records = find_records(options.records)
    predictor = Predictor(run)
    predicted = predictor.predict(records, options=record_options)
    latency = predictor.measure_latency(records, record_options) if predicted.windows else None
    if options.json:
        import dataclasses

        times = dataclasses.asdict(latency) if latency else None
        printing.print_json(predicted.to_dict() | {"latency": times})
    else:
        printing.print_predictions(run, predicted, latency)
    if options.csv:
        paths.write_csv(Path(options.csv), predicted.to_table())
    return int(bool(predicted.refused))


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "datasets": _list_datasets,
    "prepare": _prepare,
    "check": _check,
    "split": entry_commands.write_split,
    "batch": batch_commands.carry_out_batch,
    "status": batch_commands.show_status,
    "enter": entry_commands.enter_predictions,
    "compare": _compare,
    "export": _export,
    "predict": _predict,
    "explain": explain_commands.explain,
    "check-encoder": check_commands.check_contestant,
    "check-fusion": check_commands.check_contestant,
    "check-representation": check_commands.check_contestant,
}
