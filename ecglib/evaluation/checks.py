"""Whether a comparison is fair: conditions that are checked, and shown with it."""

import dataclasses
from collections.abc import Mapping, Sequence

from ecglib.evaluation.baselines import BEATS, BaselineComparison
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.recipes import describe_recipe_difference
from ecglib.evaluation.rules import MIN_SEEDS
from ecglib.evaluation.verdict import CANNOT_COMPARE, Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One condition of a fair comparison.

    Parameters
    ----------
    title : str
        What is checked.
    passed : bool
        Whether it holds.
    detail : str
        What was found.

    Examples
    --------
    >>> Check(title="Enough seeds", passed=False, detail="2 of 5").passed
    False
    """

    title: str
    passed: bool
    detail: str


def list_checks(
    verdicts: Sequence[Verdict], baselines: Sequence[BaselineComparison]
) -> list[Check]:
    """List what can be checked of a comparison from its verdicts alone.

    Parameters
    ----------
    verdicts : sequence of Verdict
        What each fusion adds.
    baselines : sequence of BaselineComparison
        Which networks beat each classical baseline.

    Returns
    -------
    list of Check
        Fusions and branches trained alike, enough seeds, and the baseline beaten.

    Examples
    --------
    >>> [check.title for check in list_checks([], [])]
    ['Baseline beaten']
    """
    checks = []
    if verdicts:
        alike = [one for one in verdicts if one.word != CANNOT_COMPARE]
        seeds = min(one.n_seeds for one in verdicts)
        checks += [
            Check(
                title="Fusions and branches trained alike",
                passed=len(alike) == len(verdicts),
                detail=f"{len(alike)} of {len(verdicts)} fusions have branches of their recipe",
            ),
            Check(
                title="Enough seeds",
                passed=seeds >= MIN_SEEDS,
                detail=f"{seeds} of {MIN_SEEDS}",
            ),
        ]
    networks = {name for one in baselines for name in one.differences}
    beating = {name for name in networks if all(one.judge(name) == BEATS for one in baselines)}
    # A branch that sees little of the evidence may lose to trees; the best one should not.
    best = next((one.best_branch for one in verdicts if one.best_branch), "")
    needed = {best} & networks or networks
    detail = f"by {len(beating)} of {len(networks)} networks" if networks else "no baseline"
    if networks and best:
        detail += f"; the best branch {'does' if best in beating else 'does not'}"
    passed = bool(networks) and needed <= beating
    checks.append(Check(title="Baseline beaten", passed=passed, detail=detail))
    return checks


def check_recipes(models: Mapping[str, Sequence[Contestant]]) -> Check:
    """Check that all networks were trained with one recipe.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds.

    Returns
    -------
    Check
        It fails if runs of other settings are mixed in.

    Examples
    --------
    >>> check_recipes({}).detail
    'all networks have the same recipe'
    """
    networks = [one for seeds in models.values() for one in seeds if one.is_network]
    differences = [describe_recipe_difference(networks[0].recipe, one.recipe) for one in networks]
    different = [text for text in differences if text]
    texts = sorted(set(different))
    return Check(
        title="One recipe",
        passed=not texts,
        detail=f"{len(different)} of {len(networks)} trainings differ: {'; '.join(texts[:3])}"
        if texts
        else "all networks have the same recipe",
    )
