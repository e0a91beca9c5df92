"""Every figure. Each function returns a closed matplotlib Figure, so that a cell shows it once.

``caveat`` is shown with every number, such as "synthetic data" or the leak that an experiment
allows; it is written in red above the figure.
"""

from ecglib.plots.figure import RED, ROLE_STYLES
from ecglib.plots.results import (
    plot_class_balance,
    plot_confusion,
    plot_differences,
    plot_history,
    plot_reliability,
    plot_roc_and_pr,
    plot_scores,
)
from ecglib.plots.signals import (
    PredictedClasses,
    plot_ecg,
    plot_prediction,
    plot_representations,
)

__all__ = [
    "RED",
    "ROLE_STYLES",
    "PredictedClasses",
    "plot_class_balance",
    "plot_confusion",
    "plot_differences",
    "plot_ecg",
    "plot_history",
    "plot_prediction",
    "plot_reliability",
    "plot_representations",
    "plot_roc_and_pr",
    "plot_scores",
]
