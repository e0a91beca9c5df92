"""The arguments of the command ``ecglib``.

Imports nothing heavy, so that ``--help`` is fast; `ecglib.cli.commands` carries the commands out.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecglib import __version__, paths
from ecglib.errors import EcgError

SOURCE_HELP = "folder of the data as published (default: the prepared store, else a download)"


class _CommandParser(argparse.ArgumentParser):
    """A parser that accepts positional arguments before, between and after the options.

    Argparse by itself refuses ``prepare NAME --set a=1 PATH``: when it reads NAME it decides that
    the optional PATH was not given.
    """

    _is_intermixed = False  # whether the positional arguments are being gathered

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._is_intermixed:  # before Python 3.12 the method below calls this one
            return super().parse_known_args(args, namespace)
        self._is_intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixed = False


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``ecglib``; the name of the command is parsed into ``command``.

    Returns
    -------
    argparse.ArgumentParser
        One subparser for each command.

    Examples
    --------
    >>> options = build_parser().parse_args(["compare", "fusion", "--metric", "f1"])
    >>> options.command, options.batches, options.metric
    ('compare', ['fusion'], 'f1')
    """
    parser = argparse.ArgumentParser(
        "ecglib", description="A fair referee for multimodal ECG models."
    )
    parser.add_argument("--version", action="version", version=f"ecglib {__version__}")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command", parser_class=_CommandParser
    )
    _add_datasets(commands)
    _add_prepare(commands)
    _add_check(commands)
    _add_split(commands)
    _add_batch(commands)
    _add_status(commands)
    _add_enter(commands)
    _add_compare(commands)
    _add_export(commands)
    _add_predict(commands)
    _add_explain(commands)
    _add_check_encoder(commands)
    _add_check_fusion(commands)
    _add_check_representation(commands)
    return parser


def parse_assignments(assignments: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Parse values of the form ``NAME=VALUE``.

    Parameters
    ----------
    assignments : sequence of str
        The texts, as they were given; each value is YAML.
    option : str, default "--set"
        The option that they were given to, for the error.

    Returns
    -------
    dict of str to object
        Name -> value.

    Raises
    ------
    EcgError
        If an assignment has no ``=``, or its value is not valid YAML.

    Examples
    --------
    >>> parse_assignments(["epochs=30", "band_hz=[0.5, 40.0]"])
    {'epochs': 30, 'band_hz': [0.5, 40.0]}
    """
    import yaml

    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            missing = "no name before '='; write" if equals else "no '='; write"
            raise EcgError(f"{option} {assignment[:80]} has {missing} {option} NAME=VALUE.")
        if name in values:
            raise EcgError(f"{option} gives {name} twice. Give it once.")
        try:
            values[name] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            problem = " ".join(str(getattr(error, "problem", None) or error).split())
            raise EcgError(
                f"{option} {assignment[:80]}: the value is not valid YAML: {problem}. Quote text "
                f"that holds signs, as in {option} '{name[:40]}=\"...\"'."
            ) from None
    return values


def _parse_number(text: str) -> float:
    """Parse a finite number of at least 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def _parse_count(text: str) -> int:
    """Parse a whole number of at least 0, for argparse."""
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _add_command(commands: Any, name: str, description: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=description, description=description)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    return parser


def _add_datasets(commands: Any) -> None:
    parser = _add_command(commands, "datasets", "List the known datasets and the prepared stores.")
    _add_data_dir(parser)


def _add_prepare(commands: Any) -> None:
    parser = _add_command(
        commands, "prepare", "Prepare a dataset once; report which records were excluded and why."
    )
    parser.add_argument("dataset", help="name of a dataset, see `ecglib datasets`")
    parser.add_argument("source", nargs="?", metavar="PATH", help=SOURCE_HELP)
    _add_assignments(parser, "an option of the dataset (YAML value); repeatable")
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first record that would be excluded"
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="PROBLEM",
        help="keep records with this problem (the kinds: ecglib.datasets.problems.KINDS)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PROBLEM",
        help="exclude records with this problem",
    )
    _add_data_dir(parser)


def _add_check(commands: Any) -> None:
    parser = _add_command(
        commands,
        "check",
        "Report on a store: signals, classes, splits and leaks. Exit status 1 if there is a leak.",
    )
    parser.add_argument("dataset", help="name of a dataset, or the folder of a store")
    parser.add_argument("--task", help="report on this task only")
    _add_data_dir(parser)


