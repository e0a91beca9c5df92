"""Damaged label tables and conditions end in a result or in an error of ours."""

import pandas as pd
import pytest
from fuzzing import check_cases

from ecglib.datasets.labels import assign_parts, infer_task
from ecglib.datasets.sources.label_rows import join_labels
from ecglib.datasets.tables import filter_table, find_other_columns, parse_labels, read_label_table

pytestmark = pytest.mark.fuzz
TABLE = b"""record,patient,labels,age,sex,fold,site,score
r01,p1,AF;PVC,63,m,1,A,1.5
r02,p1,"['AF', 'PVC']",>89,f,1,"B, west",
r03,p2,"{'AF': 100.0}",063Y,,2,,-3
r04,p3,"[""SR""]",,F,3,A,0
r05,P3,SR,"46,0",M,2,A,1e9
"""


def test_damaged_label_tables(tmp_path):
    path = tmp_path / "labels.csv"
    files = [f"part/r{i:02d}" for i in range(1, 6)]

    def read(content):
        path.write_bytes(content)
        rows = join_labels(read_label_table(path), files).rows
        table = assign_parts(rows, infer_task(rows, "labels", "multi_label", 1))
        other = find_other_columns(table)
        assert set(other.table["path"]) <= set(files)
        assert other.table["path"].is_unique

    check_cases(TABLE, read)


def test_damaged_lists_of_labels():
    for text in (b"['AF', \"it's\", 'x']", b"{'a': 1.0, 'b': 2}", b"['SR' 'PVC']"):
        check_cases(text, lambda content: parse_labels(content.decode("latin-1")))


def test_damaged_conditions():
    table = pd.DataFrame({"age": [1.0, None], "site": ["A", None], "ok": [True, False]})

    def read(content):
        rows, _ = filter_table(table, content.decode("latin-1"))
        assert len(rows) <= len(table)

    for condition in (b"not (age >= 18 and site in ['A', 'B'])", b"0 < age <= 65 or ok"):
        check_cases(condition, read)
