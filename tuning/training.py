"""Carries out one trial on the training and validation splits, within its budget."""

import ecglib._keras  # noqa: F401

import dataclasses
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError
from ecglib.evaluation.influence import measure
from ecglib.evaluation.scoreboard import build_windows
from ecglib.experiment import Experiment, select_windows
from ecglib.training.devices import make_deterministic
from ecglib.training.trainer import Trainer, TrainerOptions
from ecglib.training.validation import compute_macro_auroc
from tuning.settings import NO_BUDGET, Budget
from tuning.trials import COMPLETED, FAILED, INFEASIBLE, Trial, round_influence

# Each trial is another model, so TensorFlow has to trace it and need not warn of retracing.
logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """How trials are carried out.

    Parameters
    ----------
    n_folds : int, default 0
        Number of folds that are trained and averaged; 0 for the validation split.
    budget : Budget, optional
        What a trial may cost.
    callbacks : sequence of keras.callbacks.Callback, default ()
        Callbacks that show progress.

    Examples
    --------
    >>> TrialOptions(n_folds=3).budget.max_seconds
    0.0
    """

    n_folds: int = 0
    budget: Budget = NO_BUDGET
    callbacks: Sequence[keras.callbacks.Callback] = ()


def run_trial(
    number: int,
    settings: Mapping[str, Any],
    dataset: Dataset,
    options: TrialOptions = TrialOptions(),
) -> Trial:
    """Train one model and score it on validation patients; the test split is not used.

    An error ends the trial, not the search: it is returned with the trial.

    Parameters
    ----------
    number : int
        Number of the trial, from 1.
    settings : mapping of str to object
        The settings of the experiment, flat.
    dataset : Dataset
        The prepared store.
    options : TrialOptions, optional
        Folds and budget.

    Returns
    -------
    Trial
        The outcome.

    Notes
    -----
    With folds, fold k is left out, the next one validates, and the others train, as in a
    cross-validation of `n_folds` runs; the score is the mean of the folds' macro AUROC.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {
    ...         "dataset": "synthetic",
    ...         "fingerprint": dataset.fingerprint,
    ...         "task": "superdiagnostic",
    ...         "branches": {"frequency": "mlp"},
    ...         "width": 4,
    ...         "epochs": 1,
    ...     }
    ...     trial = run_trial(1, settings, dataset)
    ...     contradictory = run_trial(2, settings | {"fusion": "late_average"}, dataset)
    >>> trial.status, trial.model, len(trial.history)
    ('completed', 'frequency:mlp', 1)
    >>> contradictory.status
    'infeasible'
    """
    started = time.monotonic()
    trial = Trial(number=number, status=FAILED, experiment=dict(settings), model="-")
    try:
        experiment = Experiment.from_flat(settings)
        trial = dataclasses.replace(trial, model=experiment.model_name)
        score = _score_folds(experiment, dataset, options)
        if not np.isfinite(score.val_auroc):
            raise FloatingPointError(f"the validation macro AUROC is {score.val_auroc}")
        trial = dataclasses.replace(
            trial,
            status=COMPLETED,
            val_auroc=score.val_auroc,
            parameters=score.parameters,
            history=score.history,
            influence=round_influence(score.influence),
        )
    except ExperimentError as error:
        trial = dataclasses.replace(trial, status=INFEASIBLE, error=str(error))
    except Exception:  # whatever it is, it is shown, and the next trial may do better
        trial = dataclasses.replace(trial, status=FAILED, error=traceback.format_exc())
    return dataclasses.replace(trial, seconds=round(time.monotonic() - started, 2))


def exclude_test_split(selection: Selection) -> Selection:
    """Return the windows of the other splits, so that a trial cannot use the test split.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     selection = exclude_test_split(dataset.select("superdiagnostic"))
    >>> sorted(set(selection.part.tolist()))
    ['train', 'validation']
    """
    return selection.take(selection.part != "test")


def list_folds(experiment: Experiment, n_folds: int) -> list[Experiment]:
    """List the experiments that a trial trains: one for each fold, or the one itself.

    Examples
    --------
    >>> experiment = Experiment.from_flat(
    ...     {
    ...         "dataset": "synthetic",
    ...         "fingerprint": "0123",
    ...         "task": "superdiagnostic",
    ...         "branches": {"time": "cnn"},
    ...     }
    ... )
    >>> [one.data.fold for one in list_folds(experiment, 3)]
    [1, 2, 3]
    """
    if not n_folds:
        return [experiment]
    return [experiment.replace(n_folds=n_folds, fold=fold + 1) for fold in range(n_folds)]


class OverBudgetError(ExperimentError):
    """A trial that costs more than it may.

    Examples
    --------
    >>> raise OverBudgetError("too large")
    Traceback (most recent call last):
    ...
    tuning.training.OverBudgetError: too large
    """


class _Score(NamedTuple):
    val_auroc: float
    parameters: int
    history: list[dict[str, Any]]
    influence: np.ndarray


def _score_folds(experiment: Experiment, dataset: Dataset, options: TrialOptions) -> _Score:
    max_seconds = options.budget.max_seconds
    trainer_options = TrainerOptions(
        callbacks=options.callbacks,
        deadline=time.monotonic() + max_seconds if max_seconds else None,
    )
    try:
        scores = [
            _train_and_score(one, dataset, trainer_options, options.budget.max_parameters)
            for one in list_folds(experiment, options.n_folds)
        ]
    except TimeoutError:
        raise OverBudgetError(
            f"Not trained within max_seconds={max_seconds:g}. Allow more, or leave the trial out."
        ) from None
    if not options.n_folds:
        return scores[0]
    history = [
        {"fold": fold + 1, **epoch} for fold, one in enumerate(scores) for epoch in one.history
    ]
    return _Score(
        val_auroc=float(np.mean([one.val_auroc for one in scores])),
        parameters=scores[0].parameters,
        history=history,
        influence=np.concatenate([one.influence for one in scores]) / len(scores),
    )


def _train_and_score(
    experiment: Experiment, dataset: Dataset, options: TrainerOptions, max_parameters: int
) -> _Score:
    keras.backend.clear_session()  # or the models of all trials stay in memory
    seed = experiment.training.seed
    make_deterministic(seed)
    windows = exclude_test_split(select_windows(experiment, dataset))
    trainer = Trainer(experiment, dataset, options, windows)
    if max_parameters:
        _check_size(trainer.build_model(seed).count_params(), max_parameters)
    model, history = trainer.fit_model(seed)
    # Not the best score of the history: late fusions fit their weights after the last epoch.
    predictions = trainer.predict(model, "validation")
    p = predictions.p[None]
    measurement = measure(build_windows(predictions), p, np.zeros(p.shape, bool), "auroc")
    return _Score(
        val_auroc=compute_macro_auroc(predictions.y, predictions.p),
        parameters=model.count_params(),
        history=[
            {str(column): value for column, value in epoch.items()}
            for epoch in history.to_dict("records")
        ],
        influence=measurement.macro_influence[0],
    )


def _check_size(n_parameters: int, max_parameters: int) -> None:
    if n_parameters > max_parameters:
        raise OverBudgetError(
            f"The model has {n_parameters:,} parameters, max_parameters={max_parameters:,} allows "
            f"fewer. Allow more, or leave the trial out."
        )
