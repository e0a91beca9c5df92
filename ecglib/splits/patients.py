"""Splits by patient."""

import numbers
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError
from ecglib.splits.stratify import deal

PARTS = ("train", "validation", "test")
TRAINING_ONLY = "training_only"  # a column: windows that no fold of a cross-validation scores


def split_by_patient(
    patients: Sequence[str], y: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> np.ndarray:
    """Deal whole patients to parts so that the size and every class are spread as asked.

    The split depends on the patients, their labels and the seed, not on the order of the windows,
    and is the same on every machine.

    Parameters
    ----------
    patients
        array of shape (n_windows,), the patient of each window.
    y
        array of shape (n_windows, n_classes) of 0 and 1. The columns may overlap: with statements,
        superclasses and sex side by side, all of them are balanced.
    fractions
        share of the windows for each part; they are above 0 and sum to 1.
    seed
        other seeds give other splits, about as well balanced.

    Returns
    -------
    Array of str of shape (n_windows,): the part of each window.

    Raises
    ------
    DatasetError
        the fractions are not above 0 or do not sum to 1, `y` holds values other than 0 and 1, a
        window has no patient, or there are fewer patients than parts.
    """
    total = sum(fractions.values())
    if abs(total - 1.0) > 1e-9 or min(fractions.values()) <= 0:
        raise DatasetError(
            f"The fractions {dict(fractions)} sum to {total:g}; each part needs a share above 0, "
            f"and together they are 1. Leave out a part that is to stay empty."
        )
    own, counts = _count(patients, y)
    _require_patients(len(counts), len(fractions), "parts")
    return np.array(list(fractions))[deal(counts, list(fractions.values()), seed)[own]]


def folds_by_patient(
    patients: Sequence[str], y: np.ndarray, n_folds: int = 10, seed: int = 0
) -> np.ndarray:
    """Deal whole patients to folds of equal size with an equal share of every class.

    Parameters
    ----------
    patients, y, seed
        as for `split_by_patient`.
    n_folds
        number of folds, from 2.

    Returns
    -------
    Array of int of shape (n_windows,): the fold of each window, 1 to `n_folds`.

    Raises
    ------
    DatasetError
        `n_folds` is no whole number from 2, or as for `split_by_patient`.
    """
    if not isinstance(n_folds, numbers.Integral) or n_folds < 2:
        raise DatasetError(f"n_folds={n_folds!r}, expected a whole number from 2.")
    own, counts = _count(patients, y)
    _require_patients(len(counts), n_folds, "folds")
    return 1 + deal(counts, [1 / n_folds] * n_folds, seed)[own]


def folds_to_parts(folds: Sequence[int]) -> np.ndarray:
    """The parts that folds stand for by PTB-XL's convention.

    The fold of the greatest number is the test part, the next the validation part, the others are
    the training part.

    Parameters
    ----------
    folds
        array of whole numbers of shape (n_windows,), the fold of each window.

    Returns
    -------
    Array of str of shape (n_windows,): train, validation or test.

    Raises
    ------
    DatasetError
        a fold is no whole number, or there are fewer than three.
    """
    folds = np.asarray(folds)
    if folds.dtype.kind not in "iuf" or not np.all(folds == np.rint(folds)):
        odd = folds[folds != np.rint(folds)] if folds.dtype.kind == "f" else folds
        raise DatasetError(
            f"The folds hold {odd[:3].tolist()} ({folds.dtype}), expected a whole number for each "
            f"window. Convert them, and give a window that has none to a fold or leave it out."
        )
    names, own = np.unique(folds, return_inverse=True)
    if len(names) < len(PARTS):
        raise DatasetError(
            f"There are {len(names)} folds, {names.astype(int).tolist()}; training, validation and "
            f"test need at least three. Make more, for example with folds_by_patient."
        )
    return np.array(PARTS)[np.maximum(0, own - len(names) + len(PARTS))]


def _count(patients: Sequence[str], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which patient each window has, and the windows of each patient by class and in all.

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
    own, names = pd.factorize(patients, sort=True)
    if n_without := int((own < 0).sum()):
        raise DatasetError(
            f"{n_without} of {len(own)} windows have no patient. Without patients no split can be "
            f"trusted: give each its patient, or leave it out."
        )
    counts = np.zeros((len(names), y.shape[1] + 1), np.int32)
    by_patient = np.argsort(own, kind="stable")
    firsts = np.searchsorted(own[by_patient], np.arange(len(names)))
    if len(names):
        counts[:, :-1] = np.add.reduceat(y[by_patient], firsts, dtype=np.int32)
        counts[:, -1] = np.bincount(own)
    return own, counts


def _require_patients(n_patients: int, n_parts: int, what: str) -> None:
    if n_patients < n_parts:
        raise DatasetError(
            f"{n_patients} patients cannot fill {n_parts} {what}. Give more patients or fewer "
            f"{what}."
        )
