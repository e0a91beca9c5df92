"""PTB-XL: 21,799 clinical 12-lead ECGs of 10 s, six tasks, folds by patient.

Wagner P, Strodthoff N, Bousseljot R-D, et al. PTB-XL, a large publicly available
electrocardiography dataset. Sci Data 7:154 (2020). The tasks and their rule (any statement counts,
whatever its likelihood; a record without a statement of the task is excluded from it) are those of
the public benchmark: Strodthoff N, Wagner P, Schaeffter T, Samek W. Deep learning for ECG analysis:
benchmarks and insights from PTB-XL. IEEE J Biomed Health Inform 25:1519 (2021).
"""

import json
from collections.abc import Hashable
from pathlib import Path

import pandas as pd

from ecglib.datasets.leads import STANDARD_12
from ecglib.datasets.schema import Problem, SignalSpec, Task
from ecglib.datasets.sources.download import download as download_files
from ecglib.datasets.sources.table import RecordTable, SourceInfo, TableSource
from ecglib.datasets.tables import convert_to_text, filter_table
from ecglib.errors import DatasetError

DURATION_S = 10.0
FILE_COLUMNS = {100.0: "filename_lr", 500.0: "filename_hr"}
NAMES = {100.0: "ptbxl", 500.0: "ptbxl_500hz"}
MAX_AGE = 90.0  # the database writes 300 for everyone above 89
VERSION = "1.0.3"
N_RECORDS = 21_799  # of version 1.0.3; the versions before have 38 more
QUALITY_COLUMNS = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")
NEEDED_COLUMNS = ("patient_id", "age", "sex", "scp_codes", "strat_fold")


def open_ptbxl(folder: str | Path, sampling_rate_hz: float = 100.0, where: str = "") -> TableSource:
    """Open PTB-XL, or any part of it in its layout, as a source.

    Versions 1.0.1 and 1.0.3 are read alike; 1.0.3 dropped 38 records that occurred twice, which the
    search for near-identical records reports. A folder with fewer records has a caveat that says
    how many. Kept for filtering: validated_by_human, the quality columns and the likelihoods.
    Tabular: age (90 for everyone above 89) and sex (0 male, 1 female).

    Parameters
    ----------
    folder : str or Path
        Folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100`` or
        ``records500``.
    sampling_rate_hz : float, default 100
        100 or 500 Hz: which of the two versions of each record.
    where : str, default ""
        Condition on the records, see `tables.filter_table`; its columns are those of the window
        table (patient, age, sex, fold, validated_by_human, baseline_drift, ...). Empty for all
        records.

    Returns
    -------
    TableSource
        The source.

    Raises
    ------
    DatasetError
        If a table is missing or lacks a column, or the rate is not one of the two.

    Examples
    --------
    With the files of the database::

        source = open_ptbxl("data/raw/ptbxl", where="age >= 18")
        list(source.tasks)  # superdiagnostic, subdiagnostic, diagnostic, form, rhythm, all

    It is published at two sampling rates:

    >>> open_ptbxl("data/raw/ptbxl", sampling_rate_hz=250.0)
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: sampling_rate_hz=250: PTB-XL is published at 100 and at 500 Hz. ...
    """
    folder = Path(folder)
    if sampling_rate_hz not in FILE_COLUMNS:
        raise DatasetError(
            f"sampling_rate_hz={sampling_rate_hz:g}: PTB-XL is published at 100 and at 500 Hz. "
            f"Give one of these."
        )
    database = read_database(folder)
    table, problems = extract_labels(database)
    table["path"] = database.loc[table.index, FILE_COLUMNS[sampling_rate_hz]]
    table, excluded = filter_table(table, where)
    statements = _read_csv(folder / "scp_statements.csv", ("diagnostic", "form", "rhythm"))
    columns = {"fold": "int64", "likelihoods": "list<double>", "validated_by_human": "bool"}
    return TableSource(
        folder,
        RecordTable(
            rows=table.reset_index(drop=True),
            tabular=("age", "sex"),
            columns=columns | dict.fromkeys(QUALITY_COLUMNS, "string"),
            problems=problems,
            excluded=excluded,
        ),
        SignalSpec(sampling_rate_hz, round(DURATION_S * sampling_rate_hz), STANDARD_12),
        make_tasks(statements),
        SourceInfo(
            name=NAMES[sampling_rate_hz],
            description=f"PTB-XL: {len(table):,} records of 10 s, {len(STANDARD_12)} leads, "
            f"{sampling_rate_hz:g} Hz.",
            citation="Wagner P et al. PTB-XL, a large publicly available electrocardiography "
            "dataset. Sci Data 7:154 (2020). Goldberger AL et al. Circulation 101:e215-e220 "
            "(2000). CC BY 4.0.",
            caveats=_list_caveats(len(database)),
            options={"sampling_rate_hz": sampling_rate_hz, "where": where},
        ),
    )


