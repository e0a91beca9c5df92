"""Label tables: check and complete them with patients, splits and a task."""

from collections import Counter

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Problem, Task
from ecglib.datasets.tables import convert_known_columns, convert_to_ids, parse_label_column
from ecglib.errors import DatasetError, did_you_mean
from ecglib.splits import PARTS, assign_folds_by_patient, convert_folds_to_parts
from ecglib.splits.similar import describe_similar_ids, find_similar_ids

PATIENTS_UNKNOWN = "patients unknown: leakage cannot be excluded"
REQUIRED_COLUMNS = ("record", "labels")


def check_table(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Bring a table to one row per record with a list of labels; list the rows that do not fit.

    Parameters
    ----------
    table : DataFrame
        Columns record and labels (as `tables.parse_labels` takes them: text in which ``;``
        separates labels, or a list); patient, fold (whole numbers) or part (train, validation,
        test) if they are known; age (years) and sex; other columns are kept.

    Returns
    -------
    table : DataFrame
        The rows that can be used, with the names of records as text without blanks at their ends,
        and age and sex as numbers.
    problems : list of Problem
        The ids that occur more than once, the rows without an id or a label, and the ages and
        sexes that cannot be read.

    Raises
    ------
    DatasetError
        If the column record or labels is missing, two columns have the same name, or labels cannot
        be parsed.

    Examples
    --------
    >>> raw = pd.DataFrame({"record": [1, 2, 2, 3], "labels": ["AF;PVC", "AF", "AF", ""]})
    >>> table, problems = check_table(raw)
    >>> table.to_dict("records")
    [{'record': '1', 'labels': ['AF', 'PVC']}]
    >>> [(problem.record, problem.kind) for problem in problems]
    [('2', 'duplicate_id'), ('3', 'empty_label')]
    """
    require_columns(table, REQUIRED_COLUMNS)
    table = table.assign(record=convert_to_ids(table["record"]))
    unnamed = table["record"].isna()
    problems = [
        Problem(f"row {row}", "no_record", "The column record is empty.")
        for row in np.flatnonzero(unnamed) + 1
    ]
    table = table[~unnamed]
    repeated = table["record"].duplicated(keep=False)
    n_rows = table.loc[repeated, "record"].value_counts(sort=False)
    problems += [
        Problem(str(record), "duplicate_id", f"{n} rows have this id.")
        for record, n in n_rows.items()
    ]
    table = table[~repeated]
    table = table.assign(labels=parse_label_column(table["labels"], table["record"]))
    empty = table["labels"].map(len) == 0
    problems += [
        Problem(record, "empty_label", "The column labels is empty.")
        for record in table.loc[empty, "record"]
    ]
    table, unread = convert_known_columns(table[~empty].reset_index(drop=True))
    return table, [*problems, *unread]


def require_columns(table: pd.DataFrame, required: tuple[str, ...]) -> None:
    """Require that a table has some columns, and no two columns of the same name.

    Parameters
    ----------
    table : DataFrame
        The label table.
    required : tuple of str
        Names of columns.

    Raises
    ------
    DatasetError
        If a column is missing or the name of one occurs twice.

    Examples
    --------
    >>> require_columns(pd.DataFrame({"record": [1], "label": ["AF"]}), ("record", "labels"))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: The label table lacks the columns ['labels']; it has ...
    """
    names = [str(name) for name in table.columns]
    if missing := [name for name in required if name not in names]:
        raise DatasetError(
            f"The label table lacks the columns {missing}; it has {names[:30]}."
            f"{did_you_mean(missing[0], names)} Rename the column that holds them."
        )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(
            f"Several columns of the label table are called {repeated}, expected different names. "
            f"Rename or remove all but one of each."
        )


def fill_patients(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give each record a patient.

    Parameters
    ----------
    table : DataFrame
        Column record and, if known, patient.

    Returns
    -------
    table : DataFrame
        The table with patients as text without blanks at their ends; without a column patient each
        record counts as one patient.
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
    if "patient" not in table:
        return table.assign(patient=table["record"]), (PATIENTS_UNKNOWN,)
    patients = convert_to_ids(table["patient"])
    if patients.isna().all():
        return table.assign(patient=table["record"]), (PATIENTS_UNKNOWN,)
    if n := int(patients.isna().sum()):
        examples = list(table.loc[patients.isna(), "record"].head(3))
        raise DatasetError(
            f"{n} records have no patient, for example {examples}. Fill them in, or remove the "
            f"column: then every run carries the caveat {PATIENTS_UNKNOWN!r}."
        )
    return table.assign(patient=patients), ()


def find_similar_patients(table: pd.DataFrame) -> list[Problem]:
    """Find records whose patient's identifier differs from another only in how it is written.

    Parameters
    ----------
    table : DataFrame
        Columns record and patient.

    Returns
    -------
    list of Problem
        One for each record of such a patient.

    Examples
    --------
    >>> table = pd.DataFrame({"record": ["r1", "r2"], "patient": ["P7", "p 07"]})
    >>> [problem.detail for problem in find_similar_patients(table)][0]
    "The patients 'P7', 'p 07' may be one person."
    """
    groups = find_similar_ids(table["patient"])
    details = {
        patient: f"The patients {describe_similar_ids(group)} may be one person."
        for group in groups
        for patient in group
    }
    return [
        Problem(record, "similar_patient", details[patient])
        for record, patient in zip(table["record"], table["patient"], strict=True)
        if patient in details
    ]


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
            f"Lower min_records, or correct the column labels: ';' separates the labels of a "
            f"record, not ',' or '|'."
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
