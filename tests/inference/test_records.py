"""Tabular values of records that are to be predicted."""

import dataclasses
import os

import numpy as np
import pytest

from ecglib.datasets.problems import KINDS
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.tabular.heart_rate import HEART_RATE
from ecglib.errors import DatasetError
from ecglib.inference.options import RecordOptions
from ecglib.inference.records import Window, check_tabular_values, compute_tabular, read_windows

SIGNAL = SignalSpec(100.0, 1000, ("I", "II"))
OPTIONS = RecordOptions(
    sampling_rate_hz=100.0, unit="mV", leads=("I", "II"), values={"age": 63, "sex": 1}
)


def save_record(folder, length_s=10.0):
    """Save a record of 75 beats a minute."""
    t = np.arange(round(length_s * 100)) / 100
    qrs = np.exp(-(((t[:, None] - np.arange(0.4, length_s, 0.8)) / 0.02) ** 2)).sum(axis=1)
    np.save(folder / "a.npy", np.stack([0.6 * qrs, qrs + 0.1], axis=1))
    return folder / "a.npy"


def test_given_values_come_first_and_the_rest_is_computed_or_missing(tmp_path):
    (window,) = read_windows([save_record(tmp_path)], SIGNAL, OPTIONS)
    assert window.values == {"age": 63, "sex": 1}
    columns = ["sex", "height", "heart_rate_bpm", "rr_max_s", "age"]
    found = compute_tabular(window, columns, SIGNAL)
    assert found.dtype == np.float32
    assert found[[0, 2, 3, 4]] == pytest.approx([1, 75, 0.8, 63], abs=0.01)
    assert np.isnan(found[1])
    with_rate = dataclasses.replace(window, values={"heart_rate_bpm": 80})
    assert compute_tabular(with_rate, columns, SIGNAL)[2] == 80
    assert compute_tabular(with_rate, columns, SIGNAL)[3] == pytest.approx(0.8, abs=0.01)


def test_the_padded_end_of_a_record_does_not_count(tmp_path):
    options = dataclasses.replace(OPTIONS, pad=True)
    (window,) = read_windows([save_record(tmp_path, 4.7)], SIGNAL, options)
    assert compute_tabular(window, HEART_RATE, SIGNAL) == pytest.approx(
        [75, 0, 0, 0, 0.8, 0.8], abs=0.01
    )


def test_beats_are_not_searched_unless_the_heart_rate_is_wanted(tmp_path, monkeypatch):
    (window,) = read_windows([save_record(tmp_path)], SIGNAL, OPTIONS)
    monkeypatch.setattr("ecglib.inference.records.compute_heart_rate", None)
    assert compute_tabular(window, ["age"], SIGNAL).tolist() == [63]
    assert compute_tabular(window, [], SIGNAL).shape == (0,)


def test_a_value_without_a_column_is_refused_with_the_nearest_name():
    check_tabular_values({"age": 63}, ("age", "sex"))
    with pytest.raises(DatasetError, match=r"'agee'.*uses only age, sex.*mean 'age'"):
        check_tabular_values({"agee": 63}, ("age", "sex"))
    with pytest.raises(DatasetError, match="uses no tabular values"):
        check_tabular_values({"age": 63}, ())
    with pytest.raises(DatasetError, match=r"'sex' is 'F', expected a number"):
        check_tabular_values({"sex": "F"}, ("age", "sex"))


def test_a_bad_file_of_each_kind_is_a_problem_of_its_record_and_the_others_go_on(tmp_path):
    save_record(tmp_path).rename(tmp_path / "good.npy")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "misnamed.npy").write_text("I,II\n1,2\n")
    (tmp_path / "no_rows.csv").write_text("I,II\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "empty.edf").touch()
    (tmp_path / "empty.hea").touch()
    (tmp_path / "folder.csv").mkdir()
    for name in ("broken.csv", "broken.npy", "broken.edf", "broken.hea"):
        (tmp_path / name).symlink_to("nowhere")
    np.save(tmp_path / "no_samples.npy", np.zeros((0, 2)))
    np.save(tmp_path / "no_records.npy", np.zeros((0, 9, 2)))
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.hea")
    windows, problems = [], []
    for item in read_windows([tmp_path], SIGNAL, OPTIONS):
        (windows if isinstance(item, Window) else problems).append(item)
    assert [window.record for window in windows] == [str(tmp_path / "good.npy")]
    files = {path.name for path in tmp_path.iterdir()} - {"good.npy", "folder.csv"}
    assert {problem.record for problem in problems} == {
        str(tmp_path / name.removesuffix(".hea")) for name in files
    }
    assert all(problem.kind in KINDS and problem.detail for problem in problems)
    named = [tmp_path / "broken.csv", tmp_path / "good.npy"]
    assert [type(item).__name__ for item in read_windows(named, SIGNAL, OPTIONS)] == [
        "Problem",
        "Window",
    ]


@pytest.mark.parametrize("start_s", [-1.0, 5.0, 1e300])
def test_a_start_that_is_no_time_in_the_record_is_refused_and_the_other_starts_go_on(
    tmp_path, start_s
):
    options = dataclasses.replace(OPTIONS, starts_s=(start_s, 0.0))
    problem, window = read_windows([save_record(tmp_path)], SIGNAL, options)
    assert problem.kind == "too_short"
    assert "Choose a start from 0 to 0." in problem.detail
    assert window.start_s == 0


def test_whatever_a_record_raises_is_a_problem_of_it(tmp_path, monkeypatch):
    def fail(name, record, signal):
        raise OverflowError("nobody foresaw this")

    monkeypatch.setattr("ecglib.inference.records.convert_record", fail)
    (problem,) = read_windows([save_record(tmp_path)], SIGNAL, OPTIONS)
    assert (problem.kind, problem.detail) == ("unreadable", "OverflowError: nobody foresaw this")


def test_offsets_and_other_findings_are_shown_with_the_window(tmp_path):
    path = save_record(tmp_path)
    np.save(path, np.load(path) + [0, 300])
    (window,) = read_windows([path], SIGNAL, OPTIONS)
    assert window.problems[0] == "a constant offset subtracted: II 300.1 mV"
    assert abs(np.median(window.steps[:, 1])) <= 1


@pytest.mark.parametrize("number", [1, 3])
def test_one_of_two_leads_of_one_name_is_chosen_by_its_column(tmp_path, number):
    t = np.arange(1000) / 100
    columns = [np.sin(t), np.cos(t), np.sin(3 * t)]
    lines = "\n".join(",".join(f"{x:.3f}" for x in row) for row in zip(*columns, strict=True))
    (tmp_path / "a.csv").write_text(f"II,I,ii\n{lines}\n")
    given = {"sampling_rate_hz": 100.0, "unit": "mV"}
    exact = SignalSpec(100.0, 1000, ("I", "II"))
    options = RecordOptions(lead_columns={"II": number}, **given)
    (window,) = read_windows([tmp_path / "a.csv"], exact, options)
    assert np.abs(window.signal_mv[:, 1] - columns[number - 1]).max() < 0.001
    assert np.abs(window.signal_mv[:, 0] - columns[1]).max() < 0.001
