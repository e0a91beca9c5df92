"""Whether the networks of a batch beat the classical baseline: trees, which train in seconds.

The paired bootstrap is that of `ecglib.evaluation.verdict`. A batch may have several baselines, and
the networks are compared with each, so that none has to be chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecglib.evaluation.contestants import Contestant, group_by_model
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.evaluation.verdict import (
    ComparisonSettings,
    Gap,
    collect_caveats,
    compute_gap,
    format_caveats,
    list_interval_problems,
)


@dataclass(frozen=True, kw_only=True)
class BaselineComparison:
    """How every network of a batch compares with one baseline.

    Parameters
    ----------
    baseline : str
        Name of the baseline.
    metric : str
        The score that is compared.
    gaps : dict of str to Gap
        Name of each network -> its score minus that of the baseline.
    problems : tuple of str
        Sentences on why the gaps say nothing; empty if they can be used.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> name = "handcrafted:random_forest"
    >>> comparison = BaselineComparison(
    ...     baseline=name,
    ...     metric="auroc",
    ...     gaps={"time:cnn": Gap(name=name, estimate=0.02, low=0.01, high=0.03, n_ignored=0)},
    ...     problems=(),
    ...     caveats=(),
    ... )
    >>> comparison.find_unsuccessful()
    {}
    >>> comparison.describe().split(", ")[0]
    'Every network beats the classical baseline handcrafted:random_forest in macro AUROC'
    """

    baseline: str
    metric: str
    gaps: dict[str, Gap]
    problems: tuple[str, ...]
    caveats: tuple[str, ...]

    def find_unsuccessful(self) -> dict[str, Gap]:
        """Find the networks that do not beat the baseline.

        Returns
        -------
        dict of str to Gap
            Those whose interval does not lie above zero.
        """
        return {name: gap for name, gap in self.gaps.items() if not gap.low > 0}

    def describe(self) -> str:
        """Describe in words which networks do not beat the baseline, with every caveat.

        Returns
        -------
        str
            One or more sentences.
        """
        baseline = f"the classical baseline {self.baseline}"
        metric = METRIC_NAMES[self.metric]
        unsuccessful, n_networks = self.find_unsuccessful(), len(self.gaps)
        if self.problems:
            text = " ".join([f"Cannot tell whether a network beats {baseline}.", *self.problems])
        elif unsuccessful:
            verb = "does" if len(unsuccessful) == 1 else "do"
            networks = "network" if n_networks == 1 else "networks"
            numbers = ", ".join(f"{name} ({gap.format()})" for name, gap in unsuccessful.items())
            text = (
                f"{len(unsuccessful)} of {n_networks} {networks} {verb} not beat {baseline} (the "
                f"paired difference in {metric} does not lie above zero): {numbers}."
            )
        else:
            name, gap = min(self.gaps.items(), key=lambda pair: pair[1].low)
            text = (
                f"Every network beats {baseline} in {metric}, with the least certainty {name} "
                f"({gap.format()})."
            )
        return " ".join([text, *format_caveats(self.caveats)])


def compare_with_baselines(
    contestants: Iterable[Contestant], settings: ComparisonSettings | None = None
) -> list[BaselineComparison]:
    """Compare every network with each baseline, both averaged over their seeds.

    Parameters
    ----------
    contestants : iterable of Contestant
        Networks and baselines, each with one or more seeds.
    settings : ComparisonSettings, optional
        Metric and resamples; by default those of `ComparisonSettings`.

    Returns
    -------
    list of BaselineComparison
        One for each baseline; empty without baselines or without networks.

    Raises
    ------
    RunError
        If the models cannot be compared.

    Examples
    --------
    >>> import dataclasses
    >>> import numpy as np
    >>> from ecglib.evaluation.predictions import Predictions
    >>> names = np.array([f"p{i}" for i in range(20)])
    >>> y = np.array([[0], [1]] * 10)
    >>> trees = Contestant(
    ...     name="handcrafted:random_forest",
    ...     role="baseline",
    ...     branches=("handcrafted:random_forest",),
    ...     seed=0,
    ...     predictions=Predictions(
    ...         kind="multi_label",
    ...         classes=("AF",),
    ...         rows=np.arange(20),
    ...         records=names,
    ...         patients=names,
    ...         y=y,
    ...         p=np.full((20, 1), 0.5),
    ...     ),
    ...     thresholds=np.array([0.5]),
    ...     validation_scores={"auroc": 0.5, "auprc": 0.5, "f1": 0.7},
    ...     parameters=100,
    ... )
    >>> network = dataclasses.replace(
    ...     trees,
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     predictions=trees.predictions.replace_probabilities(0.1 + 0.8 * y),
    ... )
    >>> (comparison,) = compare_with_baselines([trees, network])
    >>> comparison.gaps["time:cnn"].estimate
    0.5
    """
    settings = settings or ComparisonSettings()
    models = group_by_model(contestants)
    baselines = {name: seeds for name, seeds in models.items() if seeds[0].role == "baseline"}
    networks = {name: seeds for name, seeds in models.items() if name not in baselines}
    if not networks:
        return []
    return [_compare_with_baseline(networks, trees, settings) for trees in baselines.values()]


def _compare_with_baseline(
    networks: dict[str, list[Contestant]], trees: list[Contestant], settings: ComparisonSettings
) -> BaselineComparison:
    gaps = {name: compute_gap(seeds, trees, settings) for name, seeds in networks.items()}
    worst = max(gaps.values(), key=lambda gap: gap.n_ignored)
    involved = [*trees, *(contestant for seeds in networks.values() for contestant in seeds)]
    return BaselineComparison(
        baseline=trees[0].name,
        metric=settings.metric,
        gaps=gaps,
        problems=tuple(list_interval_problems(trees[0], worst, settings.n_resamples)),
        caveats=collect_caveats(involved),
    )
