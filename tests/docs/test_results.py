"""The results page shows the numbers of its files as the comparison formats them."""

import json
import re
import sys
from pathlib import Path

import pytest

from docs.results import add
from ecglib.evaluation import compare_contestants
from ecglib.evaluation.simulation import StudySettings, simulate_study

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # as docs/conf.py does

from generate import results  # noqa: E402

FILES = sorted((DOCS / "results").glob("*.json"))


@pytest.fixture(scope="module")
def comparison():
    settings = StudySettings(n_patients=60, n_seeds=5, n_fusions=2, gain=0.05)
    study = simulate_study(settings, seed=0)
    return compare_contestants(study, dataset="study-0123", task="superdiagnostic")


@pytest.fixture(scope="module")
def written(comparison, tmp_path_factory):
    """The JSON of a comparison, read again."""
    folder = tmp_path_factory.mktemp("results")
    add.write_result(folder, "study", [comparison], {"commands": ["make x"], "versions": {}})
    return folder


def read_rows(table):
    """Cells of the rows of a Markdown table, below its header."""
    lines = table.splitlines()[2:]
    return [[cell.strip(" *") for cell in line.strip("|").split(" | ")] for line in lines]


def test_scores_are_shown_as_the_comparison_formats_them(comparison, written):
    (values,) = json.loads((written / "study.json").read_text())["comparisons"]

    rows = read_rows(results.format_scores(values))

    expected = comparison.format_scores().astype(str).to_numpy().tolist()
    assert rows == expected


def test_verdicts_are_shown_as_the_comparison_formats_them(comparison, written):
    (values,) = json.loads((written / "study.json").read_text())["comparisons"]

    rows = read_rows(results.format_verdicts(values))

    columns = [*rows[0]]
    expected = comparison.format_verdicts().iloc[:, : len(columns)].astype(str).to_numpy().tolist()
    assert rows == expected


def test_a_page_shows_caveats_checks_picture_and_commands(written, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", written)
    result = json.loads((written / "study.json").read_text())
    result["comparisons"][0]["caveats"] = ["synthetic data"]

    text = results.format_result("study", result)

    assert ":::{warning}\nsynthetic data\n:::" in text
    assert "```sh\nmake x\n```" in text
    assert "<figure><svg" in text
    titles = [check["title"] for check in result["comparisons"][0]["checks"]]
    assert titles
    assert all(f"| {title} |" in text for title in titles)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_result_is_included_and_says_how_it_was_made(path):
    result = json.loads(path.read_text())

    assert f"generated/results/{path.stem}{results.SUFFIX}" in (DOCS / "results.md").read_text()
    assert len(result["commands"]) == 2
    assert not re.search(r"(^|\s)/", " ".join(result["commands"]))
    assert len(list(path.parent.glob(f"{path.stem}-*.svg"))) == len(result["comparisons"])


def test_no_number_of_the_results_page_is_typed():
    text = (DOCS / "results.md").read_text()

    outside_code = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)

    assert not re.search(r"\d", outside_code)
