import json
import shutil
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from helpers import LEADS, N_SAMPLES, make_small_source

from ecglib.datasets import ProblemRules, find_stores, open_dataset, prepare
from ecglib.datasets.labels import encode_labels
from ecglib.datasets.schema import Record, Task
from ecglib.datasets.sources.mitdb import MitdbSource
from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular.heart_rate import HEART_RATE, compute_heart_rate
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, ExperimentError


def test_samples_are_stored_to_half_a_microvolt(tmp_path):
    source = make_small_source(n_records=6, n_patients=6)
    dataset = write_store(source, tmp_path, progress=False)
    original = np.stack([record.signal_mv for record in source.read_records()])
    found = dataset.read(np.arange(6))
    assert found.shape == (6, N_SAMPLES, len(LEADS))
    assert found.dtype == np.float32
    assert np.abs(found - original).max() <= 0.0005 + 1e-6


def test_windows_may_overlap_and_are_read_in_the_order_asked(tmp_path):
    source = make_small_source(n_records=6, n_patients=6)
    source.tabular = ()
    long = np.arange(1000)[:, None] * np.array([[0.001, -0.001, 0.002]])
    windows = [
        {"patient": "p", "start": s, "length": N_SAMPLES, "labels": ["A"], "part": "train"}
        for s in (0, 10, 600)
    ]
    source.read_records = lambda: iter([Record.from_mv("x", long, windows)])
    dataset = write_store(source, tmp_path, progress=False)
    found = dataset.read(np.array([2, 0, 1]))
    assert np.allclose(found[:, 0, 0], [0.6, 0.0, 0.01], atol=1e-6)
    assert np.allclose(found[0], long[600:1000], atol=1e-6)


def test_the_signals_file_is_a_plain_npy_file(small_store):
    signals = np.load(small_store.path / "signals.npy")
    assert signals.dtype == np.int16
    assert signals.shape == (96 * N_SAMPLES, len(LEADS))


def test_prepared_once_and_same_content_same_fingerprint(tmp_path):
    first = write_store(make_small_source(), tmp_path, progress=False)
    stamp = (first.path / "signals.npy").stat().st_mtime_ns
    second = write_store(make_small_source(), tmp_path, progress=False)
    assert second.path == first.path
    assert (second.path / "signals.npy").stat().st_mtime_ns == stamp
    elsewhere = write_store(make_small_source(), tmp_path / "other", progress=False)
    assert elsewhere.fingerprint == first.fingerprint
    changed = write_store(make_small_source(seed=1), tmp_path, progress=False)
    assert changed.fingerprint != first.fingerprint


def test_the_fingerprint_depends_on_values_not_on_their_types(tmp_path):
    """Whole numbers and ages of Python or of NumPy, a missing age of either sign."""
    found = set()
    for place, (whole, real, nan) in enumerate(
        [(int, float, np.nan), (np.int64, np.float64, -np.nan), (np.int32, int, np.nan)]
    ):
        source = make_small_source()
        records = list(source.read_records())
        for record in records:
            for window in record.windows:
                window["start"], window["age"] = whole(window["start"]), real(40)
        records[7].windows[0]["age"] = nan
        source.read_records = lambda records=records: iter(records)
        found.add(write_store(source, tmp_path / str(place), progress=False).fingerprint)
    assert len(found) == 1
    records[7].windows[0]["age"] = 41
    assert write_store(source, tmp_path / "other", progress=False).fingerprint not in found


