"""The balance, the duplicates and the patients of a split.

Every report is made of plain values, as JSON holds them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError
from ecglib.splits.leaks import MAX_EXAMPLES, encode_parts
from ecglib.splits.patients import PARTS

DUPLICATES = (
    "identical_signals_within_parts",
    "identical_signals_between_parts",
    "near_identical_records_within_parts",
    "near_identical_records_between_parts",
    "different_patients",
    "contradicting_labels",
)
AGE_ABOVE_89 = 90.0  # PTB-XL writes 300 for anyone above 89


def compute_balance(
    y: np.ndarray, part: Sequence[str] | Sequence[int] | np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Compute how evenly the classes are spread over the splits.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    part : sequence of str or int, of length n_windows
        Split or fold of each window.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    dict
        - ``statement``: one line to print;
        - ``max_deviation``: largest difference between the fraction of a split's windows that show
          a class and that of all windows, with its ``class`` and ``part``;
        - ``max_windows_off``: largest number of windows that a class has too many or too few in a
          split of that size;
        - ``absent``: for each split the classes that none of its windows shows;
        - ``windows``: number of windows in each split and in ``all``;
        - ``counts``, ``fractions``: for each split and ``all`` the number and the fraction of
          windows that show each class.

    Raises
    ------
    DatasetError
        If `y`, `part` and `classes` differ in length, or there is no window.

    Examples
    --------
    >>> y = np.array([[1], [0], [1], [1]])
    >>> balance = compute_balance(y, ["train", "train", "test", "test"], ["AF"])
    >>> balance["fractions"]["train"], balance["max_deviation"]
    ({'AF': 0.5}, 0.25)
    """
    y, part = np.asarray(y), np.asarray(part)
    if y.shape != (len(part), len(classes)) or y.size == 0:
        raise DatasetError(
            f"y has shape {y.shape}, expected ({len(part)}, {len(classes)}): a row for each of the "
            f"{len(part)} windows that have a split, a column for each of the {len(classes)} "
            f"classes, and at least one of each."
        )
    names: list[Any] = [name for name in PARTS if (part == name).any()]
    if not np.isin(part, names).all():
        names = np.unique(part).tolist()
    windows = np.array([(part == name).sum() for name in names])
    counts = np.array([y[part == name].sum(axis=0, dtype=np.int64) for name in names])
    total = counts.sum(axis=0)
    fractions, overall = counts / windows[:, None], total / len(part)
    deviation = np.abs(fractions - overall)
    row, column = np.unravel_index(deviation.argmax(), deviation.shape)
    keys = [*map(str, names), "all"]
    balance = {
        "max_deviation": float(deviation.max()),
        "class": str(classes[column]),
        "part": keys[row],
        "max_windows_off": float(np.abs(counts - windows[:, None] * overall).max()),
        "absent": {
            key: [str(name) for name, n in zip(classes, class_counts, strict=True) if n == 0]
            for key, class_counts in zip(keys, counts, strict=False)
        },
        "windows": dict(zip(keys, [*windows.tolist(), len(part)], strict=True)),
        "counts": _label_rows(keys, [*counts, total], classes),
        "fractions": _label_rows(keys, [*fractions, overall], classes),
    }
    return {"statement": _format_balance(balance), **balance}


