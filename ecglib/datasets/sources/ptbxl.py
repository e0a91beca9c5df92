"""PTB-XL: 21,799 clinical 12-lead ECGs of 10 s, six tasks, folds by patient.

Wagner P, Strodthoff N, Bousseljot R-D, et al. PTB-XL, a large publicly available
electrocardiography dataset. Sci Data 7:154 (2020). The tasks and their rule (any statement counts,
whatever its likelihood; a record without a statement of the task is left out of it) are those of
the public benchmark: Strodthoff N, Wagner P, Schaeffter T, Samek W. Deep learning for ECG analysis:
benchmarks and insights from PTB-XL. IEEE J Biomed Health Inform 25:1519 (2021).
"""

import json
from pathlib import Path

import pandas as pd

from ecglib.datasets.labels import filter_table, convert_to_text
from ecglib.datasets.leads import STANDARD_12
from ecglib.datasets.schema import Problem, SignalSpec, Task
from ecglib.datasets.sources.download import download as download_files
from ecglib.datasets.sources.table import TableSource
from ecglib.errors import DatasetError

DURATION_S = 10.0
FILE_COLUMN = {100.0: "filename_lr", 500.0: "filename_hr"}
NAMES = {100.0: "ptbxl", 500.0: "ptbxl_500hz"}
OLDEST = 90.0  # the database writes 300 for everyone above 89
VERSION = "1.0.3"
QUALITY = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")
NEEDED = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold")


def open_ptbxl(folder: str | Path, sampling_rate_hz: float = 100.0, where: str = "") -> TableSource:
    """PTB-XL, or any part of it in its layout.

    Version 1.0.1 and 1.0.3 are read alike; 1.0.3 left out 38 records that stood twice, which the
    search for near-identical records reports. Kept for filtering: validated_by_human, the quality
    columns and the likelihoods. Tabular: age (90 for everyone above 89) and sex (0 male, 1 female).

    Parameters
    ----------
    folder
        folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100`` or
        ``records500``.
    sampling_rate_hz
        100 or 500 Hz: which of the two versions of each record.
    where
        only the records for which this holds, see `labels.filter_table`; the columns are those of the
        window table (patient, age, sex, fold, validated_by_human, baseline_drift, ...).

    Raises
    ------
    DatasetError
        a table is missing or lacks a column, or the rate is not one of the two.
    """
    folder = Path(folder)
    if sampling_rate_hz not in FILE_COLUMN:
        raise DatasetError(f"PTB-XL comes at 100 and at 500 Hz, not at {sampling_rate_hz:g} Hz.")
    database = read_database(folder)
    table, problems = labels_of(database)
    table["path"] = database.loc[table.index, FILE_COLUMN[sampling_rate_hz]]
    table, excluded = filter_table(table, where)
    statements = _read_csv(folder / "scp_statements.csv", ("diagnostic", "form", "rhythm"))
    n_samples = round(DURATION_S * sampling_rate_hz)
    return TableSource(
        NAMES[sampling_rate_hz],
        folder,
        table.reset_index(drop=True),
        SignalSpec(sampling_rate_hz, n_samples, STANDARD_12),
        tasks(statements),
        description=f"PTB-XL: {len(table):,} records of 10 s, {len(STANDARD_12)} leads, "
        f"{sampling_rate_hz:g} Hz.",
        citation="Wagner P et al. PTB-XL, a large publicly available electrocardiography dataset. "
        "Sci Data 7:154 (2020). Goldberger AL et al. Circulation 101:e215-e220 (2000). CC BY 4.0.",
        tabular=("age", "sex"),
        columns={
            "fold": "int64",
            "likelihoods": "list<double>",
            "validated_by_human": "bool",
            **dict.fromkeys(QUALITY, "string"),
        },
        problems=problems,
        excluded=excluded,
    )


def read_database(folder: Path) -> pd.DataFrame:
    """``ptbxl_database.csv`` as published, indexed by ecg_id.

    Raises
    ------
    DatasetError
        it is missing or lacks a column.
    """
    database = _read_csv(folder / "ptbxl_database.csv", NEEDED[1:] + tuple(FILE_COLUMN.values()))
    return database.rename_axis("ecg_id")


