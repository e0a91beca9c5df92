"""The colors of an attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from ecglib.plots.figure import BLUE, ORANGE
from ecglib.plots.paper import MM_PER_S

if TYPE_CHECKING:  # importing it for real would cost every figure
    from ecglib.explain import Attribution, ExplainedInput

CELL_S = 1 / MM_PER_S  # one small square of the paper
PERCENTILE = 99.5  # where the color is full
CONTRIBUTION = "logit"
SIGNED = LinearSegmentedColormap.from_list("for and against", [BLUE, "white", ORANGE])
UNSIGNED = LinearSegmentedColormap.from_list("sensitivity", ["white", ORANGE])
SMALL = 7.0  # points
BAR: dict[str, Any] = {"pad": 0.02, "fraction": 0.05}


class ColorScale:
    """The colors of an attribution: blue to orange with a sign, white to orange without.

    Parameters
    ----------
    attribution : Attribution
        Of one window. Contributions in logits have a sign; of sensitivities the size is drawn.
    values : array
        What is drawn of it; the color is full at the 99.5th percentile of its size.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> scale = ColorScale(SimpleNamespace(unit="logit per mV"), np.array([0.0, 2.0]))
    >>> scale.has_sign, round(scale.maximum, 2)
    (False, 1.99)
    """

    def __init__(self, attribution: Attribution, values: np.ndarray):
        self.has_sign = attribution.unit == CONTRIBUTION
        self.unit = attribution.unit
        self.maximum = float(np.percentile(np.abs(values), PERCENTILE)) or 1.0
        self.colors = SIGNED if self.has_sign else UNSIGNED

    @property
    def norm(self) -> Normalize:
        """From values to places in the color map."""
        return Normalize(-self.maximum if self.has_sign else 0.0, self.maximum)

    def add_bar(self, ax: Axes, cax: Axes | None = None) -> None:
        """Draw a color bar.

        Parameters
        ----------
        ax : Axes
            Axes that it is beside.
        cax : Axes, optional
            Axes that it fills, horizontally.
        """
        place: dict[str, Any] = (
            {"ax": ax, **BAR} if cax is None else {"cax": cax, "orientation": "horizontal"}
        )
        bar = ax.figure.colorbar(ScalarMappable(self.norm, self.colors), **place)
        bar.ax.tick_params(labelsize=SMALL, length=2)


def choose_lead(explained: ExplainedInput) -> int:
    """Choose the lead of a representation with the most attribution.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> attribution = SimpleNamespace(values=np.array([[[0.0, -2.0], [0.0, 1.0]]]))
    >>> choose_lead(SimpleNamespace(attribution=attribution))
    1
    """
    values = np.abs(explained.attribution.values[0])
    return int(values.reshape(-1, values.shape[-1]).sum(axis=0).argmax())
