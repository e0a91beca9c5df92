"""The windows of a run in which a class is explained: those where the model finds it."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

from typing import NamedTuple

import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.errors import RunError, require_one_of
from ecglib.runs import Run
from ecglib.runs.contestants import build_contestant


class FoundWindows(NamedTuple):
    """Test windows that have a class and are predicted to have it.

    Parameters
    ----------
    rows : int array of shape (n_windows,)
        Rows of the window table.
    records, patients : str array of shape (n_windows,)
        Record and patient of each.

    Examples
    --------
    >>> FoundWindows(np.array([3]), np.array(["100"]), np.array(["100"])).rows.tolist()
    [3]
    """

    rows: np.ndarray
    records: np.ndarray
    patients: np.ndarray


def find_windows(run: Run, dataset: Dataset, class_name: str, max_windows: int) -> FoundWindows:
    """Find test windows that have a class and are predicted to have it.

    Parameters
    ----------
    run : Run
        The run.
    dataset : Dataset
        The store that it was trained on.
    class_name : str
        The class.
    max_windows : int
        Maximum number. Patients take turns, so that one with many windows does not supply most.

    Returns
    -------
    FoundWindows
        The same in each call, in the order of the window table.

    Raises
    ------
    RunError
        If the run was trained on another dataset.
    ExperimentError
        If the run has no such class.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> find_windows(open_run(), open_dataset("mitdb"), "V", 100)  # doctest: +SKIP
    """
    if run.contract.fingerprint != dataset.fingerprint:
        raise RunError(
            f"{run.path.name} was trained on {run.contract.dataset}-{run.contract.fingerprint},"
            f" not on {dataset.path.name}. Open the dataset that it was trained on."
        )
    require_one_of("class_name", class_name, run.contract.classes)
    contestant = build_contestant([run], run.path.name)
    k = run.contract.classes.index(class_name)
    predictions = contestant.predictions
    is_found = (predictions.y[:, k] > 0) & (contestant.decide()[:, k] > 0)
    rows = np.random.default_rng(0).permutation(predictions.rows[is_found])
    patients = dataset.windows["patient"].to_numpy(str)
    chosen = np.sort(rows[_take_turns(patients[rows])[:max_windows]])
    records = dataset.windows["record"].to_numpy(str)
    return FoundWindows(rows=chosen, records=records[chosen], patients=patients[chosen])


def _take_turns(patients: np.ndarray) -> np.ndarray:
    """Order windows so that each patient's first one comes before anyone's second one."""
    turns = np.zeros(len(patients), int)
    for patient in np.unique(patients):
        is_one = patients == patient
        turns[is_one] = np.arange(is_one.sum())
    return np.argsort(turns, kind="stable")
