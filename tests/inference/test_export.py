import dataclasses
import functools
import importlib.util
import itertools
import json
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers import make_short_source
from scipy.special import expit, logit, softmax

from ecglib.datasets.writer import write_store
from ecglib.errors import ExperimentError, RunError
from ecglib.evaluation.calibration import Calibration
from ecglib.experiment import Contract, Experiment
from ecglib.inference import export, matrix_operations
from ecglib.inference.rounding import N_ROUNDINGS, UNIT_ROUNDOFF, compute_tolerance
from ecglib.models import ModelSpec, build_model, end_to_end
from ecglib.preprocessing.filters import MAX_MATRIX_SAMPLES
from ecglib.representations import build_representations
from ecglib.training import train

THREE = {"time": "cnn_attention", "frequency": "cnn", "spectrogram": "cnn2d"}
SETTINGS = {"task": "letters", "width": 4, "feature_dim": 8, "epochs": 1, "batch_size": 16}
MODELS = {
    "single": {"branches": {"time": "cnn_bilstm"}},
    "intermediate": {"branches": THREE, "fusion": "intermediate_attention"},
    "late_weighted": {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_weighted"},
    "two encoders on a representation": {
        "branches": {"time": "cnn", "time_2": "s4d", "tabular": "mlp", "tabular_2": "mlp"},
        "fusion": "late_stacking",
        "missing_branches": True,
    },
    "ensemble": {"branches": {"frequency": "cnn"}, "ensemble_size": 2},
    "tabular": {"branches": {"tabular": "mlp"}},
    "crops, tabular": {
        "branches": {"time": "cnn", "tabular": "mlp"},
        "fusion": "intermediate_concat",
        "representation_options": {"tabular": {"columns": ["age", "heart_rate_bpm"]}},
        "crop_s": 2.0,
    },
    "filters": {
        "branches": {"time": "cnn"},
        "notch_hz": 30.0,
        "denoise": True,
        "scaling": "robust",
        "representation_options": {"time": {"scale": "window"}},
    },
    "crops": {"branches": THREE, "fusion": "intermediate_concat", "crop_s": 1.5},
    "crops, late_weighted": {
        "branches": {"time": "cnn", "frequency": "cnn"},
        "fusion": "late_weighted",
        "crop_s": 2.0,
        "crop_hop_s": 0.7,
        "crop_aggregation": "max",
    },
    "crops, ensemble": {"branches": {"time": "cnn"}, "ensemble_size": 2, "crop_s": 4.0},
}
FORMATS = ("keras", "savedmodel")
# The other models have no operation that none of these has.
CONVERTED = (
    "single",
    "intermediate",
    "two encoders on a representation",
    "filters",
    "crops, tabular",
)


@pytest.fixture(scope="module")
def get_run(small_store, tmp_path_factory):
    """Train a model of `MODELS` by its name, once."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def get(name):
        experiment = Experiment.from_flat(SETTINGS | MODELS[name], small_store)
        return train(small_store, experiment, batch=folder / "explore")

    return get


@pytest.fixture(scope="module")
def data_dir(small_store):
    return small_store.path.parent


@pytest.fixture(scope="module")
def get_export(get_run, data_dir, tmp_path_factory):
    """Export the run of a model by its name, once, to all formats of `list_formats`."""

    @functools.cache
    def get(name):
        folder = tmp_path_factory.mktemp("export") / "e"
        return export.export_run(get_run(name), folder, list_formats(name), data_dir)

    return get


def list_formats(name):
    has_onnx = all(importlib.util.find_spec(module) for module in export.FORMATS["onnx"].modules)
    converted = [*(["onnx"] if has_onnx else []), *(["tflite"] if name in CONVERTED else [])]
    return [*FORMATS, *converted]


# Executed without ecglib: for each model the predictions of a file of its export.
PREDICT_ELSEWHERE = """
import json, sys
import numpy as np
import tensorflow as tf

for path, inputs_path, p_path in json.loads(sys.argv[1]):
    inputs = dict(np.load(inputs_path))
    if path.endswith(".tflite"):
        run = tf.lite.Interpreter(path).get_signature_runner()
        rows = range(len(inputs["signal"]))
        p = [run(**{k: inputs[k][i:i + 1] for k in inputs})["probabilities"][0] for i in rows]
    else:
        model = tf.saved_model.load(path)  # holds the variables
        p = model.serve(inputs["signal"])
    np.save(p_path, p)
assert "ecglib" not in sys.modules
"""
SAVED_MODEL = "late_weighted"


@pytest.fixture(scope="module")
def predicted_elsewhere(get_run, get_export, small_store, tmp_path_factory):
    """The predictions of a process that has TensorFlow alone, by the name of the model."""
    folder, orders = tmp_path_factory.mktemp("elsewhere"), []
    for i, name in enumerate((SAVED_MODEL, *CONVERTED)):
        run = get_run(name)
        inputs_path, p_path = folder / f"inputs{i}.npz", folder / f"p{i}.npy"
        np.savez(inputs_path, **read_inputs(run, small_store, run.predictions("test").rows))
        file = "saved_model" if name == SAVED_MODEL else "model.tflite"
        orders.append([str(get_export(name).path / file), str(inputs_path), str(p_path)])
    command = [sys.executable, "-c", PREDICT_ELSEWHERE, json.dumps(orders)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return {
        name: np.load(order[2])
        for name, order in zip((SAVED_MODEL, *CONVERTED), orders, strict=True)
    }


def read_inputs(run, store, rows):
    """Read what the exported model takes: windows in mV and, with a tabular branch, values."""
    inputs = {"signal": store.read(rows)}
    if columns := run.contract.processing.tabular_columns:
        inputs["tabular"] = store.read_tabular(rows, columns)
    return inputs


def contract_as_json(run):
    return json.loads(json.dumps(run.contract.to_dict()))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_run_model_and_its_files_give_the_stored_predictions(
    name, get_run, get_export, small_store
):
    run = get_run(name)
    stored = run.predictions("test")
    inputs = read_inputs(run, small_store, stored.rows)
    p = export.build_run_model(run).predict(inputs, verbose=0)
    assert np.abs(p - stored.p).max() < 1e-5
    exported = get_export(name)
    assert "stored predictions" in exported.compared_with
    loaded = keras.models.load_model(exported.path / "model.keras", safe_mode=True)
    assert np.abs(loaded.predict(inputs, verbose=0) - stored.p).max() < 1e-5
    assert [x.name for x in loaded.inputs] == list(inputs)
    assert loaded.output_names == ["probabilities"]
    assert set(exported.max_differences) == set(list_formats(name))
    assert max(exported.max_differences.values()) < 1e-5
    assert list(exported.path.parent.iterdir()) == [exported.path]


@pytest.mark.slow
def test_the_saved_model_needs_no_ecglib(get_run, predicted_elsewhere):
    stored = get_run(SAVED_MODEL).predictions("test")
    assert np.abs(predicted_elsewhere[SAVED_MODEL] - stored.p).max() < 1e-5


@pytest.mark.slow
def test_the_keras_model_loads_in_a_new_process(get_run, get_export):
    path = get_export("intermediate").path / "model.keras"
    code = (
        "import keras, ecglib.inference\n"
        f"model = keras.models.load_model({str(path)!r}, safe_mode=True)\n"
        "print(model.get_layer('contract').contract['signal']['leads'])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert printed.strip().endswith(str(list(get_run("intermediate").contract.signal.leads)))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_the_stored_predictions(name, get_run, get_export, small_store):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    run = get_run(name)
    stored, path = run.predictions("test"), get_export(name).path / "model.onnx"
    session = onnxruntime.InferenceSession(path)
    (p,) = session.run(["probabilities"], read_inputs(run, small_store, stored.rows))
    assert np.abs(p - stored.p).max() < 1e-5
    (first,) = session.run(["probabilities"], read_inputs(run, small_store, stored.rows[:1]))
    assert np.abs(first - stored.p[:1]).max() < 1e-5
    (contract,) = [m.value for m in onnx.load(path).metadata_props if m.key == "contract"]
    assert json.loads(contract) == contract_as_json(run)


@pytest.mark.slow
def test_the_contract_is_inside_and_beside_the_models(get_run, get_export):
    run, exported = get_run("single"), get_export("single")
    for file in ("contract.json", "saved_model/assets.extra/contract.json"):
        contract = json.loads((exported.path / file).read_text())
        assert contract == contract_as_json(run)
        assert Contract.from_dict(contract) == run.contract
    loaded = keras.models.load_model(exported.path / "model.keras")
    assert Contract.from_dict(loaded.get_layer("contract").contract) == run.contract
    with zipfile.ZipFile(exported.path / "model.keras") as archive:  # readable without Keras too
        assert run.contract.fingerprint in archive.read("config.json").decode()
    description = json.loads((exported.path / "export.json").read_text())
    assert description["max_differences"] == exported.max_differences


@pytest.mark.slow
def test_without_the_store_random_windows_are_compared(get_run, tmp_path):
    run = get_run("single")
    exported = export.export_run(run, "", ["keras"], tmp_path / "nothing")
    assert exported.path == run.path / "export"
    assert "random windows" in exported.compared_with


@pytest.mark.slow
def test_an_export_is_replaced_and_any_other_folder_is_not(get_run, data_dir, tmp_path):
    run = get_run("single")
    exported = export.export_run(run, tmp_path / "e", ["keras"], data_dir)
    (exported.path / "left over").touch()
    exported = export.export_run(run, tmp_path / "e", ["keras"], data_dir)
    names = {path.name for path in exported.path.iterdir()}
    assert names == {"model.keras", "contract.json", "export.json"}
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match="is not an export"):
        export.export_run(run, tmp_path / "other", ["keras"], data_dir)
    with pytest.raises(ExperimentError, match="Did you mean 'keras'"):
        export.export_run(run, tmp_path / "e", ["kera"], data_dir)


def replace_format(monkeypatch, name, **changes):
    formats = export.FORMATS | {name: dataclasses.replace(export.FORMATS[name], **changes)}
    monkeypatch.setattr(export, "FORMATS", formats)


@pytest.mark.slow
def test_a_model_that_differs_is_not_written(get_run, data_dir, tmp_path, monkeypatch):
    run = get_run("single")
    wrong = np.zeros_like(run.predictions("test").p)
    replace_format(monkeypatch, "keras", read=lambda path, inputs: wrong)
    with pytest.raises(RunError, match=r"No format .* differs from the stored .* explains"):
        export.export_run(run, tmp_path / "e", ["keras"], data_dir)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_formats_that_passed_are_kept_when_others_fail(get_run, data_dir, tmp_path, monkeypatch):
    def write_half(model, contract, path):
        path.mkdir()
        (path / "half").touch()
        raise ZeroDivisionError("in the converter")

    run = get_run("single")
    wrong = np.full_like(run.predictions("test").p, np.nan)
    replace_format(monkeypatch, "savedmodel", write=write_half)
    replace_format(monkeypatch, "tflite", read=lambda path, inputs: wrong)
    with pytest.warns(UserWarning, match="ZeroDivisionError: in the converter"):
        exported = export.export_run(
            run, tmp_path / "e", ["keras", "savedmodel", "tflite"], data_dir
        )
    names = {path.name for path in exported.path.iterdir()}
    assert names == {"model.keras", "contract.json", "export.json"}
    assert list(exported.max_differences) == ["keras"]
    assert set(exported.failed) == {"savedmodel", "tflite"}
    assert "differs from the stored predictions" in exported.failed["tflite"]
    description = json.loads((exported.path / "export.json").read_text())
    assert description["failed"] == exported.failed


@pytest.mark.slow
def test_onnx_names_a_missing_converter(get_run, tmp_path, monkeypatch):
    replace_format(monkeypatch, "onnx", modules=("no_such_module",))
    replace_format(monkeypatch, "tflite", modules=("no_such_package.module",))
    run = get_run("single")
    with pytest.raises(RunError, match="pip install no_such_module"):
        export.export_run(run, tmp_path / "e", ["onnx"])
    exported = export.export_run(run, tmp_path / "e", (), tmp_path)
    assert set(exported.max_differences) == set(FORMATS)
    assert "no_such_module" in exported.skipped["onnx"]
    assert "pip install no_such_package" in exported.skipped["tflite"]


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_mixed_precision_is_refused_by_name_before_conversion(name):
    with pytest.raises(RunError, match=f"(?i){name} needs .* computes in mixed_float16"):
        export._find_skipped_formats([name], "mixed_float16")
    assert "mixed_bfloat16" in export._find_skipped_formats([], "mixed_bfloat16")[name]


def test_formats_of_tensorflow_are_not_written_on_another_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    skipped = export._find_skipped_formats([], "float32")
    assert set(skipped) == {"savedmodel", "onnx", "tflite"}
    with pytest.raises(RunError, match="KERAS_BACKEND=tensorflow"):
        export._find_skipped_formats(["onnx"], "float32")


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
@pytest.mark.parametrize("scale", [0.02, 1.0, 50.0])
def test_the_tolerance_is_the_effect_of_rounded_logits(kind, scale):
    """Against logits that are off by their rounding, through the calibration in float64."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, min(3, 2 / scale), (200, 3))
    contract = SimpleNamespace(kind=kind, calibration_scale=(scale,) * 3)
    calibrate = Calibration(kind, contract.calibration_scale, (0.3, 0.0, -0.1))
    raw = expit(logits) if kind == "multi_label" else softmax(logits, axis=1)
    p = calibrate(raw)
    tolerance = compute_tolerance(p, raw, contract)
    off = N_ROUNDINGS * UNIT_ROUNDOFF * (1 + np.abs(logit(raw)))
    found = np.zeros_like(p)
    for signs in itertools.product((-1, 1), repeat=3):
        moved = expit(logit(raw) + np.array(signs) * off)
        found = np.maximum(found, np.abs(calibrate(moved) - p))
    assert (found <= 1.02 * tolerance).all()
    assert np.median(found / tolerance) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("branch", [("time", "xresnet1d"), ("frequency", "cnn_transformer")])
def test_a_barely_trained_model_is_exported_in_every_format(
    branch, small_store, data_dir, tmp_path
):
    """Its calibration stretches differences of logits that are near rounding, here by 50."""
    for module in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(module)
    settings = SETTINGS | {"steps_per_epoch": 1, "branches": dict([branch]), "learning_rate": 1e-6}
    run = train(
        small_store,
        Experiment.from_flat(settings, small_store),
        batch=tmp_path / "runs" / "explore",
    )
    run.contract = dataclasses.replace(run.contract, calibration_scale=(50.0, 50.0))
    exported = export.export_run(run, tmp_path / "e", (), tmp_path / "no store")
    assert set(exported.max_differences) == set(export.FORMATS)
    assert exported.failed == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTED)
