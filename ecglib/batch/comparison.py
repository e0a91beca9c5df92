"""Compare the runs of a batch: name the models, join their folds, and score them together."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.baselines import compare_with_baselines
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.metrics import MACRO_METRICS
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.report import Comparison
from ecglib.evaluation.verdict import (
    DEFAULT_MARGIN,
    ComparisonSettings,
    build_score_table,
    collect_caveats,
    compute_differences,
    find_best_single,
)
from ecglib.experiment import Experiment
from ecglib.runs import Run

MAX_NAMED_SETTINGS = 2  # in the name of a model, to distinguish it from others


def compare_runs(
    runs: Sequence[Run], metric: str = "auroc", margin: float = DEFAULT_MARGIN
) -> Comparison:
    """Compare finished runs on their test split, or on all folds together.

    Parameters
    ----------
    runs : sequence of Run
        Runs of one task on one prepared dataset.
    metric : {"auroc", "auprc", "f1"}, default "auroc"
        The score, macro mean over the classes.
    margin : float, default 0.01
        The smallest gain worth having.

    Returns
    -------
    Comparison
        Scores of every model, and what each fusion adds.

    Raises
    ------
    RunError
        If the runs cannot be compared, the metric is unknown or `margin` is not above zero.

    Examples
    --------
    >>> from ecglib.runs import find_runs
    >>> comparison = compare_runs(find_runs("runs/fusion_ptbxl"), metric="f1")  # doctest: +SKIP
    >>> print(comparison.to_text())  # doctest: +SKIP
    """
    settings = ComparisonSettings(metric=metric, margin=margin)
    n_folds = {run.experiment.data.n_folds for run in runs}
    if len(n_folds) > 1:
        raise RunError(
            f"Runs with n_folds={sorted(n_folds)} cannot be compared (0: the splits of the "
            "dataset), as they were trained on different fractions of the patients. Compare runs "
            "with the same n_folds."
        )
    names = name_models([run.experiment for run in runs])
    models: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        key = (run.experiment.model_hash, run.experiment.training.seed)
        models.setdefault(key, []).append(run)
    contestants = [
        build_contestant(folds, names[model_hash]) for (model_hash, _), folds in models.items()
    ]
    table = build_score_table(contestants)
    predictions = contestants[0].predictions
    return Comparison(
        metric=metric,
        n_folds=n_folds.pop(),
        n_patients=predictions.n_patients,
        classes=predictions.classes,
        best_single=find_best_single(contestants, metric),
        table=table.sort_values(metric, ascending=False, ignore_index=True),
        differences=compute_differences(contestants, settings),
        baselines=compare_with_baselines(contestants, settings),
        caveats=collect_caveats(contestants),
    )


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
    plain = all(isinstance(settings[name], str | int | float) for name in different)
    if len(different) <= MAX_NAMED_SETTINGS and plain:
        return "".join(f", {name} {settings[name]}" for name in different)
    return f" #{experiment.model_hash[:4]}"


def build_contestant(runs: Sequence[Run], name: str) -> Contestant:
    """Build the contestant of one run, or of the runs of all folds of a cross-validation.

    Parameters
    ----------
    runs : sequence of Run
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
    experiment = runs[0].experiment
    n_folds, seed = experiment.data.n_folds, experiment.training.seed
    missing = set(range(1, n_folds + 1)) - {run.experiment.data.fold for run in runs}
    if missing:
        raise RunError(
            f"{name} (seed {seed}) has no run of the folds {sorted(missing)} of {n_folds}, so some "
            "patients have no prediction. Run the missing folds, or remove the model."
        )
    predictions = [run.predictions("test") for run in runs]
    thresholds = [
        np.tile(run.contract.thresholds, (one.n_windows, 1))
        for run, one in zip(runs, predictions, strict=True)
    ]
    order = np.argsort(np.concatenate([one.rows for one in predictions]), kind="stable")
    return Contestant(
        name=name,
        role=experiment.role,
        branches=experiment.branch_names,
        ensemble_size=experiment.model.ensemble_size,
        seed=seed,
        parameters=round(np.mean([run.metrics["model"]["parameters"] for run in runs])),
        predictions=Predictions(
            kind=predictions[0].kind,
            classes=predictions[0].classes,
            rows=np.concatenate([one.rows for one in predictions])[order],
            records=np.concatenate([one.records for one in predictions])[order],
            patients=np.concatenate([one.patients for one in predictions])[order],
            y=np.concatenate([one.y for one in predictions])[order],
            p=np.concatenate([one.p for one in predictions])[order],
        ),
        thresholds=np.concatenate(thresholds)[order],
        validation_scores={
            metric: _average_validation_score(runs, metric) for metric in MACRO_METRICS
        },
        caveats=tuple(dict.fromkeys(caveat for run in runs for caveat in run.caveats)),
    )


def _average_validation_score(runs: Sequence[Run], metric: str) -> float:
    """Return the macro score on the validation split, averaged over folds."""
    values = [run.metrics["validation"]["macro"][metric]["estimate"] for run in runs]
    return float(np.mean([float("nan") if value is None else value for value in values]))