def report_duplicates(
    windows: pd.DataFrame, column: str, near_identical_records: Iterable[Sequence] = ()
) -> dict[str, dict]:
    """Report signals that occur more than once, within a split or in several splits.

    Parameters
    ----------
    windows : DataFrame
        Window table with the columns record, patient, labels (list of str), signal_hash and
        `column`.
    column : str
        Column that says train, validation or test; other windows are ignored.
    near_identical_records : iterable of (str, str, float), default ()
        Two near-identical records and their correlation. A pair with an identical window is counted
        as identical only.

    Returns
    -------
    dict
        For each kind in `DUPLICATES` ``{"count": int, "examples": list}``, with at most 20
        examples. Counted are groups of windows with the same signal, and pairs of near-identical
        records. A group or pair in several splits is counted as between splits. One with several
        patients also counts as ``different_patients``: a patient's id is wrong there, or the
        correlation misleads. One whose labels differ (for a pair the labels of the whole records)
        also counts as ``contradicting_labels``; its examples give the labels of each record and the
        contested ones, which some have and others lack.

    Examples
    --------
    >>> windows = pd.DataFrame(
    ...     {
    ...         "record": ["r1", "r2"],
    ...         "patient": ["a", "b"],
    ...         "labels": [["AF"], ["SR"]],
    ...         "signal_hash": ["x", "x"],
    ...         "part": ["train", "train"],
    ...     }
    ... )
    >>> report = report_duplicates(windows, "part")
    >>> {kind: found["count"] for kind, found in report.items() if found["count"]}
    {'identical_signals_within_parts': 1, 'different_patients': 1, 'contradicting_labels': 1}
    """
    report: dict[str, dict] = {kind: {"count": 0, "examples": []} for kind in DUPLICATES}
    for kind, members, correlation in _find_duplicates(
        windows, column, list(near_identical_records)
    ):
        summary = _summarize_members(members) | {"correlation": correlation}
        where = "between" if len(summary["parts"]) > 1 else "within"
        _count_example(report[f"{kind}_{where}_parts"], summary)
        if len(summary["patients"]) > 1:
            _count_example(report["different_patients"], summary)
        if contested := _find_contested_labels(members):
            labels = _find_labels(members, summary["records"])
            example = summary | {"labels": labels, "contested": contested}
            _count_example(report["contradicting_labels"], example)
    return report


def report_demographics(windows: pd.DataFrame, column: str) -> dict[str, dict]:
    """Report patients, windows, age and sex of each split.

    Parameters
    ----------
    windows : DataFrame
        Window table with the columns patient, `column` and, where known, age (in years; above 89
        may be written as any larger number) and sex (0 male, 1 female).
    column : str
        Column that says train, validation or test; other windows are ignored.

    Returns
    -------
    dict
        For each split the number of ``windows`` and ``patients`` and, over the patients (their
        first known values), ``age`` with the number ``known``, ``median``, ``quartiles`` (lower and
        upper, in years; an age above 89 counts as 90) and the number ``above_89``, and ``women``
        with the number ``known`` and their ``fraction`` of it. None where nothing is known.

    Examples
    --------
    >>> windows = pd.DataFrame({"patient": ["a", "a", "b"], "part": "train", "sex": [1, 1, 0]})
    >>> report_demographics(windows, "part")["train"]
    {'windows': 3, 'patients': 2, 'age': None, 'women': {'known': 2, 'fraction': 0.5}}
    """
    parts = encode_parts(windows[column])
    columns = [name for name in ("patient", "age", "sex") if name in windows]
    report = {}
    for index, part in enumerate(PARTS):
        part_windows = windows.loc[parts == index, columns]
        people = part_windows.groupby("patient", sort=False).first()
        report[part] = {
            "windows": len(part_windows),
            "patients": len(people),
            "age": _summarize_ages(people["age"]) if "age" in people else None,
            "women": _count_women(people["sex"]) if "sex" in people else None,
        }
    return report


def _label_rows(keys: list[str], rows: list[np.ndarray], classes: Sequence[str]) -> dict:
    """Name each row by its key and each value by its class."""
    names = [str(name) for name in classes]
    return {
        key: dict(zip(names, row.tolist(), strict=True))
        for key, row in zip(keys, rows, strict=True)
    }


def _format_balance(balance: dict[str, Any]) -> str:
    """Describe the remaining imbalance in one line."""
    name, part = balance["class"], balance["part"]
    here, overall = (100 * balance["fractions"][key][name] for key in (part, "all"))
    n_off = round(balance["max_windows_off"])
    text = (
        f"The fraction of a class differs by at most {100 * balance['max_deviation']:.2f} "
        f"percentage points ({name}: {here:.2f} % of {_format_part(part)}, {overall:.2f} % of "
        f"all). No class has over {n_off:,} window{'' if n_off == 1 else 's'} more or fewer in a "
        f"split than an even spread would give."
    )
    for key, absent in balance["absent"].items():
        if absent:
            text += f" No window of {_format_part(key)} shows {', '.join(absent)}."
    return text


def _format_part(part: str) -> str:
    return part if part in PARTS else f"fold {part}"


