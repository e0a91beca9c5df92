"""Splits, labels and signals as files for another framework."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecglib.cli.commands import main
from ecglib.datasets import split_files
from ecglib.datasets.split_files import build_split_table, write_signals
from ecglib.errors import DatasetError


@pytest.fixture(autouse=True)
def a_few_windows_at_a_time(monkeypatch):
    monkeypatch.setattr(split_files, "N_WINDOWS_AT_A_TIME", 7)


def test_the_table_has_the_windows_of_the_task(small_store, tmp_path, capsys):
    file = tmp_path / "split.csv"
    assert main(["split", str(small_store.path), "--output", str(file)]) == 0
    assert "caveat" not in capsys.readouterr().out

    table = pd.read_csv(file)

    windows = small_store.windows
    assert (table["record"] == windows["record"][table["window"]].to_numpy()).all()
    assert (table["patient"] == windows["patient"][table["window"]].to_numpy()).all()
    labels = [set(one) for one in windows["labels"][table["window"]]]
    for name in "AB":
        assert table[name].tolist() == [int(name in one) for one in labels]
    assert set(table["part"]) == {"train", "validation", "test"}
    assert (table["store"] == small_store.path.name).all()


def test_the_folds_are_those_of_a_cross_validation(small_store, tmp_path):
    tested = []
    for fold in (1, 2, 3):
        file = tmp_path / "fold.csv"
        command = ["split", str(small_store.path), "--folds", "3", "--fold", str(fold)]
        assert main([*command, "--output", str(file)]) == 0
        table = pd.read_csv(file)
        tested += table["window"][table["part"] == "test"].tolist()
        patients = table.groupby("patient")["part"].nunique()
        assert (patients == 1).all()
    assert len(tested) == len(set(tested))


def test_folds_without_a_fold_are_refused(small_store, tmp_path, capsys):
    command = ["split", str(small_store.path), "--folds", "5", "--output", str(tmp_path / "a.csv")]
    assert main(command) == 2
    assert "fold" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_signals_are_those_of_the_store_in_mv(small_store, tmp_path):
    selection = small_store.select("letters")
    write_signals(tmp_path / "s.npz", small_store, selection)
    write_signals(tmp_path / "folder", small_store, selection)

    expected = small_store.read(selection.rows)

    mapped = np.load(tmp_path / "folder" / "signals.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        for signals in (arrays["signals"], mapped):
            assert signals.dtype == np.float32
            assert np.array_equal(signals, expected)
        assert arrays["leads"].tolist() == list(small_store.signal.leads)
        assert float(arrays["sampling_rate_hz"]) == small_store.signal.sampling_rate_hz
        assert arrays["classes"].tolist() == ["A", "B"]
        assert np.array_equal(arrays["labels"], selection.y)
        assert np.array_equal(arrays["window"], selection.rows)
        names = set(arrays.files)
    assert {path.stem for path in (tmp_path / "folder").iterdir()} == names


def test_a_folder_that_exists_is_not_overwritten(small_store, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")

    with pytest.raises(DatasetError, match="exists and is not an empty folder"):
        write_signals(tmp_path / "folder", small_store, small_store.select("letters"))

    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "notes.txt"]


def test_nothing_is_left_if_the_signals_cannot_be_read(small_store, tmp_path, monkeypatch):
    def fail(rows):
        raise OSError("the disk is gone")

    monkeypatch.setattr(small_store, "read", fail, raising=True)
    for name in ("s.npz", "folder"):
        with pytest.raises(OSError, match="the disk is gone"):
            write_signals(tmp_path / name, small_store, small_store.select("letters"))
    assert not list(tmp_path.iterdir())


def test_a_class_with_the_name_of_a_column_is_refused(small_store):
    selection = dataclasses.replace(small_store.select("letters"), classes=["A", "part"])

    with pytest.raises(DatasetError, match="has a class 'part', which is the name of a column"):
        build_split_table(small_store, selection)
