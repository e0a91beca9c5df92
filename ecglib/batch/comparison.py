"""Compare runs: group them by task and store, name the models, join folds, and score them."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecglib.batch.state import find_compared_runs, read_settings
from ecglib.errors import RunError
from ecglib.evaluation.checks import Check
from ecglib.evaluation.comparison import Comparison, compare_contestants
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.evaluation.verdict import ComparisonSettings
from ecglib.runs import EXPERIMENT, ContestantFolder, Run, require_run
from ecglib.runs.contestants import build_contestant, name_contestants

EXPLORE = "explore"  # the batch of interactive sessions, where trying again is the point


def compare(
    runs: Sequence[ContestantFolder],
    *,
    metric: str = ComparisonSettings.metric,
    margin: float = ComparisonSettings.margin,
    checks: Sequence[Check] = (),
) -> Comparison:
    """Compare finished runs on their test split, or on all folds together.

    Parameters
    ----------
    runs : sequence of Run or Entry
        Runs of one task on one prepared dataset, and predictions that were entered
        (`ecglib.enter`); one that is given twice counts once.
    metric : str, default "auroc"
        The score that decides, its mean over the classes; to be chosen before the scores are known,
        as `margin` is.
    margin : float, default 0.01
        The smallest gain worth having, above zero.
    checks : sequence of Check, default ()
        What the caller has checked.

    Returns
    -------
    Comparison
        Scores of every model, and what each fusion adds; without fusions, which model is better.
        In Jupyter it shows tables, verdicts and a figure.

    Raises
    ------
    RunError
        If something else than runs is given, or they cannot be compared.

    Examples
    --------
    >>> from ecglib.runs import find_runs
    >>> compare(find_runs("runs/fusion_ptbxl"), metric="f1")  # doctest: +SKIP
    >>> compare(["runs/fusion_ptbxl"])
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: 'runs/fusion_ptbxl' is a name, ... ecglib.open_run(...) ...
    """
    _check_runs(runs)
    runs = list({run.hash: run for run in runs}.values())  # each once
    settings = ComparisonSettings(metric=metric, margin=margin)
    groups = {_describe_group(run) for run in runs}
    if len(groups) > 1:
        raise RunError(
            f"Runs of {len(groups)} tasks, stores or cross-validations cannot be compared with "
            f"each other: {', '.join(sorted(' '.join(group) for group in groups))}. Compare runs "
            "of one of them, or give each to `ecglib compare`."
        )
    names = name_contestants(runs)
    models: dict[tuple[str, int], list[ContestantFolder]] = {}
    for run in runs:
        models.setdefault((run.model_hash, run.seed), []).append(run)
    contestants = [
        build_contestant(folds, names[model_hash]) for (model_hash, _), folds in models.items()
    ]
    data = runs[0].data
    return compare_contestants(
        contestants,
        settings,
        dataset=f"{data.dataset}-{data.fingerprint}",
        task=data.task,
        checks=[*checks, *_list_checks(runs)],
    )


def _check_runs(runs: object) -> None:
    """Refuse what is no list of runs, and say how to get one."""
    if isinstance(runs, ContestantFolder):
        raise RunError("One run was given, expected a list. Give compare([run, other_run]).")
    if not isinstance(runs, list | tuple) or not runs:
        shown = repr(runs) if isinstance(runs, str | list | tuple) else type(runs).__name__
        raise RunError(
            f"{shown} was given, expected a list of at least one run. Give what ecglib.train "
            f"returned, or the runs of a batch: ecglib.find_runs(folder)."
        )
    for run in runs:
        if not isinstance(run, ContestantFolder):
            require_run(run)


def compare_batches(
    folders: Sequence[Path], settings: ComparisonSettings | None = None, only: Sequence[str] = ()
) -> list[Comparison]:
    """Compare the runs of several batches, each task and store by itself.

    Parameters
    ----------
    folders : sequence of Path
        Folders of batches, on one dataset or on several.
    settings : ComparisonSettings, optional
        Metric and margin; by default those that the batches were started with.
    only : sequence of str, default ()
        Names of fusions, as the comparison shows them: verdicts and rows of other fusions are not
        shown. By default all are.

    Returns
    -------
    list of Comparison
        One for each task, store and number of folds.

    Raises
    ------
    RunError
        If a folder has no finished run, runs cannot be compared, batches were started with
        different metrics or margins and none is given, or no fusion has a name of `only`.

    Examples
    --------
    >>> compare_batches([Path("runs/none")])
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """
    groups: dict[tuple[str, ...], dict[str, ContestantFolder]] = {}
    for folder in folders:
        for run in find_compared_runs(folder):
            # A run that is in several batches is compared once.
            groups.setdefault(_describe_group(run), {})[run.hash] = run
    settings = settings or choose_settings(folders)
    checks = [_check_choice(settings, _read_all_settings(folders))]
    comparisons = [
        compare(list(runs.values()), metric=settings.metric, margin=settings.margin, checks=checks)
        for runs in groups.values()
    ]
    if not only:
        return comparisons
    known = {verdict.fusion for one in comparisons for verdict in one.verdicts}
    if unknown := [name for name in only if name not in known]:
        raise RunError(
            f"No fusion is called {', '.join(unknown)}; the batches have "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return [_select_fusions(one, only) for one in comparisons]


def choose_settings(
    folders: Sequence[Path], metric: str = "", margin: float = 0.0
) -> ComparisonSettings:
    """Choose metric and margin: what is given, or else what the batches were started with.

    Parameters
    ----------
    folders : sequence of Path
        Folders of batches.
    metric : str, default ""
        Metric that is given; empty for that of the batches.
    margin : float, default 0.0
        Margin that is given; 0 for that of the batches.

    Returns
    -------
    ComparisonSettings
        With the default of what neither is given nor recorded.

    Raises
    ------
    RunError
        If the batches were started with different ones and one is not given, or if a value is
        wrong.

    Examples
    --------
    >>> choose_settings([Path("runs/none")], metric="f1")
    ComparisonSettings(metric='f1', margin=0.01)
    """
    values: dict[str, Any] = {"metric": metric, "margin": margin}
    for name, given in values.items():
        recorded = {getattr(one, name) for one in _read_all_settings(folders)}
        if not given and len(recorded) > 1:
            raise RunError(
                f"The batches were started with different values of {name}: "
                f"{', '.join(map(str, sorted(recorded)))}. Give one of them: --{name} VALUE."
            )
        values[name] = given or next(iter(recorded), getattr(ComparisonSettings(), name))
    return ComparisonSettings(**values)


def _read_all_settings(folders: Iterable[Path]) -> set[ComparisonSettings]:
    return {one for folder in folders if (one := read_settings(folder)) is not None}


def _check_choice(settings: ComparisonSettings, chosen: Iterable[ComparisonSettings]) -> Check:
    """Check that metric and margin were chosen before the scores were known."""
    texts = sorted(_describe_settings(one) for one in chosen)
    if not texts:
        detail = "no batch file named them"
    elif texts == [_describe_settings(settings)]:
        detail = texts[0]
    else:
        detail = f"{_describe_settings(settings)}, started with {' and '.join(texts)}"
    return Check(
        title="Metric and margin chosen before",
        passed=texts == [_describe_settings(settings)],
        detail=detail,
    )


def _describe_settings(settings: ComparisonSettings) -> str:
    return f"{METRIC_NAMES[settings.metric]} and a margin of {settings.margin:g}"


def _select_fusions(comparison: Comparison, only: Sequence[str]) -> Comparison:
    """Keep the verdicts, rows and class rows of some fusions, and of all that are no fusions."""
    table, classes = comparison.table, comparison.class_table
    return dataclasses.replace(
        comparison,
        verdicts=[one for one in comparison.verdicts if one.fusion in only],
        table=table[(table["role"] != "fusion") | table["model"].isin(only)].reset_index(drop=True),
        class_table=classes[classes["fusion"].isin(only)].reset_index(drop=True),
    )


def _describe_group(run: ContestantFolder) -> tuple[str, ...]:
    """Return what runs must share to be compared at all: store, task and cross-validation."""
    data = run.data
    folds = f"{data.n_folds} folds" if data.n_folds else "test split"
    return f"{data.dataset}-{data.fingerprint}", data.task, folds


def _list_checks(runs: Sequence[ContestantFolder]) -> list[Check]:
    leaks = sorted({leak for run in runs for leak in run.data.allow_leaks})
    trained_here = [run for run in runs if isinstance(run, Run)]
    checks = [
        Check(
            title="Patients disjoint",
            passed=not leaks,
            detail=f"allowed: {', '.join(leaks)}" if leaks else "no leak between the splits",
        ),
        *([_check_environments(trained_here)] if trained_here else []),
    ]
    if not runs[0].data.n_folds:
        others = _find_other_batches(runs)
        names = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        batches = "batch" if len(others) == 1 else "batches"
        checks.append(
            Check(
                title="Test scored once",
                passed=not others,
                detail=f"also scored in {len(others)} other {batches}: {names}"
                if others
                else "no other batch here scored these test windows",
            )
        )
    return checks


def _check_environments(runs: Sequence[Run]) -> Check:
    """Check that all runs had the same code, versions and threads, and name what differs."""
    first = runs[0].environment
    differences = [run.environment.describe_difference(first) for run in runs]
    found = sorted({text for text in differences if text})
    n_different = sum(bool(text) for text in differences)
    more = f", and {len(found) - 1} other combinations" if len(found) > 1 else ""
    return Check(
        title="One environment",
        passed=not found,
        detail=f"{n_different} of {len(runs)} trainings differ: {found[0]}{more}"
        if found
        else f"code {first.code}, threads {first.threads}, one version of each package",
    )


def _find_other_batches(runs: Sequence[ContestantFolder]) -> list[str]:
    """Find the other batches of the same folder that scored the same store's test split."""
    folders = {run.path.parent for run in runs}
    data = runs[0].data
    found = {
        path.parent.parent.name
        for parent in {folder.parent for folder in folders}
        for path in parent.glob(f"*/*/{EXPERIMENT}")
        if path.parent.parent not in folders
        and path.parent.parent.name != EXPLORE
        and _is_of(path, data.fingerprint, data.task)
    }
    return sorted(found)


def _is_of(path: Path, fingerprint: str, task: str) -> bool:
    values = json.loads(path.read_text()).get("experiment", {})
    is_same = (values.get("fingerprint"), values.get("task")) == (fingerprint, task)
    return is_same and not values.get("n_folds")