def _find_duplicates(
    windows: pd.DataFrame, column: str, pairs: list[Sequence]
) -> Iterator[tuple[str, list[dict], float]]:
    """Yield kind, members and correlation of each group of identical windows or records."""
    parts = encode_parts(windows[column])
    identical = _group_identical_windows(windows, parts)
    yield from (("identical_signals", members, 1.0) for members in identical)
    groups_by_record: dict[str, set[int]] = {}
    for group, members in enumerate(identical):
        for member in members:
            groups_by_record.setdefault(member["record"], set()).add(group)
    paired = {record for pair in pairs for record in pair[:2]}
    records = _collect_records(windows, parts, paired)
    for a, b, correlation in sorted((*sorted(pair[:2]), pair[2]) for pair in pairs):
        shared = groups_by_record.get(a, set()) & groups_by_record.get(b, set())
        if a in records and b in records and not shared:
            yield "near_identical_records", [records[a], records[b]], correlation


def _group_identical_windows(windows: pd.DataFrame, parts: np.ndarray) -> list[list[dict]]:
    """Group the windows of each signal that occurs more than once."""
    codes, _ = pd.factorize(windows["signal_hash"])
    used = (parts >= 0) & (codes >= 0)
    repeated = np.bincount(codes[used], minlength=1) > 1
    rows = np.flatnonzero(used)[repeated[codes[used]]]
    groups: dict[int, list[dict]] = {}
    for code, window in zip(codes[rows].tolist(), _list_windows(windows, parts, rows), strict=True):
        groups.setdefault(code, []).append(window)
    return sorted(
        groups.values(), key=lambda members: sorted(member["record"] for member in members)
    )


def _collect_records(windows: pd.DataFrame, parts: np.ndarray, names: set) -> dict[str, dict]:
    """Put the windows of each of some records together."""
    rows = np.flatnonzero(windows["record"].isin(names) & (parts >= 0))
    records: dict[str, dict] = {}
    for window in _list_windows(windows, parts, rows):
        record = records.setdefault(window["record"], {**window, "windows": 0})
        record["windows"] += 1
        for key in ("parts", "patients", "labels"):
            record[key] |= window[key]
    return records


def _list_windows(windows: pd.DataFrame, parts: np.ndarray, rows: np.ndarray) -> list[dict]:
    """Some windows as dicts, with sets of what may differ between the windows of a record."""
    chosen = windows[["record", "patient", "labels"]].iloc[rows]
    return [
        {
            "record": record,
            "windows": 1,
            "parts": {PARTS[part]},
            "patients": {str(patient)},
            "labels": {str(label) for label in labels},
        }
        for record, patient, labels, part in zip(
            chosen["record"], chosen["patient"], chosen["labels"], parts[rows], strict=True
        )
    ]


def _summarize_members(members: list[dict]) -> dict[str, Any]:
    """Summarize the members of a group or pair for an example."""
    parts = set().union(*(member["parts"] for member in members))
    patients = set().union(*(member["patients"] for member in members))
    return {
        "records": sorted({member["record"] for member in members})[:MAX_EXAMPLES],
        "windows": sum(member["windows"] for member in members),
        "parts": sorted(parts, key=PARTS.index),
        "patients": sorted(patients)[:MAX_EXAMPLES],
    }


def _find_contested_labels(members: list[dict]) -> list[str]:
    """Find the labels that some members have and others lack."""
    labels = [member["labels"] for member in members]
    return sorted(set().union(*labels) - set.intersection(*labels))


def _find_labels(members: list[dict], records: list[str]) -> dict[str, list[str]]:
    """Find the labels that the members give to each of some records."""
    return {
        record: sorted(
            set().union(*(member["labels"] for member in members if member["record"] == record))
        )
        for record in records
    }


def _count_example(found: dict, example: dict) -> None:
    """Count an example, and store it if it is among the first."""
    found["count"] += 1
    if found["count"] <= MAX_EXAMPLES:
        found["examples"].append(example)


def _summarize_ages(age: pd.Series) -> dict[str, Any] | None:
    years = age.dropna().to_numpy(float)
    if not len(years):
        return None
    capped = np.minimum(years, AGE_ABOVE_89)
    lower, median, upper = np.quantile(capped, [0.25, 0.5, 0.75]).tolist()
    return {
        "known": len(years),
        "median": median,
        "quartiles": [lower, upper],
        "above_89": int((years > AGE_ABOVE_89 - 1).sum()),
    }


def _count_women(sex: pd.Series) -> dict[str, Any] | None:
    known = sex[sex.isin([0, 1])]
    return {"known": len(known), "fraction": float((known == 1).mean())} if len(known) else None
