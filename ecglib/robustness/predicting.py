"""Predict the test windows of models, as they are and disturbed."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant, group_by_model
from ecglib.evaluation.predictions import Predictions
from ecglib.inference.rounding import compute_tolerance
from ecglib.robustness.joined_networks import JoinedNetworks
from ecglib.runs import Run, require_run
from ecglib.runs.contestants import build_contestant, name_contestants

NO_FOLD = 0

Change = Callable[[keras.Model, Run], keras.Model]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TestedModel:
    """One model with one seed: its run, or its runs of all folds of a cross-validation.

    Parameters
    ----------
    contestant : Contestant
        Its stored predictions of the windows that are tested, and its thresholds.
    runs : mapping of int to Run
        Fold -> run; 0 is the fold of a run without a cross-validation.
    networks : mapping of int to keras.Model
        Fold -> network, from the representations to probabilities.
    is_changed : bool, default False
        Whether the networks are other ones than those of the runs.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> runs, dataset = find_runs("runs/fusion"), open_dataset("mitdb")  # doctest: +SKIP
    >>> tested = load_tested_models(runs, dataset)  # doctest: +SKIP
    >>> tested.models[0].contestant.name  # doctest: +SKIP
    'time:cnn'
    """

    __test__ = False  # no test, for pytest

    contestant: Contestant
    runs: Mapping[int, Run]
    networks: Mapping[int, keras.Model]
    is_changed: bool = False

    def change_networks(self, name: str, change: Change) -> TestedModel:
        """Return the same model with changed networks, between the same filters and calibration.

        Parameters
        ----------
        name : str
            Its name.
        change : callable
            Takes a network and its run, and returns the changed network.
        """
        return TestedModel(
            contestant=dataclasses.replace(self.contestant, name=name),
            runs=self.runs,
            networks={fold: change(one, self.runs[fold]) for fold, one in self.networks.items()},
            is_changed=True,
        )


class TestedModels:
    """Models that predict the same windows, in a cross-validation each window by its fold.

    Parameters
    ----------
    dataset : Dataset
        The store that they were trained on.
    models : sequence of TestedModel
        Models with the same test windows, each seed by itself.
    n_test_windows : int, default 0
        Number of all test windows, of which those of the models may have been drawn.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> runs, dataset = find_runs("runs/fusion"), open_dataset("mitdb")  # doctest: +SKIP
    >>> tested = load_tested_models(runs, dataset)  # doctest: +SKIP
    >>> tested.predict(tested.dataset.read(tested.rows)).shape  # doctest: +SKIP
    (25, 4000, 4)
    """

    __test__ = False

    def __init__(self, dataset: Dataset, models: Sequence[TestedModel], n_test_windows: int = 0):
        self.dataset, self.models = dataset, list(models)
        self.n_test_windows = n_test_windows or len(self.rows)
        self._joined = {
            fold: JoinedNetworks(
                dataset,
                [one.runs[fold].contract for one in models],
                [one.networks[fold] for one in models],
            )
            for fold in models[0].networks
        }

    @property
    def rows(self) -> np.ndarray:
        """Rows of the tested windows in the window table: (n_windows,)."""
        return self._windows.rows

    @property
    def _windows(self) -> Predictions:
        return self.models[0].contestant.predictions

    def predict(self, windows_mv: np.ndarray, places: slice = slice(None)) -> np.ndarray:
        """Predict windows by all models.

        Parameters
        ----------
        windows_mv : array of shape (n_windows, n_samples, n_leads)
            Tested windows in mV, disturbed or not.
        places : slice, optional
            Which of the tested windows they are; by default all. In a cross-validation it decides
            which fold predicts a window. It also gives a window its tabular values, but the heart
            rate, unless the source of the dataset names it, is computed from the given window.

        Returns
        -------
        float32 array of shape (n_models, n_windows, n_classes)
            Calibrated probabilities.
        """
        return self._predict(windows_mv, places)[1]

    def predict_stored(self) -> np.ndarray:
        """Predict the windows as they are, and check that runs give their stored predictions.

        Returns
        -------
        float32 array of shape (n_models, n_windows, n_classes)
            Calibrated probabilities.

        Raises
        ------
        RunError
            If a probability differs by more than rounding explains.
        """
        raw_p, p = self._predict(self.dataset.read(self.rows), slice(None))
        folds = self._list_folds(slice(None))
        for i, one in enumerate(self.models):
            for fold, run in one.runs.items() if not one.is_changed else ():
                chosen = folds == fold
                stored = one.contestant.predictions.p[chosen]
                difference = np.abs(p[i, chosen] - stored)
                tolerance = compute_tolerance(stored, raw_p[i, chosen], run.contract)
                if not (difference <= tolerance).all():
                    raise RunError(
                        f"The model of {run.path.name} does not give its stored test predictions: "
                        f"they differ by up to {difference.max():.2g}. Use the library versions "
                        f"and the kind of device that the run was made with (experiment.json)."
                    )
        return p

    def _predict(self, windows_mv: np.ndarray, places: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities before and after calibration."""
        rows, folds = self.rows[places], self._list_folds(places)
        n_classes = self._windows.y.shape[1]
        raw_p, p = np.zeros((2, len(self.models), len(rows), n_classes), np.float32)
        for fold in np.unique(folds).tolist():
            chosen = folds == fold
            found = self._joined[fold].predict(windows_mv[chosen], rows[chosen])
            raw_p[:, chosen], p[:, chosen] = found
        return raw_p, p

    def _list_folds(self, places: slice) -> np.ndarray:
        folds = self._windows.folds
        return (np.full(len(self.rows), NO_FOLD) if folds is None else folds)[places]


