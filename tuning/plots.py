"""The figures of a search."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ecglib.experiment import Experiment
from ecglib.plots import ROLE_STYLES
from ecglib.plots.figure import (
    BLUE,
    GREY,
    ORANGE,
    add_caveat,
    annotate_row,
    check_table,
    close_figure,
    hide_frame,
    lay_out_rows,
    wrap_name,
)
from tuning.importance import tabulate_hyperparameters
from tuning.trials import COMPLETED, Trial

COLORS = colormaps["viridis"]
MAX_AXES = 8
NAME_WIDTH = 34  # characters of a line beside the axes
MAX_LABELS = 12  # of an axis; one with more values is a logarithmic scale


def plot_trials(trials: list[Trial], caveat: str = "") -> Figure:
    """Draw each completed trial's validation macro AUROC, best first, with its range over epochs.

    The filled marker is the trial's score, the line spans its epochs: a long line is a trial that
    was still learning, or one that was not stable.

    Parameters
    ----------
    trials : list of Trial
        The trials of one search; failed ones are not drawn.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> trial = Trial(
    ...     number=1,
    ...     status=COMPLETED,
    ...     experiment={
    ...         "dataset": "synthetic",
    ...         "fingerprint": "0123",
    ...         "task": "superdiagnostic",
    ...         "branches": {"time": "cnn"},
    ...     },
    ...     model="time:cnn",
    ...     val_auroc=0.9,
    ...     history=[{"val_auroc": 0.7}, {"val_auroc": 0.9}],
    ... )
    >>> fig = plot_trials([trial])
    """
    scores = {
        trial.number: trial.val_auroc
        for trial in trials
        if trial.status == COMPLETED and trial.val_auroc is not None
    }
    completed = sorted(
        (trial for trial in trials if trial.number in scores),
        key=lambda trial: (-scores[trial.number], trial.number),
    )
    names = [wrap_name(f"{trial.model}  #{trial.number}", NAME_WIDTH) for trial in completed]
    fig, ax = _make_rows(names)
    labelled: set[str] = set()
    for row, trial in enumerate(completed):
        role = Experiment.from_flat(trial.experiment).role
        color, marker = ROLE_STYLES[role]
        epoch_scores = [epoch["val_auroc"] for epoch in trial.history]
        ax.hlines(row, min(epoch_scores), max(epoch_scores), color=color, lw=2, alpha=0.4)
        ax.plot(
            scores[trial.number],
            row,
            marker,
            color=color,
            ms=6,
            ls="none",
            label=role if role not in labelled else None,
        )
        annotate_row(ax, row, f"{scores[trial.number]:.3f}")
        labelled.add(role)
    lay_out_rows(ax, len(completed))
    ax.set_xlabel("validation macro AUROC (line: its epochs)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    add_caveat(fig, caveat)
    return close_figure(
        fig, f"Validation macro AUROC of {len(completed)} trials, best first, with ranges."
    )


def plot_progress(trials: list[Trial], caveat: str = "") -> Figure:
    """Draw the score of each trial, and the best so far, over the time that was spent.

    A search whose best score still rises would find more in more time.

    Parameters
    ----------
    trials : list of Trial
        The trials of one search, in the order of their numbers; those without a score only take
        time.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> trials = [
    ...     Trial(
    ...         number=n,
    ...         status=COMPLETED,
    ...         experiment={},
    ...         model="time:cnn",
    ...         val_auroc=score,
    ...         seconds=20.0,
    ...     )
    ...     for n, score in enumerate([0.7, 0.9, 0.8], 1)
    ... ]
    >>> fig = plot_progress(trials)
    """
    minutes = np.cumsum([trial.seconds for trial in trials]) / 60
    scores = np.array([np.nan if one.val_auroc is None else one.val_auroc for one in trials])
    best = np.fmax.accumulate(scores)
    fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
    ax.plot(minutes, scores, "o", color=GREY, ms=4, ls="none", label="trial")
    ax.plot(minutes, best, color=ORANGE, lw=2, drawstyle="steps-post", label="best so far")
    ax.set_xlabel("time of all trainings (min)")
    ax.set_ylabel("validation macro AUROC")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    hide_frame(ax)
    add_caveat(fig, caveat)
    return close_figure(
        fig, "Validation macro AUROC of each trial, and the best so far, over time."
    )


def plot_importance(table: pd.DataFrame, caveat: str = "") -> Figure:
    """Draw how much of the differences between trials each hyperparameter explains.

    Parameters
    ----------
    table : DataFrame
        As `tuning.importance.measure_importance` returns it.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"hyperparameter": ["width"], "importance": [0.4], "low": [0.1], "high": [0.6]}
    ... )
    >>> fig = plot_importance(table)
    """
    check_table(table, ("hyperparameter", "importance", "low", "high"))
    fig, ax = plt.subplots(figsize=(7, 1.0 + 0.26 * len(table)), layout="constrained")
    rows = np.arange(len(table))
    ax.axvline(0, color=GREY, lw=0.8)
    ax.hlines(rows, table["low"], table["high"], color=BLUE, lw=2, alpha=0.4)
    ax.plot(table["importance"], rows, "o", color=BLUE, ms=6, ls="none")
    ax.set_yticks(rows, list(table["hyperparameter"]))
    lay_out_rows(ax, len(table))
    ax.set_xlabel("fraction of the variance of scores that it explains (line: 95 % of forests)")
    add_caveat(fig, caveat)
    return close_figure(fig, "How much of the variance of scores each hyperparameter explains.")


def plot_parallel(trials: list[Trial], names: Sequence[str] = (), caveat: str = "") -> Figure:
    """Draw each trial as a line across its hyperparameters, colored by its score.

    Parameters
    ----------
    trials : list of Trial
        The trials of one search; those without a score are not drawn.
    names : sequence of str, default ()
        Columns of `tuning.importance.tabulate_hyperparameters` to draw; empty for the first eight.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> trials = [
    ...     Trial(
    ...         number=n,
    ...         status=COMPLETED,
    ...         experiment={"width": 8 * n, "dropout": n / 10},
    ...         model="time:cnn",
    ...         val_auroc=0.8 + n / 100,
    ...     )
    ...     for n in (1, 2)
    ... ]
    >>> fig = plot_parallel(trials)
    """
    completed = [trial for trial in trials if trial.val_auroc is not None]
    table = tabulate_hyperparameters(completed)
    columns = [name for name in names if name in table] or [str(one) for one in table][:MAX_AXES]
    if not columns:
        return _say("No hyperparameter differs between the trials that completed.", caveat)
    scores = np.array([trial.val_auroc for trial in completed], dtype=float)
    scale = Normalize(scores.min(), scores.max())
    fig, ax = plt.subplots(figsize=(1.5 + 1.2 * len(columns), 4.2), layout="constrained")
    heights = np.column_stack([_place(ax, k, table[name]) for k, name in enumerate(columns)])
    for i in np.argsort(scores):  # the best on top
        ax.plot(heights[i], color=COLORS(scale(scores[i])), lw=1.2, alpha=0.8)
    ax.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    ax.set_xlim(-0.3, len(columns) - 0.3)
    ax.set_yticks([])
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    bar = fig.colorbar(ScalarMappable(scale, COLORS), ax=ax)
    bar.set_label("validation macro AUROC")
    add_caveat(fig, caveat)
    return close_figure(
        fig, f"Each of {len(completed)} trials as a line across its hyperparameters."
    )


def plot_finalists(differences: pd.DataFrame, winner: str, caveat: str = "") -> Figure:
    """Draw how much better the winner is than the other finalists, on the same patients.

    Parameters
    ----------
    differences : DataFrame
        As `tuning.result.SearchResult.compare_finalists` returns it.
    winner : str
        Name of the winner.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"finalist": ["time:s4d  #4"], "difference": [0.01], "low": [-0.01], "high": [0.03]}
    ... )
    >>> fig = plot_finalists(table, "time:cnn  #2")
    """
    check_table(differences, ("finalist", "difference", "low", "high"))
    fig, ax = _make_rows([wrap_name(name, NAME_WIDTH) for name in differences["finalist"]])
    ax.axvline(0, color=GREY, lw=0.8)
    values = differences[["difference", "low", "high"]].to_numpy(dtype=float)
    for row, (difference, low, high) in enumerate(values):
        ax.hlines(row, low, high, color=ORANGE, lw=2, alpha=0.4)
        ax.plot(difference, row, "D", color=ORANGE, ms=6, ls="none")
        annotate_row(ax, row, f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]")
    lay_out_rows(ax, len(differences))
    label = f"validation macro AUROC of {winner} minus that of the finalist"
    ax.set_xlabel(textwrap.fill(label, 70))
    add_caveat(fig, caveat)
    return close_figure(
        fig, f"Differences between {winner} and the other finalists, with intervals."
    )


def _make_rows(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Make axes with a row for each name, which may have several lines."""
    n_lines = max((name.count("\n") + 1 for name in names), default=1)
    height = 1.3 + max(0.34, 0.18 * n_lines + 0.08) * len(names)
    fig, ax = plt.subplots(figsize=(9, height), layout="constrained")
    ax.set_yticks(range(len(names)), names)
    return fig, ax


def _say(text: str, caveat: str) -> Figure:
    """Make a figure that says why there is nothing to draw."""
    fig = plt.figure(figsize=(7, 0.8))
    fig.text(0.01, 0.3, text)
    add_caveat(fig, caveat)
    return close_figure(fig, text)


def _place(ax: Axes, position: int, values: pd.Series) -> np.ndarray:
    """Place the values of one axis between 0 and 1, and label it; return the places."""
    ax.axvline(position, color=GREY, lw=0.8)
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all() and values.nunique() > MAX_LABELS:
        logs = np.log10(numbers.astype(float))
        places = (logs - logs.min()) / (logs.max() - logs.min())
        ends = [(0.0, f"{numbers.min():.2g}"), (1.0, f"{numbers.max():.2g}")]
    else:
        names = sorted(values.unique(), key=lambda one: (isinstance(one, str), one))
        step = 1 / max(1, len(names) - 1)
        index = {name: i * step for i, name in enumerate(names)}
        places = values.map(index)
        ends = [(place, str(name)) for name, place in index.items()]
    for place, text in ends:
        ax.text(position + 0.04, place, text, fontsize=7, va="center", color="#333333")
    return places.to_numpy(dtype=float)
