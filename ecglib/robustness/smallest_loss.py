"""Which branch and which fusion has the smallest loss, decided with known error rates.

The claim that one model loses less than all others has the p value of the rival that is hardest to
beat (intersection-union test: Berger, Technometrics 24, 1982). It is two-sided, because the model
with the smallest loss is chosen on the test windows themselves: the best of several equal models
then passes for better in at most 5 % of the cases, as where two of them are far ahead of the others
(Gutmann and Maymin, Ann. Stat. 15, 1987, for independent models; the tests simulate correlated
ones). Over all disturbances and groups of models, p values are adjusted by the method of Holm, as
those of the comparison of plain models are (`ecglib.evaluation.pairs`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import pandas as pd

from ecglib.errors import RunError
from ecglib.evaluation.differences import Difference, format_p_value
from ecglib.evaluation.metrics import METRICS
from ecglib.evaluation.recipes import describe_recipe_difference
from ecglib.evaluation.rules import ALPHA, DEFAULT_MARGIN
from ecglib.evaluation.scoreboard import Score
from ecglib.evaluation.verdict import adjust_p_values
from ecglib.robustness.curves import Curves
from ecglib.robustness.losses import find_obstacle
from ecglib.robustness.measuring import Robustness
from ecglib.robustness.registry import DISTURBANCES

SMALLEST, ALIKE, CANNOT_TELL = "smallest loss", "no difference of the margin", "cannot tell"

#: Role of models that are compared with each other -> what they are called.
GROUPS = {"single": "branches", "fusion": "fusions"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallestLoss:
    """Which of the branches, or of the fusions, has the smallest loss under one disturbance.

    Parameters
    ----------
    disturbance : str
        Name of the disturbance.
    group : {"branches", "fusions"}
        What is compared.
    metric : str
        The metric.
    margin : float
        The smallest difference of losses worth having.
    word : {"smallest loss", "no difference of the margin", "cannot tell"}
        What is shown.
    best : str
        The model with the smallest mean loss over the severities.
    loss : Difference
        That loss.
    area : Score
        Its mean score over the severities.
    advantages : tuple of Difference
        How much less it loses than each other model of the group, by the name of the other.
    p : float
        p value of "it loses less than each other", adjusted over all disturbances and groups.
    reason : str, default ""
        What limits the answer.

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
    ...     group="branches",
    ...     metric="auroc",
    ...     margin=0.01,
    ...     word="smallest loss",
    ...     best="time:cnn",
    ...     loss=make_difference("time:cnn", 0.03),
    ...     area=Score(estimate=0.88, low=0.85, high=0.9),
    ...     advantages=(make_difference("frequency:mlp", 0.05),),
    ...     p=0.001,
    ... )
    >>> print(verdict.describe())  # doctest: +NORMALIZE_WHITESPACE
    White noise: of 2 branches time:cnn has the smallest loss, +0.030 [+0.010, +0.050] macro AUROC
    (mean score over the severities 0.880 [0.850, 0.900]). Hardest to tell apart: frequency:mlp,
    which loses +0.050 [+0.030, +0.070] more.
    """

    disturbance: str
    group: str
    metric: str
    margin: float
    word: str
    best: str
    loss: Difference
    area: Score
    advantages: tuple[Difference, ...]
    p: float
    reason: str = ""

    def find_closest(self) -> Difference:
        """Find the model that is hardest to tell apart from the best.

        Returns
        -------
        Difference
            The advantage with the largest p value.
        """
        return max(self.advantages, key=lambda one: one.compute_p_value())

    def describe(self) -> str:
        """Describe the verdict in plain words.

        Returns
        -------
        str
            Answer, loss, mean score, and the model that is hardest to tell apart.
        """
        title, metric = DISTURBANCES[self.disturbance].title, METRICS[self.metric].title
        group = f"{len(self.advantages) + 1} {self.group}"
        loss = (
            f"{self.loss.format()} {metric} (mean score over the severities {self.area.format()})"
        )
        if self.word == ALIKE:
            return (
                f"{title}: the losses of {group} differ by less than {self.margin:g}. The smallest "
                f"is that of {self.best}, {loss}."
            )
        closest = self.find_closest()
        if self.word == SMALLEST:
            answer = f"of {group} {self.best} has the smallest loss, {loss}"
        else:
            answer = (
                f"cannot tell which of {group} has the smallest loss; here {self.best} loses {loss}"
            )
        compared = f"Hardest to tell apart: {closest.name}, which loses {closest.format()} more."
        return " ".join(filter(None, [f"{title}: {answer}.", compared, self.reason]))


def find_smallest_losses(
    robustness: Robustness, margin: float = DEFAULT_MARGIN
) -> list[SmallestLoss]:
    """Find which branch and which fusion has the smallest loss under each disturbance.

    Parameters
    ----------
    robustness : Robustness
        The curves of all models.
    margin : float, default 0.01
        The smallest difference of losses worth having, above zero.

    Returns
    -------
    list of SmallestLoss
        One for each disturbance and each group of at least two branches, or two fusions, that were
        trained alike.

    Raises
    ------
    RunError
        If `margin` is not above zero.

    Notes
    -----
    - "no difference of the margin": of any two models of the group, each loses less than the margin
      more than the other; one-sided 2.5 % for the pair that is hardest to tell.
    - "smallest loss": the model loses less than each other one. The largest two-sided p value of
      them, adjusted by the method of Holm over all disturbances and groups, is at most 5 %.
    - "cannot tell": neither is shown, or a model has fewer than five seeds, or too few patients
      decide the score.

    So where all models lose the same, some model passes for the one with the smallest loss in at
    most 5 % of the batches, however many disturbances are measured. "no difference of the margin"
    is right for each group by itself. A model with a low score has little to lose, which is why the
    mean score over the severities stands beside the loss.

    Examples
    --------
    >>> find_smallest_losses(Robustness(models={}, curves={}, unavailable={}, caveats=()))
    []
    """
    if not margin > 0:
        raise RunError(f"`margin` is {margin}; expected a number above 0, e.g. {DEFAULT_MARGIN}.")
    trials = [
        _Trial(curves, names, group, margin)
        for curves in robustness.curves.values()
        for group, names in _list_groups(robustness)
    ]
    adjusted = adjust_p_values([one.compute_p_value() for one in trials])
    return [trial.decide(p) for trial, p in zip(trials, adjusted, strict=True)]


def tabulate_smallest_losses(verdicts: Iterable[SmallestLoss]) -> pd.DataFrame:
    """Write verdicts as a table, for people.

    Parameters
    ----------
    verdicts : iterable of SmallestLoss
        The verdicts.

    Returns
    -------
    DataFrame
        One row of text for each verdict: disturbance, group, verdict, the model with the smallest
        loss, loss, mean score, the closest model, how much more it loses, and the adjusted p value.

    Examples
    --------
    >>> tabulate_smallest_losses([]).columns.tolist()[:3]
    ['disturbance', 'of', 'verdict']
    """
    rows = []
    for one in verdicts:
        closest = one.find_closest()
        rows.append(
            {
                "disturbance": DISTURBANCES[one.disturbance].title,
                "of": f"{len(one.advantages) + 1} {one.group}",
                "verdict": one.word,
                "model": one.best,
                "loss": one.loss.format(),
                "mean score": one.area.format(),
                "closest": closest.name,
                "loses more by": closest.format(),
                "p": format_p_value(one.p),
            }
        )
    columns = ("disturbance", "of", "verdict", "model", "loss", "mean score")
    return pd.DataFrame(rows, columns=[*columns, "closest", "loses more by", "p"])


class _Trial:
    """A group of models under one disturbance."""

    def __init__(self, curves: Curves, names: Sequence[str], group: str, margin: float):
        self.curves, self.names, self.group, self.margin = curves, names, group, margin
        losses = {name: curves.compute_loss(name) for name in names}
        self.best = min(losses, key=lambda name: losses[name].estimate)
        self.loss = losses[self.best]
        self.advantages = tuple(
            curves.compare_losses(self.best, name) for name in names if name != self.best
        )

    def compute_p_value(self) -> float:
        """Return the p value of the claim that the best loses less than each other model."""
        return max(one.compute_two_sided_p_value() for one in self.advantages)

    def decide(self, p: float) -> SmallestLoss:
        """Return the verdict, given the adjusted p value."""
        reason, word = find_obstacle(self.curves.scoreboard, self.names), CANNOT_TELL
        if not reason and self._compute_p_alike() <= ALPHA:
            word = ALIKE
        elif not reason and p <= 2 * ALPHA:
            word = SMALLEST
        return SmallestLoss(
            disturbance=self.curves.disturbance,
            group=self.group,
            metric=self.curves.scoreboard.metric,
            margin=self.margin,
            word=word,
            best=self.best,
            loss=self.loss,
            area=self.curves.compute_area(self.best),
            advantages=self.advantages,
            p=p,
            reason=reason,
        )

    def _compute_p_alike(self) -> float:
        """Return the p value of the claim that no two losses differ by the margin."""
        return max(
            self.curves.compare_losses(a, b).compute_p_value(self.margin, below=True)
            for a in self.names
            for b in self.names
            if a != b
        )


def _list_groups(robustness: Robustness) -> list[tuple[str, list[str]]]:
    """List the branches, and the fusions, that were trained alike: (what they are, names)."""
    groups: list[tuple[str, list[str]]] = []
    for role, title in GROUPS.items():
        alike: list[list[str]] = []
        for name, model in robustness.models.items():
            if model.role != role:
                continue
            for names in alike:
                first = robustness.models[names[0]]
                if not describe_recipe_difference(first.recipe, model.recipe):
                    names.append(name)
                    break
            else:
                alike.append([name])
        groups += [(title, names) for names in alike if len(names) > 1]
    return groups
