"""What each fusion adds, decided with known error rates.

A fusion can win by averaging alone, by more parameters alone, or because the best branch was badly
chosen. So it is compared with every rival of the same recipe: each single branch, and for each
branch that the validation split does not clearly put behind the best one, an ensemble as large as
the fusion and the branch widened to the fusion's size. It adds something only if it beats them all:
its p value is the largest of all (intersection-union test: Berger, Technometrics 24, 1982),
adjusted over the fusions by the method of Holm (Scand. J. Stat. 6, 1979). The error rates that this
reaches are simulated by `make verdict-check`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.effective_patients import is_measurable
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.evaluation.needs import Needs, estimate_needs
from ecglib.evaluation.rivals import (
    ENSEMBLE,
    SAME_SIZE,
    SINGLE,
    Rival,
    find_rivals,
    find_strongest,
)
from ecglib.evaluation.rules import ALPHA, DEFAULT_MARGIN, MIN_SEEDS
from ecglib.evaluation.scoreboard import Scoreboard, check_metric, measure_models
from ecglib.experiment.registry import SAME_SIZE_RATIO

ADDS = "adds"
ADDS_LITTLE = "adds less than the margin"
EQUALS_ENSEMBLE = "better than the branch but not than an equal ensemble"
NO_GAIN = "no gain of the margin"
WORSE = "worse"
CANNOT_TELL = "cannot tell"
CANNOT_MEASURE = "cannot be measured"
CANNOT_COMPARE = "cannot compare"
WORDS = (
    ADDS,
    ADDS_LITTLE,
    EQUALS_ENSEMBLE,
    NO_GAIN,
    WORSE,
    CANNOT_TELL,
    CANNOT_MEASURE,
    CANNOT_COMPARE,
)


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """How models are compared; to be chosen before the scores are known.

    Parameters
    ----------
    metric : str, default "auroc"
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`; its mean over the classes.
    margin : float, default 0.01
        The smallest gain worth having, above zero.

    Raises
    ------
    RunError
        If the metric is unknown or `margin` is not above zero.

    Examples
    --------
    >>> ComparisonSettings(metric="f1").margin
    0.01
    """

    metric: str = "auroc"
    margin: float = DEFAULT_MARGIN

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if not self.margin > 0:
            raise RunError(
                f"`margin`, the smallest gain worth having, is {self.margin}; expected a number "
                f"above 0, e.g. {DEFAULT_MARGIN}."
            )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a fusion adds, with the evidence.

    Parameters
    ----------
    fusion : str
        Name of the fusion.
    branches : tuple of str
        Its branches.
    metric : str
        The score that is compared.
    margin : float
        The smallest gain worth having.
    word : str
        One of `WORDS`.
    reasons : tuple of str
        Sentences on why, and on what limits the verdict.
    best_branch : str
        The single branch of the same recipe that is best on the validation split.
    rivals : tuple of Rival
        All models it has to beat.
    p_adds : float
        p value of "adds something", adjusted over the fusions.
    p_no_gain : float
        p value of "does not gain the margin", adjusted over the rivals.
    n_seeds : int
        Smallest number of seeds of the fusion and its rivals.
    effective_patients : float
        How many patients the score rests on.
    needs : Needs or None
        What would decide it; None if no number of patients would.
    parameters : int
        Number of parameters of the fusion.
    recipe : mapping of str to object
        The settings that the fusion shares with its rivals.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> from ecglib.evaluation.differences import Difference
    >>> from ecglib.evaluation.variances import Variance
    >>> certain = Variance(1e-6, 60)
    >>> difference = Difference(
    ...     name="time:cnn", estimate=0.02, patients=certain, seeds=(), cautious_seeds=()
    ... )
    >>> verdict = Verdict(
    ...     fusion="late_average",
    ...     branches=("time:cnn", "frequency:mlp"),
    ...     metric="auroc",
    ...     margin=0.01,
    ...     word="adds",
    ...     reasons=(),
    ...     best_branch="time:cnn",
    ...     rivals=(Rival(kind="single", branch="time:cnn", difference=difference),),
    ...     p_adds=0.001,
    ...     p_no_gain=1.0,
    ...     n_seeds=5,
    ...     effective_patients=80.0,
    ...     needs=None,
    ...     parameters=3000,
    ...     recipe={"epochs": 10},
    ...     caveats=("synthetic data",),
    ... )
    >>> verdict.describe()
    'late_average adds: +0.020 [+0.018, +0.022] over time:cnn.'
    """

    fusion: str
    branches: tuple[str, ...]
    metric: str
    margin: float
    word: str
    reasons: tuple[str, ...]
    best_branch: str
    rivals: tuple[Rival, ...]
    p_adds: float
    p_no_gain: float
    n_seeds: int
    effective_patients: float
    needs: Needs | None
    parameters: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()

    def find_rival(self, kind: str) -> Rival | None:
        """Find the rival of a kind that belongs to the best branch.

        Parameters
        ----------
        kind : {"single", "ensemble", "same size"}
            Kind of the rival.

        Returns
        -------
        Rival or None
            None if there is none.
        """
        matching = [
            one for one in self.rivals if one.kind == kind and one.branch == self.best_branch
        ]
        return matching[0] if matching else None

    def find_strongest_rival(self) -> Rival | None:
        """Find the rival that the fusion is least certain to beat.

        Returns
        -------
        Rival or None
            None if there are no rivals.
        """
        return find_strongest(self.rivals)

    def format_strongest_rival(self) -> str:
        """Format that rival with the difference from it.

        Returns
        -------
        str
            Such as "time:cnn: +0.010 [-0.010, +0.030]"; "-" if there are no rivals.
        """
        if (rival := self.find_strongest_rival()) is None:
            return "-"
        return f"{rival.difference.name}: {rival.difference.format()}"

    def describe(self) -> str:
        """Describe the verdict in one line.

        Returns
        -------
        str
            Word, differences from the best branch and its controls, and every reason.
        """
        word = self.word
        if word == CANNOT_TELL and self.needs is not None:
            word = f"{word} ({self.needs.format()})"
        parts = []
        for kind, label in ((SINGLE, ""), (ENSEMBLE, "an equal ensemble"), (SAME_SIZE, "its size")):
            if (rival := self.find_rival(kind)) is not None:
                label = label or self.best_branch
                parts.append(f"{rival.difference.format()} over {label}")
        text = f"{self.fusion} {word}" if word in (ADDS, ADDS_LITTLE) else f"{self.fusion}: {word}"
        if parts:
            text += (": " if word in (ADDS, ADDS_LITTLE) else "; ") + ", ".join(parts)
        return " ".join([f"{text}.", *self.reasons])


def compute_verdicts(
    models: Mapping[str, list[Contestant]],
    scoreboard: Scoreboard,
    settings: ComparisonSettings | None = None,
) -> list[Verdict]:
    """Decide what each fusion adds.

    Parameters
    ----------
    models : mapping of str to list of Contestant
        Name of each model -> its seeds, as `group_by_model` returns them.
    scoreboard : Scoreboard
        The models, measured on the test split by the metric of the settings.
    settings : ComparisonSettings, optional
        Metric and margin; by default those of `ComparisonSettings`.

    Returns
    -------
    list of Verdict
        One for each fusion.

    Raises
    ------
    RunError
        If there are fusions, but no single branch.

    Notes
    -----
    - "adds": every rival is beaten. The largest p value over the rivals, Holm-adjusted over the
      fusions, is at most 2.5 %. "adds less than the margin" if a gain of it is excluded too.
    - "better than the branch but not than an equal ensemble": every single branch is beaten, and a
      gain of the margin over an ensemble is excluded.
    - "worse": worse than a single branch; "no gain of the margin": a gain of the margin over some
      rival is excluded. The p values are those of the clearest rival times the number of rivals.
    - "cannot tell": neither is shown, or a branch of the fusion or a control is missing, or there
      are fewer than five seeds.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=300, n_fusions=1, gain=0.06), seed=0)
    >>> models = group_by_model(study)
    >>> verdict = compute_verdicts(models, measure_models(models, "auroc"))[0]
    >>> verdict.word, verdict.p_adds < 0.001
    ('adds', True)
    """
    settings = settings or ComparisonSettings()
    fusions = [seeds for seeds in models.values() if seeds[0].role == "fusion"]
    if not fusions:
        return []
    if not any(seeds[0].role == "single" for seeds in models.values()):
        raise RunError(
            "There is no single branch to compare fusions with. Run each branch of the fusions "
            "alone, with the same settings."
        )
    validation = _measure_validation(models, settings.metric)
    trials = [_Trial(fusion, models, scoreboard, validation, settings) for fusion in fusions]
    p_adds = _adjust([trial.compute_p_adds(trial.rivals) for trial in trials])
    p_over_branches = _adjust([trial.compute_p_adds(trial.singles) for trial in trials])
    return [
        trial.decide(one, over)
        for trial, one, over in zip(trials, p_adds, p_over_branches, strict=True)
    ]


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for the number of claims by the method of Holm.

    Parameters
    ----------
    p_values : sequence of float
        One for each claim.

    Returns
    -------
    list of float
        Adjusted p values: claims with one of at most alpha are all true with a probability of at
        least 1 - alpha.

    Examples
    --------
    >>> adjust_p_values([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()


def collect_caveats(contestants: Iterable[Contestant]) -> tuple[str, ...]:
    """Collect the caveats of several models, each once.

    Parameters
    ----------
    contestants : iterable of Contestant
        The models.

    Returns
    -------
    tuple of str
        Caveats in the order of the models.

    Examples
    --------
    >>> collect_caveats([])
    ()
    """
    return tuple(
        dict.fromkeys(caveat for contestant in contestants for caveat in contestant.caveats)
    )


class _Trial:
    """One fusion with its rivals."""

    def __init__(
        self,
        fusion: list[Contestant],
        models: Mapping[str, list[Contestant]],
        scoreboard: Scoreboard,
        validation: Scoreboard,
        settings: ComparisonSettings,
    ):
        self.fusion, self.models = fusion, models
        self.scoreboard, self.settings = scoreboard, settings
        self.found = find_rivals(fusion, models, scoreboard, validation)
        self.rivals, self.contenders = self.found.rivals, self.found.contenders

    @property
    def singles(self) -> list[Rival]:
        """The rivals that are single branches."""
        return [one for one in self.rivals if one.kind == SINGLE]

    @property
    def n_seeds(self) -> int:
        """Smallest number of seeds of the fusion and its rivals."""
        names = [one.difference.name for one in self.rivals]
        return min(len(self.fusion), *(len(self.models[name]) for name in names))

    def compute_p_adds(self, rivals: Sequence[Rival]) -> float:
        """Return the p value of the claim that all rivals are beaten; nan if it is not tested."""
        if self._find_obstacle()[0]:
            return float("nan")
        return max(one.difference.compute_p_value() for one in rivals)

    def decide(self, p_adds: float, p_over_branches: float) -> Verdict:
        """Return the verdict, given the adjusted p values."""
        word, reasons = self._find_obstacle()
        p_no_gain = self._compute_p_no_gain(self.rivals)
        if not word:
            word, reasons = self._choose_word(p_adds, p_over_branches, p_no_gain)
        involved = [self.models[one.difference.name] for one in self.rivals]
        return Verdict(
            fusion=self.fusion[0].name,
            branches=self.fusion[0].branches,
            metric=self.settings.metric,
            margin=self.settings.margin,
            word=word,
            reasons=(*reasons, *self._list_limitations()),
            best_branch=self.contenders[0] if self.contenders else "",
            rivals=self.rivals,
            p_adds=p_adds,
            p_no_gain=p_no_gain,
            n_seeds=self.n_seeds if self.rivals else len(self.fusion),
            effective_patients=self.scoreboard.effective_patients.total,
            needs=self._estimate_needs(),
            parameters=self.fusion[0].parameters,
            recipe=self.fusion[0].recipe,
            caveats=collect_caveats(one for seeds in [self.fusion, *involved] for one in seeds),
        )

    def _find_obstacle(self) -> tuple[str, list[str]]:
        """Return the word and the reasons of a verdict that no test can change; "" if none."""
        if not self.rivals:
            return CANNOT_COMPARE, [
                f"No single branch was trained alike: {text} (fusion against branch)."
                for text in self.found.recipe_differences
            ]
        if not is_measurable(self.scoreboard.effective_patients.total):
            return CANNOT_MEASURE, [self._describe_dominance()]
        if self.n_seeds < MIN_SEEDS:
            plural = "s" if self.n_seeds > 1 else ""
            return CANNOT_TELL, [
                f"{self.n_seeds} seed{plural}; a verdict needs {MIN_SEEDS} of each model."
            ]
        return "", []

    def _choose_word(
        self, p_adds: float, p_over_branches: float, p_no_gain: float
    ) -> tuple[str, list[str]]:
        has_no_gain = p_no_gain <= ALPHA
        if p_adds <= ALPHA and not self.found.missing:
            return (ADDS_LITTLE if has_no_gain else ADDS), []
        ensembles = [one for one in self.rivals if one.kind == ENSEMBLE]
        if p_over_branches <= ALPHA and self._compute_p_no_gain(ensembles) <= ALPHA:
            return EQUALS_ENSEMBLE, []
        if self._compute_p_below(self.singles, 0.0) <= ALPHA:
            return WORSE, []
        if has_no_gain:
            return NO_GAIN, []
        return CANNOT_TELL, list(self.found.missing)

    def _compute_p_no_gain(self, rivals: Sequence[Rival]) -> float:
        return self._compute_p_below(
            [one for one in rivals if not one.is_larger], self.settings.margin
        )

    def _compute_p_below(self, rivals: Sequence[Rival], margin: float) -> float:
        """Return the p value of a difference below the margin from some rival (Bonferroni)."""
        values = [one.difference.compute_p_value(margin, below=True) for one in rivals]
        return min(1.0, len(values) * min(values)) if values else 1.0

    def _estimate_needs(self) -> Needs | None:
        strongest = find_strongest(self.rivals)
        if strongest is None:
            return None
        return estimate_needs(
            strongest.difference,
            self.scoreboard.windows.n_patients,
            self.n_seeds,
            self.settings.margin,
        )

    def _describe_dominance(self) -> str:
        effective = self.scoreboard.effective_patients
        fractions = np.where(self.scoreboard.windows.scored, effective.max_positive_fraction, 0.0)
        k = int(np.argmax(fractions))
        name = self.fusion[0].predictions.classes[k]
        return (
            f"{METRIC_NAMES[self.settings.metric]} rests on {effective.total:.1f} effective "
            f"patients: {fractions[k]:.0%} of the positive windows of {name} are one patient's."
        )

    def _list_limitations(self) -> list[str]:
        limitations = []
        if len({branch.partition(":")[0] for branch in self.fusion[0].branches}) == 1:
            limitations.append(
                "All its branches take one representation: what it adds comes from another "
                "encoder, not from another representation."
            )
        has_same_size = any(one.kind == SAME_SIZE for one in self.rivals)
        if self.contenders and not has_same_size:
            branch = self.models[self.contenders[0]][0]
            if branch.parameters < self.fusion[0].parameters / SAME_SIZE_RATIO:
                limitations.append(
                    "No branch of its size was run, so a gain by more parameters alone is not "
                    "excluded."
                )
        return limitations


def _measure_validation(models: Mapping[str, list[Contestant]], metric: str) -> Scoreboard:
    singles = {name: seeds for name, seeds in models.items() if seeds[0].role == "single"}
    return measure_models(singles or models, metric, split="validation")


def _adjust(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of the fusions that are tested; the others stay nan."""
    tested = [i for i, value in enumerate(p_values) if not math.isnan(value)]
    adjusted = [float("nan")] * len(p_values)
    for i, value in zip(tested, adjust_p_values([p_values[i] for i in tested]), strict=True):
        adjusted[i] = value
    return adjusted
