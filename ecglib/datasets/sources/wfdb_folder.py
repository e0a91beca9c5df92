"""Any folder of WFDB records, with a label table or PhysioNet Challenge headers (``#Dx:``)."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from ecglib.datasets.formats import FileOptions, relabel_leads
from ecglib.datasets.labels import assign_parts, infer_task
from ecglib.datasets.leads import list_leads, match_leads, sort_leads
from ecglib.datasets.options import (
    AtLeastOne,
    CheckedOptions,
    RateOrZeroHz,
    TaskKind,
    WindowOrZeroS,
)
from ecglib.datasets.problems import make_problem
from ecglib.datasets.request import list_options
from ecglib.datasets.schema import Problem, SignalSpec, Task
from ecglib.datasets.sources.checksums import Checksums
from ecglib.datasets.sources.label_rows import find_label_file, join_labels
from ecglib.datasets.sources.snomed import find_scored_classes
from ecglib.datasets.sources.table import RecordTable, SourceInfo, TableSource, find_headers
from ecglib.datasets.tables import find_other_columns, parse_age, parse_sex, read_label_table
from ecglib.datasets.wfdb.headers import Header, read_header
from ecglib.datasets.wfdb.records import find_lead_header
from ecglib.errors import DatasetError, RecordError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WfdbFolderOptions(CheckedOptions):
    """Settings of `open_wfdb_folder`, given on the command line as ``--set NAME=VALUE``.

    Parameters
    ----------
    labels : str or Path, default ""
        Label table (CSV or Parquet; a path, also relative to the folder) with the columns record
        (name of the header, or its path from the folder), labels and, where known, patient, fold or
        part, age, sex, ... (see `labels.check_table`). Empty: the lines ``#Dx:`` (SNOMED CT codes),
        ``#Age:`` and ``#Sex:`` of the headers are used.
    name : str, default ""
        Name of the dataset; empty for the name of the folder.
    leads : sequence of str, default ()
        Names of the leads, in order; empty for the most frequent leads of the headers.
    lead_columns : mapping of str to int, default {}
        Signal of a lead in every record, counted from 1, where its name does not tell it apart
        from another.
    sampling_rate_hz : float, default 0
        Sampling rate in Hz; 0 for the most frequent one of the headers.
    window_s : float, default 0
        Length of a window in s; 0 for the most frequent length of the headers.
    kind : str, default "multi_label"
        ``"multi_label"`` or ``"multi_class"``.
    min_records : int, default 10
        Labels that fewer records carry are not classes.
    where : str, default ""
        Condition on the rows of the table, see `tables.filter_table`; empty for all rows.

    Examples
    --------
    >>> WfdbFolderOptions(labels="labels.csv", window_s=10.0).min_records
    10
    """

    labels: str | Path = ""
    name: str = ""
    leads: Sequence[str] = ()
    lead_columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    sampling_rate_hz: RateOrZeroHz = 0.0
    window_s: WindowOrZeroS = 0.0
    kind: TaskKind = "multi_label"
    min_records: AtLeastOne = 10
    where: str = ""


def open_wfdb_folder(folder: str | Path, options: WfdbFolderOptions | None = None) -> TableSource:
    """Open a folder of WFDB records as a source.

    Parameters
    ----------
    folder : str or Path
        Searched for ``.hea`` files with all its subfolders.
    options : WfdbFolderOptions, optional
        Labels, signal spec and task. By default everything is taken from the headers.

    Returns
    -------
    TableSource
        The source.

    Raises
    ------
    DatasetError
        If there is no record, or the label table cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> header = "{0} 1 250 2500\\n{0}.dat 16 200/mV 16 0 0 0 0 II\\n#Dx: 426783006\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(12):
    ...         _ = Path(folder, f"r{number}.hea").write_text(header.format(f"r{number}"))
    ...     source = open_wfdb_folder(folder, WfdbFolderOptions(name="mine"))
    >>> list(source.tasks), source.signal.leads
    (['challenge2021', 'labels'], ('II',))
    """
    folder, options = Path(folder), options or WfdbFolderOptions()
    headers, problems = read_headers(folder)
    if options.labels:
        table = read_label_table(find_label_file(folder, options.labels))
    else:
        table = parse_header_labels(headers)
    joined = join_labels(table, headers, options.where, f"headers below {folder}")
    tasks = _make_tasks(joined.rows, options)
    table = assign_parts(joined.rows, next(iter(tasks.values())))
    table, tabular, columns = find_other_columns(table)
    folder_name = folder.resolve().name
    return TableSource(
        folder,
        RecordTable(
            rows=table,
            tabular=tabular,
            columns=columns,
            problems=(*problems, *joined.problems),
            excluded=joined.excluded,
        ),
        infer_signal_spec(headers, table["path"], options),
        tasks,
        SourceInfo(
            name=options.name or folder_name.replace("-", "_"),
            description=f"WFDB records of the folder {folder_name}.",
            caveats=joined.caveats,
            options=list_options(options),
        ),
        FileOptions(lead_columns=options.lead_columns),
    )


def read_headers(folder: Path) -> tuple[dict[str, Header], list[Problem]]:
    """Read the headers below a folder.

    Parameters
    ----------
    folder : Path
        Searched with all its subfolders.

    Returns
    -------
    headers : dict of str to Header
        The header of each path, without those of segments of other records.
    problems : list of Problem
        Headers that cannot be read.

    Raises
    ------
    DatasetError
        If there is no header.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 2500\\nr1.dat 16\\n")
    ...     headers, problems = read_headers(Path(folder))
    >>> headers["r1"].sampling_rate_hz, problems
    (250.0, [])
    """
    headers: dict[str, Header] = {}
    problems: list[Problem] = []
    segments: set[str] = set()
    checksums = Checksums(folder)
    for path in find_headers(folder):
        try:
            checksums.check_file(f"{path}.hea")
            headers[path] = header = read_header(folder / path)
        except Exception as error:
            problems.append(make_problem(path, error))
            continue
        parent = Path(path).parent
        segments |= {(parent / segment.name).as_posix() for segment in header.segments}
    if not headers and not problems:
        raise DatasetError(f"There is no .hea file below {folder}. Give the folder of the records.")
    return {path: header for path, header in headers.items() if path not in segments}, problems


def parse_header_labels(headers: dict[str, Header]) -> pd.DataFrame:
    """Read labels, age and sex from the comments of PhysioNet Challenge headers.

    Parameters
    ----------
    headers : dict of str to Header
        The header of each path.

    Returns
    -------
    DataFrame
        Columns record (the path), labels (list of SNOMED CT codes), age in years and sex (0 male,
        1 female); NaN where unknown.

    Raises
    ------
    DatasetError
        If no header has a line ``#Dx:``.

    Examples
    --------
    >>> import tempfile
    >>> text = "r1 1 250 2500\\nr1.dat 16\\n#Age: 50\\n#Sex: Female\\n#Dx: 426783006,164889003\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text(text)
    ...     headers, _ = read_headers(Path(folder))
    >>> table = parse_header_labels(headers)
    >>> table["labels"][0], float(table["age"][0])
    (['426783006', '164889003'], 50.0)
    """
    rows = []
    for path, header in headers.items():
        comments = dict(_parse_comment(line) for line in header.comments if ":" in line)
        codes = [code.strip() for code in comments.get("dx", "").split(",") if code.strip()]
        rows.append(
            {
                "record": path,
                "labels": codes,
                "age": parse_age(comments.get("age")),
                "sex": parse_sex(comments.get("sex")),
            }
        )
    if not any(row["labels"] for row in rows):
        raise DatasetError(
            "No header has a line '#Dx: <SNOMED CT codes>'. Give a label table: "
            "--set labels=labels.csv, with the columns record, labels and, if known, patient."
        )
    return pd.DataFrame(rows)


def infer_signal_spec(
    headers: dict[str, Header], paths: Iterable[str], options: WfdbFolderOptions
) -> SignalSpec:
    """Take leads, rate and length from the options, or else from most headers.

    Parameters
    ----------
    headers : dict of str to Header
        The header of each path.
    paths : iterable of str
        The records that the label table names, at least one.
    options : WfdbFolderOptions
        Leads, sampling rate and length of a window, where given.

    Returns
    -------
    SignalSpec
        What the windows are.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     header = "r1 1 250 2500\\nr1.dat 16 200 16 0 0 0 0 MLII\\n"
    ...     _ = Path(folder, "r1.hea").write_text(header)
    ...     headers, _ = read_headers(Path(folder))
    >>> spec = infer_signal_spec(headers, ["r1"], WfdbFolderOptions(window_s=4.0))
    >>> spec.leads, spec.n_samples
    (('MLII',), 1000)
    """
    labelled = [headers[path] for path in paths]
    signals = list(_list_signals(labelled, options.lead_columns))
    leads = tuple(options.leads) or _find_most_common(
        "the leads (leads)", (sort_leads(_drop_doubles(names)) for names, _ in signals)
    )
    rate_hz = options.sampling_rate_hz or _find_most_common(
        "the sampling rate (sampling_rate_hz)", _find_rates(signals, leads)
    )
    lengths_s = (
        header.n_samples / header.sampling_rate_hz for header in labelled if header.n_samples
    )
    window_s = options.window_s or _find_most_common("the length (window_s)", lengths_s)
    return SignalSpec(float(rate_hz), round(window_s * rate_hz), leads)


class _Signals(NamedTuple):
    """Names and sampling rates of the signals of a record."""

    names: tuple[str, ...]
    rates_hz: tuple[float, ...]


def _list_signals(headers: Iterable[Header], lead_columns: Mapping[str, int]) -> Iterator[_Signals]:
    """List the signals of each record; one of several segments has them in another header."""
    for header in headers:
        with contextlib.suppress(RecordError):  # a problem of the record when it is read
            found = find_lead_header(header)
            if found.leads:
                names = relabel_leads(found.leads, lead_columns)
                yield _Signals(names, found.sampling_rates_hz)


def _drop_doubles(names: Sequence[str]) -> list[str]:
    return [name for name in names if names.count(name) == 1]


def _find_rates(signals: Iterable[_Signals], leads: Sequence[str]) -> list[float]:
    """Find the highest sampling rate of the leads in each record that has them."""
    rates_hz, errors = [], []
    for names, found_hz in signals:
        try:
            rates_hz.append(max(found_hz[column] for column in match_leads(leads, names)))
        except RecordError as error:
            errors.append(error)
    if errors and not rates_hz:
        raise DatasetError(f"No record has the leads {list_leads(leads)}, for example: {errors[0]}")
    return rates_hz


def _make_tasks(table: pd.DataFrame, options: WfdbFolderOptions) -> dict[str, Task]:
    """The task of all frequent labels, after that of the Challenge's classes if there are any."""
    labels_task = infer_task(table, "labels", options.kind, options.min_records)
    codes = {label for labels in table["labels"] for label in labels}
    scored = {} if options.labels else find_scored_classes(codes)
    if not scored:
        return {"labels": labels_task}
    description = f"{len(scored)} classes that the PhysioNet Challenge 2021 scored."
    challenge_task = Task("challenge2021", options.kind, scored, description=description)
    return {"challenge2021": challenge_task, "labels": labels_task}


def _parse_comment(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(" #").lower(), value.strip()


def _find_most_common(what: str, values: Iterable[T]) -> T:
    counts = Counter(values).most_common(1)
    if not counts:
        raise DatasetError(f"No header says {what}. Give it: --set NAME=VALUE, or in the options.")
    return counts[0][0]
