"""Any folder of files that hold one record each, with a label table: the base of CSV and EDF."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ecglib.datasets.formats import FileOptions, LeadReader, open_record
from ecglib.datasets.labels import assign_parts, infer_task
from ecglib.datasets.leads import MODIFIED_LIMB, STANDARD_12, match_leads, sort_leads
from ecglib.datasets.options import (
    AtLeastOne,
    CheckedOptions,
    RateOrZeroHz,
    TaskKind,
    WindowOrZeroS,
)
from ecglib.datasets.request import list_options
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.sources.label_rows import find_label_file, join_labels
from ecglib.datasets.sources.table import RecordTable, SourceInfo, TableSource, find_files
from ecglib.datasets.tables import find_other_columns, read_label_table
from ecglib.datasets.units import find_mv_per_unit
from ecglib.errors import DatasetError, RecordError

T = TypeVar("T")

N_INSPECTED = 50  # files that are read to find leads, sampling rate and the length of a window
KNOWN_LEADS = frozenset((*STANDARD_12, *MODIFIED_LIMB, "ECG"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileFolderOptions(CheckedOptions):
    """What can be asked of a folder of files, whatever their format.

    Parameters
    ----------
    labels : str or Path
        Label table (CSV or Parquet; a path, also relative to the folder) with the columns record
        (name of the file, or its path from the folder), labels and, where known, patient, fold or
        part, age, sex, ... (see `labels.check_table`).
    sampling_rate_hz : float, default 0
        Sampling rate in Hz; 0 for the most frequent one of the leads in the first files.
    unit : str, default ""
        Unit of samples whose file names no voltage: mV, uV, V or nV.
    name : str, default ""
        Name of the dataset; empty for the name of the folder.
    leads : sequence of str, default ()
        Names of the leads, in order; empty for the most frequent ones of the first files. Columns
        and signals that are no known lead are not read.
    lead_columns : mapping of str to int, default {}
        Column of a lead in every file, counted from 1, where its name does not tell it apart from
        another.
    window_s : float, default 0
        Length of a window in s; 0 for the most frequent length of the first files.
    kind : str, default "multi_label"
        ``"multi_label"`` or ``"multi_class"``.
    min_records : int, default 10
        Labels that fewer records carry are not classes.
    where : str, default ""
        Condition on the rows of the table, see `tables.filter_table`; empty for all rows.

    Examples
    --------
    >>> FileFolderOptions(labels="labels.csv").min_records
    10
    """

    labels: str | Path
    sampling_rate_hz: RateOrZeroHz = 0.0
    unit: str = ""
    name: str = ""
    leads: Sequence[str] = ()
    lead_columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    window_s: WindowOrZeroS = 0.0
    kind: TaskKind = "multi_label"
    min_records: AtLeastOne = 10
    where: str = ""


class FileFolderSource(TableSource):
    """Records in files of one format, each with its row of a table.

    Parameters
    ----------
    folder : Path
        Folder that the paths of the table start from.
    table : RecordTable
        The records; their paths end in one of `formats.SUFFIXES`.
    signal : SignalSpec
        Sampling rate, length and leads of the windows.
    tasks : dict of str to Task
        What is predicted.
    info : SourceInfo
        Name, description, caveats and options.
    file_options : FileOptions
        What the files do not say.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"record": ["r1"], "path": ["r1.csv"], "patient": ["p1"]})
    >>> source = FileFolderSource(
    ...     Path("records"),
    ...     RecordTable(rows=rows),
    ...     SignalSpec(250.0, 2500, ("I", "II")),
    ...     {},
    ...     SourceInfo(name="mine", description="Records of our clinic."),
    ...     FileOptions(sampling_rate_hz=250.0, unit="mV"),
    ... )
    >>> source.count_records()
    1
    """

    def _open_record(self, path: str) -> LeadReader:
        return open_record(self.folder / path, self.file_options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileKind:
    """The files that are the records of a folder.

    Parameters
    ----------
    name : str
        What they are called in messages, such as "CSV".
    endings : tuple of str
        How their names end, in any case.
    given : FileOptions
        What the files do not say.

    Examples
    --------
    >>> FileKind(name="EDF", endings=(".edf", ".bdf"), given=FileOptions(unit="mV")).given.unit
    'mV'
    """

    name: str
    endings: tuple[str, ...]
    given: FileOptions


def open_file_folder(
    folder: str | Path, options: FileFolderOptions, kind: FileKind
) -> FileFolderSource:
    """Open a folder of files as a source.

    Parameters
    ----------
    folder : str or Path
        Searched for files with all its subfolders. Each is one record.
    options : FileFolderOptions
        Labels, leads, window and task; all of its fields become part of the store's request.
    kind : FileKind
        Which files, and how they are read.

    Returns
    -------
    FileFolderSource
        The source.

    Raises
    ------
    DatasetError
        If there is no record, no file has known leads, the unit is not a voltage, or the label
        table cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> names = [f"r{number:02d}" for number in range(12)]
    >>> table = pd.DataFrame({"record": names, "patient": names, "labels": "AF"})
    >>> given = FileOptions(sampling_rate_hz=250.0, unit="mV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in names:
    ...         _ = Path(folder, f"{name}.csv").write_text("time,II\\n0,0.1\\n0.004,0.2\\n")
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     options = FileFolderOptions(labels="labels.csv", sampling_rate_hz=250.0, name="mine")
    ...     kind = FileKind(name="CSV", endings=(".csv",), given=given)
    ...     source = open_file_folder(folder, options, kind)
    >>> source.signal.leads, source.signal.n_samples, source.count_records()
    (('II',), 2, 12)
    """
    if options.unit:
        find_mv_per_unit(options.unit)  # refuses another unit before any file is read
    folder = Path(folder)
    label_file = find_label_file(folder, options.labels)
    files = _find_records(folder, label_file, kind)
    joined = join_labels(
        read_label_table(label_file), files, options.where, f"{kind.name} files below {folder}"
    )
    rows = joined.rows.assign(path=joined.rows["path"].map(files))
    signal = _infer_signal_spec([folder / path for path in rows["path"]], kind, options)
    task = infer_task(rows, "labels", options.kind, options.min_records)
    rows, tabular, columns = find_other_columns(assign_parts(rows, task))
    folder_name = folder.resolve().name
    return FileFolderSource(
        folder,
        RecordTable(
            rows=rows,
            tabular=tabular,
            columns=columns,
            problems=joined.problems,
            excluded=joined.excluded,
        ),
        signal,
        {task.name: task},
        SourceInfo(
            name=options.name or folder_name.replace("-", "_"),
            description=f"{kind.name} files of the folder {folder_name}.",
            caveats=joined.caveats,
            options=list_options(options),
        ),
        kind.given,
    )


def _find_records(folder: Path, label_file: Path, kind: FileKind) -> dict[str, str]:
    """Find the files of the records by their path without ending; the label table is none."""
    found = [
        path
        for path in find_files(folder, kind.endings)
        if not (label_file.exists() and os.path.samefile(folder / path, label_file))
    ]
    if not found:
        raise DatasetError(
            f"There is no {' or '.join(kind.endings)} file of a record below {folder}. Give the "
            f"folder of the records."
        )
    records: dict[str, str] = {}
    for path in found:
        name = os.path.splitext(path)[0]
        if name in records:
            raise DatasetError(
                f"{records[name]} and {path} below {folder} differ in their ending only, expected "
                f"one file for each record. Remove or rename one of them."
            )
        records[name] = path
    return records


class _Shape(NamedTuple):
    """What a file has of the leads that are known or wanted."""

    leads: tuple[str, ...]
    rate_hz: float  # the highest
    length_s: float


def _infer_signal_spec(
    paths: Sequence[Path], kind: FileKind, options: FileFolderOptions
) -> SignalSpec:
    """Take leads, rate and length as they are given, or else from most of the first files."""
    leads, rate_hz = tuple(options.leads), float(options.sampling_rate_hz)
    length_s = options.window_s
    if not (leads and rate_hz and length_s):
        shapes = list(_read_shapes(paths[:N_INSPECTED], kind, leads))
        if not shapes:
            raise DatasetError(_describe_columns(paths[0], kind, leads))
        leads = leads or _find_most_common(shape.leads for shape in shapes)
        rate_hz = rate_hz or _find_most_common(shape.rate_hz for shape in shapes)
        length_s = length_s or _find_most_common(shape.length_s for shape in shapes)
    return SignalSpec(rate_hz, round(length_s * rate_hz), leads)


def _find_most_common(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _read_shapes(paths: Sequence[Path], kind: FileKind, leads: tuple[str, ...]) -> Iterator[_Shape]:
    """Yield what each file has that can be read and has wanted or known leads."""
    for path in paths:
        try:
            record = open_record(path, kind.given)
            names = leads or _list_known_leads(record.leads)
            columns = match_leads(names, record.leads)
            if columns:
                rates_hz = [record.sampling_rates_hz[column] for column in columns]
                n_samples = len(record.to_mv(columns[:1]))
                yield _Shape(names, max(rates_hz), n_samples / rates_hz[0])
        except RecordError:
            continue  # a problem of that record, once it is read


def _list_known_leads(names: Sequence[str]) -> tuple[str, ...]:
    """List the known leads of a file; of two with one name it is not known which is meant."""
    found = sort_leads(names)
    return tuple(name for name in found if name in KNOWN_LEADS and found.count(name) == 1)


def _describe_columns(path: Path, kind: FileKind, leads: tuple[str, ...]) -> str:
    """Say why the leads cannot be found, with one file as the example."""
    try:
        record = open_record(path, kind.given)
        if columns := match_leads(leads or _list_known_leads(record.leads), record.leads):
            record.to_mv(columns[:1])
    except RecordError as error:
        return (
            f"None of the first {N_INSPECTED} {kind.name} files can be used, for example {path}: "
            f"{error}"
        )
    return (
        f"None of the first {N_INSPECTED} {kind.name} files has a known lead; {path} has the "
        f"columns {list(record.leads)[:30]}. Name those that are leads (leads); of several with "
        f"one name, give the column (lead_columns)."
    )
