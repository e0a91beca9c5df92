"""Images over time and frequency."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter


def draw_time_frequency(
    ax: Axes, time_s: np.ndarray, frequency_hz: np.ndarray, values: np.ndarray, **options: Any
) -> QuadMesh:
    """Draw values over time and frequency; frequencies with uneven steps on a logarithmic axis.

    Parameters
    ----------
    ax : Axes
        Axes to draw on.
    time_s : array of shape (n_frames,)
        Middle of each frame in s.
    frequency_hz : array of shape (n_bins,)
        Middle of each bin in Hz.
    values : array of shape (n_frames, n_bins)
        What is drawn.
    **options
        Options of ``pcolormesh``, such as ``cmap``.

    Returns
    -------
    QuadMesh
        The image, for a color bar.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot()
    >>> image = draw_time_frequency(ax, np.arange(4.0), np.arange(3.0), np.zeros((4, 3)))
    >>> ax.get_ylabel()
    'frequency (Hz)'
    """
    cells = compute_edges(time_s), compute_edges(frequency_hz)
    if not is_even(frequency_hz):
        cells = cells[0], np.exp(compute_edges(np.log(frequency_hz)))
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    return ax.pcolormesh(*cells, values.T, **{"cmap": "viridis"} | options)


def is_even(axis: np.ndarray) -> bool:
    """Return whether the steps of an axis are all equal.

    Examples
    --------
    >>> bool(is_even(np.array([1.0, 2.0, 4.0])))
    False
    """
    return np.ptp(np.diff(axis)) <= 1e-6 * np.abs(axis).max() if len(axis) > 2 else True


def compute_edges(middles: np.ndarray) -> np.ndarray:
    """Return the edges of the cells around the points of an axis; a single cell is 1 wide.

    Examples
    --------
    >>> compute_edges(np.array([1.0, 2.0])).tolist()
    [0.5, 1.5, 2.5]
    """
    if len(middles) == 1:
        return np.array([middles[0] - 0.5, middles[0] + 0.5])
    between = (middles[1:] + middles[:-1]) / 2
    first, last = 2 * middles[0] - between[0], 2 * middles[-1] - between[-1]
    return np.concatenate([[first], between, [last]])
