"""The models that a fusion has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.recipes import describe_recipe_difference
from ecglib.evaluation.rules import ALPHA
from ecglib.evaluation.scoreboard import Scoreboard
from ecglib.experiment.registry import SAME_SIZE_RATIO

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


@dataclass(frozen=True, kw_only=True)
class FoundRivals:
    """All models that a fusion has to beat, and what is missing among them.

    Parameters
    ----------
    rivals : tuple of Rival
        The rivals; empty if no single branch has the recipe of the fusion.
    contenders : tuple of str
        The single branches of its recipe that may be the best, see `find_contenders`.
    missing : tuple of str
        A sentence for each branch or ensemble without which a gain cannot be shown.
    recipe_differences : tuple of str
        How the recipes of the other single branches differ from that of the fusion.

    Examples
    --------
    >>> text = "epochs 10 against 1"
    >>> FoundRivals(rivals=(), contenders=(), missing=(), recipe_differences=(text,)).rivals
    ()
    """

    rivals: tuple[Rival, ...]
    contenders: tuple[str, ...]
    missing: tuple[str, ...]
    recipe_differences: tuple[str, ...]


def find_rivals(
    fusion: Sequence[Contestant],
    models: Mapping[str, Sequence[Contestant]],
    scoreboard: Scoreboard,
    validation: Scoreboard,
) -> FoundRivals:
    """Find every model that a fusion has to beat.

    Parameters
    ----------
    fusion : sequence of Contestant
        The seeds of the fusion.
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds.
    scoreboard, validation : Scoreboard
        The models, measured on the test and on the validation split.

    Returns
    -------
    FoundRivals
        Every single branch of the fusion's recipe; and for each that may be the best, the smallest
        ensemble that is no smaller than the fusion, and the widened branch nearest to it in size.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> models = group_by_model(simulate_study(StudySettings(n_patients=40), seed=0))
    >>> test, validation = (
    ...     measure_models(models, "auroc", split) for split in ("test", "validation")
    ... )
    >>> found = find_rivals(models["fusion 1"], models, test, validation)
    >>> [one.kind for one in found.rivals][:4], found.missing
    (['single', 'single', 'single', 'ensemble'], ())
    """
    candidates = _Candidates(fusion, models)
    singles = candidates.list_names("single")
    rivals = [candidates.compare(SINGLE, name, name, scoreboard) for name in singles]
    contenders = find_contenders(candidates.comparable, validation) if singles else []
    missing = []
    for branch in contenders:
        if ensemble := candidates.find_ensemble(branch):
            rivals.append(candidates.compare(ENSEMBLE, branch, ensemble, scoreboard))
        else:
            missing.append(
                f"The batch has no ensemble of {len(fusion[0].branches)} x {branch}, so a gain by "
                "averaging alone is not excluded."
            )
        if same_size := candidates.find_same_size(branch):
            rivals.append(candidates.compare(SAME_SIZE, branch, same_size, scoreboard))
    return FoundRivals(
        rivals=tuple(rivals),
        contenders=tuple(contenders),
        missing=(*missing, *(candidates.describe_missing_branches() if singles else ())),
        recipe_differences=tuple(sorted({text for _, text in candidates.recipe_differences})),
    )


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


class _Candidates:
    """The models that one fusion may be compared with."""

    def __init__(
        self, fusion: Sequence[Contestant], models: Mapping[str, Sequence[Contestant]]
    ) -> None:
        self.fusion = fusion
        self.comparable: dict[str, Sequence[Contestant]] = {}
        # Each other single branch, and how its recipe differs.
        self.recipe_differences: list[tuple[str, str]] = []
        for name, seeds in models.items():
            if seeds[0].role not in ("single", "ensemble", "widened"):
                continue
            difference = _describe_recipes(fusion, seeds)
            if not difference:
                self.comparable[name] = seeds
            elif seeds[0].role == "single":
                self.recipe_differences.append((seeds[0].branches[0], difference))

    def list_names(self, role: str, branches: tuple[str, ...] = ()) -> list[str]:
        """List the comparable models of a role, of some branches where they are given."""
        return [
            name
            for name, seeds in self.comparable.items()
            if seeds[0].role == role and (not branches or seeds[0].branches == branches)
        ]

    def compare(self, kind: str, branch: str, name: str, scoreboard: Scoreboard) -> Rival:
        """Compare the fusion with one model."""
        is_larger = {
            SINGLE: False,
            ENSEMBLE: self.comparable[name][0].ensemble_size > len(self.fusion[0].branches),
            SAME_SIZE: self._compute_size_ratio(name) > SAME_SIZE_RATIO,
        }[kind]
        difference = scoreboard.subtract(self.fusion[0].name, name)
        return Rival(kind=kind, branch=branch, difference=difference, is_larger=is_larger)

    def find_ensemble(self, branch: str) -> str:
        """Find the smallest ensemble of a branch that is no smaller than the fusion, or ""."""
        sizes = {
            name: self.comparable[name][0].ensemble_size
            for name in self.list_names("ensemble", self.comparable[branch][0].branches)
        }
        large_enough = [name for name in sizes if sizes[name] >= len(self.fusion[0].branches)]
        return min(large_enough, key=lambda name: (sizes[name], name), default="")

    def find_same_size(self, branch: str) -> str:
        """Find the widened branch nearest in size to the fusion, about as large as it or larger.

        Empty if there is none, or if the branch is about as large itself.
        """
        if self._compute_size_ratio(branch) >= 1 / SAME_SIZE_RATIO:
            return ""
        ratios = {
            name: self._compute_size_ratio(name)
            for name in self.list_names("widened", self.comparable[branch][0].branches)
        }
        return min(
            (name for name in ratios if ratios[name] >= 1 / SAME_SIZE_RATIO),
            key=lambda name: (max(ratios[name], 1 / ratios[name]), name),
            default="",
        )

    def describe_missing_branches(self) -> list[str]:
        """Describe the branches of the fusion that it cannot be compared with."""
        sentences, differences = [], dict(self.recipe_differences)
        for branch in dict.fromkeys(self.fusion[0].branches):
            if self.list_names("single", (branch,)):
                continue
            if text := differences.get(branch):
                sentences.append(f"{branch} was not trained alike: {text} (fusion against branch).")
            else:
                sentences.append(f"{branch} was not run alone, so it may be as good.")
        return sentences

    def _compute_size_ratio(self, name: str) -> float:
        """Return the number of parameters of a model over that of the fusion."""
        return self.comparable[name][0].parameters / self.fusion[0].parameters


def _describe_recipes(fusion: Sequence[Contestant], rival: Sequence[Contestant]) -> str:
    """Describe in which settings the first seed of a fusion differs from other seeds; or ""."""
    texts = (
        describe_recipe_difference(fusion[0].recipe, other.recipe) for other in [*rival, *fusion]
    )
    return next((text for text in texts if text), "")
