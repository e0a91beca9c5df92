import numpy as np
import pandas as pd
import pytest

from ecglib.datasets import prepare
from ecglib.datasets.schema import Task
from ecglib.datasets.sources.arrays import ArraysSource
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


def source(own_table, records="abcdef"):
    signals = np.random.default_rng(0).standard_normal((len(records), 50, 2))
    return ArraysSource(
        "own", signals, list(records), own_table, TASK, 100.0, ("I", "II"), unit="mV"
    )


def test_the_order_of_the_table_does_not_matter(tmp_path):
    straight = write_store(source(table()), tmp_path / "a", progress=False)
    turned = write_store(source(table().iloc[::-1]), tmp_path / "b", progress=False)
    assert turned.fingerprint == straight.fingerprint


def test_ids_that_do_not_match_are_named():
    with pytest.raises(DatasetError, match=r"1 records have no row.*'f'.*1 rows.*'x'.*counterpart"):
        source(table(record=list("abcdex")))


def test_ids_that_stand_twice_are_named():
    with pytest.raises(DatasetError, match=r"twice in the label table.*'a'"):
        source(table(record=list("aacdef")))


def test_patients_are_required():
    with pytest.raises(DatasetError, match=r"lacks the columns \['patient'\]"):
        source(table().drop(columns="patient"))


def test_the_number_of_records_must_be_that_of_the_array():
    with pytest.raises(DatasetError, match=r"shape \(6, 50, 2\), expected \(3, n_samples, 2\)"):
        ArraysSource(
            "own", np.zeros((6, 50, 2)), list("abc"), table(), TASK, 100.0, ("I", "II"), unit="mV"
        )


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1000.0), ("V", 0.001)])
def test_units_are_converted_to_millivolt(tmp_path, unit, factor):
    signals = np.random.default_rng(0).standard_normal((6, 50, 2))
    contract = {"sampling_rate_hz": 100.0, "leads": ("I", "II")}
    own = ArraysSource(
        "own", signals * factor, list("abcdef"), table(), TASK, **contract, unit=unit
    )
    dataset = write_store(own, tmp_path, progress=False)
    assert np.abs(dataset.read(np.arange(6)) - signals).max() < 0.001
    with pytest.raises(DatasetError, match=r"'mmHg' is none of voltage"):
        ArraysSource("own", signals, list("abcdef"), table(), TASK, **contract, unit="mmHg")


class HuggingFaceLike:
    """What this package looks at of a `datasets.Dataset`."""

    def __init__(self, frame):
        self._frame = frame

    def to_pandas(self):
        return self._frame


@pytest.mark.parametrize("kind", [lambda frame: frame, HuggingFaceLike], ids=["pandas", "hf"])
def test_a_table_may_hold_the_signals_too(tmp_path, kind):
    signals = np.random.default_rng(0).standard_normal((6, 50, 2))
    # Nested lists come back from Arrow as arrays of arrays.
    nested = [np.array([np.array(sample) for sample in s] + [None], object)[:-1] for s in signals]
    frame = table().assign(ecg=nested)
    contract = {"sampling_rate_hz": 100.0, "leads": ("I", "II"), "unit": "mV"}
    own = ArraysSource.of_table("own", kind(frame), TASK, signal="ecg", **contract)
    dataset = write_store(own, tmp_path, progress=False)
    assert np.abs(dataset.read(np.arange(6)) - signals).max() < 0.001
    with pytest.raises(DatasetError, match=r"lacks the columns \['signal'\].*signal='"):
        ArraysSource.of_table("own", frame, TASK, **contract)


def test_files_are_prepared_by_name_with_the_contract_required(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "own.npy", rng.standard_normal((60, 50, 2)))
    rows = [
        {"record": f"r{i}", "patient": i // 2, "labels": "AB"[i % 2], "age": 50 + i}
        for i in range(60)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    options = {"labels": tmp_path / "labels.csv", "sampling_rate_hz": 100.0, "leads": ["I", "II"]}
    with pytest.raises(DatasetError, match=r"also needs \['unit'\]"):
        prepare("arrays", tmp_path / "d", tmp_path / "own.npy", options=options)
    options["unit"] = "mV"
    dataset = prepare("arrays", tmp_path / "d", tmp_path / "own.npy", False, options=options)
    assert dataset.name == "own"
    assert dataset.windows["age"].tolist() == [50.0 + i for i in range(60)]
    assert dataset.select("labels").y.sum(axis=0).tolist() == [30, 30]
    assert (dataset.windows.groupby("patient")["part"].nunique() == 1).all()


def test_unknown_parts_are_refused_and_given_ones_kept(tmp_path):
    parts = ["train", "train", "validation", "test", "train", "test"]
    dataset = write_store(source(table(part=parts)), tmp_path, progress=False)
    assert dataset.windows["part"].tolist() == parts
    with pytest.raises(DatasetError, match=r"holds \['dev'\]"):
        source(table(part=[*parts[:-1], "dev"]))