def test_tflite_gives_the_stored_predictions(name, get_run, predicted_elsewhere):
    stored = get_run(name).predictions("test")
    assert np.abs(predicted_elsewhere[name] - stored.p).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_windows_that_are_filtered_by_fourier_transforms_are_converted(name, get_run, tmp_path):
    """Beyond `MAX_MATRIX_SAMPLES`, and of an odd length."""
    for module in export.FORMATS[name].modules:
        pytest.importorskip(module)
    n_samples = 2 * MAX_MATRIX_SAMPLES + 101
    contract = get_run("filters").contract
    signal = dataclasses.replace(contract.signal, n_samples=n_samples)
    representations = ("time", "frequency")
    processing = dataclasses.replace(
        contract.processing, representations=representations, representation_options={}
    )
    contract = dataclasses.replace(contract, signal=signal, processing=processing)
    outputs = end_to_end.build_processing(signal, processing).output
    shapes = {branch: tuple(outputs[branch].shape[1:]) for branch in representations}
    spec = ModelSpec(
        branches={"time": "cnn", "frequency": "mlp"},
        fusion="late_average",
        n_classes=2,
        kind="multi_label",
    )
    model = end_to_end.build_end_to_end(contract, build_model(shapes, spec))
    rng = np.random.default_rng(0)
    windows = rng.normal(0, 0.3, (3, n_samples, 3)).astype(np.float32)
    p = model.predict(windows, verbose=0)
    export.FORMATS[name].write(model, contract, tmp_path / "model")
    found = export.FORMATS[name].read(tmp_path / "model", [windows])
    assert np.ptp(p) > 1e-3
    assert np.abs(found - p).max() < 5e-6


