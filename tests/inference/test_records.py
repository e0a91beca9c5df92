"""Tabular values of records that are to be predicted."""

import dataclasses

import numpy as np
import pytest

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.tabular.heart_rate import HEART_RATE
from ecglib.errors import DatasetError
from ecglib.inference.records import Given, check_values, tabular_of, windows_of

SIGNAL = SignalSpec(100.0, 1000, ("I", "II"))
GIVEN = Given(rate_hz=100.0, unit="mV", leads=("I", "II"), values={"age": 63, "sex": 1})


def saved(folder, length_s=10.0):
    """A record of 75 beats a minute."""
    t = np.arange(round(length_s * 100)) / 100
    qrs = np.exp(-(((t[:, None] - np.arange(0.4, length_s, 0.8)) / 0.02) ** 2)).sum(axis=1)
    np.save(folder / "a.npy", np.stack([0.6 * qrs, qrs + 0.1], axis=1))
    return folder / "a.npy"


def test_what_was_given_comes_first_and_the_rest_is_computed_or_missing(tmp_path):
    (window,) = windows_of([saved(tmp_path)], SIGNAL, GIVEN)
    assert window.values == {"age": 63, "sex": 1}
    columns = ["sex", "height", "heart_rate_bpm", "rr_max_s", "age"]
    found = tabular_of(window, columns, SIGNAL)
    assert found.dtype == np.float32
    assert found[[0, 2, 3, 4]] == pytest.approx([1, 75, 0.8, 63], abs=0.01)
    assert np.isnan(found[1])
    told = dataclasses.replace(window, values={"heart_rate_bpm": 80})
    assert tabular_of(told, columns, SIGNAL)[2] == 80
    assert tabular_of(told, columns, SIGNAL)[3] == pytest.approx(0.8, abs=0.01)


def test_the_padded_end_of_a_record_does_not_count(tmp_path):
    given = dataclasses.replace(GIVEN, pad=True)
    (window,) = windows_of([saved(tmp_path, 4.7)], SIGNAL, given)
    assert tabular_of(window, HEART_RATE, SIGNAL) == pytest.approx(
        [75, 0, 0, 0, 0.8, 0.8], abs=0.01
    )


def test_beats_are_not_looked_for_where_nobody_asks(tmp_path, monkeypatch):
    (window,) = windows_of([saved(tmp_path)], SIGNAL, GIVEN)
    monkeypatch.setattr("ecglib.inference.records.of_window", None)
    assert tabular_of(window, ["age"], SIGNAL).tolist() == [63]
    assert tabular_of(window, [], SIGNAL).shape == (0,)


def test_a_value_that_no_column_bears_is_refused_with_the_nearest_name():
    check_values({"age": 63}, ("age", "sex"))
    with pytest.raises(DatasetError, match=r"'agee'.*only at age, sex.*mean 'age'"):
        check_values({"agee": 63}, ("age", "sex"))
    with pytest.raises(DatasetError, match="at no tabular values"):
        check_values({"age": 63}, ())
    with pytest.raises(DatasetError, match=r"'sex' is 'F', expected a number"):
        check_values({"sex": "F"}, ("age", "sex"))
