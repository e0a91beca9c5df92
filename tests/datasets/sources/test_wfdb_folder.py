"""Folders of records, written with wfdb."""

import hashlib
import os

import numpy as np
import pandas as pd
import pytest
from scipy.signal import resample_poly

from ecglib.datasets import open_dataset, prepare
from ecglib.datasets.formats import open_record
from ecglib.datasets.problems import DEFAULT_RULES, ProblemRules
from ecglib.errors import DatasetError

LEADS = ["I", "II", "V1"]
RATE_HZ = 250.0
N = 1000


def ecg(seed, n=N, rate_hz=RATE_HZ):
    """Three leads in mV with a beat about every 0.8 s."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) / rate_hz
    beats = np.cumsum(rng.uniform(0.6, 1.0, 60))
    wave = np.exp(-(((t[:, None] - beats) / 0.02) ** 2)).sum(axis=1)
    return wave[:, None] * [1.0, 1.4, -0.7] + 0.02 * rng.standard_normal((n, 3))


def write(folder, name, signal, leads=LEADS, units="mV", rate_hz=RATE_HZ, fmt="16", **more):
    import wfdb

    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=[units] * signal.shape[1],
        sig_name=list(leads),
        p_signal=signal,
        fmt=[fmt] * signal.shape[1],
        write_dir=str(folder),
        **more,
    )


def write_folder(tmp_path, n=40, labels=True):
    """Records r00..., two of each patient, labels A, B or both."""
    folder = tmp_path / "mine"
    for i in range(n):
        write(folder / f"part{i % 2}", f"r{i:02d}", ecg(i))
    rows = [
        {
            "record": f"r{i:02d}",
            "patient": f"p{i // 2}",
            "labels": ["A", "B", "A;B", "A; B"][i % 4],
            "age": 40 + i,
            "site": "north" if i % 3 else None,
        }
        for i in range(n)
    ]
    table = pd.DataFrame(rows)
    if labels:
        table.to_csv(folder / "labels.csv", index=False)
    return folder, table


def prepare_folder(folder, tmp_path, rules=DEFAULT_RULES, **options):
    options = {"labels": "labels.csv", "min_records": 5} | options
    return prepare(
        "wfdb_folder",
        folder,
        data_dir=tmp_path / "data",
        progress=False,
        options=options,
        rules=rules,
    )


def read_problems(dataset):
    problems = pd.read_csv(dataset.path / "problems.csv", dtype=str)
    return dict(zip(problems["record"], problems["kind"], strict=True))


def test_records_labels_patients_and_other_columns_are_combined(tmp_path):
    folder, table = write_folder(tmp_path)
    dataset = prepare_folder(folder, tmp_path)
    windows = dataset.windows.set_index("record")
    assert sorted(windows.index) == sorted(table["record"])
    assert windows.loc["r02", "labels"].tolist() == ["A", "B"]
    assert windows.loc["r03", "labels"].tolist() == ["A", "B"]
    assert windows.loc["r07", "patient"] == "p3"
    assert windows.loc["r07", "age"] == 47
    assert windows.loc["r07", "site"] == "north"
    assert pd.isna(windows.loc["r06", "site"])
    row = dataset.windows.index[dataset.windows["record"] == "r11"][0]
    assert np.abs(dataset.read([row])[0] - ecg(11)).max() < 0.002
    assert dataset.signal.sampling_rate_hz == RATE_HZ
    assert dataset.signal.leads == tuple(LEADS)
    assert dataset.caveats == ()
    assert read_problems(dataset) == {}
    parts = windows.groupby("patient")["part"].nunique()
    assert (parts == 1).all()
    assert set(windows["part"]) == {"train", "validation", "test"}
    assert open_dataset("mine", tmp_path / "data").path == dataset.path


@pytest.mark.parametrize(
    ("unit", "factor"), [("uV", 1000.0), ("V", 0.001), ("mV", 1.0)], ids=["uV", "V", "mV"]
)
def test_leads_in_another_order_and_other_units_give_the_same_samples(tmp_path, unit, factor):
    folder, _ = write_folder(tmp_path)
    order = [2, 0, 1]
    signal = ecg(5)[:, order] * factor
    names = ["V1", "I", "MLII"]
    write(folder / "part1", "r05", signal, leads=names, units=unit)
    dataset = prepare_folder(folder, tmp_path)
    row = dataset.windows.index[dataset.windows["record"] == "r05"][0]
    assert np.abs(dataset.read([row])[0] - ecg(5)).max() < 0.002


def test_volts_labelled_as_millivolts_and_missing_leads_are_excluded(tmp_path):
    folder, _ = write_folder(tmp_path)
    write(folder / "part1", "r05", ecg(5) / 1000)
    write(folder / "part1", "r07", ecg(7)[:, :2], leads=["I", "V1"])
    write(folder / "part1", "r09", np.where(np.arange(N)[:, None] < 50, np.nan, ecg(9)))
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {
        "r05": "wrong_unit",
        "r07": "missing_lead",
        "r09": "not_measured",
    }
    assert "r05" not in set(dataset.windows["record"])
    with_gaps = prepare(
        "wfdb_folder",
        folder,
        data_dir=tmp_path / "with_gaps",
        progress=False,
        rules=ProblemRules(keep=["not_measured"]),
        options={"labels": "labels.csv", "min_records": 5},
    )
    row = with_gaps.windows.index[with_gaps.windows["record"] == "r09"][0]
    found = with_gaps.read([row])[0]
    assert np.abs(found[:50] - found[50]).max() < 1e-6  # nothing before it to draw a line from
    with pytest.raises(DatasetError, match=r"Record 'r0[579]'"):
        prepare_folder(folder, tmp_path, rules=ProblemRules(strict=True))


def test_another_rate_is_resampled_and_other_lengths_are_cropped_or_padded(tmp_path):
    folder, _ = write_folder(tmp_path)
    write(folder / "part0", "r04", ecg(4, 2 * N, 2 * RATE_HZ), rate_hz=2 * RATE_HZ)
    write(folder / "part0", "r06", ecg(6, 1200))
    write(folder / "part0", "r08", ecg(8, 700))
    dataset = prepare_folder(folder, tmp_path)
    rows = {name: i for i, name in enumerate(dataset.windows["record"])}
    found = {name: dataset.read([rows[name]])[0] for name in ("r04", "r06", "r08")}
    # The noise above the new Nyquist frequency is gone, so only the waves are alike.
    assert np.corrcoef(found["r04"][:, 1], ecg(4, 2 * N, 2 * RATE_HZ)[::2, 1])[0, 1] > 0.99
    assert np.abs(found["r06"] - ecg(6, 1200)[100:1100]).max() < 0.002
    assert np.abs(found["r08"][:700] - ecg(8, 700)).max() < 0.002
    assert (found["r08"][700:] == 0).all()
    assert dataset.read_measured_mask([rows["r06"], rows["r08"]]).sum(axis=1).tolist() == [
        1000,
        700,
    ]


def test_rows_and_records_without_a_counterpart_are_reported(tmp_path):
    folder, table = write_folder(tmp_path, labels=False)
    table.loc[table["record"] == "r03", "labels"] = None
    extra = pd.DataFrame([{"record": "zz", "patient": "q", "labels": "A"}])
    table = pd.concat([table[table["record"] != "r05"], table[table["record"] == "r07"], extra])
    table.to_parquet(folder / "labels.parquet", index=False)
    dataset = prepare_folder(folder, tmp_path, labels="labels.parquet")
    assert read_problems(dataset) == {
        "r03": "empty_label",
        "part1/r05": "no_row",
        "r07": "duplicate_id",
        "zz": "no_record",
    }


def test_names_in_a_table_match_headers_however_they_are_written(tmp_path):
    folder, table = write_folder(tmp_path, labels=False)
    forms = ("part{p}\\r{i}", "r{i}.hea", "C:\\x\\part{p}\\r{i:02d}.dat", "./part{p}/r{i:02d}")
    table["record"] = [forms[i % 4].format(i=i, p=i % 2) for i in range(len(table))]
    table.to_csv(folder / "labels.csv", index=False)
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {}
    for row in (2, 13, 35):
        name = table["record"][row]
        place = dataset.windows.index[dataset.windows["record"] == name][0]
        assert np.abs(dataset.read([place])[0] - ecg(row)).max() < 0.002


def test_a_table_that_names_no_record_says_what_was_looked_for(tmp_path):
    folder, table = write_folder(tmp_path, n=12, labels=False)
    table.assign(record=table["record"].str.upper()).to_csv(folder / "labels.csv", index=False)
    with pytest.raises(DatasetError, match=r"looked for \['R00'.*there are \['part0/r00'.*similar"):
        prepare_folder(folder, tmp_path)


def test_linked_folders_are_followed_once(tmp_path):
    folder, _ = write_folder(tmp_path)
    (folder / "part1").rename(tmp_path / "elsewhere")
    (folder / "part1").symlink_to(tmp_path / "elsewhere")
    (folder / "part0" / "loop").symlink_to(folder)
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {}
    assert len(dataset.windows) == 40


def test_given_folds_and_splits_are_used(tmp_path):
    folder, table = write_folder(tmp_path, labels=False)
    table["fold"] = [1 + (i // 2) % 5 for i in range(len(table))]
    table.to_csv(folder / "labels.csv", index=False)
    windows = prepare_folder(folder, tmp_path).windows.set_index("record")
    assert (windows["part"] == "test").equals(windows["fold"] == 5)
    assert (windows["part"] == "validation").equals(windows["fold"] == 4)
    table["part"] = "dev"
    table.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(DatasetError, match=r"holds \['dev'\]"):
        prepare_folder(folder, tmp_path)


def test_without_patients_the_dataset_has_a_caveat(tmp_path):
    folder, table = write_folder(tmp_path, labels=False)
    table.drop(columns="patient").to_csv(folder / "labels.csv", index=False)
    dataset = prepare_folder(folder, tmp_path)
    assert dataset.caveats == ("patients unknown: leakage cannot be excluded",)
    table.loc[3, "patient"] = None
    table.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(DatasetError, match=r"1 records have no patient.*'r03'"):
        prepare_folder(folder, tmp_path)


def test_challenge_headers_need_no_table(tmp_path):
    folder = tmp_path / "challenge"
    codes = ["426783006", "164889003,59118001", "713427006", "426783006,427393009"]
    for i in range(40):
        sex = "Female" if i % 2 else "Male"
        comments = [f"Age: {30 + i}", f"Sex: {sex}", f"Dx: {codes[i % 4]}"]
        write(folder, f"E{i:05d}", ecg(i), comments=comments)
    dataset = prepare_folder(folder, tmp_path, labels="")
    assert list(dataset.tasks) == ["challenge2021", "labels"]
    selection = dataset.select("challenge2021")
    counts = dict(zip(selection.classes, selection.y.sum(axis=0), strict=True))
    # 59118001 and 713427006, right bundle branch block and the complete one, count as one.
    assert counts == {"AF": 10, "NSR": 20, "RBBB": 20, "SA": 10}
    assert dataset.windows["age"].tolist() == list(range(30, 70))
    assert dataset.windows["sex"].head(2).tolist() == [0, 1]
    assert dataset.caveats == ("patients unknown: leakage cannot be excluded",)


def test_segments_of_a_record_are_not_separate_records(tmp_path):
    folder, _ = write_folder(tmp_path)
    (folder / "part1" / "r05.hea").unlink()
    (folder / "part1" / "r05.dat").unlink()
    write(folder / "part1", "r05a", ecg(5)[:400])
    write(folder / "part1", "r05b", ecg(5)[400:])
    (folder / "part1" / "r05.hea").write_text("r05/2 3 250 1000\nr05a 400\nr05b 600\n")
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {}
    row = dataset.windows.index[dataset.windows["record"] == "r05"][0]
    assert np.abs(dataset.read([row])[0] - ecg(5)).max() < 0.002


def test_a_changed_signal_file_of_any_name_is_noticed(tmp_path):
    folder, _ = write_folder(tmp_path)
    header = folder / "part1" / "r05.hea"
    (folder / "part1" / "r05.dat").rename(folder / "part1" / "other.d16")
    header.write_text(header.read_text().replace("r05.dat", "other.d16"))
    first = prepare_folder(folder, tmp_path)
    assert prepare_folder(folder, tmp_path).path == first.path
    write(folder / "part1", "r05", ecg(99))
    (folder / "part1" / "r05.dat").rename(folder / "part1" / "other.d16")
    header.write_text(header.read_text().replace("r05.dat", "other.d16"))
    assert prepare_folder(folder, tmp_path).fingerprint != first.fingerprint


def test_options_are_checked(tmp_path):
    folder, _ = write_folder(tmp_path)
    with pytest.raises(DatasetError, match=r"no option 'lables'.*Did you mean 'labels'"):
        prepare_folder(folder, tmp_path, lables="x")
    with pytest.raises(DatasetError, match=r"nothing\.csv cannot be read"):
        prepare_folder(folder, tmp_path, labels="nothing.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no \.hea file"):
        prepare_folder(tmp_path / "empty", tmp_path)
    with pytest.raises(DatasetError, match="No label has 50 records"):
        prepare_folder(folder, tmp_path, min_records=50)
    with pytest.raises(DatasetError, match="No header has a line '#Dx"):
        prepare_folder(folder, tmp_path, labels="")


def write_frames(folder, name, leads, samples_per_frame):
    """Write a record with a frame a second, as a conversion from EDF does."""
    import wfdb

    folder.mkdir(parents=True, exist_ok=True)
    digital = [np.rint(1000 * signal).astype(np.int64) for signal in leads.values()]
    n = len(leads)
    wfdb.wrsamp(
        name,
        fs=1,
        units=["mV"] * n,
        sig_name=list(leads),
        e_d_signal=digital,
        samps_per_frame=samples_per_frame,
        fmt=["16"] * n,
        adc_gain=[1000.0] * n,
        baseline=[0] * n,
        write_dir=str(folder),
    )


def write_labels(folder, names):
    labels = ["AB"[i % 2] for i in range(len(names))]
    table = pd.DataFrame({"record": names, "patient": names, "labels": labels})
    table.to_csv(folder / "labels.csv", index=False)


def read_record_of(dataset, name):
    row = dataset.windows.index[dataset.windows["record"] == name][0]
    return dataset.read([row])[0]


def test_leads_with_several_samples_in_a_frame_keep_their_rate(tmp_path):
    folder, names = tmp_path / "converted", [f"r{i:02d}" for i in range(20)]
    for i, name in enumerate(names):
        signal = ecg(i, 2000, 500.0)
        leads = {"ECG I": signal[:, 0], "RESP": np.zeros(100), "ECG II": signal[::2, 1]}
        write_frames(folder, name, leads, [500, 25, 250])
    write_labels(folder, names)
    dataset = prepare_folder(folder, tmp_path, leads=["I", "II"])
    assert (dataset.signal.sampling_rate_hz, dataset.signal.n_samples) == (500, 2000)
    assert np.abs(read_record_of(dataset, "r03")[:, 0] - ecg(3, 2000, 500.0)[:, 0]).max() < 0.002
    at_100_hz = prepare_folder(folder, tmp_path, leads=["I", "II"], sampling_rate_hz=100.0)
    signal = ecg(3, 2000, 500.0)
    for column, (lead, up, down) in enumerate([(signal[:, 0], 1, 5), (signal[::2, 1], 2, 5)]):
        expected = resample_poly(lead, up, down, padtype="line")
        assert np.abs(read_record_of(at_100_hz, "r03")[:, column] - expected).max() < 0.002


def test_one_of_two_leads_of_one_name_is_chosen_by_its_position(tmp_path):
    folder, names = tmp_path / "doubles", [f"r{i:02d}" for i in range(20)]
    for i, name in enumerate(names):
        write(folder, name, ecg(i), leads=["II", "V1", "other"])
        header = folder / f"{name}.hea"
        header.write_text(header.read_text().replace("other", "II"))
    write_labels(folder, names)
    with pytest.raises(
        DatasetError, match=r"2 columns match lead 'II': columns 1, 3, .*by its column"
    ):
        prepare_folder(folder, tmp_path, leads=["II"])
    unwanted = prepare_folder(folder, tmp_path, leads=["V1"])
    assert np.abs(read_record_of(unwanted, "r03")[:, 0] - ecg(3)[:, 1]).max() < 0.002
    for number in (1, 3):
        dataset = prepare_folder(folder, tmp_path, leads=["II"], lead_columns={"II": number})
        assert dataset.signal.leads == ("II",)
        found = read_record_of(dataset, "r03")[:, 0]
        assert np.abs(found - ecg(3)[:, number - 1]).max() < 0.002
    with pytest.raises(DatasetError, match="column 4, but the record has 3"):
        prepare_folder(folder, tmp_path, leads=["II"], lead_columns={"II": 4}, window_s=4.0,
                       sampling_rate_hz=250.0)  # fmt: skip


def test_hostile_headers_are_problems_of_their_records(tmp_path):
    """Each of these ended a preparation, hung it or read another file."""
    folder, _ = write_folder(tmp_path)
    (tmp_path / "secret.dat").write_bytes(bytes(6 * N))
    edits = {
        "r00": ("r00.dat", "../../secret.dat"),
        "r02": ("r02.dat", str(tmp_path / "secret.dat")),
        "r04": (" 250 ", " 1e-308 "),
        "r06": ("(", f"({'9' * 400}"),
        "r08": (f" {N}", f" {10**11}"),
        "r10": ("r10.dat", "pipe.dat"),
    }
    os.mkfifo(folder / "part0/pipe.dat")
    for name, (old, new) in edits.items():
        header = folder / f"part0/{name}.hea"
        header.write_text(header.read_text().replace(old, new))
    (folder / "part0/r12.hea").write_text(f"r12/2 3 250 {10**11}\nr14 {N}\n~ {10**11 - N}\n")
    dataset = prepare_folder(folder, tmp_path)
    problems = read_problems(dataset)
    # Headers that cannot be read are named by their path.
    assert {name.removeprefix("part0/") for name in problems} >= {*edits, "r12"}
    assert not set(dataset.windows["record"]) & {*edits, "r12"}
    assert {"r01", "r16", "r18"} <= set(dataset.windows["record"])


def test_whatever_a_record_raises_is_a_problem_of_it(tmp_path, monkeypatch):
    folder, _ = write_folder(tmp_path)

    def fail(path, options):
        if path.name == "r07.hea":
            raise OverflowError("nobody foresaw this")
        return open_record(path, options)

    monkeypatch.setattr("ecglib.datasets.sources.table.open_record", fail)
    dataset = prepare_folder(folder, tmp_path)
    assert read_problems(dataset) == {"r07": "unreadable"}
    assert len(dataset.windows) == 39


def test_a_header_that_differs_from_the_published_checksum_is_a_problem(tmp_path):
    folder, _ = write_folder(tmp_path)
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*.hea"))
    )
    (folder / "SHA256SUMS.txt").write_text(sums)
    header = folder / "part0/r02.hea"
    header.write_text(header.read_text() + "#Dx: 426783006\n")
    problems = read_problems(prepare_folder(folder, tmp_path))
    assert problems["part0/r02"] == "wrong_checksum"
