"""Figures of a comparison: every score and every verdict, each with its interval and its sign."""

import itertools

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pandas as pd
import pytest

from ecglib import plots
from ecglib.evaluation.comparison import RIVAL_TITLES
from ecglib.evaluation.verdict import WORDS


def read_texts(fig) -> list[str]:
    """All texts of a figure, legends included."""
    fig.canvas.draw()
    return [t.get_text() for t in fig.findobj(mpl.text.Text) if t.get_text()]


def find_line(ax, label: str):
    (found,) = (one for one in ax.lines if one.get_label() == label)
    return found


def read_intervals(ax) -> list[tuple[float, float]]:
    return sorted(tuple(s[:, 0].tolist()) for c in ax.collections for s in c.get_segments())


@pytest.fixture(name="differences")
def make_differences():
    """Two fusions: one that adds, and one without a branch of its size."""
    return pd.DataFrame(
        {
            "fusion": ["late", "late", "late", "early", "early"],
            "kind": ["single", "ensemble", "same size", "single", "ensemble"],
            "estimate": [0.02, 0.015, 0.012, -0.001, -0.002],
            "low": [0.01, 0.005, 0.002, -0.01, -0.012],
            "high": [0.03, 0.025, 0.022, 0.004, 0.003],
            "word": ["adds"] * 3 + ["no gain of the margin"] * 2,
        }
    )


def test_scores_have_a_row_for_each_model_and_a_color_for_each_role():
    table = pd.DataFrame(
        {
            "name": ["fused", "2 x time", "time", "spectrogram", "wide", "forest"],
            "role": ["fusion", "ensemble", "single", "single", "widened", "baseline"],
            "estimate": [0.92, 0.91, 0.90, 0.88, 0.87, 0.86],
            "low": [0.90, 0.89, 0.88, 0.85, 0.84, 0.83],
            "high": [0.93, 0.92, 0.91, 0.90, 0.89, 0.88],
        }
    )
    fig = plots.plot_scores(table, metric="macro AUPRC")
    (ax,) = fig.axes
    assert ax.get_xlabel().startswith("macro AUPRC")
    assert [t.get_text() for t in ax.get_yticklabels()] == list(table["name"])
    assert "0.920 [0.900, 0.930]" in read_texts(fig)
    single = find_line(ax, "single")
    np.testing.assert_array_equal(single.get_xdata(), [0.90, 0.88])
    np.testing.assert_array_equal(single.get_ydata(), [2, 3])
    colors = {
        find_line(ax, role).get_color() for role in ("fusion", "ensemble", "single", "baseline")
    }
    assert len(colors) == 4
    controls = [find_line(ax, role) for role in ("ensemble", "widened")]
    assert len({one.get_color() for one in controls}) == 1
    assert len({one.get_marker() for one in controls}) == 2
    ends = sorted(tuple(s[:, 0]) for c in ax.collections for s in c.get_segments())
    assert ends == sorted(zip(table["low"], table["high"], strict=True))
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_long_names_leave_the_scores_their_width():
    roles = ["fusion", "ensemble", "single", "widened", "baseline"]
    table = pd.DataFrame({"role": roles, "estimate": 0.85, "low": 0.76, "high": 0.92})
    widths = []
    for letters in (4, 40, 80):
        fig = plots.plot_scores(table.assign(name=[letters * "n", *"abcd"]))
        fig.draw_without_rendering()
        (ax,) = fig.axes
        widths.append(ax.get_window_extent().width)
        ticks = [t.get_window_extent() for t in ax.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(ticks))
        assert ax.get_legend().get_window_extent().x1 < fig.bbox.x1
    assert min(widths) > 0.8 * max(widths)


def test_every_verdict_has_a_sign_and_no_two_look_alike_but_those_without_an_answer():
    assert set(plots.VERDICT_STYLES) == set(WORDS)
    answered = [style for word, style in plots.VERDICT_STYLES.items() if style.sign != "?"]
    assert len({(style.marker, style.filled) for style in answered}) == len(answered)


@pytest.mark.parametrize("stacked", [False, True])
def test_verdicts_have_three_panels_with_one_axis_zero_and_the_margin(differences, stacked):
    fig = plots.plot_verdicts(differences, margin=0.005, stacked=stacked)
    assert [ax.get_title(loc="left") for ax in fig.axes] == list(RIVAL_TITLES.values())
    assert len({ax.get_xlim() for ax in fig.axes}) == 1
    for ax in fig.axes:
        upright = [one.get_xdata()[0] for one in ax.lines if len(set(one.get_xdata())) == 1]
        assert {0, 0.005} <= set(upright)
    assert read_intervals(fig.axes[1]) == [(-0.012, 0.003), (0.005, 0.025)]
    assert read_intervals(fig.axes[2]) == [(0.002, 0.022)]
    assert "-" in [text.get_text() for text in fig.axes[2].texts]


def test_each_verdict_is_a_sign_and_a_word(differences):
    texts = read_texts(plots.plot_verdicts(differences))
    assert {"+  adds", "=  no gain of the margin", "late", "early"} <= set(texts)


def test_the_narrow_figure_explains_its_signs(differences):
    fig = plots.plot_verdicts(differences, stacked=True)
    explained = fig.get_supxlabel()
    assert "+ adds\n= no gain of the margin" in explained
    assert [text.get_text() for text in fig.axes[0].texts] == ["+ late", "= early"]
    assert fig.get_figwidth() * 96 < 400


def test_a_long_name_is_broken_and_leaves_the_panels_their_width(differences):
    long = "intermediate_concat(time:cnn + frequency:cnn + spectrogram:cnn2d + scalogram:cnn2d)"
    for stacked in (False, True):
        fig = plots.plot_verdicts(differences.replace({"fusion": {"late": long}}), stacked=stacked)
        fig.draw_without_rendering()
        widths = [ax.get_window_extent().width for ax in fig.axes]
        assert min(widths) > (0.85 if stacked else 0.18) * fig.bbox.width


def test_a_difference_without_an_interval_is_still_drawn(differences):
    table = differences.assign(low=np.nan, high=np.nan, word="cannot be measured")
    fig = plots.plot_verdicts(table)
    points = [one for one in fig.axes[0].lines if one.get_marker() == "x"]
    assert [float(one.get_xdata()[0]) for one in points] == [0.02, -0.001]
