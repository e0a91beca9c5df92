"""Predict the test windows of a run, as they are and disturbed."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular.heart_rate import HEART_RATE, compute_heart_rate
from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant, group_by_model
from ecglib.inference.converters import BATCH_SIZE, unpack_single
from ecglib.inference.rounding import compute_tolerance
from ecglib.models.end_to_end import build_end_to_end
from ecglib.runs import Run, require_run
from ecglib.runs.contestants import build_contestant, name_contestants


class TestedRun:
    """A run, and its model from mV to calibrated probabilities.

    Parameters
    ----------
    run : Run
        The run.
    dataset : Dataset
        The store that it was trained on.
    contestant : Contestant
        Its predictions of both splits and its thresholds.
    network : keras.Model, optional
        From the representations to probabilities; by default the network of the run.

    Raises
    ------
    RunError
        If the run is a baseline, whose trees are not saved.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> tested = load_tested_runs([open_run()], open_dataset("mitdb"))  # doctest: +SKIP
    >>> tested[0].predict(windows_mv, rows).shape  # doctest: +SKIP
    (64, 5)
    """

    __test__ = False  # no test, for pytest

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        contestant: Contestant,
        network: keras.Model | None = None,
    ):
        self.run = run
        self.dataset = dataset
        self.contestant = contestant
        self.network = network or run.load_network()
        model = build_end_to_end(run.contract, self.network)
        # One model for both, because a model is traced before it first predicts.
        self._model = keras.Model(
            model.inputs, [model.get_layer("calibrate").input, model.output], name=model.name
        )
        self._model.jit_compile = model.jit_compile

    def replace_network(self, network: keras.Model) -> TestedRun:
        """Return the same run with another network, between the same filters and calibration.

        Parameters
        ----------
        network : keras.Model
            From the representations to probabilities.
        """
        return TestedRun(self.run, self.dataset, self.contestant, network)

    def replace_predictions(self, name: str, p: np.ndarray) -> Contestant:
        """Return the contestant with other probabilities of the test windows.

        Parameters
        ----------
        name : str
            Its name.
        p : array of shape (n_windows, n_classes)
            Calibrated probabilities.
        """
        predictions = self.contestant.predictions.replace_probabilities(p)
        return dataclasses.replace(self.contestant, name=name, predictions=predictions)

    def predict(self, windows_mv: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Predict windows.

        Parameters
        ----------
        windows_mv : array of shape (n_windows, n_samples, n_leads)
            The windows in mV, disturbed or not.
        rows : int array of shape (n_windows,)
            Their rows in the window table, for the tabular values. The heart rate is computed from
            the windows that are given, unless the source of the dataset names it.

        Returns
        -------
        float32 array of shape (n_windows, n_classes)
            Calibrated probabilities.
        """
        return self._predict(windows_mv, rows)[1]

    def check_stored(self) -> None:
        """Check that the model gives the stored test predictions.

        Raises
        ------
        RunError
            If a probability differs by more than rounding explains.
        """
        stored = self.contestant.predictions
        raw_p, p = self._predict(self.dataset.read(stored.rows), stored.rows)
        excess = np.abs(p - stored.p) / compute_tolerance(stored.p, raw_p, self.run.contract)
        if not (excess <= 1).all():
            raise RunError(
                f"The model of {self.run.path.name} does not give its stored test predictions: "
                f"they differ by up to {np.abs(p - stored.p).max():.2g}. Use the library versions "
                f"and the kind of device that the run was made with (experiment.json)."
            )

    def _predict(self, windows_mv: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities before and after calibration."""
        inputs = unpack_single(self._build_inputs(windows_mv, rows))
        raw_p, p = self._model.predict(inputs, batch_size=BATCH_SIZE, verbose=0)
        return raw_p, p

    def _build_inputs(self, windows_mv: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        columns = self.run.contract.processing.tabular_columns
        if not columns:
            return [windows_mv]
        values = self.dataset.read_tabular(rows, columns)
        computed = [
            (place, HEART_RATE.index(name))
            for place, name in enumerate(columns)
            if name in HEART_RATE and name not in self.dataset.summary["tabular"]
        ]
        if computed:
            signal = self.dataset.signal
            heart_rate = np.array([compute_heart_rate(one, signal) for one in windows_mv])
            for place, column in computed:
                values[:, place] = heart_rate[:, column]
        return [windows_mv, values]


def load_tested_runs(runs: Sequence[Run], dataset: Dataset) -> list[TestedRun]:
    """Load runs of one dataset, task and split, and check that they give their stored predictions.

    Parameters
    ----------
    runs : sequence of Run
        Runs of networks; several seeds of a model count as one model.
    dataset : Dataset
        The store that they were trained on.

    Returns
    -------
    list of TestedRun
        In the order of the runs.

    Raises
    ------
    RunError
        If there is no run, one is of a baseline, of predictions that were entered, of a fold or of
        another dataset, if they differ in task or test windows, or if a model does not give its
        stored predictions.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> load_tested_runs([open_run()], open_dataset("mitdb"))  # doctest: +SKIP
    """
    names = name_contestants([require_run(run) for run in runs])
    contestants = []
    for run in runs:
        if run.data.n_folds:
            raise RunError(
                f"{run.path.name} is a run of one fold of a cross-validation. Give runs of one "
                f"split into train, validation and test (n_folds=0)."
            )
        if run.contract.fingerprint != dataset.fingerprint:
            raise RunError(
                f"{run.path.name} was trained on {run.contract.dataset}-{run.contract.fingerprint},"
                f" not on {dataset.path.name}. Open the dataset that it was trained on."
            )
        contestants.append(build_contestant([run], names[run.model_hash]))
    group_by_model(contestants)
    tested = [
        TestedRun(run, dataset, contestant)
        for run, contestant in zip(runs, contestants, strict=True)
    ]
    for one in tested:
        one.check_stored()
    return tested
