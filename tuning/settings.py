"""What a search is asked for."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.import_paths import is_import_path

ORACLES = ("random", "bayesian", "hyperband")
DEFAULT_TRIALS = 6
DEFAULT_FINALISTS, DEFAULT_FINALIST_SEEDS = 3, 3
MIN_FOLDS = 3
EXAMPLE_PATH = "my_module:my_function"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """What a trial may cost at most; one that costs more is infeasible.

    Parameters
    ----------
    max_parameters : int, default 0
        Number of parameters of the model, checked before it is trained; 0 for no limit.
    max_seconds : float, default 0
        Time of the whole trial, in s, checked after every training step; 0 for no limit. Which
        trials it ends depends on the machine.

    Raises
    ------
    ExperimentError
        If a limit is negative or not a number.

    Examples
    --------
    >>> Budget(max_parameters=100_000).max_seconds
    0.0
    """

    max_parameters: int = 0
    max_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ExperimentError(
                    f"{name}={value} must be a number of at least 0; 0 is no limit."
                )


NO_BUDGET = Budget()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What a search is asked for.

    Parameters
    ----------
    task : str, default ""
        Name of the task; empty for the first task of the dataset.
    trial_settings : mapping of str to object
        Settings of all trials, of those in `list_search_settings`. The others are searched, or
        have the defaults of ``03_train``.
    oracle : {"random", "bayesian", "hyperband"}
        Who suggests: at random; by a Gaussian process over the finished trials; at random, with
        more epochs for the best of each round (`tuning.oracles`).
    max_trials : int, default 0
        Number of suggestions to try; 0 for six, and for a whole sweep of Hyperband.
    epochs : int, default 4
        Maximum number of epochs of a trial; the winner's files ask for more.
    seed : int, default 0
        Decides the suggestions, and is the seed of every trial.
    n_folds : int, default 0
        Number of folds over the patients of the training and validation splits; a trial's score is
        then the mean over the folds. 0 for the validation split.
    finalists : int, default 3
        Number of the best trials that are trained with further seeds; the winner is the best of
        them on average. 0 or 1 for none.
    finalist_seeds : int, default 3
        Number of seeds of each finalist, that of its trial included.
    budget : Budget, optional
        What a trial may cost.
    encoders : mapping of str to sequence of str, default {}
        Representation -> encoders of other packages that are searched as well, as import paths.
    fusions : sequence of str, default ()
        Fusions of other packages that are searched as well, as import paths.

    Raises
    ------
    ExperimentError
        If a value is not accepted.

    Examples
    --------
    >>> SearchSettings(trial_settings={"class_weights": "sqrt"}, max_trials=20).epochs
    4
    >>> SearchSettings(encoders={"time": "my_encoders:separable_cnn"})
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: encoders['time']='my_encoders:separable_cnn' is str, expected ...
    """

    task: str = ""
    trial_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    oracle: str = ORACLES[0]
    max_trials: int = 0
    epochs: int = 4
    seed: int = 0
    n_folds: int = 0
    finalists: int = DEFAULT_FINALISTS
    finalist_seeds: int = DEFAULT_FINALIST_SEEDS
    budget: Budget = NO_BUDGET
    encoders: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    fusions: Sequence[str] = ()

    def __post_init__(self) -> None:
        require_one_of("oracle", self.oracle, ORACLES)
        for name, minimum in (("max_trials", 0), ("finalists", 0), ("finalist_seeds", 1)):
            if getattr(self, name) < minimum:
                raise ExperimentError(f"{name}={getattr(self, name)} must be at least {minimum}.")
        if self.n_folds and self.n_folds < MIN_FOLDS:
            raise ExperimentError(
                f"n_folds={self.n_folds} must be at least {MIN_FOLDS}, or 0 to score trials on the "
                f"validation split."
            )
        if not isinstance(self.encoders, Mapping):
            raise ExperimentError(
                f"encoders={self.encoders!r} is {type(self.encoders).__name__}, expected a mapping "
                f"of representations to lists. Write it as in {{'time': ['{EXAMPLE_PATH}']}}."
            )
        encoders = {
            name: _check_import_paths(f"encoders[{name!r}]", listed)
            for name, listed in self.encoders.items()
        }
        object.__setattr__(self, "encoders", encoders)
        object.__setattr__(self, "fusions", _check_import_paths("fusions", self.fusions))

    @property
    def n_trials(self) -> int | None:
        """Number of trials to try; None for as many as the oracle wants."""
        if self.max_trials:
            return self.max_trials
        return None if self.oracle == "hyperband" else DEFAULT_TRIALS


def _check_import_paths(name: str, listed: object) -> tuple[str, ...]:
    """Return a list of import paths as a tuple; those of ecglib are searched in any case."""
    if not isinstance(listed, list | tuple):
        raise ExperimentError(
            f"{name}={listed!r} is {type(listed).__name__}, expected a list of import paths. Write "
            f"it as in ['{EXAMPLE_PATH}']."
        )
    for one in listed:
        if not isinstance(one, str) or not is_import_path(one):
            raise ExperimentError(
                f"{name} holds {one!r}, expected import paths. What ecglib has is searched without "
                f"being named; name functions of other packages, as in '{EXAMPLE_PATH}'."
            )
    return tuple(listed)


DEFAULT_SETTINGS = SearchSettings()
