"""What leaks between the splits of a dataset: patients, identical and near-identical signals."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ecglib.errors import LeakError
from ecglib.splits.patients import PARTS

LEAKS = ("shared_patients", "identical_signals", "near_identical_records")
EXAMPLES = 20


def leak_report(
    windows: pd.DataFrame, column: str, near_identical_records: Iterable[Sequence] = ()
) -> dict:
    """What the parts of a split share.

    Parameters
    ----------
    windows
        window table with the columns record, patient, signal_hash and `column`.
    column
        the column that says train, validation or test; other windows are ignored.
    near_identical_records
        pairs ``(record, record, correlation)`` of near-identical records
        anywhere in the dataset (`datasets.near_identical.Signatures`).

    Returns
    -------
    For each kind of leak in `LEAKS` ``{"count": int, "examples": [...]}``, at most 20 examples,
    each with at most 20 of its records.
    """
    parts = part_codes(windows[column])
    return {
        "shared_patients": _shared(windows, "patient", parts),
        "identical_signals": _shared(windows, "signal_hash", parts),
        "near_identical_records": _near_identical(windows, parts, list(near_identical_records)),
    }


def leaks_in(report: dict) -> dict[str, int]:
    """The kinds of leak that a report found, with their counts."""
    return {kind: report[kind]["count"] for kind in LEAKS if report[kind]["count"]}


def require_no_leak(report: dict, allowed: Sequence[str], where: str) -> list[str]:
    """Refuse a split that leaks, unless the leak is allowed by name.

    Parameters
    ----------
    report
        what `leak_report` returned.
    allowed
        kinds of leak that the experiment allows by name.
    where
        dataset and task, for the message.

    Returns
    -------
    One caveat for each allowed leak that was found, to be carried wherever the numbers appear.

    Raises
    ------
    LeakError
        a leak was found that is not allowed.
    """
    found = leaks_in(report)
    if refused := {kind: n for kind, n in found.items() if kind not in allowed}:
        examples = {kind: report[kind]["examples"][:3] for kind in refused}
        raise LeakError(
            f"The parts of {where} leak: {refused}, for example {examples}. Use a task whose parts "
            f"share nothing, or name the leak: allow_leaks={sorted(refused)}; the run will carry "
            f"the caveat."
        )
    return [f"leak: {count} {kind.replace('_', ' ')}" for kind, count in found.items()]


def part_codes(column: pd.Series) -> np.ndarray:
    """The place in `PARTS` of each window, -1 for a window of no part."""
    codes = np.full(len(column), -1, np.int8)
    for place, part in enumerate(PARTS):
        codes[(column == part).to_numpy(bool, na_value=False)] = place
    return codes


def _shared(windows: pd.DataFrame, key: str, parts: np.ndarray) -> dict:
    """Values of `key` that stand in more than one part."""
    codes, values = pd.factorize(windows[key])
    used = np.flatnonzero((parts >= 0) & (codes >= 0))
    seen = np.zeros((len(values), len(PARTS)), bool)
    seen[codes[used], parts[used]] = True
    shared = np.flatnonzero(seen.sum(axis=1) > 1)
    chosen = shared[np.argsort(values[shared])[:EXAMPLES]]
    rows = used[np.isin(codes[used], chosen)]
    records = windows["record"].iloc[rows].groupby(codes[rows]).unique()
    examples = [
        {
            key: str(values[code]),
            "parts": [part for part, stands in zip(PARTS, seen[code], strict=True) if stands],
            "records": sorted(records[code])[:EXAMPLES],
        }
        for code in chosen
    ]
    return {"count": len(shared), "examples": examples}


def _near_identical(windows: pd.DataFrame, parts: np.ndarray, pairs: list[Sequence]) -> dict:
    """Pairs of near-identical records that do not stand in one and the same part."""
    named = {record for pair in pairs for record in pair[:2]}
    rows = np.flatnonzero(windows["record"].isin(named) & (parts >= 0))
    part_of = {}
    for record, part in set(zip(windows["record"].iloc[rows], parts[rows], strict=True)):
        part_of.setdefault(record, set()).add(int(part))
    found = [
        (a, b, correlation)
        for a, b, correlation in pairs
        if a in part_of and b in part_of and len(part_of[a] | part_of[b]) > 1
    ]
    examples = [
        {
            "records": [a, b],
            "parts": [[PARTS[part] for part in sorted(part_of[record])] for record in (a, b)],
            "correlation": correlation,
        }
        for a, b, correlation in found[:EXAMPLES]
    ]
    return {"count": len(found), "examples": examples}
