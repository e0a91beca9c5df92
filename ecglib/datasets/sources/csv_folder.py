"""Any folder of CSV files, one for each record, with a label table."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ecglib.datasets.formats import FileOptions, LeadReader, open_record
from ecglib.datasets.labels import assign_parts, infer_task
from ecglib.datasets.leads import MODIFIED_LIMB, STANDARD_12, match_leads, sort_leads
from ecglib.datasets.options import (
    AtLeastOne,
    CheckedOptions,
    RateHz,
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

ENDING = ".csv"
N_INSPECTED = 50  # files that are read to find the leads and the length of a window
KNOWN_LEADS = frozenset((*STANDARD_12, *MODIFIED_LIMB, "ECG"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvFolderOptions(CheckedOptions):
    """Settings of `open_csv_folder`, given on the command line as ``--set NAME=VALUE``.

    Parameters
    ----------
    labels : str or Path
        Label table (CSV or Parquet; a path, also relative to the folder) with the columns record
        (name of the file, or its path from the folder), labels and, where known, patient, fold or
        part, age, sex, ... (see `labels.check_table`).
    sampling_rate_hz : float
        Sampling rate of the files in Hz.
    unit : str
        Unit of the samples: mV, uV, V or nV.
    name : str, default ""
        Name of the dataset; empty for the name of the folder.
    leads : sequence of str, default ()
        Names of the leads, in order; empty for the most frequent ones of the first files. Columns
        such as a time are left out.
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
    >>> CsvFolderOptions(labels="labels.csv", sampling_rate_hz=250.0, unit="mV").min_records
    10
    """

    labels: str | Path
    sampling_rate_hz: RateHz
    unit: str
    name: str = ""
    leads: Sequence[str] = ()
    lead_columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    window_s: WindowOrZeroS = 0.0
    kind: TaskKind = "multi_label"
    min_records: AtLeastOne = 10
    where: str = ""


class CsvFolderSource(TableSource):
    """Records in CSV files, each with its row of a table.

    Parameters
    ----------
    folder : Path
        Folder that the paths of the table start from.
    table : RecordTable
        The records; their paths end in ``.csv``.
    signal : SignalSpec
        Sampling rate, length and leads of the windows.
    tasks : dict of str to Task
        What is predicted.
    info : SourceInfo
        Name, description, caveats and options.
    file_options : FileOptions
        Sampling rate and unit of the files.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"record": ["r1"], "path": ["r1.csv"], "patient": ["p1"]})
    >>> source = CsvFolderSource(
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


def open_csv_folder(folder: str | Path, options: CsvFolderOptions) -> CsvFolderSource:
    """Open a folder of CSV files as a source.

    Parameters
    ----------
    folder : str or Path
        Searched for ``.csv`` files with all its subfolders. Each is one record: the names of the
        leads in the first line, one column for each lead, separated by commas, semicolons or tabs.
    options : CsvFolderOptions
        Labels, sampling rate, unit and task.

    Returns
    -------
    CsvFolderSource
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
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in names:
    ...         _ = Path(folder, f"{name}.csv").write_text("time,II\\n0,0.1\\n0.004,0.2\\n")
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     options = CsvFolderOptions(
    ...         labels="labels.csv", sampling_rate_hz=250.0, unit="mV", name="mine"
    ...     )
    ...     source = open_csv_folder(folder, options)
    >>> source.signal.leads, source.signal.n_samples, source.count_records()
    (('II',), 2, 12)
    """
    find_mv_per_unit(options.unit)  # refuses another unit before any file is read
    folder = Path(folder)
    label_file = find_label_file(folder, options.labels)
    files = _find_records(folder, label_file)
    joined = join_labels(
        read_label_table(label_file), files, options.where, f"CSV files below {folder}"
    )
    rows = joined.rows.assign(path=joined.rows["path"].map(files))
    file_options = FileOptions(
        sampling_rate_hz=float(options.sampling_rate_hz),
        unit=options.unit,
        lead_columns=options.lead_columns,
    )
    signal = _infer_signal_spec([folder / path for path in rows["path"]], file_options, options)
    task = infer_task(rows, "labels", options.kind, options.min_records)
    rows, tabular, columns = find_other_columns(assign_parts(rows, task))
    folder_name = folder.resolve().name
    return CsvFolderSource(
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
            description=f"CSV files of the folder {folder_name}.",
            caveats=joined.caveats,
            options=list_options(options),
        ),
        file_options,
    )


def _find_records(folder: Path, label_file: Path) -> dict[str, str]:
    """Find the files of the records by their path without ending; the label table is none."""
    found = [
        path
        for path in find_files(folder, ENDING)
        if not (label_file.exists() and os.path.samefile(folder / path, label_file))
    ]
    if not found:
        raise DatasetError(
            f"There is no {ENDING} file of a record below {folder}. Give the folder of the records."
        )
    return {path[: -len(ENDING)]: path for path in found}


def _infer_signal_spec(
    paths: Sequence[Path], file_options: FileOptions, options: CsvFolderOptions
) -> SignalSpec:
    """Take leads and length from the options, or else from most of the first files."""
    leads, rate_hz = tuple(options.leads), float(options.sampling_rate_hz)
    n_samples = round(options.window_s * rate_hz)
    if not leads or not n_samples:
        found = list(_read_shapes(paths[:N_INSPECTED], file_options, leads))
        if not found:
            raise DatasetError(_describe_columns(paths[0], file_options, leads))
        leads = leads or Counter(names for names, _ in found).most_common(1)[0][0]
        n_samples = n_samples or Counter(n for _, n in found).most_common(1)[0][0]
    return SignalSpec(rate_hz, n_samples, leads)


def _read_shapes(
    paths: Sequence[Path], file_options: FileOptions, leads: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the leads and the number of samples of each file that has wanted or known leads."""
    for path in paths:
        try:
            record = open_record(path, file_options)
            names = leads or tuple(n for n in sort_leads(record.leads) if n in KNOWN_LEADS)
            columns = match_leads(names, record.leads)
            if columns:
                yield names, len(record.to_mv(columns[:1]))
        except RecordError:
            continue  # a problem of that record, once it is read


def _describe_columns(path: Path, file_options: FileOptions, leads: tuple[str, ...]) -> str:
    """Say why the leads cannot be found, with one file as the example."""
    try:
        columns = open_record(path, file_options).leads
    except RecordError as error:
        return f"None of the first {N_INSPECTED} CSV files can be read, for example: {error}"
    wanted = f"the leads {list(leads)}" if leads else "a known lead"
    return (
        f"None of the first {N_INSPECTED} CSV files has {wanted}; {path} has the columns "
        f"{list(columns)[:30]}. Name those that are leads (leads)."
    )
