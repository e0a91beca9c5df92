"""Ages, sexes, ids and the other columns of a label table."""

import numpy as np
import pandas as pd
import pytest

from ecglib.datasets.labels import check_table, fill_patients, find_similar_patients
from ecglib.datasets.tables import find_other_columns
from ecglib.errors import DatasetError


def check_column(name, values):
    records = [f"r{i}" for i in range(len(values))]
    return check_table(pd.DataFrame({"record": records, "labels": "A", name: values}))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        (63, 63.0),
        ("63", 63.0),
        ("46,0", 46.0),
        ("46.5", 46.5),
        ("063Y", 63.0),
        ("063y", 63.0),
        ("63 years", 63.0),
        ("018M", 1.5),
        ("026W", 26 * 7 / 365.25),
        ("010D", 10 / 365.25),
        ("90+", 90.0),
        (">89", 90.0),
        ("> 89", 90.0),
        (">=90", 90.0),
        ("≥ 90", 90.0),
        (" 7 ", 7.0),
    ],
)
def test_ages_are_read_as_hospitals_write_them(text, years):
    table, problems = check_column("age", [text, "50"])
    assert table["age"].tolist() == pytest.approx([years, 50.0])
    assert problems == []


def test_an_age_is_a_number_or_missing_and_unread_ones_are_listed():
    table, problems = check_column("age", ["unknown", "NA", None, "", "old", "1948-03-01", "-4"])
    assert table["age"].isna().all()
    assert [(one.record, one.kind) for one in problems] == [
        ("r4", "not_a_number"),
        ("r5", "not_a_number"),
        ("r6", "not_a_number"),
    ]


def test_sex_is_read_from_words_and_other_codes_are_refused():
    table, problems = check_column("sex", ["Male", "f", "FEMALE", "0", 1.0, None, "diverse"])
    assert table["sex"].tolist()[:5] == [0, 1, 1, 0, 1]
    assert table["sex"].isna().tolist()[5:] == [True, True]
    assert [one.record for one in problems] == ["r6"]
    with pytest.raises(DatasetError, match=r"numbers \[2\], expected 0 \(male\) and 1 \(female\)"):
        check_column("sex", [1, 2, 1])


@pytest.mark.parametrize("name", ["start", "length", "n_measured", "signal_hash", "likelihoods"])
def test_columns_named_like_those_of_the_store_are_refused(name):
    with pytest.raises(DatasetError, match=rf"called \['{name}'\].*Rename"):
        find_other_columns(pd.DataFrame({"record": ["r1"], name: [3]}))


def test_only_age_and_sex_are_model_inputs_by_default():
    table = pd.DataFrame(
        {"record": ["r1"], "age": [50.0], "index": [0], "flag": [True], "site": ["A"], "sex": [1.0]}
    )
    other = find_other_columns(table)
    assert other.tabular == ("age", "sex")
    assert other.columns == {"index": "double", "flag": "double", "site": "string"}


def test_blanks_around_an_id_make_no_difference():
    patients = ["p1", " p1", "p1 ", "\tp1", "p1\u00a0"]
    table, _ = check_column("patient", patients)
    assert set(fill_patients(table)[0]["patient"]) == {"p1"}
    table, _ = check_table(pd.DataFrame({"record": [" r1 "], "labels": ["A"]}))
    assert table["record"].tolist() == ["r1"]


def test_whole_numbers_that_a_missing_value_made_floats_are_written_whole():
    table, problems = check_table(pd.DataFrame({"record": [1.0, np.nan, 3.0], "labels": "A"}))
    assert table["record"].tolist() == ["1", "3"]
    assert [(one.record, one.kind) for one in problems] == [("row 2", "no_record")]


def test_patients_that_differ_only_in_how_they_are_written_are_reported():
    names = ["P7", "p7", "P 7", "P07", "P\uff17", "P70", "P71", "Q7"]
    table = pd.DataFrame({"record": [f"r{i}" for i in range(8)], "patient": names})
    problems = find_similar_patients(table)
    assert [one.record for one in problems] == ["r0", "r1", "r2", "r3", "r4"]
    assert {one.kind for one in problems} == {"similar_patient"}
    assert "'P 7'" in problems[0].detail
