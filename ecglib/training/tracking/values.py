"""What is tracked of a run, under the same names in TensorBoard and MLflow."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ecglib.experiment import Experiment
from ecglib.runs import Run


def list_scores(metrics: Mapping[str, Any]) -> dict[str, float]:
    """List the cost of a run's model and its macro scores with their intervals.

    Parameters
    ----------
    metrics : mapping
        The metrics of a run (`ecglib.runs.Run.metrics`).

    Returns
    -------
    dict of str to float
        Name -> value: ``test/auroc/estimate``, ``test/auroc/low`` and ``test/auroc/high``; the same
        of ``validation`` and of each metric; ``model/parameters`` and others. What does not exist
        is left out.

    Examples
    --------
    >>> macro = {"macro": {"auroc": {"estimate": 0.9, "low": 0.8, "high": None}}}
    >>> metrics = {"model": {"parameters": 840}, "validation": {"macro": {}}, "test": macro}
    >>> list_scores(metrics)
    {'model/parameters': 840.0, 'test/auroc/estimate': 0.9, 'test/auroc/low': 0.8}
    """
    scores = {
        f"model/{name}": float(value)
        for name, value in metrics["model"].items()
        if isinstance(value, int | float)
    }
    for split in ("validation", "test"):
        for metric, interval in metrics[split]["macro"].items():
            for name, value in interval.items():
                if value is not None:
                    scores[f"{split}/{metric}/{name}"] = value
    return scores


def list_epochs(history: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    """List the epochs of a history.

    Parameters
    ----------
    history : DataFrame
        One row for each epoch and model (`ecglib.runs.Run.history`).

    Yields
    ------
    tuple of int and dict of str to float
        Epoch, from 1, and name -> value (`name_values`).

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "val_auroc": [0.7, 0.8], "member": [0, 0]})
    >>> list(list_epochs(history))
    [(1, {'epoch/val_auroc': 0.7}), (2, {'epoch/val_auroc': 0.8})]
    """
    n_members = history["member"].nunique()
    for row in history.to_dict("records"):
        values = {str(name): value for name, value in row.items()}
        epoch, member = values.pop("epoch"), values.pop("member")
        yield int(epoch), name_values(values, int(member), n_members)


def name_values(values: Mapping[str, float], member: int, n_members: int) -> dict[str, float]:
    """Name the values of an epoch as they are tracked; those that are NaN are left out.

    Parameters
    ----------
    values : mapping of str to float
        Values of one epoch, such as ``val_auroc``.
    member : int
        Number of the model in its ensemble, from 0.
    n_members : int
        Size of the ensemble.

    Examples
    --------
    >>> name_values({"loss": 0.4, "val_auroc": float("nan")}, member=0, n_members=1)
    {'epoch/loss': 0.4}
    >>> name_values({"loss": 0.4}, member=1, n_members=2)
    {'member1/loss': 0.4}
    """
    group = "epoch" if n_members == 1 else f"member{member}"
    return {
        f"{group}/{name}": float(value) for name, value in values.items() if not math.isnan(value)
    }


def list_settings(experiment: Experiment) -> dict[str, str | bool | int | float]:
    """List the settings of an experiment, lists and mappings as JSON.

    Parameters
    ----------
    experiment : Experiment
        What was trained.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "0", "task": "t", "branches": {"time": "cnn"}}
    >>> listed = list_settings(Experiment.from_flat(settings))
    >>> listed["branches"], listed["epochs"]
    ('{"time": "cnn"}', 20)
    """
    return {
        name: value if isinstance(value, str | bool | int | float) else json.dumps(value)
        for name, value in experiment.to_flat().items()
    }


def describe_run(run: Run) -> str:
    """Describe in Markdown where a run is, and with which caveats its numbers come.

    Parameters
    ----------
    run : Run
        The run.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from pathlib import Path
    >>> print(describe_run(SimpleNamespace(path=Path("/runs/b/r"), caveats=("synthetic data",))))
    Run: /runs/b/r
    <BLANKLINE>
    Caveats: synthetic data
    """
    return f"Run: {run.path.resolve()}\n\nCaveats: {', '.join(run.caveats) or 'none'}"
