"""Files of label tables as other programs write them."""

import pandas as pd
import pytest

from ecglib.datasets.tables import read_label_table
from ecglib.errors import DatasetError


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "record,labels,age\n007,AF,50\n008,SR,60\n",
        "record,labels,age\n007,AF,50,\n008,SR,60,\n",
        "record,labels,age\n007,AF,50,\n008,SR,60\n",
        "record,labels,age,\n007,AF,50,\n008,SR,60,\n",
        "record;labels;age\n007;AF;50;\n008;SR;60;\n",
        "record\tlabels\tage\n007\tAF\t50\n008\tSR\t60\n",
        "\ufeffrecord,labels,age\r\n007,AF,50\r\n008,SR,60\r\n",
        ",record,labels,age\n0,007,AF,50\n1,008,SR,60\n",
        "record, labels, age\n007, AF, 50\n\n008, SR, 60\n",
        '"record","labels","age"\n"007","AF",50\n"008","SR",60\n',
    ],
    ids=[
        "plain",
        "rows",
        "one row",
        "all",
        "semicolons",
        "tabs",
        "BOM",
        "index",
        "blanks",
        "quotes",
    ],
)
def test_a_separator_at_the_end_of_lines_moves_no_column(tmp_path, text):
    table = read_label_table(write(tmp_path, text))
    assert table["record"].tolist() == ["007", "008"]
    assert table["labels"].tolist() == ["AF", "SR"]
    assert table["age"].astype(float).tolist() == [50, 60]
    assert list(table) == ["record", "labels", "age"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("record,labels,labels\na,AF,SR\n", r"called \['labels'\], expected different"),
        ("record,labels, labels\na,AF,SR\n", r"called \['labels'\], expected different"),
        ("record,labels\na,AF,flutter\n", "Line 2 .* has 3 fields, its header 2"),
        ("record,labels\na,AF,,\n", "Line 2 .* has 4 fields, its header 2"),
        ("record,labels,age\na,AF,50\nb,SR\n", "Line 3 .* has 2 fields, its header 3"),
        ("", "is empty"),
    ],
)
def test_tables_whose_columns_are_not_clear_are_refused(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        read_label_table(write(tmp_path, text))


def test_a_table_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot be read.*CSV file \(UTF-8\)"):
        read_label_table(write(tmp_path, "record,labels\na,Überleitung\n", "latin-1"))


def test_only_empty_cells_are_missing(tmp_path):
    words = ["None", "NA", "null", "nan", "N/A", "NaN", "-", "n/a", "<NA>"]
    rows = "".join(f"r{i},{word},{word}\n" for i, word in enumerate(words))
    table = read_label_table(write(tmp_path, f"record,labels,patient\n{rows}last,,\n"))
    assert table["labels"].tolist()[:-1] == words
    assert table["patient"].tolist()[:-1] == words
    assert table.iloc[-1][["labels", "patient"]].isna().all()


def test_what_pandas_writes_is_read_as_it_was(tmp_path):
    frame = pd.DataFrame(
        {
            "record": ["001", "a, b", 'say "x"', "line\nbreak"],
            "labels": ["AF", "flutter, typical", "None", "SR;PVC"],
            "score": [1.5, None, -3.0, 0.0],
        }
    )
    frame.to_csv(tmp_path / "labels.csv")
    read = read_label_table(tmp_path / "labels.csv")
    pd.testing.assert_frame_equal(read, frame, check_dtype=False)
