"""Whether the networks of a comparison beat the classical baseline: trees, which train in seconds.

A comparison may have several baselines, and the networks are compared with each, so that none has
to be chosen. Trees and networks have different settings, so they need not share a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.rules import ALPHA
from ecglib.evaluation.scoreboard import Scoreboard

BEATS, BEATEN, CANNOT_TELL = "beats it", "beaten by it", "cannot tell"


@dataclass(frozen=True, kw_only=True)
class BaselineComparison:
    """How every network compares with one baseline.

    Parameters
    ----------
    baseline : str
        Name of the baseline.
    metric : str
        The score that is compared.
    differences : dict of str to Difference
        Name of each network -> its score minus that of the baseline.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> name = "handcrafted:random_forest"
    >>> difference = Difference(
    ...     name=name, estimate=0.02, patients=Variance(1e-5, 60), seeds=(), cautious_seeds=()
    ... )
    >>> comparison = BaselineComparison(
    ...     baseline=name, metric="auroc", differences={"time:cnn": difference}
    ... )
    >>> comparison.judge("time:cnn"), comparison.describe()
    ('beats it', 'Every network beats the classical baseline handcrafted:random_forest.')
    """

    baseline: str
    metric: str
    differences: dict[str, Difference]

    def judge(self, network: str) -> str:
        """Return whether a network beats the baseline.

        Parameters
        ----------
        network : str
            Name of the network.

        Returns
        -------
        {"beats it", "beaten by it", "cannot tell"}
            Each claim with a one-sided p value of at most 2.5 %.
        """
        difference = self.differences[network]
        if difference.compute_p_value() <= ALPHA:
            return BEATS
        return BEATEN if difference.compute_p_value(below=True) <= ALPHA else CANNOT_TELL

    def describe(self) -> str:
        """Describe in one sentence which networks beat the baseline.

        Returns
        -------
        str
            Networks that are beaten by it are named apart from those of which one cannot tell.
        """
        baseline = f"the classical baseline {self.baseline}"
        by_word: dict[str, list[str]] = {word: [] for word in (BEATS, BEATEN, CANNOT_TELL)}
        for name in self.differences:
            by_word[self.judge(name)].append(name)
        if len(by_word[BEATS]) == len(self.differences):
            return f"Every network beats {baseline}."
        parts = [f"{len(by_word[BEATS])} of {len(self.differences)} networks beat {baseline}"]
        if by_word[BEATEN]:
            parts.append(f"beaten by it: {self._list(by_word[BEATEN])}")
        if by_word[CANNOT_TELL]:
            parts.append(f"cannot tell: {self._list(by_word[CANNOT_TELL])}")
        return "; ".join(parts) + "."

    def _list(self, names: Sequence[str]) -> str:
        return ", ".join(f"{name} ({self.differences[name].format()})" for name in names)


def compare_with_baselines(
    models: Mapping[str, Sequence[Contestant]], scoreboard: Scoreboard
) -> list[BaselineComparison]:
    """Compare every network with each baseline, both averaged over their seeds.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds, networks and baselines.
    scoreboard : Scoreboard
        The models, measured on the test split.

    Returns
    -------
    list of BaselineComparison
        One for each baseline; empty without baselines or without networks.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> models = group_by_model(simulate_study(StudySettings(n_patients=40), seed=0))
    >>> compare_with_baselines(models, measure_models(models, "auroc"))
    []
    """
    baselines = [name for name, seeds in models.items() if seeds[0].role == "baseline"]
    networks = [name for name, seeds in models.items() if seeds[0].is_network]
    if not networks:
        return []
    return [
        BaselineComparison(
            baseline=baseline,
            metric=scoreboard.metric,
            differences={name: scoreboard.subtract(name, baseline) for name in networks},
        )
        for baseline in baselines
    ]
