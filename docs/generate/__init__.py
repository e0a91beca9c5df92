"""A Sphinx extension that writes the generated pages before Sphinx looks for pages.

Each module has a function ``write_pages(folder)``, which writes its pages to ``docs/generated``.
"""

from pathlib import Path
from typing import Any

from generate import (
    api,
    dataset_cards,
    explanations,
    gallery,
    model_cards,
    pointing,
    references,
    results,
    settings,
)

PAGES = Path(__file__).parents[1] / "generated"
MODULES: list[Any] = [
    api,
    dataset_cards,
    explanations,
    gallery,
    model_cards,
    pointing,
    results,
    settings,
]


def write_pages(app: Any, config: Any) -> None:
    """Write all generated pages."""
    PAGES.mkdir(exist_ok=True)
    for module in MODULES:
        module.write_pages(PAGES)


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    # Before Sphinx lists the pages: autosummary writes one for each name that it finds in them.
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-signature", api.show_signature)
    app.connect("missing-reference", references.resolve_name)
    app.connect("doctree-read", gallery.add_alternative_texts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