def labels_of(database: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Records, patients, labels and parts from the published table.

    Parameters
    ----------
    database
        indexed by ecg_id, with the published columns.

    Returns
    -------
    One row a record with a label, indexed by ecg_id, and the rows that cannot be used.
    """
    twice = database.index.duplicated(keep=False)
    problems = [
        Problem(_name(ecg_id), "duplicate_id", f"ecg_id {ecg_id} has {n} rows.")
        for ecg_id, n in database.index[twice].value_counts(sort=False).items()
    ]
    database = database[~twice]
    codes = database["scp_codes"].map(_statements)
    empty = codes.map(len) == 0
    problems += [
        Problem(_name(ecg_id), "empty_label", "scp_codes is empty.")
        for ecg_id in codes.index[empty]
    ]
    database, codes = database[~empty], codes[~empty]
    age = database["age"].astype(float)
    columns = {
        "record": database.index.map(_name),
        "patient": database["patient_id"].map(lambda patient: f"{int(patient)}"),
        "labels": codes.map(list),
        "likelihoods": codes.map(lambda own: [float(likely) for likely in own.values()]),
        "fold": database["strat_fold"].astype(int),
        "part": database["strat_fold"].map(part),
        "age": age.mask(age >= 300, OLDEST),
        "sex": database["sex"].astype(float),
    }
    if "validated_by_human" in database:
        columns["validated_by_human"] = database["validated_by_human"].astype(bool)
    texts = database.reindex(columns=list(QUALITY))
    columns |= {name: convert_to_text(texts[name]) for name in QUALITY}
    return pd.DataFrame(columns, index=database.index), problems


def part(fold: int) -> str:
    """The part that the authors recommend for a fold: 10 tests, 9 validates, 1-8 train."""
    return {9: "validation", 10: "test"}.get(int(fold), "train")


def tasks(statements: pd.DataFrame) -> dict[str, Task]:
    """The six tasks, from ``scp_statements.csv`` (indexed by statement)."""
    diagnostic = statements[statements["diagnostic"] == 1]
    groups = {
        "superdiagnostic": _grouped(diagnostic["diagnostic_class"]),
        "subdiagnostic": _grouped(diagnostic["diagnostic_subclass"]),
        "diagnostic": _each(diagnostic),
        "form": _each(statements[statements["form"] == 1]),
        "rhythm": _each(statements[statements["rhythm"] == 1]),
        "all": _each(statements),
    }
    rule = "a statement of any likelihood counts; records without one are left out"
    return {
        name: Task(
            name, "multi_label", classes, description=f"{len(classes)} classes; {rule}.",
            needs_a_class=True,
        )
        for name, classes in groups.items()
    }  # fmt: skip


def download(folder: Path, sampling_rate_hz: float = 100.0) -> Path:
    """Download PTB-XL at one rate, verified and resumable.

    Raises
    ------
    DatasetError
        there is no network, or a file differs from its published checksum.
    """
    records = f"records{sampling_rate_hz:.0f}/"
    tables = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt")
    return download_files(
        "ptb-xl", VERSION, folder, lambda name: name.startswith(records) or name in tables
    )


def _grouped(of: pd.Series) -> dict[str, list[str]]:
    return {str(name): list(own.index) for name, own in of.groupby(of)}


def _each(statements: pd.DataFrame) -> dict[str, list[str]]:
    return {name: [name] for name in sorted(statements.index)}


def _statements(scp_codes: str) -> dict[str, float]:
    """Statement -> likelihood, of a text such as ``{'NORM': 100.0, 'SR': 0.0}``."""
    try:
        return json.loads(scp_codes.replace("'", '"'))
    except json.JSONDecodeError:
        raise DatasetError(
            f"scp_codes holds {scp_codes!r}, expected statements and likelihoods such as "
            f"{{'NORM': 100.0}}. Get ptbxl_database.csv anew."
        ) from None


def _name(ecg_id: int) -> str:
    return f"{ecg_id:05d}"


def _read_csv(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, index_col=0, low_memory=False)
    except FileNotFoundError:
        raise DatasetError(
            f"{path} is missing. Give the folder that holds ptbxl_database.csv and "
            f"scp_statements.csv as the source, or leave the source out to download PTB-XL."
        ) from None
    if missing := set(needed) - set(table.columns):
        raise DatasetError(f"{path} lacks the columns {sorted(missing)}; it has {list(table)}.")
    return table
