"""The labels of a record: lists, dicts, and what a CSV file holds of them."""

import ast
import io
import itertools
import json
import numbers
import tokenize
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError

SEPARATOR = ";"
UNREADABLE = (
    ValueError,
    SyntaxError,
    TypeError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
MAX_TEXT = 10_000  # characters of a list or dict; the longest of PTB-XL has 200
EXAMPLE = f"Write them as AF{SEPARATOR}PVC, or as a list: ['AF', 'PVC']"


def parse_label_column(labels: pd.Series, records: pd.Series) -> pd.Series:
    """Parse the labels of each record.

    Parameters
    ----------
    labels : Series
        Labels as `parse_labels` takes them.
    records : Series of str
        The names of the records, for the message.

    Returns
    -------
    Series of list of str
        The labels of each record; an empty list where there are none.

    Raises
    ------
    DatasetError
        If labels cannot be parsed, with the number of such records and the first.

    Examples
    --------
    >>> labels = pd.Series(["AF; PVC", "['AF', 'PVC']", None])
    >>> parse_label_column(labels, pd.Series(["r1", "r2", "r3"])).tolist()
    [['AF', 'PVC'], ['AF', 'PVC'], []]
    """
    parsed: list[list[str]] = []
    failed: list[str] = []
    for record, value in zip(records, labels, strict=True):
        try:
            parsed.append(parse_labels(value))
        except DatasetError as error:
            failed.append(f"record {record!r}: {error}")
    if failed:
        raise DatasetError(f"The labels of {len(failed)} records cannot be read: {failed[0]}")
    return pd.Series(parsed, index=labels.index, dtype=object)


def parse_labels(labels: Any) -> list[str]:
    """Parse the labels of a record.

    Text is one label, or several separated by ``;``. Text that begins with ``[`` or ``{`` is a
    list, a dict or JSON, as `DataFrame.to_csv` writes them. The labels of a dict are its keys;
    its values are likelihoods. Nothing in the text is executed.

    Parameters
    ----------
    labels : list, tuple, set, array, dict, str or missing value
        The labels.

    Returns
    -------
    list of str
        The labels without blanks at their ends; empty for a missing value or empty text.

    Raises
    ------
    DatasetError
        If text begins like a list or dict and is none, a value of a dict is not a positive number,
        or a list holds other lists or one number for each class.

    Examples
    --------
    >>> parse_labels("AF; PVC"), parse_labels("Atrial flutter, typical"), parse_labels(None)
    (['AF', 'PVC'], ['Atrial flutter, typical'], [])
    >>> parse_labels("{'NORM': 100.0, 'SR': 50.0}")
    ['NORM', 'SR']
    """
    if isinstance(labels, str):
        return _parse_text(labels.strip())
    if isinstance(labels, Mapping):
        return _list_keys(labels)
    if isinstance(labels, set | frozenset):
        return sorted(_list_elements(labels))
    if isinstance(labels, list | tuple | np.ndarray):
        return _list_elements(labels)
    return _list_elements([labels])


def _parse_text(text: str) -> list[str]:
    if text.startswith(("[", "{", "array(")):
        return parse_labels(_parse_collection(text))
    if text.startswith("(") and text.endswith(")"):  # a tuple, or a label in brackets
        try:
            return _list_elements(_parse_collection(text))
        except DatasetError:
            return [text]
    return [label.strip() for label in text.split(SEPARATOR) if label.strip()]


def _parse_collection(text: str) -> list | tuple | dict | set:
    """Parse the text of a list, tuple, set, dict or JSON without executing anything."""
    if len(text) <= MAX_TEXT:
        for parse in (json.loads, _parse_python):
            try:
                found = parse(text)
            except UNREADABLE:
                continue
            if isinstance(found, list | tuple | dict | set):
                return found
    raise DatasetError(f"{_shorten(text)} is neither a list nor a dict of labels. {EXAMPLE}.")


def _parse_python(text: str) -> Any:
    """Parse a literal, or an array as NumPy prints it: its elements have no commas between them.

    Python would join neighbouring strings: ``['AF' 'PVC']`` would be one label.
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    strings = [token.string for token in tokens if token.type == tokenize.STRING]
    others = [token.string for token in tokens if token.type == tokenize.OP]
    if len(strings) > 1 and others == ["[", "]"]:
        return [ast.literal_eval(string) for string in strings]
    kinds = [token.type for token in tokens if token.type not in (tokenize.NL, tokenize.NEWLINE)]
    if (tokenize.STRING, tokenize.STRING) in itertools.pairwise(kinds):
        raise ValueError("two strings without a comma between them")
    return ast.literal_eval(text)


def _list_keys(labels: Mapping) -> list[str]:
    """List the keys of a dict of likelihoods; 0 could mean "unknown" or "not this label"."""
    for label, value in labels.items():
        if not isinstance(value, int | float | np.number | np.bool_) or not value > 0:
            raise DatasetError(
                f"{_shorten(str(dict(labels)))} gives {label!r} the value {value!r}, expected a "
                f"likelihood above 0: it is not clear whether the record has that label. List the "
                f"labels that it has: {EXAMPLE[6:]}."
            )
    return _list_elements(labels)


def _list_elements(labels: Iterable) -> list[str]:
    elements = list(labels)
    if any(isinstance(label, list | tuple | set | dict | np.ndarray) for label in elements):
        raise DatasetError(f"{_shorten(str(elements))} holds other lists. {EXAMPLE}.")
    known = [label for label in elements if not pd.isna(label)]
    are_numbers = all(isinstance(label, numbers.Number | np.bool_) for label in known)
    if are_numbers and len(set(known)) < len(known):
        raise DatasetError(
            f"{_shorten(str(elements))} looks like one number for each class, expected the names "
            f"of the labels. {EXAMPLE}."
        )
    texts = [_convert_to_text(label) for label in known]
    return [text for text in texts if text]


def _convert_to_text(label: Any) -> str:
    """Convert a label to text; whole numbers that a missing value made floats lose their ".0"."""
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label).strip()


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