def test_an_interrupted_preparation_leaves_nothing_behind(tmp_path):
    source = make_small_source()
    read_all = source.read_records

    def read_three() -> Iterator[Record]:
        yield from list(read_all())[:3]
        raise KeyboardInterrupt

    source.read_records = read_three
    with pytest.raises(KeyboardInterrupt):
        write_store(source, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fail)
    with pytest.raises(DatasetError, match=r"No space left.*prepare again"):
        write_store(make_small_source(), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "cut", "message"),
    [
        ("signals.npy", 1000, "signals.npy cannot be read whole"),
        ("windows.parquet", 1000, "windows.parquet was changed"),
        ("dataset.json", 10, "dataset.json cannot be read"),
    ],
)
def test_a_store_cut_short_is_refused_with_the_remedy(small_store, tmp_path, name, cut, message):
    broken = tmp_path / small_store.path.name
    shutil.copytree(small_store.path, broken)
    content = (broken / name).read_bytes()
    (broken / name).write_bytes(content[:-cut])
    with pytest.raises(DatasetError, match=message) as error:
        Dataset(broken)
    assert "ecglib prepare" in str(error.value)


def test_a_store_of_another_format_is_refused_with_the_remedy(small_store, tmp_path):
    older = tmp_path / small_store.path.name
    shutil.copytree(small_store.path, older)
    summary = json.loads((older / "dataset.json").read_text())
    summary["format"] = 2
    (older / "dataset.json").write_text(json.dumps(summary))
    with pytest.raises(DatasetError, match=r"has format 2, expected 4.*prepare it again"):
        Dataset(older)


@pytest.mark.parametrize(
    ("factor", "guess"), [(1e-3, "volt; multiply them by 1000"), (1e3, "microvolt")]
)
def test_a_unit_that_cannot_be_millivolt_is_refused(tmp_path, factor, guess):
    source = make_small_source()
    source._signals = source._signals * factor
    with pytest.raises(DatasetError, match=guess):
        write_store(source, tmp_path, progress=False)


def test_a_record_with_nan_is_excluded_by_name_and_strict_stops(tmp_path):
    source = make_small_source()
    source._signals[7, 5, 1] = np.nan
    dataset = write_store(source, tmp_path, progress=False)
    assert "r007" not in set(dataset.windows["record"])
    assert dataset.summary["excluded"] == {"samples that were not measured (NaN)": 1}
    lines = (dataset.path / "problems.csv").read_text().splitlines()
    assert lines == ["record,kind,excluded,detail", "r007,not_measured,True,II 0.2%"]
    with pytest.raises(DatasetError, match=r"Record 'r007'.*not measured.*II 0\.2%"):
        write_store(source, tmp_path, progress=False, rules=ProblemRules(strict=True))


def test_gaps_that_are_kept_are_interpolated_and_the_rule_is_part_of_the_request(tmp_path):
    source = make_small_source()
    source._signals[7, 5:9, 1] = np.nan
    excluded = write_store(source, tmp_path, progress=False)
    kept = write_store(source, tmp_path, progress=False, rules=ProblemRules(keep=["not_measured"]))
    assert kept.path != excluded.path
    found = kept.read([7])[0, :, 1]
    assert found[4:10] == pytest.approx(np.linspace(found[4], found[9], 6), abs=0.0006)
    assert kept.summary["flagged"] == {"samples that were not measured (NaN)": 1}
    with pytest.raises(ExperimentError, match=r"keep='truncated', expected one of"):
        write_store(source, tmp_path, progress=False, rules=ProblemRules(keep=["truncated"]))


def test_only_the_windows_with_a_gap_of_a_long_record_are_excluded(tmp_path):
    source = make_small_source(n_records=6, n_patients=6)
    source.tabular = ()
    rng = np.random.default_rng(0)
    long = rng.standard_normal((3 * N_SAMPLES, 3))
    long[N_SAMPLES + 5] = np.nan
    windows = [
        {"patient": "p", "start": k * N_SAMPLES, "length": N_SAMPLES, "labels": ["A"], "part": part}
        for k, part in enumerate(("train", "validation", "test"))
    ]
    source.read_records = lambda: iter([Record.from_mv("x", long, windows)])
    dataset = write_store(source, tmp_path, progress=False)
    assert dataset.windows["part"].tolist() == ["train", "test"]
    assert np.abs(dataset.read([1])[0] - long[2 * N_SAMPLES :]).max() < 0.001


