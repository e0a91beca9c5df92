"""The tables of the checks of explanations show the numbers of their files."""

import json
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # as docs/conf.py does

from generate import explanations  # noqa: E402

FILES = sorted(explanations.RESULTS.glob("*.json"))


def make_row(**changes):
    about = {"model": "time:cnn", "method": "gradient", "input_name": "signal"}
    return about | {"kind": "check", "name": "deletion", "accepted": "at most 0.05"} | changes


def test_a_row_has_the_windows_of_each_method_that_passed_a_check():
    rows = [
        make_row(n_passed=3, n_windows=8),
        make_row(n_passed=7, n_windows=8, method="integrated_gradients"),
    ]

    text = explanations.format_passed(rows)

    assert "| time:cnn | signal | deletion | at most 0.05 | 7 of 8 | - | 3 of 8 |" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_included_and_says_how_it_was_made(path):
    result = json.loads(path.read_text())

    text = explanations.format_result(result)

    page = (DOCS / "guides" / "explanations.md").read_text()
    assert f"generated/results/explanations_{path.stem}.md.txt" in page
    assert all(command in text for command in result["commands"])
    assert "; ".join(result["caveats"]) in text
