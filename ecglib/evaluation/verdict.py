"""Which branch is best, and what each fusion really adds to it.

A fusion can win by averaging alone, so it is compared, in the same patient resamples, with the
best single branch and with an ensemble of that branch that is as large as the fusion. It can win
by more parameters alone: if that branch was also run widened to the size of the fusion, the fusion
is compared with that as well. The best branch is chosen on the validation split, and the choice can
be poor if that has few patients: so a fusion adds something only if it beats every other single
branch as well.

The intervals hold for other patients and for these trained models. Seeds are averaged, not
resampled: the variation between trainings is not part of the intervals yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant, check_metric, group_by_model
from ecglib.evaluation.metrics import MACRO_METRICS, METRIC_NAMES
from ecglib.evaluation.resampling import compute_interval, count_unscored
from ecglib.experiment.registry import SAME_SIZE_RATIO

ADDS, ADDS_NOTHING, CANNOT_TELL = "adds", "adds nothing", "cannot tell"

# The smallest gain worth having, unless said otherwise.
DEFAULT_MARGIN = 0.01

# Without any effect all of five patients favour the fusion in 1 of 32 cases, more often than the
# 2.5 % that a 95 % interval allows above it; and then every resample does too.
MIN_PATIENTS = 6
# Resamples without an outcome of some class are ignored; if more than this fraction is, the rest
# says nothing about new patients.
MAX_FRACTION_UNSCORED = 0.5


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """How models are compared.

    Parameters
    ----------
    metric : {"auroc", "auprc", "f1"}, default "auroc"
        The score, macro mean over the classes.
    margin : float, default 0.01
        The smallest gain worth having, above zero.
    n_resamples : int, default 1000
        Number of patient resamples.
    seed : int, default 0
        Seed of the resamples.

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
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if not self.margin > 0:
            raise RunError(
                f"`margin`, the smallest gain worth having, is {self.margin}; expected a number "
                f"above 0, e.g. {DEFAULT_MARGIN}."
            )


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The score of a model minus that of another one, with its paired 95 % interval.

    Parameters
    ----------
    name : str
        The other model.
    estimate : float
        The difference, averaged over seeds.
    low, high : float
        Its interval over patients.
    n_ignored : int
        Resamples that could not be scored.
    larger : bool, default False
        Whether the other model is larger than the fusion: it can then only speak for the fusion.

    Examples
    --------
    >>> gap = Gap(name="time:cnn", estimate=0.0012, low=-0.002, high=0.004, n_ignored=0)
    >>> gap.excludes(0.01), gap.format()
    (True, '+0.001 [-0.002, +0.004]')
    """

    name: str
    estimate: float
    low: float
    high: float
    n_ignored: int
    larger: bool = False

    def excludes(self, margin: float) -> bool:
        """Return whether a gain of `margin` is excluded.

        Parameters
        ----------
        margin : float
            The smallest gain worth having.

        Returns
        -------
        bool
            Always False if the other model is larger than the fusion.
        """
        return self.high < margin and not self.larger

    def format(self) -> str:
        """Return the difference and its interval as text.

        Returns
        -------
        str
            For example "+0.012 [+0.003, +0.020]".
        """
        # Adding zero turns a rounded -0.0 into 0.0.
        estimate, low, high = (
            round(value, 3) + 0.0 for value in (self.estimate, self.low, self.high)
        )
        return f"{estimate:+.3f} [{low:+.3f}, {high:+.3f}]"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a fusion adds.

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
    against_single : Gap
        Against the single branch that is best on the validation split.
    against_ensemble : Gap or None
        Against the ensemble of that branch; None if there is none of sufficient size.
    ensemble_size : int or None
        Number of models in that ensemble.
    against_widened : Gap or None
        Against that branch widened to the size of the fusion; None if there is none, or if the
        branch is about as large itself.
    parameters : int
        Number of parameters of the fusion.
    widened_parameters : int or None
        Number of parameters of the widened branch.
    unbeaten : tuple of Gap
        The other single branches that the fusion is not shown to beat.
    verdict : str
        "adds", "adds nothing" or "cannot tell".
    limitations : tuple of str
        Sentences on what limits the verdict.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> gap = Gap(name="time:cnn", estimate=0.02, low=0.01, high=0.03, n_ignored=0)
    >>> difference = Difference(
    ...     fusion="late_average",
    ...     branches=("time:cnn", "frequency:mlp"),
    ...     metric="auroc",
    ...     margin=0.01,
    ...     against_single=gap,
    ...     against_ensemble=gap,
    ...     ensemble_size=2,
    ...     against_widened=None,
    ...     parameters=3000,
    ...     widened_parameters=None,
    ...     unbeaten=(),
    ...     verdict="adds",
    ...     limitations=(),
    ...     caveats=("synthetic data",),
    ... )
    >>> describe_difference(difference).split(": ")[0]
    'late_average adds something'
    """

    fusion: str
    branches: tuple[str, ...]
    metric: str
    margin: float
    against_single: Gap
    against_ensemble: Gap | None
    ensemble_size: int | None
    against_widened: Gap | None
    parameters: int
    widened_parameters: int | None
    unbeaten: tuple[Gap, ...]
    verdict: str
    limitations: tuple[str, ...]
    caveats: tuple[str, ...]


