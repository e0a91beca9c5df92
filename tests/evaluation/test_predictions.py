import dataclasses

import numpy as np
import pytest

from ecglib.errors import EcgError
from ecglib.evaluation.predictions import Predictions


@pytest.fixture
def predictions():
    return Predictions(
        kind="multi_class",
        classes=("N", "S", "V"),
        rows=np.array([3, 5, 9, 11]),
        records=np.array(["100", "100", "101", "102"]),
        patients=np.array(["a", "a", "b", "c"]),
        y=np.eye(3, dtype=np.float32)[[0, 1, 2, 0]],
        p=np.full((4, 3), 1 / 3, np.float32),
    )


def test_arrays_are_held_as_given(predictions):
    assert predictions.y.dtype == predictions.p.dtype == np.float32
    assert (predictions.n_windows, predictions.n_patients) == (4, 3)


def test_probabilities_are_replaced_in_a_copy(predictions):
    p = np.roll(predictions.y, 1, axis=1)
    replaced = predictions.replace_probabilities(p)
    assert replaced.p is p
    assert predictions.p.max() < 0.4
    assert replaced.rows is predictions.rows
    assert replaced.classes == predictions.classes


def test_folds_are_kept_where_there_are_any(predictions):
    assert predictions.folds is None
    folds = np.array([1, 1, 2, 3])
    joined = dataclasses.replace(predictions, folds=folds)
    assert joined.replace_probabilities(joined.y).folds is folds


def test_replaced_probabilities_are_validated(predictions):
    with pytest.raises(EcgError, match=r"\(4, 3\).*\(4, 2\)"):
        predictions.replace_probabilities(np.zeros((4, 2)))
    with pytest.raises(EcgError, match="NaN"):
        predictions.replace_probabilities(np.full((4, 3), np.nan))


@pytest.mark.parametrize("name", ["rows", "records", "patients", "folds"])
def test_there_is_one_row_record_patient_and_fold_for_each_window(predictions, name):
    with pytest.raises(EcgError, match=f"`{name}` has shape"):
        dataclasses.replace(predictions, **{name: np.array(["a", "b"])})


def test_labels_must_fit_the_task(predictions):
    with pytest.raises(EcgError, match="exactly one class"):
        dataclasses.replace(predictions, y=np.ones((4, 3)))
    with pytest.raises(EcgError, match="regression"):
        dataclasses.replace(predictions, kind="regression")


@pytest.mark.parametrize("classes", [("N", "S"), ("N", "S", "S")])
def test_each_column_has_a_class_name_of_its_own(predictions, classes):
    with pytest.raises(EcgError, match="class names"):
        dataclasses.replace(predictions, classes=classes)
