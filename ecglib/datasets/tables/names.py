"""Match the names of records in a table with those of files."""

import dataclasses
import difflib
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePosixPath

import pandas as pd

from ecglib.datasets.schema import Problem
from ecglib.errors import DatasetError
from ecglib.splits.similar import LEADING_ZEROS, simplify_id

ENDINGS = (".hea", ".dat", ".mat", ".csv", ".npy", ".edf")
MAX_LISTED = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchedNames:
    """Which file each name of a table means.

    Parameters
    ----------
    paths : mapping of str to str
        The path of each name that means exactly one file.
    reasons : mapping of str to str
        Why another name means none: nothing is similar, what is similar, or several fit.

    Examples
    --------
    >>> match_names(["r1", "R2"], ["a/r1", "a/r2"]).reasons
    {'R2': "There is no file of that name; 'a/r2' is similar."}
    """

    paths: Mapping[str, str]
    reasons: Mapping[str, str]


def match_names(names: Sequence[str], paths: Collection[str]) -> MatchedNames:
    """Find the file that each name means.

    A name means the file with that path, or the only one whose path ends with it or is an end of
    it. Names that match no file exactly are compared without ending, with either kind of slash and
    in one unicode form, and then without leading zeros; each file is used once, and a name that
    could mean several files means none.

    Parameters
    ----------
    names : sequence of str
        Names of records, or paths from a folder, each once.
    paths : collection of str
        Paths of files from a folder, with ``/`` and without ending.

    Returns
    -------
    MatchedNames
        The matches, and why other names have none.

    Examples
    --------
    >>> matched = match_names(["part1/r1", "2.csv", "data\\\\r3"], ["part1/r1", "002", "r3"])
    >>> [matched.paths[name] for name in ("part1/r1", "2.csv", "data\\\\r3")]
    ['part1/r1', '002', 'r3']
    """
    matched: dict[str, str] = {}
    ambiguous: dict[str, list[str]] = {}
    for simplify in (str, _unify_spelling, _drop_leading_zeros):
        for find_candidates in (_find_equal_paths, _find_ends):
            wanted = [name for name in names if name not in matched]
            candidates = find_candidates(wanted, paths, simplify)
            n_claims = Counter(path for found in candidates.values() for path in found)
            taken = set(matched.values())
            for name, found in candidates.items():
                if len(found) == 1 and found[0] not in taken and n_claims[found[0]] == 1:
                    matched[name] = found[0]
                else:
                    ambiguous.setdefault(name, found)
    spellings: dict[str, str] = {}
    for path in paths:
        spellings.setdefault(_get_key(path), path)
    reasons = {
        name: _explain(name, ambiguous.get(name, []), spellings)
        for name in names
        if name not in matched
    }
    return MatchedNames(paths=matched, reasons=reasons)


def require_matches(
    matched: MatchedNames, names: Sequence[str], paths: Collection[str], what: str
) -> None:
    """Refuse a table of which no name means a file.

    Parameters
    ----------
    matched : MatchedNames
        From `match_names`.
    names : sequence of str
        The names that were looked for.
    paths : collection of str
        What exists.
    what : str
        What exists, in words, such as "headers below data/mine".

    Raises
    ------
    DatasetError
        If no name matched; the message shows names, what exists and what is similar.

    Examples
    --------
    >>> require_matches(match_names(["A1"], ["a1"]), ["A1"], ["a1"], "CSV files below mine")
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: No row of the label table names one of the CSV files below mine: ...
    """
    if any(name in matched.paths for name in names):
        return
    looked_for, existing = list(names)[:MAX_LISTED], sorted(paths)[:MAX_LISTED]
    similar = [
        f"{name!r} is similar to {near!r}"
        for name in looked_for
        if (near := _find_most_similar(name, sorted(paths)))
    ]
    raise DatasetError(
        f"No row of the label table names one of the {what}: looked for {looked_for} (of "
        f"{len(names)}), there are {existing} (of {len(paths)})"
        + (f"; {'; '.join(similar)}" if similar else "")
        + ". Write their names, or their paths from the folder, in the column record."
    )


