"""The tables of the pointing test show the numbers of its file."""

import json
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # as docs/conf.py does

from generate import pointing  # noqa: E402

FILES = sorted(pointing.RESULTS.glob("*.json"))


def make_row(**changes):
    row = {
        "model": "time:cnn",
        "class_name": "T",
        "input_name": "signal",
        "method": "gradient",
        "axis": "time",
        "hits": 0.5,
        "hits_low": 0.4,
        "hits_high": 0.6,
        "hits_chance": 0.1,
        "rank": None,
        "rank_low": None,
        "rank_high": None,
        "rank_chance": None,
        "seeds": 3,
        "seeds_using": 2,
        "fall": 3.0,
        "fall_low": 2.0,
        "fall_high": 4.0,
    }
    return row | changes


def test_a_cell_has_the_hits_with_interval_and_chance():
    text = pointing.format_hits([make_row(), make_row(method="occlusion of bands", hits=0.9)])

    hits, occlusion = "0.50 [0.40, 0.60] (0.10)", "0.90 [0.40, 0.60] (0.10)"
    assert f"| T | time | signal | {hits} | - | - | - | {occlusion} | - |" in text


def test_methods_are_averaged_over_the_evidence_that_the_model_uses():
    rows = [
        make_row(hits=0.6),
        make_row(class_name="P", hits=1.0),
        make_row(class_name="BAND", hits=0.0, seeds_using=0),
    ]

    text = pointing.format_methods(rows, ["time:cnn"])

    assert "| time:cnn | time | signal | T, P | 0.80 (0.10) |" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_included_and_says_how_it_was_made(path):
    result = json.loads(path.read_text())

    text = pointing.format_result(result)

    page = (DOCS / "results.md").read_text()
    assert f"generated/results/pointing_{path.stem}.md.txt" in page
    assert all(command in text for command in result["commands"])
    assert "; ".join(result["caveats"]) in text
