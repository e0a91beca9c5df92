"""The search: KerasTuner proposes, each trial is one experiment, and what is done stays done.

``searches/<dataset>-<task>-seed<seed>-<hash>/`` holds search.json (what was asked for), a file a
trial and the winner's files. The hash covers the space, the store and every setting, so that
another question never continues an old answer.

KerasTuner's own project folder is a scratch one. What it would keep is not written atomically,
is reused by name whatever changed, and holds weights that nobody needs. The proposals depend on
the seed alone: a search that is run again gets the same ones and takes the finished trials from
their files.
"""

import ecglib._keras  # noqa: F401

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path

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
from tuning import trials, winner
from tuning.space import crop_lengths, suggest
from tuning.trials import COMPLETED, FAILED, INFEASIBLE, Trial

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")  # a bare name would be minimised
MOST_FAILURES = 3
# The oracle draws hyperparameter k of trial t from seed + k + t * (number of hyperparameters), so
# that neighbouring seeds would give nearly the same trials; and 0 would mean a random seed.
SEED_STEP = 1_000_003
# Given to `search`, or decided by it.
ARGUMENTS = {"dataset", "fingerprint", "task", "epochs", "seed"}
CONTROLS = {"ensemble_size", "target_parameters"}


def list_search_settings() -> list[str]:
    """List the settings that can be given to all trials.

    These are the settings of an experiment that are neither arguments of `search`, nor searched,
    nor made by the controls of a batch, nor options of some fusions only.

    Examples
    --------
    >>> "class_weights" in list_search_settings(), "width" in list_search_settings()
    (True, False)
    """
    searched = set(suggest(keras_tuner.HyperParameters()))
    excluded = ARGUMENTS | CONTROLS | searched
    return [
        name
        for name, setting in list_settings().items()
        if name not in excluded and not setting.fusion_families
    ]


@dataclasses.dataclass(frozen=True)
class Result:
    """What a search found.

    `trials` in the order of their numbers; `found` of them had been finished before, the others
    were made now. `parameters` is a file for ``papermill -f``, `batch` one for ``ecglib batch``.
    """

    folder: Path
    asked: int
    found: int
    trials: list[Trial]
    caveats: list[str]
    parameters: Path
    batch: Path

    @property
    def best(self) -> Trial:
        """The trial with the highest validation macro AUROC, the first of equals."""
        return winner.best(self.trials)

    @property
    def caveat(self) -> str:
        """What has to be said wherever these numbers appear."""
        return "; ".join(self.caveats)

    def table(self) -> pd.DataFrame:
        """One row a trial, best first."""
        columns = ("crop_s", "width", "feature_dim", "dropout", "learning_rate", "weight_decay")
        rows = [
            {
                "trial": trial.number,
                "status": trial.status,
                "validation macro AUROC": trial.val_auroc,
                "model": trial.model,
                **{name: trial.experiment.get(name) for name in columns},
                "parameters": trial.parameters,
                "seconds": trial.seconds,
            }
            for trial in self.trials
        ]
        table = pd.DataFrame(rows).astype({"parameters": "Int64"})
        order = ["validation macro AUROC", "trial"]
        return table.sort_values(order, ascending=[False, True], ignore_index=True)

    def sentences(self) -> list[str]:
        """What was done, what went wrong, what won and what it is worth."""
        made = len(self.trials) - self.found
        said = [f"Trials made: {made}, found: {self.found}."]
        if not made:
            said = [f"Nothing was to do: all {self.found} trials are finished."]
        if len(self.trials) < self.asked:
            said.append(f"The space holds no more than these; {self.asked} were asked for.")
        said += [f"Trial {t.number} {t.status}: {t.reason}" for t in self.trials if t.error]
        said.append(
            f"Best on the validation part: trial {self.best.number}, {self.best.model}, macro "
            f"AUROC {self.best.val_auroc:.4f}. It was chosen for that number, which is therefore "
            f"too good; the test part has not been looked at."
        )
        return said + [f"Caveat: {caveat}." for caveat in self.caveats]


