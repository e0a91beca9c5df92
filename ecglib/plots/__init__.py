"""Every figure. Each function returns a closed matplotlib Figure, so that a cell shows it once.

``caveat`` is shown with every number, such as "synthetic data" or the leak that an experiment
allows; it is written in red above the figure.
"""

from ecglib.plots.beat_averages import plot_beat_average
from ecglib.plots.explanation_files import (
    check_output,
    render_explanation,
    write_explanation,
)
from ecglib.plots.explanations import plot_explanation
from ecglib.plots.figure import RED, ROLE_STYLES
from ecglib.plots.pictures import Picture, draw_scores, draw_verdicts
from ecglib.plots.results import (
    plot_class_balance,
    plot_confusion,
    plot_history,
    plot_learning_curves,
    plot_reliability,
    plot_roc_and_pr,
)
from ecglib.plots.robustness import plot_class_losses, plot_severity_curves
from ecglib.plots.signals import (
    PredictedClasses,
    plot_ecg,
    plot_prediction,
    plot_representations,
)
from ecglib.plots.svg import convert_to_svg, use_svg_style
from ecglib.plots.text import clean_text, escape_markdown, format_html
from ecglib.plots.verdicts import VERDICT_STYLES, plot_scores, plot_verdicts

__all__ = [
    "RED",
    "ROLE_STYLES",
    "VERDICT_STYLES",
    "Picture",
    "PredictedClasses",
    "check_output",
    "clean_text",
    "convert_to_svg",
    "draw_scores",
    "draw_verdicts",
    "escape_markdown",
    "format_html",
    "plot_beat_average",
    "plot_class_balance",
    "plot_class_losses",
    "plot_confusion",
    "plot_ecg",
    "plot_explanation",
    "plot_history",
    "plot_learning_curves",
    "plot_prediction",
    "plot_reliability",
    "plot_representations",
    "plot_roc_and_pr",
    "plot_scores",
    "plot_severity_curves",
    "plot_verdicts",
    "render_explanation",
    "use_svg_style",
    "write_explanation",
]
