"""What objects need to show themselves in Jupyter; the HTML is made by `ecglib.display`."""

from collections.abc import Iterator, Mapping


class Displayed:
    """Has the HTML that `ecglib.display` makes of it, imported when Jupyter asks.

    Examples
    --------
    >>> Listing("Letters", {"<a>": "the first"})._repr_html_().count("&lt;a&gt;")
    1
    """

    def _repr_html_(self) -> str:
        from ecglib.display import render  # draws figures, and knows every object

        return render(self)


class Listing(Displayed, Mapping[str, str]):
    """Names with one line about each, as a mapping that shows itself as a table.

    Parameters
    ----------
    title : str
        What is listed, and how a name is used.
    lines : mapping of str to str
        Name -> what it is.

    Examples
    --------
    >>> Listing("Letters", {"a": "the first", "omega": "the last"})
    Letters
      a      the first
      omega  the last
    """

    def __init__(self, title: str, lines: Mapping[str, str]):
        self.title = title
        self._lines = dict(lines)

    def __getitem__(self, name: str) -> str:
        return self._lines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __repr__(self) -> str:
        width = max(map(len, self._lines), default=0)
        lines = [f"  {name:<{width}}  {text}" for name, text in self._lines.items()]
        return "\n".join([self.title, *lines])
