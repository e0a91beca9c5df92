"""Compare the runs of a batch: name the models, join folds, and hold every model to the others."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecglib.errors import RunError
from ecglib.evaluation.baselines import against_baselines
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.metrics import MACRO_METRICS
from ecglib.evaluation.report import Comparison
from ecglib.evaluation.verdict import best_single, differences, table
from ecglib.runs import ARRAYS

MARGIN = 0.01
MOST_NAMED = 2  # values that tell models of one name apart


def compare_runs(runs: Sequence, metric: str = "auroc", margin: float = MARGIN) -> Comparison:
    """Compare finished runs (`ecglib.runs.Run`) on their test part, or on all folds together.

    Parameters
    ----------
    runs : runs of one task on one prepared dataset.
    metric : "auroc", "auprc" or "f1", macro mean over the classes.
    margin : the smallest gain worth having.

    Raises
    ------
    RunError
        If the runs cannot be compared.
    """
    if len(folds := {run.experiment.data.n_folds for run in runs}) > 1:
        raise RunError(
            f"Runs of {sorted(folds)} folds (0: the parts of the dataset) cannot be compared: they "
            f"were trained on other shares of the patients. Compare runs of one kind."
        )
    names = model_names([run.experiment for run in runs])
    trained: dict[tuple, list] = {}
    for run in runs:
        trained.setdefault((run.experiment.model_hash, run.experiment.training.seed), []).append(run)
    scored = [contestant_from_runs(own, names[key]) for (key, _), own in trained.items()]
    return Comparison(
        metric=metric,
        n_folds=folds.pop(),
        n_patients=len(set(scored[0].patients)),
        classes=tuple(scored[0].classes),
        best=best_single(scored, metric),
        table=table(scored).sort_values(metric, ascending=False, ignore_index=True),
        differences=differences(scored, metric, margin),
        baselines=against_baselines(scored, metric),
        caveats=tuple(dict.fromkeys(caveat for one in scored for caveat in one.caveats)),
    )


def model_names(experiments: Sequence) -> dict[str, str]:
    """The shortest names that tell the models apart, by model hash.

    A fusion of several views goes by its name alone where no other joins other branches by it.
    What is still alike gets the few values in which it differs, or else a piece of its hash.
    """
    models = {one.model_hash: one for one in experiments}
    of_views = {key: one for key, one in models.items() if len(one.representations) > 1}
    joined = Counter(fusion for fusion, _ in {(one.model.fusion, one.model_name) for one in of_views.values()})
    names = {
        key: one.model.fusion
        if key in of_views and joined[one.model.fusion] == 1
        else one.model_name
        for key, one in models.items()
    }
    alike = {name: [models[key] for key in names if names[key] == name] for name in names.values()}
    return {key: name + _apart(models[key], alike[name]) for key, name in names.items()}


def _apart(one, alike: list) -> str:
    """What tells an experiment from those of the same name."""
    if len(alike) == 1:
        return ""
    own, values = one.to_flat(), [other.to_flat() for other in alike]
    names = [key for key in own if key not in ("seed", "fold")]
    differ = [key for key in names if any(v[key] != own[key] for v in values)]
    if len(differ) <= MOST_NAMED and all(isinstance(own[key], str | int | float) for key in differ):
        return "".join(f", {key} {own[key]}" for key in differ)
    return f" #{one.model_hash[:4]}"


def contestant_from_runs(runs: Sequence, name: str) -> Contestant:
    """What a comparison needs of a run, or of the runs of all folds of a cross-validation.

    Raises
    ------
    RunError
        A fold has no run.
    """
    own = runs[0].experiment
    if missing := set(range(1, own.data.n_folds + 1)) - {run.experiment.data.fold for run in runs}:
        raise RunError(
            f"{name} (seed {own.training.seed}) lacks the folds {sorted(missing)} of {own.data.n_folds}: patients "
            f"are not all predicted. Run them, or take the model out of the batch."
        )
    tests = [run.predictions("test") for run in runs]
    limits = [run.contract.thresholds for run in runs]
    limits = [np.tile(limit, (len(test.y), 1)) for limit, test in zip(limits, tests, strict=True)]
    joined = {name: np.concatenate([getattr(test, name) for test in tests]) for name in ARRAYS}
    in_order = np.argsort(joined["rows"], kind="stable")
    return Contestant(
        name=name,
        role=own.role,
        branches=own.branch_names,
        ensemble_size=own.model.ensemble_size,
        seed=own.training.seed,
        parameters=round(np.mean([run.metrics["model"]["parameters"] for run in runs])),
        kind=runs[0].contract.kind,
        classes=runs[0].contract.classes,
        **{name: values[in_order] for name, values in joined.items()},
        thresholds=np.concatenate(limits)[in_order],
        validation={metric: _validation(runs, metric) for metric in MACRO_METRICS},
        caveats=tuple(dict.fromkeys(caveat for run in runs for caveat in run.caveats)),
    )


def _validation(runs: Sequence, metric: str) -> float:
    """The macro score on the validation part, the mean over folds."""
    values = [run.metrics["validation"]["macro"][metric]["estimate"] for run in runs]
    return float(np.mean([float("nan") if value is None else value for value in values]))
