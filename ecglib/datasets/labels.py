"""A label table as people have them: read, checked, completed by parts and a task."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Problem, Task
from ecglib.errors import DatasetError
from ecglib.splits import PARTS, folds_by_patient, folds_to_parts

PATIENTS_UNKNOWN = "patients unknown: leakage cannot be excluded"
NEEDED = {"record", "labels"}
KNOWN = {*NEEDED, "patient", "fold", "part", "path"}
SEPARATORS = ";|,"


def read_label_table(path: str | Path) -> pd.DataFrame:
    """Read a table from CSV or Parquet, every id as text.

    Raises
    ------
    DatasetError
        it cannot be read, or is of another kind.
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
    """Bring a table to one row a record with a list of labels; say which rows cannot be used.

    Parameters
    ----------
    table
        columns record and labels (a list, or text in which ``;``, ``|`` or ``,`` separates labels);
        patient, fold (whole numbers) or part (train, validation, test) where they are known;
        other columns are kept.

    Returns
    -------
    The rows that can be used, and the others.

    Raises
    ------
    DatasetError
        a column is missing.
    """
    if missing := NEEDED - set(table.columns):
        raise DatasetError(
            f"The label table lacks the columns {sorted(missing)}; it has {list(table.columns)}. "
            f"Rename the column that holds them."
        )
    table = table.assign(record=table["record"].astype(str))
    twice = table["record"].duplicated(keep=False)
    rows_of = table.loc[twice, "record"].value_counts(sort=False)
    problems = [Problem(r, "duplicate_id", f"{n} rows have this id.") for r, n in rows_of.items()]
    table = table[~twice].assign(labels=table.loc[~twice, "labels"].map(parse_labels))
    empty = table["labels"].map(len) == 0
    problems += [
        Problem(record, "empty_label", "The column labels is empty.")
        for record in table.loc[empty, "record"]
    ]
    return table[~empty].reset_index(drop=True), problems


def filter_table(table: pd.DataFrame, condition: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows for which a condition holds, and how many were left out.

    Parameters
    ----------
    condition
        as `pandas.DataFrame.query` takes it, such as ``"validated_by_human and age >= 18"``; empty
        for all rows.

    Raises
    ------
    DatasetError
        the condition cannot be evaluated.
    """
    if not condition:
        return table, {}
    try:
        kept = table.query(condition, engine="python")
    except Exception as error:  # whatever Python raises for such an expression
        raise DatasetError(
            f"where={condition!r} cannot be evaluated: {error}. The columns are {list(table)}."
        ) from None
    return kept, {f"rows that are not {condition!r}": len(table) - len(kept)}


def fill_patients(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table with a patient for each record, and the caveat where they are not known."""
    if "patient" not in table or table["patient"].isna().all():
        return table.assign(patient=table["record"]), (PATIENTS_UNKNOWN,)
    if n := int(table["patient"].isna().sum()):
        examples = list(table.loc[table["patient"].isna(), "record"].head(3))
        raise DatasetError(
            f"{n} records have no patient, for example {examples}. Fill them in, or leave the "
            f"column out: then every run carries the caveat {PATIENTS_UNKNOWN!r}."
        )
    return table.assign(patient=table["patient"].astype(str)), ()


def infer_task(table: pd.DataFrame, name: str, kind: str, min_records: int) -> Task:
    """A task whose classes are the labels that at least so many records carry.

    Raises
    ------
    DatasetError
        no label is that frequent.
    """
    counts = Counter(label for own in table["labels"] for label in set(own))
    classes = {label: [label] for label in sorted(counts) if counts[label] >= min_records}
    if not classes:
        raise DatasetError(
            f"No label is carried by {min_records} records; the most frequent are "
            f"{counts.most_common(3)}. Lower min_records, or correct the column labels."
        )
    rare = len(counts) - len(classes)
    description = f"{len(classes)} labels; {rare} rarer than {min_records} records are no class."
    return Task(name, kind, classes, description=description)


def assign_parts(table: pd.DataFrame, task: Task, seed: int = 0) -> pd.DataFrame:
    """The table with the column part: as given, from the column fold, or from folds made here.

    Raises
    ------
    DatasetError
        the column part or fold holds something else.
    """
    if task.part in table:
        if odd := set(table[task.part]) - set(PARTS):
            odd = sorted(map(str, odd))
            raise DatasetError(f"Column {task.part!r} holds {odd}, expected only {PARTS}.")
        return table
    if "fold" not in table:
        y = encode_labels(table["labels"], task)
        n_folds = min(10, table["patient"].nunique())
        folds = folds_by_patient(table["patient"].to_numpy(), y, n_folds, seed)
        table = table.assign(fold=folds)
    return table.assign(**{task.part: folds_to_parts(table["fold"].to_numpy())})


def find_other_columns(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...], dict[str, str]]:
    """The other columns: numbers are tabular values, everything else text kept for filtering."""
    columns, tabular = {}, []
    if "fold" in table:
        columns["fold"] = "int64"
    for name in table.columns:
        if name in KNOWN:
            continue
        if pd.api.types.is_numeric_dtype(table[name]):
            tabular.append(name)
            table = table.assign(**{name: table[name].astype(float)})
        else:
            table = table.assign(**{name: convert_to_text(table[name])})
            columns[name] = "string"
    return table, tuple(tabular), columns


def convert_to_text(column: pd.Series) -> pd.Series:
    """A column as text, None where a value is missing."""
    return column.astype(str).astype(object).where(column.notna(), None)


def parse_labels(labels) -> list[str]:
    """The labels of a record: a list as it is, text parted at ``;``, ``|`` or ``,``."""
    if isinstance(labels, list | tuple | np.ndarray):
        return [str(label) for label in labels]
    if not isinstance(labels, str):
        return [] if labels is None or pd.isna(labels) else [str(labels)]
    separator = next((s for s in SEPARATORS if s in labels), ";")
    return [label.strip() for label in labels.split(separator) if label.strip()]


def encode_labels(
    labels: pd.Series, task: Task, likelihoods: pd.Series | None = None
) -> np.ndarray:
    """Turn lists of labels into a float32 array of shape (n_windows, n_classes) of 0 and 1.

    `likelihoods` gives the percentage of each label; it is looked at only if the task asks for a
    least likelihood.
    """
    y = np.zeros((len(labels), len(task.classes)), np.float32)
    if not len(labels):
        return y
    window = np.repeat(np.arange(len(labels)), [len(own) for own in labels])
    flat = np.concatenate([np.asarray(own, object) for own in labels])
    if task.min_likelihood:
        likely = np.concatenate(list(likelihoods)) >= task.min_likelihood
        window, flat = window[likely], flat[likely]
    codes, known = pd.factorize(flat)
    for column, means in enumerate(task.classes.values()):
        y[window[np.isin(known, means)[codes]], column] = 1.0
    return y
