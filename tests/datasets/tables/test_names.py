"""Names of records in a table and names of files."""

import unicodedata

import pytest

from ecglib.datasets.tables import match_names, require_matches
from ecglib.errors import DatasetError

COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "Büro"), unicodedata.normalize("NFD", "Büro")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("part1/r05", "part1/r05"),
        ("r05", "part1/r05"),
        ("data/mine/part1/r05", "part1/r05"),
        ("r05.hea", "part1/r05"),
        ("r05.csv", "part1/r05"),
        ("./part1/r05.dat", "part1/r05"),
        ("part1\\r05", "part1/r05"),
        ("D:\\study\\part1\\r05.hea", "part1/r05"),
        ("r5", "part1/r05"),
        ("r005", "part1/r05"),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("patient.5", "patient.5"),
    ],
)
def test_one_file_of_that_name_is_found_however_it_is_written(name, path):
    assert match_names([name], [path, "part2/r77"]).paths == {name: path}


@pytest.mark.parametrize(
    ("names", "paths", "expected"),
    [
        (["r1"], ["a/r1", "b/r1"], {}),
        (["a/r1"], ["b/r1"], {}),
        (["7"], ["07", "007"], {}),
        (["7", "07"], ["007"], {}),
        (["7", "07"], ["7", "07"], {"7": "7", "07": "07"}),
        (["7", "07"], ["07"], {"07": "07"}),
        (["r1", "a/r1"], ["a/r1"], {"a/r1": "a/r1"}),
        (["r1.hea", "r1.dat"], ["r1"], {}),
        (["R1"], ["r1"], {}),
        (["x1"], ["x10"], {}),
    ],
)
def test_a_name_that_could_mean_several_files_means_none(names, paths, expected):
    matched = match_names(names, paths)
    assert matched.paths == expected
    assert set(matched.reasons) == set(names) - set(expected)


def test_a_row_without_a_file_says_what_is_similar():
    reasons = match_names(["R 1", "q", "x"], ["a/r01", "a/x", "b/x"]).reasons
    assert "'a/r01' is similar" in reasons["R 1"]
    assert reasons["q"] == "There is no file of that name."
    assert "Several files fit: ['a/x', 'b/x']" in reasons["x"]


def test_a_table_that_names_no_file_shows_what_was_looked_for_and_what_exists():
    names, paths = [f"REC_{i}" for i in range(40)], [f"sub/rec_{i}" for i in range(40)]
    with pytest.raises(
        DatasetError,
        match=r"looked for \['REC_0', .*\(of 40\).*there are \['sub/rec_0'.*\(of 40\)"
        r".*'REC_0' is similar to 'sub/rec_0'.*column record",
    ) as error:
        require_matches(match_names(names, paths), names, paths, "files below mine")
    assert len(str(error.value)) < 700
