"""Results of comparisons as plain values, for JSON."""

import dataclasses
from typing import Any

import pandas as pd

from ecglib.evaluation.baselines import BaselineComparison
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.pairs import PairComparison
from ecglib.evaluation.verdict import Verdict


def convert_table(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a table to one dict for each row.

    Parameters
    ----------
    table : DataFrame
        A table of the comparison, such as that of the scores.

    Returns
    -------
    list of dict
        Name of each column -> value; nan becomes None.

    Examples
    --------
    >>> convert_table(pd.DataFrame({"model": ["cnn"], "auroc": [float("nan")]}))
    [{'model': 'cnn', 'auroc': None}]
    """
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def convert_difference(difference: Difference) -> dict[str, float | None]:
    """Convert a difference to its estimate, interval and p value.

    Parameters
    ----------
    difference : Difference
        Between two models.

    Returns
    -------
    dict of str to float or None
        ``estimate``, ``low``, ``high`` and ``p``; nan becomes None.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> difference = Difference(
    ...     name="cnn", estimate=0.0, patients=Variance(1e-4, 60), seeds=(), cautious_seeds=()
    ... )
    >>> convert_difference(difference)["p"]
    0.5
    """
    values = {
        "estimate": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "p": difference.compute_p_value(),
    }
    return {name: value if value == value else None for name, value in values.items()}


def convert_pair(pair: PairComparison) -> dict[str, Any]:
    """Convert the comparison of two models.

    Parameters
    ----------
    pair : PairComparison
        Two models.

    Returns
    -------
    dict
        ``model``, ``against`` and ``word`` with the values of the difference.

    Examples
    --------
    ::

        [convert_pair(pair) for pair in comparison.pairs]
    """
    values = {"model": pair.model, "against": pair.difference.name, "word": pair.word}
    return values | convert_difference(pair.difference)


def convert_verdict(verdict: Verdict) -> dict[str, Any]:
    """Convert a verdict with its rivals and with what would decide.

    Parameters
    ----------
    verdict : Verdict
        Of one fusion.

    Returns
    -------
    dict
        All fields; nan becomes None.

    Examples
    --------
    ::

        [convert_verdict(verdict) for verdict in comparison.verdicts]
    """
    values = {
        field.name: getattr(verdict, field.name)
        for field in dataclasses.fields(verdict)
        if field.name not in ("rivals", "needs", "recipe")
    }
    values = {name: None if value != value else value for name, value in values.items()}
    return values | {
        "rivals": [
            {"kind": one.kind, "branch": one.branch, "name": one.difference.name}
            | convert_difference(one.difference)
            for one in verdict.rivals
        ],
        "needs": dataclasses.asdict(verdict.needs) if verdict.needs else None,
        "recipe": dict(verdict.recipe),
    }


def convert_baseline(comparison: BaselineComparison) -> dict[str, Any]:
    """Convert how the networks compare with one baseline.

    Parameters
    ----------
    comparison : BaselineComparison
        Of one baseline.

    Returns
    -------
    dict
        ``baseline``, and under ``networks`` the difference of each with ``word``.

    Examples
    --------
    >>> convert_baseline(
    ...     BaselineComparison(baseline="handcrafted:trees", metric="auroc", differences={})
    ... )
    {'baseline': 'handcrafted:trees', 'networks': {}}
    """
    networks = {
        name: convert_difference(difference) | {"word": comparison.judge(name)}
        for name, difference in comparison.differences.items()
    }
    return {"baseline": comparison.baseline, "networks": networks}
