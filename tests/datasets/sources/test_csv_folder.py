"""Folders of CSV files with a label table."""

import numpy as np
import pandas as pd
import pytest

from ecglib.datasets import open_dataset, prepare
from ecglib.datasets.formats import FileOptions, convert_record, open_record
from ecglib.errors import DatasetError

RATE_HZ = 250.0
N = 500


def ecg(seed, n=N):
    """Three leads in mV with a beat about every 0.8 s."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) / RATE_HZ
    beats = np.cumsum(rng.uniform(0.6, 1.0, 60))
    wave = np.exp(-(((t[:, None] - beats) / 0.02) ** 2)).sum(axis=1)
    return wave[:, None] * [1.0, 1.4, -0.7] + 0.02 * rng.standard_normal((n, 3))


def write_record(path, signal, leads=("I", "II", "V1"), separator=",", end=""):
    """Write a record with a time column, every line of data with a text at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(["time", *leads])]
    for i, sample in enumerate(signal):
        numbers = (f"{value:.4f}" for value in sample)
        lines.append(separator.join([f"{i / RATE_HZ:.3f}", *numbers]) + end)
    path.write_text("\n".join(lines) + "\n")


def write_folder(tmp_path, n=24):
    folder = tmp_path / "mine"
    for i in range(n):
        write_record(folder / f"part{i % 2}" / f"{i:03d}.csv", ecg(i))
    rows = [
        {
            "record": i,
            "patient": f"p{i // 2}",
            "labels": ["A", "B", "A;B"][i % 3],
            "age": 40 + i,
            "score": i / 10,
        }
        for i in range(n)
    ]
    table = pd.DataFrame(rows)
    table.to_csv(folder / "labels.csv", index=False)
    return folder, table


def prepare_folder(folder, tmp_path, **options):
    given = {"labels": "labels.csv", "sampling_rate_hz": RATE_HZ, "unit": "mV", "min_records": 5}
    return prepare(
        "csv_folder", folder, data_dir=tmp_path / "data", progress=False, options=given | options
    )


def read_problems(dataset):
    problems = pd.read_csv(dataset.path / "problems.csv", dtype=str)
    return dict(zip(problems["record"], problems["kind"], strict=True))


def test_each_csv_file_becomes_the_record_that_its_row_names(tmp_path):
    folder, table = write_folder(tmp_path)
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {}
    assert dataset.signal.leads == ("I", "II", "V1")
    assert (dataset.signal.sampling_rate_hz, dataset.signal.n_samples) == (RATE_HZ, N)
    assert dataset.windows["record"].tolist() == [str(i) for i in range(24)]
    found = dataset.read(np.arange(24))
    assert all(np.abs(found[i] - ecg(i)).max() < 0.002 for i in range(24))
    assert dataset.windows["labels"][2].tolist() == ["A", "B"]
    assert dataset.windows["age"].tolist() == table["age"].tolist()
    assert dataset.default_tabular[0] == "age"
    assert "score" in dataset.tabular_columns
    assert (dataset.windows.groupby("patient")["part"].nunique() == 1).all()
    assert open_dataset("mine", tmp_path / "data").path == dataset.path


def test_options_choose_leads_window_unit_and_rows(tmp_path):
    folder, _ = write_folder(tmp_path)
    dataset = prepare_folder(
        folder, tmp_path, leads=["V1", "I"], window_s=1.0, where="age >= 50", name="other"
    )
    assert dataset.name == "other"
    assert dataset.signal.leads == ("V1", "I")
    assert dataset.signal.n_samples == 250
    assert dataset.windows["age"].min() == 50
    assert dataset.summary["excluded"] == {"rows that are not 'age >= 50'": 10}
    middle = ecg(10)[125:375][:, [2, 0]]
    assert np.abs(dataset.read([0])[0] - middle).max() < 0.002


def test_files_that_cannot_be_used_are_listed_and_the_others_go_on(tmp_path):
    folder, _ = write_folder(tmp_path)
    (folder / "part1" / "005.csv").write_text("")
    (folder / "part1" / "007.csv").write_text("time,I\n0,1\n")
    (folder / "part1" / "009.csv").write_text("time,I,II,V1\n0,1,x,2\n")
    (folder / "part1" / "011.csv").unlink()
    write_record(folder / "extra.csv", ecg(99))
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {
        "5": "too_short",
        "7": "missing_lead",
        "9": "unreadable",
        "11": "no_record",
        "extra": "no_row",
    }
    assert len(dataset.windows) == 20


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_separator_at_the_end_of_data_lines_moves_no_lead(tmp_path, separator):
    folder, _ = write_folder(tmp_path)
    for i in range(24):
        path = folder / f"part{i % 2}" / f"{i:03d}.csv"
        write_record(path, ecg(i), separator=separator, end=separator)
    dataset = prepare_folder(folder, tmp_path)
    found = dataset.read(np.arange(24))
    assert all(np.abs(found[i] - ecg(i)).max() < 0.002 for i in range(24))


def test_the_store_holds_what_predict_reads_from_the_same_file(tmp_path):
    folder, _ = write_folder(tmp_path)
    for i in range(24):
        leads = ("MLII", "Lead I", "v1") if i == 5 else ("I", "II", "V1")
        write_record(folder / f"part{i % 2}" / f"{i:03d}.csv", 1000 * ecg(i), leads)
    dataset = prepare_folder(folder, tmp_path, unit="uV", leads=["I", "II", "V1"])
    record = open_record(
        folder / "part1" / "005.csv", FileOptions(sampling_rate_hz=RATE_HZ, unit="uV")
    )
    expected = convert_record("5", record, dataset.signal).steps
    row = dataset.windows.index[dataset.windows["record"] == "5"]
    assert np.array_equal(dataset.read_steps(row.to_numpy())[0], expected)


def test_what_is_missing_is_named(tmp_path):
    folder, table = write_folder(tmp_path)
    with pytest.raises(DatasetError, match=r"also needs \['unit'\]"):
        prepare(
            "csv_folder",
            folder,
            data_dir=tmp_path / "data",
            options={"labels": "labels.csv", "sampling_rate_hz": 250.0},
        )
    with pytest.raises(DatasetError, match="'mmHg' is not a voltage"):
        prepare_folder(folder, tmp_path, unit="mmHg")
    table.assign(record=[f"x{i}" for i in range(24)]).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DatasetError, match=r"looked for \['x0'.*there are \['labels', 'part0/000'"):
        prepare_folder(folder, tmp_path, labels=tmp_path / "x.csv")
    for i in range(24):
        write_record(folder / f"part{i % 2}" / f"{i:03d}.csv", ecg(i), ("a", "b", "c"))
    with pytest.raises(
        DatasetError, match=r"has a known lead; .*columns \['time', 'a', 'b', 'c'\]"
    ):
        prepare_folder(folder, tmp_path)
    assert prepare_folder(folder, tmp_path, leads=["a", "b"]).signal.leads == ("a", "b")
    empty = tmp_path / "empty"
    empty.mkdir()
    table.to_csv(empty / "labels.csv", index=False)
    with pytest.raises(DatasetError, match=r"no \.csv file of a record below"):
        prepare_folder(empty, tmp_path)
