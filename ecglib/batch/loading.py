"""Read YAML files that a user wrote, without trusting their size."""

from pathlib import Path
from typing import Any

import yaml

from ecglib.errors import BatchError

MAX_SHOWN = 300  # characters of a wrong value, or of an error of the YAML reader
MAX_VALUES = 100_000  # of a file once its aliases are expanded


def read_mapping(path: Path, what: str, expected: str) -> dict[Any, Any]:
    """Read a YAML file that holds a mapping.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it is, for the errors.
    expected : str
        What it should hold, for the errors.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    BatchError
        If the file cannot be read, holds something else or too much.

    Examples
    --------
    >>> read_mapping(Path("none.yaml"), "batch file", "the keys of a batch file")
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: The batch file none.yaml cannot be read: ...
    """
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise BatchError(
            f"The {what} {path} cannot be read: {str(error)[:MAX_SHOWN]}. Give a YAML file with "
            f"{expected}."
        ) from None
    if not _has_bounded_size(values):
        raise BatchError(
            f"The {what} {path} holds more than {MAX_VALUES:,} values once its aliases are "
            f"expanded. Write fewer, or shorter lists."
        )
    if not isinstance(values, dict):
        raise BatchError(
            f"The {what} {path} holds {type(values).__name__}, expected a YAML mapping with "
            f"{expected}."
        )
    return values


def show(value: Any) -> str:
    """Write a value as Python does, cut off where it is long.

    Examples
    --------
    >>> show({"seed": [0]})
    "{'seed': [0]}"
    """
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _has_bounded_size(values: Any) -> bool:
    """Whether a file holds at most `MAX_VALUES` values: aliases can make few lines endless."""
    waiting, n_values = [values], 0
    while waiting:
        value = waiting.pop()
        n_values += 1
        if n_values > MAX_VALUES:
            return False
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
    return True
