"""Measure what disturbances cost the runs of one dataset, task and split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError
from ecglib.evaluation.contestants import Contestant, group_by_model
from ecglib.evaluation.scoreboard import check_metric, measure_models
from ecglib.evaluation.verdict import collect_caveats
from ecglib.robustness.curves import Curves, name_level
from ecglib.robustness.disturb import Disturber
from ecglib.robustness.predicting import TestedModels, load_tested_models, replace_predictions
from ecglib.robustness.registry import DISTURBANCES
from ecglib.runs import Run

WINDOWS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessSettings:
    """What is measured.

    Parameters
    ----------
    metric : str, default "auroc"
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`.
    disturbances : mapping of str to sequence of float, default {}
        Disturbance -> severities from mild to severe, no severities for the usual ones; empty for
        all disturbances that the windows can have.
    seed : int, default 0
        Seed of the disturbances, and of the draw of windows.
    noise_folder : str or Path, default ""
        Folder of the MIT-BIH Noise Stress Test Database, see `Disturber`.
    max_windows : int, default 4000
        Number of test windows that are drawn at random if there are more; 0 for all. Where
        patients have many windows each, as in MIT-BIH, a few thousand suffice: the intervals are
        over patients, and they contain what the draw adds.

    Examples
    --------
    >>> RobustnessSettings(disturbances={"white_noise": (12.0, 0.0), "clipping": ()}).metric
    'auroc'
    """

    metric: str = "auroc"
    disturbances: Mapping[str, Sequence[float]] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )
    seed: int = 0
    noise_folder: str | Path = ""
    max_windows: int = 4000


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Robustness:
    """What the models lose under each disturbance.

    Parameters
    ----------
    models : mapping of str to Contestant
        Name of each model -> its first seed: role, branches, stored predictions.
    curves : mapping of str to Curves
        By disturbance.
    unavailable : mapping of str to str
        Disturbance that the windows cannot have -> why.
    caveats : tuple of str
        Shown with every number.
    n_test_windows : int, default 0
        Number of windows of the test split, or of all folds, of which some may have been drawn.

    Examples
    --------
    >>> robustness = Robustness(models={}, curves={}, unavailable={}, caveats=("synthetic data",))
    >>> robustness.caveats
    ('synthetic data',)
    """

    models: Mapping[str, Contestant]
    curves: Mapping[str, Curves]
    unavailable: Mapping[str, str]
    caveats: tuple[str, ...]
    n_test_windows: int = 0

    def describe_windows(self) -> str:
        """Describe which windows are scored, and of how many patients.

        Returns
        -------
        str
            For example "4,000 of 47,463 test windows, drawn at random, of 22 patients".
        """
        predictions = next(iter(self.models.values())).predictions
        windows = f"{predictions.n_windows:,} test windows"
        if predictions.n_windows < self.n_test_windows:
            windows = (
                f"{predictions.n_windows:,} of {self.n_test_windows:,} test windows, drawn at "
                f"random,"
            )
        return f"{windows} of {predictions.n_patients:,} patients"

    def to_table(self) -> pd.DataFrame:
        """Return the tables of all curves as one.

        Returns
        -------
        DataFrame
            As `Curves.to_table`, with the column caveats.
        """
        table = pd.concat([one.to_table() for one in self.curves.values()], ignore_index=True)
        return table.assign(caveats="; ".join(self.caveats))

    def to_class_table(self) -> pd.DataFrame:
        """Return what each model loses for each class under each disturbance.

        Returns
        -------
        DataFrame
            One row for each disturbance, model and class that is scored: disturbance, title, model,
            class, loss (mean over the severities), low, high, effective_patients and caveats. The
            intervals are not corrected for the number of classes: the table says where to look, it
            decides nothing.
        """
        rows = []
        for curves in self.curves.values():
            boards = curves.scoreboard.by_class
            for model in curves.models:
                classes = self.models[model].predictions.classes
                losses = curves.compute_class_losses(model)
                for name, board, loss in zip(classes, boards, losses, strict=True):
                    if np.isnan(loss.estimate):
                        continue
                    rows.append(
                        {
                            "disturbance": curves.disturbance,
                            "title": DISTURBANCES[curves.disturbance].title,
                            "model": model,
                            "class": name,
                            "loss": loss.estimate,
                            "low": loss.low,
                            "high": loss.high,
                            "effective_patients": board.effective_patients.total,
                        }
                    )
        return pd.DataFrame(rows).assign(caveats="; ".join(self.caveats))


def measure_robustness(
    runs: Sequence[Run], dataset: Dataset, settings: RobustnessSettings | None = None
) -> Robustness:
    """Score runs on test windows that are disturbed in mV, the same windows for all runs.

    Parameters
    ----------
    runs : sequence of Run
        Runs of networks of one dataset, task and split, or of all folds of a cross-validation.
    dataset : Dataset
        The store that they were trained on.
    settings : RobustnessSettings, optional
        Metric, disturbances and their severities, number of windows.

    Returns
    -------
    Robustness
        The curves.

    Raises
    ------
    RunError
        As for `load_tested_models`, if a model does not give its stored predictions, or if the
        metric is unknown.
    ExperimentError
        If a disturbance or severity does not exist, or the windows lack what one that was named
        needs.
    DatasetError
        If the noise records cannot be read.

    Notes
    -----
    Every window goes through the whole model of the run, from mV to calibrated probabilities, with
    its thresholds. Nothing is fitted on disturbed windows. In a cross-validation each window is
    disturbed and predicted by the models that were not trained on its patient.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> robustness = measure_robustness(
    ...     find_runs("runs/fusion"), open_dataset("mitdb")
    ... )  # doctest: +SKIP
    >>> robustness.curves["white_noise"].compute_loss("time:cnn").format()  # doctest: +SKIP
    '+0.031 [+0.012, +0.050]'
    """
    settings = settings or RobustnessSettings()
    check_metric(settings.metric)
    disturber = Disturber(dataset.signal, settings.seed, settings.noise_folder)
    chosen, unavailable = _choose_disturbances(settings.disturbances, disturber)
    tested = load_tested_models(runs, dataset, settings.max_windows, settings.seed)
    contestants = [one.contestant for one in tested.models]
    clean = _replace_all(contestants, None, tested.predict_stored())
    curves = {}
    for name, severities in chosen.items():
        levels = list(clean)
        for severity in tqdm(severities, DISTURBANCES[name].title, unit="severity", leave=False):
            p = _predict_disturbed(tested, disturber, name, severity)
            levels += _replace_all(contestants, severity, p)
        curves[name] = Curves(
            disturbance=name,
            severities=tuple(severities),
            scoreboard=measure_models(group_by_model(levels), settings.metric),
        )
    return Robustness(
        models={name: seeds[0] for name, seeds in group_by_model(contestants).items()},
        curves=curves,
        unavailable=unavailable,
        caveats=collect_caveats(contestants),
        n_test_windows=tested.n_test_windows,
    )


def _choose_disturbances(
    wanted: Mapping[str, Sequence[float]], disturber: Disturber
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the severities of each disturbance, and why others are not available."""
    chosen = {
        name: [float(one) for one in wanted.get(name, ())] or disturber.list_severities(name)
        for name in wanted or DISTURBANCES
    }
    obstacles = {name: disturber.find_obstacle(name) for name in chosen}
    unavailable = {name: reason for name, reason in obstacles.items() if reason}
    if wanted and unavailable:
        raise ExperimentError(next(iter(unavailable.values())))
    for name, severities in chosen.items():
        if len(set(severities)) < len(severities):
            raise ExperimentError(
                f"The severities of {name} are {severities}, one of them twice. Give each once."
            )
    return {name: one for name, one in chosen.items() if name not in unavailable}, unavailable


def _predict_disturbed(
    tested: TestedModels, disturber: Disturber, name: str, severity: float
) -> np.ndarray:
    """Predict disturbed windows by all models: (n_models, n_windows, n_classes)."""
    predicted = []
    for start in range(0, len(tested.rows), WINDOWS_AT_ONCE):
        places = slice(start, start + WINDOWS_AT_ONCE)
        rows = tested.rows[places]
        windows_mv = disturber.disturb(tested.dataset.read(rows), rows, name, severity)
        predicted.append(tested.predict(windows_mv, places))
    return np.concatenate(predicted, axis=1)


def _replace_all(
    contestants: Iterable[Contestant], severity: float | None, p: np.ndarray
) -> list[Contestant]:
    """Return the contestants with the probabilities at a severity, named after it."""
    return [
        replace_predictions(
            one, one.name if severity is None else name_level(one.name, severity), values
        )
        for one, values in zip(contestants, p, strict=True)
    ]
