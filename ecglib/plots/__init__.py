"""Every figure. Each function returns a closed matplotlib Figure, so that a cell shows it once.

``caveat`` is what must be said wherever the numbers appear, such as "synthetic data" or the leak
that an experiment allows; it stands in red above the figure.
"""

from ecglib.plots.figure import RED
from ecglib.plots.results import (
    ROLES,
    class_balance,
    confusion,
    differences,
    history,
    reliability,
    roc_and_pr,
    scores,
)
from ecglib.plots.signals import ecg, prediction, views

__all__ = [
    "RED",
    "ROLES",
    "class_balance",
    "confusion",
    "differences",
    "ecg",
    "history",
    "prediction",
    "reliability",
    "roc_and_pr",
    "scores",
    "views",
]
