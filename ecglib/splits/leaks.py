"""What leaks between the splits of a dataset: patients, identical and near-identical signals."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ecglib.errors import LeakError
from ecglib.splits.patients import PARTS
from ecglib.splits.similar import find_similar_ids

#: Kinds of leak between splits, by the name that an experiment allows them by.
LEAKS = ("shared_patients", "identical_signals", "near_identical_records")
SIMILAR_PATIENTS = "similar_patients"  # reported and carried as a caveat, but not refused
MAX_EXAMPLES = 20


def report_leaks(
    windows: pd.DataFrame, column: str, near_identical_records: Iterable[Sequence] = ()
) -> dict:
    """Report what the splits share.

    Parameters
    ----------
    windows : DataFrame
        Window table with the columns record, patient, signal_hash and `column`.
    column : str
        Column that says train, validation or test; other windows are ignored.
    near_identical_records : iterable of (str, str, float), default ()
        Two near-identical records anywhere in the dataset and their correlation
        (`ecglib.datasets.duplicates.Signatures`).

    Returns
    -------
    dict
        For each kind of leak in `LEAKS`, and for ``similar_patients``, ``{"count": int,
        "examples": list}``, with at most 20 examples and at most 20 records in each. Similar
        patients are groups of identifiers in several splits that differ only in case, blanks,
        unicode form or leading zeros: one person, or several.

    Examples
    --------
    >>> windows = pd.DataFrame(
    ...     {
    ...         "record": ["r1", "r2", "r3"],
    ...         "patient": ["a", "a", "b"],
    ...         "signal_hash": ["x", "y", "z"],
    ...         "part": ["train", "test", "test"],
    ...     }
    ... )
    >>> report_leaks(windows, "part")["shared_patients"]["count"]
    1
    """
    parts = encode_parts(windows[column])
    return {
        "shared_patients": _find_shared(windows, "patient", parts),
        "identical_signals": _find_shared(windows, "signal_hash", parts),
        "near_identical_records": _find_separated_pairs(
            windows, parts, list(near_identical_records)
        ),
        SIMILAR_PATIENTS: _find_similar_patients(windows, parts),
    }


def count_shared_patients(windows: pd.DataFrame, column: str) -> int:
    """Count the patients that occur in more than one split.

    Parameters
    ----------
    windows : DataFrame
        Window table with the columns patient and `column`.
    column : str
        Column that says train, validation or test; other windows are ignored.

    Returns
    -------
    int
        Number of patients.

    Examples
    --------
    >>> windows = pd.DataFrame({"patient": ["a", "a", "b"], "part": ["train", "test", "test"]})
    >>> count_shared_patients(windows, "part")
    1
    """
    codes, values = pd.factorize(windows["patient"])
    occurs = _find_occurrences(codes, len(values), encode_parts(windows[column]))
    return int((occurs.sum(axis=1) > 1).sum())


def count_leaks(report: dict) -> dict[str, int]:
    """Count the leaks in a report.

    Parameters
    ----------
    report : dict
        What `report_leaks` returned.

    Returns
    -------
    dict of str to int
        Number of leaks of each kind that was found.

    Examples
    --------
    >>> report = {
    ...     "shared_patients": {"count": 2, "examples": []},
    ...     "identical_signals": {"count": 0, "examples": []},
    ...     "near_identical_records": {"count": 0, "examples": []},
    ... }
    >>> count_leaks(report)
    {'shared_patients': 2}
    """
    return {kind: report[kind]["count"] for kind in LEAKS if report[kind]["count"]}


def check_leaks(report: dict, allowed: Sequence[str], where: str) -> list[str]:
    """Refuse splits that leak, unless the leak is allowed by name.

    Parameters
    ----------
    report : dict
        What `report_leaks` returned.
    allowed : sequence of str
        Kinds of leak that the experiment allows.
    where : str
        Dataset and task, for the message.

    Returns
    -------
    list of str
        One caveat for each allowed leak that was found, and one for similar patients, shown with
        every reported number.

    Raises
    ------
    LeakError
        If a leak was found that is not allowed.

    Examples
    --------
    >>> report = {
    ...     "shared_patients": {"count": 2, "examples": []},
    ...     "identical_signals": {"count": 0, "examples": []},
    ...     "near_identical_records": {"count": 0, "examples": []},
    ... }
    >>> check_leaks(report, ["shared_patients"], "mitdb, task aami")
    ['leak: 2 shared patients']
    """
    found = count_leaks(report)
    if refused := {kind: n for kind, n in found.items() if kind not in allowed}:
        examples = {kind: report[kind]["examples"][:3] for kind in refused}
        raise LeakError(
            f"The splits of {where} leak: {refused}, for example {examples}. Use a task whose "
            f"splits share nothing, or allow the leak by name: allow_leaks={sorted(refused)}; the "
            f"run then carries a caveat."
        )
    caveats = [f"leak: {count} {kind.replace('_', ' ')}" for kind, count in found.items()]
    if n_similar := report.get(SIMILAR_PATIENTS, {}).get("count", 0):
        caveats.append(f"{n_similar} patients may be in several splits, written differently")
    return caveats


def encode_parts(column: pd.Series) -> np.ndarray:
    """Encode the split of each window as an integer.

    Parameters
    ----------
    column : Series of str, of length n_windows
        Column that says train, validation or test.

    Returns
    -------
    int8 array of shape (n_windows,)
        Index in `PARTS`, -1 for windows of no split.

    Examples
    --------
    >>> encode_parts(pd.Series(["test", "train", None])).tolist()
    [2, 0, -1]
    """
    codes = np.full(len(column), -1, np.int8)
    for index, part in enumerate(PARTS):
        codes[(column == part).to_numpy(bool, na_value=False)] = index
    return codes


def _find_occurrences(codes: np.ndarray, n_values: int, parts: np.ndarray) -> np.ndarray:
    """Find in which splits each value occurs: bool, shape (n_values, n_splits)."""
    used = (parts >= 0) & (codes >= 0)
    occurs = np.zeros((n_values, len(PARTS)), bool)
    occurs[codes[used], parts[used]] = True
    return occurs


def _find_shared(windows: pd.DataFrame, key: str, parts: np.ndarray) -> dict:
    """Find the values of the column `key` that occur in more than one split."""
    codes, values = pd.factorize(windows[key])
    used = np.flatnonzero((parts >= 0) & (codes >= 0))
    occurs = _find_occurrences(codes, len(values), parts)
    shared = np.flatnonzero(occurs.sum(axis=1) > 1)
    chosen = shared[np.argsort(values[shared])[:MAX_EXAMPLES]]
    rows = used[np.isin(codes[used], chosen)]
    records = windows["record"].iloc[rows].groupby(codes[rows]).unique()
    examples = [
        {
            key: str(values[code]),
            "parts": [
                part for part, occurs_in in zip(PARTS, occurs[code], strict=True) if occurs_in
            ],
            "records": sorted(records[code])[:MAX_EXAMPLES],
        }
        for code in chosen
    ]
    return {"count": len(shared), "examples": examples}


def _find_similar_patients(windows: pd.DataFrame, parts: np.ndarray) -> dict:
    """Find the groups of similar patient identifiers that are in more than one split."""
    codes, patients = pd.factorize(windows["patient"])
    occurs = _find_occurrences(codes, len(patients), parts)
    occurs_in = {
        str(patient): row for patient, row in zip(patients, occurs, strict=True) if row.any()
    }
    examples = []
    for group in find_similar_ids(occurs_in):
        together = np.logical_or.reduce([occurs_in[patient] for patient in group])
        if together.sum() > 1:
            in_parts = [part for part, found in zip(PARTS, together, strict=True) if found]
            examples.append({"patients": group[:MAX_EXAMPLES], "parts": in_parts})
    return {"count": len(examples), "examples": examples[:MAX_EXAMPLES]}


def _find_separated_pairs(windows: pd.DataFrame, parts: np.ndarray, pairs: list[Sequence]) -> dict:
    """Find the pairs of near-identical records that are not in one and the same split."""
    paired = {record for pair in pairs for record in pair[:2]}
    rows = np.flatnonzero(windows["record"].isin(paired) & (parts >= 0))
    parts_by_record: dict[str, set[int]] = {}
    for record, part in set(zip(windows["record"].iloc[rows], parts[rows], strict=True)):
        parts_by_record.setdefault(record, set()).add(int(part))
    found = [
        (a, b, correlation)
        for a, b, correlation in pairs
        if a in parts_by_record
        and b in parts_by_record
        and len(parts_by_record[a] | parts_by_record[b]) > 1
    ]
    examples = [
        {
            "records": [a, b],
            "parts": [
                [PARTS[part] for part in sorted(parts_by_record[record])] for record in (a, b)
            ],
            "correlation": correlation,
        }
        for a, b, correlation in found[:MAX_EXAMPLES]
    ]
    return {"count": len(found), "examples": examples}
