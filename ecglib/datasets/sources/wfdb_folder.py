"""Any folder of WFDB records, with a label table or PhysioNet Challenge headers (``#Dx:``)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets import leads
from ecglib.datasets.labels import (
    assign_parts,
    check_table,
    fill_patients,
    filter_table,
    find_other_columns,
    infer_task,
    read_label_table,
)
from ecglib.datasets.schema import Problem, SignalSpec, Task
from ecglib.datasets.sources import snomed
from ecglib.datasets.sources.table import TableSource, find_headers
from ecglib.datasets.wfdb.headers import Header, read_header
from ecglib.errors import DatasetError, RecordError

SEXES = {"male": 0.0, "m": 0.0, "female": 1.0, "f": 1.0}


def open_wfdb_folder(
    folder: str | Path,
    labels: str | Path = "",
    name: str = "",
    leads: Sequence[str] = (),
    sampling_rate_hz: float = 0.0,
    window_s: float = 0.0,
    kind: str = "multi_label",
    min_records: int = 10,
    where: str = "",
) -> TableSource:
    """A dataset from a folder of WFDB records.

    Parameters
    ----------
    folder
        searched for ``.hea`` files with everything below it.
    labels
        label table (CSV or Parquet; a path, also one from `folder`): record (name of the header, or
        its path from `folder`), labels, and as far as known patient, fold or part, age, sex, ...
        (see `labels.check_table`). Empty: each header's lines ``#Dx:`` (SNOMED CT codes),
        ``#Age:`` and ``#Sex:``.
    name
        name of the dataset; empty for that of the folder.
    leads, sampling_rate_hz, window_s
        the leads in order, rate in Hz and length in s of a window; empty or 0 for what most headers
        say.
    kind
        ``"multi_label"`` or ``"multi_class"``.
    min_records
        a label that fewer records carry is no class.
    where
        only the records for which this holds, see `labels.filter_table`.

    Raises
    ------
    DatasetError
        there is no record, or the table is not one.
    """
    folder = Path(folder)
    headers, problems = read_headers(folder)
    if labels:
        table = read_label_table(_existing(folder, labels))
    else:
        table = table_of_headers(headers)
    table, own = check_table(table)
    table = table.assign(path=_paths(table["record"], headers))
    problems += own + unlabelled(table, headers, own)
    table, excluded = filter_table(table, where)
    table, caveats = fill_patients(table)
    here = table["path"].notna()
    tasks = _tasks(table[here], kind, min_records, from_headers=not labels)
    table = _with_parts(table, here, next(iter(tasks.values())))
    table, tabular, columns = find_other_columns(table)
    return TableSource(
        name or folder.resolve().name.replace("-", "_"),
        folder,
        table,
        usual_contract(headers, table["path"].dropna(), leads, sampling_rate_hz, window_s),
        tasks,
        description=f"WFDB records of the folder {folder.resolve().name}.",
        tabular=tabular,
        columns=columns,
        caveats=caveats,
        problems=problems,
        excluded=excluded,
    )


def read_headers(folder: Path) -> tuple[dict[str, Header], list[Problem]]:
    """The headers below a folder, path -> header, segments of other records left out.

    Raises
    ------
    DatasetError
        there is none.
    """
    headers, problems, segments = {}, [], set()
    for path in find_headers(folder):
        try:
            headers[path] = header = read_header(folder / path)
        except RecordError as error:
            problems.append(Problem(path, error.kind, str(error)))
            continue
        parent = Path(path).parent
        segments |= {(parent / segment.name).as_posix() for segment in header.segments}
    if not headers and not problems:
        raise DatasetError(f"There is no .hea file below {folder}. Give the folder of the records.")
    return {path: own for path, own in headers.items() if path not in segments}, problems


def table_of_headers(headers: dict[str, Header]) -> pd.DataFrame:
    """Labels, age and sex from the comments of PhysioNet Challenge headers.

    Raises
    ------
    DatasetError
        no header has a line ``#Dx:``.
    """
    rows = []
    for path, header in headers.items():
        own = dict(_comment(line) for line in header.comments if ":" in line)
        codes = [code.strip() for code in own.get("dx", "").split(",") if code.strip()]
        rows.append({"record": path, "labels": codes, "age": _number(own.get("age", "")),
                     "sex": SEXES.get(own.get("sex", "").lower(), np.nan)})  # fmt: skip
    if not any(row["labels"] for row in rows):
        raise DatasetError(
            "No header has a line '#Dx: <SNOMED CT codes>'. Give a label table: "
            "--set labels=labels.csv, with the columns record, labels and, if known, patient."
        )
    return pd.DataFrame(rows)


def unlabelled(
    table: pd.DataFrame, headers: dict[str, Header], known: list[Problem]
) -> list[Problem]:
    """The records that no row of the table names."""
    named = {*table["path"].dropna()}
    other = {problem.record for problem in known}
    return [
        Problem(path, "no_row", "No row of the label table names this record.")
        for path in headers
        if path not in named and path not in other and Path(path).name not in other
    ]


def usual_contract(
    headers: dict[str, Header],
    paths: Iterable[str],
    names: Sequence[str],
    sampling_rate_hz: float,
    window_s: float,
) -> SignalSpec:
    """Leads, rate and length as given, else as most headers say.

    Raises
    ------
    DatasetError
        there is no header to go by.
    """
    own = [headers[path] for path in paths]
    if not own:
        raise DatasetError(
            "No row of the label table names a record of the folder. The column record must hold "
            "the names of the headers, or their paths from the folder."
        )
    # The header of a record of several segments names no leads; those of its segments do.
    names = tuple(names) or _most(
        leads.sort_leads(h.leads) for h in headers.values() if h.leads
    )
    rate = float(sampling_rate_hz or _most(h.sampling_rate_hz for h in own))
    lengths = (h.n_samples / h.sampling_rate_hz for h in own if h.n_samples)
    return SignalSpec(rate, round((window_s or _most(lengths)) * rate), names)


def _tasks(table: pd.DataFrame, kind: str, min_records: int, from_headers: bool) -> dict[str, Task]:
    own = infer_task(table, "labels", kind, min_records)
    codes = {label for labels in table["labels"] for label in labels}
    scored = snomed.scored_classes(codes) if from_headers else {}
    if not scored:
        return {"labels": own}
    told = f"{len(scored)} classes that the PhysioNet Challenge 2021 scored."
    return {"challenge2021": Task("challenge2021", kind, scored, description=told), "labels": own}


def _with_parts(table: pd.DataFrame, here: pd.Series, task: Task) -> pd.DataFrame:
    """Parts for the records that are there: folds are balanced over those only."""
    own = assign_parts(table[here], task)
    new = [name for name in ("fold", task.part) if name in own and name not in table]
    table = table.join(own[new])
    return table.assign(
        **{name: table[name].fillna(0 if name == "fold" else "") for name in new}
    ).astype({"fold": int} if "fold" in table else {})


def _existing(folder: Path, labels: str | Path) -> Path:
    return Path(labels) if Path(labels).exists() else folder / labels


def _paths(records: pd.Series, headers: dict[str, Header]) -> pd.Series:
    """The header that each record of a table means: by path, or by a name that stands once."""
    by_name = Counter(Path(path).name for path in headers)
    paths = {Path(path).name: path for path in headers if by_name[Path(path).name] == 1}
    return records.map(paths | {path: path for path in headers})


def _comment(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(" #").lower(), value.strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _most(values: Iterator):
    return Counter(values).most_common(1)[0][0]
