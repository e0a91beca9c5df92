"""A page that is filled from the top, with lengths in mm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ecglib.plots.paper import MM_PER_INCH

MARGIN_MM, LINE_MM = 8.0, 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a page: its height, and what draws it below a height of the page.

    Parameters
    ----------
    height_mm : float
        Height in mm.
    draw : callable
        From the page and the top of the block in mm to nothing.

    Examples
    --------
    >>> block = Block(height_mm=5.0, draw=lambda page, top: page.write(8, top, "a line"))
    >>> Page(100.0, [block]).height_mm
    21.0
    """

    height_mm: float
    draw: Callable[[Page, float], None]


class Page:
    """A figure that is filled with blocks from the top, in mm.

    Parameters
    ----------
    width_mm : float
        Width in mm.
    blocks : list of Block
        From the top down.

    Examples
    --------
    >>> page = Page(100.0, [])
    >>> page.fig.get_size_inches().round(2).tolist()
    [3.94, 0.63]
    """

    def __init__(self, width_mm: float, blocks: list[Block]):
        self.width_mm = width_mm
        self.height_mm = sum(block.height_mm for block in blocks) + 2 * MARGIN_MM
        size = (width_mm / MM_PER_INCH, self.height_mm / MM_PER_INCH)
        self.fig = plt.figure(figsize=size)
        top = MARGIN_MM
        for block in blocks:
            block.draw(self, top)
            top += block.height_mm

    @property
    def inner_mm(self) -> float:
        """The width between the margins."""
        return self.width_mm - 2 * MARGIN_MM

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes by their left, top, width and height in mm."""
        bottom = self.height_mm - top - height
        ax = self.fig.add_axes(
            (
                left / self.width_mm,
                bottom / self.height_mm,
                width / self.width_mm,
                height / self.height_mm,
            )
        )
        ax.tick_params(labelsize=7)
        ax.xaxis.label.set_fontsize(8)
        ax.yaxis.label.set_fontsize(8)
        return ax

    def write(self, left: float, top: float, text: str, **style: object) -> None:
        """Write a line below a height in mm."""
        x, y = left / self.width_mm, 1 - top / self.height_mm
        self.fig.text(x, y, text, **{"va": "top", "size": 9} | style)  # type: ignore[arg-type]
