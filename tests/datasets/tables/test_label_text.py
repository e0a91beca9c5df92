"""Labels as lists, dicts and the text that other programs write of them."""

import json

import numpy as np
import pandas as pd
import pytest

from ecglib.datasets.labels import check_table, infer_task
from ecglib.datasets.tables import parse_labels, read_label_table
from ecglib.errors import DatasetError

NAMES = [
    "AF",
    "Atrial flutter, typical",
    'the "other" one',
    "it's",
    "426783006",
    "A|B",
    "Ü",
    "None",
]


@pytest.mark.parametrize(
    "write",
    [list, tuple, np.array, str, json.dumps, lambda x: str(tuple(x)), lambda x: str(np.array(x))]
    + [lambda x: json.dumps(x, indent=1), ";".join]
    + [lambda x: str(dict.fromkeys(x, 100.0)), lambda x: dict.fromkeys(x, 1)],
    ids=["list", "tuple", "array", "str", "json", "tuple-text", "array-text"]
    + ["json-lines", "separated", "dict-text", "dict"],
)
def test_labels_of_any_form_are_the_same_labels(write):
    assert parse_labels(write(NAMES)) == NAMES


def test_labels_that_pandas_wrote_to_csv_are_read_back(tmp_path):
    labels = [["AF", "PVC"], ["AF"], ["PVC"], [], {"AF": 100.0, "PVC": 50.0}]
    frame = pd.DataFrame({"record": list("abcde"), "labels": labels})
    frame.to_csv(tmp_path / "labels.csv", index=False)
    table, problems = check_table(read_label_table(tmp_path / "labels.csv"))
    assert table["labels"].tolist() == [["AF", "PVC"], ["AF"], ["PVC"], ["AF", "PVC"]]
    assert [(one.record, one.kind) for one in problems] == [("d", "empty_label")]
    assert list(infer_task(table, "t", "multi_label", 3).classes) == ["AF", "PVC"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("AF", ["AF"]),
        ("Atrial flutter, typical", ["Atrial flutter, typical"]),
        ("A|B", ["A|B"]),
        ("AF; PVC ;", ["AF", "PVC"]),
        ("(suspected)", ["(suspected)"]),
        ("(old) MI; (new) AF", ["(old) MI", "(new) AF"]),
        ("None", ["None"]),
        ("  ", []),
        ("[]", []),
        ("['AF', None]", ["AF"]),
        (None, []),
        (np.nan, []),
        (pd.NA, []),
        (164889003, ["164889003"]),
        (7.0, ["7"]),
        ([7.0, 8.0], ["7", "8"]),
        ({"b", "a"}, ["a", "b"]),
    ],
)
def test_a_semicolon_is_the_only_separator(text, labels):
    assert parse_labels(text) == labels


@pytest.mark.parametrize(
    "text",
    [
        "[AF, PVC]",
        "['AF', 'PV",
        "['AF'; 'PVC']",
        "['AF' 'PVC', 'SR']",
        "[['AF'], ['PVC']]",
        "[0, 1, 0]",
        [0.0, 1.0, 0.0],
        "{'AF': 100.0, 'SR': 0.0}",
        "{'AF': True, 'SR': False}",
        "{'AF': {'likelihood': 100}}",
        "{'AF': None}",
        {"AF": 1, "SR": 0},
        "[__import__('os').getcwd()]",
        "[open('x')]",
        "array(['AF', 'PVC'], dtype=object)",
        "[" * 5000,
        "[" + "'AF', " * 3000 + "]",
        "{AF}",
    ],
)
def test_text_that_only_looks_like_a_list_is_refused_with_an_example(text):
    table = pd.DataFrame({"record": ["r1", "r2"], "labels": ["AF", text]})
    with pytest.raises(DatasetError, match=r"labels of 1 records cannot.*'r2'.*AF;PVC") as error:
        check_table(table)
    assert len(str(error.value)) < 400


def test_a_column_separated_otherwise_is_explained_where_no_label_is_frequent():
    table = pd.DataFrame({"record": range(4), "labels": ["A,B", "B,C", "A,C", "A"]})
    with pytest.raises(DatasetError, match="';' separates the labels"):
        infer_task(check_table(table)[0], "t", "multi_label", 2)
