"""From the axes of a grid to the parameters of its runs."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ecglib.batch.loading import show
from ecglib.errors import BatchError, did_you_mean


def count_combinations(grid: Mapping[str, list]) -> int:
    """Count the combinations of a grid without listing them.

    Examples
    --------
    >>> count_combinations({"seed": [0, 1, 2], "width": [8, 16]})
    6
    """
    return math.prod(map(len, grid.values()))


def list_combinations(grid: Mapping[str, list]) -> list[dict[str, Any]]:
    """List every combination of one entry of each axis.

    Parameters
    ----------
    grid : mapping of str to list
        Axis -> its entries, each a dict of parameters or a value of the parameter that names the
        axis.

    Returns
    -------
    list of dict
        The parameters of each combination; the last axis changes fastest.

    Examples
    --------
    >>> list_combinations({"model": [{"fusion": "none", "width": 8}], "seed": [0, 1]})
    [{'fusion': 'none', 'width': 8, 'seed': 0}, {'fusion': 'none', 'width': 8, 'seed': 1}]
    """
    axes = [
        [entry if isinstance(entry, dict) else {name: entry} for entry in entries]
        for name, entries in grid.items()
    ]
    combinations = []
    for entries in itertools.product(*axes):
        parameters: dict[str, Any] = {}
        for entry in entries:
            parameters |= entry
        combinations.append(parameters)
    return combinations


def exclude_combinations(
    combinations: Sequence[dict[str, Any]], exclude: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Leave out the combinations that have all values of an exclusion.

    Parameters
    ----------
    combinations : sequence of dict
        The combinations of a grid.
    exclude : sequence of mapping of str to object
        Some parameters with their values.

    Returns
    -------
    list of dict
        The others.

    Raises
    ------
    BatchError
        If an exclusion names a parameter that the grid does not set, fits no combination, or
        nothing is left.

    Examples
    --------
    >>> combinations = list_combinations({"width": [8, 16], "seed": [0, 1]})
    >>> exclude_combinations(combinations, [{"width": 16, "seed": 1}])
    [{'width': 8, 'seed': 0}, {'width': 8, 'seed': 1}, {'width': 16, 'seed': 0}]
    """
    names = {name for combination in combinations for name in combination}
    for exclusion in exclude:
        for name in exclusion:
            if name not in names:
                raise BatchError(
                    f"exclude names {name!r}, which the grid does not set; it sets "
                    f"{sorted(names)}.{did_you_mean(name, names)}"
                )
        if not any(_has_values(combination, exclusion) for combination in combinations):
            raise BatchError(
                f"exclude has {show(dict(exclusion))}, but no run of the grid has these values. "
                f"Correct or remove it."
            )
    left = [
        combination
        for combination in combinations
        if not any(_has_values(combination, exclusion) for exclusion in exclude)
    ]
    if not left:
        raise BatchError("exclude leaves no run of the grid. Remove some of its entries.")
    return left


def override_combinations(
    combinations: Sequence[dict[str, Any]], override: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Give parameters other values; combinations that are equal only for that reason remain once.

    Parameters
    ----------
    combinations : sequence of dict
        Combinations of parameters.
    override : mapping of str to object
        Values for all combinations. A list, for a parameter that has single values, is an axis:
        each combination is there with each of its entries.

    Returns
    -------
    list of dict
        The combinations with the new values.

    Examples
    --------
    >>> override_combinations([{"seed": 0}, {"seed": 3}, {"width": 8}], {"seed": 3})
    [{'seed': 3}, {'seed': 3, 'width': 8}]
    >>> override_combinations([{"width": 8, "seed": 0}], {"seed": [1, 2]})
    [{'seed': 1, 'width': 8}, {'seed': 2, 'width': 8}]
    """
    axes = {}
    for name, value in override.items():
        entries = value if _is_axis(name, value, combinations) else [value]
        axes[name] = [{name: entry} for entry in entries]
    return _give_values(combinations, list_combinations(axes))


def _is_axis(name: str, value: Any, combinations: Sequence[dict[str, Any]]) -> bool:
    values = [combination[name] for combination in combinations if name in combination]
    return isinstance(value, list) and any(not isinstance(one, list) for one in values)


def _give_values(
    combinations: Sequence[dict[str, Any]], overrides: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = {}
    repeated: list[dict[str, Any]] = []  # in the grid itself, which is refused later
    changed: set[str] = set()
    for combination, override in itertools.product(combinations, overrides):
        replaced = {**override, **combination, **override}  # in one order
        key = repr(replaced)
        if any(combination.get(name, value) != value for name, value in override.items()):
            changed.add(key)
        elif key in kept and key not in changed:
            repeated.append(replaced)
        kept.setdefault(key, replaced)
    return [*kept.values(), *repeated]


def _has_values(combination: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(name in combination and combination[name] == value for name, value in values.items())
