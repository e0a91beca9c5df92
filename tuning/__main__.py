"""``python -m tuning``: search, and print what to do with the winner."""

import argparse
import os
import sys
from pathlib import Path

from ecglib import paths
from ecglib.cli import run_command
from ecglib.errors import ExperimentError
from tuning.settings import (
    DEFAULT_FINALIST_SEEDS,
    DEFAULT_FINALISTS,
    ORACLES,
    Budget,
    SearchSettings,
)


def main(arguments: list[str] | None = None) -> int:
    """Run a search.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments in place of those of the process.

    Returns
    -------
    int
        Exit status: 0 on success, 2 if the input is wrong or no model could be trained, and as of
        `ecglib.cli.run_command`.
    """
    options = _build_parser().parse_args(arguments)
    return run_command("tuning", lambda: _search(options))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tuning",
        description="Search representations, encoders, fusion and their settings on the training "
        "and validation splits. An interrupted search continues when it is run again.",
    )
    parser.add_argument(
        "--dataset",
        default="synthetic",
        help="name of a dataset, or the folder of a store (default: synthetic)",
    )
    parser.add_argument(
        "--source",
        help="folder of the data as published (default: the prepared store, else a download)",
    )
    parser.add_argument(
        "--task", default="", help="what is predicted (default: the first task of the dataset)"
    )
    parser.add_argument(
        "--oracle",
        choices=ORACLES,
        default=ORACLES[0],
        help="who suggests trials (default: random)",
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=0,
        help="number of suggestions to try (default: 6; a whole sweep of hyperband)",
    )
    parser.add_argument(
        "--epochs", type=int, default=4, help="maximum number of epochs of a trial (default: 4)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed gives other trials (default: 0)"
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=0,
        help="score trials by the mean over this many patient folds (default: validation split)",
    )
    parser.add_argument(
        "--finalists",
        type=int,
        default=DEFAULT_FINALISTS,
        help=f"number of best trials that get more seeds (default: {DEFAULT_FINALISTS})",
    )
    parser.add_argument(
        "--finalist-seeds",
        type=int,
        default=DEFAULT_FINALIST_SEEDS,
        help=f"number of seeds of each finalist (default: {DEFAULT_FINALIST_SEEDS})",
    )
    parser.add_argument(
        "--max-parameters",
        type=int,
        default=0,
        help="maximum number of parameters of a model (default: any)",
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=0.0,
        help="maximum training time of a trial, in s (default: any)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="number of processes that work on the trials (default: 1); to use several machines, "
        "run the command on each with one common folder",
    )
    parser.add_argument(
        "--set",
        "-s",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of all trials, for example class_weights=sqrt (YAML value); repeatable",
    )
    parser.add_argument(
        "--encoder",
        action="append",
        default=[],
        metavar="REPRESENTATION=MODULE:FUNCTION",
        help="an encoder of your own that is searched as well, for example "
        "time=my_encoders:separable_cnn; repeatable",
    )
    parser.add_argument(
        "--fusion",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="a fusion of your own that is searched as well, for example "
        "my_fusions:intermediate_sum; repeatable",
    )
    parser.add_argument(
        "--data-dir", default=paths.data_dir(), type=Path, help="folder of the stores"
    )
    parser.add_argument(
        "--searches-dir", default=paths.searches_dir(), type=Path, help="folder of the searches"
    )
    return parser


def _search(options: argparse.Namespace) -> int:
    from ecglib import datasets
    from ecglib.cli.parser import parse_assignments
    from tuning.search import search
    from tuning.winner import NOTEBOOK

    settings = SearchSettings(
        task=options.task,
        trial_settings=parse_assignments(options.set),
        oracle=options.oracle,
        max_trials=options.trials,
        epochs=options.epochs,
        seed=options.seed,
        n_folds=options.folds,
        finalists=options.finalists,
        finalist_seeds=options.finalist_seeds,
        budget=Budget(max_parameters=options.max_parameters, max_seconds=options.max_seconds),
        encoders=_parse_encoders(options.encoder),
        fusions=options.fusion,
    )
    dataset = datasets.prepare(options.dataset, options.source, data_dir=options.data_dir)
    result = search(dataset, settings, options.searches_dir, options.workers)
    table = result.table()
    differences = result.compare_finalists()
    print("\n" + table.to_string(index=False, na_rep="-", float_format="{:.4g}".format))
    print("\n" + "\n".join(result.describe()))
    if len(differences):
        print("\nWinner minus the other finalists, on the same patients:")
        print(differences.to_string(index=False, float_format="{:+.4f}".format))
    notebook = os.path.relpath(NOTEBOOK)
    parameters = os.path.relpath(result.winner.parameters)
    batch = os.path.relpath(result.winner.batch)
    print(f"\nDoes it add anything?  ecglib batch {batch}")
    print(f"Only train it:         papermill {notebook} out.ipynb -f {parameters}")
    return 0


def _parse_encoders(assignments: list[str]) -> dict[str, list[str]]:
    """Return the encoders of each representation."""
    encoders: dict[str, list[str]] = {}
    for assignment in assignments:
        representation, _, path = assignment.partition("=")
        if not representation or not path:
            raise ExperimentError(
                f"--encoder {assignment[:80]} does not name a representation and a function. Write "
                f"REPRESENTATION=MODULE:FUNCTION, as in --encoder time=my_encoders:my_encoder."
            )
        encoders.setdefault(representation, []).append(path)
    return encoders


if __name__ == "__main__":
    sys.exit(main())