def _add_split(commands: Any) -> None:
    parser = _add_command(
        commands,
        "split",
        "Write splits, labels and signals of a task as files for another framework.",
    )
    parser.add_argument("dataset", help="name of a dataset, or the folder of a store")
    parser.add_argument("--task", default="", help="name of the task (default: the first one)")
    parser.add_argument(
        "--folds",
        type=_parse_count,
        default=0,
        metavar="N",
        help="number of folds of a cross-validation (default: the splits of the dataset)",
    )
    parser.add_argument(
        "--fold",
        type=_parse_count,
        default=0,
        metavar="K",
        help="with --folds: the fold that takes the place of the test split, from 1",
    )
    parser.add_argument("--output", metavar="FILE.csv", required=True, help="table to write")
    parser.add_argument(
        "--signals",
        metavar="PATH",
        default="",
        help="write the signals too: a file FILE.npz, or a folder of .npy files, of which "
        "signals.npy can be memory-mapped",
    )
    _add_data_dir(parser)


def _add_batch(commands: Any) -> None:
    parser = _add_command(
        commands,
        "batch",
        "Carry out the missing runs of a batch file, compare all, write a report.",
    )
    parser.add_argument("file", help="batch file, for example notebooks/batches/fusion.yaml")
    parser.add_argument("--dataset", help="use this dataset instead of the batch file's")
    _add_source(parser)
    _add_assignments(parser, "replace a parameter of all runs (YAML value); repeatable")
    parser.add_argument(
        "--jobs",
        type=_parse_count,
        default=0,
        help="number of runs at the same time (default: as many as cores and memory allow)",
    )
    parser.add_argument(
        "--executor",
        choices=("local", "dask"),
        default="local",
        help="where runs are carried out: on this machine, or on the workers of Dask",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run",
        action="store_true",
        help="train nothing: print the runs, which exist, every wrong parameter, time and disk",
    )
    instead.add_argument(
        "--print-commands",
        action="store_true",
        help="train nothing: print one shell command for each missing run, for any scheduler",
    )
    instead.add_argument(
        "--run", metavar="NAME", default="", help="carry out only this run, and compare nothing"
    )
    instead.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        default="",
        help="with --executor dask: the Dask scheduler, for example tcp://10.0.0.5:8786; its "
        "workers share the folders with this machine",
    )
    _add_data_dir(parser)
    _add_runs_dir(parser)


def _add_status(commands: Any) -> None:
    parser = _add_command(
        commands,
        "status",
        "Say how far a batch is: what is finished, running or failed, and the time left. Exit "
        "status 1 if a run failed.",
    )
    parser.add_argument("batch", metavar="BATCH", help="name of a batch, or its folder")
    _add_runs_dir(parser)


def _add_enter(commands: Any) -> None:
    parser = _add_command(
        commands,
        "enter",
        "Enter predictions of another framework into the comparison of a batch.",
    )
    parser.add_argument("batch", metavar="BATCH", help="name of a batch, or its folder")
    parser.add_argument(
        "predictions",
        metavar="FILE",
        help="CSV or NPZ file with a probability of each class for every window of the validation "
        "and the test split",
    )
    parser.add_argument("--name", required=True, help="name of the model, for all its seeds")
    parser.add_argument(
        "--parameters",
        type=int,
        required=True,
        metavar="N",
        help="number of parameters of the model",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of its training (default: 0)"
    )
    _add_runs_dir(parser)


def _add_compare(commands: Any) -> None:
    parser = _add_command(commands, "compare", "Compare the runs of one or several batches.")
    parser.add_argument(
        "batches", nargs="+", metavar="BATCH", help="name of a batch, or its folder"
    )
    parser.add_argument(
        "--metric",
        default="",
        help="score that is compared, its mean over the classes: auroc, auprc, f1, brier, ... "
        "(default: that of the batch file)",
    )
    parser.add_argument(
        "--margin",
        type=_parse_number,
        default=0.0,
        help="smallest gain worth having (default: that of the batch file)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="judge only this fusion, named as the comparison names it; repeatable",
    )
    _add_runs_dir(parser)


def _add_export(commands: Any) -> None:
    parser = _add_command(
        commands, "export", "Export a run as one model, from millivolts to probabilities."
    )
    _add_run(parser)
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        help="keras, savedmodel, onnx or tflite (default: all that can be written); repeatable",
    )
    parser.add_argument(
        "--to", metavar="DIR", default="", help="folder (default: export in the folder of the run)"
    )
    _add_data_dir(parser)
    _add_runs_dir(parser)


