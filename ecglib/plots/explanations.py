"""The page of an explanation: ECG, representations, branches, probabilities and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.plots.attribution_colors import CONTRIBUTION, ColorScale
from ecglib.plots.attributions import (
    choose_gain,
    draw_signal,
    draw_spectrogram,
    draw_spectrum,
    draw_tabular,
    place_rows,
)
from ecglib.plots.explanation_blocks import make_checks, make_decision, make_header
from ecglib.plots.figure import GREY, RED, close_figure
from ecglib.plots.page import MARGIN_MM, Block, Page
from ecglib.plots.paper import MM_PER_S

if TYPE_CHECKING:  # importing it for real would cost every figure
    from ecglib.explain import ExplainedInput, Explanation

MIN_WIDTH_MM, LEADS_MM, PANEL_MM = 210.0, 12.0, 38.0
TWO_WIDTH_MM = 270.0  # of a page with two representations in a row
TITLES = {
    "smoothgrad": "SmoothGrad",
    "gradient": "gradient",
    "integrated_gradients": "integrated gradients",
}


def plot_explanation(explanation: Explanation) -> Figure:
    """Draw the page of an explanation, in true size when printed.

    The ECG is drawn at 25 mm/s and 10 mm/mV, one row for each lead, with the attribution behind it;
    below it each spectrum, spectrogram and table of values with its attribution; then calibrated
    probabilities with their thresholds, what each branch adds, and the checks. The attribution of
    an input that failed a check is framed in red.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> from ecglib.explain.examples import make_explanation
    >>> fig = plot_explanation(make_explanation())
    >>> fig.axes[0].get_xlabel()
    'time (s)'
    """
    signal = explanation.contract.signal
    seconds = signal.n_samples / signal.sampling_rate_hz
    width_mm = max(MIN_WIDTH_MM, 2 * MARGIN_MM + LEADS_MM + MM_PER_S * seconds)
    blocks = [make_header(explanation, width_mm), _make_ecg(explanation)]
    n_in_row = 2 if width_mm >= TWO_WIDTH_MM else 1
    shown = list(explanation.representations)
    rows = [shown[start : start + n_in_row] for start in range(0, len(shown), n_in_row)]
    blocks += [_make_representations(explanation, row) for row in rows]
    blocks += [make_decision(explanation), make_checks(explanation, width_mm)]
    page = Page(width_mm, blocks)
    return close_figure(page.fig, describe_explanation(explanation))


def describe_explanation(explanation: Explanation) -> str:
    """Describe the page of an explanation in two sentences, as its alternative text.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.

    Returns
    -------
    str
        What it shows, and which checks failed.

    Examples
    --------
    >>> from ecglib.explain.examples import make_explanation
    >>> describe_explanation(make_explanation())
    'Score of a model for class MI of record r1 <b> from 2.5 s: ...'
    """
    window, failed = explanation.window, "; ".join(explanation.failed)
    shown = ", ".join(["the ECG", *(one.name for one in explanation.representations)])
    return (
        f"Score of {explanation.model_name} for class {explanation.class_name} of record "
        f"{window.record} from {window.start_s:g} s: {shown}, with attributions. Checks that "
        f"failed: {failed or 'none'}."
    )


def _make_ecg(explanation: Explanation) -> Block:
    spec, explained = explanation.contract.signal, explanation.signal
    scale = ColorScale(explained.attribution, explained.attribution.shown[0])
    gain = choose_gain(explained.values)
    height = 10 * -float(place_rows(explained.values * gain / 10)[1][-1])
    above, below = 18.0, 14.0

    def draw(page: Page, top: float) -> None:
        width = MM_PER_S * spec.n_samples / spec.sampling_rate_hz
        left = MARGIN_MM + LEADS_MM
        ax = page.add_axes(left, top + above, width, height)
        draw_signal(ax, explained, spec.sampling_rate_hz, scale, spec.beat_s)
        method = TITLES[explanation.method]
        page.write(MARGIN_MM, top, f"ECG, and behind it the {method} attribution", weight="bold")
        note = f"25 mm/s  {gain:g} mm/mV" + (
            "; the triangle: the labelled beat" * bool(spec.beat_s)
        )
        page.write(MARGIN_MM, top + 4.5, note, color=GREY, size=8)
        bar_left = page.width_mm - MARGIN_MM - 82
        scale.add_bar(ax, page.add_axes(bar_left, top + 4.5, 80, 2.5))
        page.write(bar_left, top, _describe_colors(scale), size=8)
        _label_failure(ax, ", ".join(explained.failed))

    return Block(height_mm=above + height + below, draw=draw)


def _make_representations(explanation: Explanation, row: list[ExplainedInput]) -> Block:
    """Make a row of one or two representations, each with its attribution beside it."""
    heights = [
        max(PANEL_MM, 3.2 * len(one.attribution.axes[-1].values))
        if len(one.attribution.axes) < 3
        else PANEL_MM
        for one in row
    ]

    def draw(page: Page, top: float) -> None:
        n_panels = 4 if page.width_mm >= TWO_WIDTH_MM else 2
        step = page.inner_mm / n_panels
        for place, explained in enumerate(row):
            left, right = (
                page.add_axes(
                    MARGIN_MM + (2 * place + side) * step + 12, top + 9, step - 20, max(heights)
                )
                for side in range(2)
            )
            _draw_representation(left, right, explanation, explained)

    return Block(height_mm=max(heights) + 25, draw=draw)


def _draw_representation(
    left: Axes, right: Axes, explanation: Explanation, explained: ExplainedInput
) -> None:
    axes = explained.attribution.axes
    scale = ColorScale(explained.attribution, explained.attribution.shown[0])
    if axes[0].name == "column":
        draw_tabular(left, right, explained)
    elif len(axes) == 2:
        draw_spectrum(left, right, explained, scale)
    else:
        draw_spectrogram(left, right, explained, scale, explanation.crop_start_s)
    _label_failure(
        right,
        f"{len(explained.failed)} of {len(explained.checks)} checks" if explained.failed else "",
    )


def _describe_colors(scale: ColorScale) -> str:
    if scale.unit == CONTRIBUTION:
        return "logits in 40 ms: orange for the class, blue against it"
    return f"size of the sensitivity, mean over 40 ms ({scale.unit})"


def _label_failure(ax: Axes, failed: str) -> None:
    """Frame a panel in red, and write above it what failed."""
    if not failed:
        return
    for spine in ax.spines.values():
        spine.set(color=RED, linewidth=2, visible=True)
    ax.annotate(
        f"FAILED: {failed}",
        (1, 1),
        (1, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="bottom",
        size=8,
        weight="bold",
        color=RED,
    )
