"""Figures of a comparison: the score of each model, and what each fusion adds."""

import textwrap
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecglib.evaluation.comparison import RIVAL_TITLES
from ecglib.evaluation.rules import DEFAULT_MARGIN
from ecglib.evaluation.verdict import (
    ADDS,
    ADDS_LITTLE,
    CANNOT_COMPARE,
    CANNOT_MEASURE,
    CANNOT_TELL,
    EQUALS_ENSEMBLE,
    NO_GAIN,
    WORSE,
)
from ecglib.plots.figure import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    ROLE_STYLES,
    Style,
    add_caveat,
    annotate_row,
    check_table,
    close_figure,
    lay_out_rows,
    wrap_name,
)


class VerdictStyle(NamedTuple):
    """How a verdict is drawn: distinguished by its sign and marker, not by color alone.

    Parameters
    ----------
    sign : str
        One character before the word.
    color : str
        Color of line and marker.
    marker : str
        Marker, as matplotlib names it.
    filled : bool, default True
        Whether the marker is filled.

    Examples
    --------
    >>> VERDICT_STYLES["adds"].sign
    '+'
    """

    sign: str
    color: str
    marker: str
    filled: bool = True


#: Style by what a verdict says.
VERDICT_STYLES: Mapping[str, VerdictStyle] = MappingProxyType(
    {
        ADDS: VerdictStyle("+", GREEN, "D"),
        ADDS_LITTLE: VerdictStyle("+", BLUE, "D", filled=False),
        EQUALS_ENSEMBLE: VerdictStyle("=", AMBER, "s"),
        NO_GAIN: VerdictStyle("=", AMBER, "s", filled=False),
        WORSE: VerdictStyle("-", ORANGE, "v"),
        CANNOT_TELL: VerdictStyle("?", GREY, "o", filled=False),
        CANNOT_MEASURE: VerdictStyle("?", GREY, "x"),
        CANNOT_COMPARE: VerdictStyle("?", GREY, "x"),
    }
)
NAME_WIDTH, WORD_WIDTH = 30, 24  # in characters, beside the axes
STACKED_WIDTH, STACKED_CHARACTERS = 4.0, 48  # in inches, and in characters


def plot_scores(
    table: pd.DataFrame, metric: str = "macro AUROC", caveat: str = "", stacked: bool = False
) -> Figure:
    """Draw the score of each model with its interval, colored by role.

    Parameters
    ----------
    table : DataFrame
        One row for each model, drawn from the top: ``name``, ``role`` (see `ROLE_STYLES`),
        ``estimate``, ``low``, ``high``.
    metric : str, default "macro AUROC"
        Label of the axis.
    caveat : str, default ""
        Written above the figure.
    stacked : bool, default False
        Whether names stand above their rows, for a narrow figure.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If a column is missing.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "name": ["late_average", "time:cnn"],
    ...         "role": ["fusion", "single"],
    ...         "estimate": [0.92, 0.90],
    ...         "low": [0.90, 0.88],
    ...         "high": [0.93, 0.92],
    ...     }
    ... )
    >>> fig = plot_scores(table)
    """
    check_table(table, ("name", "role", "estimate", "low", "high"))
    if stacked:
        size = (STACKED_WIDTH, 1.7 + 0.42 * len(table))
    else:
        size = (_compute_width(table["name"]), 1.3 + 0.32 * len(table))
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    _draw_scores(ax, table)
    if stacked:
        _write_above_rows(ax, table["name"])
        ax.set_xlabel(f"{metric}, 95 % interval")
        fig.legend(loc="outside lower left", ncols=3, frameon=False)
    else:
        ax.set_yticks(range(len(table)), table["name"])
        _write_estimates(ax, table)
        ax.set_xlabel(f"{metric} with its 95 % interval over patients and seeds")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(ROLE_STYLES), frameon=False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    lay_out_rows(ax, len(table))
    add_caveat(fig, caveat)
    best = table.iloc[0]
    description = f"Scores of {len(table)} models. The first is {best['name']}: {metric} "
    return close_figure(fig, f"{description}{best['estimate']:.3f}.")


