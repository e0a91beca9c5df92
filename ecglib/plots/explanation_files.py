"""The page of an explanation as a file."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from ecglib import paths
from ecglib.errors import EcgError
from ecglib.plots.explanations import describe_explanation, plot_explanation
from ecglib.plots.svg import convert_to_svg, use_svg_style
from ecglib.plots.text import clean_text

if TYPE_CHECKING:  # importing it for real would cost every figure
    from ecglib.explain import Explanation

SUFFIXES = (".png", ".svg", ".html")
PNG_DPI = 150
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: #ffffff; color: #1b1f24;
  font: 16px/1.5 system-ui, sans-serif; }
svg { width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { background: #14171c; color: #e8ebf0; }
  :root { --figure-blue: #56b4e9; --figure-orange: #ff8a4c; --figure-green: #2fc79a;
    --figure-grey: #a8b0bd; --figure-red: #ff7a85; }
}
"""


def check_output(path: str | Path) -> Path:
    """Check that a page can be written to a file of this name.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    EcgError
        If its name ends in none of ``.png``, ``.svg`` and ``.html``.

    Examples
    --------
    >>> check_output("page.gif")
    Traceback (most recent call last):
    ...
    ecglib.errors.EcgError: page.gif cannot be written: ...
    """
    if (found := Path(path)).suffix.lower() not in SUFFIXES:
        raise EcgError(
            f"{path} cannot be written: its name ends in none of {', '.join(SUFFIXES)}. Choose one "
            f"of them."
        )
    return found


def write_explanation(explanation: Explanation, path: str | Path) -> None:
    """Write the page of an explanation: a picture, or an HTML page that loads nothing.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.
    path : str or Path
        A file that ends in ``.png``, ``.svg`` or ``.html``; it is replaced.

    Raises
    ------
    EcgError
        If it ends in something else.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.explain.examples import make_explanation
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_explanation(make_explanation(), Path(folder, "page.html"))
    ...     [path.name for path in Path(folder).iterdir()]
    ['page.html']
    """
    file = check_output(path)
    if file.suffix.lower() == ".html":
        paths.write_text(file, render_explanation(explanation))
        return
    with paths.replace_file(file) as partial:
        kind = file.suffix.lower().removeprefix(".")
        # A file has no page whose color shines through.
        plot_explanation(explanation).savefig(
            partial,
            format=kind,
            dpi=PNG_DPI,
            facecolor="white",
            metadata={"Date": None} if kind == "svg" else None,
        )


def render_explanation(explanation: Explanation) -> str:
    """Render the page as HTML, for light and dark screens; all text is escaped.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.

    Returns
    -------
    str
        The page.

    Examples
    --------
    >>> from ecglib.explain.examples import make_explanation
    >>> render_explanation(make_explanation())[:15]
    '<!doctype html>'
    """
    title = clean_text(
        f"Class {explanation.class_name}: record {explanation.window.record} from "
        f"{explanation.window.start_s:g} s"
    )
    with use_svg_style():
        figure = plot_explanation(explanation)
        svg = convert_to_svg(
            figure, "page", title=title, description=clean_text(describe_explanation(explanation))
        )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{svg}\n</body>\n</html>\n"
    )
