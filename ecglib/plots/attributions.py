"""Panels of an explanation: an input of a model with the attribution on its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from ecglib.plots.attribution_colors import (
    BAR,
    CELL_S,
    SMALL,
    ColorScale,
    choose_lead,
)
from ecglib.plots.figure import BLUE, GREY, ORANGE, hide_frame
from ecglib.plots.paper import MM_PER_MV, draw_paper
from ecglib.plots.time_frequency import compute_edges, draw_time_frequency

if TYPE_CHECKING:  # importing it for real would cost every figure
    from ecglib.explain import ExplainedInput

MAX_HEIGHT_MM = 240.0  # of the paper at the usual gain


def choose_gain(signal_mv: np.ndarray) -> float:
    """Choose the gain of the paper: 10 mm/mV or, where the rows would not fit on a page, 5 mm/mV.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        In mV.

    Returns
    -------
    float
        In mm/mV.

    Examples
    --------
    >>> choose_gain(np.zeros((2, 12))), choose_gain(np.array([[5.0] * 12, [-5.0] * 12]))
    (10.0, 5.0)
    """
    _, edges = place_rows(signal_mv * MM_PER_MV / 10)
    return MM_PER_MV if -10 * edges[-1] <= MAX_HEIGHT_MM else MM_PER_MV / 2


def place_rows(signal_cm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place one row for each lead on the paper.

    Parameters
    ----------
    signal_cm : array of shape (n_samples, n_leads)
        In cm of the paper.

    Returns
    -------
    array of shape (n_leads,)
        Where each lead has 0 mV, on lines of the paper, from the top down, in cm.
    array of shape (n_leads + 1,)
        The edges of the rows, in cm.

    Examples
    --------
    >>> zeros, edges = place_rows(np.zeros((100, 2)))
    >>> zeros.round(1).tolist(), edges.round(1).tolist()
    ([-0.7, -1.7], [0.0, -1.0, -2.0])
    """
    zeros, edges = [], [0.0]
    for lead in np.nan_to_num(signal_cm).T:
        # An artefact may extend into the next row, as it does on paper.
        up, down = np.clip(lead.max(), 0.7, 1.5), np.clip(-lead.min(), 0.3, 0.9)
        zeros.append(edges[-1] - np.ceil(10 * up) / 10)
        edges.append(zeros[-1] - np.ceil(10 * down) / 10)
    return np.array(zeros), np.array(edges)


def draw_signal(
    ax: Axes,
    explained: ExplainedInput,
    sampling_rate_hz: float,
    scale: ColorScale,
    beat_s: float | None = None,
) -> None:
    """Draw an ECG on paper, one row for each lead, the attribution behind it.

    Parameters
    ----------
    ax : Axes
        Axes, in the proportions of the paper.
    explained : ExplainedInput
        The signal.
    sampling_rate_hz : float
        Sampling rate in Hz.
    scale : ColorScale
        Colors of the cells of 40 ms.
    beat_s : float, optional
        Time of the beat that the label is about, in s.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from ecglib.explain.examples import make_explanation
    >>> explained = make_explanation().signal
    >>> ax = Figure().add_subplot()
    >>> scale = ColorScale(explained.attribution, explained.attribution.shown[0])
    >>> draw_signal(ax, explained, 100.0, scale)
    >>> ax.get_xlabel()
    'time (s)'
    """
    cells = explained.attribution.shown[0]
    signal = explained.values * choose_gain(explained.values) / 10
    seconds = len(signal) / sampling_rate_hz
    zeros, edges = place_rows(signal)
    ax.set_facecolor("white")
    draw_paper(ax, (0.0, seconds), (edges[-1], 0.0))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if _is_whole(value) else "")
    colors = scale.colors(scale.norm(cells))
    # Transparent where there is no attribution, so that the paper remains visible.
    colors[..., 3] = np.clip(np.abs(cells) / scale.maximum, 0, 1) * 0.9
    times = np.minimum(np.arange(len(cells) + 1) * CELL_S, seconds)
    for lead, top, bottom in zip(colors.swapaxes(0, 1), edges[:-1], edges[1:], strict=True):
        ax.pcolormesh(times, [bottom, top], lead[None], zorder=0.9, rasterized=True)
        ax.axhline(bottom, color=GREY, lw=0.5)
    time_s = np.arange(len(signal)) / sampling_rate_hz
    names = explained.attribution.axes[-1].values
    for name, values, zero in zip(names, signal.T, zeros, strict=True):
        ax.plot(time_s, zero + values, color="black", lw=0.8, label=name)
    if beat_s is not None:
        ax.plot(beat_s, -0.06, "v", color="black", ms=6, clip_on=False, zorder=5)
    ax.set_yticks(zeros, names, size=9, weight="bold")


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def draw_spectrum(left: Axes, right: Axes, explained: ExplainedInput, scale: ColorScale) -> None:
    """Draw the spectrum of one lead over its attribution, and the attribution of all leads.

    Parameters
    ----------
    left, right : Axes
        Axes to draw on.
    explained : ExplainedInput
        A spectrum.
    scale : ColorScale
        Colors of the attribution.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from ecglib.explain.examples import make_explanation
    >>> spectrum, _ = make_explanation().representations
    >>> left, right = Figure().subplots(1, 2)
    >>> scale = ColorScale(spectrum.attribution, spectrum.attribution.shown[0])
    >>> draw_spectrum(left, right, spectrum, scale)
    >>> left.get_xlabel()
    'frequency (Hz)'
    """
    frequency, leads = explained.attribution.axes
    lead, values = choose_lead(explained), explained.attribution.shown[0]
    edges_hz = compute_edges(frequency.values)
    options: dict[str, Any] = {"cmap": scale.colors, "norm": scale.norm, "rasterized": True}
    spectrum = explained.values[:, lead]
    margin = 0.05 * float(np.ptp(spectrum)) or 1.0
    y = [spectrum.min() - margin, spectrum.max() + margin]
    left.pcolormesh(edges_hz, y, values[None, :, lead], **options)
    left.plot(frequency.values, spectrum, color="black", lw=0.9)
    left.set(xlim=edges_hz[[0, -1]], ylim=y, xlabel="frequency (Hz)")
    _set_title(left, f"spectrum of lead {leads.values[lead]}", explained.unit)
    n = len(leads.values)
    right.pcolormesh(edges_hz, np.arange(n + 1) - 0.5, values.T, **options)
    right.set_yticks(np.arange(n), leads.values, size=7 if n <= 12 else 4)
    right.set(xlabel="frequency (Hz)", ylim=(n - 0.5, -0.5))
    _set_title(right, "attribution of all leads", explained.attribution.unit)
    scale.add_bar(right)


