"""The page of an explanation: what is drawn is what was computed, and a failure is visible."""

import dataclasses
import re

import matplotlib as mpl

mpl.use("Agg")

import keras
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb

from ecglib import plots
from ecglib.errors import EcgError
from ecglib.explain import AgreementCheck, attribute_by_gradient, build_signal_scores
from ecglib.explain.examples import (
    PASSED,
    explain_inputs,
    make_contract,
    make_explanation,
)
from ecglib.explain.targets import make_signal_target
from ecglib.inference import Window
from ecglib.plots.attributions import choose_gain, place_rows

FAILED = dataclasses.replace(PASSED, name="insertion", figure=0.4)


def read_texts(fig):
    fig.canvas.draw()
    return [t.get_text() for t in fig.findobj(mpl.text.Text) if t.get_text()]


@pytest.fixture(scope="module")
def explanation():
    return make_explanation()


def fail(explanation):
    signal = dataclasses.replace(explanation.signal, checks=(PASSED, FAILED))
    return dataclasses.replace(explanation, signal=signal)


def test_the_page_has_leads_units_caveat_checks_and_the_fold(explanation):
    texts = read_texts(plots.plot_explanation(explanation))
    joined = "\n".join(texts)

    for one in ("I", "II", "time (s)", "frequency (Hz)", "synthetic data", "passed  0.05"):
        assert one in texts
    for part in ("25 mm/s  10 mm/mV", "fold 2 of 5", "0.700", "true classes: CD", "test split"):
        assert part in joined
    assert "FAILED" not in joined


def test_a_failed_explanation_is_labelled_and_framed_in_red(explanation):
    fig = plots.plot_explanation(fail(explanation))

    assert "CHECKS FAILED: insertion of the signal" in read_texts(fig)
    ecg = next(ax for ax in fig.axes if any(line.get_label() == "II" for line in ax.lines))
    assert {to_rgb(spine.get_edgecolor()) for spine in ecg.spines.values()} == {to_rgb(plots.RED)}


def test_the_page_says_how_seeds_agree_and_why_branches_are_missing(explanation):
    agreement = AgreementCheck(
        name="agreement between seeds",
        figure=0.3,
        min_accepted=0.5,
        max_accepted=1.0,
        min_similarity=0.2,
        max_similarity=0.4,
    )
    changed = dataclasses.replace(
        explanation,
        signal=dataclasses.replace(explanation.signal, checks=(PASSED, agreement)),
        seeds_note="Agreement between seeds: with the seeds 1, 2.",
        branches_note="The fusion takes more than features.",
    )

    texts = read_texts(plots.plot_explanation(changed))

    for one in ("at most 0.05", "at least 0.5", "FAILED  0.3", changed.seeds_note):
        assert one in texts
    assert changed.branches_note in texts
    assert "what each branch adds: not computed" in texts


def test_the_trace_is_the_signal_on_its_grid(explanation):
    fig = plots.plot_explanation(explanation)
    ecg = next(ax for ax in fig.axes if any(line.get_label() == "II" for line in ax.lines))
    line = next(line for line in ecg.lines if line.get_label() == "II")
    zero = ecg.get_yticks()[1]
    box = ecg.get_window_extent()
    mm_per_s = box.width / fig.dpi * 25.4 / 2.0
    mm_per_mv = box.height / fig.dpi * 25.4 / np.ptp(ecg.get_ylim())

    drawn = line.get_ydata() - zero
    np.testing.assert_allclose(drawn, explanation.window.signal_mv[:, 1], atol=1e-5)
    assert mm_per_s == pytest.approx(25)
    assert mm_per_mv == pytest.approx(10)


def test_the_colors_of_the_spectrogram_are_its_attribution(explanation):
    spectrogram = next(one for one in explanation.representations if one.name == "spectrogram")
    sums = np.abs(spectrogram.attribution.values[0]).sum(axis=(0, 1))
    expected = spectrogram.attribution.values[0][..., sums.argmax()]

    fig = plots.plot_explanation(explanation)

    panel = next(ax for ax in fig.axes if ax.get_title(loc="left").startswith("its attribution"))
    (mesh,) = panel.findobj(QuadMesh)
    np.testing.assert_allclose(mesh.get_array(), expected.T)
    assert mesh.norm.vmin == -mesh.norm.vmax


def test_squares_add_up_contributions_and_average_sizes(explanation):
    contributions = explanation.signal.attribution
    gradient = dataclasses.replace(contributions, unit="logit per mV")
    squares = contributions.values.reshape(1, 50, 4, 2)

    np.testing.assert_allclose(contributions.shown, squares.sum(axis=2), atol=1e-6)
    np.testing.assert_allclose(gradient.shown, np.abs(squares).mean(axis=2), rtol=1e-5)


def test_tall_leads_are_drawn_at_half_the_gain():
    low, tall = np.zeros((100, 12)), np.full((100, 12), 5.0)
    tall[::2] = -5

    assert choose_gain(low) == 10
    assert choose_gain(tall) == 5
    _, edges = place_rows(tall)
    assert np.all(np.diff(edges) < 0)


def test_pages_are_written_as_png_svg_and_html(explanation, tmp_path):
    for suffix in (".png", ".svg", ".html"):
        plots.write_explanation(explanation, tmp_path / f"page{suffix}")

    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "page.svg").read_text()
    page = (tmp_path / "page.html").read_text()
    assert "record r1 &lt;b&gt; from" in page
    assert "<b>" not in page
    assert not re.search(r'(src|href)="http', page)
    with pytest.raises(EcgError, match=r"ends in none of .png, .svg, .html"):
        plots.write_explanation(explanation, tmp_path / "page.pdf")


def test_a_model_of_one_lead_has_its_attribution_there():
    """Through the filter, which is applied lead by lead."""
    keras.utils.set_random_seed(1)
    contract = make_contract(["time"])
    x = keras.Input((200, 2), name="time")
    y = keras.layers.Dense(2, "sigmoid")(keras.layers.Flatten()(x[..., 1:]))
    scores = build_signal_scores(contract, keras.Model([x], y))
    steps = (200 * np.random.default_rng(0).standard_normal((200, 2))).astype(np.int16)
    target = make_signal_target(
        contract, scores, Window(record="a", start_s=0.0, steps=steps), "CD"
    )

    (explained,) = explain_inputs(target, attribute_by_gradient(target))

    assert explained.sum_leads() == pytest.approx({"I": 0, "II": 1})