def load_tested_models(
    runs: Sequence[Run], dataset: Dataset, max_windows: int = 0, seed: int = 0
) -> TestedModels:
    """Load the runs of one dataset, task and split, or of one cross-validation.

    Parameters
    ----------
    runs : sequence of Run
        Runs of networks; several seeds of a model count as one model. Of a cross-validation all
        folds are needed.
    dataset : Dataset
        The store that they were trained on.
    max_windows : int, default 0
        Number of test windows that are drawn at random if there are more; 0 for all.
    seed : int, default 0
        Seed of that draw.

    Returns
    -------
    TestedModels
        In the order of the first run of each.

    Raises
    ------
    RunError
        If there is no run, one is of a baseline, of predictions that were entered or of another
        dataset, a fold is missing, or they differ in task or test windows.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> load_tested_models([open_run()], open_dataset("mitdb"))  # doctest: +SKIP
    """
    names = name_contestants([require_run(run) for run in runs])
    folds_of_model: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        if run.contract.fingerprint != dataset.fingerprint:
            raise RunError(
                f"{run.path.name} was trained on {run.contract.dataset}-{run.contract.fingerprint},"
                f" not on {dataset.path.name}. Open the dataset that it was trained on."
            )
        folds_of_model.setdefault((run.model_hash, run.seed), []).append(run)
    contestants = [
        build_contestant(folds, names[model_hash])
        for (model_hash, _), folds in folds_of_model.items()
    ]
    group_by_model(contestants)
    n_windows = contestants[0].predictions.n_windows
    if max_windows and n_windows > max_windows:
        places = np.sort(np.random.default_rng(seed).permutation(n_windows)[:max_windows])
        contestants = [_select_windows(one, places) for one in contestants]
    models = [
        TestedModel(
            contestant=contestant,
            runs={run.data.fold: run for run in folds},
            networks={run.data.fold: run.load_network() for run in folds},
        )
        for contestant, folds in zip(contestants, folds_of_model.values(), strict=True)
    ]
    return TestedModels(dataset, models, n_windows)


def replace_predictions(contestant: Contestant, name: str, p: np.ndarray) -> Contestant:
    """Return a contestant with another name and other probabilities of the test windows.

    Parameters
    ----------
    contestant : Contestant
        The contestant.
    name : str
        Its new name.
    p : array of shape (n_windows, n_classes)
        Calibrated probabilities.

    Examples
    --------
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> contestant = simulate_study(StudySettings(n_patients=20), seed=0)[0]
    >>> certain = np.ones_like(contestant.predictions.p)
    >>> replace_predictions(contestant, "certain", certain).predictions.p.min()
    np.float32(1.0)
    """
    predictions = contestant.predictions.replace_probabilities(p)
    return dataclasses.replace(contestant, name=name, predictions=predictions)


def _select_windows(contestant: Contestant, places: np.ndarray) -> Contestant:
    """Return a contestant with only some of its test windows."""
    all_windows = contestant.predictions
    folds = all_windows.folds
    selected = dataclasses.replace(
        all_windows,
        rows=all_windows.rows[places],
        records=all_windows.records[places],
        patients=all_windows.patients[places],
        y=all_windows.y[places],
        p=all_windows.p[places],
        folds=None if folds is None else folds[places],
    )
    return dataclasses.replace(contestant, predictions=selected)
