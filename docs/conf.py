"""The site: ``make docs`` writes it to ``docs/site``."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from generate import api  # noqa: E402

import ecglib  # noqa: E402

project = "ecg-fusion"
author = "The ecg-fusion developers"
version = release = ecglib.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "generate",  # the pages that are generated, in this folder
]
exclude_patterns = ["site", "generated/executed", "README.md"]
templates_path = ["templates"]
nitpicky = False
smartquotes = False  # help texts hold code
default_role = "py:obj"  # `name` in a docstring is a link where the name has a page

# Notebooks are executed by `generate.gallery`, at a small size.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

autosummary_generate = api.list_files()
autodoc_typehints = "none"  # numpydoc shows types with shapes and units
autodoc_inherit_docstrings = False  # those of Keras say nothing about a layer
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "ecg-fusion"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["notebooks.css"]
# A page that stands alone has no section to navigate.
html_sidebars = {
    page: [] for page in ("index", "quickstart", "trust", "papers", "gallery", "results")
}
html_theme_options = {
    "collapse_navigation": True,  # only the section of a page: a quick build
    "header_links_before_dropdown": 4,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