def plot_verdicts(
    table: pd.DataFrame,
    margin: float = DEFAULT_MARGIN,
    metric: str = "macro AUROC",
    caveat: str = "",
    stacked: bool = False,
) -> Figure:
    """Draw what each fusion adds over the best branch, an equal ensemble and a branch of its size.

    Parameters
    ----------
    table : DataFrame
        One row for each fusion and kind of rival, drawn from the top: ``fusion``, ``kind`` (a key
        of `ecglib.evaluation.comparison.RIVAL_TITLES`), ``estimate``, ``low``, ``high``, ``word``.
    margin : float, default 0.01
        The smallest gain worth having, drawn as a dashed line.
    metric : str, default "macro AUROC"
        Label of the axis.
    caveat : str, default ""
        Written above the figure.
    stacked : bool, default False
        Whether the three panels are one below the other, for a narrow figure.

    Returns
    -------
    Figure
        The closed figure; its panels have the same horizontal axis.

    Raises
    ------
    EcgError
        If a column is missing.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "fusion": ["late_average"],
    ...         "kind": ["single"],
    ...         "estimate": [0.02],
    ...         "low": [0.01],
    ...         "high": [0.03],
    ...         "word": ["adds"],
    ...     }
    ... )
    >>> fig = plot_verdicts(table)
    >>> [ax.get_title(loc="left") for ax in fig.axes]
    ['over the best branch', 'over an equal ensemble', 'at the same size']
    """
    check_table(table, ("fusion", "kind", "estimate", "low", "high", "word"))
    words = table.drop_duplicates("fusion").set_index("fusion")["word"]
    labels = [
        wrap_name(fusion, STACKED_CHARACTERS if stacked else NAME_WIDTH) for fusion in words.index
    ]
    n_lines = max(label.count("\n") + 1 for label in labels)
    if stacked:
        height = 1.6 + 3 * (0.45 + (0.28 + 0.14 * n_lines) * len(words)) + 0.2 * words.nunique()
        fig, axes = plt.subplots(
            3, 1, figsize=(STACKED_WIDTH, height), sharex=True, layout="constrained"
        )
    else:
        size = (10.4, 1.2 + max(0.45, 0.19 * n_lines + 0.1) * len(words))
        fig, axes = plt.subplots(1, 3, figsize=size, sharex=True, layout="constrained")
    ends = [*table["low"], *table["high"], *table["estimate"], 0.0, margin]
    low, high = np.nanmin(ends), np.nanmax(ends)
    for ax, (kind, title) in zip(axes, RIVAL_TITLES.items(), strict=True):
        ax.set_title(title, loc="left", size=10, weight="bold")
        ax.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        ax.axvline(0, color=mpl.rcParams["text.color"], lw=1)
        ax.axvline(margin, color=GREY, lw=1, ls="--")
        _draw_differences(ax, table[table["kind"] == kind], words)
        ax.set_yticks([])
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.tick_params(axis="x", labelbottom=True)
        lay_out_rows(ax, len(words))
    if stacked:
        for ax in axes:
            signs = [VERDICT_STYLES[word].sign for word in words]
            _write_above_rows(
                ax, [f"{sign} {label}" for sign, label in zip(signs, labels, strict=True)]
            )
        key = [
            textwrap.fill(f"{VERDICT_STYLES[word].sign} {word}", STACKED_CHARACTERS)
            for word in words.unique()
        ]
        explained = (
            f"difference in {metric}, 95 % interval",
            f"dashed: the smallest gain worth having, {margin:g}",
        )
        fig.supxlabel(
            "\n".join([*explained, *key]),
            size=9,
            ha="left",
            x=0.02,
        )
    else:
        axes[0].set_yticks(range(len(words)), labels)
        for row, word in enumerate(words):
            text = textwrap.fill(f"{VERDICT_STYLES[word].sign}  {word}", WORD_WIDTH)
            annotate_row(axes[-1], row, text, size=9)
        fig.supxlabel(
            f"difference in {metric} with its 95 % interval; dashed: the smallest gain worth "
            f"having, {margin:g}",
            size=9,
        )
    add_caveat(fig, caveat)
    found = "; ".join(f"{fusion}: {word}" for fusion, word in words.items())
    return close_figure(fig, f"What each fusion adds in {metric}, with intervals. {found}.")


def _compute_width(labels: Iterable[str]) -> float:
    """Return the width of a figure in inches, with room for long labels beside the axes."""
    return 6.5 + 0.085 * max(map(len, labels), default=0)


def _write_above_rows(ax: Axes, labels: Iterable[str]) -> None:
    """Write the label of each row above its interval."""
    ax.set_yticks([])
    for row, label in enumerate(labels):
        text = ax.annotate(
            label,
            (0, row - 0.12),
            (2, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="bottom",
            size=8.5,
            annotation_clip=False,
        )
        text.set_in_layout(False)  # or a long name would make the axes narrow


def _draw_scores(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the interval of each row in the style that its role has."""
    for role, rows in table.groupby("role", sort=False):
        style = ROLE_STYLES.get(str(role), Style(GREY, "o"))
        at = np.flatnonzero(table["role"] == role)
        ax.hlines(at, rows["low"], rows["high"], color=style.color, lw=2)
        ax.plot(
            rows["estimate"],
            at,
            style.marker,
            color=style.color,
            ms=6,
            ls="none",
            label=role,
        )


def _draw_differences(ax: Axes, rows: pd.DataFrame, words: pd.Series) -> None:
    """Draw the difference of each fusion in the style of its verdict; a dash if there is none."""
    found = rows.set_index("fusion")
    for row, (fusion, word) in enumerate(words.items()):
        if fusion not in found.index:
            ax.annotate("-", (0.5, row), xycoords=("axes fraction", "data"), va="center")
            continue
        style, values = VERDICT_STYLES[word], found.loc[str(fusion)]
        ax.hlines(row, values["low"], values["high"], color=style.color, lw=2)
        ax.plot(
            values["estimate"],
            row,
            style.marker,
            color=style.color,
            mfc=style.color if style.filled else "white",
            mew=1.5,
            ms=7,
        )


def _write_estimates(ax: Axes, table: pd.DataFrame) -> None:
    """Write the estimate and its interval to the right of each row."""
    columns = (table["estimate"], table["low"], table["high"])
    for row, (estimate, low, high) in enumerate(zip(*columns, strict=True)):
        annotate_row(ax, row, f"{estimate:.3f} [{low:.3f}, {high:.3f}]")
