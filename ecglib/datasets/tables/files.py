"""Read the file of a label table."""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ecglib.errors import DatasetError

DELIMITERS = ",;\t"
TEXT_COLUMNS = ("record", "patient", "labels", "part", "age", "sex")
ADVICE = (
    "Give a CSV file (UTF-8) or a Parquet file with the columns record, labels and, as far as "
    "known, patient, fold or part."
)


def read_label_table(path: str | Path) -> pd.DataFrame:
    """Read a label table, with ids and labels as text.

    Parameters
    ----------
    path : str or Path
        CSV or Parquet file. The columns of a CSV file are separated by commas, semicolons or tabs,
        whichever its header has most of. Only empty cells are missing values: "NA", "None" and
        "null" are text. Columns without a name (the index that `DataFrame.to_csv` writes) are left
        out.

    Returns
    -------
    DataFrame
        The table as it is; `labels.check_table` checks it.

    Raises
    ------
    DatasetError
        If the file cannot be read, two columns have the same name, or a line has more or fewer
        fields than the header. One separator at the end of a line is no field.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "labels.csv").write_text("record,labels\\n007,AF\\n008,NA,\\n")
    ...     table = read_label_table(f"{folder}/labels.csv")
    >>> table.to_dict("list")
    {'record': ['007', '008'], 'labels': ['AF', 'NA']}
    """
    path = Path(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pd.read_parquet(path)
            _check_names([str(name) for name in table.columns], path)
            return table
        return _read_csv(path)
    except DatasetError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"The label table {path} cannot be read: {error}. {ADVICE}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    with open(path, newline="", encoding="utf-8-sig") as file:
        first_line = next((line for line in file if line.strip()), "")
    delimiter = max(DELIMITERS, key=first_line.count)
    names, n_fields, n_header_lines = _check_fields(path, delimiter)
    if not names:
        raise DatasetError(f"The label table {path} is empty. {ADVICE}")
    names += [""] * (n_fields - len(names))  # after a separator at the end of a line
    columns = [name or f"column {place}" for place, name in enumerate(names)]
    unnamed = [column for column, name in zip(columns, names, strict=True) if not name]
    table = pd.read_csv(
        path,
        sep=delimiter,
        header=None,
        skiprows=n_header_lines,
        names=columns,
        index_col=False,
        dtype=dict.fromkeys(TEXT_COLUMNS, str),
        keep_default_na=False,
        na_values=[""],
        skipinitialspace=True,
        low_memory=False,
        encoding="utf-8-sig",
    )
    return table.drop(columns=unnamed)


class _Layout(NamedTuple):
    """The names in the header, the fields of the longest line, the lines up to the first row."""

    names: list[str]
    n_fields: int
    n_header_lines: int


def _check_fields(path: Path, delimiter: str) -> _Layout:
    """Check that no two names are equal, and that every line has a field for each column."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        header = next((fields for fields in lines if fields), [])
        names = [name.strip() for name in header]
        _check_names(names, path)
        longest, n_header_lines = len(names), lines.line_num
        for fields in lines:
            longest = max(longest, len(fields))
            n_fields = len(fields) - (len(fields) == len(names) + 1 and not fields[-1].strip())
            if fields and n_fields != len(names):
                raise DatasetError(
                    f"Line {lines.line_num} of {path} has {n_fields} fields, its header "
                    f"{len(names)}. Give each line one field for each column, and put text that "
                    f"contains {delimiter!r} in double quotes."
                )
    return _Layout(names, longest, n_header_lines)


def _check_names(names: list[str], path: Path) -> None:
    counts = Counter(name for name in names if name)
    if repeated := sorted(name for name, n in counts.items() if n > 1):
        raise DatasetError(
            f"Several columns of {path} are called {repeated}, expected different names. Rename "
            f"or remove all but one of each."
        )
