"""Figures of one run: class balance, training, curves and decisions."""

from collections.abc import Sequence
from typing import Any

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
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.plots.figure import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY_BLUE,
    add_caveat,
    check_classes,
    check_table,
    close_figure,
    hide_frame,
)

SPLIT_COLORS = (BLUE, ORANGE, GREEN)
# Of classes: 28 pairs of color and dashes, so that color alone tells none apart.
CLASS_COLORS = (BLUE, GREEN, ORANGE, AMBER, PURPLE, SKY_BLUE, GREY)
CLASS_DASHES = ("-", "--", "-.", ":")
STACKED_WIDTH = 4.0  # inches
MAX_POINTS = 400  # of a curve: more cannot be seen
N_RELIABILITY_BINS = 10


def plot_class_balance(counts: pd.DataFrame, caveat: str = "") -> Figure:
    """Draw how many windows of each class each split has.

    Parameters
    ----------
    counts : DataFrame
        Classes as index, splits (train, validation, test) as columns, numbers of windows.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> counts = pd.DataFrame({"train": [5210, 0], "test": [40, 3]}, index=["NORM", "MI"])
    >>> fig = plot_class_balance(counts)
    """
    n_classes, n_splits = counts.shape
    height = 1.0 + 0.24 * n_classes * (n_splits + 0.8)
    fig, ax = plt.subplots(figsize=(7, height), layout="constrained")
    thickness = 0.8 / n_splits
    for k, split in enumerate(counts.columns):
        y = np.arange(n_classes) + (k - (n_splits - 1) / 2) * thickness
        color = SPLIT_COLORS[k % len(SPLIT_COLORS)]
        ax.barh(y, counts[split], thickness * 0.92, label=split, color=color)
        for at, n_windows in zip(y, counts[split], strict=True):
            ax.annotate(
                f"{n_windows:,}",
                (n_windows, at),
                (3, 0),
                textcoords="offset points",
                va="center",
                size=8,
                color=RED if n_windows == 0 else "black",
            )
    ax.set_yticks(range(n_classes), counts.index)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel("number of windows")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=n_splits, frameon=False)
    hide_frame(ax)
    add_caveat(fig, caveat)
    totals = ", ".join(f"{name} {counts.loc[name].sum():,}" for name in counts.index)
    splits = ", ".join(map(str, counts.columns))
    return close_figure(fig, f"Bars: windows of each class in {splits}. In all: {totals}.")


def plot_history(history: pd.DataFrame, caveat: str = "", monitor: str = "auroc") -> Figure:
    """Draw loss and validation score by epoch, with the epoch whose weights are used.

    Parameters
    ----------
    history : DataFrame
        One row for each epoch: ``epoch``, ``loss``, ``val_loss``, the score's column, and
        ``member`` if several models were trained.
    caveat : str, default ""
        Written above the figure.
    monitor : {"auroc", "f1", "none"}, default "auroc"
        The macro score that chose the epoch, as in the experiment; "none" if it is the last one,
        macro AUROC is then drawn.

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
    >>> history = pd.DataFrame(
    ...     {
    ...         "epoch": [1, 2],
    ...         "loss": [0.7, 0.5],
    ...         "val_loss": [0.8, 0.6],
    ...         "val_auroc": [0.6, 0.8],
    ...     }
    ... )
    >>> fig = plot_history(history)
    """
    metric = "f1" if monitor == "f1" else "auroc"
    column = f"val_{metric}"
    check_table(history, ("epoch", "loss", "val_loss", column))
    fig, (loss_ax, score_ax) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    models = [rows for _, rows in history.groupby("member")] if "member" in history else [history]
    alpha = 1 if len(models) == 1 else 0.7
    for number, rows in enumerate(models):
        style = {"marker": ".", "ms": 4, "lw": 1.2, "alpha": alpha}
        for loss, color, label in (("loss", BLUE, "train"), ("val_loss", ORANGE, "validation")):
            loss_ax.plot(
                rows["epoch"],
                rows[loss],
                color=color,
                label=label if number == 0 else None,
                **style,
            )
        score_ax.plot(rows["epoch"], rows[column], color=ORANGE, **style)
        if rows[column].notna().any():
            last = monitor == "none"
            chosen = rows.iloc[-1 if last else int(rows[column].argmax())]
            epoch, score = chosen["epoch"], chosen[column]
            for ax in (loss_ax, score_ax):
                ax.axvline(epoch, color=GREY, lw=0.8, ls=":")
            score_ax.plot(
                epoch,
                score,
                "o",
                ms=9,
                mfc="none",
                color=RED,
                label=f"{'last' if last else 'best'}: {score:.3f} in epoch {epoch:g}",
            )
    loss_ax.set(xlabel="epoch", ylabel="loss")
    score_ax.set(xlabel="epoch", ylabel=f"{METRIC_NAMES[metric]}, validation")
    for ax in (loss_ax, score_ax):
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.grid(alpha=0.3)
        hide_frame(ax)
    loss_ax.legend(frameon=False)
    if score_ax.get_legend_handles_labels()[1]:
        score_ax.legend(frameon=False, loc="lower right", fontsize=8)
    add_caveat(fig, caveat)
    return close_figure(
        fig, f"Two panels by epoch: the loss, and the validation {METRIC_NAMES[metric]}."
    )


