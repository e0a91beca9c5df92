"""The search: KerasTuner suggests, each trial is one experiment, and finished trials are reused.

``searches/<dataset>-<task>-seed<seed>-<hash>/`` holds search.json (what was asked for), one file
for each trial and the winner's files. The hash covers the space, the store and every setting, so
that a different question never continues an old answer.

KerasTuner's project folder is temporary. KerasTuner does not write it atomically, reuses it by
name whatever has changed, and keeps weights that nobody needs. The suggestions depend on the seed
alone: a search that is run again gets the same ones, and reads the finished trials from their
files.
"""

import ecglib._keras  # noqa: F401

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pandas as pd
from tqdm.auto import tqdm

from ecglib import paths
from ecglib.batch.notebooks import check_parameters, read_defaults
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError, RunError
from ecglib.experiment import Experiment, check_experiment
from ecglib.experiment.config import list_settings
from tuning import trials
from tuning.space import list_crop_lengths, suggest
from tuning.trials import COMPLETED, FAILED, INFEASIBLE, Trial
from tuning.winner import NOTEBOOK, Winner, write_winner

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")  # a bare name would be minimized
MAX_CONSECUTIVE_FAILURES = 3
# The oracle draws hyperparameter k of trial t from seed + k + t * (number of hyperparameters), so
# that neighboring seeds would give nearly the same trials; and 0 would mean a random seed.
SEED_STEP = 1_000_003
# Settings that are not given to all trials: `search` decides them, the batch of the winner does, or
# the search does not support them (it has one validation split).
ARGUMENTS = {"dataset", "fingerprint", "task", "epochs", "seed"}
CONTROLS = {"ensemble_size", "target_parameters"}
CROSS_VALIDATION = {"n_folds", "fold"}


