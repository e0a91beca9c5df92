"""The page of an explanation: ECG, representations, branches, probabilities and checks."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.plots.attributions import (
    CONTRIBUTION,
    ColorScale,
    average_cells,
    choose_gain,
    draw_signal,
    draw_spectrogram,
    draw_spectrum,
    draw_tabular,
    get_drawn,
    place_rows,
)
from ecglib.plots.figure import BLUE, GREEN, GREY, ORANGE, RED, close_figure, hide_frame
from ecglib.plots.paper import MM_PER_INCH, MM_PER_S
from ecglib.plots.signals import PredictedClasses, draw_probabilities, list_shown_classes

if TYPE_CHECKING:  # importing it for real would cost every figure
    from ecglib.explain import ExplainedInput, Explanation, SanityCheck

MARGIN_MM, MIN_WIDTH_MM, LEADS_MM = 8.0, 210.0, 12.0
TWO_WIDTH_MM = 270.0  # of a page with two representations in a row
PANEL_MM, LINE_MM, GAP_MM = 38.0, 5.0, 16.0
SIZES_NOTE = "rank correlation of the sizes with those of a model of randomized weights"
TITLES = {
    "smoothgrad": "SmoothGrad",
    "gradient": "gradient",
    "integrated_gradients": "integrated gradients",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Block:
    """A part of the page: its height, and what draws it below a height of the page."""

    height_mm: float
    draw: Callable[[_Page, float], None]


class _Page:
    """A figure that is filled from the top, in mm."""

    def __init__(self, width_mm: float, blocks: list[_Block]):
        self.width_mm = width_mm
        self.height_mm = sum(block.height_mm for block in blocks) + 2 * MARGIN_MM
        size = (width_mm / MM_PER_INCH, self.height_mm / MM_PER_INCH)
        self.fig = plt.figure(figsize=size)
        top = MARGIN_MM
        for block in blocks:
            block.draw(self, top)
            top += block.height_mm

    @property
    def inner_mm(self) -> float:
        return self.width_mm - 2 * MARGIN_MM

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes by their left, top, width and height in mm."""
        bottom = self.height_mm - top - height
        ax = self.fig.add_axes(
            (
                left / self.width_mm,
                bottom / self.height_mm,
                width / self.width_mm,
                height / self.height_mm,
            )
        )
        ax.tick_params(labelsize=7)
        ax.xaxis.label.set_fontsize(8)
        ax.yaxis.label.set_fontsize(8)
        return ax

    def write(self, left: float, top: float, text: str, **style: object) -> None:
        """Write a line below a height in mm."""
        x, y = left / self.width_mm, 1 - top / self.height_mm
        self.fig.text(x, y, text, **{"va": "top", "size": 9} | style)  # type: ignore[arg-type]


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
    >>> from ecglib import open_dataset, open_run
    >>> from ecglib.explain import Explainer
    >>> explainer = Explainer(open_run(), open_dataset("mitdb"))  # doctest: +SKIP
    >>> found = explainer.explain(explainer.read_record("100"))  # doctest: +SKIP
    >>> fig = plot_explanation(found)  # doctest: +SKIP
    """
    signal = explanation.contract.signal
    seconds = signal.n_samples / signal.sampling_rate_hz
    width_mm = max(MIN_WIDTH_MM, 2 * MARGIN_MM + LEADS_MM + MM_PER_S * seconds)
    blocks = [_make_header(explanation, width_mm), _make_ecg(explanation)]
    n_in_row = 2 if width_mm >= TWO_WIDTH_MM else 1
    shown = list(explanation.representations)
    rows = [shown[start : start + n_in_row] for start in range(0, len(shown), n_in_row)]
    blocks += [_make_representations(explanation, row) for row in rows]
    blocks += [_make_decision(explanation), _make_checks(explanation)]
    page = _Page(width_mm, blocks)
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
    >>> from ecglib import open_dataset, open_run
    >>> from ecglib.explain import Explainer
    >>> explainer = Explainer(open_run(), open_dataset("mitdb"))  # doctest: +SKIP
    >>> found = explainer.explain(explainer.read_record("100"))  # doctest: +SKIP
    >>> describe_explanation(found)  # doctest: +SKIP
    'Score of time:cnn for class N of record 100 from 0 s: ...'
    """
    window, failed = explanation.window, "; ".join(explanation.failed)
    shown = ", ".join(["the ECG", *(one.name for one in explanation.representations)])
    return (
        f"Score of {explanation.model_name} for class {explanation.class_name} of record "
        f"{window.record} from {window.start_s:g} s: {shown}, with attributions. Checks that "
        f"failed: {failed or 'none'}."
    )