def plot_learning_curves(
    histories: Sequence[pd.DataFrame], caveat: str = "", monitor: str = "auroc"
) -> Figure:
    """Draw the validation score of one model by epoch, one line for each training.

    Parameters
    ----------
    histories : sequence of DataFrame
        One for each seed and fold: ``epoch``, the score's column, and ``member`` if several models
        were trained.
    caveat : str, default ""
        Written above the figure.
    monitor : {"auroc", "f1", "none"}, default "auroc"
        The macro score that chose the epoch, as in the experiment; "none" if it is the last one,
        macro AUROC is then drawn.

    Returns
    -------
    Figure
        The closed figure; a circle is the epoch whose weights are used.

    Raises
    ------
    EcgError
        If there is no history, or a column is missing.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "val_auroc": [0.6, 0.8]})
    >>> fig = plot_learning_curves([history, history])
    >>> len(fig.axes[0].lines)
    4
    """
    metric = "f1" if monitor == "f1" else "auroc"
    column = f"val_{metric}"
    fig, ax = plt.subplots(figsize=(3.4, 2.3), layout="constrained")
    for history in histories or [pd.DataFrame()]:
        check_table(history, ("epoch", column))
        models = [rows for _, rows in history.groupby("member")] if "member" in history else []
        for rows in models or [history]:
            ax.plot(rows["epoch"], rows[column], color=BLUE, lw=1, alpha=0.8)
            if rows[column].notna().any():
                chosen = rows.iloc[-1 if monitor == "none" else int(rows[column].argmax())]
                ax.plot(chosen["epoch"], chosen[column], "o", ms=5, mfc="none", color=ORANGE)
    ax.set_xlabel("epoch", size=8)
    ax.set_ylabel(f"{METRIC_NAMES[metric]}, validation", size=8)
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(alpha=0.3)
    hide_frame(ax)
    add_caveat(fig, caveat)
    return close_figure(
        fig, f"Lines: validation {METRIC_NAMES[metric]} by epoch of {len(histories)} trainings."
    )


def plot_roc_and_pr(
    y: np.ndarray,
    p: np.ndarray,
    classes: Sequence[str],
    caveat: str = "",
    stacked: bool = False,
) -> Figure:
    """Draw the ROC and the precision-recall curve of each class.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    classes : sequence of str
        Names of the columns. A class that has only one outcome has no curve; the legend says so.
    caveat : str, default ""
        Written above the figure.
    stacked : bool, default False
        Whether the panels and their legends are one below the other, for a narrow figure.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If the shapes do not fit.

    Examples
    --------
    >>> y = np.array([[0], [1], [0], [1]])
    >>> fig = plot_roc_and_pr(y, np.array([[0.1], [0.9], [0.6], [0.4]]), ["AF"])
    """
    y, p = np.asarray(y), np.asarray(p)
    check_classes(y, p, classes)
    if stacked:
        size = (STACKED_WIDTH, 2 * (3.6 + 0.18 * len(classes)))
        fig, (roc_ax, pr_ax) = plt.subplots(2, 1, figsize=size, layout="constrained")
    else:
        size = (10.6 + 0.15 * max(map(len, classes)), 3.7)  # room for the legends
        fig, (roc_ax, pr_ax) = plt.subplots(1, 2, figsize=size, layout="constrained")
    areas = []
    for k, name in enumerate(classes):
        style = choose_line(k)
        truth, score = y[:, k] > 0.5, p[:, k]
        if truth.all() or not truth.any():
            missing = "negative" if truth.all() else "positive"
            areas.append(f"{name}: no {missing} window")
            for ax in (roc_ax, pr_ax):
                ax.plot([], [], label=areas[-1], **style)
            continue
        false, true, _ = roc_curve(truth, score)
        areas.append(f"{name}: {auc(false, true):.3f}")
        roc_ax.plot(_thin(false), _thin(true), lw=1.4, label=areas[-1], **style)
        precision, recall, _ = precision_recall_curve(truth, score)
        area = average_precision_score(truth, score)
        label = f"{name}: {area:.3f} (chance {truth.mean():.3f})"
        pr_ax.step(_thin(recall), _thin(precision), where="post", lw=1.4, label=label, **style)
    roc_ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    roc_ax.set(xlabel="1 - specificity", ylabel="sensitivity")
    pr_ax.set(xlabel="recall", ylabel="precision")
    for ax, title in ((roc_ax, "AUROC"), (pr_ax, "AUPRC")):
        _lay_out_unit_square(ax, title, stacked)
    add_caveat(fig, caveat)
    return close_figure(fig, f"ROC and precision-recall curves. AUROC of {', '.join(areas)}.")


