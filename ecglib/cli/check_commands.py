"""The commands that check an encoder, a fusion or a representation of another package."""

import argparse
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecglib.cli import printing

if TYPE_CHECKING:  # importing it for real would cost every command
    from ecglib.models.checks import CheckResult


def check_encoder(options: argparse.Namespace) -> int:
    """Check an encoder as those of ecglib are checked.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib check-encoder``.

    Returns
    -------
    int
        Exit status: 1 if something is wrong.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> check_encoder(build_parser().parse_args(["check-encoder", "none:encode"]))
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: There is no module 'none' ...
    """
    from ecglib.models.checks import check_encoder

    return _report(options, check_encoder(options.path, options.representation))


def check_fusion(options: argparse.Namespace) -> int:
    """Check a fusion as those of ecglib are checked.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib check-fusion``.

    Returns
    -------
    int
        Exit status: 1 if something is wrong.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> check_fusion(build_parser().parse_args(["check-fusion", "none:late_mine"]))
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: There is no module 'none' ...
    """
    from ecglib.models.checks import check_fusion

    return _report(options, check_fusion(options.path))


def check_representation(options: argparse.Namespace) -> int:
    """Check the layer of a representation.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib check-representation``.

    Returns
    -------
    int
        Exit status: 1 if something is wrong.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> check_representation(build_parser().parse_args(["check-representation", "none:Layer"]))
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: There is no module 'none' ...
    """
    from ecglib.models.checks import check_representation

    return _report(options, check_representation(options.path, options.kind))


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
