"""Splits by patient, and what leaks between the parts of a split."""

import numbers
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib.dealing import deal
from ecglib.errors import DatasetError, LeakError

PARTS = ("train", "validation", "test")
LEAKS = ("shared_patients", "identical_signals", "near_identical_records")
TRAINING_ONLY = "training_only"  # a column: windows that no fold of a cross-validation scores
EXAMPLES = 20


def split_by_patient(
    patients: Sequence[str], y: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> np.ndarray:
    """Deal whole patients to parts so that the size and every class are spread as asked.

    The split depends on the patients, their labels and the seed, not on the order of the windows,
    and is the same on every machine.

    Parameters
    ----------
    patients
        array of shape (n_windows,), the patient of each window.
    y
        array of shape (n_windows, n_classes) of 0 and 1. The columns may overlap: with statements,
        superclasses and sex side by side, all of them are balanced.
    fractions
        share of the windows for each part; they are above 0 and sum to 1.
    seed
        other seeds give other splits, about as well balanced.

    Returns
    -------
    Array of str of shape (n_windows,): the part of each window.

    Raises
    ------
    DatasetError
        the fractions are not above 0 or do not sum to 1, `y` holds values other than 0 and 1, a
        window has no patient, or there are fewer patients than parts.
    """
    total = sum(fractions.values())
    if abs(total - 1.0) > 1e-9 or min(fractions.values()) <= 0:
        raise DatasetError(
            f"The fractions {dict(fractions)} sum to {total:g}; each part needs a share above 0, "
            f"and together they are 1. Leave out a part that is to stay empty."
        )
    own, counts = _count(patients, y)
    _require_patients(len(counts), len(fractions), "parts")
    return np.array(list(fractions))[deal(counts, list(fractions.values()), seed)[own]]


def folds_by_patient(
    patients: Sequence[str], y: np.ndarray, n_folds: int = 10, seed: int = 0
) -> np.ndarray:
    """Deal whole patients to folds of equal size with an equal share of every class.

    Parameters
    ----------
    patients, y, seed
        as for `split_by_patient`.
    n_folds
        number of folds, from 2.

    Returns
    -------
    Array of int of shape (n_windows,): the fold of each window, 1 to `n_folds`.

    Raises
    ------
    DatasetError
        `n_folds` is no whole number from 2, or as for `split_by_patient`.
    """
    if not isinstance(n_folds, numbers.Integral) or n_folds < 2:
        raise DatasetError(f"n_folds={n_folds!r}, expected a whole number from 2.")
    own, counts = _count(patients, y)
    _require_patients(len(counts), n_folds, "folds")
    return 1 + deal(counts, [1 / n_folds] * n_folds, seed)[own]


def parts_of_folds(folds: Sequence[int]) -> np.ndarray:
    """The parts that folds stand for by PTB-XL's convention.

    The fold of the greatest number is the test part, the next the validation part, the others are
    the training part.

    Parameters
    ----------
    folds
        array of whole numbers of shape (n_windows,), the fold of each window.

    Returns
    -------
    Array of str of shape (n_windows,): train, validation or test.

    Raises
    ------
    DatasetError
        a fold is no whole number, or there are fewer than three.
    """
    folds = np.asarray(folds)
    if folds.dtype.kind not in "iuf" or not np.all(folds == np.rint(folds)):
        odd = folds[folds != np.rint(folds)] if folds.dtype.kind == "f" else folds
        raise DatasetError(
            f"The folds hold {odd[:3].tolist()} ({folds.dtype}), expected a whole number for each "
            f"window. Convert them, and give a window that has none to a fold or leave it out."
        )
    names, own = np.unique(folds, return_inverse=True)
    if len(names) < len(PARTS):
        raise DatasetError(
            f"There are {len(names)} folds, {names.astype(int).tolist()}; training, validation and "
            f"test need at least three. Make more, for example with folds_by_patient."
        )
    return np.array(PARTS)[np.maximum(0, own - len(names) + len(PARTS))]


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


def part_codes(column: pd.Series) -> np.ndarray:
    """The place in `PARTS` of each window, -1 for a window of no part."""
    codes = np.full(len(column), -1, np.int8)
    for place, part in enumerate(PARTS):
        codes[(column == part).to_numpy(bool, na_value=False)] = place
    return codes


def _count(patients: Sequence[str], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which patient each window has, and the windows of each patient by class and in all.

    The patients are sorted, so that nothing depends on the order of the windows.
    """
    patients, y = np.asarray(patients), np.asarray(y)
    if y.ndim != 2 or len(y) != len(patients):
        raise DatasetError(
            f"y has shape {y.shape}, expected ({len(patients)}, n_classes): one row for each of "
            f"the {len(patients)} windows that patients were given for."
        )
    if not ((y == 0) | (y == 1)).all():
        raise DatasetError(
            "y holds values other than 0 and 1. Give a column of 0 and 1 for each class."
        )
    own, names = pd.factorize(patients, sort=True)
    if n_without := int((own < 0).sum()):
        raise DatasetError(
            f"{n_without} of {len(own)} windows have no patient. Without patients no split can be "
            f"trusted: give each its patient, or leave it out."
        )
    counts = np.zeros((len(names), y.shape[1] + 1), np.int32)
    by_patient = np.argsort(own, kind="stable")
    firsts = np.searchsorted(own[by_patient], np.arange(len(names)))
    if len(names):
        counts[:, :-1] = np.add.reduceat(y[by_patient], firsts, dtype=np.int32)
        counts[:, -1] = np.bincount(own)
    return own, counts


def _require_patients(n_patients: int, n_parts: int, what: str) -> None:
    if n_patients < n_parts:
        raise DatasetError(
            f"{n_patients} patients cannot fill {n_parts} {what}. Give more patients or fewer "
            f"{what}."
        )


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
