"""The paper of an ECG: 25 mm/s and 10 mm/mV, squares of 1 mm and 5 mm."""

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

MM_PER_S, MM_PER_MV, MM_PER_INCH = 25.0, 10.0, 25.4
PAPER_COLORS = {"minor": "#f7dcdc", "major": "#eeb0b0"}
PULSE_S = (-0.5, -0.4, -0.4, -0.2, -0.2, -0.1)
PULSE_MV = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)


def draw_paper(ax: Axes, x_s: tuple[float, float], y_mv: tuple[float, float]) -> None:
    """Draw squares of 1 mm and 5 mm, and seconds below them.

    Parameters
    ----------
    ax : Axes
        Axes to draw on.
    x_s : tuple of float
        First and last time in s.
    y_mv : tuple of float
        Lowest and highest voltage in mV.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot()
    >>> draw_paper(ax, (0.0, 10.0), (-1.0, 1.0))
    >>> ax.get_xlabel()
    'time (s)'
    """
    ax.set(xlim=x_s, ylim=y_mv, xlabel="time (s)")
    ax.xaxis.set_major_locator(MultipleLocator(0.2))
    ax.xaxis.set_minor_locator(MultipleLocator(0.04))
    ax.yaxis.set_major_locator(MultipleLocator(0.5))
    ax.yaxis.set_minor_locator(MultipleLocator(0.1))
    ax.xaxis.set_major_formatter(FuncFormatter(_format_seconds))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: ""))
    line_widths: dict[Literal["minor", "major"], float] = {"minor": 0.4, "major": 0.8}
    for which, width in line_widths.items():
        ax.grid(which=which, color=PAPER_COLORS[which], lw=width)
        ax.tick_params(which=which, length=0, labelsize=8)
    ax.xaxis.label.set_fontsize(8)
    ax.set_axisbelow(True)
    for spine in ax.spines.values():
        spine.set_color(PAPER_COLORS["major"])


def _format_seconds(value: float, _: int | None) -> str:
    """Return whole seconds as text, and nothing for fractions of a second."""
    whole = round(value)
    return str(whole) if whole >= 0 and abs(value - whole) < 1e-6 else ""
