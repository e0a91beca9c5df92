"""The command ``ecglib explain``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ecglib.cli import printing
from ecglib.cli.parser import parse_assignments
from ecglib.errors import DatasetError, require_one_of

if TYPE_CHECKING:  # importing these for real would cost every command
    from ecglib.datasets import Dataset
    from ecglib.explain import Explanation
    from ecglib.inference import RecordOptions
    from ecglib.runs import Run


def explain(options: argparse.Namespace) -> int:
    """Write the page of why a run gives a class to a record.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib explain``.

    Returns
    -------
    int
        Exit status: 1 if a check failed.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> command = ["explain", "none", "100", "-o", "page.gif"]
    >>> explain(build_parser().parse_args(command))
    Traceback (most recent call last):
    ...
    ecglib.errors.EcgError: page.gif cannot be written: ...
    """
    from ecglib.plots import check_output, write_explanation
    from ecglib.runs import open_run

    output = check_output(options.output)
    run = open_run(options.run, options.runs_dir)
    # Imports Keras: after the run is found.
    from ecglib.explain import DEFAULT_METHOD, METHODS, Explainer

    method = options.method or DEFAULT_METHOD
    require_one_of("--method", method, METHODS)
    explainer = Explainer(run, _open_dataset(run, options.data_dir))
    given = explainer.read_record(
        options.record,
        number=options.window,
        class_name=options.class_name,
        options=build_record_options(options),
    )
    explanation = explainer.explain(given, options.class_name, method)
    write_explanation(explanation, output)
    if options.json:
        printing.print_json({"page": str(output), **explanation.to_dict()})
    else:
        print_explanation(explanation, output)
    return int(bool(explanation.failed))


def print_explanation(explanation: "Explanation", output: Path) -> None:
    """Print the class, what each branch adds and the checks.

    Parameters
    ----------
    explanation : Explanation
        The explanation.
    output : Path
        The page that was written.

    Examples
    --------
    >>> from ecglib import open_run
    >>> from ecglib.explain import Explainer
    >>> found = Explainer(open_run()).explain(window)  # doctest: +SKIP
    >>> print_explanation(found, Path("page.html"))  # doctest: +SKIP
    """
    values, contract = explanation.to_dict(), explanation.contract
    name, window = explanation.class_name, explanation.window
    decided = "predicted" if name in explanation.decisions else "not predicted"
    print(
        f"{explanation.model_name}, task {contract.task} of {contract.dataset}; run "
        f"{explanation.run_name}"
    )
    for caveat in explanation.caveats:
        print(f"  caveat: {caveat}")
    for problem in window.problems:
        print(f"  problem: {problem}")
    p = values["probabilities"][name]
    print(f"{window.record} from {window.start_s:g} s: {name} {p:.3f}, {decided}")
    if explanation.branches is not None:
        added = values["branches"]["contributions"].items()
        print(f"  branches: {', '.join(f'{key} {value:+.2f}' for key, value in added)} (logit)")
    if explanation.branches_note:
        print(f"  what each branch adds was not computed: {explanation.branches_note}")
    checks = [(one.name, check) for one in explanation.inputs for check in one.checks]
    checks += [("branches", check) for check in explanation.branch_checks]
    for of_what, check in checks:
        word = "passed" if check.passed else "FAILED"
        figure = f"{check.figure:.2g} (accepted: {check.accepted})"
        print(f"  {word}  {check.name} of the {of_what}: {figure}")
    print(f"  {explanation.seeds_note}")
    print(f"page: {output}")


def build_record_options(options: argparse.Namespace) -> "RecordOptions":
    """Build what the files of records do not say from the options of a command.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``ecglib predict`` or ``ecglib explain``.

    Returns
    -------
    RecordOptions
        Sampling rate, unit, leads, starts, padding and tabular values.

    Examples
    --------
    >>> from ecglib.cli.parser import build_parser
    >>> options = build_parser().parse_args(["predict", "run", "a.csv", "--rate", "500"])
    >>> build_record_options(options).sampling_rate_hz
    500.0
    """
    from ecglib.inference import RecordOptions

    return RecordOptions(
        sampling_rate_hz=options.rate,
        unit=options.unit,
        leads=tuple(name.strip() for name in options.leads.split(",") if name.strip()),
        lead_columns=parse_assignments(options.lead_column, "--lead-column"),
        starts_s=tuple(options.start),
        pad=options.pad,
        values=parse_assignments(options.value, "--value"),
    )


def _open_dataset(run: "Run", data_dir: Path) -> "Dataset | None":
    """Open the dataset of a run, which records in files can do without."""
    from ecglib.datasets import open_dataset

    try:
        return open_dataset(f"{run.contract.dataset}-{run.contract.fingerprint}", data_dir)
    except DatasetError:
        return None
