"""Splits by patient, and what leaks between the parts of a split."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError, LeakError

PARTS = ("train", "validation", "test")
LEAKS = ("shared_patients", "identical_signals", "near_identical_records")
EXAMPLES = 20


def split_by_patient(
    patients: Sequence[str], y: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> np.ndarray:
    """Deal whole patients to parts so that every class is spread as asked.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) over patients: the class with
    the fewest windows still to be dealt goes first, and each of its patients, largest first, goes
    to the part that lacks most of that class.

    Parameters
    ----------
    patients
        array of shape (n_windows,), the patient of each window.
    y
        array of shape (n_windows, n_classes) of 0 and 1.
    fractions
        share of the windows for each part; they sum to 1.
    seed
        decides between equals.

    Returns
    -------
    Array of str of shape (n_windows,): the part of each window.

    Raises
    ------
    DatasetError
        the fractions do not sum to 1, or there are fewer patients than parts.
    """
    if abs(sum(fractions.values()) - 1.0) > 1e-9:
        raise DatasetError(
            f"The fractions {dict(fractions)} sum to {sum(fractions.values())}, not 1."
        )
    names, own = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < len(fractions):
        raise DatasetError(
            f"{len(names)} patients cannot fill {len(fractions)} parts. Give more patients or "
            f"fewer parts."
        )
    # A last column of ones makes the plain number of windows one more thing to balance.
    y = np.column_stack([np.asarray(y, float), np.ones(len(own))])
    counts = np.zeros((len(names), y.shape[1]))
    np.add.at(counts, own, y)
    parts = list(fractions)
    wanted = np.outer([fractions[p] for p in parts], counts.sum(axis=0))
    order = np.random.default_rng(seed).permutation(len(names))
    dealt = np.full(len(names), -1)
    while (free := order[dealt[order] < 0]).size:
        left = counts[free].sum(axis=0)
        column = np.argmin(np.where(left > 0, left, np.inf))
        carriers = free[counts[free, column] > 0]
        for patient in carriers[np.argsort(-counts[carriers, column], kind="stable")]:
            lack = wanted[:, column]
            ties = np.flatnonzero(lack == lack.max())
            part = ties[np.argmax(wanted[ties, -1])]
            dealt[patient] = part
            wanted[part] -= counts[patient]
    return np.array(parts)[dealt][own]


def leak_report(
    windows: pd.DataFrame, column: str, near_identical_records: Sequence[Sequence] = ()
) -> dict:
    """What the parts of a split share.

    Parameters
    ----------
    windows
        window table with the columns record, patient, signal_hash and `column`.
    column
        the column that says train, validation or test.
    near_identical_records
        pairs ``(record, record, correlation)`` of near-identical records
        anywhere in the dataset (`datasets.integrity.Signatures`).

    Returns
    -------
    For each kind of leak in `LEAKS` ``{"count": int, "examples": [...]}``, at most 20 examples.
    """
    windows = windows[windows[column].isin(PARTS)]
    part_of = windows.groupby("record")[column].agg(lambda parts: sorted(set(parts)))
    near = [
        {"records": [a, b], "parts": [part_of[a], part_of[b]], "correlation": correlation}
        for a, b, correlation in near_identical_records
        if a in part_of and b in part_of and len({*part_of[a], *part_of[b]}) > 1
    ]
    return {
        "shared_patients": _shared(windows, "patient", column),
        "identical_signals": _shared(windows, "signal_hash", column),
        "near_identical_records": {"count": len(near), "examples": near[:EXAMPLES]},
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
    One mark for each allowed leak that was found, to be carried wherever the numbers appear.

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
            f"the mark."
        )
    return [f"leak: {count} {kind.replace('_', ' ')}" for kind, count in found.items()]


def _shared(windows: pd.DataFrame, key: str, column: str) -> dict:
    """Values of `key` that stand in more than one part."""
    pairs = windows[[key, column]].drop_duplicates()
    spread = pairs[pairs.duplicated(key, keep=False)].groupby(key)[column].agg(list)
    examples = [
        {
            key: str(value),
            "parts": sorted(parts, key=PARTS.index),
            "records": sorted(set(windows.loc[windows[key] == value, "record"])),
        }
        for value, parts in spread.head(EXAMPLES).items()
    ]
    return {"count": len(spread), "examples": examples}
