"""SVG elements of figures: alternative text, escaping, the colors of the page."""

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl

mpl.use("Agg")

import pandas as pd
import pytest

from ecglib import plots

SVG = "{http://www.w3.org/2000/svg}"


def draw(name: str = "f1", fusion: str = "late_average") -> str:
    table = pd.DataFrame(
        {
            "fusion": [fusion],
            "kind": ["single"],
            "estimate": [0.02],
            "low": [0.01],
            "high": [0.03],
            "word": ["adds"],
        }
    )
    with plots.use_svg_style():
        return plots.convert_to_svg(
            plots.plot_verdicts(table), name, title="What <it> adds", description="A & B"
        )


def test_a_figure_is_an_image_with_title_and_description():
    root = ET.fromstring(draw())
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    ids = root.get("aria-labelledby").split()
    texts = {child.get("id"): child.text for child in root}
    assert [texts[one] for one in ids] == ["What <it> adds", "A & B"]


@pytest.mark.parametrize("fusion", ["</svg><script>alert(1)</script>", "a & $b$ _c_ $"])
def test_text_of_data_stays_text(fusion):
    root = ET.fromstring(draw(fusion=fusion))
    assert root.find(".//script") is None
    shown = "".join("".join(one.itertext()) for one in root.iter(f"{SVG}text"))
    assert fusion.replace(" ", "") in shown.replace(" ", "")


def test_text_and_axes_have_the_color_of_the_page():
    svg = draw()
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "#000000" not in svg


def test_nothing_is_loaded_from_elsewhere():
    svg = draw()
    urls = set(re.findall(r"https?://[^\"' ]+", svg))
    assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in svg


def test_two_figures_of_a_page_share_no_identifier():
    a, b = (set(re.findall(r'\bid="([^"]+)"', draw(name))) for name in ("f1", "f2"))
    assert a
    assert not a & b
    svg = draw("f1")
    used = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert used
    assert used <= a


def test_the_same_figure_is_the_same_text():
    assert draw() == draw()
