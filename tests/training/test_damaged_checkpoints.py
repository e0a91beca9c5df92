"""Checkpoints that were damaged: training starts anew, and nothing else happens."""

import io
import json

import numpy as np
import pytest
from fuzzing import check_cases

from ecglib.experiment import describe_environment
from ecglib.experiment.settings import TrainingSettings
from ecglib.runs import read_arrays
from ecglib.training.callbacks import Checkpoint, CheckpointPlace, build_early_stopping

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    environment = describe_environment(threads=1)
    return CheckpointPlace(folder=tmp_path_factory.mktemp("seed0"), environment=environment)


@pytest.fixture
def written(compile_small_model, place):
    """A checkpoint after two epochs, and what reads it."""
    model, _ = compile_small_model()
    stopping = build_early_stopping(TrainingSettings())
    stopping.monitor = "loss"
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    place.file.unlink(missing_ok=True)
    checkpoint = Checkpoint(place, model, 5, stopping)
    model.fit(x, y, epochs=2, callbacks=[stopping, checkpoint], verbose=0)

    def read(content):
        place.file.write_bytes(content)
        checkpoint.found = checkpoint._read_file(place)
        checkpoint.on_train_begin()

    return place.file.read_bytes(), read


def test_a_damaged_checkpoint_is_refused_or_whole(written):
    content, read = written
    check_cases(content, read, seed=1)


def test_a_checkpoint_with_a_hostile_state_is_refused_or_read(written):
    content, read = written
    arrays = read_arrays(content)

    def read_state(state):
        file = io.BytesIO()
        text = state.decode(errors="replace").replace("\x00", "")
        np.savez(file, **arrays | {"state": text})
        read(file.getvalue())

    check_cases(str(arrays["state"]).encode(), read_state, seed=2)


@pytest.mark.parametrize("change", ["shape", "missing", "text"])
def test_a_checkpoint_with_other_weights_is_refused(written, change):
    content, read = written
    arrays = read_arrays(content)
    if change == "shape":
        arrays["variables-0"] = np.zeros((10_000, 3), "float32")
    elif change == "missing":
        del arrays["variables-1"]
    else:
        arrays["variables-0"] = np.full(arrays["variables-0"].shape, "x")

    file = io.BytesIO()
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"does not fit|damaged"):
        read(file.getvalue())


def test_sizes_that_an_archive_only_states_are_not_believed():
    """A header that asks for a terabyte, and an archive that unpacks to gigabytes."""
    header = json.dumps({"descr": "<f8", "fortran_order": False, "shape": [1 << 37]})
    text = header.replace("false", "False").replace("[", "(").replace("]", ",)").encode()
    npy = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    file = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("p.npy", npy)
    with pytest.raises(ValueError, match="does not fit"):
        read_arrays(file.getvalue())
