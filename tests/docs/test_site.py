"""The site builds without a warning, has a page for every public name, and no dead link."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from sphinx.util.inventory import InventoryFile

import ecglib
from ecglib import datasets, evaluation, experiment, models, plots
from ecglib.experiment.config import list_fields

ROOT = Path(__file__).parents[2]
API = ROOT / "docs" / "reference" / "api.md"
LINKS = {"href", "src", "poster", "data"}  # attributes


class Page(HTMLParser):
    """The anchors of a page, and what it links to and shows."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.links += [values[name] for name in LINKS if values.get(name)]


def find_dead_links(folder):
    """List the relative links of all pages that lead to no file or no anchor."""
    # Sphinx copies templates of the theme, which are no pages, to `_static`.
    paths = sorted(path for path in folder.rglob("*.html") if "_static" not in path.parts)
    pages = {path.resolve(): Page(path) for path in paths}
    return [
        f"{path.name}: {link}"
        for path, page in pages.items()
        for link in page.links
        if not leads_somewhere(path, link, pages)
    ]


def leads_somewhere(path, link, pages):
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or link == "#":  # "#" only carries a script
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or target not in pages or anchor in pages[target].anchors


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does but without executing notebooks."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    command += ["-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "site")]
    environment = os.environ | {"ECG_GALLERY": "off"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def names(site):
    """Everything that a page of the site documents: kind -> names."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {kind: set(entries) for kind, entries in inventory.data.items()}


def test_a_dead_link_a_missing_anchor_and_a_missing_picture_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="b.html#here"></a><a href="#top"></a><a href="https://x.org"></a>'
        '<a href="c.html"></a><a href="b.html#gone"></a><img src="gone.png">'
    )
    (tmp_path / "b.html").write_text('<p id="here"></p><a href="a.html"></a>')

    dead = find_dead_links(tmp_path)

    assert dead == ["a.html: c.html", "a.html: b.html#gone", "a.html: gone.png"]


def test_the_first_page_of_the_reference_lists_every_public_name():
    listed = re.findall(r"^   (\w+)$", API.read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(ecglib.__all__)


@pytest.mark.slow
def test_no_link_of_the_site_is_dead(site):
    assert find_dead_links(site) == []


@pytest.mark.slow
def test_every_public_name_has_a_page(names):
    documented = set().union(*(names[kind] for kind in names if kind.startswith("py:")))

    assert {f"ecglib.{name}" for name in ecglib.__all__} <= documented
    for package in (datasets, evaluation, experiment, models, plots):
        public = {
            f"ecglib.{name}" if name in ecglib.__all__ else f"{package.__name__}.{name}"
            for name in package.__all__
        }
        assert public <= documented


@pytest.mark.slow
def test_methods_and_properties_are_on_the_page_of_their_class(names):
    assert "ecglib.Dataset.select" in names["py:method"]
    assert "ecglib.Experiment.role" in names["py:property"]


@pytest.mark.slow
def test_every_setting_has_an_entry(names):
    assert names["std:confval"] == set(list_fields())