def list_search_settings() -> list[str]:
    """List the settings that can be given to all trials.

    These are all settings of an experiment, except those that are arguments of `search`, are
    searched, belong to the controls of a batch or to a cross-validation, or are options of some
    fusions only.

    Returns
    -------
    list of str
        Their names.

    Examples
    --------
    >>> "class_weights" in list_search_settings(), "width" in list_search_settings()
    (True, False)
    """
    searched = set(suggest(keras_tuner.HyperParameters()))
    excluded = ARGUMENTS | CONTROLS | CROSS_VALIDATION | searched
    return [
        name
        for name, setting in list_settings().items()
        if name not in excluded and not setting.fusion_families
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What a search is asked for.

    Parameters
    ----------
    task : str, default ""
        Name of the task; empty for the first task of the dataset.
    trial_settings : mapping of str to object
        Settings of all trials, of those in `list_search_settings`; the others have the defaults of
        ``03_train``.
    max_trials : int, default 6
        Number of suggestions to try.
    epochs : int, default 4
        Maximum number of epochs of a trial; the winner's files ask for more.
    seed : int, default 0
        Decides the suggestions, and is the seed of every trial.

    Raises
    ------
    ExperimentError
        If `max_trials` is below 1.

    Examples
    --------
    >>> SearchSettings(trial_settings={"class_weights": "sqrt"}, max_trials=20).epochs
    4
    """

    task: str = ""
    trial_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    max_trials: int = 6
    epochs: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_trials < 1:
            raise ExperimentError(f"max_trials={self.max_trials} must be at least 1.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found.

    Parameters
    ----------
    folder : Path
        Folder of the search.
    max_trials : int
        Number of trials that were asked for; the space may hold fewer.
    n_existing : int
        Number of trials that had been finished before.
    trials : list of Trial
        All trials, in the order of their numbers.
    caveats : tuple of str
        Caveats of the dataset.
    winner : Winner
        The trial with the highest validation macro AUROC, the first of equals, and its files.

    Examples
    --------
    >>> trial = Trial(number=1, status=COMPLETED, experiment={}, model="time:cnn", val_auroc=0.9)
    >>> folder = Path("searches/mine")
    >>> result = SearchResult(
    ...     folder=folder,
    ...     max_trials=1,
    ...     n_existing=1,
    ...     trials=[trial],
    ...     caveats=("synthetic data",),
    ...     winner=Winner(
    ...         trial=trial,
    ...         parameters=folder / "winner.yaml",
    ...         batch=folder / "tuned-0123456789.yaml",
    ...     ),
    ... )
    >>> result.describe()[0], result.caveat
    ('All 1 trials already exist; nothing to run.', 'synthetic data')
    >>> result.table()[["trial", "model"]].values.tolist()
    [[1, 'time:cnn']]
    """

    folder: Path
    max_trials: int
    n_existing: int
    trials: list[Trial]
    caveats: tuple[str, ...]
    winner: Winner

    @property
    def caveat(self) -> str:
        """All caveats as one text, to show with every number."""
        return "; ".join(self.caveats)

    def table(self) -> pd.DataFrame:
        """Return the trials as a table, one per row, best first."""
        settings = ("crop_s", "width", "feature_dim", "dropout", "learning_rate", "weight_decay")
        rows = [
            {
                "trial": trial.number,
                "status": trial.status,
                "validation macro AUROC": trial.val_auroc,
                "model": trial.model,
                **{name: trial.experiment.get(name) for name in settings},
                "parameters": trial.parameters,
                "seconds": trial.seconds,
            }
            for trial in self.trials
        ]
        table = pd.DataFrame(rows).astype({"parameters": "Int64"})
        order = ["validation macro AUROC", "trial"]
        return table.sort_values(order, ascending=[False, True], ignore_index=True)

    def describe(self) -> list[str]:
        """Return sentences on what was tried, what failed, what won and what its score is worth."""
        n_new = len(self.trials) - self.n_existing
        sentences = [f"New trials: {n_new}, existing: {self.n_existing}."]
        if not n_new:
            sentences = [f"All {self.n_existing} trials already exist; nothing to run."]
        if len(self.trials) < self.max_trials:
            sentences.append(
                f"The search space holds no more trials; {self.max_trials} were asked for."
            )
        sentences += [
            f"Trial {trial.number} {trial.status}: {trial.reason}"
            for trial in self.trials
            if trial.error
        ]
        best = self.winner.trial
        sentences.append(
            f"Best on the validation split: trial {best.number}, {best.model}, macro AUROC "
            f"{best.val_auroc:.4f}. It was chosen for this score, which is therefore too good; the "
            f"test split was not used."
        )
        return sentences + [f"Caveat: {caveat}." for caveat in self.caveats]


def search(
    dataset: Dataset,
    settings: SearchSettings = SearchSettings(),
    searches_dir: str | Path = "",
) -> SearchResult:
    """Search at random for the experiment with the best validation macro AUROC.

    An interrupted search continues, a finished one runs nothing, and a larger `max_trials` adds
    trials. Failed trials are tried again.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    settings : SearchSettings, optional
        What to search for.
    searches_dir : str or Path, default ""
        Folder of all searches; empty for the usual one (`ecglib.paths.searches_dir`).

    Returns
    -------
    SearchResult
        All trials, and the files of the winner.

    Raises
    ------
    EcgError
        If a setting is wrong or does not fit the dataset (`ecglib.experiment.check_experiment`).
    RunError
        If three trials in a row failed, none completed, or a file cannot be written.

    Examples
    --------
    Two trials on the synthetic data, which take a minute::

        result = search(ecglib.prepare("synthetic"), SearchSettings(max_trials=2, epochs=1))
        print(result.table())

    What is searched cannot be given to all trials:

    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     search(dataset, SearchSettings(trial_settings={"width": 8}), folder)
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: The settings ['width'] cannot be given to all trials; ...
    """
    fixed = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "task": settings.task or dataset.default_task,
        "ensemble_size": 1,
        **_complete_settings(settings.trial_settings),
        "epochs": settings.epochs,
        "seed": settings.seed,
    }
    space = keras_tuner.HyperParameters()
    suggestion = suggest(space, list_crop_lengths(dataset.signal))
    caveats = check_experiment(Experiment.from_flat(fixed | suggestion), dataset)
    request = {"fixed": fixed, "space": space.get_config()["space"]}
    folder = paths.searches_dir(searches_dir).resolve() / _name_search(request)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=OBJECTIVE,
        max_trials=settings.max_trials,
        seed=SEED_STEP * (settings.seed + 1),
        hyperparameters=space,
        allow_new_entries=False,
        max_consecutive_failed_trials=settings.max_trials + 1,  # `_Tuner` counts them
    )
    oracle.verbose = 0
    try:
        paths.write_json(folder / "search.json", request)
        tuner = _tune(oracle, fixed, dataset, folder)
        finished = list(tuner.finished.values())
        if not any(trial.status == COMPLETED for trial in finished):
            raise RunError(
                f"None of {len(finished)} trials completed. {_describe_last(finished[-1], folder)}"
            )
        winner = write_winner(folder, dataset, finished, caveats)
    except OSError as error:
        raise RunError(
            f"Writing to {folder} failed: {error}. Check the disk (space, permissions) and run the "
            f"search again; finished trials are saved."
        ) from error
    return SearchResult(
        folder=folder,
        max_trials=settings.max_trials,
        n_existing=len(tuner.existing),
        trials=finished,
        caveats=tuple(caveats),
        winner=winner,
    )


