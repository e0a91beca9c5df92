"""Columns of a table that give the label away."""

import numpy as np
import pandas as pd
import pytest
from helpers import make_recordings
from sklearn.metrics import roc_auc_score

from ecglib.datasets.schema import Task
from ecglib.datasets.sources.arrays import ArraysSource
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError
from ecglib.experiment import Experiment, check_experiment
from ecglib.experiment.revealing_columns import compute_auroc, find_revealing_columns

N = 90


@pytest.fixture(scope="module")
def sorted_store(tmp_path_factory):
    """A store from a table sorted by class, with the index that was left in it."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["A", "B", "C"], N // 3)
    score = rng.standard_normal(N)
    missing_in_b = np.where(labels == "B", np.nan, score)
    table = pd.DataFrame(
        {
            "record": [f"r{i:02d}" for i in range(N)],
            "patient": [f"p{i:02d}" for i in range(N)],
            "labels": [[label] for label in labels],
            "part": np.tile(["train", "train", "train", "validation", "test"], N // 5),
            "age": rng.integers(40, 80, N),
            "index": np.arange(N),
            "score": score,
            "visit": missing_in_b,
        }
    )
    signals = 0.3 * rng.standard_normal((N, 400, 3))
    task = Task("t", "multi_class", {"A": ["A"], "B": ["B"], "C": ["C"]})
    source = ArraysSource("sorted", make_recordings(signals, list(table["record"])), table, task)
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


def check(store, branch="tabular", columns=None):
    encoder = {"tabular": "mlp", "handcrafted": "random_forest"}[branch]
    options = {"tabular": {"columns": columns}} if columns else {}
    settings = {"task": "t", "branches": {branch: encoder}, "representation_options": options}
    return check_experiment(Experiment.from_flat(settings, store), store)


def test_a_leftover_index_is_no_input_unless_it_is_named(sorted_store):
    assert sorted_store.default_tabular[0] == "age"
    assert not {"index", "score", "visit"} & set(sorted_store.default_tabular)
    assert {"index", "score", "visit"} <= set(sorted_store.tabular_columns)
    assert check(sorted_store) == ()
    assert check(sorted_store, "handcrafted") == ()
    rows = np.arange(5)
    assert sorted_store.read_tabular(rows, ["index", "age"])[:, 0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DatasetError, match=r"no tabular column 'indx'.*Did you mean 'index'"):
        check(sorted_store, columns=["indx"])


def test_a_column_that_alone_predicts_the_label_is_warned_of_and_a_caveat(sorted_store):
    with pytest.warns(
        UserWarning, match=r"'index' alone .* class '[ABC]' nearly perfectly \(AUROC 1\.00"
    ):
        (caveat,) = check(sorted_store, columns=["age", "index", "score"])
    assert caveat.startswith("tabular column 'index' alone predicts class")
    with pytest.warns(UserWarning, match="'visit' alone predicts class 'B'"):
        (caveat,) = check(sorted_store, columns=["visit"])
    assert check(sorted_store, columns=["age", "score"]) == ()


def test_a_class_between_two_others_is_found_too(sorted_store):
    train = sorted_store.select("t").in_split("train")
    only_b = train.y[:, 1:2]
    train.y, train.classes = only_b, ["B"]
    values = sorted_store.read_tabular(train.rows, ["index", "score"])
    (found,) = find_revealing_columns(train, values, ["index", "score"])
    assert found == ("index", "B", 1.0)


def test_the_auroc_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores, positive = rng.integers(0, 9, 50), rng.random(50) < 0.3
        assert compute_auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
