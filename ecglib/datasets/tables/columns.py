"""The columns of a label table that are neither ids, labels nor splits: age, sex and all others."""

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Problem
from ecglib.errors import DatasetError

KNOWN_COLUMNS = ("record", "labels", "patient", "fold", "part", "path")
KNOWN_TABULAR = ("age", "sex")
# Columns that the window table has itself.
RESERVED = ("start", "length", "n_measured", "signal_hash", "likelihoods", "training_only")
SEXES = {"male": 0.0, "m": 0.0, "0": 0.0, "female": 1.0, "f": 1.0, "1": 1.0}
UNKNOWN = frozenset(("", "na", "n/a", "nan", "none", "null", "unknown", "unk", "u", "-", "?"))
_AGE = re.compile(
    r"(?P<bound>>=?|≥)?\s*(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>[a-z]*\.?)(?P<plus>\+?)"
)
_YEARS_PER_UNIT = {
    **dict.fromkeys(("", "y", "yr", "yrs", "year", "years", "j", "jahre"), 1.0),
    **dict.fromkeys(("m", "mo", "month", "months"), 1 / 12),
    **dict.fromkeys(("w", "week", "weeks"), 7 / 365.25),
    **dict.fromkeys(("d", "day", "days"), 1 / 365.25),
}


class OtherColumns(NamedTuple):
    """The columns of a label table that are neither ids, labels nor splits.

    Parameters
    ----------
    table : DataFrame
        The table: numbers as float, everything else as text.
    tabular : tuple of str
        Columns of numbers that a model may use by default: age and sex.
    columns : dict of str to str
        The other columns and their Arrow types; a model uses columns of numbers (``"double"``)
        only if an experiment names them.

    Examples
    --------
    >>> table = pd.DataFrame({"record": ["r1", "r2"], "age": [42, 58], "bmi": [22, 31]})
    >>> other = find_other_columns(table)
    >>> other.tabular, other.table["age"].tolist(), other.columns
    (('age',), [42.0, 58.0], {'bmi': 'double'})
    """

    table: pd.DataFrame
    tabular: tuple[str, ...]
    columns: dict[str, str]


def find_other_columns(table: pd.DataFrame) -> OtherColumns:
    """Find the other columns: age and sex for models, everything else for filtering.

    What a number means is known for age and sex only. Another column of numbers may be an index,
    a date or the label in another form, so no model uses it unless it is named.

    Parameters
    ----------
    table : DataFrame
        The label table, with age and sex as numbers (`convert_known_columns`).

    Returns
    -------
    OtherColumns
        The converted table and the names of its columns.

    Raises
    ------
    DatasetError
        If a column has the name of one that the store adds.

    Examples
    --------
    >>> table = pd.DataFrame({"record": ["r1"], "age": [42], "device": ["A"]})
    >>> other = find_other_columns(table)
    >>> other.tabular, other.columns
    (('age',), {'device': 'string'})
    """
    if reserved := [name for name in RESERVED if name in table]:
        raise DatasetError(
            f"The label table has columns called {reserved}, names that the store needs itself. "
            f"Rename them, for example to {'table_' + reserved[0]!r}."
        )
    columns, tabular = {}, []
    table = table.copy()
    if "fold" in table and (pd.to_numeric(table["fold"], errors="coerce") % 1 == 0).all():
        columns["fold"] = "int64"
    for name in table.columns:
        if name in KNOWN_COLUMNS and (name != "fold" or name in columns):
            continue
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = convert_to_text(table[name])
            columns[name] = "string"
            continue
        table[name] = table[name].astype(float)
        if name in KNOWN_TABULAR:
            tabular.append(name)
        else:
            columns[name] = "double"
    return OtherColumns(table=table, tabular=tuple(tabular), columns=columns)


