import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecglib.datasets import ProblemRules, prepare
from ecglib.datasets.schema import Task
from ecglib.datasets.sources.arrays import ArraysSource, Recordings, extract_recordings
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError

TASK = Task("t", "multi_label", {"A": ["A"]})


def table(**changes):
    columns = {
        "record": list("abcdef"),
        "patient": [1, 1, 2, 3, 4, 5],
        "labels": [["A"], [], ["A"], ["A"], [], ["A"]],
    }
    return pd.DataFrame(columns | changes)


def noise(n_records=6):
    return np.random.default_rng(0).standard_normal((n_records, 50, 2))


def recordings(signals, names="abcdef", unit="mV"):
    return Recordings(
        signals=signals, names=list(names), sampling_rate_hz=100.0, leads=("I", "II"), unit=unit
    )


def source(labels):
    return ArraysSource("mine", recordings(noise()), labels, TASK)


def test_the_order_of_the_table_does_not_matter(tmp_path):
    straight = write_store(source(table()), tmp_path / "a", progress=False)
    reversed_ = write_store(source(table().iloc[::-1]), tmp_path / "b", progress=False)
    assert reversed_.fingerprint == straight.fingerprint


def test_ids_that_do_not_match_are_named():
    with pytest.raises(DatasetError, match=r"1 records have no row.*'f'.*1 rows.*'x'.*counterpart"):
        source(table(record=list("abcdex")))


def test_repeated_ids_are_named():
    with pytest.raises(DatasetError, match=r"more than once in the label table.*'a'"):
        source(table(record=list("aacdef")))


def test_patients_are_required():
    with pytest.raises(DatasetError, match=r"lacks the columns \['patient'\]"):
        source(table().drop(columns="patient"))


def test_the_number_of_records_must_be_that_of_the_array():
    with pytest.raises(DatasetError, match=r"shape \(6, 50, 2\), expected \(3, n_samples, 2\)"):
        ArraysSource("mine", recordings(np.zeros((6, 50, 2)), "abc"), table(), TASK)


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1000.0), ("V", 0.001)])
def test_units_are_converted_to_millivolt(tmp_path, unit, factor):
    signals = noise()
    scaled = recordings(signals * factor, unit=unit)
    dataset = write_store(ArraysSource("mine", scaled, table(), TASK), tmp_path, progress=False)
    assert np.abs(dataset.read(np.arange(6)) - signals).max() < 0.001
    with pytest.raises(DatasetError, match=r"'mmHg' is not a voltage"):
        ArraysSource("mine", dataclasses.replace(scaled, unit="mmHg"), table(), TASK)


class HuggingFaceLike:
    """What this package uses of a `datasets.Dataset`."""

    def __init__(self, frame):
        self._frame = frame

    def to_pandas(self):
        return self._frame


@pytest.mark.parametrize("kind", [lambda frame: frame, HuggingFaceLike], ids=["pandas", "hf"])
def test_a_table_may_hold_the_signals_too(tmp_path, kind):
    signals = noise()
    # Nested lists come back from Arrow as arrays of arrays.
    nested = [np.array([np.array(sample) for sample in s] + [None], object)[:-1] for s in signals]
    frame = table().assign(ecg=nested)
    options = {"sampling_rate_hz": 100.0, "leads": ("I", "II"), "unit": "mV"}

    extracted, labels = extract_recordings(kind(frame), signal_column="ecg", **options)
    dataset = write_store(ArraysSource("mine", extracted, labels, TASK), tmp_path, progress=False)

    assert np.abs(dataset.read(np.arange(6)) - signals).max() < 0.001
    assert "ecg" not in dataset.windows
    with pytest.raises(DatasetError, match=r"lacks the columns \['signal'\].*signal_column='"):
        extract_recordings(frame, **options)


def test_files_are_prepared_by_name_and_need_rate_leads_and_unit(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "mine.npy", rng.standard_normal((60, 50, 2)))
    rows = [
        {"record": f"r{i}", "patient": i // 2, "labels": "AB"[i % 2], "age": 50 + i}
        for i in range(60)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    options = {"labels": tmp_path / "labels.csv", "sampling_rate_hz": 100.0, "leads": ["I", "II"]}
    with pytest.raises(DatasetError, match=r"also needs \['unit'\]"):
        prepare("arrays", tmp_path / "mine.npy", data_dir=tmp_path / "d", options=options)
    options["unit"] = "mV"
    dataset = prepare(
        "arrays", tmp_path / "mine.npy", data_dir=tmp_path / "d", progress=False, options=options
    )
    assert dataset.name == "mine"
    assert dataset.windows["age"].tolist() == [50.0 + i for i in range(60)]
    assert dataset.select("labels").y.sum(axis=0).tolist() == [30, 30]
    assert (dataset.windows.groupby("patient")["part"].nunique() == 1).all()


def test_similar_patients_and_unread_ages_are_flagged_or_excluded(tmp_path):
    labels = table(
        patient=["P1", "p1", "2 ", "2", "3", "4"], age=["70", "old", "90+", "1", "", "5"]
    )
    found = write_store(source(labels), tmp_path / "flagged", progress=False)
    problems = pd.read_csv(found.path / "problems.csv")
    assert sorted(zip(problems["record"], problems["kind"], strict=True)) == [
        ("a", "similar_patient"),
        ("b", "not_a_number"),
        ("b", "similar_patient"),
    ]
    assert found.windows["patient"].tolist() == ["P1", "p1", "2", "2", "3", "4"]
    ages = found.windows["age"]
    assert ages.isna().tolist() == [False, True, False, False, True, False]
    assert ages.dropna().tolist() == [70, 90, 1, 5]
    rules = ProblemRules(exclude=["similar_patient"])
    found = write_store(source(labels), tmp_path / "excluded", progress=False, rules=rules)
    assert found.windows["record"].tolist() == list("cdef")


def test_names_match_without_leading_zeros_and_endings(tmp_path):
    names = ["001", "002", "003.npy", "004", "005", "006"]
    labels = table(record=[1, 2, 3, 4, 5, 6])
    matched = ArraysSource("mine", recordings(noise(), names), labels, TASK)
    dataset = write_store(matched, tmp_path, progress=False)
    assert dataset.windows["record"].tolist() == names
    assert dataset.windows["labels"].map(list).tolist() == table()["labels"].tolist()


def test_unknown_parts_are_refused_and_given_ones_kept(tmp_path):
    parts = ["train", "train", "validation", "test", "train", "test"]
    dataset = write_store(source(table(part=parts)), tmp_path, progress=False)
    assert dataset.windows["part"].tolist() == parts
    with pytest.raises(DatasetError, match=r"holds \['dev'\]"):
        source(table(part=[*parts[:-1], "dev"]))