def search(
    dataset: Dataset,
    task: str = "",
    parameters: dict | None = None,
    max_trials: int = 6,
    epochs: int = 4,
    seed: int = 0,
    folder: str | Path = "",
) -> Result:
    """Search at random for the experiment with the best validation macro AUROC.

    A search that was interrupted goes on, one that is finished does nothing, and a larger
    `max_trials` adds trials. Trials that failed are tried again.

    Parameters
    ----------
    dataset
        the prepared store.
    task
        what is predicted; empty for the dataset's first task.
    parameters
        settings of all trials: parameters of ``03_train`` named in `list_search_settings`.
    max_trials
        suggestions to try.
    epochs
        most epochs of a trial; the winner's files ask for those of ``03_train`` or more.
    seed
        decides the suggestions, and is the seed of every trial.
    folder
        of all searches; empty for the usual one (`ecglib.paths`).

    Raises
    ------
    EcgError
        a setting is wrong or does not fit the dataset (see `Experiment.check`).
    RunError
        three trials failed in a row, none completed, or a file cannot be written.
    """
    if max_trials < 1:
        raise ExperimentError(f"max_trials={max_trials}, expected at least 1.")
    task = task or dataset.default_task
    settings = _settings(parameters or {})
    fixed = {
        **{"dataset": dataset.name, "fingerprint": dataset.fingerprint, "task": task},
        **{"ensemble_size": 1, **settings, "epochs": epochs, "seed": seed},
    }
    space = keras_tuner.HyperParameters()
    caveats = check_experiment(
        Experiment.from_flat(fixed | suggest(space, crop_lengths(dataset.signal))), dataset
    )
    asked = {"fixed": fixed, "space": space.get_config()["space"]}
    path = paths.searches_dir(folder).resolve() / _name(dataset.name, task, seed, asked)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=OBJECTIVE,
        max_trials=max_trials,
        seed=SEED_STEP * (seed + 1),
        hyperparameters=space,
        allow_new_entries=False,
        max_consecutive_failed_trials=max_trials + 1,  # counted here, see `_Tuner`
    )
    oracle.verbose = 0
    try:
        paths.write_text(path / "search.json", json.dumps(asked, indent=1))
        tuner = _tune(oracle, fixed, dataset, path)
        done = list(tuner.done.values())
        if not any(trial.status == COMPLETED for trial in done):
            raise RunError(f"None of {len(done)} trials completed. {_blame(done[-1], path)}")
        files = winner.write(path, dataset, done, caveats)
    except OSError as error:
        raise RunError(
            f"Writing to {path} failed: {error}. See to the disk (space, rights) and run the "
            f"search again; finished trials are kept."
        ) from error
    return Result(path, max_trials, len(tuner.found), done, caveats, *files)


def _tune(oracle, fixed: dict, dataset: Dataset, path: Path) -> "_Tuner":
    bar = tqdm(total=oracle.max_trials, desc=path.name, unit="trial")
    with tempfile.TemporaryDirectory(prefix="ecg-tuning-") as scratch, bar:
        tuner = _Tuner(oracle, scratch, fixed, dataset, path, bar)
        tuner.search()
    return tuner


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Carries out what the oracle proposes, or takes it from the file of an earlier time.

    KerasTuner swallows the errors of `run_trial`, but not those of `on_trial_end`.
    """

    def __init__(self, oracle, scratch: str, fixed: dict, dataset: Dataset, path: Path, bar):
        super().__init__(oracle, directory=scratch, project_name="project")
        self.fixed, self.dataset, self.path, self.bar = fixed, dataset, path, bar
        self.done: dict[str, Trial] = {}
        self.found: set[str] = set()

    def run_trial(self, trial) -> dict:
        number = len(self.done) + 1
        values = self.fixed | suggest(trial.hyperparameters, crop_lengths(self.dataset.signal))
        own = trials.read(_file(self.path, number), values)
        if own:
            self.found.add(trial.trial_id)
        else:
            shown = _epochs(self.bar, number, values["epochs"])
            own = trials.carry_out(number, values, self.dataset, (shown,))
        self.done[trial.trial_id] = own
        if own.status != COMPLETED:
            raise keras_tuner.errors.FailedTrialError(own.error)
        return {OBJECTIVE.name: own.val_auroc}

    def on_trial_end(self, trial) -> None:
        super().on_trial_end(trial)
        if trial.trial_id not in self.done:
            raise RunError(f"The search itself failed: {trial.message}")
        own = self.done[trial.trial_id]
        if trial.trial_id not in self.found:
            trials.write(_file(self.path, own.number), own)
            said = (
                f"{own.val_auroc:.4f}" if own.status == COMPLETED else f"{own.status}: {own.reason}"
            )
            self.bar.write(f"trial {own.number}: {own.model}: {said}")
        self.bar.update()
        last = [t for t in self.done.values() if t.status != INFEASIBLE][-MOST_FAILURES:]
        if len(last) == MOST_FAILURES and all(t.status == FAILED for t in last):
            raise RunError(f"{MOST_FAILURES} trials failed in a row. {_blame(own, self.path)}")


def _epochs(bar, number: int, epochs: int) -> keras.callbacks.Callback:
    def show(epoch, logs):
        bar.set_postfix_str(f"trial {number}, epoch {epoch + 1}/{epochs}: {logs['val_auroc']:.3f}")

    return keras.callbacks.LambdaCallback(on_epoch_end=show)


def _settings(given: dict) -> dict:
    """All settings, those given replaced; the others are the notebook's."""
    allowed = list_search_settings()
    if odd := set(given) - set(allowed):
        raise ExperimentError(
            f"{sorted(odd)} cannot be set for all trials; what can: {sorted(allowed)}. Task, "
            f"epochs and seed are arguments of the search, and tuning/space.py says what is "
            f"searched."
        )
    check_parameters(winner.NOTEBOOK, given)
    defaults = read_defaults(winner.NOTEBOOK)
    return {name: given.get(name, defaults[name]) for name in allowed}


def _name(dataset: str, task: str, seed: int, asked: dict) -> str:
    text = json.dumps(asked, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    return f"{dataset}-{task}-seed{seed}-{digest}"


def _file(path: Path, number: int) -> Path:
    return path / "trials" / f"{number:03d}.json"


def _blame(trial: Trial, path: Path) -> str:
    return (
        f"The last one ({trial.model}): {trial.reason} (more in {_file(path, trial.number)}). Mend "
        f"the cause and run the search again; trials that completed are kept."
    )
