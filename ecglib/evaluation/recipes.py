"""Whether two models were trained alike: the same settings in all that is not compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_SHOWN = 3


def describe_recipe_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Describe in which settings two recipes differ.

    Parameters
    ----------
    a, b : mapping of str to object
        Recipes. A setting that only one of them has, such as an option of a representation that
        only one model takes, is no difference.

    Returns
    -------
    str
        For example "epochs 10 against 1"; empty if the models were trained alike.

    Examples
    --------
    >>> describe_recipe_difference({"epochs": 10, "width": 32}, {"epochs": 1, "width": 32})
    'epochs 10 against 1'
    """
    different = [name for name in a if name in b and a[name] != b[name]]
    texts = [f"{name} {_format(a[name])} against {_format(b[name])}" for name in different]
    if len(texts) > MAX_SHOWN:
        texts = [*texts[:MAX_SHOWN], f"{len(texts) - MAX_SHOWN} more"]
    return ", ".join(texts)


def _format(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" and value != {} and value != () else "none"
