"""Checks a value that a user gave against the declaration of its field: type, names, bounds.

A field is declared by its type and, where its type does not say enough, by `Accepted`: the settings
of an experiment hold it in the metadata of their fields, the options of a source in their types,
``Annotated[int, Accepted(minimum=3)]``.
"""

import collections.abc
import dataclasses
import inspect
import math
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.errors import DatasetError, EcgError, did_you_mean

MAX_INTEGER = 2**31 - 1  # of numbers without a bound: what TensorFlow takes as a size or a seed
MAX_DEPTH = 20  # of values in values
PLAIN = "text, numbers, true, false, null, lists and mappings of these"

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80  # characters of a value in a message
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accepted:
    """What is accepted for a field besides its type.

    Parameters
    ----------
    choices : collection of str
        The accepted values, where they have names; each item of a list.
    minimum, maximum, above, below : float, optional
        Bounds of a number, of each item of a list: at least, at most, greater than, less than.

    Examples
    --------
    >>> Accepted(minimum=0, below=1).describe()
    'at least 0; below 1'
    """

    choices: Collection[str] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    def list_bounds(self) -> list[tuple[str, float, Callable[[float, float], bool]]]:
        """List each bound as a word, its value and whether a number satisfies it."""
        bounds: list[tuple[str, float | None, Callable[[float, float], bool]]] = [
            ("at least", self.minimum, lambda x, bound: x >= bound),
            ("at most", self.maximum, lambda x, bound: x <= bound),
            ("above", self.above, lambda x, bound: x > bound),
            ("below", self.below, lambda x, bound: x < bound),
        ]
        return [(word, bound, fits) for word, bound, fits in bounds if bound is not None]

    def describe(self) -> str:
        """Describe what is accepted, as Markdown; "" if there is nothing to say."""
        names = [", ".join(f"`{choice}`" for choice in self.choices)] if self.choices else []
        bounds = [f"{word} {_format_number(bound)}" for word, bound, _ in self.list_bounds()]
        return "; ".join(names + bounds)


ANYTHING = Accepted()

# Types of options that several sources have.
TaskKind = typing.Annotated[str, Accepted(choices=("multi_label", "multi_class"))]
Seed = typing.Annotated[int, Accepted(minimum=0, maximum=MAX_INTEGER)]
AtLeastOne = typing.Annotated[int, Accepted(minimum=1)]
RateHz = typing.Annotated[float, Accepted(above=0, maximum=100_000)]
RateOrZeroHz = typing.Annotated[float, Accepted(minimum=0, maximum=100_000)]
WindowOrZeroS = typing.Annotated[float, Accepted(minimum=0, maximum=86_400)]  # up to a day


def list_options(function: Callable) -> dict[str, tuple[inspect.Parameter, Any]]:
    """List the options that a function or dataclass takes, with their types.

    Parameters
    ----------
    function : callable
        A function, or a class.

    Returns
    -------
    dict of str to (inspect.Parameter, type)
        Name -> the parameter and its type, with `Accepted` where it is ``Annotated``.

    Examples
    --------
    >>> def prepare(folder: str, seed: typing.Annotated[int, Accepted(minimum=0)] = 0) -> None: ...
    >>> list(list_options(prepare))
    ['folder', 'seed']
    """
    annotated = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(annotated, include_extras=True)
    parameters = inspect.signature(function).parameters
    return {name: (parameter, hints.get(name, Any)) for name, parameter in parameters.items()}


