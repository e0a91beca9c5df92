"""The explanation of one window: everything that its page shows."""

import ecglib._keras  # noqa: F401

import dataclasses
from typing import Any

import numpy as np

from ecglib.experiment.contract import Contract
from ecglib.explain.attribution import Attribution
from ecglib.explain.checks import SanityCheck
from ecglib.explain.contributions import BranchContributions
from ecglib.explain.fusion_weights import FusionWeights, describe_disagreements
from ecglib.explain.randomization import RandomizationCheck
from ecglib.explain.scores import LEAD
from ecglib.inference import Window


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedInput:
    """What one input of a model contributes to the score of a class, with its checks.

    Parameters
    ----------
    values : array of the shape of one window
        The input itself.
    unit : str
        Its unit.
    attribution : Attribution
        Of one window.
    checks : tuple of SanityCheck
        Of this attribution; empty where none applies.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> attribution = attribute_by_gradient(target)["signal"]
    >>> explained = ExplainedInput(
    ...     values=target.inputs["signal"][0], unit="mV", attribution=attribution, checks=()
    ... )
    >>> explained.name, explained.failed
    ('signal', ())
    """

    values: np.ndarray
    unit: str
    attribution: Attribution
    checks: tuple[SanityCheck, ...]

    @property
    def name(self) -> str:
        """Name of the input: "signal", or a representation."""
        return self.attribution.input_name

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if not check.passed)

    @property
    def size_similarity(self) -> float | None:
        """How similar the sizes are with randomized weights; None without that check."""
        found = [one for one in self.checks if isinstance(one, RandomizationCheck)]
        return found[0].size_similarity if found else None

    def sum_leads(self) -> dict[str, float]:
        """Return the fraction of the absolute attribution on each lead; empty without leads."""
        axis = self.attribution.axes[-1]
        if axis.name != LEAD:
            return {}
        sizes = np.abs(self.attribution.values[0]).reshape(-1, len(axis.values)).sum(axis=0)
        fractions = sizes / max(float(sizes.sum()), np.finfo(float).tiny)
        return dict(zip(axis.values.tolist(), fractions.tolist(), strict=True))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """Why a run gives a class to a window.

    Parameters
    ----------
    run_name, model_name : str
        Folder of the run, and its model.
    contract : Contract
        Of the run: classes, thresholds, caveats.
    fold : str
        Which fold of a cross-validation the run is, such as "fold 2 of 5"; "" if it is none.
    window : Window
        The window.
    split : str or None
        Its split for the run; "" if it is in none, None if it is not from the dataset of the run.
    labels : tuple of str
        Its true classes, if they are known.
    p : array of shape (n_classes,)
        Calibrated probabilities.
    decisions : tuple of str
        The predicted classes.
    class_name : str
        The class that is explained.
    method : str
        Name of the method in `METHODS`.
    signal : ExplainedInput
        The signal in mV.
    representations : tuple of ExplainedInput
        The spectra, spectrograms and tabular values that the model takes.
    crop_start_s : float
        Start in the window of the crop that these are of, in s; 0 without crops.
    branches : BranchContributions, optional
        What each branch adds; None if the model has one.
    branch_checks : tuple of SanityCheck
        Of these contributions.
    branch_weights : FusionWeights, optional
        Weights of the gate or attention; None if the fusion has none.
    branches_note : str
        Why a fusion has no contributions of its branches; "" if it has, or there is no fusion.
    seeds_note : str
        With which seeds the explanation was compared, or what this check needs.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> from ecglib.explain import Explainer
    >>> explainer = Explainer(open_run(), open_dataset("mitdb"))  # doctest: +SKIP
    >>> explainer.explain(explainer.read_record("100")).class_name  # doctest: +SKIP
    'N'
    """

    run_name: str
    model_name: str
    contract: Contract
    fold: str
    window: Window
    split: str | None
    labels: tuple[str, ...]
    p: np.ndarray
    decisions: tuple[str, ...]
    class_name: str
    method: str
    signal: ExplainedInput
    representations: tuple[ExplainedInput, ...]
    crop_start_s: float
    branches: BranchContributions | None
    branch_checks: tuple[SanityCheck, ...]
    branch_weights: FusionWeights | None
    branches_note: str
    seeds_note: str

    @property
    def caveats(self) -> tuple[str, ...]:
        """Shown with the explanation: those of the run, and if the model was trained on it."""
        seen = {
            "train": ("the model was trained on this window",),
            "validation": ("the thresholds were fitted on this window",),
        }
        return (*self.contract.caveats, *seen.get(self.split or "", ()))

    @property
    def inputs(self) -> tuple[ExplainedInput, ...]:
        """The signal and the representations."""
        return (self.signal, *self.representations)

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that failed, each with its input."""
        failed = [f"{check} of the {one.name}" for one in self.inputs for check in one.failed]
        failed += [f"{one.name} of the branches" for one in self.branch_checks if not one.passed]
        return tuple(failed)

    @property
    def disagreement(self) -> str:
        """Where the weights of the fusion and the contributions of the branches disagree."""
        if self.branches is None or self.branch_weights is None:
            return ""
        return describe_disagreements(self.branches, self.branch_weights)[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation without its arrays as plain values, for JSON."""
        contract, branches = self.contract, self.branches
        return {
            "run": self.run_name,
            "model": self.model_name,
            "record": self.window.record,
            "start_s": self.window.start_s,
            "split": self.split,
            "labels": list(self.labels),
            "problems": list(self.window.problems),
            "probabilities": dict(zip(contract.classes, self.p.tolist(), strict=True)),
            "thresholds": dict(zip(contract.classes, contract.thresholds, strict=True)),
            "decisions": list(self.decisions),
            "class": self.class_name,
            "method": self.method,
            "inputs": {
                one.name: {
                    "unit": one.attribution.unit,
                    "leads": one.sum_leads(),
                    "checks": [_describe_check(check) for check in one.checks],
                    "size_similarity": one.size_similarity,
                }
                for one in self.inputs
            },
            "branches": self._describe_branches(branches) if branches else None,
            "branches_note": self.branches_note,
            "seeds_note": self.seeds_note,
            "failed": list(self.failed),
            "caveats": list(self.caveats),
        }

    def _describe_branches(self, branches: BranchContributions) -> dict[str, Any]:
        found = {
            "contributions": dict(zip(branches.branches, branches.values[0].tolist(), strict=True)),
            "base": float(branches.base[0]),
            "score": float(branches.score[0]),
            "replaced_by": branches.replaced_by,
            "checks": [_describe_check(check) for check in self.branch_checks],
        }
        if (weights := self.branch_weights) is not None:
            values = dict(zip(weights.branches, weights.values[0].tolist(), strict=True))
            found |= {"weights": values, "kind_of_weights": weights.kind}
        return found


def _describe_check(check: SanityCheck) -> dict[str, Any]:
    return {
        "name": check.name,
        "figure": check.figure,
        "accepted": [check.min_accepted, check.max_accepted],
        "passed": check.passed,
    }