def _add_predict(commands: Any) -> None:
    parser = _add_command(
        commands, "predict", "Predict probabilities and decisions for records with a run."
    )
    _add_run(parser)
    parser.add_argument(
        "records", nargs="+", metavar="RECORD", help="WFDB, CSV, EDF or NumPy file, or a folder"
    )
    _add_record_options(parser)
    parser.add_argument("--csv", metavar="FILE", help="also write the table to this file")
    _add_runs_dir(parser)


def _add_explain(commands: Any) -> None:
    parser = _add_command(
        commands,
        "explain",
        "Draw why a run gives a class to a record, and which checks this explanation passes. Exit "
        "status 1 if one fails.",
    )
    _add_run(parser)
    parser.add_argument(
        "record",
        metavar="RECORD",
        help="WFDB, CSV, EDF or NumPy file, or the name of a record of the dataset of the run",
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        required=True,
        help="page to write: a file that ends in .html, .svg or .png",
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        default="",
        metavar="NAME",
        help="the class to explain (default: the predicted one with the highest probability)",
    )
    parser.add_argument(
        "--method",
        default="",
        metavar="NAME",
        help="integrated_gradients (default), smoothgrad or gradient",
    )
    parser.add_argument(
        "--window",
        type=_parse_count,
        default=0,
        metavar="N",
        help="which window of the record, counted from 1 (default: the first or, with --class, "
        "the one to which the run gives the class the highest probability)",
    )
    _add_record_options(parser)
    _add_data_dir(parser)
    _add_runs_dir(parser)


def _add_check_encoder(commands: Any) -> None:
    parser = _add_command(
        commands,
        "check-encoder",
        "Check an encoder of another package as those of ecglib are checked. Exit status 1 if "
        "something is wrong.",
    )
    parser.add_argument(
        "path", metavar="PATH", help="import path, for example mypackage.encoders:my_encoder"
    )
    parser.add_argument(
        "--representation", default="time", help="the representation that it takes (default: time)"
    )


def _add_check_fusion(commands: Any) -> None:
    parser = _add_command(
        commands,
        "check-fusion",
        "Check a fusion of another package as those of ecglib are checked. Exit status 1 if "
        "something is wrong.",
    )
    parser.add_argument(
        "path", metavar="PATH", help="import path, for example mypackage.fusions:late_mine"
    )


def _add_check_representation(commands: Any) -> None:
    parser = _add_command(
        commands,
        "check-representation",
        "Check the layer of another package that computes a representation. Exit status 1 if "
        "something is wrong.",
    )
    parser.add_argument(
        "path", metavar="PATH", help="import path, for example mypackage.layers:MyLayer"
    )
    parser.add_argument(
        "--kind",
        default="time",
        help="the representation of ecglib that has the same axes (default: time)",
    )


def _add_record_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate",
        type=_parse_number,
        default=0.0,
        help="sampling rate of CSV and NumPy files, in Hz",
    )
    parser.add_argument(
        "--unit", default="", help="mV, uV, V or nV, for files that do not name their unit"
    )
    parser.add_argument(
        "--leads", default="", help="leads of NumPy files, in order, for example I,II,V1"
    )
    parser.add_argument(
        "--lead-column",
        action="append",
        default=[],
        metavar="LEAD=NUMBER",
        help="column of a lead, counted from 1, if several have its name; repeatable",
    )
    parser.add_argument(
        "--start",
        type=_parse_number,
        action="append",
        default=[],
        metavar="SECONDS",
        help="start of a window in s (default: one window in the middle); repeatable",
    )
    parser.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="a tabular input of the model, for example age=63; repeatable",
    )
    parser.add_argument(
        "--pad", action="store_true", help="pad records that are too short with 0 mV"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", help="the run: its folder, BATCH/RUN, or a part of its name such as the hash"
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", help=SOURCE_HELP)


def _add_assignments(parser: argparse.ArgumentParser, description: str) -> None:
    parser.add_argument(
        "--set", "-s", action="append", default=[], metavar="NAME=VALUE", help=description
    )


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", default=paths.data_dir(), type=Path, help="folder of the stores"
    )


def _add_runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs-dir", default=paths.runs_dir(), type=Path, help="folder of the runs"
    )
