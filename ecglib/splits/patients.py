"""Splits and folds by patient."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError
from ecglib.splits.stratify import assign_groups

#: The splits, in the order of tables.
PARTS = ("train", "validation", "test")
#: Column of windows that no fold of a cross-validation scores.
TRAINING_ONLY = "training_only"


def split_by_patient(
    patients: Sequence[str] | np.ndarray,
    y: np.ndarray,
    fractions: Mapping[str, float],
    seed: int = 0,
) -> np.ndarray:
    """Assign whole patients to splits so that the size and every class are spread as asked.

    The result depends on the patients, their labels and the seed, not on the order of the windows,
    and is the same on every machine.

    Parameters
    ----------
    patients : sequence of str, of length n_windows
        Patient of each window.
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1. The columns may overlap: with statements, superclasses and sex side by side,
        all of them are balanced.
    fractions : mapping of str to float
        Fraction of the windows for each split; they are above 0 and sum to 1.
    seed : int, default 0
        Other seeds give other splits that are about as well balanced.

    Returns
    -------
    str array of shape (n_windows,)
        Split of each window.

    Raises
    ------
    DatasetError
        If the fractions are not above 0 or do not sum to 1, `y` holds values other than 0 and 1, a
        window has no patient, or there are fewer patients than splits.

    Examples
    --------
    >>> patients = ["a", "a", "b", "b", "c", "d"]
    >>> y = np.array([[1], [1], [0], [0], [1], [0]])
    >>> parts = split_by_patient(patients, y, {"train": 2 / 3, "test": 1 / 3})
    >>> sorted(parts.tolist())
    ['test', 'test', 'train', 'train', 'train', 'train']
    """
    total = sum(fractions.values())
    if abs(total - 1.0) > 1e-9 or min(fractions.values()) <= 0:
        raise DatasetError(
            f"The fractions {dict(fractions)} sum to {total:g}; each must be above 0, and together "
            f"they must be 1. Omit a split that is to stay empty."
        )
    patient_codes, counts = _count_windows(patients, y)
    _check_patients(len(counts), len(fractions), "splits")
    groups = assign_groups(counts, list(fractions.values()), seed)
    return np.array(list(fractions))[groups[patient_codes]]


def assign_folds_by_patient(
    patients: Sequence[str] | np.ndarray, y: np.ndarray, n_folds: int = 10, seed: int = 0
) -> np.ndarray:
    """Assign whole patients to folds of equal size with equally many windows of every class.

    Parameters
    ----------
    patients : sequence of str, of length n_windows
        Patient of each window.
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    n_folds : int, default 10
        Number of folds, at least 2.
    seed : int, default 0
        Other seeds give other folds.

    Returns
    -------
    int array of shape (n_windows,)
        Fold of each window, 1 to `n_folds`.

    Raises
    ------
    DatasetError
        If `n_folds` is not an integer of at least 2, or as for `split_by_patient`.

    Examples
    --------
    >>> patients = ["a", "a", "b", "b", "c", "d"]
    >>> folds = assign_folds_by_patient(patients, np.ones((6, 1)), n_folds=2)
    >>> np.bincount(folds).tolist()
    [0, 3, 3]
    """
    if not isinstance(n_folds, int | np.integer) or n_folds < 2:
        raise DatasetError(f"n_folds={n_folds!r} must be an integer of at least 2.")
    patient_codes, counts = _count_windows(patients, y)
    _check_patients(len(counts), n_folds, "folds")
    return 1 + assign_groups(counts, [1 / n_folds] * n_folds, seed)[patient_codes]


def convert_folds_to_parts(folds: Sequence[int] | np.ndarray | pd.Series) -> np.ndarray:
    """Convert folds to splits by PTB-XL's convention.

    The fold with the largest number is the test split, the next the validation split, all others
    are the training split.

    Parameters
    ----------
    folds : sequence of int, of length n_windows
        Fold of each window.

    Returns
    -------
    str array of shape (n_windows,)
        train, validation or test.

    Raises
    ------
    DatasetError
        If a fold is not a whole number, or there are fewer than three.

    Examples
    --------
    >>> convert_folds_to_parts([1, 2, 3, 4]).tolist()
    ['train', 'train', 'validation', 'test']
    """
    folds = np.asarray(folds)
    is_whole = np.zeros(len(folds), bool)
    if folds.dtype.kind in "iuf":
        is_whole = (np.abs(folds) < 2**53) & (folds == np.rint(folds))
    if not is_whole.all():
        invalid = folds[~is_whole]
        raise DatasetError(
            f"The folds hold {invalid[:3].tolist()} ({folds.dtype}), expected a whole number for "
            f"each window. Convert them, and assign windows without one to a fold or exclude them."
        )
    names, codes = np.unique(folds, return_inverse=True)
    if len(names) < len(PARTS):
        raise DatasetError(
            f"There are {len(names)} folds, {names.astype(int).tolist()}; training, validation and "
            f"test need at least three. Make more, for example with assign_folds_by_patient."
        )
    return np.array(PARTS)[np.maximum(0, codes - len(names) + len(PARTS))]


def _count_windows(
    patients: Sequence[str] | np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each window's patient, and each patient's windows by class and in total.

    The patients are sorted, so that nothing depends on the order of the windows.
    """
    patients, y = np.asarray(patients), np.asarray(y)
    if y.ndim != 2 or len(y) != len(patients):
        raise DatasetError(
            f"y has shape {y.shape}, expected ({len(patients)}, n_classes): one row for each of "
            f"the {len(patients)} windows that patients were given for."
        )
    if not ((y == 0) | (y == 1)).all():
        raise DatasetError(
            "y holds values other than 0 and 1. Give a column of 0 and 1 for each class."
        )
    patient_codes, names = pd.factorize(patients, sort=True)
    if n_without := int((patient_codes < 0).sum()):
        raise DatasetError(
            f"{n_without} of {len(patient_codes)} windows have no patient. Without patients no "
            f"split can be trusted: give each window its patient, or exclude it."
        )
    counts = np.zeros((len(names), y.shape[1] + 1), np.int32)
    by_patient = np.argsort(patient_codes, kind="stable")
    first_rows = np.searchsorted(patient_codes[by_patient], np.arange(len(names)))
    if len(names):
        counts[:, :-1] = np.add.reduceat(y[by_patient], first_rows, dtype=np.int32)
        counts[:, -1] = np.bincount(patient_codes)
    return patient_codes, counts


def _check_patients(n_patients: int, n_groups: int, groups: str) -> None:
    if n_patients < n_groups:
        raise DatasetError(
            f"{n_patients} patients cannot fill {n_groups} {groups}. Give more patients or fewer "
            f"{groups}."
        )
