"""Whole WFDB records with one row of a label table each: the base of PTB-XL, CinC 2017, folders."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecglib.datasets.formats import FileOptions, LeadReader, convert_record, open_record
from ecglib.datasets.problems import FLAGGED, make_problem
from ecglib.datasets.schema import Problem, Record, SignalSpec, Task
from ecglib.datasets.units import crop_middle
from ecglib.errors import RecordError

VERSION = 2  # of the content; raise it when the same files give other windows

ROWS_PER_BLOCK = 1000  # rows of the table that are turned into Python values together


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What a dataset is called and what is shown with it.

    Parameters
    ----------
    name : str
        Name of the dataset, in letters, digits and underscores.
    description : str
        One line.
    citation : str, default ""
        Publications and license.
    caveats : tuple of str, default ()
        Shown with every number of the dataset.
    options : mapping of str to object, default {}
        Every option that the source was opened with: part of the store's request.

    Examples
    --------
    >>> SourceInfo(name="mine", description="Records of our clinic.").caveats
    ()
    """

    name: str
    description: str
    citation: str = ""
    caveats: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordTable:
    """The records of a dataset, one row each.

    Parameters
    ----------
    rows : DataFrame
        Columns record, path (without ``.hea``; missing where there is no such file), patient,
        labels (list of str), the split columns of the tasks, `tabular` and `columns`.
    tabular : tuple of str, default ()
        Columns of numbers that a model may use.
    columns : mapping of str to str, default {}
        Other columns, kept for filtering, with their Arrow type.
    problems : sequence of Problem, default ()
        Rows that cannot be used, found while the table was read.
    excluded : mapping of str to int, default {}
        What is not part of the dataset by its definition, and how many.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"record": ["r1"], "path": ["a/r1"], "patient": ["p1"], "age": [50.0]})
    >>> RecordTable(rows=rows, tabular=("age",)).tabular
    ('age',)
    """

    rows: pd.DataFrame
    tabular: tuple[str, ...] = ()
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problems: Sequence[Problem] = ()
    excluded: Mapping[str, int] = dataclasses.field(default_factory=dict)


