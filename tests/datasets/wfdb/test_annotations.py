"""Annotation files against wfdb, cut short at every place."""

import numpy as np
import pytest
import wfdb
from helpers import find_shared_data

from ecglib.datasets.wfdb import read_annotations
from ecglib.errors import RecordError


@pytest.fixture
def written(tmp_path):
    """Annotations with long gaps and notes, which take several words each."""
    rng = np.random.default_rng(0)
    samples = np.cumsum(rng.integers(10, 5000, 200))
    symbols = rng.choice(["N", "V", "A", "+", "~"], 200)
    notes = ["(AFIB" if symbol == "+" else "" for symbol in symbols]
    wfdb.wrann("made", "atr", samples, symbols, aux_note=notes, write_dir=str(tmp_path))
    return tmp_path / "made"


@pytest.mark.parametrize("record", ["100", "114", "203", "232"])
def test_annotations_are_those_that_wfdb_reads(record):
    path = find_shared_data("mitdb") / record
    theirs, found = wfdb.rdann(str(path), "atr"), read_annotations(path)
    assert np.array_equal(found.samples, theirs.sample)
    assert found.symbols.tolist() == theirs.symbol
    assert found.notes == theirs.aux_note


def test_an_annotation_file_cut_short_at_any_byte_is_refused(written):
    content = written.with_suffix(".atr").read_bytes()
    complete = read_annotations(written)
    assert len(complete.samples) == 200
    for n_bytes in range(len(content)):
        written.with_suffix(".atr").write_bytes(content[:n_bytes])
        with pytest.raises(RecordError) as error:
            read_annotations(written)
        assert error.value.kind == "truncated", n_bytes


def test_a_missing_annotation_file_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"made.atr does not exist"):
        read_annotations(tmp_path / "made")
