"""Which branch and which fusion has the smallest loss under each disturbance, in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from ecglib.evaluation.differences import Difference, format_difference
from ecglib.evaluation.metrics import METRICS
from ecglib.evaluation.scoreboard import Score
from ecglib.robustness.curves import Curves, Robustness
from ecglib.robustness.registry import DISTURBANCES

#: Role of models that are compared with each other -> what they are called.
GROUPS = {"single": "branch", "fusion": "fusion"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallestLoss:
    """Which of the branches, or of the fusions, has the smallest loss under one disturbance.

    Parameters
    ----------
    disturbance : str
        Name of the disturbance.
    group : {"branch", "fusion"}
        What is compared.
    metric : str
        The metric.
    best : str
        The model with the smallest mean loss over the severities.
    loss : Difference
        That loss.
    area : Score
        Its mean score over the severities.
    advantages : tuple of Difference
        How much less it loses than each other model of the group, by the name of the other.

    Notes
    -----
    The answer is clear where the 95 % intervals of all advantages are above zero. The intervals are
    of one disturbance: over many disturbances some answers are wrong by chance. A model that scores
    little has little to lose, so the sentence has the mean score as well.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> def make_difference(name, estimate):
    ...     return Difference(
    ...         name=name,
    ...         estimate=estimate,
    ...         patients=Variance(0.01**2, 60),
    ...         seeds=(),
    ...         cautious_seeds=(),
    ...     )
    >>> verdict = SmallestLoss(
    ...     disturbance="white_noise",
    ...     group="branch",
    ...     metric="auroc",
    ...     best="time:cnn",
    ...     loss=make_difference("time:cnn", 0.03),
    ...     area=Score(estimate=0.88, low=0.85, high=0.9),
    ...     advantages=(make_difference("frequency:mlp", 0.05),),
    ... )
    >>> verdict.is_clear
    True
    >>> print(verdict.sentence)  # doctest: +NORMALIZE_WHITESPACE
    White noise: of the branches time:cnn has the smallest loss. Averaged over the severities its
    macro AUROC is 0.880 [0.850, 0.900], a loss of +0.030 [+0.010, +0.050]; it loses less than
    frequency:mlp by +0.050 [+0.030, +0.070].
    """

    disturbance: str
    group: str
    metric: str
    best: str
    loss: Difference
    area: Score
    advantages: tuple[Difference, ...]

    @property
    def is_clear(self) -> bool:
        """Whether the best loses less than every other model, with intervals above zero."""
        return all(one.low > 0 for one in self.advantages)

    @property
    def sentence(self) -> str:
        """The answer in plain words."""
        title, metric = DISTURBANCES[self.disturbance].title, METRICS[self.metric].title
        plural = "branches" if self.group == "branch" else "fusions"
        loss = (
            f"Averaged over the severities its {metric} is {self.area.format()}, a loss of "
            f"{self.loss.format()}"
        )
        if self.is_clear:
            answer = f"of the {plural} {self.best} has the smallest loss"
            compared = f"it loses less than {_list_differences(self.advantages)}"
        else:
            answer = (
                f"cannot tell which of the {plural} has the smallest loss; here it is {self.best}"
            )
            close = [one for one in self.advantages if not one.low > 0]
            compared = f"this is not clearly less than {_list_differences(close)}"
        return f"{title}: {answer}. {loss}; {compared}."


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionAgainstBranches:
    """Whether a fusion loses less than its branches under one disturbance.

    Parameters
    ----------
    disturbance : str
        Name of the disturbance.
    fusion : str
        Name of the fusion.
    advantages : tuple of Difference
        How much less it loses than each of its branches alone, by the name of the branch.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> difference = Difference(
    ...     name="time:cnn",
    ...     estimate=0.01,
    ...     patients=Variance(0.01**2, 60),
    ...     seeds=(),
    ...     cautious_seeds=(),
    ... )
    >>> against = FusionAgainstBranches(
    ...     disturbance="clipping", fusion="late_average", advantages=(difference,)
    ... )
    >>> against.sentence
    'Clipping: late_average: cannot tell against time:cnn (+0.010 [-0.010, +0.030]).'
    """

    disturbance: str
    fusion: str
    advantages: tuple[Difference, ...]

    @property
    def sentence(self) -> str:
        """The answer in plain words."""
        parts = [
            f"{_describe_advantage(one)} {one.name} ({one.format()})" for one in self.advantages
        ]
        return f"{DISTURBANCES[self.disturbance].title}: {self.fusion}: {', '.join(parts)}."


def find_smallest_losses(robustness: Robustness) -> list[SmallestLoss]:
    """Find which branch and which fusion has the smallest loss under each disturbance.

    Parameters
    ----------
    robustness : Robustness
        The curves of all models.

    Returns
    -------
    list of SmallestLoss
        One for each disturbance and group that has at least two models.

    Examples
    --------
    >>> find_smallest_losses(Robustness(models={}, curves={}, unavailable={}, caveats=()))
    []
    """
    found = []
    for curves in robustness.curves.values():
        for role, group in GROUPS.items():
            names = [name for name, one in robustness.models.items() if one.role == role]
            if len(names) > 1:
                found.append(_find_smallest_loss(curves, names, group))
    return found


def compare_with_branches(robustness: Robustness) -> list[FusionAgainstBranches]:
    """Compare the losses of each fusion with those of its branches alone.

    Parameters
    ----------
    robustness : Robustness
        The curves of all models.

    Returns
    -------
    list of FusionAgainstBranches
        One for each disturbance and fusion of which a branch is among the models.

    Examples
    --------
    >>> compare_with_branches(Robustness(models={}, curves={}, unavailable={}, caveats=()))
    []
    """
    singles = {
        one.branches: name for name, one in robustness.models.items() if one.role == "single"
    }
    found = []
    for curves in robustness.curves.values():
        for name, model in robustness.models.items():
            branches = [singles[(b,)] for b in model.branches if (b,) in singles]
            if model.role == "fusion" and branches:
                advantages = tuple(curves.compare_losses(name, one) for one in branches)
                found.append(
                    FusionAgainstBranches(
                        disturbance=curves.disturbance, fusion=name, advantages=advantages
                    )
                )
    return found


def tabulate_advantages(
    verdicts: Sequence[SmallestLoss | FusionAgainstBranches],
) -> pd.DataFrame:
    """Write the differences of verdicts as a table.

    Parameters
    ----------
    verdicts : sequence of SmallestLoss or FusionAgainstBranches
        Verdicts of either kind.

    Returns
    -------
    DataFrame
        Columns disturbance, model, other, advantage, low, high and answer ("loses less", "loses
        more", "cannot tell").

    Examples
    --------
    >>> tabulate_advantages([]).columns.tolist()[:3]
    ['disturbance', 'model', 'other']
    """
    rows = [
        {
            "disturbance": verdict.disturbance,
            "model": verdict.best if isinstance(verdict, SmallestLoss) else verdict.fusion,
            "other": one.name,
            "advantage": one.estimate,
            "low": one.low,
            "high": one.high,
            "answer": _describe_advantage(one).removesuffix(" than").removesuffix(" against"),
        }
        for verdict in verdicts
        for one in verdict.advantages
    ]
    columns = ["disturbance", "model", "other", "advantage", "low", "high", "answer"]
    return pd.DataFrame(rows, columns=columns)


def _find_smallest_loss(curves: Curves, names: Sequence[str], group: str) -> SmallestLoss:
    losses = {name: curves.compute_loss(name) for name in names}
    best = min(losses, key=lambda name: losses[name].estimate)
    return SmallestLoss(
        disturbance=curves.disturbance,
        group=group,
        metric=curves.scoreboard.metric,
        best=best,
        loss=losses[best],
        area=curves.compute_area(best),
        advantages=tuple(curves.compare_losses(best, name) for name in names if name != best),
    )


def _describe_advantage(difference: Difference) -> str:
    if difference.low > 0:
        return "loses less than"
    if difference.high < 0:
        return "loses more than"
    return "cannot tell against"


def _list_differences(differences: Sequence[Difference]) -> str:
    return ", ".join(
        f"{one.name} by {format_difference(one.estimate, one.low, one.high)}" for one in differences
    )
