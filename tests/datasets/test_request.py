"""Which store an equal, a changed or a similar request opens."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
from helpers import LEADS, make_small_source

from ecglib.datasets import find_stores, open_dataset, prepare, verify_store
from ecglib.datasets.sources import arrays
from ecglib.datasets.sources.arrays import ArraysOptions
from ecglib.datasets.sources.table import TableSource
from ecglib.datasets.sources.wfdb_folder import WfdbFolderOptions
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError

N_RECORDS = 60


def write_labels(path):
    rows = [
        {"record": f"r{i:02d}", "patient": f"p{i}", "labels": "AB"[i % 2], "age": 30 + i}
        for i in range(N_RECORDS)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def array_request(tmp_path):
    """A source and its options, as `prepare` takes them."""
    signals = 0.3 * np.random.default_rng(0).standard_normal((N_RECORDS, 200, 3))
    np.save(tmp_path / "mine.npy", signals)
    options = {
        "labels": write_labels(tmp_path / "labels.csv"),
        "sampling_rate_hz": 250.0,
        "leads": ["I", "II", "V1"],
        "unit": "mV",
        "name": "mine",
        "kind": "multi_label",
        "min_records": 10,
    }
    return {"name": "arrays", "source": tmp_path / "mine.npy", "options": options}


@pytest.fixture
def folder_request(tmp_path):
    """A folder of WFDB records and its options, as `prepare` takes them."""
    folder = tmp_path / "records"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = "".join("{0}.dat 16 1000/mV 16 0 0 0 0 " + lead + "\n" for lead in LEADS)
    for i in range(N_RECORDS):
        name = f"r{i:02d}"
        (folder / f"{name}.hea").write_text(f"{name} 3 250 500\n" + lines.format(name))
        (300 * rng.standard_normal((500, 3))).astype("<i2").tofile(folder / f"{name}.dat")
    options = {
        "labels": write_labels(tmp_path / "labels.csv"),
        "name": "mine",
        "leads": list(LEADS),
        "lead_columns": {},
        "sampling_rate_hz": 250.0,
        "window_s": 2.0,
        "kind": "multi_label",
        "min_records": 10,
        "where": "",
    }
    return {"name": "wfdb_folder", "source": folder, "options": options}


def prepare_again(request, data_dir, **changes):
    options = request["options"] | changes
    return prepare(
        request["name"], request["source"], data_dir=data_dir, progress=False, options=options
    )


CHANGES = {
    "sampling_rate_hz": 200.0,
    "leads": ["V1", "II", "I"],
    "lead_columns": {"I": 1},
    "unit": "uV",
    "kind": "multi_class",
    "min_records": 20,
    "window_s": 1.0,
    "where": "age >= 40",
}


@pytest.mark.parametrize(
    ("source", "options_class"),
    [("array_request", ArraysOptions), ("folder_request", WfdbFolderOptions)],
)
def test_each_changed_option_says_so_and_prepares_a_store_beside_the_old_one(
    source, options_class, request, tmp_path, capsys
):
    wanted, data_dir = request.getfixturevalue(source), tmp_path / "data"
    options = {field.name for field in dataclasses.fields(options_class)} - {"labels", "name"}
    stores = [prepare_again(wanted, data_dir)]
    assert capsys.readouterr().err == ""

    for name in sorted(options):
        if name == "unit":  # of the same samples
            np.save(tmp_path / "uv.npy", 1000 * np.load(wanted["source"]))
            wanted = wanted | {"source": tmp_path / "uv.npy"}
        stores.append(prepare_again(wanted, data_dir, **{name: CHANGES[name]}))
        assert f"options.{name}: " in capsys.readouterr().err

    assert len({store.path for store in stores}) == len(options) + 1
    assert len({store.fingerprint for store in stores}) == len(options) + 1
    wanted = request.getfixturevalue(source)
    assert prepare_again(wanted, data_dir).path == stores[0].path


@pytest.mark.parametrize("source", ["array_request", "folder_request"])
def test_a_label_table_counts_by_its_content_not_by_its_path(source, request, tmp_path, capsys):
    wanted = request.getfixturevalue(source)
    first = prepare_again(wanted, tmp_path / "data")
    moved = write_labels(tmp_path / "moved.csv")
    assert prepare_again(wanted, tmp_path / "data", labels=moved).path == first.path
    moved.write_text(moved.read_text().replace("p3,", "p4,", 1))
    capsys.readouterr()
    changed = prepare_again(wanted, tmp_path / "data", labels=moved)
    assert "what changed: the files of the source. " in capsys.readouterr().err
    assert changed.fingerprint != first.fingerprint


def test_values_of_another_type_open_the_same_store(array_request, tmp_path):
    first = prepare_again(array_request, tmp_path / "data")
    changes = {"sampling_rate_hz": 250, "leads": ("I", "II", "V1")}
    assert prepare_again(array_request, tmp_path / "data", **changes).path == first.path


def test_equal_samples_at_another_rate_or_of_other_leads_have_another_fingerprint(tmp_path):
    source = make_small_source()
    found = [write_store(source, tmp_path / "0", progress=False).fingerprint]
    signal = source.signal
    for number, change in enumerate(
        ({"sampling_rate_hz": 2 * signal.sampling_rate_hz}, {"leads": signal.leads[::-1]}), start=1
    ):
        source.signal = dataclasses.replace(signal, **change)
        found.append(write_store(source, tmp_path / str(number), progress=False).fingerprint)
    assert len(set(found)) == 3


def test_the_order_of_classes_and_of_tasks_counts(tmp_path, capsys):
    """It is the order of the columns of a label array, and the first task is the default."""
    source = make_small_source()
    first = write_store(source, tmp_path, progress=False)
    task = source.tasks["letters"]
    source.tasks = {"letters": dataclasses.replace(task, classes={"B": ["B"], "A": ["A"]})}
    swapped = write_store(source, tmp_path, progress=False)
    assert "the order of tasks.letters.classes: A, B -> B, A" in capsys.readouterr().err
    assert swapped.select("letters").y[:, ::-1].tolist() == first.select("letters").y.tolist()
    assert swapped.fingerprint != first.fingerprint
    source.tasks = {"first": task, **source.tasks}
    source.tasks["first"] = dataclasses.replace(task, name="first")
    more = write_store(source, tmp_path, progress=False)
    source.tasks = dict(reversed(source.tasks.items()))
    turned = write_store(source, tmp_path, progress=False)
    assert (more.default_task, turned.default_task) == ("first", "letters")


def test_a_source_that_leaves_an_option_out_is_refused(array_request, tmp_path, monkeypatch):
    open_arrays = arrays.open_arrays

    def open_carelessly(file, options):
        source = open_arrays(file, options)
        source.options = {name: source.options[name] for name in source.options if name != "kind"}
        return source

    monkeypatch.setattr(arrays, "open_arrays", open_carelessly)
    with pytest.raises(DatasetError, match=r"leaves \['kind'\] out of its options"):
        prepare_again(array_request, tmp_path / "data")


def test_touched_files_are_read_once_more_and_the_store_stays(
    folder_request, tmp_path, monkeypatch
):
    first = prepare_again(folder_request, tmp_path / "data")
    os.utime(folder_request["source"] / "r05.dat", (1, 1))
    assert prepare_again(folder_request, tmp_path / "data").path == first.path
    verify_store(first.path)
    monkeypatch.setattr(TableSource, "read_records", None)
    assert prepare_again(folder_request, tmp_path / "data").path == first.path
    assert len(find_stores(tmp_path / "data")) == 1


def test_a_name_is_compared_inside_the_store_whatever_the_folder_is_called(tmp_path):
    def write(name, seed):
        source = make_small_source(seed=seed)
        source.name = name
        return write_store(source, tmp_path, progress=False)

    longer, brackets = write("mitdb-mini", 0), write("a[1]*?", 1)
    with pytest.raises(DatasetError, match=r"No prepared store of 'mitdb'.*ecglib prepare mitdb"):
        open_dataset("mitdb", tmp_path)
    for store in (longer, brackets):
        assert find_stores(tmp_path, store.name) == [store.path]
        assert open_dataset(store.name, tmp_path).fingerprint == store.fingerprint
        assert open_dataset(store.path.name, tmp_path).fingerprint == store.fingerprint
    assert find_stores(tmp_path, "*") == []
    assert len(find_stores(tmp_path)) == 2
    renamed = longer.path.rename(tmp_path / "of last year")
    assert find_stores(tmp_path, "mitdb-mini") == [renamed]
    exact = write("mitdb", 2)
    assert open_dataset("mitdb", tmp_path).path == exact.path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/store", "not the folder of a prepared store.*has no dataset.json"),
        ("no/such", "not the folder of a prepared store"),
        ("**/*", "not the folder of a prepared store"),
        ("ptbxll", r"prepared there: \['small-\w+'\].*Did you mean 'ptbxl'"),
        ("", "No store in"),
        ("a" * 5000, "No store in"),
        ("nul\0", "No store in"),
    ],
)
def test_a_store_that_does_not_exist_is_one_sentence(name, message, tmp_path):
    write_store(make_small_source(), tmp_path, progress=False)
    with pytest.raises(DatasetError, match=message):
        open_dataset(name, tmp_path)
    with pytest.raises(DatasetError, match=message if "/" in name else "No source is called"):
        prepare(name, data_dir=tmp_path)


def test_a_store_prepared_with_other_options_is_not_opened_by_its_name_unsaid(tmp_path, capsys):
    source = make_small_source()
    source.name, source.options = "ptbxl", {"sampling_rate_hz": 100.0, "where": "age >= 18"}
    store = write_store(source, tmp_path, progress=False)
    assert prepare("ptbxl", data_dir=tmp_path).path == store.path
    assert "prepared with options.where:  -> age >= 18. For another" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="is a prepared store: its source, options and rules"):
        prepare(str(store.path), data_dir=tmp_path, options={"where": ""})
    source.options = {"sampling_rate_hz": 100.0, "where": ""}
    usual = write_store(source, tmp_path / "other", progress=False)
    capsys.readouterr()
    assert prepare("ptbxl", data_dir=tmp_path / "other").path == usual.path
    assert capsys.readouterr().err == ""


def test_two_stores_of_one_name_say_what_differs(tmp_path):
    source = make_small_source()
    write_store(source, tmp_path, progress=False)
    source.signal = dataclasses.replace(source.signal, sampling_rate_hz=250.0)
    write_store(source, tmp_path, progress=False)
    with pytest.raises(DatasetError, match=r"two: signal.sampling_rate_hz: 250 -> 100\."):
        open_dataset("small", tmp_path)
