"""The commands ``ecglib check-encoder``, ``check-fusion`` and ``check-representation``."""

import argparse
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecglib.cli import printing

if TYPE_CHECKING:  # importing it for real would cost every command
    from ecglib.models.checks import CheckResult


def check_contestant(options: argparse.Namespace) -> int:
    """Check an encoder, a fusion or a representation as those of ecglib are checked.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib check-encoder``, ``check-fusion`` or ``check-representation``.

    Returns
    -------
    int
        Exit status: 1 if something is wrong.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> check_contestant(build_parser().parse_args(["check-encoder", "none:encode"]))
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: There is no module 'none' ...
    """
    from ecglib.models import check_encoder, check_fusion, check_representation

    match options.command:
        case "check-encoder":
            results = check_encoder(options.path, options.representation)
        case "check-fusion":
            results = check_fusion(options.path)
        case _:
            results = check_representation(options.path, options.kind)
    return _report(options, results)


def _report(options: argparse.Namespace, results: "Iterator[CheckResult]") -> int:
    """Print each check when it is done; the first line shows that something happens."""
    done = []
    for result in results:
        done.append(result)
        if not options.json:
            print(f"  {'ok    ' if result.passed else 'FAILED'}  {result.name}", flush=True)
            if not result.passed:
                print(f"          {result.problem}", flush=True)
    n_failed = sum(not result.passed for result in done)
    if options.json:
        checks = [dataclasses.asdict(result) for result in done]
        printing.print_json({"path": options.path, "passed": not n_failed, "checks": checks})
    else:
        print(f"{options.path}: {len(done)} checks, {n_failed or 'none'} failed.")
    return int(bool(n_failed))
