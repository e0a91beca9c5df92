"""Who suggests the trials: KerasTuner's oracles, made to repeat themselves.

An oracle here keeps nothing on disk. It gets the scores of finished trials and returns the next
suggestion; `Proposer` records the scores that it got before each suggestion, so that a search that
is run again gives the oracle the same history and continues as if it had never been interrupted.

What KerasTuner leaves open is closed here:

- ``seed=0`` would become a random seed, and neighboring seeds would give nearly the same trials;
- the Bayesian oracle draws its starting points from a state that is not saved, estimates running
  trials by a Gaussian process that has not been fitted, and may suggest a trial twice. Here a
  suggestion depends on the seed, its number and the other trials alone;
- its number of random trials grows with the space (87 of this one): here ten;
- Hyperband waits for ever for a round of which a trial failed: here such a trial is the worst;
- Hyperband continues a checkpoint under an optimizer that has lost its state. Here a trial of a
  later round is trained from the beginning, with its number of epochs: every trial is an ordinary
  training, whose learning rate decays over its epochs. With a factor of 3 this costs half as much
  again at most.
"""

import ecglib._keras  # noqa: F401

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from ecglib.errors import RunError

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")  # a bare name would be minimized
N_INITIAL_TRIALS = 10  # random ones, before the Bayesian oracle is guided
WORST_SCORE = 0.0  # of a failed trial in Hyperband; no AUROC is below it
EPOCHS = "tuner/epochs"  # hyperparameter of Hyperband: how long a trial is trained
CONTINUES = "tuner/trial_id"  # and the trial of the round before, counted from 0
# KerasTuner draws hyperparameter k of trial t from seed + k + t * (number of hyperparameters).
SEED_STEP = 1_000_003
FAILURES_ARE_COUNTED_ELSEWHERE = 10**9


class Suggestion(NamedTuple):
    """What an oracle suggested, and the scores that it got since the suggestion before.

    Parameters
    ----------
    number : int
        Number of the trial, from 1.
    values : dict of str to object
        The values of the active hyperparameters.
    scores : list of tuple
        Number and score of each trial that finished meanwhile; None for one without a score.

    Examples
    --------
    >>> Suggestion(number=2, values={"width": 16}, scores=[(1, 0.9)]).scores
    [(1, 0.9)]
    """

    number: int
    values: dict[str, Any]
    scores: list[tuple[int, float | None]]


class Proposer:
    """An oracle that can be brought to where an earlier search left it.

    Parameters
    ----------
    oracle : {"random", "bayesian", "hyperband"}
        Who suggests.
    space : keras_tuner.HyperParameters
        The space.
    seed : int
        Seed of the suggestions.
    epochs : int
        Maximum number of epochs of a trial.

    Examples
    --------
    >>> space = keras_tuner.HyperParameters()
    >>> width = space.Choice("width", [8, 16, 24, 32])
    >>> first = Proposer("random", space, seed=0, epochs=4)
    >>> suggestions = [first.propose({}), first.propose({1: 0.8})]
    >>> again = Proposer("random", space, seed=0, epochs=4)
    >>> again.replay(suggestions[:1])
    >>> again.propose({1: 0.8}) == suggestions[1]
    True
    """

    def __init__(
        self, oracle: str, space: keras_tuner.HyperParameters, seed: int, epochs: int
    ) -> None:
        self.oracle, self.space, self.seed, self.epochs = oracle, space, seed, epochs
        self.suggestions: list[Suggestion] = []
        self.is_waiting = False
        self._tuner_oracle: keras_tuner.Oracle | None = None
        self._reported: set[int] = set()

    def replay(self, suggestions: Sequence[Suggestion]) -> None:
        """Bring the oracle to where it made the last of these suggestions.

        Parameters
        ----------
        suggestions : sequence of Suggestion
            All of the search, in order; those that were replayed already are skipped.

        Raises
        ------
        RunError
            If the oracle now suggests something else than is recorded.
        """
        for suggestion in suggestions[len(self.suggestions) :]:
            self.suggestions.append(suggestion)
            if self._tuner_oracle is not None:
                self._repeat(self._tuner_oracle, suggestion)

    def propose(self, outcomes: Mapping[int, float | None]) -> Suggestion | None:
        """Ask for the next suggestion.

        Parameters
        ----------
        outcomes : mapping of int to float or None
            Number -> score of all trials that finished; None for one without a score. A trial
            whose outcome the oracle knows already is skipped, whatever it says now.

        Returns
        -------
        Suggestion or None
            None if there is none: `is_waiting` then says whether there may be one once running
            trials have finished.
        """
        oracle = self._get_oracle()
        scores = [(n, score) for n, score in sorted(outcomes.items()) if n not in self._reported]
        number = len(self.suggestions) + 1
        trial = self._ask(oracle, number, scores)
        if trial.status != keras_tuner.engine.trial.TrialStatus.RUNNING:
            # It may have begun another bracket meanwhile, which the record would not show.
            self._tuner_oracle = None
            self.is_waiting = trial.status == keras_tuner.engine.trial.TrialStatus.IDLE
            return None
        values = {name: _plain(value) for name, value in trial.hyperparameters.values.items()}
        suggestion = Suggestion(number, values, scores)
        self.suggestions.append(suggestion)
        return suggestion

    def _get_oracle(self) -> keras_tuner.Oracle:
        if self._tuner_oracle is None:
            recorded = {_to_id(one.number): one.values for one in self.suggestions}
            self._reported = set()
            oracle = _build_oracle(self.oracle, self.space, self.seed, self.epochs, recorded)
            for suggestion in self.suggestions:
                self._repeat(oracle, suggestion)
            self._tuner_oracle = oracle
        return self._tuner_oracle

    def _repeat(self, oracle: keras_tuner.Oracle, suggestion: Suggestion) -> None:
        if isinstance(oracle, _BayesianOracle):
            oracle.recorded[_to_id(suggestion.number)] = suggestion.values
        trial = self._ask(oracle, suggestion.number, suggestion.scores)
        values = {name: _plain(value) for name, value in trial.hyperparameters.values.items()}
        if values != suggestion.values:
            raise RunError(
                f"The {self.oracle} oracle suggests other values for trial {suggestion.number} "
                f"than are recorded: the record was changed, or another version of keras-tuner is "
                f"installed. Restore it, or search in another folder."
            )

    def _ask(
        self, oracle: keras_tuner.Oracle, number: int, scores: Sequence[tuple[int, float | None]]
    ) -> keras_tuner.engine.trial.Trial:
        for finished, score in scores:
            self._report(oracle, finished, score)
        # One thread: the same bits on every machine, and matrices this small gain nothing by more.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # of length scales at their bounds
            return oracle.create_trial(str(number))

    def _report(self, oracle: keras_tuner.Oracle, number: int, score: float | None) -> None:
        self._reported.add(number)
        trial = oracle.get_trial(_to_id(number))
        if score is None and self.oracle == "hyperband":
            score = WORST_SCORE
        if score is None:
            trial.status = keras_tuner.engine.trial.TrialStatus.FAILED
        else:
            oracle.update_trial(trial.trial_id, {OBJECTIVE.name: score})
            trial.status = keras_tuner.engine.trial.TrialStatus.COMPLETED
        oracle.end_trial(trial)


