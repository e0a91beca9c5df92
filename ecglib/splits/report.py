"""What a researcher wants to know of a split: its balance, its duplicates, its people.

Every report is made of plain values, as JSON holds them.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError
from ecglib.splits.leaks import EXAMPLES, part_codes
from ecglib.splits.patients import PARTS

DUPLICATES = (
    "identical_signals_within_parts",
    "identical_signals_between_parts",
    "near_identical_records_within_parts",
    "near_identical_records_between_parts",
    "different_patients",
    "contradicting_labels",
)
ABOVE_89 = 90.0  # PTB-XL writes 300 for anyone above 89


def balance(y: np.ndarray, part: Sequence, classes: Sequence[str]) -> dict:
    """How far the classes are from being spread evenly over the parts.

    Parameters
    ----------
    y
        array of shape (n_windows, n_classes) of 0 and 1.
    part
        array of shape (n_windows,): the part of each window, or its fold.
    classes
        the names of the classes.

    Returns
    -------
    ``statement``, one line for people; ``largest_deviation``, the largest difference between the
    share of a part's windows that show a class and the share of all windows, with its ``class``
    and ``part``; ``windows_off``, the largest number of windows that a class has too many or too
    few in a part of that size; ``absent``, for each part the classes that none of its windows
    shows; ``windows``, the number in each part and in ``all``; ``counts`` and ``shares``, for each
    part and ``all`` the windows that show each class, as a number and as a share.

    Raises
    ------
    DatasetError
        `y`, `part` and `classes` do not fit together, or there is no window.
    """
    y, part = np.asarray(y), np.asarray(part)
    if y.shape != (len(part), len(classes)) or y.size == 0:
        raise DatasetError(
            f"y has shape {y.shape}, expected ({len(part)}, {len(classes)}): a row for each of the "
            f"{len(part)} windows that have a part, a column for each of the {len(classes)} "
            f"classes, and at least one of each."
        )
    names = [p for p in PARTS if (part == p).any()]
    if not np.isin(part, names).all():
        names = np.unique(part).tolist()
    windows = np.array([(part == p).sum() for p in names])
    counts = np.array([y[part == p].sum(axis=0, dtype=np.int64) for p in names])
    total = counts.sum(axis=0)
    shares, overall = counts / windows[:, None], total / len(part)
    deviation = np.abs(shares - overall)
    row, column = np.unravel_index(deviation.argmax(), deviation.shape)
    keys = [*map(str, names), "all"]
    found = {
        "largest_deviation": float(deviation.max()),
        "class": str(classes[column]),
        "part": keys[row],
        "windows_off": float(np.abs(counts - windows[:, None] * overall).max()),
        "absent": {
            key: [str(c) for c, n in zip(classes, own, strict=True) if n == 0]
            for key, own in zip(keys, counts, strict=False)
        },
        "windows": dict(zip(keys, [*windows.tolist(), len(part)], strict=True)),
        "counts": _by_class(keys, [*counts, total], classes),
        "shares": _by_class(keys, [*shares, overall], classes),
    }
    return {"statement": _imbalance(found), **found}


def duplicate_report(
    windows: pd.DataFrame, column: str, near_identical_records: Iterable[Sequence] = ()
) -> dict:
    """Signals that stand more than once, within a part or between parts.

    Parameters
    ----------
    windows
        window table with the columns record, patient, labels (list of str), signal_hash and
        `column`.
    column
        the column that says train, validation or test; other windows are ignored.
    near_identical_records
        pairs ``(record, record, correlation)`` of near-identical records; a pair
        that shares an identical window is counted as identical only.

    Returns
    -------
    For each kind in `DUPLICATES` ``{"count": int, "examples": [...]}``, at most 20 examples. What
    is counted are groups of windows with the same signal, and pairs of near-identical records.
    A group or pair that stands in several parts is counted as between parts. One of several
    patients counts as ``different_patients`` too: a patient's id is wrong there, or the correlation
    misleads. One whose labels differ (for a pair the labels of the whole records) counts as
    ``contradicting_labels`` too; its examples give the labels of each record and the contested
    ones, which some have and others have not.
    """
    report = {kind: {"count": 0, "examples": []} for kind in DUPLICATES}
    for kind, members, correlation in _duplicates(windows, column, list(near_identical_records)):
        about = _about(members) | {"correlation": correlation}
        where = "between" if len(about["parts"]) > 1 else "within"
        _note(report[f"{kind}_{where}_parts"], about)
        if len(about["patients"]) > 1:
            _note(report["different_patients"], about)
        if contested := _contested(members):
            labels = {"labels": _labels(members, about["records"]), "contested": contested}
            _note(report["contradicting_labels"], about | labels)
    return report


def demographics_report(windows: pd.DataFrame, column: str) -> dict:
    """Patients, windows, age and sex of each part.

    Parameters
    ----------
    windows
        window table with the columns patient, `column` and, where they are known, age (in years;
        above 89 may be written as any greater number) and sex (0 male, 1 female).
    column
        the column that says train, validation or test; other windows are ignored.

    Returns
    -------
    For each part the number of ``windows`` and ``patients`` and, over the patients (the first
    value that is known of each), ``age`` with the number ``known``, ``median``, ``quartiles`` (the
    lower and the upper, in years; an age above 89 is taken as 90) and the number ``above_89``, and
    ``women`` with the number ``known`` and their ``share`` of it. What nobody has is None.
    """
    parts = part_codes(windows[column])
    columns = [name for name in ("patient", "age", "sex") if name in windows]
    report = {}
    for place, part in enumerate(PARTS):
        own = windows.loc[parts == place, columns]
        people = own.groupby("patient", sort=False).first()
        report[part] = {
            "windows": len(own),
            "patients": len(people),
            "age": _ages(people["age"]) if "age" in people else None,
            "women": _women(people["sex"]) if "sex" in people else None,
        }
    return report


def _by_class(keys: list[str], rows: list[np.ndarray], classes: Sequence[str]) -> dict:
    """A row for each key, with a value for each class."""
    names = [str(c) for c in classes]
    return {
        key: dict(zip(names, row.tolist(), strict=True))
        for key, row in zip(keys, rows, strict=True)
    }


def _imbalance(found: dict) -> str:
    """The remaining imbalance in one line."""
    name, part = found["class"], found["part"]
    here, overall = (100 * found["shares"][key][name] for key in (part, "all"))
    text = (
        f"The share of a class differs by at most {100 * found['largest_deviation']:.2f} "
        f"percentage points ({name}: {here:.2f} % of {_called(part)}, {overall:.2f} % of all); no "
        f"class has more than {found['windows_off']:.1f} windows too many or too few in a part."
    )
    for key, absent in found["absent"].items():
        if absent:
            text += f" No window of {_called(key)} shows {', '.join(absent)}."
    return text


def _called(part: str) -> str:
    return part if part in PARTS else f"fold {part}"


def _duplicates(
    windows: pd.DataFrame, column: str, pairs: list[Sequence]
) -> Iterator[tuple[str, list[dict], float]]:
    """Kind, members and correlation of each group of identical windows and pair of records."""
    parts = part_codes(windows[column])
    identical = _identical(windows, parts)
    yield from (("identical_signals", members, 1.0) for members in identical)
    known = [{member["record"] for member in members} for members in identical]
    groups_of = {}
    for group, records in enumerate(known):
        for record in records:
            groups_of.setdefault(record, set()).add(group)
    whole = _whole_records(windows, parts, {record for pair in pairs for record in pair[:2]})
    for a, b, correlation in sorted((*sorted(pair[:2]), pair[2]) for pair in pairs):
        shared = groups_of.get(a, set()) & groups_of.get(b, set())
        if a in whole and b in whole and not shared:
            yield "near_identical_records", [whole[a], whole[b]], correlation


def _identical(windows: pd.DataFrame, parts: np.ndarray) -> list[list[dict]]:
    """The windows of each signal that stands more than once."""
    codes, _ = pd.factorize(windows["signal_hash"])
    used = (parts >= 0) & (codes >= 0)
    often = np.bincount(codes[used], minlength=1) > 1
    rows = np.flatnonzero(used)[often[codes[used]]]
    groups = {}
    for code, window in zip(codes[rows].tolist(), _plain(windows, parts, rows), strict=True):
        groups.setdefault(code, []).append(window)
    return sorted(groups.values(), key=lambda own: sorted(window["record"] for window in own))


def _whole_records(windows: pd.DataFrame, parts: np.ndarray, names: set) -> dict[str, dict]:
    """The windows of each of some records, taken together."""
    rows = np.flatnonzero(windows["record"].isin(names) & (parts >= 0))
    whole = {}
    for window in _plain(windows, parts, rows):
        record = whole.setdefault(window["record"], {**window, "windows": 0})
        record["windows"] += 1
        for key in ("parts", "patients", "labels"):
            record[key] |= window[key]
    return whole


def _plain(windows: pd.DataFrame, parts: np.ndarray, rows: np.ndarray) -> list[dict]:
    """Some windows as dicts, with sets of what may differ between the windows of a record."""
    taken = windows[["record", "patient", "labels"]].iloc[rows]
    return [
        {
            "record": record,
            "windows": 1,
            "parts": {PARTS[part]},
            "patients": {str(patient)},
            "labels": {str(label) for label in labels},
        }
        for record, patient, labels, part in zip(
            taken["record"], taken["patient"], taken["labels"], parts[rows], strict=True
        )
    ]


def _about(members: list[dict]) -> dict:
    """What an example says of the members of a group or pair."""
    together = {key: set().union(*(m[key] for m in members)) for key in ("parts", "patients")}
    return {
        "records": sorted({member["record"] for member in members})[:EXAMPLES],
        "windows": sum(member["windows"] for member in members),
        "parts": sorted(together["parts"], key=PARTS.index),
        "patients": sorted(together["patients"])[:EXAMPLES],
    }


def _contested(members: list[dict]) -> list[str]:
    """The labels that some members have and others have not."""
    carried = [member["labels"] for member in members]
    return sorted(set().union(*carried) - set.intersection(*carried))


def _labels(members: list[dict], records: list[str]) -> dict[str, list[str]]:
    """The labels that the members give to each of some records."""
    return {
        record: sorted(set().union(*(m["labels"] for m in members if m["record"] == record)))
        for record in records
    }


def _note(found: dict, entry: dict) -> None:
    """Count an entry, and keep it if it is among the first."""
    found["count"] += 1
    if found["count"] <= EXAMPLES:
        found["examples"].append(entry)


def _ages(age: pd.Series) -> dict | None:
    years = age.dropna().to_numpy(float)
    if not len(years):
        return None
    lower, median, upper = np.quantile(np.minimum(years, ABOVE_89), [0.25, 0.5, 0.75]).tolist()
    return {
        "known": len(years),
        "median": median,
        "quartiles": [lower, upper],
        "above_89": int((years > ABOVE_89 - 1).sum()),
    }


def _women(sex: pd.Series) -> dict | None:
    known = sex[sex.isin([0, 1])]
    return {"known": len(known), "share": float((known == 1).mean())} if len(known) else None