def _make_header(explanation: Explanation, width_mm: float) -> _Block:
    window, name = explanation.window, explanation.class_name
    p = dict(zip(explanation.contract.classes, explanation.p.tolist(), strict=True))[name]
    decided = "predicted" if name in explanation.decisions else "not predicted"
    facts = [f"calibrated probability {p:.3f}, {decided}"]
    if explanation.split is not None:
        true = ", ".join(explanation.labels) or "none"
        facts += [f"true classes: {true}", f"{explanation.split or 'no'} split"]
    contract = explanation.contract
    of = f"{explanation.model_name}, task {contract.task} of {contract.dataset}"
    lines: list[tuple[str, dict[str, object]]] = [
        (
            f"Class {name}: record {window.record} from {window.start_s:g} s",
            {"size": 14, "weight": "bold"},
        ),
        ("; ".join(facts), {}),
        (
            f"{of}; run {explanation.run_name}"
            + (f", {explanation.fold}" * bool(explanation.fold)),
            {"color": GREY},
        ),
    ]
    red: dict[str, object] = {"color": RED, "weight": "bold"}
    lines += [(one, red) for one in explanation.caveats]
    lines += [(f"problem of the record: {one}", red) for one in window.problems]
    if explanation.failed:
        lines.append((f"CHECKS FAILED: {'; '.join(explanation.failed)}", red))
    n_characters = int((width_mm - 2 * MARGIN_MM) / 1.75)
    wrapped = [
        (part, style) for text, style in lines for part in textwrap.wrap(text, n_characters) or [""]
    ]

    def draw(page: _Page, top: float) -> None:
        for row, (text, style) in enumerate(wrapped):
            page.write(MARGIN_MM, top + LINE_MM * (row + (row > 0) * 0.5), text, **style)

    return _Block(height_mm=LINE_MM * (len(wrapped) + 1), draw=draw)


def _make_ecg(explanation: Explanation) -> _Block:
    spec, explained = explanation.contract.signal, explanation.signal
    scale = ColorScale(explained.attribution, average_cells(explained, spec.sampling_rate_hz))
    gain = choose_gain(explained.values)
    height = 10 * -float(place_rows(explained.values * gain / 10)[1][-1])
    above, below = 18.0, 14.0

    def draw(page: _Page, top: float) -> None:
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

    return _Block(height_mm=above + height + below, draw=draw)


def _make_representations(explanation: Explanation, row: list[ExplainedInput]) -> _Block:
    """Make a row of one or two representations, each with its attribution beside it."""
    heights = [
        max(PANEL_MM, 3.2 * len(one.attribution.axes[-1].values))
        if len(one.attribution.axes) < 3
        else PANEL_MM
        for one in row
    ]

    def draw(page: _Page, top: float) -> None:
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

    return _Block(height_mm=max(heights) + 25, draw=draw)


def _draw_representation(
    left: Axes, right: Axes, explanation: Explanation, explained: ExplainedInput
) -> None:
    axes = explained.attribution.axes
    scale = ColorScale(explained.attribution, get_drawn(explained.attribution))
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


