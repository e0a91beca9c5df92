"""Label tables: read, check and complete them with patients, splits and a task."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Problem, Task
from ecglib.errors import DatasetError
from ecglib.splits import PARTS, assign_folds_by_patient, convert_folds_to_parts

PATIENTS_UNKNOWN = "patients unknown: leakage cannot be excluded"
REQUIRED_COLUMNS = {"record", "labels"}
KNOWN_COLUMNS = {*REQUIRED_COLUMNS, "patient", "fold", "part", "path"}
SEPARATORS = ";|,"


def read_label_table(path: str | Path) -> pd.DataFrame:
    """Read a label table, with every id as text.

    Parameters
    ----------
    path : str or Path
        CSV or Parquet file.

    Returns
    -------
    DataFrame
        The table as it is; `check_table` checks it.

    Raises
    ------
    DatasetError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "labels.csv").write_text("record,labels\\n007,AF\\n")
    ...     table = read_label_table(f"{folder}/labels.csv")
    >>> table["record"].tolist()
    ['007']
    """
    path = Path(path)
    ids = {"record": str, "patient": str, "labels": str}
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=ids, low_memory=False)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"The label table {path} cannot be read: {error}. Give a CSV or Parquet file with the "
            f"columns record, labels and, as far as known, patient, fold or part."
        ) from None


def check_table(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Bring a table to one row per record with a list of labels; list the rows that do not fit.

    Parameters
    ----------
    table : DataFrame
        Columns record and labels (a list, or text in which ``;``, ``|`` or ``,`` separates labels);
        patient, fold (whole numbers) or part (train, validation, test) if they are known; other
        columns are kept.

    Returns
    -------
    table : DataFrame
        The rows that can be used.
    problems : list of Problem
        The ids that occur more than once and the rows without a label.

    Raises
    ------
    DatasetError
        If the column record or labels is missing.

    Examples
    --------
    >>> raw = pd.DataFrame({"record": [1, 2, 2, 3], "labels": ["AF;PVC", "AF", "AF", ""]})
    >>> table, problems = check_table(raw)
    >>> table.to_dict("records")
    [{'record': '1', 'labels': ['AF', 'PVC']}]
    >>> [(problem.record, problem.kind) for problem in problems]
    [('2', 'duplicate_id'), ('3', 'empty_label')]
    """
    if missing := REQUIRED_COLUMNS - set(table.columns):
        raise DatasetError(
            f"The label table lacks the columns {sorted(missing)}; it has {list(table.columns)}. "
            f"Rename the column that holds them."
        )
    table = table.assign(record=table["record"].astype(str))
    repeated = table["record"].duplicated(keep=False)
    n_rows = table.loc[repeated, "record"].value_counts(sort=False)
    problems = [
        Problem(str(record), "duplicate_id", f"{n} rows have this id.")
        for record, n in n_rows.items()
    ]
    table = table[~repeated].assign(labels=table.loc[~repeated, "labels"].map(parse_labels))
    empty = table["labels"].map(len) == 0
    problems += [
        Problem(record, "empty_label", "The column labels is empty.")
        for record in table.loc[empty, "record"]
    ]
    return table[~empty].reset_index(drop=True), problems


