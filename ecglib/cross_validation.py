"""Cross-validation: the patients of the training and validation parts, dealt anew to folds.

Where few patients validate, which model looks better depends on who they are. In turn each fold
is the test part, the next one the validation part and the others the training part: then every
patient but those of the real test part is predicted once, by a model that never saw them, and the
real test part is not looked at while models are chosen.

A comparison scores all folds together (`ecglib.evaluation.report`), as a fold of few patients may
lack a class. The probabilities of several models are then ranked together; each is calibrated.
"""

import dataclasses

import numpy as np
import pandas as pd

from ecglib.splits import folds_by_patient, leak_report

TRAINING_ONLY = "training_only"  # the column of windows that are never predicted, if there is one


def select(dataset, task: str, tabular=(), folds: int = 0, fold: int = 0):
    """The windows of a task as `Dataset.select` gives them, in the parts of one fold.

    The folds depend on the patients and their labels only, so that all models of a task have the
    same. Patients who share a signal, or whose records are near-identical, count as one. Windows
    that are for training only are in no other part.

    Parameters
    ----------
    dataset
        the opened store (`ecglib.datasets.store.Dataset`).
    task, tabular
        as for `Dataset.select`.
    folds
        number of folds, from 3; 0 for the parts of the dataset.
    fold
        the fold that is the test part, from 1. The next, after the last the first, validates.

    Raises
    ------
    DatasetError
        no such task or column, or fewer patients than folds.
    """
    selection = dataset.select(task, tabular)
    if not folds:
        return selection
    own = selection.take(selection.part != "test")
    windows = dataset.windows.iloc[own.rows]
    predicted = np.ones(len(own.rows), bool)
    if TRAINING_ONLY in windows:
        predicted = ~windows[TRAINING_ONLY].eq(True).to_numpy(bool)
    people = joined_patients(windows, dataset.summary["near_identical_records"])
    dealt = folds_by_patient(people[predicted], own.y[predicted], folds)
    fold_of = dict(zip(people[predicted], dealt, strict=True))
    number = np.array([fold_of.get(person, 0) for person in people])
    part = np.full(len(own.rows), "train", f"<U{len('validation')}")
    part[number == fold % folds + 1] = "validation"
    part[number == fold] = "test"
    return dataclasses.replace(own, part=part).take(predicted | (part == "train"))


def leaks(dataset, selection) -> dict:
    """What the parts of a selection share, see `ecglib.splits.leak_report`."""
    windows = dataset.windows.iloc[selection.rows].assign(part=selection.part)
    return leak_report(windows, "part", dataset.summary["near_identical_records"])


def joined_patients(windows: pd.DataFrame, near_identical_records) -> np.ndarray:
    """The patient of each window, one name for all who share a signal or a record.

    Parameters
    ----------
    windows
        window table with the columns record, patient and signal_hash.
    near_identical_records
        pairs ``(record, record, correlation)``, also of other records.

    Returns
    -------
    Array of str of shape (n_windows,): the first name of those that are joined.
    """
    from scipy.sparse import coo_array  # takes long to import
    from scipy.sparse.csgraph import connected_components

    own, names = pd.factorize(windows["patient"].to_numpy(str), sort=True)
    signals, _ = pd.factorize(windows["signal_hash"])
    first = np.unique(signals, return_index=True)[1]
    patient_of = dict(zip(windows["record"], own, strict=True))
    near = [
        (patient_of[a], patient_of[b])
        for a, b, _ in near_identical_records
        if a in patient_of and b in patient_of
    ]
    pairs = np.array([*zip(own, own[first[signals]], strict=True), *near])
    graph = coo_array((np.ones(len(pairs)), pairs.T), (len(names), len(names)))
    joined = connected_components(graph, directed=False)[1]
    first_name = np.unique(joined, return_index=True)[1]
    return names[first_name[joined]][own].astype(str)
