"""What decides the content of a store, as plain values: made in one place for every source.

A store whose request equals that of a source is opened instead of prepared again.
"""

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.datasets.problems import ProblemRules
from ecglib.datasets.schema import Source, Task

REQUEST = (
    "format",
    "name",
    "version",
    "synthetic",
    "caveats",
    "signal",
    "tasks",
    "tabular",
    "columns",
    "options",
    "rules",
    "source",
)
MAX_CHANGES, MAX_VALUE_LENGTH = 8, 60


def make_request(source: Source, rules: ProblemRules, store_format: int) -> dict[str, Any]:
    """Make the request of a source.

    Parameters
    ----------
    source : Source
        Where the records come from.
    rules : ProblemRules
        Which problems exclude a record.
    store_format : int
        Format of the store.

    Returns
    -------
    dict
        Plain values by the names in `REQUEST`; ``source`` is the hash of the source's files.

    Examples
    --------
    >>> from ecglib.datasets.sources.synthetic import SyntheticSource
    >>> request = make_request(SyntheticSource(n_patients=10), ProblemRules(), store_format=4)
    >>> request["signal"]["sampling_rate_hz"], request["options"]
    (100.0, {'n_patients': 10, 'seed': 0})
    """
    values = {
        "format": store_format,
        "name": source.name,
        "version": source.version,
        "synthetic": source.synthetic,
        "caveats": source.caveats,
        "signal": _drop_none(dataclasses.asdict(source.signal)),
        "tasks": tasks_to_dict(source.tasks),
        "tabular": source.tabular,
        "columns": source.columns,
        "options": source.options,
        "rules": rules.to_request(),
        "source": source.hash_content(),
    }
    return {name: to_plain(values[name]) for name in REQUEST}


def _drop_none(values: dict[str, Any]) -> dict[str, Any]:
    """Drop what a dataset does not have, so that a field that is added changes no other's store."""
    return {name: value for name, value in values.items() if value is not None}


def get_request(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request in ``dataset.json`` of a store.

    Parameters
    ----------
    summary : mapping of str to object
        The content of ``dataset.json``.

    Returns
    -------
    dict
        As `make_request` made it.

    Examples
    --------
    >>> get_request({"name": "mine", "prepared": "2026-01-01T00:00:00"})
    {'name': 'mine'}
    """
    return {name: summary[name] for name in REQUEST if name in summary}


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Find what differs between two requests.

    Parameters
    ----------
    old, new : mapping of str to object
        Requests, see `make_request`.

    Returns
    -------
    list of str
        One short text for each difference, at most 8; empty for equal requests.

    Examples
    --------
    >>> find_changes({"signal": {"sampling_rate_hz": 100.0}}, {"signal": {"sampling_rate_hz": 250}})
    ['signal.sampling_rate_hz: 100 -> 250']
    >>> find_changes({"tasks": {"A": 1, "B": 2}}, {"tasks": {"B": 2, "A": 1}})
    ['the order of tasks: A, B -> B, A']
    >>> find_changes({"source": "0123"}, {"source": "4567"})
    ['the files of the source']
    """
    old_values, new_values = dict(_flatten(old)), dict(_flatten(new))
    changes = []
    for name in dict.fromkeys((*old_values, *new_values)):
        before, after = old_values.get(name), new_values.get(name)
        if before != after and name == "source":
            changes.append("the files of the source")
        elif before != after:
            changes.append(f"{name}: {_shorten(before)} -> {_shorten(after)}")
    if not changes:
        changes = list(_find_orders(old, new))
    n_more = len(changes) - MAX_CHANGES
    return changes[:MAX_CHANGES] + ([f"{n_more} more"] if n_more > 0 else [])


def encode_values(values: Any) -> str:
    """Encode plain values as text that is equal for equal values.

    Parameters
    ----------
    values : object
        Values that JSON can represent.

    Returns
    -------
    str
        JSON in which a whole number is written without a point, whatever its type. The order of
        names counts: that of classes is the order of the columns of a label array.

    Examples
    --------
    >>> encode_values({"sampling_rate_hz": 100.0, "leads": ("I", "II")})
    '{"sampling_rate_hz": 100, "leads": ["I", "II"]}'
    """
    return json.dumps(_unify_numbers(values))


def tasks_to_dict(tasks: Mapping[str, Task]) -> dict[str, Any]:
    """Convert tasks to plain values by name.

    Parameters
    ----------
    tasks : mapping of str to Task
        The tasks.

    Returns
    -------
    dict
        The fields of each task.

    Examples
    --------
    >>> tasks_to_dict({"af": Task("af", "multi_label", {"AF": ["AF"]})})["af"]["classes"]
    {'AF': ['AF']}
    """
    return {name: dataclasses.asdict(task) for name, task in tasks.items()}


def list_options(options: Any) -> dict[str, Any]:
    """List the options of a source that stand in its request.

    Parameters
    ----------
    options : dataclass
        Options of the source. Those whose type is a path are left out: of files the content counts
        (`Source.hash_content`).

    Returns
    -------
    dict of str to object
        Plain values by name.

    Examples
    --------
    >>> from ecglib.datasets.sources.wfdb_folder import WfdbFolderOptions
    >>> options = list_options(WfdbFolderOptions(labels="labels.csv", leads=("I", "II")))
    >>> options["leads"], "labels" in options
    (['I', 'II'], False)
    """
    kinds = typing.get_type_hints(type(options))
    names = [field.name for field in dataclasses.fields(options)]
    return {name: to_plain(getattr(options, name)) for name in names if not is_path(kinds[name])}


def is_path(kind: Any) -> bool:
    """Tell whether a type is that of a path.

    Parameters
    ----------
    kind : type
        Type of an option.

    Returns
    -------
    bool
        Whether it is `Path`, or a union with it.

    Examples
    --------
    >>> is_path(str | Path), is_path(str)
    (True, False)
    """
    return Path in (kind, *typing.get_args(kind))


def to_plain(value: Any) -> Any:
    """Convert a value to what JSON holds: tuples to lists, NumPy scalars and paths.

    Parameters
    ----------
    value : object
        An option, or a collection of them.

    Returns
    -------
    object
        Of dict, list, str, bool, int, float and None.

    Examples
    --------
    >>> to_plain({"leads": ("I", "II"), "seed": np.int64(3), "labels": Path("labels.csv")})
    {'leads': ['I', 'II'], 'seed': 3, 'labels': 'labels.csv'}
    """
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def _unify_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _unify_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unify_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is not a dict, with the names that lead to it."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, _unify_numbers(value)


def _find_orders(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Yield the dicts that hold equal names in another order."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if list(old) != list(new):
            yield f"the order of {name}: {', '.join(old)} -> {', '.join(new)}"
        for key in old:
            yield from _find_orders(old[key], new.get(key), f"{name}.{key}" if name else str(key))


def _shorten(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."
