"""Cross-validation: the patients of the training and validation parts, dealt anew to folds.

Where few patients validate, which model looks better depends on who they are. In turn each fold
is the test part, the next one the validation part and the others the training part: then every
patient but those of the real test part is predicted once, by a model that never saw them, and the
real test part is not looked at while models are chosen.

A comparison scores all folds together (`ecglib.batch.comparison`), as a fold of few patients may
lack a class. The probabilities of several models are then ranked together; each is calibrated.
"""

import numpy as np

from ecglib.splits.patients import folds_by_patient


def parts_of_fold(
    persons: np.ndarray, y: np.ndarray, scored: np.ndarray, n_folds: int, fold: int
) -> np.ndarray:
    """The part of each window where one fold is the test part and the next validates.

    Parameters
    ----------
    persons : array of int of shape (n_windows,)
        The person of each window, from 0 (`merge_patients`).
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    scored : array of bool of shape (n_windows,)
        False for windows that are only trained on.
    n_folds : int
        Number of folds, from 3.
    fold : int
        The fold that is the test part, from 1; after the last fold the first one validates.

    Returns
    -------
    array of str of shape (n_windows,)
        train, validation or test.

    Raises
    ------
    DatasetError
        If there are fewer persons than folds.
    """
    fold_of = np.zeros(persons.max() + 1, int)  # 0 for a person who is never scored
    fold_of[persons[scored]] = folds_by_patient(persons[scored], y[scored], n_folds)
    part = np.full(len(persons), "train", f"<U{len('validation')}")
    part[fold_of[persons] == fold % n_folds + 1] = "validation"
    part[fold_of[persons] == fold] = "test"
    return part


def merge_patients(patients, records, signals, near_identical_records) -> np.ndarray:
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