def build_score_table(
    contestants: Iterable[Contestant],
    metrics: Sequence[str] = MACRO_METRICS,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Build a table of the scores on the test split, one row for each model.

    Parameters
    ----------
    contestants : iterable of Contestant
        Models, each with one or more seeds.
    metrics : sequence of str, default ("auroc", "auprc", "f1")
        The scores.
    n_resamples : int, default 1000
        Number of patient resamples.
    seed : int, default 0
        Seed of the resamples.

    Returns
    -------
    DataFrame
        Columns: ``model``, ``role``, ``branches``, ``ensemble_size``, ``seeds``, ``parameters``;
        for each metric the mean over seeds of its macro value (``auroc``), its 95 %
        patient-bootstrap interval (``auroc_low``, ``auroc_high``), the standard deviation over
        seeds (``auroc_std``, nan for one seed), how many resamples could not be scored
        (``auroc_ignored``), and for each class the mean over seeds and its interval
        (``auroc:NORM``, ``auroc:NORM_low``, ``auroc:NORM_high``); then ``undefined``,
        ``never_predicted`` (by any of the seeds) and ``caveats``.

    Raises
    ------
    RunError
        If the models cannot be compared or a metric is unknown.

    Examples
    --------
    >>> from ecglib.evaluation.predictions import Predictions
    >>> contestant = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=Predictions(
    ...         kind="multi_label",
    ...         classes=("AF",),
    ...         rows=np.arange(4),
    ...         records=np.array(["r1", "r2", "r3", "r4"]),
    ...         patients=np.array(["p1", "p2", "p3", "p4"]),
    ...         y=np.array([[0], [0], [1], [1]]),
    ...         p=np.array([[0.1], [0.6], [0.4], [0.9]]),
    ...     ),
    ...     thresholds=np.array([0.5]),
    ...     validation_scores={"auroc": 0.8, "auprc": 0.8, "f1": 0.7},
    ...     parameters=1000,
    ... )
    >>> table = build_score_table([contestant], metrics=["auroc"], n_resamples=100)
    >>> table[["model", "parameters", "auroc", "auroc:AF"]].values.tolist()
    [['time:cnn', 1000, 0.75, 0.75]]
    """
    for metric in metrics:
        check_metric(metric)
    models = group_by_model(contestants)
    rows = [_build_row(seeds, metrics, n_resamples, seed) for seeds in models.values()]
    return pd.DataFrame(rows)


def _build_row(
    seeds: list[Contestant], metrics: Sequence[str], n_resamples: int, seed: int
) -> dict[str, Any]:
    first, scores = seeds[0], [contestant.compute_scores() for contestant in seeds]
    row = {
        "model": first.name,
        "role": first.role,
        "branches": " + ".join(first.branches),
        "ensemble_size": first.ensemble_size,
        "seeds": len(seeds),
        "parameters": round(np.mean([contestant.parameters for contestant in seeds])),
    }
    for metric in metrics:
        settings = ComparisonSettings(metric=metric, n_resamples=n_resamples, seed=seed)
        row |= _build_metric_columns(seeds, scores, settings)
    for key in ("undefined", "never_predicted"):
        row[key] = ", ".join(
            name for name in first.predictions.classes if any(name in one[key] for one in scores)
        )
    row["caveats"] = "; ".join(collect_caveats(seeds))
    return row


def _build_metric_columns(
    seeds: list[Contestant], scores: list[dict], settings: ComparisonSettings
) -> dict[str, Any]:
    metric = settings.metric
    values = [one["macro"][metric] for one in scores]
    resampled = _average_resamples(seeds, settings)
    low, high = compute_interval(resampled)
    columns = {
        metric: float(np.mean(values)),
        f"{metric}_low": low,
        f"{metric}_high": high,
        f"{metric}_std": float(np.std(values, ddof=1)) if len(seeds) > 1 else float("nan"),
        f"{metric}_ignored": count_unscored(resampled),
    }
    by_class = np.mean(
        [contestant.resample(metric, settings.n_resamples, settings.seed) for contestant in seeds],
        axis=0,
    )
    for k, name in enumerate(seeds[0].predictions.classes):
        class_values = [one["per_class"][name][metric] for one in scores]
        low, high = compute_interval(by_class[:, k])
        columns[f"{metric}:{name}"] = float(np.mean(class_values))
        columns |= {f"{metric}:{name}_low": low, f"{metric}:{name}_high": high}
    return columns


def find_best_single(contestants: Iterable[Contestant], metric: str = "auroc") -> str:
    """Find the single branch with the best macro score on the validation split.

    Seeds are averaged. Of equally good branches the smaller wins, then the first by name.

    Parameters
    ----------
    contestants : iterable of Contestant
        Models, each with one or more seeds.
    metric : {"auroc", "auprc", "f1"}, default "auroc"
        The score.

    Returns
    -------
    str
        Name of the branch.

    Raises
    ------
    RunError
        If the models cannot be compared, if there is no single branch, or if one has no such
        validation score.

    Examples
    --------
    >>> import dataclasses
    >>> from ecglib.evaluation.predictions import Predictions
    >>> cnn = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=Predictions(
    ...         kind="multi_label",
    ...         classes=("AF",),
    ...         rows=np.arange(2),
    ...         records=np.array(["r1", "r2"]),
    ...         patients=np.array(["p1", "p2"]),
    ...         y=np.array([[0], [1]]),
    ...         p=np.array([[0.1], [0.6]]),
    ...     ),
    ...     thresholds=np.array([0.5]),
    ...     validation_scores={"auroc": 0.8, "auprc": 0.8, "f1": 0.7},
    ...     parameters=1000,
    ... )
    >>> s4d = dataclasses.replace(
    ...     cnn, name="time:s4d", branches=("time:s4d",), validation_scores={"auroc": 0.9}
    ... )
    >>> find_best_single([cnn, s4d])
    'time:s4d'
    """
    check_metric(metric)
    models = group_by_model(contestants)
    singles = [seeds for seeds in models.values() if seeds[0].role == "single"]
    if not singles:
        raise RunError(
            "There is no single branch to compare with. Add runs of each branch of the fusion "
            "alone to the batch."
        )

    def rank(seeds: list[Contestant]) -> tuple[float, int, str]:
        return -_average_validation_score(seeds, metric), seeds[0].parameters, seeds[0].name

    return min(singles, key=rank)[0].name


def compute_differences(
    contestants: Iterable[Contestant], settings: ComparisonSettings | None = None
) -> list[Difference]:
    """Compute what every fusion adds to the best single branch and to its controls.

    Parameters
    ----------
    contestants : iterable of Contestant
        Single branches, fusions and controls, each with one or more seeds.
    settings : ComparisonSettings, optional
        Metric, margin and resamples; by default those of `ComparisonSettings`.

    Returns
    -------
    list of Difference
        One for each fusion.

    Raises
    ------
    RunError
        If the models cannot be compared, or if there is no single branch.

    Notes
    -----
    Each difference is the fusion's macro score minus the other's, both averaged over their seeds
    and computed in the same patient resamples. The control is the ensemble of the best single
    branch with as many models as the fusion has branches, or else the next larger one. A second
    control is that branch widened to about as many parameters as the fusion has, or else the next
    larger one; without any, or if the branch is about as large itself, the verdict rests on the
    others.

    The verdict is "adds" if the 95 % intervals against the single branch and against the controls
    lie above zero, and those against every other single branch as well (so that the choice among
    the branches, which chance can influence, does not matter). It is "adds nothing" if an interval
    against the single branch or a control ends below the margin, which excludes a gain worth having
    (a control larger than the fusion cannot show this). It is "cannot tell" otherwise, without an
    ensemble, with fewer than six patients, and if more than half of the resamples lack an outcome
    of some class.

    Examples
    --------
    >>> import dataclasses
    >>> from ecglib.evaluation.predictions import Predictions
    >>> names = np.array([f"p{i}" for i in range(40)])
    >>> y = np.array([[0], [1]] * 20)
    >>> wrong = np.arange(40)[:, None] % 10 < 4
    >>> single = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=Predictions(
    ...         kind="multi_label",
    ...         classes=("AF",),
    ...         rows=np.arange(40),
    ...         records=names,
    ...         patients=names,
    ...         y=y,
    ...         p=np.where(wrong, 0.5, 0.2 + 0.6 * y),
    ...     ),
    ...     thresholds=np.array([0.5]),
    ...     validation_scores={"auroc": 0.8, "auprc": 0.8, "f1": 0.7},
    ...     parameters=1000,
    ... )
    >>> ensemble = dataclasses.replace(
    ...     single, name="2 x time:cnn", role="ensemble", ensemble_size=2
    ... )
    >>> fusion = dataclasses.replace(
    ...     single,
    ...     name="late_average",
    ...     role="fusion",
    ...     branches=("time:cnn", "frequency:mlp"),
    ...     predictions=single.predictions.replace_probabilities(0.1 + 0.8 * y),
    ... )
    >>> (difference,) = compute_differences([single, ensemble, fusion])
    >>> difference.verdict, round(difference.against_single.estimate, 3)
    ('adds', 0.08)
    """
    settings = settings or ComparisonSettings()
    models = group_by_model(contestants)
    best = find_best_single(
        [contestant for seeds in models.values() for contestant in seeds], settings.metric
    )
    return [
        _compute_difference(seeds, models[best], models, settings)
        for seeds in models.values()
        if seeds[0].role == "fusion"
    ]


def describe_difference(difference: Difference) -> str:
    """Describe a difference in words: verdict, numbers, limitations and every caveat.

    Parameters
    ----------
    difference : Difference
        What a fusion adds.

    Returns
    -------
    str
        One or more sentences.

    Examples
    --------
    >>> gap = Gap(name="time:cnn", estimate=0.002, low=-0.01, high=0.014, n_ignored=0)
    >>> difference = Difference(
    ...     fusion="late_average",
    ...     branches=("time:cnn", "frequency:mlp"),
    ...     metric="auroc",
    ...     margin=0.01,
    ...     against_single=gap,
    ...     against_ensemble=None,
    ...     ensemble_size=None,
    ...     against_widened=None,
    ...     parameters=3000,
    ...     widened_parameters=None,
    ...     unbeaten=(),
    ...     verdict="cannot tell",
    ...     limitations=(),
    ...     caveats=("synthetic data",),
    ... )
    >>> verdict, numbers = describe_difference(difference).split(": ")
    >>> verdict
    'Cannot tell whether late_average adds anything'
    >>> numbers.partition(" from ")[0]
    'its macro AUROC differs by +0.002 [-0.010, +0.014]'
    """
    fusion, margin = difference.fusion, difference.margin
    single = difference.against_single
    ensemble, widened = difference.against_ensemble, difference.against_widened
    candidates = {
        "the best single branch": single,
        "an equally large ensemble": ensemble,
        "the branch widened to its size": widened,
    }
    gaps = {rival: gap for rival, gap in candidates.items() if gap is not None}
    excluding = next((rival for rival, gap in gaps.items() if gap.excludes(margin)), "")
    small = any(gap.high < margin for gap in gaps.values())
    verdict = {
        ADDS: f"{fusion} adds something" + (f", but less than {margin:g}" if small else ""),
        ADDS_NOTHING: f"{fusion} adds nothing (a gain of {margin:g} over {excluding} is excluded)",
        CANNOT_TELL: f"Cannot tell whether {fusion} adds anything",
    }[difference.verdict]
    against = [f"{single.format()} from the best single branch ({single.name})"]
    if ensemble is not None:
        control = f"{difference.ensemble_size} x {single.name} with other seeds"
        against.append(f"{ensemble.format()} from {control}")
    if widened is not None:
        sizes = (
            f"{difference.widened_parameters:,} parameters, the fusion has "
            f"{difference.parameters:,}"
        )
        against.append(f"{widened.format()} from {widened.name} ({sizes})")
    text = f"{verdict}: its {METRIC_NAMES[difference.metric]} differs by {' and by '.join(against)}"
    if difference.unbeaten and difference.verdict == CANNOT_TELL:
        rivals = " and ".join(f"{gap.name} ({gap.format()})" for gap in difference.unbeaten)
        text += f"; it is not shown to beat {rivals}"
    return " ".join([f"{text}.", *difference.limitations, *format_caveats(difference.caveats)])


def format_caveats(caveats: Iterable[str]) -> list[str]:
    """Write each caveat as a sentence.

    Parameters
    ----------
    caveats : iterable of str
        The caveats.

    Returns
    -------
    list of str
        One sentence for each.

    Examples
    --------
    >>> format_caveats(["synthetic data"])
    ['Synthetic data.']
    """
    return [f"{caveat[:1].upper()}{caveat[1:].rstrip('.')}." for caveat in caveats]


def _find_ensemble(
    fusion: list[Contestant], single: list[Contestant], models: Mapping[str, list[Contestant]]
) -> list[Contestant] | None:
    """Find the smallest ensemble of the single branch that is no smaller than the fusion."""
    candidates = [
        seeds
        for seeds in models.values()
        if seeds[0].role == "ensemble"
        and seeds[0].branches == single[0].branches
        and seeds[0].ensemble_size >= len(fusion[0].branches)
    ]

    def rank(seeds: list[Contestant]) -> tuple[int, str]:
        return seeds[0].ensemble_size, seeds[0].name

    return min(candidates, key=rank, default=None)


def _find_widened(
    fusion: list[Contestant], single: list[Contestant], models: Mapping[str, list[Contestant]]
) -> list[Contestant] | None:
    """Find the widened branch nearest in size to the fusion, about as large as it or larger.

    None if the single branch is about as large itself.
    """
    if _compute_size_ratio(single, fusion) >= 1 / SAME_SIZE_RATIO:
        return None
    candidates = [
        seeds
        for seeds in models.values()
        if seeds[0].role == "widened"
        and seeds[0].branches == single[0].branches
        and _compute_size_ratio(seeds, fusion) >= 1 / SAME_SIZE_RATIO
    ]

    def rank(seeds: list[Contestant]) -> tuple[float, str]:
        ratio = _compute_size_ratio(seeds, fusion)
        return max(ratio, 1 / ratio), seeds[0].name

    return min(candidates, key=rank, default=None)


def _compute_size_ratio(model: list[Contestant], fusion: list[Contestant]) -> float:
    """Return the number of parameters of a model over that of the fusion."""
    return model[0].parameters / fusion[0].parameters


def _compute_difference(
    fusion: list[Contestant],
    single: list[Contestant],
    models: Mapping[str, list[Contestant]],
    settings: ComparisonSettings,
) -> Difference:
    others = [s for s in models.values() if s[0].role == "single" and s is not single]
    gaps_to_others = [compute_gap(fusion, other, settings) for other in others]
    unbeaten = tuple(gap for gap in gaps_to_others if not gap.low > 0)
    against_single = compute_gap(fusion, single, settings)
    against_ensemble = against_widened = None
    ensemble = _find_ensemble(fusion, single, models)
    if ensemble is not None:
        larger = ensemble[0].ensemble_size > len(fusion[0].branches)
        against_ensemble = compute_gap(fusion, ensemble, settings, larger)
    widened = _find_widened(fusion, single, models)
    if widened is not None:
        larger = _compute_size_ratio(widened, fusion) > SAME_SIZE_RATIO
        against_widened = compute_gap(fusion, widened, settings, larger)
    controls = [gap for gap in (against_ensemble, against_widened) if gap is not None]

    obstacles = list_interval_problems(fusion[0], against_single, settings.n_resamples)
    if ensemble is None:
        obstacles.insert(
            0,
            f"There is no ensemble of {len(fusion[0].branches)} or more x {single[0].name} in the "
            "batch, so a gain by averaging alone cannot be distinguished.",
        )
    verdict = CANNOT_TELL
    if not obstacles:
        verdict = _decide_verdict([against_single, *controls], unbeaten, settings.margin)
    involved = [model for model in (fusion, single, ensemble, widened) if model is not None]
    limitations = _list_limitations(involved, against_ensemble, against_widened)
    return Difference(
        fusion=fusion[0].name,
        branches=fusion[0].branches,
        metric=settings.metric,
        margin=settings.margin,
        against_single=against_single,
        against_ensemble=against_ensemble,
        ensemble_size=ensemble[0].ensemble_size if ensemble else None,
        against_widened=against_widened,
        parameters=fusion[0].parameters,
        widened_parameters=widened[0].parameters if widened else None,
        unbeaten=unbeaten,
        verdict=verdict,
        limitations=(*obstacles, *limitations),
        caveats=collect_caveats(contestant for seeds in involved for contestant in seeds),
    )


def compute_gap(
    a: list[Contestant], b: list[Contestant], settings: ComparisonSettings, larger: bool = False
) -> Gap:
    """Compute the score of one model minus that of another, in the same resamples.

    Parameters
    ----------
    a, b : list of Contestant
        The seeds of each model, over which the scores are averaged.
    settings : ComparisonSettings
        Metric and resamples.
    larger : bool, default False
        Whether `b` is larger than `a`, see `Gap`.

    Returns
    -------
    Gap
        The difference with its paired interval.

    Examples
    --------
    >>> import dataclasses
    >>> from ecglib.evaluation.predictions import Predictions
    >>> cnn = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=Predictions(
    ...         kind="multi_label",
    ...         classes=("AF",),
    ...         rows=np.arange(4),
    ...         records=np.array(["r1", "r2", "r3", "r4"]),
    ...         patients=np.array(["p1", "p2", "p3", "p4"]),
    ...         y=np.array([[0], [0], [1], [1]]),
    ...         p=np.array([[0.1], [0.6], [0.4], [0.9]]),
    ...     ),
    ...     thresholds=np.array([0.5]),
    ...     validation_scores={"auroc": 0.8, "auprc": 0.8, "f1": 0.7},
    ...     parameters=1000,
    ... )
    >>> s4d = dataclasses.replace(
    ...     cnn,
    ...     name="time:s4d",
    ...     predictions=cnn.predictions.replace_probabilities(cnn.predictions.y),
    ... )
    >>> compute_gap([s4d], [cnn], ComparisonSettings(n_resamples=100)).estimate
    0.25
    """
    resampled = _average_resamples(a, settings) - _average_resamples(b, settings)
    low, high = compute_interval(resampled)
    return Gap(
        name=b[0].name,
        estimate=_average_score(a, settings.metric) - _average_score(b, settings.metric),
        low=low,
        high=high,
        n_ignored=count_unscored(resampled),
        larger=larger,
    )


def _decide_verdict(gaps: list[Gap], unbeaten: tuple[Gap, ...], margin: float) -> str:
    """Return the verdict from the gaps to the best single branch and to each control."""
    # "adds" goes first: a gain that is certain but small is still one, and the numbers say so.
    if all(gap.low > 0 for gap in gaps) and not unbeaten:
        return ADDS
    if any(gap.excludes(margin) for gap in gaps):
        return ADDS_NOTHING
    return CANNOT_TELL


def list_interval_problems(contestant: Contestant, gap: Gap, n_resamples: int) -> list[str]:
    """List why an interval over these test patients says nothing.

    Parameters
    ----------
    contestant : Contestant
        Any model scored on the test split.
    gap : Gap
        The interval.
    n_resamples : int
        Number of resamples it was computed from.

    Returns
    -------
    list of str
        Sentences; empty if the interval can be used.

    Examples
    --------
    >>> from ecglib.evaluation.predictions import Predictions
    >>> contestant = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=Predictions(
    ...         kind="multi_label",
    ...         classes=("AF",),
    ...         rows=np.arange(2),
    ...         records=np.array(["r1", "r2"]),
    ...         patients=np.array(["p1", "p2"]),
    ...         y=np.array([[0], [1]]),
    ...         p=np.array([[0.1], [0.6]]),
    ...     ),
    ...     thresholds=np.array([0.5]),
    ...     validation_scores={"auroc": 0.8, "auprc": 0.8, "f1": 0.7},
    ...     parameters=1000,
    ... )
    >>> gap = Gap(name="time:s4d", estimate=0.1, low=0.0, high=0.2, n_ignored=0)
    >>> list_interval_problems(contestant, gap, n_resamples=1000)
    ['2 test patients are too few for an interval.']
    """
    problems = []
    n_patients = contestant.predictions.n_patients
    if n_patients < MIN_PATIENTS:
        problems.append(f"{n_patients} test patients are too few for an interval.")
    if gap.n_ignored > MAX_FRACTION_UNSCORED * n_resamples:
        problems.append(
            f"{gap.n_ignored} of {n_resamples} resamples lack a class: too few patients have it."
        )
    return problems


def _list_limitations(
    involved: list[list[Contestant]], against_ensemble: Gap | None, against_widened: Gap | None
) -> list[str]:
    limitations, fusion = [], involved[0][0]
    if len({branch.partition(":")[0] for branch in fusion.branches}) == 1:
        limitations.append(
            "All its branches take the same representation: what it adds comes from another "
            "encoder, not from another representation."
        )
    if against_ensemble and against_ensemble.larger:
        limitations.append(
            f"The ensemble is larger than the {len(fusion.branches)} branches: the batch has "
            "none of equal size."
        )
    if against_widened and against_widened.larger:
        limitations.append(
            "The widened branch is larger than the fusion: the batch has none of its size."
        )
    if min(map(len, involved)) == 1:
        limitations.append(
            "Not all models have several seeds, so chance in training is not averaged."
        )
    return limitations


def _average_resamples(seeds: list[Contestant], settings: ComparisonSettings) -> np.ndarray:
    """Average the resampled macro scores over the seeds: (n_resamples,)."""
    resampled = [
        contestant.resample_macro(settings.metric, settings.n_resamples, settings.seed)
        for contestant in seeds
    ]
    return np.mean(resampled, axis=0)


def _average_score(seeds: list[Contestant], metric: str) -> float:
    return float(np.mean([contestant.compute_scores()["macro"][metric] for contestant in seeds]))


def _average_validation_score(seeds: list[Contestant], metric: str) -> float:
    values = [contestant.validation_scores.get(metric, float("nan")) for contestant in seeds]
    if np.isnan(values).any():
        raise RunError(
            f"{seeds[0].name} lacks a {METRIC_NAMES[metric]} on the validation split for some "
            f"seeds: {values}. The best branch is chosen there, never on the test split; compare "
            "by another metric or leave the model out."
        )
    return float(np.mean(values))


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
