"""A model's predictions on the test split, as a comparison needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.metrics import compute_scores, decide
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment.registry import ROLES

#: Role of predictions of another framework, which have no recipe that is known.
ENTERED = "entered"
#: What a model can be in a comparison.
CONTESTANT_ROLES = (*ROLES, ENTERED)

_ROLE_NEEDS = {
    "fusion": "several branches and ensemble_size=1",
    "ensemble": "one branch and ensemble_size of 2 or more",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Contestant:
    """One model, trained with one seed and applied to the test split.

    In a cross-validation the test split is all folds, each predicted by the model that was not
    trained on it, and so is the validation split.

    Parameters
    ----------
    name : str
        Name of the model without its seed, e.g. "time:cnn" or "intermediate_gated".
    role : str
        "single" (one branch), "fusion" (several branches), "ensemble" (one branch trained several
        times, the control for what a fusion gains by averaging), "widened" (one branch with more
        channels, the control for what a fusion gains by more parameters), "baseline" (trees,
        which every network should beat and which are no control of a fusion) or "entered"
        (predictions of another framework, compared with each other model and no control either).
    branches : tuple of str
        Names of the branches: one, e.g. ("time:cnn",), for all but a fusion. A control has the
        branch that it repeats or widens.
    seed : int
        Seed of the training.
    predictions : Predictions
        Labels and probabilities of the test split.
    thresholds : array of shape (n_classes,) or (n_folds, n_classes)
        Decision thresholds, fitted on the validation split; in a cross-validation those of each
        fold, from the first on.
    validation : Predictions
        Labels and probabilities of the validation split, where the best branch is chosen.
    parameters : int
        Number of weights of the model, over all models of an ensemble; of trees, of their nodes.
    ensemble_size : int, default 1
        Number of models that an ensemble averages.
    recipe : mapping of str to object, default {}
        The settings, store and code version that models must share to be compared: all but
        branches, fusion, size and seed. Settings of a representation stand in it only if the
        model takes that representation.
    caveats : tuple of str, default ()
        Shown with every number, e.g. ("synthetic data",).

    Raises
    ------
    RunError
        If the role is unknown or does not fit `branches` and `ensemble_size`.

    Examples
    --------
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.arange(4),
    ...     records=np.array(["r1", "r2", "r3", "r4"]),
    ...     patients=np.array(["p1", "p2", "p3", "p4"]),
    ...     y=np.array([[0], [0], [1], [1]]),
    ...     p=np.array([[0.1], [0.6], [0.4], [0.9]]),
    ... )
    >>> contestant = Contestant(
    ...     name="time:cnn",
    ...     role="single",
    ...     branches=("time:cnn",),
    ...     seed=0,
    ...     predictions=predictions,
    ...     thresholds=np.array([0.5]),
    ...     validation=predictions,
    ...     parameters=1000,
    ... )
    >>> contestant.compute_scores()["macro"]["auroc"]
    0.75
    """

    name: str
    role: str
    branches: tuple[str, ...]
    seed: int
    predictions: Predictions
    thresholds: np.ndarray
    validation: Predictions
    parameters: int
    ensemble_size: int = 1
    recipe: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.role not in CONTESTANT_ROLES:
            raise RunError(
                f"{self.name}: role is {self.role!r}; expected one of "
                f"{', '.join(CONTESTANT_ROLES)}."
            )
        fits_role = (len(self.branches) > 1) == (self.role == "fusion") and (
            self.ensemble_size > 1
        ) == (self.role == "ensemble")
        if not fits_role:
            needs = _ROLE_NEEDS.get(self.role, "one branch and ensemble_size=1")
            raise RunError(
                f"{self.name}: branches={self.branches} and ensemble_size={self.ensemble_size} do "
                f"not fit the role {self.role!r}; expected {needs}."
            )

    @property
    def is_network(self) -> bool:
        """Whether it is a network that was trained here."""
        return self.role not in ("baseline", ENTERED)

    def select_split(self, split: str) -> Predictions:
        """Return the predictions of a split.

        Parameters
        ----------
        split : {"test", "validation"}
            The split.

        Returns
        -------
        Predictions
            Labels and probabilities.
        """
        return self.validation if split == "validation" else self.predictions

    def decide(self, split: str = "test") -> np.ndarray:
        """Return the decisions on a split.

        Parameters
        ----------
        split : {"test", "validation"}, default "test"
            The split.

        Returns
        -------
        bool array of shape (n_windows, n_classes)
            Which classes are predicted, see `ecglib.evaluation.metrics.decide`.
        """
        predictions = self.select_split(split)
        return decide(predictions.p, self.spread_thresholds(split), predictions.kind)

    def spread_thresholds(self, split: str = "test") -> np.ndarray:
        """Return the thresholds of a split as `ecglib.evaluation.metrics.decide` takes them.

        Parameters
        ----------
        split : {"test", "validation"}, default "test"
            The split.

        Returns
        -------
        array of shape (n_classes,) or (n_windows, n_classes)
            One row for each window in a cross-validation.
        """
        predictions = self.select_split(split)
        if predictions.folds is None or np.ndim(self.thresholds) == 1:
            return self.thresholds
        return self.thresholds[predictions.folds - 1]

    def compute_scores(self) -> dict[str, Any]:
        """Return the scores on the test split.

        Returns
        -------
        dict
            As `ecglib.evaluation.metrics.compute_scores` returns it.
        """
        predictions = self.predictions
        return compute_scores(
            predictions.y,
            predictions.p,
            self.spread_thresholds(),
            predictions.kind,
            predictions.classes,
        )


def group_by_model(contestants: Iterable[Contestant]) -> dict[str, list[Contestant]]:
    """Group contestants by model, after checking that they can be compared.

    Parameters
    ----------
    contestants : iterable of Contestant
        Models, each with one or more seeds.

    Returns
    -------
    dict of str to list of Contestant
        Name of each model -> its seeds.

    Raises
    ------
    RunError
        If there are no contestants, if two differ in their task, in their test or validation
        windows or in the order of these, or if one name stands for several models.

    Examples
    --------
    >>> group_by_model([])
    Traceback (most recent call last):
    ecglib.errors.RunError: There are no models to compare. Give at least one.
    """
    contestants = list(contestants)
    if not contestants:
        raise RunError("There are no models to compare. Give at least one.")
    models: dict[str, list[Contestant]] = {}
    for contestant in contestants:
        for split in ("test", "validation"):
            _check_same_windows(contestants[0], contestant, split)
        seeds = models.setdefault(contestant.name, [])
        if seeds:
            _check_same_model(seeds, contestant)
        seeds.append(contestant)
    return models


def _check_same_windows(a: Contestant, b: Contestant, split: str) -> None:
    if a is b:
        return
    first, second = a.select_split(split), b.select_split(split)
    pair = f"{a.name} (seed {a.seed}) and {b.name} (seed {b.seed}) cannot be compared:"
    for name in ("kind", "classes"):
        a_value, b_value = getattr(first, name), getattr(second, name)
        if a_value != b_value:
            raise RunError(
                f"{pair} their {name} differ: {a_value} and {b_value}. Compare runs of one task."
            )
    n_a, n_b = first.n_windows, second.n_windows
    if n_a != n_b:
        raise RunError(
            f"{pair} they have {n_a} and {n_b} {split} windows. Compare runs of one prepared "
            "dataset with one split."
        )
    for name in ("records", "rows", "patients", "y", "folds"):
        difference = _describe_difference(
            np.asarray(getattr(first, name)),
            np.asarray(getattr(second, name)),
            f"{'labels' if name == 'y' else name} of their {split} windows",
        )
        if difference:
            raise RunError(
                f"{pair} the {difference}. Compare runs of one prepared dataset with one split."
            )


def _describe_difference(a: np.ndarray, b: np.ndarray, label: str) -> str:
    """Describe how two columns of the windows differ; empty if they are equal."""
    if a is b or np.array_equal(a, b):
        return ""
    if a.ndim == 1 and np.array_equal(np.sort(a), np.sort(b)):
        return f"{label} are in another order"
    if a.shape != b.shape:  # folds of only one of them
        return f"{label} differ"
    first = int(np.flatnonzero((a != b).reshape(len(a), -1).any(axis=1))[0])
    return f"{label} differ, first in window {first}: {a[first]} and {b[first]}"


def _check_same_model(seeds: Sequence[Contestant], new: Contestant) -> None:
    if new.seed in [contestant.seed for contestant in seeds]:
        raise RunError(f"{new.name} is given twice with seed {new.seed}. Remove one of the two.")
    names = ["role", "branches", "ensemble_size"]
    if new.role != "baseline":  # trees have another number of nodes for each seed
        names.append("parameters")
    for name in names:
        old_value, new_value = getattr(seeds[0], name), getattr(new, name)
        if old_value != new_value:
            raise RunError(
                f"Two models are called {new.name}: their {name} differ, {old_value} (seed "
                f"{seeds[0].seed}) and {new_value} (seed {new.seed}). Give them different names."
            )
