"""Against the counts of shared/data/README.md and, statement by statement, against the tables."""

import ast
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import find_shared_data

from ecglib.datasets import prepare
from ecglib.datasets.labels import encode_labels
from ecglib.datasets.problems import ProblemRules
from ecglib.datasets.sources.ptbxl import assign_part, extract_labels, make_tasks, open_ptbxl
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError

SUPERCLASSES = {"NORM": 297, "STTC": 96, "CD": 78, "MI": 73, "HYP": 40}
SUPERCLASSES_Z100 = {"NORM": 1248, "STTC": 612, "CD": 531, "MI": 329, "HYP": 228}
SUPERCLASSES_ALL = {"NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649}
N_CLASSES = {
    "superdiagnostic": 5,
    "subdiagnostic": 23,
    "diagnostic": 44,
    "form": 19,
    "rhythm": 12,
    "all": 71,
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The 500 records at 100 Hz and at 500 Hz."""
    folder, data_dir = find_shared_data("ptbxl"), tmp_path_factory.mktemp("data")
    return {
        rate: write_store(open_ptbxl(folder, rate), data_dir, progress=False)
        for rate in (100.0, 500.0)
    }


@pytest.fixture(scope="module")
def z100(tmp_path_factory):
    source = open_ptbxl(find_shared_data("ptbxl_z100"))
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="module")
def statements():
    return pd.read_csv(find_shared_data("ptbxl") / "scp_statements.csv", index_col=0)


def full_table():
    """The labels of all 21,799 records, in the columns of the published table."""
    path = find_shared_data("ptbxl") / "ptbxl_labels_all21799_reconstructed.csv"
    table = pd.read_csv(path, index_col="ecg_id")
    codes = table["statements"].map(lambda names: str(dict.fromkeys(names.split(";"), 0.0)))
    return table.assign(scp_codes=codes), table


@pytest.mark.parametrize("rate", [100.0, 500.0])
def test_superclasses_folds_and_patients_are_as_published(stores, rate):
    dataset = stores[rate]
    selection = dataset.select("superdiagnostic")
    assert dataset.summary["n_records"] == 500
    assert dict(zip(selection.classes, selection.y.sum(axis=0), strict=True)) == SUPERCLASSES
    assert len(dataset.windows) - len(selection.rows) == 12
    parts = dataset.windows["part"].value_counts()
    assert parts.to_dict() == {"train": 353, "validation": 81, "test": 66}
    assert dataset.windows["patient"].nunique() == 466
    assert dataset.summary["excluded"] == {}
    assert dataset.summary["leaks"]["part"]["shared_patients"]["count"] == 0


@pytest.mark.parametrize("task", N_CLASSES)
def test_each_task_counts_the_statements_of_the_table(stores, statements, task):
    folder = find_shared_data("ptbxl")
    database = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
    selection = stores[100.0].select(task)
    assert len(selection.classes) == N_CLASSES[task]
    column = {"superdiagnostic": "diagnostic_class", "subdiagnostic": "diagnostic_subclass"}
    expected = dict.fromkeys(selection.classes, 0)
    with_one = 0
    for codes in database["scp_codes"].map(ast.literal_eval):
        if task == "all":
            classes = set(codes)
        elif task in column:
            classes = set(statements.loc[list(codes), column[task]].dropna())
        else:
            classes = {code for code in codes if statements.loc[code, task] == 1}
        with_one += bool(classes)
        for name in classes:
            expected[name] += 1
    assert dict(zip(selection.classes, selection.y.sum(axis=0), strict=True)) == expected
    assert len(selection.rows) == with_one


@pytest.mark.parametrize("minimum", [1, 50, 100])
def test_the_minimum_likelihood_is_part_of_the_task_name(stores, statements, minimum):
    database = pd.read_csv(find_shared_data("ptbxl") / "ptbxl_database.csv", index_col="ecg_id")
    classes = statements["diagnostic_class"]
    norm = sum(
        any(percent >= minimum and classes[code] == "NORM" for code, percent in likelihoods.items())
        for likelihoods in database["scp_codes"].map(ast.literal_eval)
    )
    selection = stores[100.0].select(f"superdiagnostic_min{minimum}")
    assert selection.y[:, selection.classes.index("NORM")].sum() == norm
    assert selection.task.name == f"superdiagnostic_min{minimum}"
    assert selection.y.any(axis=1).all()


def test_unknown_tasks_and_likelihoods_are_refused(stores):
    for name in ("superdiagnostic_min0", "superdiagnostic_min101", "superdiagnostics"):
        with pytest.raises(DatasetError, match=r"superdiagnostic.*_min1 to _min100"):
            stores[100.0].select(name)


@pytest.mark.parametrize("rate", [100.0, 500.0])
def test_samples_equal_those_that_wfdb_reads(stores, rate):
    import wfdb

    dataset, folder = stores[rate], find_shared_data("ptbxl")
    kind = {100.0: "lr", 500.0: "hr"}[rate]
    for row in range(0, 500, 97):
        name = dataset.windows["record"][row]
        record = wfdb.rdrecord(str(folder / f"records{rate:.0f}" / "00000" / f"{name}_{kind}"))
        assert [lead.upper() for lead in dataset.signal.leads] == record.sig_name
        assert np.abs(dataset.read([row])[0] - record.p_signal).max() < 1e-6


def test_age_sex_and_quality_are_kept(stores):
    database = pd.read_csv(find_shared_data("ptbxl") / "ptbxl_database.csv", index_col="ecg_id")
    windows = stores[100.0].windows.set_index(stores[100.0].windows["record"].astype(int))
    assert windows["age"].tolist() == pytest.approx(database["age"].tolist(), nan_ok=True)
    labels, _ = extract_labels(database.assign(age=300.0))
    assert (labels["age"] == 90).all()
    assert (windows["sex"] == database["sex"]).all()
    assert (windows["validated_by_human"] == database["validated_by_human"]).all()
    for column in ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems"):
        assert windows[column].fillna("").tolist() == database[column].fillna("").tolist()


def test_near_identical_records_are_reported_with_their_contradicting_labels(stores):
    """Each pair holds one of the twelve records that version 1.0.3 dropped."""
    pairs = {(a, b) for a, b, _ in stores[100.0].summary["near_identical_records"]}
    assert pairs == {
        ("00137", "00138"),
        ("00143", "00144"),
        ("00145", "00463"),
        ("00456", "00457"),
        ("00459", "00460"),
    }
    report = stores[100.0].summary["duplicates"]["part"]
    # At 100 Hz two of the pairs are the same to the last bit.
    assert report["identical_signals_within_parts"]["count"] == 2
    assert report["near_identical_records_within_parts"]["count"] == 3
    labels = stores[100.0].windows.set_index("record")["labels"].map(set)
    differ = sum(labels[a] != labels[b] for a, b in pairs)
    assert report["contradicting_labels"]["count"] == differ


def test_the_standardised_records_are_counted(z100):
    selection = z100.select("superdiagnostic")
    assert z100.summary["n_records"] == 2284
    assert dict(zip(selection.classes, selection.y.sum(axis=0), strict=True)) == SUPERCLASSES_Z100
    assert len(z100.windows) - len(selection.rows) == 11
    parts = z100.windows["part"].value_counts()
    assert parts.to_dict() == {"train": 1773, "validation": 256, "test": 255}
    assert z100.windows["patient"].nunique() == 2229
    with pytest.raises(DatasetError, match=r"no window left.*2284"):
        write_store(open_ptbxl(z100_folder(), 500.0), z100.path.parent, progress=False)


def z100_folder():
    return find_shared_data("ptbxl_z100")


def test_the_full_label_table_has_the_published_counts(statements):
    database, table = full_table()
    labels, problems = extract_labels(database)
    assert problems == []
    assert len(labels) == 21799
    assert labels["patient"].nunique() == 18869
    assert (labels.groupby("patient")["part"].nunique() == 1).all()
    assert (labels["part"] == table["strat_fold"].map(assign_part)).all()
    superdiagnostic = make_tasks(statements)["superdiagnostic"]
    y = encode_labels(labels["labels"], superdiagnostic)
    classes = list(superdiagnostic.classes)
    assert dict(zip(classes, y.sum(axis=0), strict=True)) == SUPERCLASSES_ALL
    assert (~y.any(axis=1)).sum() == 411
    expected = table["superclasses"].fillna("").map(lambda s: set(s.split(";")) - {""})
    found = [{c for c, on in zip(classes, row, strict=True) if on} for row in y]
    assert found == expected.tolist()


@pytest.mark.parametrize("name", N_CLASSES)
def test_every_task_of_the_full_table_counts_its_statements(statements, name):
    database, table = full_table()
    labels, _ = extract_labels(database)
    task = make_tasks(statements)[name]
    y = encode_labels(labels["labels"], task)
    exploded = table["statements"].str.split(";").explode()
    for column, members in enumerate(task.classes.values()):
        expected = exploded[exploded.isin(members)].index.nunique()
        assert y[:, column].sum() == expected
    if name == "all":
        assert y.any(axis=1).all()


def copy_records(folder, tmp_path, n=30):
    """Copy the first records of a folder, to be damaged."""
    source = tmp_path / "ptbxl"
    (source / "records100" / "00000").mkdir(parents=True)
    for path in sorted((folder / "records100" / "00000").iterdir())[: 2 * n]:
        shutil.copy(path, source / "records100" / "00000")
    shutil.copy(folder / "scp_statements.csv", source)
    table = pd.read_csv(folder / "ptbxl_database.csv").head(n)
    table.to_csv(source / "ptbxl_database.csv", index=False)
    for path in source.rglob("*"):
        path.chmod(0o755)
    return source, table


def test_damaged_records_are_excluded_and_listed_and_strict_stops(tmp_path):
    source, table = copy_records(find_shared_data("ptbxl"), tmp_path)
    records = source / "records100" / "00000"
    truncated, header = records / "00002_lr.dat", records / "00003_lr.hea"
    truncated.write_bytes(truncated.read_bytes()[:1000])
    text = header.read_text()
    header.write_text(text.replace(" 0 I\n", "1 0 I\n", 1))  # another checksum
    (records / "00004_lr.dat").unlink()
    (records / "00005_lr.hea").write_text("nonsense\n")
    (records / "00006_lr.hea").unlink()
    (records / "00007_lr.hea").write_text(
        (records / "00007_lr.hea").read_text().replace(" V4\n", " X4\n")
    )
    (records / "00013_lr.hea").write_text(
        (records / "00013_lr.hea").read_text().replace("/mV", "/mmHg")
    )
    table.loc[table["ecg_id"] == 8, "scp_codes"] = "{}"
    pd.concat([table, table[table["ecg_id"] == 9]]).to_csv(
        source / "ptbxl_database.csv", index=False
    )
    dataset = prepare("ptbxl", source, data_dir=tmp_path / "data", progress=False)
    problems = pd.read_csv(dataset.path / "problems.csv", dtype=str).set_index("record")["kind"]
    assert problems.to_dict() == {
        "00002": "truncated",
        "00003": "wrong_checksum",
        "00004": "missing_file",
        "00005": "bad_header",
        "00006": "no_record",
        "00007": "missing_lead",
        "00008": "empty_label",
        "00009": "duplicate_id",
        "00013": "unknown_unit",
    }
    assert len(dataset.windows) == 30 - len(problems)
    assert sum(dataset.summary["excluded"].values()) == len(problems)
    with pytest.raises(DatasetError, match=r"Record '00009': ids found more than once"):
        prepare(
            "ptbxl",
            source,
            data_dir=tmp_path / "data",
            progress=False,
            rules=ProblemRules(strict=True),
        )


def test_a_folder_that_is_not_ptbxl_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"ptbxl_database\.csv is missing"):
        open_ptbxl(tmp_path)
    with pytest.raises(DatasetError, match="published at 100 and at 500 Hz"):
        open_ptbxl(tmp_path, 250.0)


def test_records_can_be_chosen_by_a_condition_on_the_table(tmp_path):
    folder = find_shared_data("ptbxl")
    database = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
    chosen = database[database["validated_by_human"] & (database["age"] >= 60)]
    options = {"where": "validated_by_human and age >= 60"}
    dataset = prepare("ptbxl", folder, data_dir=tmp_path, progress=False, options=options)
    assert dataset.windows["record"].astype(int).tolist() == chosen.index.tolist()
    assert list(dataset.summary["excluded"].values()) == [500 - len(chosen)]
    with pytest.raises(DatasetError, match=r"no column 'ages' among.*Did you mean 'age'"):
        prepare("ptbxl", folder, data_dir=tmp_path, options={"where": "ages > 3"})
