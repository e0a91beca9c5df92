"""``python -m tuning``: search, and say what to do with the winner."""

import argparse
import os
import sys
from pathlib import Path

from ecglib import paths
from ecglib.errors import EcgError


def main(arguments: list[str] | None = None) -> int:
    """Run the search; 0 on success, 2 on bad input or where nothing could be trained."""
    options = _parser().parse_args(arguments)
    try:
        return _search(options)
    except EcgError as error:
        print(f"tuning: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "tuning: interrupted; finished trials are kept, run it again to go on", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tuning",
        description="Search over representations, encoders, fusion and their settings, on the "
        "training and validation parts. What was interrupted goes on when run again.",
    )
    add = parser.add_argument
    add("--dataset", default="synthetic", help="name of a dataset, or a store's folder")
    add("--source", help="folder that holds the data as published; downloaded where there is none")
    add("--task", default="", help="what is predicted (default: the dataset's first task)")
    add("--trials", type=int, default=6, help="suggestions to try (default: 6)")
    add("--epochs", type=int, default=4, help="most epochs of a trial (default: 4)")
    add("--seed", type=int, default=0, help="another seed, other trials (default: 0)")
    add(
        *("--set", "-s"),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of all trials, such as class_weights=sqrt (YAML value); repeatable",
    )
    add("--data-dir", default=paths.data_dir(), type=Path, help="folder of the stores")
    add("--folder", default=paths.searches_dir(), type=Path, help="folder of the searches")
    return parser


def _search(options) -> int:
    from ecglib import datasets
    from ecglib.cli.parser import parse_assignments
    from tuning.search import search
    from tuning.winner import NOTEBOOK

    settings = parse_assignments(options.set)
    dataset = datasets.prepare(options.dataset, options.data_dir, options.source)
    result = search(
        *(dataset, options.task, settings),
        max_trials=options.trials,
        epochs=options.epochs,
        seed=options.seed,
        folder=options.folder,
    )
    print("\n" + result.table().to_string(index=False, na_rep="-", float_format="{:.4g}".format))
    print("\n" + "\n".join(result.sentences()))
    notebook, parameters, batch = map(os.path.relpath, (NOTEBOOK, result.parameters, result.batch))
    print(f"\nDoes it add anything?  ecglib batch {batch}")
    print(f"Only train it:         papermill {notebook} out.ipynb -f {parameters}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
