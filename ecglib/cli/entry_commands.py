"""The commands ``ecglib split`` and ``ecglib enter``."""

import argparse
from pathlib import Path

from ecglib import paths
from ecglib.cli import printing


def write_split(options: argparse.Namespace) -> int:
    """Write splits and labels of a task, and its signals where they are asked for.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib split``.

    Returns
    -------
    int
        Exit status: 0.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> command = ["split", "none", "--output", "split.csv", "--data-dir", "data/none"]
    >>> write_split(build_parser().parse_args(command))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: ...
    """
    from ecglib.datasets import open_dataset
    from ecglib.datasets.split_files import build_split_table, write_signals
    from ecglib.experiment.settings import DataSettings
    from ecglib.splits import count_leaks

    dataset = open_dataset(options.dataset, options.data_dir)
    data = DataSettings(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        task=options.task or dataset.default_task,
        n_folds=options.folds,
        fold=options.fold,
    )
    selection = dataset.select(data.task, n_folds=data.n_folds, fold=data.fold)
    table = build_split_table(dataset, selection, data.fold)
    paths.write_csv(Path(options.output), table)
    if options.signals:
        write_signals(Path(options.signals), dataset, selection, data.fold)
    counts = {split: int(n) for split, n in table["part"].value_counts().items()}
    leaks = count_leaks(dataset.report_leaks(selection))
    if options.json:
        printing.print_json(
            {
                "table": options.output,
                "signals": options.signals or None,
                "store": table["store"].iloc[0],
                "task": data.task,
                "windows": counts,
                "classes": selection.classes,
                "leaks": leaks,
                "caveats": list(dataset.caveats),
            }
        )
        return 0
    windows = ", ".join(f"{n:,} {split}" for split, n in counts.items())
    print(f"{options.output}: task {data.task}, {windows} windows")
    if options.signals:
        print(f"{options.signals}: the signals in mV")
    for caveat in dataset.caveats:
        print(f"  caveat: {caveat}")
    for kind, n in leaks.items():
        print(f"  leak between the splits: {kind.replace('_', ' ')}: {n:,}")
    return 0


def enter_predictions(options: argparse.Namespace) -> int:
    """Enter predictions of another framework into a batch.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib enter``.

    Returns
    -------
    int
        Exit status: 0.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> command = ["enter", "none", "none.csv", "--name", "resnet", "--parameters", "1000"]
    >>> enter_predictions(build_parser().parse_args(command))
    Traceback (most recent call last):
    ...
    ecglib.errors.EntryError: none.csv cannot be read: ...
    """
    from ecglib.batch.entering import enter

    entry = enter(
        paths.find_batch_dir(options.batch, options.runs_dir),
        options.predictions,
        name=options.name,
        parameters=options.parameters,
        seed=options.seed,
    )
    if options.json:
        printing.print_json(
            {
                "path": str(entry.path),
                "name": entry.details.model_name,
                "seed": entry.seed,
                "trained_here": False,
                "macro": entry.metrics["test"]["macro"],
                "thresholds": dict(zip(entry.classes, entry.details.thresholds, strict=True)),
                "caveats": list(entry.caveats),
            }
        )
        return 0
    print(entry)
    print(f"  folder: {entry.path}")
    print(f"  next: ecglib compare {entry.path.parent}")
    return 0
