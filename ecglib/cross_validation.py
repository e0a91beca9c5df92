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

from ecglib.splits import TRAINING_ONLY, folds_by_patient, leak_report


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
    near = dataset.summary["near_identical_records"]
    person = joined_patients(own.patients, own.records, windows["signal_hash"].to_numpy(str), near)
    fold_of = np.zeros(person.max() + 1, int)  # 0 for who is never predicted
    fold_of[person[predicted]] = folds_by_patient(person[predicted], own.y[predicted], folds)
    part = np.full(len(own.rows), "train", f"<U{len('validation')}")
    part[fold_of[person] == fold % folds + 1] = "validation"
    part[fold_of[person] == fold] = "test"
    return dataclasses.replace(own, part=part).take(predicted | (part == "train"))


def leaks(dataset, selection) -> dict:
    """What the parts of a selection share, see `ecglib.splits.leak_report`."""
    windows = dataset.windows.iloc[selection.rows].assign(part=selection.part)
    return leak_report(windows, "part", dataset.summary["near_identical_records"])


def joined_patients(patients, records, signals, near_identical_records) -> np.ndarray:
    """Which person each window is of: patients who share a signal or a record are one.

    Parameters
    ----------
    patients, records, signals
        arrays of str of shape (n_windows,), patient, record and hash of the samples of each.
    near_identical_records
        pairs ``(record, record, correlation)``, also of other records.

    Returns
    -------
    Array of int of shape (n_windows,), numbered by the first patient of each person.
    """
    from scipy.sparse import coo_array  # takes long to import
    from scipy.sparse.csgraph import connected_components

    names, own = np.unique(patients, return_inverse=True)
    first, signal = np.unique(signals, return_index=True, return_inverse=True)[1:]
    record_names, first_of_record = np.unique(records, return_index=True)
    patient_of = dict(zip(record_names.tolist(), own[first_of_record], strict=True))
    near = [
        (patient_of[a], patient_of[b])
        for a, b, _ in near_identical_records
        if a in patient_of and b in patient_of
    ]
    pairs = np.concatenate([np.stack([own, own[first][signal]], 1), np.reshape(near, (-1, 2))])
    graph = coo_array((np.ones(len(pairs)), pairs.T.astype(int)), (len(names), len(names)))
    return connected_components(graph, directed=False)[1][own]
