"""Figures of results: training, scores of one run, comparison of many."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_curve,
)

from ecglib.errors import EcgError
from ecglib.plots.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    add_caveat,
    bare,
    check_columns,
    done,
    need,
)

ROLES = {
    "single": (GREY, "o"),
    "ensemble": (BLUE, "s"),
    "widened": (BLUE, "^"),
    "fusion": (ORANGE, "D"),
    "baseline": (GREEN, "v"),
}
VERDICTS = {"adds": (GREEN, "D"), "adds nothing": (ORANGE, "D"), "cannot tell": (GREY, "D")}


def class_balance(counts: pd.DataFrame, caveat: str = "") -> Figure:
    """Draw how many windows of each class each part has.

    Parameters
    ----------
    counts : DataFrame
        Classes as index, parts (train, validation, test) as columns, numbers of windows.
    caveat : str
        Above the figure.
    """
    n_classes, n_parts = counts.shape
    fig, ax = plt.subplots(
        figsize=(7, 1.0 + 0.24 * n_classes * (n_parts + 0.8)), layout="constrained"
    )
    thickness = 0.8 / n_parts
    for k, part in enumerate(counts.columns):
        y = np.arange(n_classes) + (k - (n_parts - 1) / 2) * thickness
        ax.barh(y, counts[part], thickness * 0.92, label=part, color=(BLUE, ORANGE, GREEN)[k % 3])
        for at, n in zip(y, counts[part], strict=True):
            color = RED if n == 0 else "black"
            ax.annotate(
                f"{n:,}",
                (n, at),
                (3, 0),
                textcoords="offset points",
                va="center",
                size=8,
                color=color,
            )
    ax.set_yticks(range(n_classes), counts.index)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel("number of windows")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=n_parts, frameon=False)
    bare(ax)
    add_caveat(fig, caveat)
    return done(fig)


def history(history: pd.DataFrame, caveat: str = "", monitor: str = "auroc") -> Figure:
    """Draw loss and validation score by epoch, with the epoch that was kept.

    Parameters
    ----------
    history : DataFrame
        One row an epoch: ``epoch``, ``loss``, ``val_loss``, the score's column, and ``member``
        where several models were trained.
    caveat : str
        Above the figure.
    monitor : str
        What chose the epoch, as in the experiment: macro "auroc" or "f1", or "none", where the
        last one counts and macro AUROC is drawn.

    Raises
    ------
    EcgError
        If a column is missing.
    """
    column, name = ("val_f1", "macro F1") if monitor == "f1" else ("val_auroc", "macro AUROC")
    need(history, ("epoch", "loss", "val_loss", column))
    fig, (losses, scores) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    members = history.groupby("member") if "member" in history else [(0, history)]
    for number, (_, rows) in enumerate(members):
        first = number == 0
        style = {"marker": ".", "ms": 4, "lw": 1.2, "alpha": 1 if len(members) == 1 else 0.7}
        for own, color, label in (("loss", BLUE, "train"), ("val_loss", ORANGE, "validation")):
            losses.plot(
                rows["epoch"], rows[own], color=color, label=label if first else None, **style
            )
        scores.plot(rows["epoch"], rows[column], color=ORANGE, **style)
        if rows[column].notna().any():
            last = monitor == "none"
            kept = rows.iloc[-1] if last else rows.loc[rows[column].idxmax()]
            label = f"{'last' if last else 'best'}: {kept[column]:.3f} in epoch {kept['epoch']:g}"
            for ax in (losses, scores):
                ax.axvline(kept["epoch"], color=GREY, lw=0.8, ls=":")
            scores.plot(kept["epoch"], kept[column], "o", ms=9, mfc="none", color=RED, label=label)
    losses.set(xlabel="epoch", ylabel="loss")
    scores.set(xlabel="epoch", ylabel=f"{name}, validation")
    for ax in (losses, scores):
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.grid(alpha=0.3)
        bare(ax)
    losses.legend(frameon=False)
    if scores.get_legend_handles_labels()[1]:
        scores.legend(frameon=False, loc="lower right", fontsize=8)
    add_caveat(fig, caveat)
    return done(fig)


def roc_and_pr(y: np.ndarray, p: np.ndarray, classes: Sequence[str], caveat: str = "") -> Figure:
    """Draw the ROC and the precision-recall curve of each class.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        0 and 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    classes : sequence of str
        Names of the columns. A class that has only one outcome has no curve; the legend says so.
    caveat : str
        Above the figure.

    Raises
    ------
    EcgError
        If the shapes do not fit.
    """
    y, p = np.asarray(y), np.asarray(p)
    check_columns(y, p, classes)
    fig, (roc, pr) = plt.subplots(1, 2, figsize=(11, 3.7), layout="constrained")
    for k, (name, color) in enumerate(_coloured(classes)):
        truth, score = y[:, k] > 0.5, p[:, k]
        if truth.all() or not truth.any():
            missing = "negative" if truth.all() else "positive"
            for ax in (roc, pr):
                ax.plot([], [], color=color, label=f"{name}: no {missing} window")
            continue
        false, true, _ = roc_curve(truth, score)
        roc.plot(false, true, color=color, lw=1.4, label=f"{name}: {auc(false, true):.3f}")
        precision, recall, _ = precision_recall_curve(truth, score)
        area = average_precision_score(truth, score)
        label = f"{name}: {area:.3f} (chance {truth.mean():.3f})"
        pr.step(recall, precision, where="post", color=color, lw=1.4, label=label)
    roc.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    roc.set(xlabel="1 - specificity", ylabel="sensitivity")
    pr.set(xlabel="recall", ylabel="precision")
    for ax, title in ((roc, "AUROC"), (pr, "AUPRC")):
        _from_0_to_1(ax, title)
    add_caveat(fig, caveat)
    return done(fig)


def reliability(y: np.ndarray, p: np.ndarray, classes: Sequence[str], caveat: str = "") -> Figure:
    """Draw how often each class is there against how probable it was said to be.

    A point stands for up to 10 equal shares of the windows, by their probability
    (`sklearn.calibration.calibration_curve`, "quantile"); on the diagonal the probability is true.

    Parameters
    ----------
    y, p, classes, caveat
        As in `roc_and_pr`.

    Raises
    ------
    EcgError
        If the shapes do not fit.
    """
    y, p = np.asarray(y), np.asarray(p)
    check_columns(y, p, classes)
    fig, ax = plt.subplots(figsize=(6.5, 3.7), layout="constrained")
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    for k, (name, color) in enumerate(_coloured(classes)):
        share, told = calibration_curve(y[:, k] > 0.5, p[:, k], n_bins=10, strategy="quantile")
        ax.plot(told, share, "o-", ms=3, lw=1.2, color=color, label=name)
    ax.set(xlabel="probability", ylabel="share of positive windows")
    _from_0_to_1(ax)
    add_caveat(fig, caveat)
    return done(fig)


def _coloured(classes: Sequence[str]) -> list[tuple]:
    """Each class with its colour."""
    colors = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20").colors
    return [(name, colors[k % len(colors)]) for k, name in enumerate(classes)]


def _from_0_to_1(ax: Axes, title: str | None = None) -> None:
    """Make a square of both axes, with the legend, and its title, beside it."""
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    ax.grid(alpha=0.3)
    ax.legend(title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    bare(ax)


def confusion(
    y: np.ndarray, decisions: np.ndarray, classes: Sequence[str], caveat: str = ""
) -> Figure:
    """Draw which class was taken for which, for a task of kind "multi_class".

    Parameters
    ----------
    y, decisions : array of shape (n_windows, n_classes)
        One-hot: the class that a window has, and the one decided for.
    classes : sequence of str
        Names of the columns.
    caveat : str
        Above the figure.

    Raises
    ------
    EcgError
        If the shapes do not fit or a row is not one-hot.
    """
    y, decisions = np.asarray(y), np.asarray(decisions)
    check_columns(y, decisions, classes)
    for name, array in (("y", y), ("decisions", decisions)):
        if not np.all((array > 0.5).sum(axis=1) == 1):
            raise EcgError(
                f"A confusion matrix needs exactly one class a window, but {name} has rows with "
                "none or several. Use roc_and_pr for a task of kind 'multi_label'."
            )
    numbers = list(range(len(classes)))
    counts = confusion_matrix(y.argmax(axis=1), decisions.argmax(axis=1), labels=numbers)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.75 * len(classes)
    fig, ax = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in numbers:
        for column in numbers:
            share = shares[row, column]
            ax.text(
                column,
                row,
                f"{counts[row, column]:,}\n{share:.0%}",
                ha="center",
                va="center",
                size=9,
                color="white" if share > 0.55 else "black",
            )
    turn = 45 if max(map(len, classes)) > 6 else 0
    ax.set_xticks(numbers, classes, rotation=turn, ha="right" if turn else "center")
    ax.set_yticks(numbers, classes)
    ax.set(xlabel="decision", ylabel="class")
    fig.colorbar(image, ax=ax, label="share of the class", shrink=0.8)
    add_caveat(fig, caveat)
    return done(fig)


def scores(table: pd.DataFrame, metric: str = "macro AUROC", caveat: str = "") -> Figure:
    """Draw the score of each model with its interval, coloured by role.

    Parameters
    ----------
    table : DataFrame
        One row a model, drawn from the top: ``name``, ``role`` ("single", "ensemble",
        "widened", "fusion" or "baseline"), ``estimate``, ``low``, ``high``.
    metric : str
        What the axis is called.
    caveat : str
        Above the figure.

    Raises
    ------
    EcgError
        If a column is missing.
    """
    need(table, ("name", "role", "estimate", "low", "high"))
    size = (_beside(table["name"]), 1.3 + 0.32 * len(table))
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    _intervals(ax, table, "role", ROLES)
    ax.set_yticks(range(len(table)), table["name"])
    _estimates(ax, table, "{:.3f}")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(f"{metric} with its 95 % interval over patients")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(ROLES), frameon=False)
    _forest(ax, len(table))
    add_caveat(fig, caveat)
    return done(fig)


def differences(
    table: pd.DataFrame, margin: float = 0.01, metric: str = "macro AUROC", caveat: str = ""
) -> Figure:
    """Draw what each fusion adds to what it is compared with.

    Parameters
    ----------
    table : DataFrame
        One row a comparison, drawn from the top: ``fusion``, ``against``, ``estimate``, ``low``,
        ``high``, ``verdict`` ("adds", "adds nothing" or "cannot tell").
    margin : float
        The smallest gain worth having, drawn as a dashed line.
    metric : str
        What the axis is called.
    caveat : str
        Above the figure.

    Raises
    ------
    EcgError
        If a column is missing.
    """
    need(table, ("fusion", "against", "estimate", "low", "high", "verdict"))
    same = table["fusion"].eq(table["fusion"].shift())
    labels = [
        f"against {against}" if again else f"{fusion}\nagainst {against}"
        for fusion, against, again in zip(table["fusion"], table["against"], same, strict=True)
    ]
    lines = [line for label in labels for line in label.splitlines()]
    size = (_beside(lines), 1.5 + 0.36 * len(table))
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    ax.axvline(0, color="black", lw=1)
    ax.axvline(margin, color=GREY, lw=1, ls="--")
    _intervals(ax, table, "verdict", VERDICTS, "verdict: ")
    ax.set_yticks(range(len(table)), labels)
    for at in np.flatnonzero(~same)[1:]:
        ax.axhline(at - 0.5, color=GREY, lw=0.4)
    _estimates(ax, table, "{:+.3f}")
    ax.annotate(
        f"margin {margin:g}",
        (margin, 1),
        (2, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        size=8,
        color=GREY,
    )
    ax.set_xlabel(f"difference in {metric} with its paired 95 % interval over patients")
    fig.legend(loc="outside lower center", ncols=3, frameon=False)
    _forest(ax, len(table))
    add_caveat(fig, caveat)
    return done(fig)


def _beside(labels) -> float:
    """Width of a figure in inches: long labels take nothing from the axes beside them."""
    return 6.5 + 0.085 * max(map(len, labels), default=0)


def _intervals(ax: Axes, table: pd.DataFrame, column: str, styles: dict, before="") -> None:
    """Draw each row's interval, in the colour and with the marker of its kind."""
    for kind, rows in table.groupby(column, sort=False):
        color, marker = styles.get(kind, ("black", "o"))
        at = np.flatnonzero(table[column] == kind)
        ax.hlines(at, rows["low"], rows["high"], color=color, lw=2)
        label = f"{before}{kind}"
        ax.plot(rows["estimate"], at, marker, color=color, ms=6, ls="none", label=label)


def _estimates(ax: Axes, table: pd.DataFrame, form: str) -> None:
    """Write the estimate and its interval to the right of each row."""
    for at, row in enumerate(table.itertuples()):
        text = " ".join(
            (form.format(row.estimate), f"[{form.format(row.low)},", f"{form.format(row.high)}]")
        )
        ax.annotate(
            text,
            (1, at),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=8,
        )


def _forest(ax: Axes, n_rows: int) -> None:
    ax.set_ylim(n_rows - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)
