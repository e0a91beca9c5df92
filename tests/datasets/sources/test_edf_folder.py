"""Folders of EDF and BDF files with a label table, against sines that were written into them."""

import edfio
import numpy as np
import pandas as pd
import pytest

from ecglib.datasets import prepare
from ecglib.errors import DatasetError

RATE_HZ = 250
LENGTH_S = 4
RANGE_MV = 8.0
# Half a step of 16 bits over the range, and half a step of the store.
QUANTIZATION_MV = RANGE_MV / (2**16 - 1) + 0.0005
HZ = {"I": 3.0, "II": 5.0, "V1": 7.0}  # a sine of 1 mV on each lead


def sine(lead, number, rate_hz=RATE_HZ, length_s=LENGTH_S):
    """The lead of a record in mV; its phase tells records apart."""
    return np.sin(2 * np.pi * HZ[lead] * np.arange(rate_hz * length_s) / rate_hz + number)


def make_signal(label, samples_mv, rate_hz=RATE_HZ, unit="mV", kind=edfio.EdfSignal):
    factor = {"mV": 1, "uV": 1000}.get(unit, 1)
    return kind(
        samples_mv * factor,
        rate_hz,
        label=label,
        physical_dimension=unit,
        physical_range=(-RANGE_MV * factor, RANGE_MV * factor),
    )


def write_record(folder, number, rate_hz=RATE_HZ, unit="mV", length_s=LENGTH_S):
    """Write three leads among other signals: EEG of another rate, respiration, annotations."""
    leads = [
        make_signal(f"ECG {lead}", sine(lead, number, rate_hz, length_s), rate_hz, unit)
        for lead in ("V1", "II", "I")
    ]
    eeg = make_signal("EEG Fpz-Cz", np.zeros(100 * length_s), 100, "uV")
    breath = make_signal("Resp", np.zeros(10 * length_s), 10, "%")
    annotations = [edfio.EdfAnnotation(1.0, None, "beat")]
    path = folder / f"part{number % 2}" / f"{number:03d}.edf"
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf([eeg, *leads, breath], annotations=annotations).write(path)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    for number in range(20):
        write_record(folder, number, unit=("mV", "uV")[number % 2])
    rows = {"record": range(20), "patient": range(20), "labels": ["A", "B"] * 10}
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


def prepare_folder(folder, **options):
    options = {"labels": "labels.csv", "min_records": 5} | options
    data_dir = folder.parent / "data"
    return prepare("edf_folder", folder, data_dir=data_dir, progress=False, options=options)


def read_record(dataset, record):
    (row,) = dataset.windows.index[dataset.windows["record"] == record]
    return dataset.read([row])[0]


def read_problems(dataset):
    problems = pd.read_csv(dataset.path / "problems.csv", dtype=str)
    return dict(zip(problems["record"], problems["kind"], strict=True))


def test_a_store_holds_the_leads_of_each_file_to_within_a_step(folder):
    bdf = [make_signal(lead, sine(lead, 19), kind=edfio.BdfSignal) for lead in HZ]
    (folder / "part1" / "019.edf").unlink()
    edfio.Bdf(bdf).write(folder / "019.BDF")
    dataset = prepare_folder(folder)
    assert read_problems(dataset) == {}
    signal = dataset.signal
    assert (signal.leads, signal.sampling_rate_hz) == (("I", "II", "V1"), RATE_HZ)
    assert signal.n_samples == RATE_HZ * LENGTH_S
    for number in range(20):
        expected = np.stack([sine(lead, number) for lead in HZ], axis=1)
        assert np.abs(read_record(dataset, str(number)) - expected).max() <= QUANTIZATION_MV


def test_files_and_leads_of_other_rates_are_resampled(folder):
    write_record(folder, 4, rate_hz=500)
    mixed = [
        make_signal(lead, sine(lead, 5, rate), rate) for lead, rate in {"I": 500, "II": 250}.items()
    ]
    edfio.Edf([*mixed, make_signal("V1", sine("V1", 5, 1000), 1000)]).write(
        folder / "part1" / "005.edf"
    )
    dataset = prepare_folder(folder)
    assert read_problems(dataset) == {}
    assert dataset.signal.sampling_rate_hz == RATE_HZ
    inner = slice(RATE_HZ // 2, -RATE_HZ // 2)  # a filter rings at the ends
    for number in (4, 5):
        expected = np.stack([sine(lead, number) for lead in HZ], axis=1)
        difference = (read_record(dataset, str(number)) - expected)[inner]
        assert np.abs(difference).max() < 0.005
    halved = prepare_folder(folder, sampling_rate_hz=125, leads=["II"], window_s=2.0, name="other")
    assert (halved.signal.sampling_rate_hz, halved.signal.n_samples) == (125.0, 250)


def test_files_that_cannot_be_used_are_listed_and_the_others_go_on(folder):
    cut = folder / "part1" / "005.edf"
    cut.write_bytes(cut.read_bytes()[:-1])
    (folder / "part1" / "007.edf").write_bytes(b"0       " + bytes(range(256)))
    edfio.Edf([make_signal("ECG I", sine("I", 9))]).write(folder / "part1" / "009.edf")
    unknown = [make_signal(lead, sine(lead, 11), unit="mmHg") for lead in HZ]
    edfio.Edf(unknown).write(folder / "part1" / "011.edf")
    write_record(folder, 12, length_s=2)
    (folder / "part1" / "013.edf").unlink()
    write_record(folder, 99)
    dataset = prepare_folder(folder)
    assert read_problems(dataset) == {
        "5": "truncated",
        "7": "unreadable",
        "9": "missing_lead",
        "11": "unknown_unit",
        "13": "no_record",
        "part1/099": "no_row",
    }
    (row,) = dataset.windows.index[dataset.windows["record"] == "12"]
    assert dataset.windows["n_measured"][row] == 2 * RATE_HZ
    assert np.all(dataset.read([row])[0, 2 * RATE_HZ :] == 0)
    assert len(dataset.windows) == 15


def test_a_unit_or_a_column_that_files_do_not_tell_can_be_given(folder):
    for number in range(20):
        two = [make_signal("ECG", sine(lead, number), unit="") for lead in ("I", "II")]
        edfio.Edf(two).write(folder / f"part{number % 2}" / f"{number:03d}.edf")
    with pytest.raises(DatasetError, match=r"has the columns \['ECG', 'ECG'\].*lead_columns"):
        prepare_folder(folder)
    with pytest.raises(DatasetError, match=r"first 50 EDF files can be used.*'' is not a voltage"):
        prepare_folder(folder, lead_columns={"ECG": 2})
    dataset = prepare_folder(folder, lead_columns={"ECG": 2}, unit="mV")
    assert dataset.signal.leads == ("ECG",)
    found = read_record(dataset, "3")[:, 0]
    assert np.abs(found - sine("II", 3)).max() <= QUANTIZATION_MV


def test_what_is_missing_is_named(folder):
    with pytest.raises(DatasetError, match="'mmHg' is not a voltage"):
        prepare_folder(folder, unit="mmHg")
    with pytest.raises(DatasetError, match=r"can be used.*Leads \['V6'\].*the record has"):
        prepare_folder(folder, leads=["V6"])
    (folder / "part0" / "000.bdf").touch()
    with pytest.raises(DatasetError, match=r"000\.bdf and part0/000\.edf below .* ending only"):
        prepare_folder(folder)
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match=r"no \.edf or \.bdf file of a record below"):
        prepare_folder(empty, labels=folder / "labels.csv")
