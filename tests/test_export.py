import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from ecglib import export, onnx_ops, training
from ecglib.errors import ExperimentError, RunError
from ecglib.experiment import Experiment

THREE = {"time": "cnn_attention", "frequency": "cnn", "spectrogram": "cnn2d"}
MODELS = {
    "single": {"branches": {"time": "cnn_bilstm"}},
    "intermediate": {"branches": THREE, "fusion": "intermediate_attention"},
    "late_weighted": {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_weighted"},
    "ensemble": {"branches": {"frequency": "cnn"}, "members": 2},
}
FORMATS = ("keras", "savedmodel")


@pytest.fixture(scope="module")
def run_of(small_store, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in made:
            own = {"dataset": small_store.name, "fingerprint": small_store.fingerprint}
            own |= {"task": "letters", "width": 4, "features": 8, "epochs": 1, "batch_size": 16}
            experiment = Experiment(**own, **MODELS[name])
            made[name] = training.train(experiment, small_store, folder)
        return made[name]

    return run


@pytest.mark.parametrize("name", MODELS)
def test_one_graph_and_its_files_give_the_stored_predictions(name, run_of, small_store, tmp_path):
    run = run_of(name)
    own = run.predictions("test")
    signal_mv = small_store.read(own.rows)
    assert np.abs(export.one_graph(run).predict(signal_mv, verbose=0) - own.p).max() < 1e-5
    done = export.export_run(run, tmp_path / "e", FORMATS, small_store.path.parent)
    assert "stored predictions" in done.compared_with
    loaded = keras.models.load_model(done.path / "model.keras", safe_mode=True)
    assert np.abs(loaded.predict(signal_mv, verbose=0) - own.p).max() < 1e-5
    assert [x.name for x in loaded.inputs] == ["signal"]
    assert loaded.output_names == ["probabilities"]
    assert set(done.differences) == set(FORMATS)
    assert max(done.differences.values()) < 1e-5
    assert list(tmp_path.iterdir()) == [done.path]


def test_the_saved_model_needs_no_ecglib(run_of, small_store, tmp_path):
    run = run_of("late_weighted")
    done = export.export_run(run, tmp_path / "e", ["savedmodel"], small_store.path.parent)
    own = run.predictions("test")
    np.save(tmp_path / "x.npy", small_store.read(own.rows))
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(done.path / 'saved_model')!r})\n"
        f"p = model.serve(np.load({str(tmp_path / 'x.npy')!r}))\n"
        f"np.save({str(tmp_path / 'p.npy')!r}, p)\n"
        "print('ecglib' in sys.modules, 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    assert np.abs(np.load(tmp_path / "p.npy") - own.p).max() < 1e-5