def plot_reliability(
    y: np.ndarray,
    p: np.ndarray,
    classes: Sequence[str],
    caveat: str = "",
    stacked: bool = False,
) -> Figure:
    """Draw the fraction of positive windows against the predicted probability.

    Each point is one of up to 10 bins of equal counts of windows, sorted by probability
    (`sklearn.calibration.calibration_curve`, "quantile"). Calibrated probabilities are on the
    diagonal.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    p : array of shape (n_windows, n_classes)
        Probabilities.
    classes : sequence of str
        Names of the columns.
    caveat : str, default ""
        Written above the figure.
    stacked : bool, default False
        Whether the legend is below the panel, for a narrow figure.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If the shapes do not fit.

    Examples
    --------
    >>> y = np.array([[0], [1], [0], [1]])
    >>> fig = plot_reliability(y, np.array([[0.1], [0.9], [0.6], [0.4]]), ["AF"])
    """
    y, p = np.asarray(y), np.asarray(p)
    check_classes(y, p, classes)
    size = (STACKED_WIDTH, 3.6 + 0.18 * len(classes)) if stacked else (6.5, 3.7)
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    for k, name in enumerate(classes):
        fraction, probability = calibration_curve(
            y[:, k] > 0.5, p[:, k], n_bins=N_RELIABILITY_BINS, strategy="quantile"
        )
        ax.plot(probability, fraction, marker="o", ms=3, lw=1.2, label=name, **choose_line(k))
    ax.set(xlabel="probability", ylabel="fraction of positive windows")
    _lay_out_unit_square(ax, "", stacked)
    add_caveat(fig, caveat)
    names = ", ".join(classes)
    return close_figure(fig, f"Fraction of positive windows by predicted probability, for {names}.")


def choose_line(k: int) -> dict[str, Any]:
    """Choose color and dashes of the line of the class or model with number k.

    Examples
    --------
    >>> choose_line(0)["ls"]
    '-'
    """
    return {
        "color": CLASS_COLORS[k % len(CLASS_COLORS)],
        "ls": CLASS_DASHES[k % len(CLASS_DASHES)],
    }


def _thin(values: np.ndarray) -> np.ndarray:
    """Leave out points of a curve that has more than can be seen; both ends stay."""
    if len(values) <= MAX_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(int)]


def _lay_out_unit_square(ax: Axes, title: str, stacked: bool) -> None:
    """Make both axes a square from 0 to 1, with the legend and its title beside or below it."""
    # Named one by one: matplotlib leaves labels out that begin with an underscore.
    named = [line for line in ax.lines if not str(line.get_label()).startswith("_child")]
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    ax.grid(alpha=0.3)
    ax.legend(
        named,
        [str(line.get_label()) for line in named],
        title=title or None,
        loc="upper left",
        bbox_to_anchor=(0.0, -0.16) if stacked else (1.0, 1.0),
        frameon=False,
        fontsize=8,
    )
    hide_frame(ax)


def plot_confusion(
    y: np.ndarray, decisions: np.ndarray, classes: Sequence[str], caveat: str = ""
) -> Figure:
    """Draw the confusion matrix of a multi-class task.

    Parameters
    ----------
    y : array of shape (n_windows, n_classes)
        Labels, one-hot.
    decisions : array of shape (n_windows, n_classes)
        Decisions, one-hot.
    classes : sequence of str
        Names of the columns.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If the shapes do not fit or a row is not one-hot.

    Examples
    --------
    >>> y, decisions = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 1, 1]]
    >>> fig = plot_confusion(y, decisions, ["N", "V"])
    """
    y, decisions = np.asarray(y), np.asarray(decisions)
    check_classes(y, decisions, classes)
    for name, array in (("y", y), ("decisions", decisions)):
        if not np.all((array > 0.5).sum(axis=1) == 1):
            raise EcgError(
                f"`{name}` has rows with no class or several; a confusion matrix needs exactly one "
                "class for each window. Use plot_roc_and_pr for a multi_label task."
            )
    numbers = list(range(len(classes)))
    counts = confusion_matrix(y.argmax(axis=1), decisions.argmax(axis=1), labels=numbers)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.75 * len(classes)
    fig, ax = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = ax.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for row in numbers:
        for column in numbers:
            fraction = fractions[row, column]
            ax.text(
                column,
                row,
                f"{counts[row, column]:,}\n{fraction:.0%}",
                ha="center",
                va="center",
                size=9,
                color="white" if fraction > 0.55 else "black",
            )
    rotation = 45 if max(map(len, classes)) > 6 else 0
    ax.set_xticks(numbers, classes, rotation=rotation, ha="right" if rotation else "center")
    ax.set_yticks(numbers, classes)
    ax.set(xlabel="decision", ylabel="class")
    fig.colorbar(image, ax=ax, label="fraction of the class", shrink=0.8)
    add_caveat(fig, caveat)
    right = ", ".join(f"{name} {fractions[k, k]:.0%}" for k, name in enumerate(classes))
    return close_figure(fig, f"Confusion matrix. Of each class, decided rightly: {right}.")