@pytest.mark.slow
def test_the_contract_is_inside_the_tflite_model(get_run, get_export):
    from tensorflow.lite.tools import flatbuffer_utils

    path = get_export("single").path / "model.tflite"
    model = flatbuffer_utils.read_model(str(path))
    (entry,) = [one for one in model.metadata if one.name == b"contract"]
    contract = json.loads(bytes(model.buffers[entry.buffer].data))
    assert contract == contract_as_json(get_run("single"))


@pytest.mark.slow
def test_a_window_of_another_shape_is_refused(get_run):
    layer = end_to_end.EmbedContract(get_run("single").contract.to_dict())
    with pytest.raises(RunError, match=r"\(300, 3\) do not fit the contract, which has \(400, 3\)"):
        layer(np.zeros((1, 300, 3), np.float32))


@pytest.mark.parametrize("n", [2, 7, 64, 400, 798, 1998])
def test_fourier_transforms_of_converters_are_those_of_numpy(n):
    x = np.random.default_rng(n).standard_normal((2, 3, n)).astype(np.float32)
    real, imag = matrix_operations.rfft(keras.ops.convert_to_tensor(x))
    expected = np.fft.rfft(x)
    assert np.allclose(real, expected.real, atol=1e-4)
    assert np.allclose(imag, expected.imag, atol=1e-4)
    assert np.allclose(matrix_operations.irfft((real, imag), fft_length=n), x, atol=1e-5)


