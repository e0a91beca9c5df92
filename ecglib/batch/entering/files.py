"""Reads predictions from a CSV file, an NPZ file or a table in memory."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ecglib.datasets.split_files import SPLIT_COLUMNS
from ecglib.errors import EntryError, RunError
from ecglib.runs import read_arrays

MAX_FILE_BYTES = 2 << 30
MAX_SHOWN = 3  # rows that an error names
EXPECTED = (
    "Expected a column 'window' and one for each class, as in the table that `ecglib split` writes"
)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PredictionTable:
    """Predictions as they were given, not yet checked.

    Parameters
    ----------
    source : str
        Name of the file; "" for a table in memory.
    table : DataFrame
        Columns of any content; its index counts the rows as an error names them.
    unit : {"line", "row"}
        What the index counts: lines of a CSV file from 1, or rows from 0.

    Examples
    --------
    >>> table = pd.DataFrame({"window": [7, 8], "AF": ["0.5", "?"]}, index=[2, 3])
    >>> given = PredictionTable(source="p.csv", table=table, unit="line")
    >>> given.name, given.name_rows([True, True])
    ('p.csv', 'lines 2, 3')
    """

    source: str
    table: pd.DataFrame
    unit: str

    @property
    def name(self) -> str:
        """What a message calls it."""
        return self.source or "The table"

    def name_rows(self, which: ArrayLike) -> str:
        """Name the first of some rows.

        Parameters
        ----------
        which : bool array of shape (n_rows,)
            The rows.

        Returns
        -------
        str
            For example "lines 2, 3, 9, ...".
        """
        numbers = self.table.index[np.asarray(which, bool)]
        shown = ", ".join(map(str, numbers[:MAX_SHOWN])) + (", ..." * (len(numbers) > MAX_SHOWN))
        return f"{self.unit}{'s' if len(numbers) > 1 else ''} {shown}"


def read_predictions(given: str | Path | pd.DataFrame) -> PredictionTable:
    """Read predictions from a file or a table in memory.

    Parameters
    ----------
    given : str, Path or DataFrame
        A CSV file or a table with the columns of the table that ``ecglib split`` writes, where
        only ``window`` and the classes are needed; or an NPZ file with the arrays ``window`` of
        shape (n_windows,), ``p`` of shape (n_windows, n_classes) and ``classes`` of shape
        (n_classes,), in which the other columns may stand as arrays or single values.

    Returns
    -------
    PredictionTable
        Texts of a CSV file as texts.

    Raises
    ------
    EntryError
        If the file cannot be read, or is larger than 2 GiB.

    Examples
    --------
    >>> read_predictions(pd.DataFrame({"window": [7], "AF": [0.5]})).unit
    'row'
    >>> read_predictions("none.csv")
    Traceback (most recent call last):
    ...
    ecglib.errors.EntryError: none.csv cannot be read: No such file or directory. ...
    """
    if isinstance(given, pd.DataFrame):
        table = given.reset_index(drop=True).rename(columns=str)
        return _require_distinct_columns(PredictionTable(source="", table=table, unit="row"))
    if not isinstance(given, str | Path):
        raise EntryError(
            f"{type(given).__name__} was given, expected the name of a CSV or NPZ file, or a "
            f"table. {EXPECTED}."
        )
    path = Path(given)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise EntryError(
                f"{path} is larger than {MAX_FILE_BYTES >> 30} GiB. Give only the windows of the "
                f"validation and the test split, and no signals."
            )
        if path.suffix.lower() == ".npz":
            table = _convert_arrays(path.name, read_arrays(path.read_bytes()))
            return _require_distinct_columns(
                PredictionTable(source=path.name, table=table, unit="row")
            )
        # Texts, as numbers would be rounded and records named NA would be missing.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise EntryError(f"{path} cannot be read: {reason}. Check the path.") from None
    except RunError as error:
        raise EntryError(f"{path} is no NPZ file: {error}. Write it with numpy.savez.") from None
    except (ValueError, pd.errors.ParserError) as error:
        if isinstance(error, EntryError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise EntryError(f"{path} is no CSV file: {reason}. {EXPECTED}.") from None
    table.index += 2  # the header is line 1
    return PredictionTable(source=path.name, table=table, unit="line")


def _require_distinct_columns(given: PredictionTable) -> PredictionTable:
    columns = given.table.columns
    if not columns.is_unique:
        raise EntryError(
            f"{given.name} has the column {columns[columns.duplicated()][0]!r} twice. Give each "
            f"column once."
        )
    return given


def _convert_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Convert the arrays of an NPZ file to the columns of a CSV file."""
    expected = (
        "Expected the arrays window (n_windows,), p (n_windows, n_classes) and classes "
        "(n_classes,), written with numpy.savez"
    )
    if missing := [one for one in ("window", "p", "classes") if one not in arrays]:
        found = ", ".join(list(arrays)[:10]) or "none"
        raise EntryError(f"{name} lacks {', '.join(missing)}; it has {found}. {expected}.")
    window, p, classes = arrays["window"], arrays["p"], arrays["classes"]
    if window.ndim != 1 or classes.ndim != 1 or p.shape != (len(window), len(classes)):
        raise EntryError(
            f"{name} has window of shape {window.shape}, p of shape {p.shape} and classes of "
            f"shape {classes.shape}, which do not fit together. {expected}."
        )
    columns: dict[str, object] = {}
    for one in SPLIT_COLUMNS:
        array = arrays.get(one)
        if array is None:
            continue
        if array.shape not in ((), window.shape):
            raise EntryError(
                f"{name} has {one} of shape {array.shape}; expected one value, or one for each of "
                f"its {len(window)} windows. Give it so, or leave it out."
            )
        columns[one] = array if array.ndim else array.item()
    named = pd.DataFrame(columns, index=pd.RangeIndex(len(window)))
    return pd.concat([named, pd.DataFrame(p, columns=[str(one) for one in classes])], axis=1)
