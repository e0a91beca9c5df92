"""Text from data in figures, in HTML tables and in Markdown: shown as it is, never interpreted."""

import html
import re
import string

import pandas as pd

# Control characters but the line break, and the surrogates that stand for bytes of no character.
_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(text: str) -> str:
    r"""Replace the characters of a text that cannot be shown or written.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    str
        With U+FFFD for control characters other than a line break, and for the parts of a file
        name that are not UTF-8.

    Examples
    --------
    >>> clean_text("red\x1b[31m").replace("\ufffd", "?")
    'red?[31m'
    """
    return _UNPRINTABLE.sub("\ufffd", text)


def escape_markdown(text: str) -> str:
    r"""Escape a text from data, so that Markdown shows it as it is.

    Parameters
    ----------
    text : str
        The text, such as the name of a class.

    Returns
    -------
    str
        Without elements of HTML, markup or formulas; on one line.

    Examples
    --------
    >>> print(escape_markdown("<b>late_average"))
    &lt;b&gt;late\_average
    """
    return "".join(
        html.escape(one) if one in "<>&\"'" else f"\\{one}" if one in string.punctuation else one
        for one in clean_text(text).replace("\n", " ")
    )


def format_html(table: pd.DataFrame, caption: str = "", index: bool = False) -> str:
    """Format a table as HTML with all text escaped, for `IPython.display.HTML`.

    Parameters
    ----------
    table : DataFrame
        The table, shown with all its rows; numbers are rounded to three decimals, and a value that
        is missing is a dash.
    caption : str, default ""
        Written above the table, such as a caveat.
    index : bool, default False
        Whether to show the index.

    Returns
    -------
    str
        A ``<table>`` element. Jupyter does not look for formulas in it.

    Examples
    --------
    >>> text = format_html(pd.DataFrame({"<class>": ["A & B"], "p": [0.25]}))
    >>> "&lt;class&gt;" in text, "A &amp; B" in text, "0.250" in text
    (True, True, True)
    """
    # An option of pandas that to_html does not take as an argument.
    with pd.option_context("display.html.use_mathjax", False, "display.max_colwidth", None):
        text = table.to_html(index=index, escape=True, float_format="{:.3f}".format, na_rep="-")
    if caption:
        text = text.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)
    return text