def get_epochs(values: Mapping[str, Any], epochs: int) -> int:
    """Return the number of epochs of a trial: fewer in the first rounds of Hyperband.

    Parameters
    ----------
    values : mapping of str to object
        The values of its hyperparameters.
    epochs : int
        Maximum number of epochs.

    Examples
    --------
    >>> get_epochs({"width": 8}, 9), get_epochs({"width": 8, "tuner/epochs": 3}, 9)
    (9, 3)
    """
    return int(values.get(EPOCHS, epochs))


class _InMemory:
    """An oracle that writes nothing: the suggestions are recorded elsewhere, atomically."""

    def save(self) -> None: ...

    def _save_trial(self, trial: keras_tuner.engine.trial.Trial) -> None: ...


class _RandomOracle(_InMemory, keras_tuner.oracles.RandomSearchOracle):
    pass


class _HyperbandOracle(_InMemory, keras_tuner.oracles.HyperbandOracle):
    pass


class _BayesianOracle(_InMemory, keras_tuner.oracles.BayesianOptimizationOracle):
    """Suggests trial n from the seed, n and the other trials, whatever happened before."""

    def __init__(self, recorded: dict[str, dict[str, Any]], **options: Any) -> None:
        super().__init__(num_initial_points=N_INITIAL_TRIALS, **options)
        self.recorded = recorded

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if trial_id in self.recorded:
            values = self.recorded[trial_id]
            return {"status": keras_tuner.engine.trial.TrialStatus.RUNNING, "values": dict(values)}
        states = np.random.SeedSequence([self.seed, int(trial_id)]).generate_state(2)
        self._seed_state = int(states[0])
        self._random_state = np.random.RandomState(states[1])
        self._fit_finished()
        found = super().populate_space(trial_id)
        if found["values"] and self._duplicate(found["values"]):
            return self._random_populate_space()
        return found

    def _fit_finished(self) -> None:
        """Fit the Gaussian process that the running trials are then estimated by."""
        self.gpr = self._make_gpr()
        every: dict[str, Any] = vars(self)["trials"]
        completed = keras_tuner.engine.trial.TrialStatus.COMPLETED
        self.trials = {name: one for name, one in every.items() if one.status == completed}
        try:
            if self.ongoing_trials and len(self.trials) >= N_INITIAL_TRIALS:
                self.gpr.fit(*self._vectorize_trials())
        finally:
            self.trials = every


def _build_oracle(
    name: str,
    space: keras_tuner.HyperParameters,
    seed: int,
    epochs: int,
    recorded: dict[str, dict[str, Any]],
) -> keras_tuner.Oracle:
    options: dict[str, Any] = {
        "objective": OBJECTIVE,
        "seed": SEED_STEP * (seed + 1),
        "hyperparameters": space.copy(),
        "allow_new_entries": False,
        "max_consecutive_failed_trials": FAILURES_ARE_COUNTED_ELSEWHERE,
    }
    oracle: keras_tuner.Oracle
    if name == "bayesian":
        oracle = _BayesianOracle(recorded, max_trials=None, **options)
    elif name == "hyperband":
        oracle = _HyperbandOracle(max_epochs=epochs, **options)
    else:
        oracle = _RandomOracle(max_trials=None, **options)
    oracle.verbose = 0
    return oracle


def _to_id(number: int) -> str:
    """Return the name that KerasTuner gives to a trial: counted from 0, of four digits."""
    return f"{number - 1:04d}"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