def convert_known_columns(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Convert age and sex to numbers: years, and 0 (male) or 1 (female).

    Parameters
    ----------
    table : DataFrame
        Column record and, if known, age and sex, as numbers or text.

    Returns
    -------
    table : DataFrame
        The table with age and sex as float, NaN where they are missing or cannot be read.
    problems : list of Problem
        The values that cannot be read.

    Raises
    ------
    DatasetError
        If sex is given in other numbers than 0 and 1.

    Examples
    --------
    >>> table = pd.DataFrame({"record": list("abc"), "age": ["063Y", ">89", "old"]})
    >>> table, problems = convert_known_columns(table)
    >>> table["age"].tolist(), [problem.detail for problem in problems]
    ([63.0, 90.0, nan], ["age 'old' counts as missing."])
    """
    table, problems = table.copy(), list[Problem]()
    for name, parse in (("age", parse_age), ("sex", parse_sex)):
        if name not in table:
            continue
        given = table[name]
        numbers = given.map(parse).astype(float)
        unread = numbers.isna() & ~given.map(_is_unknown).astype(bool)
        if name == "sex":
            _check_coding(given[unread])
        problems += [
            Problem(str(record), "not_a_number", f"{name} {value!r} counts as missing.")
            for record, value in zip(table.loc[unread, "record"], given[unread], strict=True)
        ]
        table[name] = numbers
    return table, problems


def parse_age(value: Any) -> float:
    """Parse an age.

    Parameters
    ----------
    value : number, str or missing value
        Years as a number or as text: "63", "46,0", "90+", ">89" (90), or with a unit: "063Y",
        "6 months", "018M", "003W", "010D".

    Returns
    -------
    float
        The age in years, NaN if it is missing or cannot be read.

    Examples
    --------
    >>> [parse_age(value) for value in (63, "063Y", "46,0", ">89", "90+", "018M", "old")]
    [63.0, 63.0, 46.0, 90.0, 90.0, 1.5, nan]
    """
    parsed = None if pd.isna(value) else _AGE.fullmatch(str(value).strip().lower())
    if not parsed or parsed["unit"].rstrip(".") not in _YEARS_PER_UNIT:
        return np.nan
    years = float(parsed["number"].replace(",", ".")) * _YEARS_PER_UNIT[parsed["unit"].rstrip(".")]
    return years + 1.0 if parsed["bound"] == ">" else years


def parse_sex(value: Any) -> float:
    """Parse a sex.

    Parameters
    ----------
    value : number, str or missing value
        0, "m" or "male"; 1, "f" or "female"; in any case.

    Returns
    -------
    float
        0 for male, 1 for female, NaN if it is missing or cannot be read.

    Examples
    --------
    >>> [parse_sex(value) for value in ("Male", "F", 1, None)]
    [0.0, 1.0, 1.0, nan]
    """
    text = "" if pd.isna(value) else str(value).strip().lower()
    return SEXES.get(re.sub(r"\.0+\Z", "", text), np.nan)


def convert_to_text(column: pd.Series) -> pd.Series:
    """Convert a column to text, None where a value is missing.

    Parameters
    ----------
    column : Series
        Any values.

    Returns
    -------
    Series
        Of str and None.

    Examples
    --------
    >>> convert_to_text(pd.Series(["A", None, 3])).tolist()
    ['A', None, '3']
    """
    return column.astype(str).astype(object).where(column.notna(), None)


def convert_to_ids(column: pd.Series) -> pd.Series:
    """Convert identifiers to text without blanks at their ends, None where one is missing.

    Parameters
    ----------
    column : Series
        Text or numbers. Whole numbers that a missing value made floats are written without ".0".

    Returns
    -------
    Series
        Of str and None.

    Examples
    --------
    >>> convert_to_ids(pd.Series([" p1", "p2 ", "", None])).tolist()
    ['p1', 'p2', None, None]
    >>> convert_to_ids(pd.Series([7.0, None])).tolist()
    ['7', None]
    """
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    ids = [None if pd.isna(value) else str(value).strip() or None for value in column]
    return pd.Series(ids, index=column.index, dtype=object)


def _is_unknown(value: Any) -> bool:
    return pd.isna(value) or str(value).strip().lower() in UNKNOWN


def _check_coding(unread: pd.Series) -> None:
    """Refuse other numbers for sex: 1 and 2, for example, would make all men women."""
    numbers = pd.to_numeric(unread, errors="coerce").dropna()
    if len(numbers):
        found = sorted(set(numbers.tolist()))[:5]
        raise DatasetError(
            f"Column 'sex' holds the numbers {found}, expected 0 (male) and 1 (female), or m and "
            f"f. Write it that way, or rename the column."
        )
