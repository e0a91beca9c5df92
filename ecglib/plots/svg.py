"""Figures as SVG inside an HTML page: sharp, with alternative text, in the colors of the page."""

import contextlib
import html
import io
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ecglib.plots.figure import AMBER, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY_BLUE

# Stands for the color of the page's text, which differs between light and dark mode.
INK = "#010203"
# A page may give these colors other values, as variables named --figure-blue and so on.
PAGE_COLORS: Mapping[str, str] = MappingProxyType(
    {
        "blue": BLUE,
        "orange": ORANGE,
        "green": GREEN,
        "amber": AMBER,
        "purple": PURPLE,
        "sky-blue": SKY_BLUE,
        "grey": GREY,
        "red": RED,
    }
)
PIXELS_PER_POINT = 96 / 72


@contextlib.contextmanager
def use_svg_style() -> Iterator[None]:
    """Draw in the color of the page's text, on no background; texts of data are not formulas.

    Figures must be drawn and converted (`convert_to_svg`) within the context.

    Examples
    --------
    >>> with use_svg_style():
    ...     mpl.rcParams["svg.fonttype"]
    'none'
    """
    colors = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: dict[Any, Any] = dict.fromkeys(colors, INK) | {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    }
    with mpl.rc_context(settings):
        yield


def convert_to_svg(fig: Figure, name: str, title: str, description: str) -> str:
    """Convert a figure to an SVG element.

    Parameters
    ----------
    fig : Figure
        The figure.
    name : str
        Distinguishes the identifiers of this figure from those of others on the page; letters,
        digits and hyphens.
    title : str
        Title, as alternative text.
    description : str
        What the figure shows, as alternative text.

    Returns
    -------
    str
        An ``<svg>`` element that scales with its container up to its size. All text is escaped.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> with use_svg_style():
    ...     fig = Figure(figsize=(3, 2))
    ...     svg = convert_to_svg(fig, "f1", "Scores <all>", "One row for each model.")
    >>> "<title id=\\"f1-title\\">Scores &lt;all&gt;</title>" in svg
    True
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        fig.savefig(buffer, format="svg", metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    width = fig.get_figwidth() * 72 * PIXELS_PER_POINT
    _, body = svg.split(">", 1)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    body = body.replace(INK, "currentColor")
    for color, value in PAGE_COLORS.items():
        body = body.replace(f": {value}", f": var(--figure-{color}, {value})")
    box = re.search(r'viewBox="([^"]+)"', svg)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box[1] if box else ""}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" style="max-width: {width:.0f}px">'
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>{body}'
    )
