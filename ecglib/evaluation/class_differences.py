"""What each fusion adds for each class: exploratory, corrected over the classes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ecglib.evaluation.effective_patients import is_measurable
from ecglib.evaluation.rules import ALPHA, MIN_SEEDS
from ecglib.evaluation.scoreboard import Scoreboard
from ecglib.evaluation.verdict import (
    ADDS,
    CANNOT_MEASURE,
    CANNOT_TELL,
    WORSE,
    Verdict,
    adjust_p_values,
)


def build_class_table(
    verdicts: Sequence[Verdict], scoreboard: Scoreboard, classes: Sequence[str]
) -> pd.DataFrame:
    """Build a table of what each fusion adds for each class.

    Parameters
    ----------
    verdicts : sequence of Verdict
        With the rivals of each fusion.
    scoreboard : Scoreboard
        All models, measured by the metric of the verdicts.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    DataFrame
        One row for each fusion that can be compared and each class that is scored: ``fusion``,
        ``class``, the difference from the best branch (``estimate``, ``low``, ``high``), ``p`` that
        all rivals are beaten, adjusted over the classes by the method of Holm, ``word`` ("adds",
        "worse" than the best branch, "cannot tell" or "cannot be measured"),
        ``effective_patients`` and ``max_positive_fraction``.

    Examples
    --------
    >>> build_class_table([], None, ["AF"]).columns.tolist()[:3]
    ['fusion', 'class', 'estimate']
    """
    columns = ["fusion", "class", "estimate", "low", "high", "p", "word"]
    columns += ["effective_patients", "max_positive_fraction"]
    rows = []
    for verdict in verdicts:
        if verdict.rivals:
            rows += _list_rows(verdict, scoreboard, classes)
    return pd.DataFrame(rows, columns=columns)


def _list_rows(verdict: Verdict, scoreboard: Scoreboard, classes: Sequence[str]) -> list[list]:
    scored = [k for k in range(len(classes)) if scoreboard.windows.scored[k]]
    boards = [scoreboard.by_class[k] for k in scored]
    names = [rival.difference.name for rival in verdict.rivals]
    p_values = adjust_p_values(
        [
            max(board.subtract(verdict.fusion, name).compute_p_value() for name in names)
            for board in boards
        ]
    )
    rows: list[list] = []
    for k, board, p in zip(scored, boards, p_values, strict=True):
        difference = board.subtract(verdict.fusion, verdict.best_branch)
        p_worse = min(1.0, len(scored) * difference.compute_p_value(below=True))
        effective = board.effective_patients
        if not is_measurable(effective.total):
            word = CANNOT_MEASURE
        elif verdict.n_seeds < MIN_SEEDS:
            word = CANNOT_TELL
        elif p <= ALPHA:
            word = ADDS
        else:
            word = WORSE if p_worse <= ALPHA else CANNOT_TELL
        rows.append(
            [
                verdict.fusion,
                classes[k],
                difference.estimate,
                difference.low,
                difference.high,
                p,
                word,
                effective.total,
                float(effective.max_positive_fraction[0]),
            ]
        )
    return rows
