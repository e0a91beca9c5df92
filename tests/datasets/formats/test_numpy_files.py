"""NumPy files that hold something else than records."""

import io
import pickle

import numpy as np
import pytest

from ecglib.datasets.formats import FileOptions, open_record, open_records
from ecglib.errors import RecordError

OPTIONS = FileOptions(sampling_rate_hz=100.0, unit="uV", leads=("I", "II"))


def make_npz():
    file = io.BytesIO()
    np.savez(file, a=np.zeros((4, 2)))
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUM", b"text", make_npz(), pickle.dumps(np.zeros((4, 2)))]
)
def test_empty_and_misnamed_files_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(RecordError, match=r"cannot be read as a \.npy file") as error:
        open_record(tmp_path / "a.npy", OPTIONS)
    assert error.value.kind == "unreadable"


def test_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print, print]], dtype=object), allow_pickle=True)
    with pytest.raises(RecordError, match=r"cannot be read as a \.npy file"):
        open_record(tmp_path / "a.npy", OPTIONS)


def test_a_shape_beyond_the_file_is_refused_before_memory_is_asked_for(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 2)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(RecordError, match=r"cannot be read as a \.npy file"):
        open_record(tmp_path / "a.npy", OPTIONS)


def test_a_file_of_no_records_or_of_several_is_not_one_record(tmp_path):
    for n, message in ((0, "holds no record"), (2, "holds 2 records")):
        np.save(tmp_path / "a.npy", np.zeros((n, 4, 2)))
        with pytest.raises(RecordError, match=message):
            open_record(tmp_path / "a.npy", OPTIONS)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_the_code_for_not_measured_is_recognized_in_each_record(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([[[5, -32768]], [[-32768, 7]]], dtype))
    first, second = [record for _, record in open_records(tmp_path / "a.npy", OPTIONS)]
    np.testing.assert_allclose(first.to_mv([0, 1]), [[0.005, np.nan]])
    np.testing.assert_allclose(second.to_mv([0, 1]), [[np.nan, 0.007]])
