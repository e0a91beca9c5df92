"""The finalists: the best trials, trained with further seeds and compared with each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.evaluation.effective_patients import compute_effective_patients
from ecglib.evaluation.influence import Measurement, Windows
from ecglib.evaluation.scoreboard import Scoreboard
from ecglib.evaluation.seeds import estimate_seed_variances
from ecglib.experiment import Experiment, select_windows
from tuning.settings import SearchSettings
from tuning.trials import Trial, average_seeds


def describe_configuration(trial: Trial) -> str:
    """Describe what a trial trains without the number of epochs, to tell its versions together.

    Examples
    --------
    >>> trial = Trial(number=1, status="completed", experiment={"width": 8, "epochs": 2}, model="-")
    >>> describe_configuration(trial)
    "[('width', 8)]"
    """
    return str(sorted((k, v) for k, v in trial.experiment.items() if k != "epochs"))


def choose_finalists(
    trials: Sequence[Trial], settings: SearchSettings
) -> list[tuple[int, dict[str, Any]]]:
    """List the further trainings that the finalists need.

    Of one configuration that Hyperband trained for several numbers of epochs, only the best version
    can be a finalist.

    Parameters
    ----------
    trials : sequence of Trial
        All trials of the search.
    settings : SearchSettings
        Give the number of finalists and of their seeds.

    Returns
    -------
    list of tuple
        Number of the trial and settings of the training, seed by seed, so that an interruption
        leaves finalists with equally many seeds.

    Examples
    --------
    >>> trials = [
    ...     Trial(
    ...         number=n,
    ...         status="completed",
    ...         experiment={"width": n},
    ...         model="-",
    ...         val_auroc=n / 10,
    ...     )
    ...     for n in (1, 2, 3)
    ... ]
    >>> settings = SearchSettings(finalists=2, finalist_seeds=2, seed=5)
    >>> choose_finalists(trials, settings)
    [(3, {'width': 3, 'seed': 6}), (2, {'width': 2, 'seed': 6})]
    """
    if settings.finalists < 2:
        return []
    best: dict[str, Trial] = {}
    for trial in sorted(filter(lambda one: one.val_auroc is not None, trials), key=_order):
        best.setdefault(describe_configuration(trial), trial)
    chosen = list(best.values())[: settings.finalists]
    seeds = range(settings.seed + 1, settings.seed + settings.finalist_seeds)
    return [
        (trial.number, {**trial.experiment, "seed": seed}) for seed in seeds for trial in chosen
    ]


def merge_finalists(
    trials: Sequence[Trial], finalists: Mapping[int, Sequence[Trial]]
) -> list[Trial]:
    """Give each finalist the mean score of its seeds.

    Parameters
    ----------
    trials : sequence of Trial
        All trials.
    finalists : mapping of int to sequence of Trial
        Number of a trial -> its further trainings.

    Returns
    -------
    list of Trial
        All trials, in the same order.

    Examples
    --------
    >>> trial = Trial(number=1, status="completed", experiment={}, model="-", val_auroc=0.9)
    >>> merge_finalists([trial], {}) == [trial]
    True
    """
    return [
        average_seeds([trial, *finalists[trial.number]]) if trial.number in finalists else trial
        for trial in trials
    ]


def compare_finalists(
    dataset: Dataset,
    trials: Sequence[Trial],
    finalists: Mapping[int, Sequence[Trial]],
    n_folds: int,
) -> Scoreboard | None:
    """Measure the finalists on the validation patients.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    trials : sequence of Trial
        All trials, as they were trained.
    finalists : mapping of int to sequence of Trial
        Number of a trial -> its further trainings.
    n_folds : int
        Number of folds of the search.

    Returns
    -------
    Scoreboard or None
        With the models ``#<number of the trial>``; None with fewer than two finalists, or where a
        trial holds no influence values.
    """
    measurements = {}
    for trial in trials:
        seeds = [one for one in (trial, *finalists.get(trial.number, ())) if one.influence]
        if trial.number in finalists and len(seeds) > 1:
            measurements[f"#{trial.number}"] = Measurement(
                scores=np.array([[one.val_auroc] for one in seeds]),
                influence=np.array([one.influence for one in seeds])[:, :, None],
            )
    if len(measurements) < 2:
        return None
    windows = _build_windows(Experiment.from_flat(trials[0].experiment), dataset, n_folds)
    names = list(measurements)
    values = list(measurements.values())
    cautious = estimate_seed_variances(values, cautious=True)
    return Scoreboard(
        metric="auroc",
        windows=windows,
        effective_patients=compute_effective_patients(windows),
        measurements=measurements,
        seeds=dict(zip(names, estimate_seed_variances(values), strict=True)),
        cautious_seeds=dict(zip(names, cautious, strict=True)),
        threshold_draws={},
    )


def _build_windows(experiment: Experiment, dataset: Dataset, n_folds: int) -> Windows:
    """Build the windows of the validation patients, one fold after the other, as trials do."""
    from tuning.training import list_folds

    y, patient, fold = [], [], []
    n_before = 0
    for number, one in enumerate(list_folds(experiment, n_folds)):
        selection = select_windows(one, dataset).in_split("validation")
        names, index = np.unique(selection.patients, return_inverse=True)
        y.append(np.asarray(selection.y) == 1)
        patient.append(index + n_before)
        fold.append(np.full(len(index), number))
        n_before += len(names)
    return Windows(
        y=np.concatenate(y),
        patient=np.concatenate(patient),
        fold=np.concatenate(fold) if n_folds else None,
    )


def _order(trial: Trial) -> tuple[float, int]:
    return -(trial.val_auroc or 0.0), trial.number