def _list_caveats(n_records: int) -> tuple[str, ...]:
    """Say that the folder holds only a part of the database, so that no number is compared."""
    if n_records >= N_RECORDS:
        return ()
    return (f"{n_records:,} of the {N_RECORDS:,} records of PTB-XL",)


def read_database(folder: Path) -> pd.DataFrame:
    """Read ``ptbxl_database.csv`` as published.

    Parameters
    ----------
    folder : Path
        Folder with the table.

    Returns
    -------
    DataFrame
        The table, indexed by ecg_id.

    Raises
    ------
    DatasetError
        If it is missing or lacks a column.

    Examples
    --------
    >>> import tempfile
    >>> columns = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "ptbxl_database.csv").write_text(columns + "\\n1,7,50,0,{},3,a,b\\n")
    ...     database = read_database(Path(folder))
    >>> database.index.tolist()
    [1]
    """
    needed = NEEDED_COLUMNS + tuple(FILE_COLUMNS.values())
    return _read_csv(folder / "ptbxl_database.csv", needed).rename_axis("ecg_id")


def extract_labels(database: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Extract records, patients, labels and splits from the published table.

    Parameters
    ----------
    database : DataFrame
        The published table, indexed by ecg_id.

    Returns
    -------
    table : DataFrame
        One row per record with a label, indexed by ecg_id.
    problems : list of Problem
        Rows that cannot be used.

    Examples
    --------
    >>> database = pd.DataFrame(
    ...     {
    ...         "patient_id": [7.0],
    ...         "age": [300.0],
    ...         "sex": [1],
    ...         "scp_codes": ["{'NORM': 100.0, 'SR': 0.0}"],
    ...         "strat_fold": [10],
    ...     },
    ...     index=[1],
    ... )
    >>> table, problems = extract_labels(database)
    >>> table[["record", "labels", "part"]].iloc[0].tolist()
    ['00001', ['NORM', 'SR'], 'test']
    """
    repeated = database.index.duplicated(keep=False)
    problems = [
        Problem(_format_name(ecg_id), "duplicate_id", f"ecg_id {ecg_id} has {n} rows.")
        for ecg_id, n in database.index[repeated].value_counts(sort=False).items()
    ]
    database = database[~repeated]
    codes = database["scp_codes"].map(_parse_statements)
    empty = codes.map(len) == 0
    problems += [
        Problem(_format_name(ecg_id), "empty_label", "scp_codes is empty.")
        for ecg_id in codes.index[empty]
    ]
    database, codes = database[~empty], codes[~empty]
    age = database["age"].astype(float)
    columns = {
        "record": database.index.map(_format_name),
        "patient": database["patient_id"].map(lambda patient: f"{int(patient)}"),
        "labels": codes.map(list),
        "likelihoods": codes.map(lambda likelihoods: [float(x) for x in likelihoods.values()]),
        "fold": database["strat_fold"].astype(int),
        "part": database["strat_fold"].map(assign_part),
        "age": age.mask(age >= 300, MAX_AGE),
        "sex": database["sex"].astype(float),
    }
    if "validated_by_human" in database:
        columns["validated_by_human"] = database["validated_by_human"].astype(bool)
    texts = database.reindex(columns=list(QUALITY_COLUMNS))
    columns |= {name: convert_to_text(texts[name]) for name in QUALITY_COLUMNS}
    return pd.DataFrame(columns, index=database.index), problems


def assign_part(fold: int) -> str:
    """Assign a fold to the split that the authors recommend.

    Parameters
    ----------
    fold : int
        Fold from 1 to 10.

    Returns
    -------
    str
        test for fold 10, validation for fold 9, else train.

    Examples
    --------
    >>> [assign_part(fold) for fold in (1, 9, 10)]
    ['train', 'validation', 'test']
    """
    return {9: "validation", 10: "test"}.get(int(fold), "train")


def make_tasks(statements: pd.DataFrame) -> dict[str, Task]:
    """Make the six tasks from ``scp_statements.csv``.

    Parameters
    ----------
    statements : DataFrame
        Indexed by statement, with the columns diagnostic, form, rhythm (1 or missing),
        diagnostic_class and diagnostic_subclass.

    Returns
    -------
    dict of str to Task
        superdiagnostic, subdiagnostic, diagnostic, form, rhythm and all.

    Examples
    --------
    >>> statements = pd.DataFrame(
    ...     {
    ...         "diagnostic": [1, 1, None],
    ...         "form": [None, None, None],
    ...         "rhythm": [None, None, 1],
    ...         "diagnostic_class": ["MI", "MI", None],
    ...         "diagnostic_subclass": ["IMI", "AMI", None],
    ...     },
    ...     index=["IMI", "ASMI", "SR"],
    ... )
    >>> tasks = make_tasks(statements)
    >>> tasks["superdiagnostic"].classes, tasks["rhythm"].classes
    ({'MI': ['IMI', 'ASMI']}, {'SR': ['SR']})
    """
    diagnostic = statements[statements["diagnostic"] == 1]
    classes_by_task = {
        "superdiagnostic": _group_statements(diagnostic["diagnostic_class"]),
        "subdiagnostic": _group_statements(diagnostic["diagnostic_subclass"]),
        "diagnostic": _separate_statements(diagnostic),
        "form": _separate_statements(statements[statements["form"] == 1]),
        "rhythm": _separate_statements(statements[statements["rhythm"] == 1]),
        "all": _separate_statements(statements),
    }
    rule = "a statement of any likelihood counts; records without one are excluded"
    return {
        name: Task(
            name,
            "multi_label",
            classes,
            description=f"{len(classes)} classes; {rule}.",
            needs_a_class=True,
        )
        for name, classes in classes_by_task.items()
    }


def download(folder: Path, sampling_rate_hz: float = 100.0) -> Path:
    """Download PTB-XL at one rate, verified and resumable.

    Parameters
    ----------
    folder : Path
        Folder of the download.
    sampling_rate_hz : float, default 100
        100 or 500 Hz.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DatasetError
        If there is no network, or a file differs from its published checksum.

    Examples
    --------
    From the network::

        download(Path("data/raw/ptbxl"))

    A folder that holds another database is refused:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     marker = '{"database": "nstdb", "version": "1.0.0"}'
    ...     _ = Path(folder, "downloaded.json").write_text(marker)
    ...     download(Path(folder))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: ... holds nstdb 1.0.0, not ptb-xl...
    """
    records = f"records{sampling_rate_hz:.0f}/"
    tables = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt")
    return download_files(
        "ptb-xl", VERSION, folder, lambda name: name.startswith(records) or name in tables
    )


def _group_statements(groups: pd.Series) -> dict[str, list[str]]:
    return {str(name): list(members.index) for name, members in groups.groupby(groups)}


def _separate_statements(statements: pd.DataFrame) -> dict[str, list[str]]:
    return {name: [name] for name in sorted(statements.index)}


def _parse_statements(scp_codes: str) -> dict[str, float]:
    """Parse statements and likelihoods, such as ``{'NORM': 100.0, 'SR': 0.0}``."""
    try:
        return json.loads(scp_codes.replace("'", '"'))
    except json.JSONDecodeError:
        raise DatasetError(
            f"scp_codes holds {scp_codes!r}, expected statements and likelihoods such as "
            f"{{'NORM': 100.0}}. Download ptbxl_database.csv again."
        ) from None


def _format_name(ecg_id: Hashable) -> str:
    return f"{ecg_id:05d}"


def _read_csv(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, index_col=0, low_memory=False)
    except FileNotFoundError:
        raise DatasetError(
            f"{path} is missing. Give the folder that holds ptbxl_database.csv and "
            f"scp_statements.csv as the source, or omit the source to download PTB-XL."
        ) from None
    if missing := set(needed) - set(table.columns):
        raise DatasetError(
            f"{path} lacks the columns {sorted(missing)}; it has {list(table)}. Download it again."
        )
    return table
