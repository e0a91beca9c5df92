"""Figures of signals: ECGs on the usual grid, representations of a window, a prediction."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.errors import EcgError
from ecglib.plots.figure import BLUE, GREY, ORANGE, add_caveat, close_figure, hide_frame
from ecglib.plots.paper import (
    MM_PER_INCH,
    MM_PER_MV,
    MM_PER_S,
    PULSE_MV,
    PULSE_S,
    draw_paper,
)
from ecglib.plots.time_frequency import draw_time_frequency

TWELVE_LEADS = (
    ("I", "AVR", "V1", "V4"),
    ("II", "AVL", "V2", "V5"),
    ("III", "AVF", "V3", "V6"),
)
BEAT_S = 0.25  # before and after the labelled beat
MAX_BARS = 10  # of classes that were not decided for


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictedClasses:
    """What a model predicts for one window, by class.

    Parameters
    ----------
    probabilities : mapping of str to float
        Class -> probability.
    decisions : sequence of str
        The classes that were decided for.
    thresholds : mapping of str to float, optional
        Class -> decision threshold, for a multi-label task.
    labels : sequence of str, optional
        The true classes, if they are known.
    beat_s : float, optional
        Time of the beat that the prediction is about, in s from the start of the window.

    Examples
    --------
    >>> predicted = PredictedClasses(probabilities={"NORM": 0.2, "AF": 0.8}, decisions=["AF"])
    >>> predicted.thresholds is None
    True
    """

    probabilities: Mapping[str, float]
    decisions: Sequence[str]
    thresholds: Mapping[str, float] | None = None
    labels: Sequence[str] | None = None
    beat_s: float | None = None


class _LeadSpan(NamedTuple):
    """A stretch of one lead in a row of the drawing."""

    lead: int
    start_s: float
    stop_s: float


def plot_ecg(
    signal_mv: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str],
    title: str = "",
    caveat: str = "",
    beat_s: float | None = None,
) -> Figure:
    """Draw an ECG as on paper: 25 mm/s, 10 mm/mV, in true size when printed.

    Ten seconds of the twelve standard leads are laid out in four columns of 2.5 s over a rhythm
    strip of lead II; any other window has one row for each lead. Each row starts with a pulse of
    1 mV.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        One window, in mV; NaN is not drawn.
    sampling_rate_hz : float
        Sampling rate in Hz.
    leads : sequence of str
        Name of each lead.
    title : str, default ""
        Written above the paper.
    caveat : str, default ""
        Written above the figure.
    beat_s : float, optional
        Time of the beat that the label is about, in s: a triangle above it, and a pale band.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If the signal does not have the leads that are named.

    Examples
    --------
    >>> time_s = np.arange(1000) / 100
    >>> signal_mv = np.stack([np.sin(time_s), np.cos(time_s)], axis=1)
    >>> fig = plot_ecg(signal_mv, 100, ["I", "II"], title="two sines")
    """
    signal = np.asarray(signal_mv, dtype=float)
    if signal.ndim != 2 or signal.shape[1] != len(leads) or len(signal) == 0:
        raise EcgError(
            f"The signal has shape {signal.shape}; expected one window of shape "
            f"(n_samples, {len(leads)}) for the leads {', '.join(leads)}. Pass one window, not a "
            "batch, and name each lead."
        )
    seconds = len(signal) / sampling_rate_hz
    rows = _arrange_leads(leads, seconds)
    baselines, height = _place_baselines(signal, rows)

    left, right, top = 0.6, seconds + 0.2, 0.3
    width_mm = (right - left + 2 * left) * MM_PER_S
    paper_mm = (height + top) * MM_PER_MV
    above_mm, below_mm = 6.0 + 6.0 * bool(title) + 5.0 * bool(caveat), 10.0
    figure_mm = paper_mm + above_mm + below_mm
    fig = plt.figure(figsize=((width_mm + 8) / MM_PER_INCH, figure_mm / MM_PER_INCH))
    ax = fig.add_axes(
        (4 / (width_mm + 8), below_mm / figure_mm, width_mm / (width_mm + 8), paper_mm / figure_mm)
    )
    draw_paper(ax, (-left, right), (-height, top))

    for row, baseline in zip(rows, baselines, strict=True):
        ax.plot(PULSE_S, baseline + np.array(PULSE_MV), color="black", lw=0.8)
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
    if beat_s is not None:
        _draw_beat(ax, beat_s, top)
    ax.set_title(title, loc="left", size=11)
    ax.set_title("25 mm/s  10 mm/mV", loc="right", size=8, color=GREY)
    add_caveat(fig, caveat)
    about = f" of {title}" if title else ""
    return close_figure(fig, f"ECG{about}: {seconds:g} s of the leads {', '.join(leads)}.")


def _draw_beat(ax: Axes, beat_s: float, top_mv: float) -> None:
    """Show which beat the label is about."""
    ax.axvspan(beat_s - BEAT_S, beat_s + BEAT_S, color=BLUE, alpha=0.12, lw=0, label="beat")
    ax.plot(beat_s, top_mv - 0.12, "v", color=BLUE, ms=7, clip_on=False)
    ax.annotate(
        "labelled beat",
        (beat_s, top_mv - 0.12),
        (6, 0),
        textcoords="offset points",
        va="center",
        size=8,
        color=BLUE,
    )


def _arrange_leads(leads: Sequence[str], seconds: float) -> list[list[_LeadSpan]]:
    """Return the leads of each row, from the top."""
    names = [lead.upper() for lead in leads]
    twelve = sorted(names) == sorted(lead for row in TWELVE_LEADS for lead in row)
    if not twelve or not 9.5 <= seconds <= 10.5:
        return [[_LeadSpan(lead, 0.0, seconds)] for lead in range(len(leads))]
    edges = [*(2.5 * np.arange(4)), seconds]
    grid = [
        [_LeadSpan(names.index(lead), edges[c], edges[c + 1]) for c, lead in enumerate(row)]
        for row in TWELVE_LEADS
    ]
    return [*grid, [_LeadSpan(names.index("II"), 0.0, seconds)]]


def _place_baselines(signal: np.ndarray, rows: list[list[_LeadSpan]]) -> tuple[list[float], float]:
    """Return where each row has 0 mV, on lines of the paper, and the height of all rows in mV."""
    baselines, edge = [], 0.0
    for row in rows:
        values = np.nan_to_num(signal[:, [span.lead for span in row]])
        # An artefact may extend into the next row, as it does on paper.
        up = min(max(values.max(), 1.2), 3.0)
        down = min(max(-values.min(), 0.5), 3.0)
        baseline = -math.ceil(2 * (edge + up)) / 2
        baselines.append(baseline)
        edge = down - baseline
    return baselines, math.ceil(2 * edge) / 2


def plot_prediction(
    signal_mv: np.ndarray,
    sampling_rate_hz: float,
    leads: Sequence[str],
    predicted: PredictedClasses,
    title: str = "",
    caveat: str = "",
) -> Figure:
    """Draw an ECG as `plot_ecg` does, and below it what a model predicts.

    The ten largest probabilities and all decided classes are drawn as bars, decided ones in another
    color, with the threshold as a line across the bar. If the true classes are known, it says so
    beside their bars.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        One window, in mV.
    sampling_rate_hz : float
        Sampling rate in Hz.
    leads : sequence of str
        Name of each lead.
    predicted : PredictedClasses
        Probabilities, decisions and thresholds.
    title : str, default ""
        Written above the paper.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If the signal does not have the leads that are named.

    Examples
    --------
    >>> predicted = PredictedClasses(
    ...     probabilities={"NORM": 0.2, "AF": 0.8},
    ...     decisions=["AF"],
    ...     thresholds={"NORM": 0.5, "AF": 0.4},
    ... )
    >>> fig = plot_prediction(np.zeros((1000, 1)), 100, ["II"], predicted)
    """
    fig = plot_ecg(signal_mv, sampling_rate_hz, leads, title, caveat, predicted.beat_s)
    shown = list_shown_classes(predicted)
    (paper,) = fig.axes
    width, height = fig.get_size_inches()
    added = 0.7 + 0.26 * len(shown)
    box = paper.get_position()
    fig.set_size_inches(width, height + added)
    shrink = height / (height + added)
    paper.set_position((box.x0, 1 - shrink + box.y0 * shrink, box.width, box.height * shrink))
    names_inch = 0.4 + 0.09 * max(map(len, shown))
    bars_inch = min(5.0, max(1.0, width - names_inch - 0.8))
    ax = fig.add_axes(
        (
            names_inch / width,
            0.5 / (height + added),
            bars_inch / width,
            0.26 * len(shown) / (height + added),
        )
    )
    draw_probabilities(ax, predicted)
    probabilities = predicted.probabilities
    decided = ", ".join(f"{name} {probabilities[name]:.2f}" for name in predicted.decisions)
    description = f"ECG of {title or 'a window'}, and the decision: {decided or 'none'}."
    if predicted.labels is not None:
        description += f" True: {', '.join(predicted.labels) or 'none'}."
    return close_figure(fig, description)


def list_shown_classes(predicted: PredictedClasses) -> list[str]:
    """List the classes with the ten largest probabilities, the decided and the true ones.

    Parameters
    ----------
    predicted : PredictedClasses
        Probabilities and decisions.

    Returns
    -------
    list of str
        The most probable first.

    Examples
    --------
    >>> list_shown_classes(PredictedClasses(probabilities={"N": 0.2, "AF": 0.8}, decisions=[]))
    ['AF', 'N']
    """
    probabilities = predicted.probabilities
    by_probability = sorted(probabilities, key=lambda name: probabilities[name], reverse=True)
    return [
        name
        for rank, name in enumerate(by_probability)
        if rank < MAX_BARS or name in predicted.decisions or name in (predicted.labels or ())
    ]


def draw_probabilities(ax: Axes, predicted: PredictedClasses) -> None:
    """Draw the probabilities of `list_shown_classes` as bars, with their thresholds.

    Parameters
    ----------
    ax : Axes
        Axes to draw on.
    predicted : PredictedClasses
        Probabilities, decisions and thresholds.

    Examples
    --------
    >>> ax = Figure().add_subplot()
    >>> predicted = PredictedClasses(probabilities={"N": 0.2, "AF": 0.8}, decisions=["AF"])
    >>> draw_probabilities(ax, predicted)
    >>> ax.texts[0].get_text()
    '0.800  decided'
    """
    shown, probabilities = list_shown_classes(predicted), predicted.probabilities
    thresholds = predicted.thresholds
    at = np.arange(len(shown))
    values = np.array([probabilities[name] for name in shown])
    colors = [ORANGE if name in predicted.decisions else GREY for name in shown]
    ax.barh(at, values, 0.7, color=colors)
    for y, name, value in zip(at, shown, values, strict=True):
        remarks = ["decided"] if name in predicted.decisions else []
        remarks += ["true label"] if name in (predicted.labels or ()) else []
        text = f"{value:.3f}" + (f"  {', '.join(remarks)}" if remarks else "")
        ax.annotate(text, (1, y), (4, 0), textcoords="offset points", va="center", size=8)
        if thresholds:
            ax.plot(
                [thresholds[name]] * 2,
                [y - 0.45, y + 0.45],
                color=mpl.rcParams["text.color"],
                lw=1.2,
            )
    ax.set_yticks(at, shown, size=8)
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5))
    ax.set_xlabel("probability" + (", with threshold" if thresholds else ""), size=8)
    ax.tick_params(labelsize=8)
    hide_frame(ax)


def plot_representations(
    arrays: Mapping[str, np.ndarray],
    axes: Mapping[str, Mapping[str, np.ndarray]],
    units: Mapping[str, str],
    lead: int = 0,
    lead_name: str = "",
    caveat: str = "",
) -> Figure:
    """Draw one lead of one window in all its representations.

    Frequencies with uneven steps are drawn on a logarithmic axis.

    Parameters
    ----------
    arrays : mapping of str to array
        Representation -> array of one window, of shape (n_samples, n_leads), (n_bins, n_leads) or
        (n_frames, n_bins, n_leads).
    axes : mapping of str to mapping of str to array
        Representation -> its axes in s and Hz, as ``axes(n_samples)`` of its layer returns them.
    units : mapping of str to str
        Representation -> ``unit`` of its layer.
    lead : int, default 0
        Number of the lead.
    lead_name : str, default ""
        Name of the lead.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Raises
    ------
    EcgError
        If an array does not have the shape of its axes.

    Examples
    --------
    >>> fig = plot_representations(
    ...     {"time": np.zeros((100, 1))},
    ...     {"time": {"time_s": np.arange(100) / 100}},
    ...     {"time": "mV"},
    ... )
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
                f"The {name} representation has shape {values.shape}; expected "
                f"{(*expected, 'n_leads')}, as its axes have. Pass one window of the batch."
            )
        side.set_axis_off()
        if len(expected) == 2:
            time_s, frequency_hz = axes[name].values()
            image = draw_time_frequency(ax, time_s, frequency_hz, values[..., lead])
            side.set_axis_on()
            fig.colorbar(image, cax=side, label=units[name])
        else:
            (axis,) = axes[name]
            ax.plot(axes[name][axis], values[:, lead], color=BLUE, lw=0.9)
            ax.set(xlabel="time (s)" if axis == "time_s" else "frequency (Hz)", ylabel=units[name])
            ax.grid(alpha=0.3)
        ax.set_title(f"{name}, lead {lead_name}" if lead_name else name, loc="left", size=10)
    _align_time(list(panels[:, 0]), [axes[name] for name in arrays])
    add_caveat(fig, caveat)
    about = f"lead {lead_name} of a window" if lead_name else "a window"
    return close_figure(fig, f"The representations {', '.join(arrays)} of {about}.")


def _align_time(panels: Sequence[Axes], axes: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Give all panels with a time axis the range of the window."""
    over_time = [
        (ax, coordinates["time_s"])
        for ax, coordinates in zip(panels, axes, strict=True)
        if "time_s" in coordinates
    ]
    # The last frame of a spectrogram ends as long after its middle as the first begins before its.
    end_s = max((time_s[-1] + time_s[0] for _, time_s in over_time), default=0.0)
    for ax, _ in over_time:
        ax.set_xlim(0, end_s)
