"""Figures of robustness: scores against the severity of disturbances."""

import math
import re
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.plots.figure import add_caveat, check_table, close_figure, hide_frame
from ecglib.plots.results import choose_line

N_COLUMNS, N_LEGEND_COLUMNS = 3, 2
MAX_BANDS = 4  # more hide each other
COLUMNS = ("title", "model", "severity", "unit", "score", "low", "high")
CLASS_COLUMNS = ("title", "model", "class", "loss", "low", "high")


def plot_severity_curves(table: pd.DataFrame, score: str, caveat: str = "") -> Figure:
    """Draw the score of each model against the severity, a panel for each disturbance.

    Parameters
    ----------
    table : DataFrame
        As `ecglib.robustness.Robustness.to_table` returns it.
    score : str
        Name of the score.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure. Severities are evenly spaced, from mild to severe; the first point is
        without the disturbance. Bands are intervals, of up to four models.

    Raises
    ------
    EcgError
        If the table is empty or lacks a column.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "title": ["Clipping", "Clipping"],
    ...         "model": ["time:cnn", "time:cnn"],
    ...         "severity": [np.nan, 0.5],
    ...         "unit": ["mV", "mV"],
    ...         "score": [0.9, 0.8],
    ...         "low": [0.85, 0.75],
    ...         "high": [0.94, 0.85],
    ...     }
    ... )
    >>> fig = plot_severity_curves(table, "macro AUROC")
    >>> fig.axes[0].get_title(), [one.get_text() for one in fig.axes[0].get_xticklabels()]
    ('Clipping', ['none', '0.5'])
    """
    check_table(table, COLUMNS)
    groups = list(table.groupby("title", sort=False))
    n_columns = min(N_COLUMNS, len(groups))
    n_rows = math.ceil(len(groups) / n_columns)
    models = list(dict.fromkeys(table["model"]))
    height = 2.4 * n_rows + 0.5 + 0.18 * math.ceil(len(models) / N_LEGEND_COLUMNS)
    fig, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(3.0 * n_columns + 0.4, height),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (title, rows) in zip(axes.flat, groups, strict=False):
        _draw_curves(ax, rows, models)
        ax.set_title(str(title), size=9)
        ax.set_xlabel(rows["unit"].iloc[0], size=8)
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel(score, size=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=N_LEGEND_COLUMNS,
        fontsize=8,
        frameon=False,
    )
    add_caveat(fig, caveat)
    return close_figure(
        fig,
        f"Lines: {score} of {len(models)} models against the severity of {len(groups)} "
        f"disturbances.",
    )


def _draw_curves(ax: Axes, rows: pd.DataFrame, models: list[str]) -> None:
    severities = list(dict.fromkeys(rows["severity"].dropna()))
    for model, curve in rows.groupby("model", sort=False):
        line = choose_line(models.index(str(model)))
        at = [0 if math.isnan(one) else 1 + severities.index(one) for one in curve["severity"]]
        ax.plot(at, curve["score"], marker="o", ms=3, lw=1.2, label=str(model), **line)
        if len(models) <= MAX_BANDS:
            ax.fill_between(at, curve["low"], curve["high"], color=line["color"], alpha=0.12, lw=0)
    ax.set_xticks(np.arange(len(severities) + 1), ["none", *(f"{one:g}" for one in severities)])
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3)
    hide_frame(ax)


def plot_class_losses(table: pd.DataFrame, score: str, caveat: str = "") -> Figure:
    """Draw what each class loses under each disturbance, a panel for each model.

    Parameters
    ----------
    table : DataFrame
        As `ecglib.robustness.Robustness.to_class_table` returns it.
    score : str
        Name of the score.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure. The losses stand in the cells, darker if more is lost; a loss whose
        interval contains zero, or that has no interval, is in brackets.

    Raises
    ------
    EcgError
        If the table is empty or lacks a column.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "title": ["Clipping"],
    ...         "model": ["time:cnn"],
    ...         "class": ["AF"],
    ...         "loss": [0.03],
    ...         "low": [0.01],
    ...         "high": [0.05],
    ...     }
    ... )
    >>> fig = plot_class_losses(table, "AUROC")
    >>> [text.get_text() for text in fig.axes[0].texts]
    ['0.03']
    """
    check_table(table, CLASS_COLUMNS)
    models = list(dict.fromkeys(table["model"]))
    titles, classes = (list(dict.fromkeys(table[name])) for name in ("title", "class"))
    n_columns = min(N_COLUMNS, len(models))
    n_rows = math.ceil(len(models) / n_columns)
    fig, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(
            2.0 + max(1.6, 0.5 * len(classes)) * n_columns,
            n_rows * (0.8 + 0.22 * len(titles)),
        ),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    highest = max(0.01, float(table["loss"].max()))
    for ax, model in zip(axes.flat, models, strict=False):
        rows = table[table["model"] == model].set_index(["title", "class"])
        losses = rows["loss"].unstack().reindex(index=titles, columns=classes)
        image = ax.imshow(losses, cmap="Oranges", vmin=0, vmax=highest, aspect="auto")
        ax.set_title(
            textwrap.fill(re.sub(r"\+(?=\w)", "+ ", model), 30, break_long_words=False), size=7
        )
        ax.set_xticks(range(len(classes)), classes, rotation=90 if len(classes) > 6 else 0)
        ax.set_yticks(range(len(titles)), titles)
        ax.tick_params(labelsize=8, length=0)
        hide_frame(ax)
        for (title, name), row in rows.iterrows():
            text = f"{round(row['loss'], 2) + 0.0:.2f}"
            text = text if row["low"] > 0 or row["high"] < 0 else f"({text})"
            ax.text(
                classes.index(name),
                titles.index(title),
                text,
                ha="center",
                va="center",
                size=7,
                color="white" if row["loss"] > 0.6 * highest else "black",
            )
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    bar = fig.colorbar(image, ax=axes, fraction=0.03, aspect=30)
    bar.set_label(f"loss of {score}, mean over the severities", size=8)
    bar.ax.tick_params(labelsize=8)
    add_caveat(fig, caveat)
    return close_figure(
        fig,
        f"Table in color: loss of {score} of {len(classes)} classes under {len(titles)} "
        f"disturbances, for {len(models)} models.",
    )
