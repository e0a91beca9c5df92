"""Figures of mean beats: where in P, QRS and T the attribution of a class is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.errors import require_one_of
from ecglib.plots.figure import BLUE, GREY, ORANGE, add_caveat, close_figure, hide_frame

if TYPE_CHECKING:
    from ecglib.explain.beats import BeatAverage

N_COLUMNS = 4
WAVE_COLORS = {"P": "#dbe9f6", "QRS": "#e8e8e8", "T": "#fbe3d6"}


def plot_beat_average(average: BeatAverage, leads: Sequence[str] = (), caveat: str = "") -> Figure:
    """Draw the mean beat of a class with its attribution, and the fractions of P, QRS and T.

    Parameters
    ----------
    average : BeatAverage
        As `ecglib.explain.average_beats` returns it.
    leads : sequence of str, default ()
        Leads to draw; empty for all.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure: a panel for each lead, and one for the fractions.

    Raises
    ------
    ExperimentError
        If there is no such lead.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.beats import BeatWindows, average_beats
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> windows = BeatWindows(
    ...     signal_mv=target.inputs["signal"],
    ...     signal=SignalSpec(100.0, 200, ("I", "II"), around_beats=True, beat_s=1.0),
    ...     patients=np.array(["a", "b"]),
    ... )
    >>> average = average_beats(attribute_by_gradient(target)["signal"], windows)
    >>> fig = plot_beat_average(average)
    >>> fig.axes[0].get_title()
    'I'
    """
    names = tuple(leads) or average.leads
    for name in names:
        require_one_of("leads", name, average.leads)
    n_columns = min(N_COLUMNS, len(names))
    n_rows = math.ceil(len(names) / n_columns)
    fig = plt.figure(
        figsize=(2.3 * n_columns + 3.4, max(1.9 * n_rows, 2.8) + 0.7), layout="constrained"
    )
    grid = fig.add_gridspec(n_rows, n_columns + 1, width_ratios=[*[1] * n_columns, 1.4])
    places = [average.leads.index(name) for name in names]
    top_mv = _find_range(average.signal_mv.low[:, places], average.signal_mv.high[:, places])
    highest = np.nanmax(average.attribution.estimate[:, places])
    for k, place in enumerate(places):
        ax = fig.add_subplot(grid[k // n_columns, k % n_columns])
        _draw_lead(ax, average, place)
        ax.set_ylim(top_mv)
        ax.set_title(names[k], size=9)
        right = _draw_attribution(ax, average, place, float(highest))
        if k % n_columns:
            ax.set_yticklabels([])
        else:
            ax.set_ylabel("mV", size=8)
        if k % n_columns == n_columns - 1 or k == len(places) - 1:
            right.set_ylabel("attribution / its mean", size=8, color=ORANGE)
        else:
            right.set_yticklabels([])
        if k + n_columns >= len(places):
            ax.set_xlabel("s from the R peak", size=8)
        else:
            ax.set_xticklabels([])
    _draw_fractions(fig.add_subplot(grid[:, -1]), average)
    add_caveat(fig, caveat)
    return close_figure(fig, _describe(average))


def _find_range(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Find the range of the signal, with a margin."""
    bottom, top = float(np.nanmin(low)), float(np.nanmax(high))
    margin = 0.08 * max(top - bottom, 0.1)
    return bottom - margin, top + margin


def _draw_lead(ax: Axes, average: BeatAverage, place: int) -> None:
    for name, (start, end) in average.waves_s.items():
        ax.axvspan(start, end, color=WAVE_COLORS[name], lw=0, zorder=0)
        ax.text(
            (start + end) / 2,
            0.98,
            name,
            transform=ax.get_xaxis_transform(),
            size=7,
            ha="center",
            va="top",
        )
    signal = average.signal_mv
    ax.fill_between(
        average.time_s, signal.low[:, place], signal.high[:, place], color="black", alpha=0.2, lw=0
    )
    ax.plot(average.time_s, signal.estimate[:, place], color="black", lw=1.0)
    ax.set_xlim(average.time_s[0], average.time_s[-1])
    ax.tick_params(labelsize=8)
    ax.spines[["top"]].set_visible(False)


def _draw_attribution(ax: Axes, average: BeatAverage, place: int, highest: float) -> Axes:
    right = ax.twinx()
    found = average.attribution
    right.plot(average.time_s, found.estimate[:, place], color=ORANGE, lw=1.0)
    right.fill_between(
        average.time_s, found.low[:, place], found.high[:, place], color=ORANGE, alpha=0.25, lw=0
    )
    right.axhline(1, color=ORANGE, lw=0.6, ls=":")
    right.set_ylim(0, 1.3 * highest)
    right.tick_params(labelsize=8, labelcolor=ORANGE)
    right.spines[["top"]].set_visible(False)
    return right


def _draw_fractions(ax: Axes, average: BeatAverage) -> None:
    """Draw the fraction of each wave with its interval, beside its fraction of time."""
    rows = np.arange(len(average.fractions))
    values = np.array([one.attribution for one in average.fractions])
    ends = np.array([[one.attribution_low, one.attribution_high] for one in average.fractions])
    ax.barh(rows - 0.18, values, 0.34, color=ORANGE, label="attribution")
    ax.barh(rows + 0.18, [one.time for one in average.fractions], 0.34, color=GREY, label="time")
    ax.errorbar(
        values,
        rows - 0.18,
        xerr=np.abs(ends.T - values),
        fmt="none",
        ecolor=BLUE,
        capsize=2,
    )
    ax.set_yticks(rows, [one.wave for one in average.fractions])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("fraction of the window", size=8)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    ax.set_title(
        f"{average.class_name}, {average.method}\n{average.n_beats:,} beats, "
        f"{average.n_windows:,} windows, {average.n_patients:,} patients",
        size=9,
    )
    hide_frame(ax)


def _describe(average: BeatAverage) -> str:
    fractions = ", ".join(
        f"{100 * one.attribution:.0f} % in {one.wave} ({100 * one.time:.0f} % of time)"
        for one in average.fractions
    )
    return f"Mean beat of class {average.class_name} in {len(average.leads)} leads: {fractions}."
