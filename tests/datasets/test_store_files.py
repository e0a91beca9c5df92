"""A store is verified, not believed: whatever was changed in it ends in a `DatasetError`."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fuzzing import check_cases
from helpers import make_small_source

from ecglib.datasets.store import Dataset
from ecglib.datasets.store_files import (
    PROBLEMS,
    SIGNALS,
    SUMMARY,
    WINDOWS,
    compute_checksum,
    hash_file,
    verify_store,
)
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError

N_BITS = 60


@pytest.fixture
def copy(small_store, tmp_path):
    """Folder of a copy of the small store, to be damaged."""
    return shutil.copytree(small_store.path, tmp_path / small_store.path.name)


def read_json(folder):
    return json.loads((folder / SUMMARY).read_text())


def write_json(folder, summary, checksum=True):
    """Write a changed summary, with the checksum that it should have."""
    if checksum:
        summary["checksum"] = compute_checksum(summary)
    (folder / SUMMARY).write_text(json.dumps(summary))


def permute_splits(folder):
    """Permute the splits of the windows; return the number of patients in more than one."""
    windows = pd.read_parquet(folder / WINDOWS)
    windows["part"] = np.random.default_rng(0).permutation(windows["part"])
    windows.to_parquet(folder / WINDOWS)
    return int((windows.groupby("patient")["part"].nunique() > 1).sum())


def test_a_store_whose_splits_were_permuted_is_refused(copy):
    assert permute_splits(copy) > 10
    with pytest.raises(DatasetError, match=r"windows\.parquet was changed.*ecglib prepare"):
        Dataset(copy)


def test_the_report_of_leaks_is_not_believed(copy):
    n_shared = permute_splits(copy)
    summary = read_json(copy)
    assert summary["leaks"]["part"]["shared_patients"]["count"] == 0
    summary["files"][WINDOWS] = hash_file(copy / WINDOWS)
    write_json(copy, summary)
    with pytest.raises(DatasetError, match=f"reports 0 shared patients.*there are {n_shared}"):
        Dataset(copy)


def swap_classes(summary):
    classes = summary["tasks"]["letters"]["classes"]
    summary["tasks"]["letters"]["classes"] = dict(reversed(classes.items()))


def exchange_labels(summary):
    summary["tasks"]["letters"]["classes"] = {"A": ["B"], "B": ["A"]}


def reverse_leads(summary):
    summary["signal"]["leads"].reverse()


def double_rate(summary):
    summary["signal"]["sampling_rate_hz"] *= 2


def drop_caveats(summary):
    summary["caveats"] = ["none"]


def add_pair(summary):
    summary["near_identical_records"] = [["r000", "r001", 0.99]]


@pytest.mark.parametrize("checksum", [False, True], ids=["edited", "with its checksum"])
@pytest.mark.parametrize(
    "change",
    [swap_classes, exchange_labels, reverse_leads, double_rate, drop_caveats, add_pair],
)
def test_changed_classes_leads_and_rates_are_refused(copy, change, checksum):
    summary = read_json(copy)
    change(summary)
    write_json(copy, summary, checksum)
    with pytest.raises(DatasetError, match=r"dataset\.json was changed after it was prepared"):
        Dataset(copy)


def test_every_flipped_bit_of_the_samples_is_found(copy):
    content = (copy / SIGNALS).read_bytes()
    bits = np.random.default_rng(0).integers(8 * len(content), size=N_BITS)
    for bit in [*bits, 0, 8 * 127, 8 * len(content) - 1]:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        (copy / SIGNALS).write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"signals\.npy"):
            verify_store(copy, progress=False)
    (copy / SIGNALS).write_bytes(content)
    verify_store(copy, progress=False)


@pytest.mark.parametrize("name", [SIGNALS, WINDOWS, PROBLEMS, SUMMARY])
def test_a_file_of_another_store_and_a_missing_file_are_found(copy, name, tmp_path):
    other = write_store(make_small_source(seed=1), tmp_path / "other", progress=False)
    if name == PROBLEMS:
        (other.path / name).write_text("record,kind,excluded,detail\nr001,clipped,True,\n")
    shutil.copy(other.path / name, copy / name)
    with pytest.raises(DatasetError, match="was changed after it was prepared"):
        verify_store(copy, progress=False)
    (copy / name).unlink()
    with pytest.raises(DatasetError, match="is not a complete store"):
        verify_store(copy, progress=False)
    (copy / name).mkdir()
    with pytest.raises(DatasetError, match="is not a complete store"):
        verify_store(copy, progress=False)


def list_places(value, place=()):
    """List the place of every value in a tree of dicts and lists."""
    if place:
        yield place
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from list_places(item, (*place, key))


def test_every_changed_value_of_the_summary_is_refused(small_store, copy):
    """Each value is removed and replaced by others; with and without the checksum of the result."""
    text = (small_store.path / SUMMARY).read_text()
    original = json.loads(text)
    rng = np.random.default_rng(0)
    others = [None, True, -1, 1e300, "", "x", [], {}, [[]], {"x": {}}]
    for place in list_places(original):
        for change in ("remove", "replace"):
            summary = json.loads(text)
            parent = summary
            for key in place[:-1]:
                parent = parent[key]
            if change == "remove":
                del parent[place[-1]]
            else:
                parent[place[-1]] = others[rng.integers(len(others))]
            if summary == original:
                continue
            write_json(copy, summary, checksum=False)
            with pytest.raises(DatasetError):
                Dataset(copy)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"3", b"{}", b'{"format": 4}', b"\xff", b"[" * 100_000, b"9" * 5000],
)
def test_a_summary_that_is_none_is_refused(copy, content):
    (copy / SUMMARY).write_bytes(content)
    with pytest.raises(DatasetError, match="ecglib prepare"):
        Dataset(copy)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [SUMMARY, WINDOWS, SIGNALS])
def test_damaged_stores_are_refused_or_open_unchanged(small_store, copy, name):
    def read(content):
        (copy / name).write_bytes(content)
        found = Dataset(copy)
        verify_store(copy, progress=False)
        assert found.summary == small_store.summary
        assert list(found.tasks["letters"].classes) == ["A", "B"]
        assert np.array_equal(found.steps, small_store.steps)
        assert found.windows.equals(small_store.windows)

    content = (small_store.path / name).read_bytes()
    check_cases(content, read)