def _tune(
    oracle: keras_tuner.Oracle, fixed: dict[str, Any], dataset: Dataset, folder: Path
) -> "_Tuner":
    bar = tqdm(total=oracle.max_trials, desc=folder.name, unit="trial")
    with tempfile.TemporaryDirectory(prefix="ecg-tuning-") as project, bar:
        tuner = _Tuner(oracle, project, fixed, dataset, folder, bar)
        tuner.search()
    return tuner


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Carries out what the oracle suggests, or reads it from the file of an earlier search.

    KerasTuner swallows the errors of `run_trial`, but not those of `on_trial_end`.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        project: str,
        fixed: dict[str, Any],
        dataset: Dataset,
        folder: Path,
        bar: tqdm,
    ) -> None:
        super().__init__(oracle, directory=project, project_name="project")
        self.fixed, self.dataset, self.folder, self.bar = fixed, dataset, folder, bar
        self.finished: dict[str, Trial] = {}
        self.existing: set[str] = set()

    def run_trial(self, trial: keras_tuner.engine.trial.Trial) -> dict[str, float | None]:
        number = len(self.finished) + 1
        crops_s = list_crop_lengths(self.dataset.signal)
        settings = self.fixed | suggest(trial.hyperparameters, crops_s)
        finished = trials.read_trial(_trial_path(self.folder, number), settings)
        if finished:
            self.existing.add(trial.trial_id)
        else:
            progress = _show_epochs(self.bar, number, settings["epochs"])
            finished = trials.run_trial(number, settings, self.dataset, (progress,))
        self.finished[trial.trial_id] = finished
        if finished.status != COMPLETED:
            raise keras_tuner.errors.FailedTrialError(finished.error)
        return {OBJECTIVE.name: finished.val_auroc}

    def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
        super().on_trial_end(trial)
        if trial.trial_id not in self.finished:
            raise RunError(f"The search failed outside of its trials: {trial.message}")
        finished = self.finished[trial.trial_id]
        if trial.trial_id not in self.existing:
            trials.write_trial(_trial_path(self.folder, finished.number), finished)
            outcome = f"{finished.status}: {finished.reason}"
            if finished.status == COMPLETED:
                outcome = f"{finished.val_auroc:.4f}"
            self.bar.write(f"trial {finished.number}: {finished.model}: {outcome}")
        self.bar.update()
        feasible = [trial for trial in self.finished.values() if trial.status != INFEASIBLE]
        last = feasible[-MAX_CONSECUTIVE_FAILURES:]
        if len(last) == MAX_CONSECUTIVE_FAILURES and all(one.status == FAILED for one in last):
            raise RunError(
                f"{MAX_CONSECUTIVE_FAILURES} trials failed in a row. "
                f"{_describe_last(finished, self.folder)}"
            )


def _show_epochs(bar: tqdm, number: int, epochs: int) -> keras.callbacks.Callback:
    def show(epoch: int, logs: dict[str, float]) -> None:
        bar.set_postfix_str(f"trial {number}, epoch {epoch + 1}/{epochs}: {logs['val_auroc']:.3f}")

    return keras.callbacks.LambdaCallback(on_epoch_end=show)


def _complete_settings(trial_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings of all trials, and fill in the defaults of the notebook."""
    allowed = list_search_settings()
    if wrong := sorted(set(trial_settings) - set(allowed)):
        raise ExperimentError(
            f"The settings {wrong} cannot be given to all trials; these can: {sorted(allowed)}. "
            f"Task, epochs and seed are settings of the search, and tuning/space.py says what is "
            f"searched."
        )
    check_parameters(NOTEBOOK, trial_settings)
    defaults = read_defaults(NOTEBOOK)
    return {name: trial_settings.get(name, defaults[name]) for name in allowed}


def _name_search(request: dict[str, Any]) -> str:
    fixed = request["fixed"]
    text = json.dumps(request, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    return f"{fixed['dataset']}-{fixed['task']}-seed{fixed['seed']}-{digest}"


def _trial_path(folder: Path, number: int) -> Path:
    return folder / "trials" / f"{number:03d}.json"


def _describe_last(trial: Trial, folder: Path) -> str:
    return (
        f"The last one ({trial.model}): {trial.reason} (more in "
        f"{_trial_path(folder, trial.number)}). Correct the cause and run the search again; "
        f"completed trials are saved."
    )