def filter_table(table: pd.DataFrame, condition: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the rows that meet a condition.

    Parameters
    ----------
    table : DataFrame
        The label table.
    condition : str
        As for `pandas.DataFrame.query`, such as ``"validated_by_human and age >= 18"``; "" keeps
        all rows.

    Returns
    -------
    table : DataFrame
        The rows that meet the condition.
    excluded : dict of str to int
        The reason, and how many rows it excluded.

    Raises
    ------
    DatasetError
        If the condition cannot be evaluated.

    Examples
    --------
    >>> filter_table(pd.DataFrame({"age": [17, 42]}), "age >= 18")[1]
    {"rows that are not 'age >= 18'": 1}
    """
    if not condition:
        return table, {}
    try:
        remaining = table.query(condition, engine="python")
    except Exception as error:  # whatever Python raises for such an expression
        raise DatasetError(
            f"where={condition!r} cannot be evaluated: {error}. Use the columns {list(table)}."
        ) from None
    return remaining, {f"rows that are not {condition!r}": len(table) - len(remaining)}


def fill_patients(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give each record a patient.

    Parameters
    ----------
    table : DataFrame
        Column record and, if known, patient.

    Returns
    -------
    table : DataFrame
        The table with patients; without a column patient each record counts as one patient.
    caveats : tuple of str
        `PATIENTS_UNKNOWN` if the patients are unknown.

    Raises
    ------
    DatasetError
        If only some records have a patient.

    Examples
    --------
    >>> table, caveats = fill_patients(pd.DataFrame({"record": ["r1"]}))
    >>> table["patient"].tolist(), caveats
    (['r1'], ('patients unknown: leakage cannot be excluded',))
    """
    if "patient" not in table or table["patient"].isna().all():
        return table.assign(patient=table["record"]), (PATIENTS_UNKNOWN,)
    if n := int(table["patient"].isna().sum()):
        examples = list(table.loc[table["patient"].isna(), "record"].head(3))
        raise DatasetError(
            f"{n} records have no patient, for example {examples}. Fill them in, or remove the "
            f"column: then every run carries the caveat {PATIENTS_UNKNOWN!r}."
        )
    return table.assign(patient=table["patient"].astype(str)), ()


def infer_task(table: pd.DataFrame, name: str, kind: str, min_records: int) -> Task:
    """Make a task whose classes are the frequent labels.

    Parameters
    ----------
    table : DataFrame
        Column labels: lists of str.
    name : str
        Name of the task.
    kind : str
        One of `schema.TASK_KINDS`.
    min_records : int
        Number of records that a label needs to become a class.

    Returns
    -------
    Task
        The task, its classes sorted by name.

    Raises
    ------
    DatasetError
        If no label is frequent enough.

    Examples
    --------
    >>> table = pd.DataFrame({"labels": [["AF"], ["AF", "PVC"], ["SR"]]})
    >>> list(infer_task(table, "labels", "multi_label", min_records=2).classes)
    ['AF']
    """
    counts = Counter(label for labels in table["labels"] for label in set(labels))
    classes = {label: [label] for label in sorted(counts) if counts[label] >= min_records}
    if not classes:
        raise DatasetError(
            f"No label has {min_records} records; the most frequent are {counts.most_common(3)}. "
            f"Lower min_records, or correct the column labels."
        )
    n_rare = len(counts) - len(classes)
    description = f"{len(classes)} labels; {n_rare} rarer than {min_records} records are no class."
    return Task(name, kind, classes, description=description)


def assign_parts(table: pd.DataFrame, task: Task, seed: int = 0) -> pd.DataFrame:
    """Assign each record to a split: as given, by the column fold, or by new folds by patient.

    Parameters
    ----------
    table : DataFrame
        Columns patient and labels and, if known, fold or the task's column of splits.
    task : Task
        The task whose classes new folds balance.
    seed : int, default 0
        Seed of new folds.

    Returns
    -------
    DataFrame
        The table with the task's column of splits, and with the column fold if folds were made.

    Raises
    ------
    DatasetError
        If the column part or fold holds other values.

    Examples
    --------
    >>> table = pd.DataFrame({"patient": [1, 2, 3], "labels": [["AF"]] * 3, "fold": [1, 2, 3]})
    >>> task = Task("af", "multi_label", {"AF": ["AF"]})
    >>> assign_parts(table, task)["part"].tolist()
    ['train', 'validation', 'test']
    """
    if task.part in table:
        if unknown := set(table[task.part]) - set(PARTS):
            raise DatasetError(
                f"Column {task.part!r} holds {sorted(map(str, unknown))}, expected only {PARTS}. "
                f"Correct it, or remove the column for new splits by patient."
            )
        return table
    if "fold" not in table:
        y = encode_labels(table["labels"], task)
        n_folds = min(10, table["patient"].nunique())
        folds = assign_folds_by_patient(table["patient"].to_numpy(), y, n_folds, seed)
        table = table.assign(fold=folds)
    table = table.copy()
    table[task.part] = convert_folds_to_parts(table["fold"].to_numpy())
    return table


class OtherColumns(NamedTuple):
    """The columns of a label table that are neither ids, labels nor splits.

    Parameters
    ----------
    table : DataFrame
        The table: tabular values as float, all others as text.
    tabular : tuple of str
        Columns of numbers, which a model may use.
    columns : dict of str to str
        The other columns, for filtering, and their Arrow types.

    Examples
    --------
    >>> table = pd.DataFrame({"record": ["r1", "r2"], "age": [42, 58], "device": ["A", None]})
    >>> other = find_other_columns(table)
    >>> other.tabular, other.table["age"].tolist()
    (('age',), [42.0, 58.0])
    >>> other.columns, other.table["device"].tolist()
    ({'device': 'string'}, ['A', None])
    """

    table: pd.DataFrame
    tabular: tuple[str, ...]
    columns: dict[str, str]


def find_other_columns(table: pd.DataFrame) -> OtherColumns:
    """Find the other columns: numbers are tabular values, everything else is text for filtering.

    Parameters
    ----------
    table : DataFrame
        The label table.

    Returns
    -------
    OtherColumns
        The converted table and the names of its columns.

    Examples
    --------
    >>> table = pd.DataFrame({"record": ["r1"], "age": [42], "device": ["A"]})
    >>> other = find_other_columns(table)
    >>> other.tabular, other.columns
    (('age',), {'device': 'string'})
    """
    columns, tabular = {}, []
    table = table.copy()
    if "fold" in table:
        columns["fold"] = "int64"
    for name in table.columns:
        if name in KNOWN_COLUMNS:
            continue
        if pd.api.types.is_numeric_dtype(table[name]):
            tabular.append(name)
            table[name] = table[name].astype(float)
        else:
            table[name] = convert_to_text(table[name])
            columns[name] = "string"
    return OtherColumns(table=table, tabular=tuple(tabular), columns=columns)


def convert_to_text(column: pd.Series) -> pd.Series:
    """Convert a column to text, None where a value is missing.

    Parameters
    ----------
    column : Series
        Any values.

    Returns
    -------
    Series
        Of str and None.

    Examples
    --------
    >>> convert_to_text(pd.Series(["A", None, 3])).tolist()
    ['A', None, '3']
    """
    return column.astype(str).astype(object).where(column.notna(), None)


def parse_labels(labels: Any) -> list[str]:
    """Parse the labels of a record.

    Parameters
    ----------
    labels : list, tuple, array, str or missing value
        Labels, or text in which ``;``, ``|`` or ``,`` separates them.

    Returns
    -------
    list of str
        The labels; empty for a missing value.

    Examples
    --------
    >>> parse_labels("AF; PVC"), parse_labels(None)
    (['AF', 'PVC'], [])
    """
    if isinstance(labels, list | tuple | np.ndarray):
        return [str(label) for label in labels]
    if not isinstance(labels, str):
        return [] if pd.isna(labels) else [str(labels)]
    separator = next((s for s in SEPARATORS if s in labels), ";")
    return [label.strip() for label in labels.split(separator) if label.strip()]


def encode_labels(
    labels: pd.Series, task: Task, likelihoods: pd.Series | None = None
) -> np.ndarray:
    """Encode lists of labels as classes of a task.

    Parameters
    ----------
    labels : Series of list of str
        Labels of each window.
    task : Task
        Its classes say which labels mean them.
    likelihoods : Series of list of float, optional
        Likelihood of each label in percent; needed if the task has a `min_likelihood`.

    Returns
    -------
    float32 array of shape (n_windows, n_classes)
        1 if a window has a label of the class, else 0.

    Raises
    ------
    DatasetError
        If the task needs likelihoods and there are none.

    Examples
    --------
    >>> task = Task("mi", "multi_label", {"MI": ["IMI", "AMI"], "NORM": ["NORM"]})
    >>> encode_labels(pd.Series([["IMI", "SR"], ["NORM"], []]), task).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    y = np.zeros((len(labels), len(task.classes)), np.float32)
    if not len(labels):
        return y
    window = np.repeat(np.arange(len(labels)), [len(names) for names in labels])
    flat = np.concatenate([np.asarray(names, object) for names in labels])
    if task.min_likelihood:
        if likelihoods is None:
            raise DatasetError(
                f"Task {task.name!r} counts labels of at least {task.min_likelihood:g} % only, but "
                f"the labels have no likelihoods. Choose a task without a smallest likelihood."
            )
        likely = np.concatenate(list(likelihoods)) >= task.min_likelihood
        window, flat = window[likely], flat[likely]
    codes, known = pd.factorize(flat)
    for column, meanings in enumerate(task.classes.values()):
        y[window[np.isin(known, meanings)[codes]], column] = 1.0
    return y
