"""A model's predictions on the test part, as a comparison needs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.metrics import (
    MACRO_METRICS,
    check_arrays,
    check_kind,
    check_one_hot,
    decide,
    scores,
)
from ecglib.evaluation.resampling import macro_mean, resampled_scores
from ecglib.experiment.registry import ROLES


@dataclass(frozen=True, eq=False, kw_only=True)
class Contestant:
    """One model, trained with one seed and applied to the test part.

    In a cross-validation the test part is all folds, each predicted by a model of its own.

    Resamples are kept with the object, so the arrays must not be changed afterwards.

    Parameters
    ----------
    name : the model without its seed, e.g. "time:cnn" or "intermediate_gated".
    role : "single" (one branch), "fusion" (several branches), "ensemble" (one branch trained
        several times, the control for what a fusion gains by mere averaging), "widened" (one
        branch with more channels, the control for what it gains by mere parameters) or "baseline"
        (trees, which decide nothing about a fusion, and which every network has to beat).
    branches : names of the branches. A single model has one, e.g. ("time:cnn",); a control has
        the one branch it repeats or widens, named as in its single model; a fusion has two or
        more.
    members : number of models an ensemble averages; one for the other roles.
    seed : seed of the training.
    parameters : number of weights of the model, over all members; of trees, of their nodes.
    kind, classes : the task, "multi_label" or "multi_class", and its classes in column order.
    y, p : arrays (n_windows, n_classes), labels and probabilities of the test part.
    thresholds : (n_classes,), fitted on the validation part; or one row a window.
    patients, records, rows : arrays (n_windows,), the patient, the record and the row in the
        dataset's window table of each test window.
    validation : {"auroc", "auprc", "f1"}, the macro scores on the validation part.
    caveats : what must be said wherever the numbers appear, e.g. ("synthetic data",).

    Raises
    ------
    EcgError, RunError
        If the values do not fit together.
    """

    name: str
    role: str
    branches: tuple[str, ...]
    seed: int
    kind: str
    classes: tuple[str, ...]
    y: np.ndarray
    p: np.ndarray
    thresholds: np.ndarray
    patients: np.ndarray
    records: np.ndarray
    rows: np.ndarray
    validation: dict[str, float]
    parameters: int
    ensemble_size: int = 1
    caveats: tuple[str, ...] = ()
    _resampled: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_kind(self.kind)
        y, _ = check_arrays(self.y, self.p)
        check_one_hot(y, self.kind)
        for name in ("patients", "records", "rows"):
            if np.shape(getattr(self, name)) != (len(y),):
                raise RunError(
                    f"{self.name}: {name} has shape {np.shape(getattr(self, name))}; expected "
                    f"({len(y)},), one a test window."
                )
        self._check_role()

    def _check_role(self) -> None:
        expected = {
            "single": (
                len(self.branches) == 1 and self.ensemble_size == 1,
                "one branch, one member",
            ),
            "fusion": (
                len(self.branches) > 1 and self.ensemble_size == 1,
                "several branches, one member",
            ),
            "ensemble": (
                len(self.branches) == 1 and self.ensemble_size > 1,
                "one branch and several members",
            ),
            "widened": (
                len(self.branches) == 1 and self.ensemble_size == 1,
                "one branch, one member",
            ),
            "baseline": (
                len(self.branches) == 1 and self.ensemble_size == 1,
                "one branch, one member",
            ),
        }
        if self.role not in expected:
            raise RunError(f"{self.name}: role is {self.role!r}; expected {', '.join(ROLES)}.")
        fits, what = expected[self.role]
        if not fits:
            raise RunError(
                f"{self.name}: branches {self.branches} and {self.ensemble_size} members do not make a "
                f"{self.role}; expected {what}."
            )

    def decisions(self) -> np.ndarray:
        """Decisions on the test part: bool (n_windows, n_classes)."""
        return decide(self.p, self.thresholds, self.kind)

    def scores(self) -> dict:
        """Scores on the test part, see `ecglib.evaluation.metrics.scores`."""
        return scores(self.y, self.p, self.thresholds, self.kind, self.classes)

    def resampled(self, metric: str, n_resamples: int, seed: int) -> np.ndarray:
        """Score of each class in each patient resample: (n_resamples, n_classes), or nan."""
        key = (n_resamples, seed)
        if key not in self._resampled:
            self._resampled[key] = resampled_scores(
                self.y, self.p, self.decisions(), self.patients, n_resamples, seed
            )
        return self._resampled[key][metric]

    def resampled_macro(self, metric: str, n_resamples: int, seed: int) -> np.ndarray:
        """Macro score in each patient resample: (n_resamples,), nan where it does not exist."""
        return macro_mean(self.resampled(metric, n_resamples, seed), self.y)


def check_metric(metric: str) -> None:
    """Raise RunError unless models can be compared by `metric`."""
    if metric not in MACRO_METRICS:
        raise RunError(f"Unknown metric {metric!r}; expected one of {', '.join(MACRO_METRICS)}.")


def by_model(scored: Iterable[Contestant]) -> dict[str, list[Contestant]]:
    """{model name: its seeds}, after checking that everything can be compared.

    Raises
    ------
    RunError
        If there is nothing to compare, or if two models differ in their task, in their test
        windows or in the order of these, or if one name stands for several models.
    """
    scored = list(scored)
    if not scored:
        raise RunError("Nothing to compare: no scored models were given.")
    models: dict[str, list[Contestant]] = {}
    for one in scored:
        _check_same_test(scored[0], one)
        seeds = models.setdefault(one.name, [])
        if seeds:
            _check_same_model(seeds, one)
        seeds.append(one)
    return models


def _check_same_test(a: Contestant, b: Contestant) -> None:
    if a is b:
        return
    who = f"{a.name} (seed {a.seed}) and {b.name} (seed {b.seed}) cannot be compared: "
    for what in ("kind", "classes"):
        if _plain(getattr(a, what)) != _plain(getattr(b, what)):
            raise RunError(
                f"{who}their {what} differ: {getattr(a, what)} and {getattr(b, what)}. "
                "Compare runs of one task."
            )
    if len(a.y) != len(b.y):
        raise RunError(
            f"{who}they have {len(a.y)} and {len(b.y)} test windows. Compare runs of one "
            "prepared dataset with one split."
        )
    for what in ("records", "rows", "patients", "y"):
        _check_same_column(np.asarray(getattr(a, what)), np.asarray(getattr(b, what)), what, who)


def _check_same_column(a: np.ndarray, b: np.ndarray, what: str, who: str) -> None:
    if np.array_equal(a, b):
        return
    if a.ndim == 1 and np.array_equal(np.sort(a), np.sort(b)):
        raise RunError(f"{who}the {what} of their test windows are in another order.")
    label = {"y": "labels"}.get(what, what)
    first = int(np.flatnonzero((a != b).reshape(len(a), -1).any(axis=1))[0])
    raise RunError(
        f"{who}the {label} of their test windows differ, first in window {first}: "
        f"{a[first]} and {b[first]}. Compare runs of one prepared dataset with one split."
    )


def _check_same_model(seeds: Sequence[Contestant], new: Contestant) -> None:
    if new.seed in [one.seed for one in seeds]:
        raise RunError(f"{new.name} is given twice with seed {new.seed}; leave one out.")
    # Of trees each seed has its own number of nodes.
    size = () if new.role == "baseline" else ("parameters",)
    for what in ("role", "branches", "ensemble_size", *size):
        old_value, new_value = _plain(getattr(seeds[0], what)), _plain(getattr(new, what))
        if old_value != new_value:
            raise RunError(
                f"Two models are called {new.name}: their {what} differ, {old_value} (seed "
                f"{seeds[0].seed}) and {new_value} (seed {new.seed}). Give them two names."
            )


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, (list, tuple)) else value