def test_odd_signals_are_flagged_unless_the_rules_exclude_them(tmp_path):
    source = make_small_source()
    source._signals[3, :, 0] = 0.4
    source._signals[5] = 0.0
    dataset = write_store(source, tmp_path, progress=False)
    assert dataset.summary["excluded"] == {"every lead flat": 1}
    assert dataset.summary["flagged"] == {"a lead flat": 1}
    stricter = write_store(
        source, tmp_path, progress=False, rules=ProblemRules(exclude=["flat_lead"])
    )
    assert stricter.summary["n_records"] == 94


def test_blocks_of_any_size_give_the_same_store(tmp_path, monkeypatch):
    source = make_small_source()
    whole = write_store(source, tmp_path / "a", progress=False)
    monkeypatch.setattr("ecglib.datasets.writer.BLOCK_VALUES", 5000)
    pieces = write_store(source, tmp_path / "b", progress=False)
    assert pieces.fingerprint == whole.fingerprint
    assert (pieces.path / "signals.npy").read_bytes() == (whole.path / "signals.npy").read_bytes()
    pd.testing.assert_frame_equal(pieces.windows, whole.windows)


def test_two_records_of_one_name_are_refused(tmp_path):
    source = make_small_source()
    records = list(source.read_records())
    records[5].name = records[60].name
    source.read_records = lambda: iter(records)
    with pytest.raises(DatasetError, match="96 records with 95 names"):
        write_store(source, tmp_path, progress=False)


def test_a_short_record_is_padded_with_zeros_that_the_mask_excludes(tmp_path):
    source = make_small_source(n_records=6, n_patients=6)
    signals = [signal[: 300 + 20 * i] for i, signal in enumerate(source._signals)]
    source._signals = signals
    dataset = write_store(source, tmp_path, progress=False)
    found, mask = dataset.read(np.arange(6)), dataset.read_measured_mask(np.arange(6))
    assert mask.sum(axis=1).tolist() == [300, 320, 340, 360, 380, 400]
    for signal, window, measured in zip(signals, found, mask, strict=True):
        assert np.abs(window[measured] - signal).max() < 0.001
        assert (window[~measured] == 0).all()


def test_wrong_lead_counts_are_refused_by_name(tmp_path):
    source = make_small_source()
    source._signals = source._signals[:, :, :2]
    with pytest.raises(DatasetError, match=r"shape \(400, 2\), expected \(n_samples, 3\)"):
        write_store(source, tmp_path, progress=False)


def test_labels_are_encoded_as_the_classes_of_the_task():
    task = Task("t", "multi_label", {"MI": ["IMI", "AMI"], "NORM": ["NORM"]})
    labels = pd.Series([["IMI", "AMI"], ["NORM", "SR"], ["SR"], []])
    assert encode_labels(labels, task).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_a_smallest_likelihood_needs_likelihoods():
    task = Task("t", "multi_label", {"MI": ["IMI"]}, min_likelihood=50)
    labels = pd.Series([["IMI"], ["IMI"]])
    likelihoods = pd.Series([[80.0], [35.0]])
    assert encode_labels(labels, task, likelihoods).tolist() == [[1], [0]]
    with pytest.raises(DatasetError, match=r"at least 50 % only.*no likelihoods"):
        encode_labels(labels, task)


def test_a_multi_class_task_has_no_windows_without_a_class(tmp_path):
    source = make_small_source(kind="multi_class")
    source._table.at[0, "labels"] = ["Q"]
    dataset = write_store(source, tmp_path, progress=False)
    selection = dataset.select("letters")
    assert len(selection.rows) == 95
    assert 0 not in selection.rows
    assert (selection.y.sum(axis=1) == 1).all()


def test_the_windows_of_a_split_keep_their_rows_and_labels(small_store):
    selection = small_store.select("letters")
    test = selection.in_split("test")
    assert set(test.part) == {"test"}
    expected = small_store.windows.iloc[test.rows]
    assert expected["record"].tolist() == test.records.tolist()
    assert [("A" in labels) for labels in expected["labels"]] == test.y[:, 0].astype(bool).tolist()
    assert selection.count_windows().loc["A", "test"] == test.y[:, 0].sum()