def test_the_keras_model_loads_in_a_new_process(run_of, small_store, tmp_path):
    run = run_of("intermediate")
    done = export.export_run(run, tmp_path / "e", ["keras"], small_store.path.parent)
    code = (
        "import keras, ecglib.export\n"
        f"model = keras.models.load_model({str(done.path / 'model.keras')!r}, safe_mode=True)\n"
        "print(model.get_layer('contract').contract['leads'])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert printed.strip().endswith(str(run.contract["leads"]))


@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_the_stored_predictions(name, run_of, small_store, tmp_path):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    run = run_of(name)
    done = export.export_run(run, tmp_path / "e", ["onnx"], small_store.path.parent)
    own, path = run.predictions("test"), done.path / "model.onnx"
    session = onnxruntime.InferenceSession(path)
    (p,) = session.run(["probabilities"], {"signal": small_store.read(own.rows)})
    assert np.abs(p - own.p).max() < 1e-5
    (one,) = session.run(["probabilities"], {"signal": small_store.read(own.rows[:1])})
    assert np.abs(one - own.p[:1]).max() < 1e-5
    (contract,) = [m.value for m in onnx.load(path).metadata_props if m.key == "contract"]
    assert json.loads(contract) == run.contract


def test_the_contract_is_inside_and_beside(run_of, small_store, tmp_path):
    run = run_of("single")
    done = export.export_run(run, tmp_path / "e", FORMATS, small_store.path.parent)
    for inside in ("contract.json", "saved_model/assets.extra/contract.json"):
        assert json.loads((done.path / inside).read_text()) == run.contract
    loaded = keras.models.load_model(done.path / "model.keras")
    assert loaded.get_layer("contract").contract == run.contract
    with zipfile.ZipFile(done.path / "model.keras") as archive:  # readable without Keras too
        assert run.contract["fingerprint"] in archive.read("config.json").decode()
    told = json.loads((done.path / "export.json").read_text())
    assert told["largest_difference"] == done.differences


def test_without_the_store_random_windows_are_compared(run_of, tmp_path):
    run = run_of("single")
    done = export.export_run(run, "", ["keras"], tmp_path / "nothing")
    assert done.path == run.path / "export"
    assert "random windows" in done.compared_with


def test_an_export_is_replaced_and_anything_else_is_not(run_of, small_store, tmp_path):
    run, data = run_of("single"), small_store.path.parent
    done = export.export_run(run, tmp_path / "e", ["keras"], data)
    (done.path / "left over").touch()
    done = export.export_run(run, tmp_path / "e", ["keras"], data)
    names = {path.name for path in done.path.iterdir()}
    assert names == {"model.keras", "contract.json", "export.json"}
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match="is no export"):
        export.export_run(run, tmp_path / "other", ["keras"], data)
    with pytest.raises(ExperimentError, match="Did you mean 'keras'"):
        export.export_run(run, tmp_path / "e", ["kera"], data)


def test_a_model_that_differs_is_not_kept(run_of, small_store, tmp_path, monkeypatch):
    run, data = run_of("single"), small_store.path.parent
    wrong = lambda path, windows: np.zeros((len(run.predictions("test").p), 2))  # noqa: E731
    monkeypatch.setitem(export._READERS, "keras", wrong)
    with pytest.raises(RunError, match="nothing was written"):
        export.export_run(run, tmp_path / "e", ["keras"], data)
    assert list(tmp_path.iterdir()) == []


def test_onnx_says_what_it_lacks(run_of, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "NEEDED_FOR_ONNX", ("no_such_module",))
    with pytest.raises(RunError, match="pip install no_such_module"):
        export.export_run(run_of("single"), tmp_path / "e", ["onnx"])
    done = export.export_run(run_of("single"), tmp_path / "e", (), tmp_path)
    assert set(done.differences) == set(FORMATS)
    assert "no_such_module" in done.left_out["onnx"]


def test_a_window_of_another_shape_is_refused(run_of):
    layer = export.Contract(run_of("single").contract)
    with pytest.raises(RunError, match=r"shape \(400, 3\)"):
        layer(np.zeros((1, 300, 3), np.float32))


@pytest.mark.parametrize("n", [2, 7, 64, 400, 798, 1998])
def test_fourier_transforms_for_onnx_are_those_of_numpy(n):
    x = np.random.default_rng(n).standard_normal((2, 3, n)).astype(np.float32)
    real, imag = onnx_ops.rfft(keras.ops.convert_to_tensor(x))
    expected = np.fft.rfft(x)
    assert np.allclose(real, expected.real, atol=1e-4)
    assert np.allclose(imag, expected.imag, atol=1e-4)
    assert np.allclose(onnx_ops.irfft((real, imag), fft_length=n), x, atol=1e-5)


def test_operations_for_onnx_are_put_back():
    own = keras.ops.rfft
    with onnx_ops.known_to_onnx():
        assert keras.ops.rfft is onnx_ops.rfft
    assert keras.ops.rfft is own
    x = keras.ops.ones((2, 3, 1))
    assert onnx_ops.repeat(x, 0).shape == (2, 3, 0)
    assert onnx_ops.repeat(x, 4).shape == (2, 3, 4)
