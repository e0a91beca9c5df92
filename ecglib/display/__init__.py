"""How datasets, experiments, runs, comparisons and predictions look in Jupyter."""

from ecglib.display.progress import make_epoch_line, show_table
from ecglib.display.render import render

__all__ = ["make_epoch_line", "render", "show_table"]
