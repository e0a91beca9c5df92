"""Damaged and hostile files of every format end in a record or in an error of ours."""

import io

import numpy as np
import pytest
from fuzzing import check_cases

from ecglib.datasets.formats import FileOptions, convert_record, open_records
from ecglib.datasets.schema import SignalSpec

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.filterwarnings("ignore"),  # of pandas, edfio and NumPy about what they read
]
SIGNAL = SignalSpec(100.0, 100, ("I", "II"))
OPTIONS = FileOptions(sampling_rate_hz=200.0, unit="mV", leads=("I", "II"))


def read_all(path):
    for name, record in open_records(path, OPTIONS):
        convert_record(name, record, SIGNAL)


def make_signal(n_samples=200):
    return np.random.default_rng(0).normal(size=(n_samples, 2)).round(3)


def make_reader(path):
    def read(content):
        path.write_bytes(content)
        read_all(path)

    return read


@pytest.mark.parametrize(
    "lines",
    [
        "a 2 200 200\na.dat 16 1000/mV 16 0 5 0 0 I\na.dat 16 1000(0)/mV 16 0 5 0 0 II\n# age: 5\n",
        "a 2 200 100\na.dat 16x2:1+4 1000/mV 16 0 0 0 0 I\na.dat 16x2+4 1e3(0)/uV 16 0 0 0 0 II\n",
        "a 2 200\na.dat 212 200 12 0 0 0 0 I\na.dat 212 200/mV 12 0 0 0 0 II\n",
        "a/2 2 200 300\nb 200\n~ 100\n",
    ],
    ids=["plain", "frames", "short", "segments"],
)
def test_damaged_wfdb_headers(tmp_path, lines):
    (tmp_path / "a.dat").write_bytes(bytes(1000))
    (tmp_path / "b.hea").write_text(
        "b 2 200 200\na.dat 16 1000 16 0 0 0 0 I\na.dat 16 1000 16 0 0 0 0 II\n"
    )
    check_cases(lines.encode(), make_reader(tmp_path / "a.hea"))


@pytest.mark.parametrize("shape", [(200, 2), (3, 200, 2)])
def test_damaged_npy_files(tmp_path, shape):
    file = io.BytesIO()
    np.save(file, np.zeros(shape, np.float32))
    check_cases(file.getvalue(), make_reader(tmp_path / "a.npy"))


def test_damaged_npy_headers(tmp_path):
    file = io.BytesIO()
    np.save(file, np.zeros((200, 2), np.int16))
    header, samples = file.getvalue()[:128], file.getvalue()[128:]
    read = make_reader(tmp_path / "a.npy")
    check_cases(header, lambda content: read(content + samples), seed=1)


def test_damaged_csv_files(tmp_path):
    lines = "\n".join(f"{i / 200},{a},{b}" for i, (a, b) in enumerate(make_signal()))
    check_cases(f"time,I,II\n{lines}\n".encode(), make_reader(tmp_path / "a.csv"))


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
def test_damaged_edf_files(tmp_path, suffix):
    edfio = pytest.importorskip("edfio")
    path = tmp_path / f"a.{suffix}"
    make_lead = edfio.EdfSignal if suffix == "edf" else edfio.BdfSignal
    leads = [
        make_lead(lead, 200, label=name, physical_dimension="mV")
        for lead, name in zip(make_signal().T, SIGNAL.leads, strict=True)
    ]
    (edfio.Edf if suffix == "edf" else edfio.Bdf)(leads).write(path)
    content = path.read_bytes()
    header, samples = content[:768], content[768:]
    read = make_reader(path)
    check_cases(header, lambda damaged: read(damaged + samples))
    check_cases(content, read, seed=1)
