"""What a report consists of, as plain objects that the template lays out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Self

import markupsafe
import pandas as pd

from ecglib.evaluation.checks import Check
from ecglib.plots import Picture

_NUMBER = re.compile(r"^([<+-]?[\d.,]+(e[+-]\d+)?( %)?( \[.*\])?|-)$")
_INTERVAL = re.compile(r"^(\S+) (\[.*\])$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """Leads from a cell to a file beside the report.

    Parameters
    ----------
    text : str
        What is shown.
    href : str
        Relative address, already quoted for a URL; "" if there is no such file.

    Examples
    --------
    >>> Link(text="time:cnn", href="time-cnn_seed0/train.ipynb").text
    'time:cnn'
    """

    text: str
    href: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of texts.

    Parameters
    ----------
    caption : str
        What the table shows.
    columns : tuple of str
        Names of the columns.
    rows : tuple of tuple of (str or tuple of Link)
        The cells; the first of each row names it.
    note : str, default ""
        Written below the table.

    Examples
    --------
    >>> frame = pd.DataFrame({"model": ["time:cnn"], "macro AUROC": ["0.910 [0.880, 0.930]"]})
    >>> table = Table.from_frame(frame, "Scores")
    >>> table.columns, table.numeric
    (('model', 'macro AUROC'), (False, True))
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | tuple[Link, ...], ...], ...]
    note: str = ""

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, caption: str, note: str = "") -> Self:
        """Make a table of a data frame whose values are texts or numbers.

        Parameters
        ----------
        frame : DataFrame
            The values.
        caption : str
            What the table shows.
        note : str, default ""
            Written below the table.

        Returns
        -------
        Table
            One row for each of the frame.
        """
        rows = tuple(
            tuple(value if isinstance(value, tuple) else str(value) for value in row)
            for row in frame.itertuples(index=False, name=None)
        )
        return cls(caption=caption, columns=tuple(map(str, frame.columns)), rows=rows, note=note)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], caption: str, names: tuple[str, str]) -> Self:
        """Make a table of two columns.

        Parameters
        ----------
        values : mapping of str to object
            First column -> second column.
        caption : str
            What the table shows.
        names : (str, str)
            Names of the columns.

        Returns
        -------
        Table
            One row for each value.
        """
        rows = tuple((name, str(value)) for name, value in values.items())
        return cls(caption=caption, columns=names, rows=rows)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column, whether its cells are numbers, with or without intervals."""
        return tuple(
            bool(self.rows) and k > 0 and all(_NUMBER.match(str(row[k])) for row in self.rows)
            for k in range(len(self.columns))
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a section under one heading.

    Parameters
    ----------
    title : str
        The heading.
    text : str, default ""
        What to look for.
    items : tuple of (Table or Picture)
        What it shows, in order.
    is_grid : bool, default False
        Whether its pictures stand side by side.

    Examples
    --------
    >>> Block(title="Cost", items=()).text
    ''
    """

    title: str
    items: tuple[Table | Picture, ...]
    text: str = ""
    is_grid: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """A model that the first screen shows.

    Parameters
    ----------
    title : str
        Why it is shown.
    model : str
        Its name.
    score : str
        Its score with the interval.

    Examples
    --------
    >>> Card(title="Best branch", model="time:cnn", score="0.910 [0.880, 0.930]").model
    'time:cnn'
    """

    title: str
    model: str
    score: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """What the report says on one comparison.

    Parameters
    ----------
    headline : str
        The result in at most twelve words.
    facts : tuple of str
        Dataset, task, split, metric and margin.
    caveats : tuple of str
        Shown with every number.
    cards : tuple of Card
        The best branch, control and fusion, and the baseline.
    picture : Picture
        What each fusion adds.
    checks : tuple of Check
        Whether the comparison is fair.
    blocks : tuple of Block
        The evidence.

    Examples
    --------
    >>> Section(
    ...     headline="No fusion helped",
    ...     facts=("synthetic",),
    ...     caveats=(),
    ...     cards=(),
    ...     picture=Picture(caption="What each fusion adds", svg="<svg></svg>"),
    ...     checks=(),
    ...     blocks=(),
    ... ).headline
    'No fusion helped'
    """

    headline: str
    facts: tuple[str, ...]
    caveats: tuple[str, ...]
    cards: tuple[Card, ...]
    picture: Picture
    checks: tuple[Check, ...]
    blocks: tuple[Block, ...]


def add_breaks(text: str) -> markupsafe.Markup:
    """Escape a text for HTML, and let a line break within long names of models.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    Markup
        With ``<wbr>`` after colons and underscores.

    Examples
    --------
    >>> add_breaks("late_average <b>")
    Markup('late_<wbr>average &lt;b&gt;')
    """
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"([_:])(?=\w)", r"\1<wbr>", escaped))


def split_interval(cell: str) -> tuple[str, ...]:
    """Split a number from its interval, so that a line may break between them only.

    Parameters
    ----------
    cell : str
        Text of a cell.

    Returns
    -------
    tuple of str
        One or two texts.

    Examples
    --------
    >>> split_interval("+0.021 [+0.008, +0.034]")
    ('+0.021', '[+0.008, +0.034]')
    >>> split_interval("adds")
    ('adds',)
    """
    found = _INTERVAL.match(cell)
    return found.groups() if found else (cell,)
