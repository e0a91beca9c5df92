"""Against the counts of shared/data/README.md, de Chazal et al. (2004) and wfdb."""

import shutil

import numpy as np
import pytest
import wfdb
from helpers import find_shared_data

from ecglib.datasets.sources.mitdb import (
    CLASSES,
    DS1,
    DS2,
    MitdbRhythmSource,
    MitdbSource,
    SimulatedMitdbSource,
    download,
)
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError

PUBLISHED = {
    "DS1": {"N": 45866, "S": 944, "V": 3788, "F": 415, "Q": 8},
    "DS2": {"N": 44259, "S": 1837, "V": 3221, "F": 388, "Q": 7},
}


def test_windows_and_excluded_beats_add_up_to_the_published_counts(mitdb_store):
    windows = mitdb_store.windows
    symbol_classes = {symbol: c for c, symbols in CLASSES.items() for symbol in symbols}
    classes = windows["labels"].str[0].map(symbol_classes).fillna("Q")
    for data_set, records in (("DS1", DS1), ("DS2", DS2)):
        counts = classes[windows["record"].isin(records)].value_counts()
        for name, number in PUBLISHED[data_set].items():
            excluded = mitdb_store.summary["excluded"]
            at_an_edge = excluded.get(f"{name} beats at an edge, {data_set}", 0)
            assert counts.get(name, 0) + at_an_edge == number, (data_set, name)


def test_ds2_is_the_test_split_and_validation_patients_are_whole(mitdb_store):
    windows = mitdb_store.windows
    assert set(windows.loc[windows["part"] == "test", "record"]) == set(DS2)
    assert not set(windows.loc[windows["part"] != "test", "record"]) & set(DS2)
    assert (windows.groupby("record")["part"].nunique() == 1).all()
    counts = mitdb_store.select("aami").count_windows()
    assert (counts > 0).all().all()


def test_the_person_on_both_sides_is_reported_and_the_other_task_is_clean(mitdb_store):
    leak = mitdb_store.summary["leaks"]["part"]["shared_patients"]
    assert leak["count"] == 1
    assert leak["examples"][0]["records"] == ["201", "202"]
    assert mitdb_store.summary["leaks"]["part_disjoint"]["shared_patients"]["count"] == 0
    disjoint = mitdb_store.select("aami_disjoint")
    assert "202" not in disjoint.in_split("test").records
    assert {"201", "202"} <= set(disjoint.in_split("train").records)


@pytest.mark.parametrize("record", ["100", "114"])
def test_the_beat_is_at_2_5_s_of_the_right_lead(mitdb_store, record):
    """At 2.5 s of a window is the sample that wfdb reads at the annotation."""
    path = str(find_shared_data("mitdb") / record)
    signal, annotations = wfdb.rdrecord(path), wfdb.rdann(path, "atr")
    mlii = signal.p_signal[:, signal.sig_name.index("MLII")]
    rows = np.flatnonzero(mitdb_store.windows["record"] == record)[50:80]
    found = mitdb_store.read(rows)[:, :, 0]
    beats = annotations.sample[np.isin(annotations.symbol, list("NAV"))]
    starts_s = (
        mitdb_store.windows["start"].to_numpy()[rows] - find_offset(mitdb_store, record)
    ) / 120
    for start_s, window in zip(starts_s, found, strict=True):
        beat = beats[np.argmin(np.abs(beats / 360 - (start_s + 2.5)))]
        assert abs(beat / 360 - (start_s + 2.5)) <= 0.5 / 120 + 1e-9
        found_mv = window[300 - 180 : 300 + 60]
        shifts = range(-6, 7)  # at 360 Hz
        correlations = [
            np.corrcoef(mlii[beat - 540 + shift : beat + 180 + shift : 3], found_mv)[0, 1]
            for shift in shifts
        ]
        assert max(correlations) > 0.97
        assert abs(shifts[np.argmax(correlations)]) <= 2


