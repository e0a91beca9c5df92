"""Finished runs as contestants of a comparison: their names, recipes and predictions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment import Experiment
from ecglib.experiment.config import list_fields
from ecglib.experiment.environment import BACKENDS
from ecglib.runs.folder import ContestantFolder
from ecglib.runs.run import Run

MAX_NAMED_SETTINGS = 2  # in the name of a model, to distinguish it from others

# What may differ between models that are compared, and what no recipe contains.
_COMPARED = ("branches", "fusion", "ensemble_size", "target_parameters")
_REPEATED = ("seed", "fold")
# What decides more than the last digits of a result.
_CODE = ("code", "keras", "tensorflow", "numpy")


def build_recipe(run: Run) -> dict[str, Any]:
    """Build the recipe of a run: what models must share to be compared.

    Parameters
    ----------
    run : Run
        A finished run.

    Returns
    -------
    dict of str to object
        All settings but branches, fusion, sizes, seed, fold and the options of fusions; the options
        of each representation that the run takes; and the code with the versions that decide a
        result.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from ecglib.experiment import describe_environment
    >>> experiment = Experiment.from_flat(
    ...     {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    ... )
    >>> run = SimpleNamespace(experiment=experiment, environment=describe_environment(threads=1))
    >>> recipe = build_recipe(run)
    >>> recipe["epochs"], "keras" in recipe, "branches" in recipe
    (20, True, False)
    """
    experiment = run.experiment
    recipe = {}
    for name, value in experiment.to_flat().items():
        setting = list_fields()[name].metadata["setting"]
        is_left_out = name in _COMPARED or name in _REPEATED or setting.fusion_families
        if not is_left_out and name != "representation_options":
            recipe[name] = value
    options: Mapping[str, Any] = experiment.inputs.representation_options
    for representation in experiment.representations:
        recipe[f"options of {representation}"] = dict(options.get(representation, {}))
    environment = run.environment.list_values()
    return recipe | {name: environment.get(name, "not used") for name in (*_CODE, *BACKENDS)}


def name_contestants(runs: Iterable[ContestantFolder]) -> dict[str, str]:
    """Give each model the name that is shown: that of `name_models`, or that it was entered with.

    Parameters
    ----------
    runs : iterable of Run or Entry
        All contestants, several for each model if it has several seeds or folds.

    Returns
    -------
    dict of str to str
        Model hash -> name.

    Examples
    --------
    >>> name_contestants([])
    {}
    """
    runs = list(runs)
    names = name_models([run.experiment for run in runs if isinstance(run, Run)])
    entered = {run.model_hash: run.model_hash for run in runs if not isinstance(run, Run)}
    return names | entered


def name_models(experiments: Iterable[Experiment]) -> dict[str, str]:
    """Give each model the shortest name that distinguishes it from the others.

    A fusion of several representations is called by its name alone if no other fusion of that name
    joins other branches. Models that still have the same name get the few settings in which they
    differ, or else a piece of their hash.

    Parameters
    ----------
    experiments : iterable of Experiment
        Experiments, several for each model if it has several seeds or folds.

    Returns
    -------
    dict of str to str
        Model hash -> name.

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
    >>> list(name_models([experiment, experiment.replace(dropout=0.4, seed=1)]).values())
    ['time:cnn, dropout 0.2', 'time:cnn, dropout 0.4']
    >>> names = name_models([experiment, experiment.replace(augment={"noise": {}, "shift": {}})])
    >>> list(names.values())
    ['time:cnn, augment none', 'time:cnn, augment shift+noise']
    """
    models = {experiment.model_hash: experiment for experiment in experiments}
    of_representations = {
        key: experiment for key, experiment in models.items() if len(experiment.representations) > 1
    }
    n_branch_sets = Counter(
        fusion
        for fusion, _ in {(one.model.fusion, one.model_name) for one in of_representations.values()}
    )
    names = {}
    for key, experiment in models.items():
        fusion = experiment.model.fusion
        short = key in of_representations and n_branch_sets[fusion] == 1
        names[key] = fusion if short else experiment.model_name
    same_name: dict[str, list[Experiment]] = {}
    for key, name in names.items():
        same_name.setdefault(name, []).append(models[key])
    return {
        key: name + _describe_distinction(models[key], same_name[name])
        for key, name in names.items()
    }


def _describe_distinction(experiment: Experiment, same_name: list[Experiment]) -> str:
    """Describe what distinguishes an experiment from those of the same name."""
    if len(same_name) == 1:
        return ""
    settings, others = experiment.to_flat(), [other.to_flat() for other in same_name]
    different = [
        name
        for name, value in settings.items()
        if name not in ("seed", "fold") and any(other[name] != value for other in others)
    ]
    texts = [_describe_settings(other, different) for other in others]
    text = _describe_settings(settings, different)
    if len(different) <= MAX_NAMED_SETTINGS and text and texts.count(text) == 1:
        return text
    return f" #{experiment.model_hash[:4]}"


def _describe_settings(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    """Describe settings in a few words: of a mapping the names alone; "" for other values."""
    parts = []
    for name in names:
        value = settings[name]
        if isinstance(value, Mapping):
            value = "+".join(value) or "none"
        if not isinstance(value, str | int | float):
            return ""
        parts.append(f", {name} {value}")
    return "".join(parts)


def build_contestant(runs: Sequence[ContestantFolder], name: str) -> Contestant:
    """Build the contestant of one run, or of the runs of all folds of a cross-validation.

    Parameters
    ----------
    runs : sequence of Run or Entry
        One run, or one for each fold, of the same model and seed.
    name : str
        Name of the model.

    Returns
    -------
    Contestant
        With the windows of all folds in the order of the window table.

    Raises
    ------
    RunError
        If a fold has no run.

    Examples
    --------
    >>> from ecglib.runs import open_run
    >>> contestant = build_contestant([open_run("0123456789")], "time:cnn")  # doctest: +SKIP
    """
    first = runs[0]
    n_folds, seed = first.data.n_folds, first.seed
    missing = set(range(1, n_folds + 1)) - {run.data.fold for run in runs}
    if missing:
        raise RunError(
            f"{name} (seed {seed}) has no run of the folds {sorted(missing)} of {n_folds}, so some "
            "patients have no prediction. Run the missing folds, or remove the model."
        )
    runs = sorted(runs, key=lambda run: run.data.fold)
    thresholds = np.array([run.thresholds for run in runs])
    return Contestant(
        name=name,
        role=first.role,
        branches=first.branch_names,
        ensemble_size=first.ensemble_size,
        seed=seed,
        parameters=round(np.mean([run.parameters for run in runs])),
        predictions=_join_folds(runs, "test"),
        thresholds=thresholds if n_folds else thresholds[0],
        validation=_join_folds(runs, "validation"),
        recipe=build_recipe(first) if isinstance(first, Run) else {},
        caveats=tuple(dict.fromkeys(caveat for run in runs for caveat in run.caveats)),
    )


def _join_folds(runs: Sequence[ContestantFolder], split: str) -> Predictions:
    """Join the predictions of the runs of all folds, in the order of the window table."""
    parts = [run.predictions(split) for run in runs]
    if len(parts) == 1 and not runs[0].data.n_folds:
        return parts[0]
    order = np.argsort(np.concatenate([one.rows for one in parts]), kind="stable")

    def join(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(arrays))[order]

    return Predictions(
        kind=parts[0].kind,
        classes=parts[0].classes,
        rows=join(one.rows for one in parts),
        records=join(one.records for one in parts),
        patients=join(one.patients for one in parts),
        y=join(one.y for one in parts),
        p=join(one.p for one in parts),
        folds=join(
            np.full(one.n_windows, run.data.fold) for run, one in zip(runs, parts, strict=True)
        ),
    )
