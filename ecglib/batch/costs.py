"""What a run will cost in time and on disk, from earlier runs of the same model."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from ecglib import runs
from ecglib.experiment import Experiment

STAGES_OF_EPOCHS = ("steps", "validation")  # of a training, in proportion to its epochs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What one or several runs cost.

    Parameters
    ----------
    seconds : float
        Wall time, in s, of one run after the other.
    n_bytes : float
        Size of their folders.
    fixed_s : float
        Part of the time that does not depend on the number of epochs.

    Examples
    --------
    >>> Cost(seconds=20.0, n_bytes=1e6) + Cost(seconds=30.0, n_bytes=1e6, fixed_s=5.0)
    Cost(seconds=50.0, n_bytes=2000000.0, fixed_s=5.0)
    """

    seconds: float
    n_bytes: float
    fixed_s: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            seconds=self.seconds + other.seconds,
            n_bytes=self.n_bytes + other.n_bytes,
            fixed_s=self.fixed_s + other.fixed_s,
        )


class Costs:
    """What finished runs have cost, to estimate what others will.

    Parameters
    ----------
    finished : iterable of (dict, Cost)
        The settings of each finished run, flat, and its cost.

    Examples
    --------
    One seed of a model is estimated from another seed, or from the same branches with other
    settings, in proportion to the number of epochs:

    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings | {"epochs": 10})
    >>> cost = Cost(seconds=62.0, n_bytes=1e6, fixed_s=12.0)
    >>> costs = Costs([(experiment.to_flat(), cost)])
    >>> costs.estimate(experiment.replace(seed=1)).seconds
    62.0
    >>> costs.estimate(experiment.replace(width=8, epochs=20)).seconds
    112.0
    >>> costs.estimate(experiment.replace(branches={"frequency": "cnn"})) is None
    True
    """

    def __init__(self, finished: Iterable[tuple[Mapping[str, Any], Cost]]):
        self._same_model: dict[str, list[Cost]] = {}
        self._per_epoch: dict[str, list[Cost]] = {}
        for settings, cost in finished:
            self._same_model.setdefault(_name_model(settings), []).append(cost)
            epoch_s = (cost.seconds - cost.fixed_s) / settings["epochs"]
            per_epoch = dataclasses.replace(cost, seconds=epoch_s)
            self._per_epoch.setdefault(_name_branches(settings), []).append(per_epoch)

    def estimate(self, experiment: Experiment) -> Cost | None:
        """Estimate the cost of a run.

        Parameters
        ----------
        experiment : Experiment
            What it carries out.

        Returns
        -------
        Cost or None
            The mean of the runs of the same model, or of runs with the same branches, fusion, task
            and store, in proportion to the epochs; None if there is neither.
        """
        if not self._same_model:
            return None
        settings = experiment.to_flat()
        if same := self._same_model.get(_name_model(settings)):
            return _average(same)
        if similar := self._per_epoch.get(_name_branches(settings)):
            mean = _average(similar)
            seconds = mean.fixed_s + mean.seconds * settings["epochs"]
            return dataclasses.replace(mean, seconds=seconds)
        return None

    def average(self) -> Cost | None:
        """Average over all models; None if there is no finished run.

        Examples
        --------
        >>> Costs([]).average() is None
        True
        """
        costs = [cost for same in self._same_model.values() for cost in same]
        return _average(costs) if costs else None


def read_costs(runs_dir: Path, fingerprint: str) -> Costs:
    """Read what the finished runs on a store have cost, in all batches.

    Parameters
    ----------
    runs_dir : Path
        Folder of all batches.
    fingerprint : str
        Fingerprint of the store.

    Returns
    -------
    Costs
        Of the runs that can be read; their files are not compared with their hashes.

    Examples
    --------
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> read_costs(Path("runs/none"), "f").estimate(Experiment.from_flat(settings)) is None
    True
    """
    finished = []
    for metrics in runs_dir.glob(f"*/[!.]*/{runs.METRICS}"):
        try:
            settings = json.loads((metrics.parent / runs.EXPERIMENT).read_bytes())["experiment"]
            if settings["fingerprint"] != fingerprint:
                continue
            cost = _read_cost(metrics.parent)
            Experiment.from_flat(settings)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # of another version, or damaged
        finished.append((settings, cost))
    return Costs(finished)


def _read_cost(run: Path) -> Cost:
    """Read the cost of a run: its notebook, or of a training without one the training alone."""
    model = json.loads((run / runs.METRICS).read_bytes())["model"]
    seconds = training_s = float(model["seconds"])
    notebook = run / runs.NOTEBOOK
    if notebook.is_file():
        papermill = json.loads(notebook.read_bytes()).get("metadata", {}).get("papermill", {})
        seconds = float(papermill.get("duration", training_s))
    stages = model.get("seconds_by_stage", {})
    epochs_s = sum(stages[name] for name in STAGES_OF_EPOCHS) if stages else training_s
    n_bytes = sum(file.stat().st_size for file in run.iterdir())
    return Cost(seconds=seconds, n_bytes=n_bytes, fixed_s=seconds - epochs_s)


def _name_model(settings: Mapping[str, Any]) -> str:
    """Describe everything that decides a result but seed and fold."""
    rest = {name: value for name, value in settings.items() if name not in ("seed", "fold")}
    return json.dumps(rest, sort_keys=True)


def _name_branches(settings: Mapping[str, Any]) -> str:
    names = ("fingerprint", "task", "branches", "fusion", "ensemble_size")
    return json.dumps([settings[name] for name in names], sort_keys=True)


def _average(costs: list[Cost]) -> Cost:
    return Cost(
        seconds=fmean(cost.seconds for cost in costs),
        n_bytes=fmean(cost.n_bytes for cost in costs),
        fixed_s=fmean(cost.fixed_s for cost in costs),
    )