def convert_value(
    name: str,
    value: Any,
    kind: Any,
    accepted: Accepted = ANYTHING,
    error: type[EcgError] = DatasetError,
) -> Any:
    """Check a value against the declaration of its field, and return it as the type of the field.

    Lists come from JSON, YAML and papermill and become tuples; whole numbers may stand for floats;
    nothing else is converted.

    Parameters
    ----------
    name : str
        Name of the field.
    value : object
        What the user gave.
    kind : type
        Type of the field; ``Annotated`` may hold an `Accepted`.
    accepted : Accepted, default ANYTHING
        What is accepted besides the type, if it is not in the type.
    error : type of EcgError, default DatasetError
        What is raised.

    Returns
    -------
    object
        The value.

    Raises
    ------
    EcgError
        If the value has another type, is not a finite number, is out of bounds or unknown. The
        message says what was given and what is accepted.

    Examples
    --------
    >>> convert_value("leads", ["I", "II"], tuple[str, ...])
    ('I', 'II')
    >>> convert_value("window_s", "10s", float, Accepted(above=0))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: window_s='10s' is str, expected a number above 0.
    """
    check = _Check(name=name, value=value, error=error)
    return check.convert(value, kind, accepted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckedOptions:
    """Checks the values of a dataclass of options against the types of its fields.

    Raises
    ------
    DatasetError
        As for `convert_value`.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Options(CheckedOptions):
    ...     window_s: typing.Annotated[float, Accepted(minimum=0)] = 0.0
    >>> Options(window_s=-1)
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: window_s=-1 must be at least 0.
    """

    def __post_init__(self) -> None:
        for name, (_, kind) in list_options(type(self)).items():
            object.__setattr__(self, name, convert_value(name, getattr(self, name), kind))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Check:
    """One value and how its faults are reported."""

    name: str
    value: Any
    error: type[EcgError]

    def convert(self, value: Any, kind: Any, accepted: Accepted) -> Any:
        """Return the value, or a part of it, as a type."""
        if hasattr(kind, "__metadata__"):
            found = [extra for extra in kind.__metadata__ if isinstance(extra, Accepted)]
            return self.convert(value, kind.__origin__, found[0] if found else accepted)
        origin = typing.get_origin(kind) or kind
        if origin in (types.UnionType, typing.Union):
            return self._convert_union(value, typing.get_args(kind), accepted)
        if kind is Any:
            self._require_plain(value)
            return value
        if origin is collections.abc.Mapping or origin is dict:
            return self._convert_mapping(value, typing.get_args(kind), accepted)
        if origin in (tuple, list, collections.abc.Sequence):
            return self._convert_list(value, typing.get_args(kind), accepted)
        if kind in (int, float):
            return self._convert_number(value, kind, accepted)
        if not isinstance(value, kind):
            quote = "; quote it" if kind is str and isinstance(value, bool | int | float) else ""
            raise self._complain(value, f"expected {_describe(kind, accepted)}{quote}")
        self._require_choice(value, accepted)
        return value

    def _convert_union(self, value: Any, kinds: tuple[Any, ...], accepted: Accepted) -> Any:
        for kind in kinds:
            if isinstance(value, typing.get_origin(kind) or kind):
                return self.convert(value, kind, accepted)
        return self.convert(value, kinds[0], accepted)

    def _convert_number(self, value: Any, kind: type, accepted: Accepted) -> int | float:
        expected = _describe(kind, accepted)
        if isinstance(value, bool) or not isinstance(value, _NUMBERS[kind]):
            raise self._complain(value, f"expected {expected}")
        bounds = accepted.list_bounds()
        is_huge = isinstance(value, int) and abs(value) > MAX_INTEGER
        if is_huge and not bounds:
            expected += f" up to {MAX_INTEGER}"
        if is_huge or not math.isfinite(value):
            raise self.error(f"{self._quote()} must be {expected}.")
        number: int | float = kind(value)
        if not all(fits(number, bound) for _, bound, fits in bounds):
            limits = " and ".join(f"{word} {_format_number(bound)}" for word, bound, _ in bounds)
            raise self.error(f"{self._quote()} must be {limits}.")
        return number

    def _convert_list(self, value: Any, kinds: tuple[Any, ...], accepted: Accepted) -> tuple:
        if not isinstance(value, list | tuple):
            raise self._complain(value, f"expected a list, for example {_EXAMPLES.get(kinds[0])}")
        if ... in kinds or len(kinds) == 1:
            kinds = (kinds[0],) * len(value)
        elif len(kinds) != len(value):
            raise self.error(f"{self._quote()} has {len(value)} items, expected {len(kinds)}.")
        return tuple(
            self.convert(item, kind, accepted) for item, kind in zip(value, kinds, strict=True)
        )

    def _convert_mapping(
        self, value: Any, kinds: tuple[Any, ...], accepted: Accepted
    ) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self._complain(value, "expected a mapping, for example {name: value}")
        self._require_plain(value)
        kind = kinds[1] if kinds else Any
        return {key: self.convert(item, kind, accepted) for key, item in value.items()}

    def _require_plain(self, value: Any, depth: int = 0) -> None:
        """Refuse what JSON cannot hold, such as dates, and values that contain themselves."""
        if depth > MAX_DEPTH:
            raise self.error(f"{self._quote()} is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise self.error(f"{self._quote()} has a name that is not text; quote it.")
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                self._require_plain(item, depth + 1)
        elif isinstance(value, float | np.floating) and not math.isfinite(value):
            raise self.error(f"{self._quote()} must hold finite numbers.")
        elif not isinstance(value, str | bool | int | float | np.number | None):
            raise self._complain(value, f"expected {PLAIN}")

    def _require_choice(self, value: Any, accepted: Accepted) -> None:
        if accepted.choices and value not in accepted.choices:
            hint = did_you_mean(value, accepted.choices)
            raise self.error(f"{self._quote()}, expected one of {list(accepted.choices)}.{hint}")

    def _complain(self, value: Any, expected: str) -> EcgError:
        """Say that the value, or the part of it that is wrong, has another type."""
        what = "is" if value is self.value else f"holds {_REPR.repr(value)}, which is"
        return self.error(f"{self._quote()} {what} {type(value).__name__}, {expected}.")

    def _quote(self) -> str:
        return f"{self.name}={_REPR.repr(self.value)}"


_NUMBERS = {int: (int, np.integer), float: (int, float, np.integer, np.floating)}
_EXAMPLES = {str: "[I, II]", float: "[0.5, 40.0]", int: "[1, 2]"}
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    types.NoneType: "null",
}


def _describe(kind: Any, accepted: Accepted) -> str:
    if accepted.choices:
        return f"one of {list(accepted.choices)}"
    bounds = [f"{word} {_format_number(bound)}" for word, bound, _ in accepted.list_bounds()]
    return " ".join([_WORDS.get(kind, str(kind)), " and ".join(bounds)]).rstrip()


def _format_number(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