class TableSource:
    """Records of a folder, each with its row of a table; every window is a whole record.

    Records are converted to the signal spec: leads are matched by name (`leads.match_leads`), units
    and gains are taken from the header, and the rate is changed by a polyphase filter. Of a record
    that is longer than the window the middle is taken. A shorter one is padded with 0 mV at its
    end, and the column n_measured holds its number of measured samples.

    Parameters
    ----------
    folder : Path
        Folder that the paths of the table start from.
    table : RecordTable
        The records.
    signal : SignalSpec
        Sampling rate, length and leads of the windows.
    tasks : dict of str to Task
        What is predicted.
    info : SourceInfo
        Name, description, citation, caveats and options.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathlib import Path
    >>> from ecglib.datasets.schema import SignalSpec
    >>> rows = pd.DataFrame(
    ...     {"record": ["r1"], "path": [None], "patient": ["p1"], "labels": [["AF"]]}
    ... )
    >>> source = TableSource(
    ...     Path("records"),
    ...     RecordTable(rows=rows),
    ...     SignalSpec(250.0, 2500, ("I", "II")),
    ...     {},
    ...     SourceInfo(name="mine", description="Records of our clinic."),
    ... )
    >>> [problem.kind for problem in source.read_records()]
    ['no_record']
    """

    synthetic = False
    version = VERSION

    def __init__(
        self,
        folder: Path,
        table: RecordTable,
        signal: SignalSpec,
        tasks: dict[str, Task],
        info: SourceInfo,
        file_options: FileOptions | None = None,
    ):
        self.folder = Path(folder)
        self.file_options = file_options or FileOptions()
        self.table = table.rows
        self.tabular = table.tabular
        self.columns = table.columns
        self._problems = tuple(table.problems)
        self._excluded = dict(table.excluded)
        self.signal = signal
        self.tasks = tasks
        self.name = info.name
        self.description = info.description
        self.citation = info.citation
        self.caveats = info.caveats
        self.options = info.options

    def hash_content(self) -> str:
        """Hash the table, and name, size and time of change of the files beside the records."""
        content = hashlib.blake2b(digest_size=16)
        for start in range(0, len(self.table), ROWS_PER_BLOCK):
            rows = self.table.iloc[start : start + ROWS_PER_BLOCK]
            content.update(rows.to_json(orient="values", double_precision=15).encode())
        for folder in sorted({os.path.dirname(path) for path in self.table["path"].dropna()}):
            content.update(_describe_files(self.folder / folder))
        return content.hexdigest()

    def count_records(self) -> int:
        """Count the rows of the table, including those that cannot be used."""
        unusable = [problem for problem in self._problems if problem.kind not in FLAGGED]
        return len(self.table) + len(unusable)

    def read_records(self) -> Iterator[Record | Problem]:
        """Yield the records in the order of the table."""
        yield from self._problems
        for row in self._iterate_rows():
            name, path = row.pop("record"), row.pop("path")
            try:
                items = self._read_record(name, path, row)
            except Exception as error:
                problem = make_problem(name, error)
                header = f"{self.folder}/{path}.hea"
                if problem.kind == "missing_file" and not os.path.exists(header):
                    problem = dataclasses.replace(problem, kind="no_record")
                yield problem
            else:
                yield from items

    def count_excluded(self) -> dict[str, int]:
        """Count what is excluded by definition."""
        return dict(self._excluded)

    def _iterate_rows(self) -> Iterator[dict]:
        """Yield each row of the table as a dict."""
        names = list(self.table)
        for start in range(0, len(self.table), ROWS_PER_BLOCK):
            block = self.table.iloc[start : start + ROWS_PER_BLOCK]
            for values in zip(*[block[name].tolist() for name in names], strict=True):
                yield dict(zip(names, values, strict=True))

    def _open_record(self, path: str) -> LeadReader:
        """Open the file of a record."""
        return open_record(Path(f"{self.folder}/{path}.hea"), self.file_options)

    def _read_record(self, name: str, path: object, row: dict) -> list[Record | Problem]:
        """Read a record; its problems stand before it."""
        if not isinstance(path, str):
            raise RecordError("no_record", f"There is no header of that name below {self.folder}.")
        record = self._open_record(path)
        converted = convert_record(name, record, self.signal)
        n_samples = self.signal.n_samples
        steps = crop_middle(converted.steps, n_samples)
        window = row | {"start": 0, "length": n_samples, "n_measured": len(steps)}
        return [*converted.problems, Record(name, steps, [window])]


def find_files(folder: Path, ending: str | tuple[str, ...]) -> list[str]:
    """Find the files with an ending, or one of several, below a folder.

    Parameters
    ----------
    folder : Path
        Searched with all its subfolders. Linked folders are followed, each folder once.
    ending : str or tuple of str
        Such as ".csv", in any case.

    Returns
    -------
    list of str
        Paths from the folder, sorted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.csv", "A.CSV", "a.txt"):
    ...         Path(folder, name).touch()
    ...     find_files(Path(folder), ".csv")
    ['A.CSV', 'b.csv']
    """
    found: list[str] = []
    visited: set[str] = set()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(parent))
        subfolders[:] = [
            name
            for name in sorted(subfolders)
            if os.path.realpath(os.path.join(parent, name)) not in visited
        ]
        prefix = Path(os.path.relpath(parent, folder)).as_posix()
        names = (name for name in files if name.lower().endswith(ending))
        found += [name if prefix == "." else f"{prefix}/{name}" for name in names]
    return sorted(found)


def find_headers(folder: Path) -> list[str]:
    """Find the ``.hea`` files below a folder.

    Parameters
    ----------
    folder : Path
        Searched with all its subfolders.

    Returns
    -------
    list of str
        Paths from the folder, without ``.hea``, sorted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.hea", "a.hea", "a.dat"):
    ...         Path(folder, name).touch()
    ...     find_headers(Path(folder))
    ['a', 'b']
    """
    return [path[:-4] for path in find_files(folder, ".hea")]


def _describe_files(folder: Path) -> bytes:
    """Name, size and time of change of the files in a folder: samples may be in any of them."""
    if not folder.is_dir():
        return b""
    with os.scandir(folder) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return "".join(f"{name},{s.st_size},{s.st_mtime_ns};" for name, s in sorted(files)).encode()