def test_unknown_tasks_and_names_are_refused_with_the_choices(small_store, tmp_path):
    with pytest.raises(DatasetError, match=r"no task 'words'.*letters"):
        small_store.select("words")
    with pytest.raises(DatasetError, match=r"ecglib prepare mitdb"):
        open_dataset("mitdb", tmp_path)
    with pytest.raises(DatasetError, match=r"No source is called 'mitbd'"):
        prepare("mitbd", data_dir=tmp_path)


def test_a_name_that_fits_two_stores_asks_which(tmp_path):
    a = write_store(make_small_source(), tmp_path, progress=False)
    write_store(make_small_source(seed=1), tmp_path, progress=False)
    assert len(find_stores(tmp_path)) == 2
    with pytest.raises(DatasetError, match="2 stores of 'small'"):
        open_dataset("small", tmp_path)
    assert open_dataset(a.path.name, tmp_path).fingerprint == a.fingerprint


def test_the_summary_is_plain_json_with_the_leak_report(small_store):
    summary = json.loads((small_store.path / "dataset.json").read_text())
    assert summary["signal"]["unit"] == "mV"
    assert summary["leaks"]["part"]["shared_patients"]["count"] == 0


def test_tabular_values_are_those_of_the_rows_asked_for_and_nan_where_missing(tmp_path):
    source = make_small_source(n_records=6, n_patients=6)
    source.tabular = ("age", "sex")
    source._table = source._table.assign(age=[50.0, None, 61, 62, 90, 18], sex=[0, 1, 1, 0, 1, 0])
    dataset = write_store(source, tmp_path, progress=False)
    assert dataset.tabular_columns == ("age", "sex", *HEART_RATE)
    assert dataset.default_tabular == dataset.tabular_columns
    found = dataset.read_tabular(np.array([4, 1, 1]), ["sex", "age"])
    assert found.dtype == np.float32
    assert np.array_equal(found, [[1, 90], [1, np.nan], [1, np.nan]], equal_nan=True)
    assert not (dataset.path / "heart_rate.parquet").exists()
    for ask in (dataset.check_tabular, lambda columns: dataset.select("letters", columns)):
        with pytest.raises(DatasetError, match=r"column 'agge'.*'rr_max_s'.*mean 'age'"):
            ask(["age", "agge"])
    train = dataset.select("letters", ["age"]).in_split("train")
    assert np.array_equal(train.tabular, dataset.read_tabular(train.rows, ["age"]), equal_nan=True)
    assert dataset.select("letters").tabular.shape == (6, 0)


def test_a_column_of_the_source_comes_before_a_statistic_of_its_name(tmp_path):
    source = make_small_source(n_records=6, n_patients=6)
    source.tabular = ("rr_max_s",)
    source._table = source._table.assign(rr_max_s=np.arange(6) / 4)
    dataset = write_store(source, tmp_path, progress=False)
    assert sorted(dataset.tabular_columns) == sorted(HEART_RATE)
    found = dataset.read_tabular(np.arange(6), ["rr_max_s", "rr_min_s"])
    assert found[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25]
    expected = compute_heart_rate(dataset.read(np.arange(6))[3], dataset.signal)
    assert np.array_equal(found[3, 1], expected[HEART_RATE.index("rr_min_s")], equal_nan=True)


def test_around_a_beat_the_values_of_the_source_come_first(mitdb_store):
    columns = MitdbSource.tabular
    assert columns[0] == "rr_before_ratio"
    assert mitdb_store.default_tabular == columns
    assert mitdb_store.tabular_columns == (*columns, *HEART_RATE)
    rows = np.array([3, 2000])
    table = mitdb_store.windows.iloc[rows][list(columns)].to_numpy(np.float32)
    assert np.array_equal(mitdb_store.read_tabular(rows, columns), table, equal_nan=True)
