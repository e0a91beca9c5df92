"""A Sphinx extension that writes the generated pages before the others are read.

Each module has a function ``write_pages(folder)``, which writes its pages to ``docs/generated``.
"""

from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[1] / "generated"
MODULES: list[Any] = []


def write_pages(app: Any) -> None:
    """Write all generated pages."""
    PAGES.mkdir(exist_ok=True)
    for module in MODULES:
        module.write_pages(PAGES)


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
