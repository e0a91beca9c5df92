"""What every figure shares: colours, the caveat above it, and that it is closed."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.errors import EcgError

# Okabe and Ito's colours, which colour-blind readers can tell apart; the marker says it too.
BLUE, ORANGE, GREEN, GREY, RED = "#0072b2", "#d55e00", "#009e73", "#777777", "#b00020"


def need(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table without rows or without these columns."""
    missing = [column for column in columns if column not in table]
    if missing or len(table) == 0:
        raise EcgError(
            f"The table to be drawn needs at least one row and the columns {', '.join(columns)}. "
            f"Received {len(table)} rows with the columns {', '.join(map(str, table.columns))}."
        )


def check_columns(y: np.ndarray, other: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse arrays that are not both (n_windows, n_classes)."""
    if y.ndim != 2 or y.shape != other.shape or y.shape[1] != len(classes):
        raise EcgError(
            f"Expected two arrays of shape (n_windows, {len(classes)}) for the classes "
            f"{', '.join(classes)}. Received shapes: {y.shape} and {other.shape}."
        )


def bare(ax: Axes) -> None:
    """Take off the frame on the right and above."""
    ax.spines[["top", "right"]].set_visible(False)


def add_caveat(fig: Figure, caveat: str) -> None:
    """Put the caveat, if there is one, above the figure."""
    if caveat:
        fig.suptitle(caveat, x=0.99, ha="right", size=10, color=RED, weight="bold")


def done(fig: Figure) -> Figure:
    """Close a figure, so that a cell shows it once."""
    plt.close(fig)
    return fig
