import dataclasses
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from made import short_source

from ecglib.datasets.writer import write_store
from ecglib.errors import ExperimentError, RunError
from ecglib.evaluation.calibration import Calibration
from ecglib.experiment import Experiment
from ecglib.inference import export, onnx_operations
from ecglib.models import end_to_end
from ecglib.representations import build_representations
from ecglib.training import trainer

THREE = {"time": "cnn_attention", "frequency": "cnn", "spectrogram": "cnn2d"}
MODELS = {
    "single": {"branches": {"time": "cnn_bilstm"}},
    "intermediate": {"branches": THREE, "fusion": "intermediate_attention"},
    "late_weighted": {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_weighted"},
    "two encoders on a view": {
        **{"branches": {"time": "cnn", "time_2": "s4d", "tabular": "mlp", "tabular_2": "mlp"}},
        **{"fusion": "late_stacking", "missing_branches": True},
    },
    "ensemble": {"branches": {"frequency": "cnn"}, "ensemble_size": 2},
    "tabular": {"branches": {"tabular": "mlp"}},
    "crops, tabular": {
        **{"branches": {"time": "cnn", "tabular": "mlp"}, "fusion": "intermediate_concat"},
        **{
            "representation_options": {"tabular": {"columns": ["age", "heart_rate_bpm"]}},
            "crop_s": 2.0,
        },
    },
    "filters": {
        **{"branches": {"time": "cnn"}, "notch_hz": 30.0, "denoise": True, "scaling": "robust"},
        **{"representation_options": {"time": {"scale": "window"}}},
    },
    "crops": {"branches": THREE, "fusion": "intermediate_concat", "crop_s": 1.5},
    "crops, late_weighted": {
        **{"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_weighted"},
        **{"crop_s": 2.0, "crop_hop_s": 0.7, "crop_aggregation": "max"},
    },
    "crops, ensemble": {"branches": {"time": "cnn"}, "ensemble_size": 2, "crop_s": 4.0},
}
FORMATS = ("keras", "savedmodel")


@pytest.fixture(scope="module")
def run_of(small_store, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in made:
            own = {"dataset": small_store.name, "fingerprint": small_store.fingerprint}
            own |= {"task": "letters", "width": 4, "feature_dim": 8, "epochs": 1, "batch_size": 16}
            experiment = Experiment(**own, **MODELS[name])
            made[name] = trainer.train(experiment, small_store, folder)
        return made[name]

    return run


def inputs_of(run, store, rows):
    """What the exported model is given: windows in mV and, with a tabular branch, values."""
    inputs = {"signal": store.read(rows)}
    if "tabular" in run.contract["representations"]:
        columns = run.contract["representation_options"]["tabular"]["columns"]
        inputs["tabular"] = store.read_tabular(rows, columns)
    return inputs


@pytest.mark.parametrize("name", MODELS)
def test_one_graph_and_its_files_give_the_stored_predictions(name, run_of, small_store, tmp_path):
    run = run_of(name)
    own = run.predictions("test")
    inputs = inputs_of(run, small_store, own.rows)
    assert np.abs(export.one_graph(run).predict(inputs, verbose=0) - own.p).max() < 1e-5
    done = export.export_run(run, tmp_path / "e", FORMATS, small_store.path.parent)
    assert "stored predictions" in done.compared_with
    loaded = keras.models.load_model(done.path / "model.keras", safe_mode=True)
    assert np.abs(loaded.predict(inputs, verbose=0) - own.p).max() < 1e-5
    assert [x.name for x in loaded.inputs] == list(inputs)
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
        "import keras, ecglib.inference.export\n"
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
    (p,) = session.run(["probabilities"], inputs_of(run, small_store, own.rows))
    assert np.abs(p - own.p).max() < 1e-5
    (one,) = session.run(["probabilities"], inputs_of(run, small_store, own.rows[:1]))
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
    assert "no_such_module" in done.excluded["onnx"]


def test_onnx_of_mixed_precision_is_refused_by_name():
    with pytest.raises(RunError, match="computes in mixed_float16"):
        export._excluded(["onnx"], "mixed_float16")
    assert "mixed_bfloat16" in export._excluded([], "mixed_bfloat16")["onnx"]


def test_a_window_of_another_shape_is_refused(run_of):
    layer = end_to_end.Contract(run_of("single").contract)
    with pytest.raises(RunError, match=r"shape \(400, 3\)"):
        layer(np.zeros((1, 300, 3), np.float32))


@pytest.mark.parametrize("n", [2, 7, 64, 400, 798, 1998])
def test_fourier_transforms_for_onnx_are_those_of_numpy(n):
    x = np.random.default_rng(n).standard_normal((2, 3, n)).astype(np.float32)
    real, imag = onnx_operations.rfft(keras.ops.convert_to_tensor(x))
    expected = np.fft.rfft(x)
    assert np.allclose(real, expected.real, atol=1e-4)
    assert np.allclose(imag, expected.imag, atol=1e-4)
    assert np.allclose(onnx_operations.irfft((real, imag), fft_length=n), x, atol=1e-5)


def test_operations_for_onnx_are_put_back():
    own = keras.ops.rfft
    with onnx_operations.known_to_onnx():
        assert keras.ops.rfft is onnx_operations.rfft
    assert keras.ops.rfft is own
    x = keras.ops.ones((2, 3, 1))
    assert onnx_operations.repeat(x, 0).shape == (2, 3, 0)
    assert onnx_operations.repeat(x, 4).shape == (2, 3, 4)


@pytest.mark.parametrize(("length", "hop", "starts"), [
    (100, 50, [0, 50, 100, 150, 200, 250, 300]),
    (100, 70, [0, 70, 140, 210, 280, 300]),
    (150, 400, [0, 250]),
    (400, 10, [0]),
])  # fmt: skip
def test_sliding_crops_reach_both_ends_of_a_window(length, hop, starts):
    x = np.random.default_rng(0).standard_normal((3, 400, 2)).astype(np.float32)
    layer = end_to_end.Crops(length, hop)
    assert layer.starts(400) == starts
    expected = [window[s : s + length] for window in x for s in starts]
    assert np.array_equal(layer(x), expected)
    assert layer.compute_output_shape((3, 400, 2)) == (3 * len(starts), length, 2)
    assert layer.compute_output_shape((None, 400, 2)) == (None, length, 2)


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("to_one", [False, True])
def test_crops_of_padding_do_not_count(how, to_one):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], (2, 4)).astype(np.float32)
    crops = rng.standard_normal((2, 4, 10, 2)).astype(np.float32)
    crops[0, 2:] = 0  # two crops of the first window are padding
    crops[1] = 0  # and the second window is 0 mV throughout
    expected = [getattr(np, how)(own, axis=0) for own in (p[0, :2], p[1])]
    if to_one:
        expected = [own / own.sum() for own in expected]
    layer = end_to_end.JoinCrops(4, how, to_one)
    joined = layer([p.reshape(8, 3), crops.reshape(8, 10, 2)])
    assert np.allclose(joined, expected, atol=1e-6)
    branches = layer([np.stack([p.reshape(8, 3)] * 2, axis=1), crops.reshape(8, 10, 2)])
    assert np.allclose(branches, np.stack([expected] * 2, axis=1), atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_predictions_of_padded_records_are_those_of_their_measured_crops(how, tmp_path):
    """Against NumPy: crops by n_measured, each through views and model, then the mean or max."""
    store = write_store(short_source(kind="multi_class"), tmp_path / "data", progress=False)
    own = {"dataset": store.name, "fingerprint": store.fingerprint, "task": "letters"}
    own |= {"width": 4, "feature_dim": 8, "epochs": 1, "batch_size": 16}
    own |= {"branches": {"time": "cnn"}, "crop_s": 1.0, "crop_aggregation": how}
    run = trainer.train(Experiment(**own), store, tmp_path / "runs")
    assert run.contract["crop_s"] == 1.0
    assert run.contract["crop_hop_s"] == 0
    assert run.contract["crop_aggregation"] == how
    calibrate = Calibration("multi_class", **run.contract["calibration"])
    stored, model = run.predictions("test"), run.load_model()
    n_measured = store.windows["n_measured"].to_numpy()[stored.rows]
    assert len(set(n_measured)) == 3
    views = build_representations(dataclasses.replace(store.signal, n_samples=100), ["time"])
    for window, n, p in zip(store.read(stored.rows), n_measured, stored.p, strict=True):
        crops = np.stack([window[s : s + 100] for s in range(0, 301, 50) if s < n])
        each = model.predict(dict(views(crops)), verbose=0)
        expected = each.mean(axis=0) if how == "mean" else each.max(axis=0)
        expected = calibrate(expected[None] / expected.sum())[0]
        assert np.allclose(p, expected, atol=1e-5)
    done = export.export_run(run, tmp_path / "e", ["keras"], store.path.parent)
    assert "stored predictions" in done.compared_with


def test_a_contract_of_before_there_were_crops_is_read(run_of, small_store, monkeypatch):
    run = run_of("single")
    own = run.predictions("test")
    for name in ("crop_s", "crop_hop_s", "crop_aggregation"):
        monkeypatch.delitem(run.contract, name)
    p = export.one_graph(run).predict(small_store.read(own.rows), verbose=0)
    assert np.allclose(p, own.p, atol=1e-5)