def draw_spectrogram(
    left: Axes, right: Axes, explained: ExplainedInput, scale: ColorScale, start_s: float
) -> None:
    """Draw the spectrogram or scalogram of one lead, and its attribution beside it.

    Parameters
    ----------
    left, right : Axes
        Axes to draw on.
    explained : ExplainedInput
        A spectrogram or scalogram.
    scale : ColorScale
        Colors of the attribution.
    start_s : float
        Start of the crop in the window, in s.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from ecglib.explain.examples import make_explanation
    >>> _, spectrogram = make_explanation().representations
    >>> left, right = Figure().subplots(1, 2)
    >>> scale = ColorScale(spectrogram.attribution, spectrogram.attribution.shown[0])
    >>> draw_spectrogram(left, right, spectrogram, scale, 0.0)
    >>> left.get_ylabel()
    'frequency (Hz)'
    """
    time, frequency, leads = explained.attribution.axes
    lead = choose_lead(explained)
    axes = (time.values + start_s, frequency.values)
    options: dict[str, Any] = {"cmap": scale.colors, "norm": scale.norm, "rasterized": True}
    image = draw_time_frequency(left, *axes, explained.values[..., lead], rasterized=True)
    drawn = explained.attribution.shown[0][..., lead]
    draw_time_frequency(right, *axes, drawn, **options)
    bar = left.figure.colorbar(image, ax=left, **BAR)
    bar.ax.tick_params(labelsize=SMALL)
    _set_title(left, f"{explained.name} of lead {leads.values[lead]}", explained.unit)
    _set_title(right, "its attribution", explained.attribution.unit)
    scale.add_bar(right)


def draw_tabular(left: Axes, right: Axes, explained: ExplainedInput) -> None:
    """Write tabular values, and draw their attribution as bars.

    Parameters
    ----------
    left, right : Axes
        Axes to draw on.
    explained : ExplainedInput
        Tabular values; a missing one has no attribution.

    Examples
    --------
    >>> from ecglib import open_run
    >>> from ecglib.explain import Explainer
    >>> found = Explainer(open_run()).explain(window)  # doctest: +SKIP
    >>> draw_tabular(left, right, found.representations[0])  # doctest: +SKIP
    """
    names, values = explained.attribution.axes[0].values, explained.attribution.values[0]
    at = np.arange(len(names), dtype=float)
    left.set_axis_off()
    left.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1))
    for y, name, value in zip(at.tolist(), names, explained.values, strict=True):
        left.text(0, y, name, size=8, va="center")
        left.text(0.6, y, "missing" if np.isnan(value) else f"{value:.3g}", size=8, va="center")
    _set_title(left, "tabular values", "")
    right.barh(at, np.nan_to_num(values), color=[ORANGE if v > 0 else BLUE for v in values])
    right.set_yticks([])  # the names are beside the values, in the same rows
    right.set(ylim=(len(names) - 0.5, -0.5))
    right.axvline(0, color=GREY, lw=0.8)
    _set_title(right, "their attribution", explained.attribution.unit)
    hide_frame(right)


def _set_title(ax: Axes, what: str, unit: str) -> None:
    """Write what is drawn above a panel, and its unit below that."""
    ax.set_title(f"{what}\n{unit}", loc="left", size=8)