def test_operations_of_converters_are_put_back():
    rfft = keras.ops.rfft
    with matrix_operations.use_matrix_operations():
        assert keras.ops.rfft is matrix_operations.rfft
    assert keras.ops.rfft is rfft
    x = keras.ops.ones((2, 3, 1))
    assert matrix_operations.repeat(x, 0).shape == (2, 3, 0)
    assert matrix_operations.repeat(x, 4).shape == (2, 3, 4)


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


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@pytest.mark.parametrize("normalize", [False, True])
def test_crops_of_padding_do_not_count(aggregation, normalize):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], (2, 4)).astype(np.float32)
    crops = rng.standard_normal((2, 4, 10, 2)).astype(np.float32)
    crops[0, 2:] = 0  # two crops of the first window are padding
    crops[1] = 0  # and the second window is 0 mV throughout
    expected = [getattr(np, aggregation)(measured, axis=0) for measured in (p[0, :2], p[1])]
    if normalize:
        expected = [window_p / window_p.sum() for window_p in expected]
    layer = end_to_end.AggregateCrops(4, aggregation, normalize)
    aggregated = layer([p.reshape(8, 3), crops.reshape(8, 10, 2)])
    assert np.allclose(aggregated, expected, atol=1e-6)
    branches = layer([np.stack([p.reshape(8, 3)] * 2, axis=1), crops.reshape(8, 10, 2)])
    assert np.allclose(branches, np.stack([expected] * 2, axis=1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["mean", "max"])
def test_predictions_of_padded_records_are_those_of_their_measured_crops(aggregation, tmp_path):
    """Against NumPy: the measured crops through representations and model, then mean or max."""
    store = write_store(make_short_source(kind="multi_class"), tmp_path / "data", progress=False)
    settings = {"branches": {"time": "cnn"}, "crop_s": 1.0, "crop_aggregation": aggregation}
    experiment = Experiment.from_flat(SETTINGS | settings, store)
    run = train(store, experiment, batch=tmp_path / "runs" / "explore")
    processing = run.contract.processing
    assert processing.crop_s == 1.0
    assert processing.crop_hop_s == 0
    assert processing.crop_aggregation == aggregation
    calibrate = Calibration(
        "multi_class", run.contract.calibration_scale, run.contract.calibration_bias
    )
    stored, model = run.predictions("test"), run.load_network()
    n_measured = store.windows["n_measured"].to_numpy()[stored.rows]
    assert len(set(n_measured)) == 3
    crop_signal = dataclasses.replace(store.signal, n_samples=100)
    representations = build_representations(crop_signal, ["time"])
    for window, n, p in zip(store.read(stored.rows), n_measured, stored.p, strict=True):
        crops = np.stack([window[start : start + 100] for start in range(0, 301, 50) if start < n])
        crop_p = model.predict(dict(representations(crops)), verbose=0)
        expected = crop_p.mean(axis=0) if aggregation == "mean" else crop_p.max(axis=0)
        expected = calibrate(expected[None] / expected.sum())[0]
        assert np.allclose(p, expected, atol=1e-5)
    exported = export.export_run(run, tmp_path / "e", ["keras"], store.path.parent)
    assert "stored predictions" in exported.compared_with
