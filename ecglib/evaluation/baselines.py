"""Whether the networks of a batch beat the classical baseline: trees, which take seconds.

The paired bootstrap is that of `comparison`. A batch may hold several baselines, and the networks
are held against each, so that none has to be chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecglib.evaluation.contestants import Contestant, by_model, check_metric
from ecglib.evaluation.verdict import (
    METRIC_NAMES,
    Gap,
    as_sentences,
    as_text,
    caveats_of,
    paired_gap,
    too_few,
)


@dataclass(frozen=True)
class AgainstBaseline:
    """How every network of a batch compares with one baseline.

    `gaps` has by network its metric minus the baseline's, with the 95 % interval. `doubts` are
    whole sentences on why these say nothing.
    """

    baseline: str
    metric: str
    gaps: dict[str, Gap]
    doubts: tuple[str, ...]
    caveats: tuple[str, ...]

    def not_beating(self) -> dict[str, Gap]:
        """The networks whose interval does not lie above zero."""
        return {name: gap for name, gap in self.gaps.items() if not gap.low > 0}

    def sentence(self) -> str:
        """Which networks do not beat the baseline, in words, with every caveat."""
        who = f"the classical baseline {self.baseline}"
        below, n = self.not_beating(), len(self.gaps)
        if self.doubts:
            text = " ".join([f"Whether a network beats {who} cannot be told.", *self.doubts])
        elif below:
            verb = "does" if len(below) == 1 else "do"
            numbers = ", ".join(f"{name} ({as_text(gap)})" for name, gap in below.items())
            text = (
                f"{len(below)} of {n} network{'s' * (n > 1)} {verb} not beat {who} (the paired "
                f"difference in {METRIC_NAMES[self.metric]} does not lie above zero): {numbers}."
            )
        else:
            least = min(self.gaps.items(), key=lambda pair: pair[1].low)
            text = (
                f"Every network beats {who} in {METRIC_NAMES[self.metric]}, least surely "
                f"{least[0]} ({as_text(least[1])})."
            )
        return " ".join([text, *as_sentences(self.caveats)])


def against_baselines(
    scored: Iterable[Contestant], metric: str = "auroc", n_resamples: int = 1000, seed: int = 0
) -> list[AgainstBaseline]:
    """Every network against each baseline, both averaged over their seeds.

    Parameters
    ----------
    scored : networks and baselines, each with one or more seeds; without both the list is empty.
    metric : "auroc", "auprc" or "f1", macro mean over the classes.
    n_resamples, seed : see `bootstrap.patient_multiplicities`.

    Raises
    ------
    RunError
        If the models cannot be compared or the metric is unknown.
    """
    check_metric(metric)
    models = by_model(scored)
    baselines = {name: own for name, own in models.items() if own[0].role == "baseline"}
    networks = {name: own for name, own in models.items() if name not in baselines}
    result = []
    for name, trees in baselines.items() if networks else ():
        gaps = {
            network: paired_gap(own, trees, metric, n_resamples, seed)
            for network, own in networks.items()
        }
        worst = max(gaps.values(), key=lambda gap: gap.n_ignored)
        doubts = tuple(too_few(trees[0], worst, n_resamples))
        caveats = caveats_of([*trees, *(one for own in networks.values() for one in own)])
        result.append(AgainstBaseline(name, metric, gaps, doubts, caveats))
    return result