def find_offset(dataset, record):
    """First sample of a record in the packed file: each has 650,000 / 3 samples."""
    order = list(dict.fromkeys(dataset.windows["record"]))
    return order.index(record) * -(-650000 // 3)


def test_the_values_of_a_window_are_those_of_its_beat(mitdb_store):
    """Against the intervals between the annotations that wfdb reads; most lose the first beats."""
    import wfdb

    annotations = wfdb.rdann(str(find_shared_data("mitdb") / "100"), "atr")
    beats_s = annotations.sample[np.isin(annotations.symbol, list("NAV"))] / 360
    rr = np.diff(beats_s)
    windows = mitdb_store.windows[mitdb_store.windows["record"] == "100"]
    start_s = (windows["start"].to_numpy() - find_offset(mitdb_store, "100")) / 120
    beat = np.abs(beats_s[:, None] - (start_s + 2.5)).argmin(axis=0)[40:80]
    usual = [np.median(rr[max(0, b - 200) : b]) for b in beat]
    assert windows["rr_before_ratio"].to_numpy()[40:80] == pytest.approx(rr[beat - 1] / usual)
    assert windows["rr_after_to_record_ratio"].to_numpy()[40:80] == pytest.approx(
        rr[beat] / np.median(rr)
    )
    normal = windows["labels"].str[0] == "N"
    assert windows["qrs_correlation_mlii"][normal].median() > 0.95


@pytest.fixture(scope="module")
def simulated_store(tmp_path_factory):
    source = SimulatedMitdbSource(find_shared_data("mitdb"))
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.mark.slow
def test_simulated_beats_are_in_training_only_and_all_else_is_unchanged(
    mitdb_store, simulated_store
):
    windows = simulated_store.windows
    simulated = windows["record"].str.endswith("_simulated")
    assert set(windows["part"][simulated]) == {"train"}
    assert set(windows["part_disjoint"][simulated]) == {"train"}
    real = windows[~simulated].reset_index(drop=True)
    same = [name for name in mitdb_store.windows if name != "start"]
    assert windows["training_only"].eq(True).equals(simulated)
    assert real[same].equals(mitdb_store.windows[same])
    for part in ("validation", "test"):
        rows = [
            store.select("aami").in_split(part).rows for store in (simulated_store, mitdb_store)
        ]
        assert np.array_equal(simulated_store.read(rows[0]), mitdb_store.read(rows[1]))
    assert simulated_store.caveats == ("simulated beats in training",)


@pytest.mark.slow
def test_simulated_beats_come_from_many_patients_where_real_ones_come_from_few(simulated_store):
    train = simulated_store.select("aami").in_split("train")
    simulated = np.char.endswith(train.records.astype(str), "_simulated")
    for name, minimum in (("S", 500), ("F", 50)):
        in_class = train.y[:, train.classes.index(name)] > 0
        simulated_counts, real_counts = (
            np.unique(train.patients[in_class & origin].astype(str), return_counts=True)[1]
            for origin in (simulated, ~simulated)
        )
        assert simulated_counts.sum() > minimum
        max_fraction = simulated_counts.max() / simulated_counts.sum()
        assert max_fraction < real_counts.max() / real_counts.sum(), name


@pytest.mark.slow
def test_simulated_beats_add_no_leak(mitdb_store, simulated_store):
    for column in ("part", "part_disjoint"):
        found, real = (store.summary["leaks"][column] for store in (simulated_store, mitdb_store))
        for kind in ("shared_patients", "identical_signals", "near_identical_records"):
            assert found[kind]["count"] == real[kind]["count"], kind


@pytest.mark.slow
def test_no_simulated_beat_is_scored_in_a_fold(simulated_store):
    scored = []
    for fold in range(1, 7):
        selection = simulated_store.select("aami", (), 6, fold)
        elsewhere = selection.take(selection.part != "train")
        assert not np.char.endswith(elsewhere.records.astype(str), "_simulated").any()
        assert np.char.endswith(selection.in_split("train").records.astype(str), "_simulated").any()
        assert not set(selection.in_split("train").patients) & set(elsewhere.patients)
        scored += list(selection.in_split("test").records)
    assert set(scored) == set(DS1)


def test_a_missing_file_is_named(tmp_path):
    folder = tmp_path / "mitdb"
    shutil.copytree(find_shared_data("mitdb"), folder)
    (folder / "234.dat").unlink()
    with pytest.raises(DatasetError, match=r"lacks 1 files.*234\.dat"):
        MitdbSource(folder)


def test_the_download_takes_the_files_that_are_read_and_no_others(tmp_path, monkeypatch):
    published = (find_shared_data("mitdb") / "SHA256SUMS.txt").read_text().split()[1::2]
    requested = {}

    def download_files(database, version, folder, wanted):
        requested[database, version] = {name for name in published if wanted(name)}
        return folder

    monkeypatch.setattr("ecglib.datasets.sources.mitdb.download_files", download_files)
    assert download(tmp_path) == tmp_path
    read = {f"{record}.{end}" for record in DS1 + DS2 for end in ("hea", "dat", "atr")}
    assert read <= requested["mitdb", "1.0.0"]
    assert not {name for name in requested["mitdb", "1.0.0"] if name.endswith((".html", ".xws"))}


@pytest.fixture(scope="module")
def rhythm_store(tmp_path_factory):
    source = MitdbRhythmSource(find_shared_data("mitdb"))
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


def test_a_window_has_the_rhythm_that_wfdb_reads_throughout_it(rhythm_store):
    import wfdb

    windows = rhythm_store.windows
    offset = windows.groupby("record")["start"].min()
    for name in ("200", "202", "222"):
        annotations = wfdb.rdann(str(find_shared_data("mitdb") / name), "atr")
        changes = [
            (sample / 360, note.strip("\0"))
            for sample, note in zip(annotations.sample, annotations.aux_note, strict=True)
            if note
        ]
        found = {}
        for row in windows[windows["record"] == name].itertuples():
            start_s = round((row.start - offset[name]) / 120, 6)
            found[start_s] = row.labels[0]
        expected = {}
        for start_s in np.arange(0, 1800, 10.0):
            # Every rhythm that holds for a moment of the window; the first begins the record.
            holds = [a for t, a in changes if t <= start_s][-1:] or [changes[0][1]]
            holds += [a for t, a in changes if start_s < t < start_s + 10 and a != holds[0]]
            if len(holds) == 1:
                expected[start_s] = holds[0].lstrip("(")
        first = min(expected)
        shifted = {start_s + first: label for start_s, label in found.items()}
        assert {k: v for k, v in expected.items() if k in shifted} == shifted


def test_rhythm_splits_keep_patients_whole_and_each_has_every_class(rhythm_store):
    assert (rhythm_store.windows.groupby("patient")["part"].nunique() == 1).all()
    assert rhythm_store.summary["leaks"]["part"]["shared_patients"]["count"] == 0
    assert (rhythm_store.select("rhythm").count_windows() > 0).all().all()
    excluded = rhythm_store.summary["excluded"]
    assert len(rhythm_store.windows) + excluded["windows in which the rhythm changes"] == 44 * 180


def test_truncated_annotations_are_a_problem_of_their_record(tmp_path, monkeypatch):
    for name in (*DS1, *DS2):
        for ext in ("hea", "dat", "atr"):
            (tmp_path / f"{name}.{ext}").symlink_to(find_shared_data("mitdb") / f"{name}.{ext}")
    monkeypatch.setattr("ecglib.datasets.sources.mitdb.DS1", ["101"])
    monkeypatch.setattr("ecglib.datasets.sources.mitdb.DS2", ["100", "103"])
    for name, n_bytes in (("100", 1500), ("103", 1501)):
        content = (tmp_path / f"{name}.atr").read_bytes()
        (tmp_path / f"{name}.atr").unlink()
        (tmp_path / f"{name}.atr").write_bytes(content[:n_bytes])
    items = list(MitdbSource(tmp_path).read_records())
    assert [item.name for item in items[:1]] == ["101"]
    assert [(item.record, item.kind) for item in items[1:]] == [
        ("100", "truncated"),
        ("103", "truncated"),
    ]


def test_files_that_differ_from_the_published_checksums_are_a_problem(tmp_path, monkeypatch):
    folder = find_shared_data("mitdb")
    for name in (*DS1, *DS2):
        for ext in ("hea", "dat", "atr"):
            (tmp_path / f"{name}.{ext}").symlink_to(folder / f"{name}.{ext}")
    shutil.copy(folder / "SHA256SUMS.txt", tmp_path)
    monkeypatch.setattr("ecglib.datasets.sources.mitdb.DS1", ["101"])
    monkeypatch.setattr("ecglib.datasets.sources.mitdb.DS2", ["103"])
    beats = wfdb.rdann(str(folder / "103"), "atr")
    (tmp_path / "103.atr").unlink()
    # Complete, but two beats are missing.
    wfdb.wrann("103", "atr", beats.sample[:-2], beats.symbol[:-2], write_dir=str(tmp_path))
    first, second = MitdbSource(tmp_path).read_records()
    assert first.name == "101"
    assert (second.record, second.kind) == ("103", "wrong_checksum")
    assert "103.atr is not the file that SHA256SUMS.txt lists" in second.detail
