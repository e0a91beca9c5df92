"""Cross-validation: the patients of the training and validation splits, divided into folds.

With few validation patients, the model that looks better depends on who they are. Each fold in turn
is the test split, the next one the validation split and the others the training split. Every
patient outside the real test split is then predicted once, by a model not trained on that patient,
and the real test split is not looked at while models are chosen.

A comparison scores all folds together (`ecglib.batch.comparison`), because a fold of few patients
may lack a class. The probabilities of several models are then ranked together; each is calibrated.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ecglib.splits.patients import assign_folds_by_patient


def assign_parts_of_fold(
    persons: np.ndarray, y: np.ndarray, scored: np.ndarray, n_folds: int, fold: int
) -> np.ndarray:
    """Assign windows to splits, with one fold as the test split and the next for validation.

    Parameters
    ----------
    persons : int array of shape (n_windows,)
        Person of each window, from 0 (`merge_patients`).
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    scored : bool array of shape (n_windows,)
        False for windows that are only trained on.
    n_folds : int
        Number of folds, at least 3.
    fold : int
        The fold that is the test split, from 1; the first fold follows the last.

    Returns
    -------
    str array of shape (n_windows,)
        train, validation or test.

    Raises
    ------
    DatasetError
        If there are fewer persons than folds.

    Examples
    --------
    >>> y = np.ones((6, 1))
    >>> parts = assign_parts_of_fold(np.arange(6), y, np.full(6, True), n_folds=3, fold=1)
    >>> sorted(parts.tolist())
    ['test', 'test', 'train', 'train', 'validation', 'validation']
    """
    fold_of_person = np.zeros(persons.max() + 1, int)  # 0 for a person who is never scored
    fold_of_person[persons[scored]] = assign_folds_by_patient(persons[scored], y[scored], n_folds)
    part = np.full(len(persons), "train", f"<U{len('validation')}")
    part[fold_of_person[persons] == fold % n_folds + 1] = "validation"
    part[fold_of_person[persons] == fold] = "test"
    return part


def merge_patients(
    patients: np.ndarray,
    records: np.ndarray,
    signals: np.ndarray,
    near_identical_records: Iterable[Sequence],
) -> np.ndarray:
    """Number the persons: patients who share a signal or a record count as one.

    Parameters
    ----------
    patients : str array of shape (n_windows,)
        Patient of each window.
    records : str array of shape (n_windows,)
        Record of each window.
    signals : str array of shape (n_windows,)
        Hash of the samples of each window.
    near_identical_records : iterable of (str, str, float)
        Two near-identical records and their correlation; may name other records too.

    Returns
    -------
    int array of shape (n_windows,)
        Person of each window, numbered by the first patient of each person.

    Examples
    --------
    >>> patients = np.array(["a", "b", "c"])
    >>> records = np.array(["r1", "r2", "r3"])
    >>> merge_patients(patients, records, np.array(["x", "y", "x"]), []).tolist()
    [0, 1, 0]
    """
    from scipy.sparse import coo_array  # takes long to import
    from scipy.sparse.csgraph import connected_components

    names, patient_codes = np.unique(patients, return_inverse=True)
    _, first_windows, signal_codes = np.unique(signals, return_index=True, return_inverse=True)
    record_names, first_of_record = np.unique(records, return_index=True)
    record_patients = dict(zip(record_names.tolist(), patient_codes[first_of_record], strict=True))
    near_pairs = [
        (record_patients[a], record_patients[b])
        for a, b, _ in near_identical_records
        if a in record_patients and b in record_patients
    ]
    signal_pairs = np.stack([patient_codes, patient_codes[first_windows][signal_codes]], 1)
    pairs = np.concatenate([signal_pairs, np.reshape(near_pairs, (-1, 2))])
    graph = coo_array((np.ones(len(pairs)), pairs.T.astype(int)), (len(names), len(names)))
    return connected_components(graph, directed=False)[1][patient_codes]
