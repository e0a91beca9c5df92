import numpy as np
import pandas as pd
import pytest

from ecglib.datasets.arrays import ArraysSource
from ecglib.datasets.store import Task, write_store
from ecglib.errors import DatasetError

TASK = Task("t", "multi_label", {"A": ["A"]})


def table(**changes):
    columns = {
        "record": list("abcdef"),
        "patient": [1, 1, 2, 3, 4, 5],
        "labels": [["A"], [], ["A"], ["A"], [], ["A"]],
    }
    return pd.DataFrame(columns | changes)


def source(own_table, records="abcdef"):
    signals = np.random.default_rng(0).standard_normal((len(records), 50, 2))
    return ArraysSource("own", signals, list(records), own_table, TASK, 100.0, ("I", "II"))


def test_the_order_of_the_table_does_not_matter(tmp_path):
    straight = write_store(source(table()), tmp_path / "a", progress=False)
    turned = write_store(source(table().iloc[::-1]), tmp_path / "b", progress=False)
    assert turned.fingerprint == straight.fingerprint


def test_ids_that_do_not_match_are_named():
    with pytest.raises(DatasetError, match=r"1 records have no row.*'f'.*1 rows.*'x'.*counterpart"):
        source(table(record=list("abcdex")))


def test_ids_that_stand_twice_are_named():
    with pytest.raises(DatasetError, match=r"twice in the label table.*'a'"):
        source(table(record=list("aacdef")))


def test_patients_are_required():
    with pytest.raises(DatasetError, match=r"lacks the columns \['patient'\]"):
        source(table().drop(columns="patient"))


def test_the_number_of_records_must_be_that_of_the_array():
    with pytest.raises(DatasetError, match=r"shape \(6, 50, 2\), expected \(3, n_samples, 2\)"):
        ArraysSource("own", np.zeros((6, 50, 2)), list("abc"), table(), TASK, 100.0, ("I", "II"))


def test_unknown_parts_are_refused_and_given_ones_kept(tmp_path):
    parts = ["train", "train", "validation", "test", "train", "test"]
    dataset = write_store(source(table(part=parts)), tmp_path, progress=False)
    assert dataset.windows["part"].tolist() == parts
    with pytest.raises(DatasetError, match=r"holds \['dev'\]"):
        source(table(part=[*parts[:-1], "dev"]))
