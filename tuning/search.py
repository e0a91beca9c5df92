"""The search: KerasTuner suggests, each trial is one experiment, and finished trials are reused.

``searches/<dataset>-<task>-<oracle>-seed<seed>-<hash>/`` holds search.json (what was asked for),
one file for each suggestion and each result, and the winner's files. The hash covers the space, the
store, Keras' backend and every setting that decides a suggestion or a score, so that a different
question never continues an old answer.

KerasTuner's project folder is not used. KerasTuner does not write it atomically, reuses it by
name whatever has changed, and keeps weights that nobody needs.
"""

import ecglib._keras  # noqa: F401

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from tqdm.auto import tqdm

from ecglib import paths
from ecglib.batch.notebooks import check_parameters, read_defaults
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError, RunError
from ecglib.experiment import Experiment, check_experiment
from ecglib.experiment.config import list_settings
from tuning import training
from tuning.finalists import choose_finalists, compare_finalists, merge_finalists
from tuning.oracles import Proposer, get_epochs
from tuning.result import SearchResult
from tuning.settings import DEFAULT_SETTINGS, SearchSettings
from tuning.space import ALWAYS_SEARCHED, Space, suggest
from tuning.study import Job, Study
from tuning.training import TrialOptions
from tuning.trials import COMPLETED, FAILED, INFEASIBLE, Trial
from tuning.winner import NOTEBOOK, write_winner
from tuning.workers import Order, run_workers

MAX_CONSECUTIVE_FAILURES = 3
# Settings that are not given to all trials: `search` decides them, or the batch of the winner.
ARGUMENTS = {"dataset", "fingerprint", "task", "epochs", "seed", "n_folds", "fold"}
CONTROLS = {"ensemble_size", "target_parameters"}


def list_search_settings() -> list[str]:
    """List the settings that can be given to all trials.

    These are all settings of an experiment, except those that are arguments of `search`, belong to
    the controls of a batch, or are the subject of every search: branches, fusion and its options.
    A setting that is given is not searched.

    Returns
    -------
    list of str
        Their names.

    Examples
    --------
    >>> "class_weights" in list_search_settings(), "fusion" in list_search_settings()
    (True, False)
    """
    excluded = ARGUMENTS | CONTROLS | set(ALWAYS_SEARCHED)
    return [
        name
        for name, setting in list_settings().items()
        if name not in excluded and not setting.fusion_families
    ]


