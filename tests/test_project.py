"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import ecglib
from ecglib.datasets import SOURCES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def list_requirements():
    """What the project and its extra `dev` require; `dev` contains other extras by name."""
    extras = PROJECT["optional-dependencies"]
    first, *tools = extras["dev"]
    others = re.fullmatch(r"ecg-fusion\[(.+)\]", first)[1].split(",")
    return sum((extras[name] for name in others), [*PROJECT["dependencies"], *tools])


def test_environment_yml_is_in_step_with_pyproject():
    python, pip_word, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip_word == "pip"
    assert sorted(pip["pip"]) == sorted([*list_requirements(), "-e ."])


def test_the_lock_pins_and_hashes_every_dependency_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    pinned = {match.lower() for match in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in list_requirements()}
    assert names <= pinned
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block
    assert "://" not in text


def test_no_lambda_layers():
    assert not [p for p in (ROOT / "ecglib").rglob("*.py") if "layers.Lambda" in p.read_text()]


PAGES = [path for path in ROOT.glob("docs/**/*.md") if "generated" not in path.parts]
TEXTS = [*ROOT.glob("*.md"), *PAGES]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def heading_anchors(path):
    """The anchors that GitHub makes of a file's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(path):
    for link in LINK.findall(path.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.exists(), link
        assert not anchor or anchor in heading_anchors(target), link


def test_the_readme_has_at_most_600_words():
    assert len((ROOT / "README.md").read_text().split()) <= 600


def test_the_batches_page_names_every_batch_file():
    text = (ROOT / "docs" / "guides" / "batches.md").read_text()
    names = {path.name for path in (ROOT / "notebooks" / "batches").glob("*.yaml")}
    assert {name for name in names if name not in text} == set()


def test_the_datasets_page_names_every_dataset():
    text = (ROOT / "docs" / "reference" / "datasets.md").read_text()
    assert {name for name in SOURCES if f"`{name}`" not in text} == set()


def test_the_citation_has_the_version_and_license_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ecglib.__version__
    assert citation["license"] == PROJECT["license"]
