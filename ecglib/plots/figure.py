"""What several figures use: colors, checks, the caveat above a figure, rows with intervals."""

import functools
import io
import struct
import textwrap
from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from ecglib.errors import EcgError
from ecglib.evaluation.contestants import ENTERED
from ecglib.plots.text import clean_text

# The colors of Okabe and Ito, which color-blind readers can distinguish; markers differ as well.
BLUE, ORANGE, GREEN, AMBER = "#0072b2", "#d55e00", "#009e73", "#e69f00"
PURPLE, SKY_BLUE = "#cc79a7", "#56b4e9"
GREY = "#777777"
#: Color of caveats and of what is wrong.
RED = "#b00020"
PIXELS_PER_INCH = 96  # of a web page


class Style(NamedTuple):
    """Color and marker of one kind of row.

    Parameters
    ----------
    color : str
        Color of line and marker.
    marker : str
        Marker, as matplotlib names it.

    Examples
    --------
    >>> Style("black", "o").marker
    'o'
    """

    color: str
    marker: str


#: Style by role in a comparison (`CONTESTANT_ROLES` of `ecglib.evaluation.contestants`), in the
#: order of legends.
ROLE_STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "single": Style(GREY, "o"),
        "ensemble": Style(BLUE, "s"),
        "widened": Style(BLUE, "^"),
        "fusion": Style(ORANGE, "D"),
        "baseline": Style(GREEN, "v"),
        ENTERED: Style(PURPLE, "P"),
    }
)


def check_table(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table without rows or without needed columns.

    Parameters
    ----------
    table : DataFrame
        The table to be drawn.
    columns : sequence of str
        The columns that are needed.

    Raises
    ------
    EcgError
        If the table has no row or lacks a column.

    Examples
    --------
    >>> check_table(pd.DataFrame({"epoch": [1]}), ["epoch"])
    """
    missing = [column for column in columns if column not in table]
    if missing or len(table) == 0:
        raise EcgError(
            f"The table has {len(table)} rows with the columns "
            f"{', '.join(map(str, table.columns))}; expected at least one row and the columns "
            f"{', '.join(columns)}."
        )


def check_classes(y: np.ndarray, other: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse arrays that do not have one column for each class.

    Parameters
    ----------
    y, other : array of shape (n_windows, n_classes)
        Labels, and probabilities or decisions.
    classes : sequence of str
        Names of the classes.

    Raises
    ------
    EcgError
        If the shapes differ or do not fit the classes.

    Examples
    --------
    >>> check_classes(np.zeros((4, 2)), np.zeros((4, 2)), ["NORM", "MI"])
    """
    if y.ndim != 2 or y.shape != other.shape or y.shape[1] != len(classes):
        raise EcgError(
            f"The arrays have shapes {y.shape} and {other.shape}; expected "
            f"(n_windows, {len(classes)}) for both, for the classes {', '.join(classes)}."
        )


def hide_frame(ax: Axes) -> None:
    """Hide the frame on the right and above.

    Parameters
    ----------
    ax : Axes
        Axes to change.

    Examples
    --------
    >>> fig = Figure()
    >>> hide_frame(fig.add_subplot())
    """
    ax.spines[["top", "right"]].set_visible(False)


def add_caveat(fig: Figure, caveat: str) -> None:
    """Write the caveat, if there is one, above the figure.

    Parameters
    ----------
    fig : Figure
        Figure to change.
    caveat : str
        The caveat; may be empty.

    Examples
    --------
    >>> fig = Figure()
    >>> add_caveat(fig, "synthetic data")
    >>> fig.get_suptitle()
    'synthetic data'
    """
    if caveat:
        fig.suptitle(caveat, x=0.99, ha="right", size=10, color=RED, weight="bold")


def close_figure(fig: Figure, description: str) -> Figure:
    """Close a figure, so that a cell shows it once; every text in it is shown as it is.

    In Jupyter it is a picture of two pixels for each pixel of a common screen, with the description
    as its alternative text.

    Parameters
    ----------
    fig : Figure
        Figure to close.
    description : str
        What the figure shows, in one or two sentences.

    Returns
    -------
    Figure
        The same figure.

    Examples
    --------
    >>> fig = close_figure(plt.figure(), "Nothing.")
    >>> plt.get_fignums()
    []
    """
    for ax in fig.axes:
        _clean_tick_labels(ax.xaxis)
        _clean_tick_labels(ax.yaxis)
    for text in fig.findobj(Text):
        text.set_parse_math(False)  # a name with two $ is no formula
        text.set_text(clean_text(text.get_text()))
    plt.close(fig)
    # Jupyter asks an object for this method first; a class of figures could not be given to all
    # functions of matplotlib that make one.
    show = functools.partial(_show_picture, fig, clean_text(description))
    fig._ipython_display_ = show  # type: ignore[attr-defined]
    return fig


def _show_picture(fig: Figure, description: str) -> None:
    from IPython.display import display

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * PIXELS_PER_INCH, bbox_inches="tight")
    width, height = struct.unpack(">II", buffer.getvalue()[16:24])  # as the header of PNG has them
    size = {"width": width // 2, "height": height // 2}
    display(
        {"image/png": b64encode(buffer.getvalue()).decode(), "text/plain": description},
        metadata={"image/png": {**size, "alt": description}},
        raw=True,
    )


def _clean_tick_labels(axis: Axis) -> None:
    """Clean the names of rows, which an axis writes again whenever it is drawn."""
    if isinstance(axis.get_major_locator(), FixedLocator):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if (cleaned := [clean_text(label) for label in labels]) != labels:
            axis.set_ticks(axis.get_ticklocs(), cleaned)


def lay_out_rows(ax: Axes, n_rows: int) -> None:
    """Lay out axes with one row for each model, from top to bottom.

    Parameters
    ----------
    ax : Axes
        Axes to change.
    n_rows : int
        Number of rows; the first is at y=0.

    Examples
    --------
    >>> ax = Figure().add_subplot()
    >>> lay_out_rows(ax, 3)
    >>> tuple(float(limit) for limit in ax.get_ylim())
    (2.5, -0.5)
    """
    ax.set_ylim(n_rows - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)


def wrap_name(name: str, width: int) -> str:
    """Break a long name of a model into lines, first before the branches of a fusion.

    Parameters
    ----------
    name : str
        Name of the model.
    width : int
        Maximum number of characters in a line.

    Returns
    -------
    str
        The lines.

    Examples
    --------
    >>> print(wrap_name("late_average(time:cnn + frequency:mlp)", width=30))
    late_average
    (time:cnn + frequency:mlp)
    """
    spaced = name.replace("(", "\n(", 1) if len(name) > width else name
    lines = [textwrap.wrap(line, width, break_on_hyphens=False) for line in spaced.split("\n")]
    return "\n".join(line for part in lines for line in part)


def annotate_row(ax: Axes, row: int, text: str, size: float = 8) -> None:
    """Write a text to the right of a row.

    Parameters
    ----------
    ax : Axes
        Axes to change.
    row : int
        Number of the row.
    text : str
        The text.
    size : float, default 8
        Size of the font in points.

    Examples
    --------
    >>> ax = Figure().add_subplot()
    >>> annotate_row(ax, 0, "0.912")
    >>> ax.texts[0].get_text()
    '0.912'
    """
    ax.annotate(
        text,
        (1, row),
        (6, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        size=size,
    )
