"""Which of two models loses less: fusions against their branches, augmentation against none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import pandas as pd

from ecglib.errors import require_one_of
from ecglib.evaluation.differences import Difference, format_p_value
from ecglib.evaluation.recipes import describe_recipe_difference
from ecglib.evaluation.rules import ALPHA
from ecglib.evaluation.verdict import adjust_p_values
from ecglib.robustness.losses import find_obstacle
from ecglib.robustness.measuring import Robustness
from ecglib.robustness.registry import DISTURBANCES

LOSES_LESS, LOSES_MORE, CANNOT_TELL = "loses less", "loses more", "cannot tell"

#: The setting of the experiment whose models `compare_augmentation` compares.
AUGMENT = "augment"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossComparison:
    """Whether one model loses less than another under one disturbance.

    Parameters
    ----------
    disturbance : str
        Name of the disturbance.
    model : str
        Name of the model.
    metric : str
        The metric.
    advantage : Difference
        How much less it loses than the other model, which the difference names.
    word : {"loses less", "loses more", "cannot tell"}
        What is shown of the model.
    p : float
        Two-sided p value, adjusted over all disturbances and pairs.
    reason : str, default ""
        What limits the answer.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> advantage = Difference(
    ...     name="time:cnn",
    ...     estimate=0.01,
    ...     patients=Variance(0.01**2, 60),
    ...     seeds=(),
    ...     cautious_seeds=(),
    ... )
    >>> comparison = LossComparison(
    ...     disturbance="clipping",
    ...     model="late_average",
    ...     metric="auroc",
    ...     advantage=advantage,
    ...     word="cannot tell",
    ...     p=0.3,
    ... )
    >>> print(comparison.describe())
    Clipping: cannot tell whether late_average loses less than time:cnn: +0.010 [-0.010, +0.030].
    """

    disturbance: str
    model: str
    metric: str
    advantage: Difference
    word: str
    p: float
    reason: str = ""

    def describe(self) -> str:
        """Describe the comparison in one sentence, with the difference and its interval.

        Returns
        -------
        str
            The sentence; a second one where something limits the answer.
        """
        title, other = DISTURBANCES[self.disturbance].title, self.advantage.name
        if self.word == CANNOT_TELL:
            answer = f"cannot tell whether {self.model} loses less than {other}"
        else:
            answer = f"{self.model} {self.word} than {other}"
        return f"{title}: {answer}: {self.advantage.format()}. {self.reason}".rstrip()


def compare_losses(
    robustness: Robustness, pairs: Sequence[tuple[str, str]]
) -> list[LossComparison]:
    """Compare the losses of pairs of models under each disturbance.

    Parameters
    ----------
    robustness : Robustness
        The curves of all models.
    pairs : sequence of (str, str)
        Names of two models.

    Returns
    -------
    list of LossComparison
        One for each disturbance and pair, with p values adjusted over all of them by the method of
        Holm: "loses less" and "loses more" are said at two-sided 5 %, with at least five seeds of
        both models.

    Raises
    ------
    ExperimentError
        If there is no such model.

    Examples
    --------
    >>> empty = Robustness(models={}, curves={}, unavailable={}, caveats=())
    >>> compare_losses(empty, [])
    []
    """
    for name in (name for pair in pairs for name in pair):
        require_one_of("model", name, robustness.models)
    found = [
        (curves, model, curves.compare_losses(model, other))
        for curves in robustness.curves.values()
        for model, other in pairs
    ]
    adjusted = adjust_p_values([advantage.compute_two_sided_p_value() for _, _, advantage in found])
    comparisons = []
    for (curves, model, advantage), p in zip(found, adjusted, strict=True):
        reason, word = find_obstacle(curves.scoreboard, [model, advantage.name]), CANNOT_TELL
        if not reason and p <= 2 * ALPHA:
            word = LOSES_LESS if advantage.estimate > 0 else LOSES_MORE
        comparisons.append(
            LossComparison(
                disturbance=curves.disturbance,
                model=model,
                metric=curves.scoreboard.metric,
                advantage=advantage,
                word=word,
                p=p,
                reason=reason,
            )
        )
    return comparisons


def compare_with_branches(robustness: Robustness) -> list[LossComparison]:
    """Compare the losses of each fusion with those of its branches alone.

    Parameters
    ----------
    robustness : Robustness
        The curves of all models.

    Returns
    -------
    list of LossComparison
        One for each disturbance, fusion and branch that was trained alike, see `compare_losses`.

    Examples
    --------
    >>> compare_with_branches(Robustness(models={}, curves={}, unavailable={}, caveats=()))
    []
    """
    models = robustness.models
    pairs = [
        (name, other)
        for name, fusion in models.items()
        for other, branch in models.items()
        if fusion.role == "fusion"
        and branch.role == "single"
        and branch.branches[0] in fusion.branches
        and not describe_recipe_difference(fusion.recipe, branch.recipe)
    ]
    return compare_losses(robustness, pairs)


def compare_augmentation(robustness: Robustness) -> list[LossComparison]:
    """Compare the losses of models that were trained with augmentation with those trained without.

    Parameters
    ----------
    robustness : Robustness
        The curves of all models.

    Returns
    -------
    list of LossComparison
        One for each disturbance and each model with augmentation that has a twin without: equal in
        everything but the setting `augment`. See `compare_losses`.

    Examples
    --------
    >>> compare_augmentation(Robustness(models={}, curves={}, unavailable={}, caveats=()))
    []
    """
    models = robustness.models

    def describe(name: str) -> tuple[object, ...]:
        one = models[name]
        recipe = {key: value for key, value in one.recipe.items() if key != AUGMENT}
        return one.role, one.branches, one.ensemble_size, one.parameters, recipe

    pairs = [
        (name, other)
        for name in models
        for other in models
        if models[name].recipe.get(AUGMENT)
        and not models[other].recipe.get(AUGMENT)
        and describe(name) == describe(other)
    ]
    return compare_losses(robustness, pairs)


def tabulate_comparisons(comparisons: Iterable[LossComparison]) -> pd.DataFrame:
    """Write comparisons of losses as a table, for people.

    Parameters
    ----------
    comparisons : iterable of LossComparison
        The comparisons.

    Returns
    -------
    DataFrame
        One row of text for each: disturbance, model, answer, the other model, how much less the
        model loses, and the adjusted p value.

    Examples
    --------
    >>> tabulate_comparisons([]).columns.tolist()[:3]
    ['disturbance', 'model', 'answer']
    """
    rows = [
        {
            "disturbance": DISTURBANCES[one.disturbance].title,
            "model": one.model,
            "answer": one.word,
            "than": one.advantage.name,
            "loses less by": one.advantage.format(),
            "p": format_p_value(one.p),
        }
        for one in comparisons
    ]
    columns = ["disturbance", "model", "answer", "than", "loses less by", "p"]
    return pd.DataFrame(rows, columns=columns)
