"""The models that a fusion has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.rules import ALPHA
from ecglib.evaluation.scoreboard import Scoreboard

SINGLE, ENSEMBLE, SAME_SIZE = "single", "ensemble", "same size"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A model that a fusion has to beat.

    Parameters
    ----------
    kind : {"single", "ensemble", "same size"}
        A single branch, an ensemble of one, or one widened to the size of the fusion.
    branch : str
        The branch.
    difference : Difference
        The fusion's score minus that of the rival.
    is_larger : bool, default False
        Whether the rival is larger than the fusion: it can then only speak for the fusion.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> certain = Variance(1e-6, 60)
    >>> difference = Difference(
    ...     name="time:cnn", estimate=0.02, patients=certain, seeds=(), cautious_seeds=()
    ... )
    >>> Rival(kind="single", branch="time:cnn", difference=difference).is_larger
    False
    """

    kind: str
    branch: str
    difference: Difference
    is_larger: bool = False


def find_contenders(
    models: Mapping[str, Sequence[Contestant]], validation: Scoreboard
) -> list[str]:
    """Find the single branches that may be the best: those that need controls.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds; all of one recipe.
    validation : Scoreboard
        The models, measured on the validation split.

    Returns
    -------
    list of str
        The best single branch on the validation split first, then those that it is not shown to
        beat there (one-sided, 2.5 %). Of equally good branches the smaller is first.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> settings = StudySettings(n_patients=40, branch_deficits=(0.0, 0.0, 0.1))
    >>> models = group_by_model(simulate_study(settings, seed=0))
    >>> find_contenders(models, measure_models(models, "auroc", split="validation"))
    ['time:cnn', 'frequency:cnn']
    """
    singles = [name for name, seeds in models.items() if seeds[0].role == "single"]

    def rank(name: str) -> tuple[float, int, str]:
        return -validation.score_oriented(name), models[name][0].parameters, name

    best, *others = sorted(singles, key=rank)
    unbeaten = [
        name for name in others if validation.subtract(best, name).compute_p_value() > ALPHA
    ]
    return [best, *unbeaten]


def find_strongest(rivals: Sequence[Rival]) -> Rival | None:
    """Find the rival that is hardest to beat.

    Parameters
    ----------
    rivals : sequence of Rival
        All rivals of a fusion.

    Returns
    -------
    Rival or None
        The one with the largest p value of being beaten; None without rivals.

    Examples
    --------
    >>> find_strongest([]) is None
    True
    """
    return max(rivals, key=lambda one: one.difference.compute_p_value(), default=None)
