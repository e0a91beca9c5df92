"""A run as one model: from millivolts at the contract's rate to probabilities."""

import ecglib._keras  # noqa: F401

import dataclasses
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from ecglib import models, paths  # noqa: F401 - models registers its layers for Keras
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.store import Dataset, is_store
from ecglib.errors import RunError, require_one_of
from ecglib.inference.onnx_operations import known_to_onnx
from ecglib.models.end_to_end import views_of, window_graph
from ecglib.runs import Run

FILES = {"keras": "model.keras", "savedmodel": "saved_model", "onnx": "model.onnx"}
NEEDED_FOR_ONNX = ("tf2onnx", "onnx", "onnxruntime")
LARGEST_DIFFERENCE = 1e-5
N_COMPARED = 256
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path
        the folder.
    differences
        format -> largest difference of a probability, read back, from the run's own.
    compared_with
        what these were compared on.
    excluded
        format -> why it was not written.
    """

    path: Path
    differences: dict[str, float]
    compared_with: str
    excluded: dict[str, str]


def signal_contract(contract: dict) -> SignalSpec:
    """What the windows of a run are, from its contract."""
    names = [field.name for field in dataclasses.fields(SignalSpec)]
    values = {name: contract[name] for name in names if name in contract}
    return SignalSpec(**values | {"leads": tuple(contract["leads"])})


def tabular_columns(contract: dict) -> list[str]:
    """The tabular values that a run looks at, in order; none without a tabular branch."""
    if "tabular" not in contract["representations"]:
        return []
    return contract["representation_options"]["tabular"]["columns"]


def one_graph(run: Run) -> keras.Model:
    """The run's crops and views, by the layers of its training, joined with its model.

    Returns
    -------
    keras.Model
        From "signal", (n_windows, n_samples, n_leads) in mV, and of a run with a tabular branch
        "tabular", (n_windows, n_columns), to "probabilities", (n_windows, n_classes). Its layer
        "contract" holds the contract.
    """
    contract, model = run.contract, run.load_model()
    signal = signal_contract(contract)
    return window_graph(signal, views_of(signal, contract), model, contract)


def export_run(
    run: Run,
    folder: str | Path = "",
    formats: Sequence[str] = (),
    data_dir: str | Path = "",
) -> Exported:
    """Write a run as one model, and read each file back to compare it with the run.

    The folder appears whole or not at all, with contract.json and export.json (what was compared)
    beside the models. ``model.keras`` loads after ``import ecglib.inference.export``, the others need
    nothing of ecglib. The contract is also inside of each: in the layer "contract" of
    ``model.keras``, in ``assets.extra/contract.json`` of the SavedModel, and in the metadata of
    the ONNX model. In ONNX the Fourier transforms are products with constant matrices.

    Parameters
    ----------
    run
        the run.
    folder
        where to; empty for ``export`` in the run's folder. An export that exists is replaced.
    formats
        of ``"keras"``, ``"savedmodel"`` and ``"onnx"``; empty for all that can be written here.
    data_dir
        folder of the stores; where the run's store is there, its test windows and the stored
        predictions are compared, otherwise random windows and the run's model.

    Raises
    ------
    RunError
        a converter is missing, ONNX is asked of a run in mixed precision, the folder holds
        something else, writing failed, or a model that was read back differs by more than 1e-5.
    """
    for name in formats:
        require_one_of("format", name, FILES)
    path = Path(folder) if folder else run.path / "export"
    excluded = _excluded(formats, run.experiment.precision)
    if path.exists() and not (path / "export.json").is_file():
        raise RunError(f"{path} exists and is no export. Name another folder, or remove it.")
    graph = one_graph(run)
    inputs, expected, compared_with = _inputs(run, graph, data_dir)
    try:
        with paths.make_temporary_folder(path.parent, "export") as unfinished:
            new = unfinished / "new"
            new.mkdir()
            chosen = [f for f in FILES if f not in excluded and f in (formats or FILES)]
            differences = {}
            for name in chosen:
                _WRITERS[name](run, graph, new / FILES[name])
                p = _READERS[name](new / FILES[name], inputs)
                differences[name] = _difference(name, p, expected, compared_with)
            exported = Exported(path, differences, compared_with, excluded)
            _write_json(new / "contract.json", run.contract)
            _write_json(new / "export.json", _told(run, exported))
            if path.exists():
                path.rename(unfinished / "old")
            new.rename(path)
    except OSError as error:
        raise RunError(
            f"Writing the export {path} failed: {error}. Nothing was kept of it; see to the disk "
            f"(space, rights) and export again."
        ) from error
    return exported


def _told(run: Run, exported: Exported) -> dict:
    told = {"signal": "(n_windows, n_samples, n_leads), float32, in mV; see contract.json"}
    if columns := tabular_columns(run.contract):
        told["tabular"] = f"(n_windows, {len(columns)}), float32, NaN where missing: {columns}"
    return {
        "run": run.path.name,
        "model": run.experiment.model,
        "inputs": told,
        "output": "probabilities: (n_windows, n_classes), float32, calibrated on validation",
        "files": {name: FILES[name] for name in exported.differences},
        "largest_difference": exported.differences,
        "compared_with": exported.compared_with,
        "excluded": exported.excluded,
        "versions": run.versions | {"keras": keras.__version__},
    }


def _excluded(formats: Sequence[str], precision: str) -> dict[str, str]:
    missing = [name for name in NEEDED_FOR_ONNX if importlib.util.find_spec(name) is None]
    if precision != "float32":
        why = f"ONNX is written of models in float32, and the run computes in {precision}"
    elif missing:
        why = f"ONNX needs {', '.join(missing)}: python -m pip install {' '.join(missing)}"
    else:
        return {}
    if "onnx" in formats:
        raise RunError(f"{why}. Or export the other formats only.")
    return {"onnx": why}


def _inputs(run: Run, graph: keras.Model, data_dir) -> tuple[list, np.ndarray, str]:
    """An array for each input, the probabilities that the run gives them, and what they are."""
    contract, columns = run.contract, tabular_columns(run.contract)
    store = paths.data_dir(data_dir) / f"{contract['dataset']}-{contract['fingerprint']}"
    if is_store(store):
        own = run.predictions("test")
        chosen = np.unique(np.linspace(0, len(own.rows) - 1, N_COMPARED).astype(int))
        told = f"the stored predictions of {len(chosen)} test windows"
        dataset, rows = Dataset(store), own.rows[chosen]
        inputs = [dataset.read(rows), *([dataset.read_tabular(rows, columns)] if columns else [])]
        return inputs, own.p[chosen], told
    random = np.random.default_rng(0)
    shapes = [(BATCH, *x.shape[1:]) for x in graph.inputs]
    inputs = [random.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]
    told = f"the run's model on {BATCH} random windows: the store {store} is not here"
    return inputs, graph.predict(inputs, batch_size=BATCH, verbose=0), told


def _difference(name: str, p: np.ndarray, expected: np.ndarray, compared_with: str) -> float:
    difference = float(np.abs(p - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise RunError(
            f"The {name} model differs from {compared_with} by {difference:.2g}, expected at most "
            f"{LARGEST_DIFFERENCE:g}; nothing was written. Export with the library versions and "
            f"on the kind of device that the run was made with (experiment.json)."
        )
    return difference


def _write_keras(run: Run, graph: keras.Model, path: Path) -> None:
    graph.save(path)


def _read_keras(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    graph = keras.models.load_model(path, compile=False, safe_mode=True)
    graph.jit_compile = False
    return graph.predict(inputs, batch_size=BATCH, verbose=0)


def _write_saved_model(run: Run, graph: keras.Model, path: Path) -> None:
    graph.export(path, format="tf_saved_model", verbose=False)
    (path / "assets.extra").mkdir()  # where TensorFlow leaves room for files of others
    _write_json(path / "assets.extra" / "contract.json", run.contract)


def _read_saved_model(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    batches = (batch if len(batch) > 1 else batch[0] for batch in _batches(inputs))
    return np.concatenate([np.asarray(layer(batch)) for batch in batches])


def _write_onnx(run: Run, graph: keras.Model, path: Path) -> None:
    import onnx

    graph = one_graph(run)  # one of its own, for its layers are changed
    zeros = [np.zeros((1, *x.shape[1:]), np.float32) for x in graph.inputs]
    graph(zeros if len(zeros) > 1 else zeros[0])  # Keras exports no model unused
    for layer in _all_layers(graph):
        if isinstance(layer, keras.layers.Normalization):
            # Tensors that a layer holds would become inputs of the ONNX model.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with known_to_onnx(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks whether there is np.object
        graph.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    _name_ends(model.graph)
    contract = json.dumps(run.contract)
    onnx.helper.set_model_props(model, {"contract": contract})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _read_onnx(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batches = (dict(zip(("signal", "tabular"), own, strict=False)) for own in _batches(inputs))
    return np.concatenate([session.run(None, batch)[0] for batch in batches])


_WRITERS = {"keras": _write_keras, "savedmodel": _write_saved_model, "onnx": _write_onnx}
_READERS = {"keras": _read_keras, "savedmodel": _read_saved_model, "onnx": _read_onnx}


def _name_ends(graph) -> None:
    """Call the only output "probabilities", and the first axis of all ends "n_windows"."""
    (output,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["probabilities" if name == output.name else name for name in names]
    output.name = "probabilities"
    for end in (*graph.input, output):
        end.type.tensor_type.shape.dim[0].dim_param = "n_windows"


def _all_layers(model: keras.Model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def _batches(inputs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(inputs[0]), BATCH):
        yield [own[start : start + BATCH] for own in inputs]


def _write_json(path: Path, values: dict) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n")