def search(
    dataset: Dataset,
    settings: SearchSettings = DEFAULT_SETTINGS,
    searches_dir: str | Path = "",
    n_workers: int = 1,
) -> SearchResult:
    """Search for the experiment with the best validation macro AUROC.

    An interrupted search continues, a finished one runs nothing, and a larger `max_trials` adds
    trials. Failed trials are tried again. Several processes may search in one folder: they share
    the trials (`tuning.workers`).

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    settings : SearchSettings, optional
        What to search for.
    searches_dir : str or Path, default ""
        Folder of all searches; empty for the usual one (`ecglib.paths.searches_dir`).
    n_workers : int, default 1
        Number of processes that share the trials. The trials of a random search and of Hyperband
        are the same whatever it is, in another order perhaps; those of a Bayesian search depend on
        which trials had finished before.

    Returns
    -------
    SearchResult
        All trials, and the files of the winner.

    Raises
    ------
    EcgError
        If a setting is wrong or does not fit the dataset (`ecglib.experiment.check_experiment`).
    RunError
        If three trials in a row failed, none completed, or a file cannot be written or is damaged.

    Examples
    --------
    Two trials on the synthetic data, which take a minute::

        result = search(ecglib.prepare("synthetic"), SearchSettings(max_trials=2, epochs=1))
        print(result.table())

    What a search is about cannot be given to all trials:

    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     search(dataset, SearchSettings(trial_settings={"fusion": "late_average"}), folder)
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: The settings ['fusion'] cannot be given to all trials; ...
    """
    plan = plan_search(dataset, settings, searches_dir)
    try:
        plan.write_request()
        study = plan.open_study()
        study.forget_failures()
        existing = len(study.list_trials())
        if n_workers != 1:
            order = Order(
                dataset=dataset.path.resolve(),
                settings=plan.settings,
                searches_dir=plan.folder.parent,
                folder=plan.folder,
            )
            run_workers(order, n_workers)
        work(plan, study)  # with workers, what they left
        finished = study.list_trials()
        if not any(trial.is_completed for trial in finished):
            raise RunError(
                f"None of {len(finished)} trials completed. "
                f"{_describe_failure(finished[-1], plan.folder)}"
            )
        finalists = study.list_finalists()
        merged = merge_finalists(finished, finalists)
        winner = write_winner(plan.folder, dataset, merged, plan.caveats)
    except OSError as error:
        raise RunError(
            f"Writing to {plan.folder} failed: {error}. Check the disk (space, permissions) and "
            f"run the search again; finished trials are saved."
        ) from error
    return SearchResult(
        folder=plan.folder,
        n_trials=settings.n_trials,
        n_existing=existing,
        trials=merged,
        caveats=tuple(plan.caveats),
        winner=winner,
        comparison=compare_finalists(dataset, finished, finalists, settings.n_folds),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SearchPlan:
    """A search that was checked against its dataset, before anything is written.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    settings : SearchSettings
        What is searched for; import paths have the hash of their code, so that a worker does not
        search with other code.
    fixed : dict of str to object
        Settings of every trial, in so far as the suggestion has no others.
    space : Space
        What there is to choose from.
    hyperparameters : keras_tuner.HyperParameters
        The same, as an oracle takes it.
    folder : Path
        Folder of the search.
    caveats : tuple of str
        Caveats of the dataset.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     plan = plan_search(dataset, SearchSettings(oracle="bayesian"), folder)
    >>> plan.folder.name.rpartition("-")[0]
    'synthetic-superdiagnostic-bayesian-seed0'
    """

    dataset: Dataset
    settings: SearchSettings
    fixed: dict[str, Any]
    space: Space
    hyperparameters: keras_tuner.HyperParameters
    folder: Path
    caveats: tuple[str, ...]

    def write_request(self) -> None:
        """Write what is searched for, and refuse the folder of another search.

        Raises
        ------
        RunError
            If the folder belongs to another search.
        """
        path, request = self.folder / "search.json", _describe_request(self)
        if path.exists() and json.loads(path.read_text()) != request:
            raise RunError(
                f"{self.folder} holds a search for something else: {path} was changed. Remove the "
                f"folder, or search in another one."
            )
        paths.write_json(path, request)

    def open_study(self) -> Study:
        """Open the folder of the search."""
        return Study(
            folder=self.folder,
            proposer=Proposer(
                self.settings.oracle,
                self.hyperparameters,
                self.settings.seed,
                self.settings.epochs,
            ),
            complete=self.complete,
            n_trials=self.settings.n_trials,
            choose_finalists=lambda trials: choose_finalists(trials, self.settings),
        )

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of an experiment of the values of its hyperparameters."""
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        epochs = {"epochs": get_epochs(values, self.settings.epochs)}
        return _to_json(self.fixed | suggest(hyperparameters, self.space) | epochs)


def plan_search(
    dataset: Dataset, settings: SearchSettings, searches_dir: str | Path = ""
) -> SearchPlan:
    """Check what is searched for, and write nothing.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    settings : SearchSettings
        What to search for.
    searches_dir : str or Path, default ""
        Folder of all searches.

    Returns
    -------
    SearchPlan
        All that processes need to work on it.

    Raises
    ------
    EcgError
        If a setting is wrong or does not fit the dataset.
    """
    task = settings.task or dataset.default_task
    fixed = {
        **_complete_settings(settings.trial_settings),
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "task": task,
        "ensemble_size": 1,
        "epochs": settings.epochs,
        "seed": settings.seed,
    }
    space = Space.from_dataset(dataset, task, settings.trial_settings)
    space = space.extend(settings.encoders, settings.fusions)
    hyperparameters = keras_tuner.HyperParameters()
    suggestion = suggest(hyperparameters, space)
    first = Experiment.from_flat(fixed | suggestion)
    caveats = check_experiment(training.list_folds(first, settings.n_folds)[0], dataset)
    plan = SearchPlan(
        dataset=dataset,
        settings=dataclasses.replace(settings, encoders=space.encoders, fusions=space.fusions),
        fixed=fixed,
        space=space,
        hyperparameters=hyperparameters,
        folder=paths.searches_dir(searches_dir).resolve(),
        caveats=caveats,
    )
    return dataclasses.replace(plan, folder=plan.folder / _name_search(plan))


def work(plan: SearchPlan, study: Study) -> None:
    """Run trials until all have finished, here or in other processes.

    Parameters
    ----------
    plan : SearchPlan
        The search.
    study : Study
        Its folder.

    Raises
    ------
    RunError
        If three trials in a row failed in this process.
    """
    outcomes: list[str] = []
    total, existing = plan.settings.n_trials, len(study.list_trials())
    with tqdm(total=total, initial=existing, desc=plan.folder.name, unit="trial") as bar:
        while True:
            with study.take_job() as job:
                if job is None:
                    break
                trial = training.run_trial(
                    job.number, job.settings, plan.dataset, _build_options(plan, bar, job)
                )
                study.finish(job, trial)
            outcome = f"{trial.status}: {trial.reason}"
            if trial.status == COMPLETED:
                outcome = f"{trial.val_auroc:.4f}"
            bar.write(f"{job.name}: {trial.model}: {outcome}")
            if not job.is_finalist:
                bar.update()
            if trial.status != INFEASIBLE:
                outcomes.append(trial.status)
            if outcomes[-MAX_CONSECUTIVE_FAILURES:] == [FAILED] * MAX_CONSECUTIVE_FAILURES:
                raise RunError(
                    f"{MAX_CONSECUTIVE_FAILURES} trials failed in a row. "
                    f"{_describe_failure(trial, plan.folder)}"
                )


def _build_options(plan: SearchPlan, bar: tqdm, job: Job) -> TrialOptions:
    epochs = job.settings["epochs"]

    def show(epoch: int, logs: dict[str, float]) -> None:
        bar.set_postfix_str(f"{job.name}, epoch {epoch + 1}/{epochs}: {logs['val_auroc']:.3f}")

    return TrialOptions(
        n_folds=plan.settings.n_folds,
        budget=plan.settings.budget,
        callbacks=(keras.callbacks.LambdaCallback(on_epoch_end=show),),
    )


def _complete_settings(trial_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings of all trials, and fill in the defaults of the notebook."""
    allowed = list_search_settings()
    if wrong := sorted(set(trial_settings) - set(allowed)):
        raise ExperimentError(
            f"The settings {wrong} cannot be given to all trials; these can: {sorted(allowed)}. "
            f"Task, epochs, seed and n_folds are settings of the search, and tuning/space.py says "
            f"what is searched."
        )
    check_parameters(NOTEBOOK, trial_settings)
    defaults = read_defaults(NOTEBOOK)
    names = [name for name in list_settings() if name in defaults and name not in ARGUMENTS]
    return {name: trial_settings.get(name, defaults[name]) for name in names}


def _describe_request(plan: SearchPlan) -> dict[str, Any]:
    """Describe everything that decides a suggestion or a score, as JSON holds it."""
    request = {
        "oracle": plan.settings.oracle,
        "fixed": plan.fixed,
        "space": plan.hyperparameters.get_config()["space"],
        "n_folds": plan.settings.n_folds,
        "budget": dataclasses.asdict(plan.settings.budget),
        # Each backend draws other initial weights and dropout, so scores differ as between seeds.
        "backend": keras.backend.backend(),
    }
    return _to_json(request)


def _to_json(values: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(values))


def _name_search(plan: SearchPlan) -> str:
    text = json.dumps(_describe_request(plan), sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    fixed, oracle = plan.fixed, plan.settings.oracle
    return f"{fixed['dataset']}-{fixed['task']}-{oracle}-seed{fixed['seed']}-{digest}"


def _describe_failure(trial: Trial, folder: Path) -> str:
    return (
        f"The last one ({trial.model}): {trial.reason} (more in "
        f"{folder / 'trials' / f'{trial.number:03d}.json'}). Correct the cause and run the search "
        f"again; completed trials are saved."
    )
