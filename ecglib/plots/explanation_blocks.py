"""The texts, bars and checks on the page of an explanation."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from ecglib.plots.figure import BLUE, GREEN, GREY, ORANGE, RED, hide_frame
from ecglib.plots.page import LINE_MM, MARGIN_MM, Block, Page
from ecglib.plots.signals import PredictedClasses, draw_probabilities, list_shown_classes

if TYPE_CHECKING:  # importing it for real would cost every figure
    from ecglib.explain import Explanation

GAP_MM = 16.0
NOTE_CHARACTERS = 62  # of a line beside the probabilities
CHARACTER_MM = 1.45  # of small text
LETTER_MM, MAX_LABELS_MM = 2.2, 45.0  # of the names of classes
SIZES_NOTE = "rank correlation of the sizes with those of a model of randomized weights"


def make_header(explanation: Explanation, width_mm: float) -> Block:
    """Make the title, with the probability, the caveats and the checks that failed.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.
    width_mm : float
        Width of the page in mm.

    Returns
    -------
    Block
        Of the page.

    Examples
    --------
    >>> from ecglib.explain.examples import make_explanation
    >>> make_header(make_explanation(), 210.0).height_mm
    25.0
    """
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

    def draw(page: Page, top: float) -> None:
        for row, (text, style) in enumerate(wrapped):
            page.write(MARGIN_MM, top + LINE_MM * (row + (row > 0) * 0.5), text, **style)

    return Block(height_mm=LINE_MM * (len(wrapped) + 1), draw=draw)


def make_decision(explanation: Explanation) -> Block:
    """Make the calibrated probabilities, and what each branch adds.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.

    Returns
    -------
    Block
        Of the page.

    Examples
    --------
    >>> from ecglib.explain.examples import make_explanation
    >>> make_decision(make_explanation()).height_mm
    43.0
    """
    contract, branches = explanation.contract, explanation.branches
    predicted = PredictedClasses(
        probabilities=dict(zip(contract.classes, explanation.p.tolist(), strict=True)),
        decisions=explanation.decisions,
        thresholds=dict(zip(contract.classes, contract.thresholds, strict=True))
        if contract.kind == "multi_label"
        else None,
        labels=explanation.labels if explanation.split is not None else None,
    )
    shown = list_shown_classes(predicted)
    labels_mm = min(max(10.0, LETTER_MM * max(map(len, shown))), MAX_LABELS_MM)
    n_bars = max(len(shown), len(branches.branches) if branches else 0)
    height = 6.0 * n_bars
    notes = textwrap.wrap(explanation.branches_note, NOTE_CHARACTERS)

    def draw(page: Page, top: float) -> None:
        width = (page.inner_mm - 2 * GAP_MM) / 2
        bars_mm = 0.66 * width + 10 - labels_mm
        ax = page.add_axes(MARGIN_MM + labels_mm, top + 6, bars_mm, height)
        draw_probabilities(ax, predicted)
        ax.set_title("calibrated probabilities", loc="left", size=9)
        left = MARGIN_MM + 24 + width + GAP_MM
        if branches is not None:
            _draw_branches(page.add_axes(left, top + 6, width - 42, height), explanation)
        elif notes:
            page.write(left - 24, top + 1.5, "what each branch adds: not computed")
            for row, line in enumerate(notes):
                page.write(left - 24, top + 6 + 3.6 * row, line, size=8, color=GREY)

    return Block(height_mm=max(height + 31, 3.6 * len(notes) + 10), draw=draw)


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
            text += f"  weight {weights.values[0, row]:.2f}"
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
    notes = [
        f"logit; from {branches.base[0]:.2f} without branches to {branches.score[0]:.2f}",
        f"a branch that is left out takes {branches.replaced_by}",
        f"weight: {weights.kind}" if weights is not None else "",
        explanation.disagreement,
    ]
    ax.set_xlabel("\n".join(filter(None, notes)), size=7.5)
    ax.set_title(f"what each branch adds for {branches.class_name}", loc="left", size=9)
    hide_frame(ax)


def make_checks(explanation: Explanation, width_mm: float) -> Block:
    """Make the table of the checks, and what is to be said about them.

    Parameters
    ----------
    explanation : Explanation
        Of `ecglib.explain.Explainer.explain`.
    width_mm : float
        Width of the page in mm.

    Returns
    -------
    Block
        Of the page.

    Examples
    --------
    >>> from ecglib.explain.examples import make_explanation
    >>> make_checks(make_explanation(), 210.0).height_mm
    36.0
    """
    rows = {one.name: one.checks for one in explanation.inputs if one.checks}
    if explanation.branch_checks:
        rows["branches"] = explanation.branch_checks
    accepted = {check.name: check.accepted for checks in rows.values() for check in checks}
    names = list(accepted)
    sizes = ", ".join(
        f"{one.name} {one.size_similarity:.2f}"
        for one in explanation.inputs
        if one.size_similarity is not None
    )
    n_characters = int((width_mm - 2 * MARGIN_MM) / CHARACTER_MM)
    notes = [
        line
        for note in (f"{SIZES_NOTE}: {sizes}" if sizes else "", explanation.seeds_note)
        for line in textwrap.wrap(note, n_characters)
    ]

    def draw(page: Page, top: float) -> None:
        page.write(MARGIN_MM, top, "checks", weight="bold")
        step = min(42.0, (page.inner_mm - 22) / len(names))
        for column, name in enumerate(names):
            lines = [*textwrap.wrap(name, 14), accepted[name]]
            for line, text in enumerate(lines, start=3 - len(lines)):
                x, y = MARGIN_MM + 22 + column * step, top + 3.6 * line
                page.write(x, y, text, size=8, color=GREY)
        for row, (label, checks) in enumerate(rows.items()):
            y = top + 12 + LINE_MM * row
            page.write(MARGIN_MM, y, label, size=8)
            for check in checks:
                x = MARGIN_MM + 22 + names.index(check.name) * step
                color, weight = (GREEN, "normal") if check.passed else (RED, "bold")
                text = f"{'passed' if check.passed else 'FAILED'}  {check.figure:.2g}"
                page.write(x, y, text, size=8, color=color, weight=weight)
        for line, note in enumerate(notes):
            y = top + 14 + LINE_MM * len(rows) + 4 * line
            page.write(MARGIN_MM, y, note, size=8, color=GREY)

    return Block(height_mm=17 + LINE_MM * len(rows) + 4 * len(notes), draw=draw)