def separate_missing(
    table: pd.DataFrame, matched: MatchedNames
) -> tuple[pd.DataFrame, list[Problem]]:
    """Separate the rows that name a file from those that name none.

    Parameters
    ----------
    table : DataFrame
        Column record.
    matched : MatchedNames
        The matches of its records.

    Returns
    -------
    table : DataFrame
        The rows that name a file.
    problems : list of Problem
        One of kind ``no_record`` for each other row.

    Examples
    --------
    >>> table = pd.DataFrame({"record": ["r1", "r2"]})
    >>> rows, problems = separate_missing(table, match_names(["r1", "r2"], ["r1"]))
    >>> rows["record"].tolist(), [problem.record for problem in problems]
    (['r1'], ['r2'])
    """
    found = table["record"].isin(list(matched.paths))
    problems = [
        Problem(name, "no_record", matched.reasons[name]) for name in table.loc[~found, "record"]
    ]
    return table[found].reset_index(drop=True), problems


def _find_equal_paths(
    names: Sequence[str], paths: Collection[str], simplify: Callable[[str], str]
) -> dict[str, list[str]]:
    """Find the paths that are equal to a name once both are simplified."""
    by_path = _group_paths(paths, lambda path: [simplify(path)])
    return {name: found for name in names if (found := by_path.get(simplify(name), []))}


def _find_ends(
    names: Sequence[str], paths: Collection[str], simplify: Callable[[str], str]
) -> dict[str, list[str]]:
    """Find the paths that end with a name or, if there are none, that are the end of it."""
    by_path = _group_paths(paths, lambda path: [simplify(path)])
    by_end = _group_paths(paths, lambda path: _list_ends(simplify(path)))
    candidates = {}
    for name in names:
        key = simplify(name)
        found = by_end.get(key, [])
        for end in _list_ends(key):
            found = found or by_path.get(end, [])
        if found:
            candidates[name] = found
    return candidates


def _group_paths(
    paths: Collection[str], list_keys: Callable[[str], list[str]]
) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for path in paths:
        for key in list_keys(path):
            groups.setdefault(key, []).append(path)
    return groups


def _list_ends(path: str) -> list[str]:
    """List the ends of a path, longest first: b/c and c of a/b/c."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(1, len(parts))]


def _unify_spelling(name: str) -> str:
    """Remove ending, drive and dots of a path, with / and in one unicode form."""
    text = unicodedata.normalize("NFC", name).replace("\\", "/")
    path = PurePosixPath(text)
    if path.suffix.lower() in ENDINGS:
        path = path.with_suffix("")
    return path.as_posix().lstrip("/")


def _drop_leading_zeros(name: str) -> str:
    return LEADING_ZEROS.sub("", _unify_spelling(name))


def _get_key(name: str) -> str:
    """Reduce a name to its last part, whatever case, blanks and leading zeros it has."""
    return simplify_id(_unify_spelling(name).rsplit("/", 1)[-1])


def _explain(name: str, candidates: Sequence[str], spellings: Mapping[str, str]) -> str:
    if len(candidates) > 1:
        return f"Several files fit: {list(candidates[:MAX_LISTED])}. Give the path."
    if candidates:
        return f"Other rows name the file {candidates[0]!r} too. Give the paths."
    if similar := spellings.get(_get_key(name)):
        return f"There is no file of that name; {similar!r} is similar."
    return "There is no file of that name."


def _find_most_similar(name: str, paths: Sequence[str]) -> str:
    keys = {_get_key(path): path for path in paths[:10_000]}
    near = difflib.get_close_matches(_get_key(name), keys, 1, cutoff=0.75)
    return keys[near[0]] if near else ""
