"""A panel of HTML: title, facts, caveats, sentences, figure and tables; all text is escaped."""

import dataclasses
import html
from collections.abc import Mapping

import pandas as pd

from ecglib.plots import clean_text, format_html

# Inherits the colors of the page, so that it is readable on light and on dark.
STYLE = "line-height: 1.45; max-width: 72em; overflow-x: auto"
CAVEAT_STYLE = "border-left: 4px solid #d55e00; padding-left: 0.6em; font-weight: bold"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """What is shown of an object.

    Parameters
    ----------
    title : str
        What it is.
    facts : mapping of str to str, default {}
        Name -> value, one line for each.
    caveats : sequence of str, default ()
        Shown with every number.
    sentences : sequence of str, default ()
        What was found.
    svg : str, default ""
        A figure, as `ecglib.plots.convert_to_svg` makes it.
    tables : mapping of str to DataFrame, default {}
        Caption -> table.
    note : str, default ""
        What to do next.

    Examples
    --------
    >>> Panel(title="time:cnn", caveats=("synthetic data",)).render().count("synthetic data")
    1
    """

    title: str
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    svg: str = ""
    tables: Mapping[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    note: str = ""

    def render(self) -> str:
        """Return the panel as one HTML element, in which Jupyter looks for no formulas."""
        parts = [f"<strong>{_escape(self.title)}</strong>"]
        if self.caveats:
            text = _escape("; ".join(self.caveats))
            parts.append(f'<div style="{CAVEAT_STYLE}">Caveats: {text}</div>')
        parts += [
            f"<div>{_escape(name)}: {_escape(value)}</div>" for name, value in self.facts.items()
        ]
        if self.sentences:
            items = "".join(f"<li>{_escape(sentence)}</li>" for sentence in self.sentences)
            parts.append(f"<ul>{items}</ul>")
        parts.append(self.svg)
        parts += [format_html(table, caption) for caption, table in self.tables.items()]
        if self.note:
            parts.append(f"<div>Next: <code>{_escape(self.note)}</code></div>")
        body = "\n".join(part for part in parts if part)
        page = f'<div class="tex2jax_ignore mathjax_ignore" style="{STYLE}">\n{body}\n</div>'
        return clean_text(page)


def _escape(text: str) -> str:
    return html.escape(text)