def _make_decision(explanation: Explanation) -> _Block:
    contract, branches = explanation.contract, explanation.branches
    predicted = PredictedClasses(
        probabilities=dict(zip(contract.classes, explanation.p.tolist(), strict=True)),
        decisions=explanation.decisions,
        thresholds=dict(zip(contract.classes, contract.thresholds, strict=True))
        if contract.kind == "multi_label"
        else None,
        labels=explanation.labels if explanation.split is not None else None,
    )
    n_bars = max(len(list_shown_classes(predicted)), len(branches.branches) if branches else 0)
    height = 6.0 * n_bars

    def draw(page: _Page, top: float) -> None:
        width = (page.inner_mm - 2 * GAP_MM) / 2
        ax = page.add_axes(MARGIN_MM + 10, top + 6, 0.66 * width, height)
        draw_probabilities(ax, predicted)
        ax.set_title("calibrated probabilities", loc="left", size=9)
        left = MARGIN_MM + 24 + width + GAP_MM
        if branches is not None:
            _draw_branches(page.add_axes(left, top + 6, width - 26, height), explanation)

    return _Block(height_mm=height + 28, draw=draw)


def _draw_branches(ax: Axes, explanation: Explanation) -> None:
    """Draw what each branch adds as bars, with the weight of its gate or attention."""
    branches = explanation.branches
    if branches is None:
        return
    values, at = branches.values[0], np.arange(len(branches.branches))
    weights = explanation.branch_weights
    ax.barh(at, values, 0.7, color=[ORANGE if value > 0 else BLUE for value in values])
    for row, value in enumerate(values):
        text = f"{value:+.2f}"
        if weights is not None:
            text += f"  {weights.kind.split(' of ')[0]} {weights.values[0, row]:.2f}"
        ax.annotate(
            text,
            (1, row),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=8,
        )
    ax.set_yticks(at, branches.branches, size=8)
    ax.set_ylim(len(at) - 0.5, -0.5)
    ax.axvline(0, color=GREY, lw=0.8)
    ax.set_xlabel(
        f"logit; from {branches.base[0]:.2f} without branches to {branches.score[0]:.2f}\n"
        f"a branch that is left out takes {branches.replaced_by}"
        + (f"\n{explanation.disagreement}" * bool(explanation.disagreement)),
        size=7.5,
    )
    ax.set_title(f"what each branch adds for {branches.class_name}", loc="left", size=9)
    hide_frame(ax)


def _make_checks(explanation: Explanation) -> _Block:
    rows = {one.name: one.checks for one in explanation.inputs if one.checks}
    if explanation.branch_checks:
        rows["branches"] = explanation.branch_checks
    accepted = {check.name: _describe_range(check) for checks in rows.values() for check in checks}
    names = list(accepted)

    def draw(page: _Page, top: float) -> None:
        page.write(MARGIN_MM, top, "checks", weight="bold")
        step = min(42.0, (page.inner_mm - 22) / len(names))
        for column, name in enumerate(names):
            for line, text in enumerate((name, accepted[name])):
                x, y = MARGIN_MM + 22 + column * step, top + 4 * line
                page.write(x, y, text, size=8, color=GREY)
        for row, (label, checks) in enumerate(rows.items()):
            y = top + 9 + LINE_MM * row
            page.write(MARGIN_MM, y, label, size=8)
            for check in checks:
                x = MARGIN_MM + 22 + names.index(check.name) * step
                color, weight = (GREEN, "normal") if check.passed else (RED, "bold")
                text = f"{'passed' if check.passed else 'FAILED'}  {check.figure:.2g}"
                page.write(x, y, text, size=8, color=color, weight=weight)
        note = ", ".join(
            f"{one.name} {one.size_similarity:.2f}"
            for one in explanation.inputs
            if one.size_similarity is not None
        )
        y = top + 11 + LINE_MM * len(rows)
        page.write(MARGIN_MM, y, f"{SIZES_NOTE}: {note}", size=8, color=GREY)

    return _Block(height_mm=18 + LINE_MM * len(rows), draw=draw)


def _describe_range(check: SanityCheck) -> str:
    if check.min_accepted:
        return f"{check.min_accepted:g} to {check.max_accepted:g}"
    return f"at most {check.max_accepted:g}"


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
