"""Tables and folded sections in Markdown, for the generated pages."""

from collections.abc import Iterable, Sequence


def format_table(header: Sequence[str], rows: Iterable[Sequence[object]], n_text: int = 1) -> str:
    """Format a table.

    Parameters
    ----------
    header : sequence of str
        Titles of the columns.
    rows : iterable of sequence of object
        Cells; ints get thousands separators, None becomes a dash.
    n_text : int, default 1
        Number of columns of text, which come first; the others are aligned to the right.

    Examples
    --------
    >>> print(format_table(["class", "windows"], [["S", 1836]]))
    | class | windows |
    |---|--:|
    | S | 1,836 |
    """
    rules = ["---"] * n_text + ["--:"] * (len(header) - n_text)
    lines = [format_row(header), f"|{'|'.join(rules)}|", *map(format_row, rows)]
    return "\n".join(lines)


def format_row(cells: Sequence[object]) -> str:
    """Format a row of a table."""
    return f"| {' | '.join(map(format_cell, cells))} |"


def format_cell(value: object) -> str:
    """Format a cell: one line, without a bar that would end it."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def fold(title: str, content: str) -> str:
    """Put content behind a title that unfolds it."""
    return f":::{{dropdown}} {title}\n{content}\n:::"
