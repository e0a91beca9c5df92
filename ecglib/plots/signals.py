"""Figures of signals: ECGs on the usual grid, views of a window, a prediction."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MultipleLocator,
    NullFormatter,
)

from ecglib.errors import EcgError
from ecglib.plots.figure import BLUE, GREY, ORANGE, add_caveat, bare, done

MM_PER_S, MM_PER_MV, MM_PER_INCH = 25.0, 10.0, 25.4
TWELVE_LEADS = (
    ("I", "AVR", "V1", "V4"),
    ("II", "AVL", "V2", "V5"),
    ("III", "AVF", "V3", "V6"),
)
PAPER = {"minor": "#f7dcdc", "major": "#eeb0b0"}


def ecg(
    signal_mv: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str],
    title: str = "",
    caveat: str = "",
) -> Figure:
    """Draw an ECG as on paper: 25 mm/s, 10 mm/mV, in true size when printed.

    Ten seconds of the twelve standard leads are laid out in four columns of 2.5 s over a rhythm
    strip of lead II; any other window has a row a lead. Each row starts with a pulse of 1 mV.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        In mV.
    sampling_rate_hz : float
        In Hz.
    leads : sequence of str
        The name of each lead.
    title, caveat : str
        Above the figure.

    Raises
    ------
    EcgError
        If the signal does not have the leads that are named.
    """
    signal = np.asarray(signal_mv, dtype=float)
    if signal.ndim != 2 or signal.shape[1] != len(leads) or len(signal) == 0:
        raise EcgError(
            f"ecg takes one window of shape (n_samples, n_leads) for the {len(leads)} leads "
            f"{', '.join(leads)}. Received shape: {signal.shape}. Pass one window, not a batch, "
            "and name each lead."
        )
    seconds = len(signal) / sampling_rate_hz
    rows = _ecg_rows(list(leads), seconds)
    bottoms, height = _ecg_baselines(signal, rows)

    left, right, top = 0.6, seconds + 0.2, 0.3
    width_mm = (right - left + 2 * left) * MM_PER_S
    paper_mm = (height + top) * MM_PER_MV
    above_mm, below_mm = 6.0 + 6.0 * bool(title) + 5.0 * bool(caveat), 10.0
    figure_mm = paper_mm + above_mm + below_mm
    fig = plt.figure(figsize=((width_mm + 8) / MM_PER_INCH, figure_mm / MM_PER_INCH))
    ax = fig.add_axes(
        (4 / (width_mm + 8), below_mm / figure_mm, width_mm / (width_mm + 8), paper_mm / figure_mm)
    )
    _ecg_paper(ax, (-left, right), (-height, top))

    for row, baseline in zip(rows, bottoms, strict=True):
        pulse_s = np.array([-0.5, -0.4, -0.4, -0.2, -0.2, -0.1])
        ax.plot(pulse_s, baseline + np.array([0, 0, 1, 1, 0, 0]), color="black", lw=0.8)
        for lead, start_s, stop_s in row:
            first, stop = (round(s * sampling_rate_hz) for s in (start_s, stop_s))
            values = signal[first:stop, lead]
            time_s = (first + np.arange(len(values))) / sampling_rate_hz
            ax.plot(time_s, baseline + values, color="black", lw=0.8, label=leads[lead])
            # Above what the lead begins with, so that the name hides no beat.
            peak = np.nan_to_num(values[: round(0.5 * sampling_rate_hz)]).max(initial=0.4)
            name_at = (start_s + 0.04, baseline + min(peak, 3.0) + 0.25)
            ax.text(*name_at, leads[lead], size=9, weight="bold", va="center")
            if start_s > 0:
                ax.plot([start_s] * 2, [baseline - 0.3, baseline + 0.3], color="black", lw=0.8)
    ax.set_title(title, loc="left", size=11)
    ax.set_title("25 mm/s  10 mm/mV", loc="right", size=8, color=GREY)
    add_caveat(fig, caveat)
    return done(fig)


def _ecg_rows(leads: list[str], seconds: float) -> list[list[tuple[int, float, float]]]:
    """Rows of (number of the lead, start in s, end in s)."""
    names = [lead.upper() for lead in leads]
    twelve = sorted(names) == sorted(lead for row in TWELVE_LEADS for lead in row)
    if not twelve or not 9.5 <= seconds <= 10.5:
        return [[(lead, 0.0, seconds)] for lead in range(len(leads))]
    edges = [*(2.5 * np.arange(4)), seconds]
    grid = [
        [(names.index(lead), edges[c], edges[c + 1]) for c, lead in enumerate(row)]
        for row in TWELVE_LEADS
    ]
    return [*grid, [(names.index("II"), 0.0, seconds)]]


def _ecg_baselines(signal: np.ndarray, rows: list) -> tuple[list[float], float]:
    """Where each row has its 0 mV, on lines of the paper, and how much paper all rows need."""
    baselines, edge = [], 0.0
    for row in rows:
        values = np.nan_to_num(signal[:, [lead for lead, _, _ in row]])
        # An artefact may run into the next row, as it does on paper.
        up = min(max(values.max(), 1.2), 3.0)
        down = min(max(-values.min(), 0.5), 3.0)
        baseline = -math.ceil(2 * (edge + up)) / 2
        baselines.append(baseline)
        edge = down - baseline
    return baselines, math.ceil(2 * edge) / 2


def _ecg_paper(ax: Axes, x_s: tuple[float, float], y_mv: tuple[float, float]) -> None:
    ax.set(xlim=x_s, ylim=y_mv, xlabel="time (s)")
    ax.xaxis.set_major_locator(MultipleLocator(0.2))
    ax.xaxis.set_minor_locator(MultipleLocator(0.04))
    ax.yaxis.set_major_locator(MultipleLocator(0.5))
    ax.yaxis.set_minor_locator(MultipleLocator(0.1))
    ax.xaxis.set_major_formatter(FuncFormatter(_whole_seconds))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: ""))
    for which, width in (("minor", 0.4), ("major", 0.8)):
        ax.grid(which=which, color=PAPER[which], lw=width)
        ax.tick_params(which=which, length=0, labelsize=8)
    ax.xaxis.label.set_size(8)
    ax.set_axisbelow(True)
    for spine in ax.spines.values():
        spine.set_color(PAPER["major"])


def _whole_seconds(value: float, _) -> str:
    whole = round(value)
    return str(whole) if whole >= 0 and abs(value - whole) < 1e-6 else ""


def prediction(
    signal_mv: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str],
    probabilities: Mapping[str, float],
    decisions: Sequence[str],
    thresholds: Mapping[str, float] | None = None,
    title: str = "",
    caveat: str = "",
) -> Figure:
    """Draw an ECG as `ecg` does, and below it what a model says about it.

    Parameters
    ----------
    signal_mv, sampling_rate_hz, leads, title, caveat
        As in `ecg`.
    probabilities : dict of class to probability
        At most the ten largest, and what was decided, are drawn.
    decisions : sequence of str
        The classes that were decided, drawn in another colour.
    thresholds : dict of class to threshold, optional
        Drawn as a line across the bar; of a multi-label task.
    """
    fig = ecg(signal_mv, sampling_rate_hz, leads, title, caveat)
    largest = sorted(probabilities, key=probabilities.get, reverse=True)
    shown = [name for rank, name in enumerate(largest) if rank < 10 or name in decisions]
    (paper,) = fig.axes
    width, height = fig.get_size_inches()
    more = 0.7 + 0.26 * len(shown)
    box = paper.get_position()
    fig.set_size_inches(width, height + more)
    share = height / (height + more)
    paper.set_position((box.x0, 1 - share + box.y0 * share, box.width, box.height * share))
    names_inch = 0.4 + 0.09 * max(map(len, shown))
    bars_inch = min(5.0, max(1.0, width - names_inch - 0.8))
    ax = fig.add_axes(
        (
            names_inch / width,
            0.5 / (height + more),
            bars_inch / width,
            0.26 * len(shown) / (height + more),
        )
    )
    at = np.arange(len(shown))
    values = np.array([probabilities[name] for name in shown])
    colors = [ORANGE if name in decisions else GREY for name in shown]
    ax.barh(at, values, 0.7, color=colors)
    for y, name, value in zip(at, shown, values, strict=True):
        text = f"{value:.3f}" + (" decided" if name in decisions else "")
        ax.annotate(text, (1, y), (4, 0), textcoords="offset points", va="center", size=8)
        if thresholds:
            ax.plot([thresholds[name]] * 2, [y - 0.45, y + 0.45], color="black", lw=1.2)
    ax.set_yticks(at, shown, size=8)
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5))
    ax.set_xlabel("probability" + (", with threshold" if thresholds else ""), size=8)
    ax.tick_params(labelsize=8)
    bare(ax)
    return done(fig)


def views(
    arrays: Mapping[str, np.ndarray],
    axes: Mapping[str, Mapping[str, np.ndarray]],
    units: Mapping[str, str],
    lead: int = 0,
    lead_name: str = "",
    caveat: str = "",
) -> Figure:
    """Draw one lead of one window in all its views; unevenly spaced frequencies on a log axis.

    Parameters
    ----------
    arrays : dict of representation to array
        Of one window: (n_samples, n_leads), (n_bins, n_leads) or (n_frames, n_bins, n_leads).
    axes : dict of representation to dict
        What ``axes(n_samples)`` of each view gives.
    units : dict of representation to str
        The ``unit`` of each view.
    lead : int
        Number of the lead.
    lead_name : str
        Its name.
    caveat : str
        Above the figure.

    Raises
    ------
    EcgError
        If an array is not that of one window on its axes.
    """
    fig, panels = plt.subplots(
        len(arrays),
        2,
        figsize=(9, 2.5 * len(arrays)),
        layout="constrained",
        squeeze=False,
        width_ratios=(40, 1),
    )
    for (name, array), (ax, side) in zip(arrays.items(), panels, strict=True):
        values = np.asarray(array)
        expected = tuple(len(axis) for axis in axes[name].values())
        if values.shape[:-1] != expected:
            plt.close(fig)
            raise EcgError(
                f"The {name} view of one window has the shape {(*expected, 'n_leads')} on its "
                f"axes. Received shape: {values.shape}. Pass one window of the batch."
            )
        side.set_axis_off()
        if len(expected) == 2:
            time_s, frequency_hz = axes[name].values()
            cells = _edges(time_s), _edges(frequency_hz)
            if not _is_even(frequency_hz):
                cells = cells[0], np.exp(_edges(np.log(frequency_hz)))
                ax.set_yscale("log")
                ax.yaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
                ax.yaxis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz:g}"))
                ax.yaxis.set_minor_formatter(NullFormatter())
            image = ax.pcolormesh(*cells, values[..., lead].T, cmap="viridis")
            side.set_axis_on()
            fig.colorbar(image, cax=side, label=units[name])
            ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
        else:
            (axis,) = axes[name]
            ax.plot(axes[name][axis], values[:, lead], color=BLUE, lw=0.9)
            ax.set(xlabel="time (s)" if axis == "time_s" else "frequency (Hz)", ylabel=units[name])
            ax.grid(alpha=0.3)
        ax.set_title(f"{name}, lead {lead_name}" if lead_name else name, loc="left", size=10)
    _share_time(panels[:, 0], [axes[name] for name in arrays])
    add_caveat(fig, caveat)
    return done(fig)


def _is_even(axis: np.ndarray) -> bool:
    """Whether the steps of an axis are all the same."""
    return np.ptp(np.diff(axis)) <= 1e-6 * np.abs(axis).max() if len(axis) > 2 else True


def _edges(middles: np.ndarray) -> np.ndarray:
    """Where the cells around the points of an axis begin and end; one alone is 1 wide."""
    if len(middles) == 1:
        return np.array([middles[0] - 0.5, middles[0] + 0.5])
    between = (middles[1:] + middles[:-1]) / 2
    first, last = 2 * middles[0] - between[0], 2 * middles[-1] - between[-1]
    return np.concatenate([[first], between, [last]])


def _share_time(panels: Sequence[Axes], axes: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Give all panels over time the range of the window."""
    over_time = [(ax, of["time_s"]) for ax, of in zip(panels, axes, strict=True) if "time_s" in of]
    # The last frame of a spectrogram ends as long after its middle as the first begins before.
    end_s = max((time_s[-1] + time_s[0] for _, time_s in over_time), default=0.0)
    for ax, _ in over_time:
        ax.set_xlim(0, end_s)
