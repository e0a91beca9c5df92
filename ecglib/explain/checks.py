"""Checks that an explanation can fail, and whether contributions are complete."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.gradients import compute_scores
from ecglib.explain.scores import ClassScore

MAX_GAP = 0.05


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SanityCheck:
    """A check of an explanation: its figure and the range in which it passes.

    Parameters
    ----------
    name : str
        Name of the check.
    figure : float
        What was measured.
    min_accepted, max_accepted : float
        The check passes from the first to the second, both included.

    Examples
    --------
    >>> SanityCheck(name="completeness", figure=0.2, min_accepted=0.0, max_accepted=0.01).passed
    False
    """

    name: str
    figure: float
    min_accepted: float
    max_accepted: float

    @property
    def passed(self) -> bool:
        """Whether the figure is in the accepted range; NaN is not."""
        return self.min_accepted <= self.figure <= self.max_accepted

    @property
    def accepted(self) -> str:
        """The accepted range in words."""
        return f"at most {self.max_accepted:g}"


def check_completeness(target: ClassScore, attributions: Mapping[str, Attribution]) -> SanityCheck:
    """Check that contributions add up to the score minus the score of the baseline.

    Parameters
    ----------
    target : ClassScore
        What was explained.
    attributions : mapping of str to Attribution
        Contributions of every input, as of integrated gradients.

    Returns
    -------
    SanityCheck
        The figure is the max over the windows of the gap, over the difference of the two scores,
        or over 1 logit where that is smaller. Accepted: at most 0.05.

    Raises
    ------
    EcgError
        If an input has no attribution.

    Notes
    -----
    Sundararajan, Taly and Yan (2017, arXiv:1703.01365), who accept this gap. A larger one means
    too few steps.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_integrated_gradients
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> check_completeness(target, attribute_by_integrated_gradients(target)).passed
    True
    """
    if missing := set(target.inputs) - set(attributions):
        raise EcgError(
            f"{sorted(missing)} have no attribution. Give those of all inputs "
            f"{list(target.inputs)}: only together they are complete."
        )
    difference = compute_scores(target.model, target.inputs, target.class_index) - compute_scores(
        target.model, target.make_baselines(), target.class_index
    )
    n_windows = len(target.windows)
    total = sum(attributions[name].values.reshape(n_windows, -1).sum(1) for name in target.inputs)
    gaps = np.abs(total - difference) / np.maximum(np.abs(difference), 1)
    return SanityCheck(
        name="completeness", figure=float(gaps.max()), min_accepted=0.0, max_accepted=MAX_GAP
    )
