"""How datasets, experiments, runs, comparisons and predictions look in Jupyter."""

from ecglib.display.render import render

__all__ = ["render"]
