"""Joins a label table with the files of a folder: one row for each file that it names."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ecglib.datasets.labels import check_table, fill_patients, find_similar_patients
from ecglib.datasets.schema import Problem
from ecglib.datasets.tables import filter_table, match_names, require_matches, separate_missing


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelRows:
    """The rows of a label table that name a file.

    Parameters
    ----------
    rows : DataFrame
        Columns record, path, patient, labels and those that the table has besides.
    problems : tuple of Problem
        Rows without a file, files without a row, and what is wrong with a row.
    excluded : mapping of str to int
        How many rows the condition excluded.
    caveats : tuple of str
        Shown with every number of the dataset.

    Examples
    --------
    >>> raw = pd.DataFrame({"record": ["1", "2"], "labels": ["AF", "SR"], "patient": ["a", "b"]})
    >>> joined = join_labels(raw, ["001", "003"], where="", what="headers below mine")
    >>> joined.rows["path"].tolist(), [problem.kind for problem in joined.problems]
    (['001'], ['no_row', 'no_record'])
    """

    rows: pd.DataFrame
    problems: tuple[Problem, ...]
    excluded: Mapping[str, int]
    caveats: tuple[str, ...]


def join_labels(
    table: pd.DataFrame, paths: Collection[str], where: str = "", what: str = "files"
) -> LabelRows:
    """Join a label table with the files that exist.

    Parameters
    ----------
    table : DataFrame
        The label table as read, see `labels.check_table`.
    paths : collection of str
        Paths of the records from their folder, without ending.
    where : str, default ""
        Condition on the rows, see `tables.filter_table`; empty for all rows.
    what : str, default "files"
        What the paths are, in words, such as "headers below data/mine".

    Returns
    -------
    LabelRows
        The rows that name a file, in the order of the table.

    Raises
    ------
    DatasetError
        If the table cannot be used, no row meets the condition, or none names a file.

    Examples
    --------
    >>> raw = pd.DataFrame({"record": ["r1", "r2"], "labels": ["AF", "SR"], "age": [17, 42]})
    >>> joined = join_labels(raw, ["a/r1", "a/r2"], where="age >= 18")
    >>> joined.rows["path"].tolist(), joined.excluded
    (['a/r2'], {"rows that are not 'age >= 18'": 1})
    """
    table, row_problems = check_table(table)
    matched = match_names(table["record"].tolist(), paths)
    table = table.assign(path=table["record"].map(matched.paths))
    unlabelled = find_unlabelled(table["path"].dropna(), paths, row_problems)
    table, excluded = filter_table(table, where)
    require_matches(matched, table["record"].tolist(), paths, what)
    table, missing = separate_missing(table, matched)
    table, caveats = fill_patients(table)
    problems = (*row_problems, *unlabelled, *missing, *find_similar_patients(table))
    return LabelRows(rows=table, problems=problems, excluded=excluded, caveats=caveats)


def find_unlabelled(
    labelled: Iterable[str], paths: Iterable[str], row_problems: Sequence[Problem]
) -> list[Problem]:
    """Find the records that no row of the table names.

    Parameters
    ----------
    labelled : iterable of str
        The paths that the table names.
    paths : iterable of str
        The paths of all records.
    row_problems : sequence of Problem
        Rows that cannot be used; their records are not reported again.

    Returns
    -------
    list of Problem
        One of kind ``no_row`` for each record.

    Examples
    --------
    >>> [problem.record for problem in find_unlabelled(["r1"], ["r1", "r2"], [])]
    ['r2']
    """
    known = {*labelled}
    reported = {problem.record for problem in row_problems}
    return [
        Problem(path, "no_row", "No row of the label table names this record.")
        for path in paths
        if path not in known and path not in reported and Path(path).name not in reported
    ]


def find_label_file(folder: Path, labels: str | Path) -> Path:
    """Find a label table that is named by its path, or by its path from the folder.

    Parameters
    ----------
    folder : Path
        Folder of the records.
    labels : str or Path
        The label table.

    Returns
    -------
    Path
        The file; `labels` as given if it exists.

    Examples
    --------
    >>> find_label_file(Path("mine"), "labels.csv")
    PosixPath('mine/labels.csv')
    """
    return Path(labels) if Path(labels).exists() else folder / labels
