"""Exports a run as one model: from mV at the contract's sampling rate to probabilities."""

import ecglib._keras  # noqa: F401

import dataclasses
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ecglib import paths
from ecglib.datasets.store import Dataset, is_store
from ecglib.errors import RunError, require_one_of
from ecglib.inference.onnx_operations import use_onnx_operations
from ecglib.models.end_to_end import build_end_to_end
from ecglib.runs import Run

FILES = {"keras": "model.keras", "savedmodel": "saved_model", "onnx": "model.onnx"}
REQUIRED_FOR_ONNX = ("tf2onnx", "onnx", "onnxruntime")
MAX_DIFFERENCE = 1e-5  # of a probability
N_COMPARED = 256  # stored test windows
BATCH_SIZE = 64
RANDOM_SPREAD_MV = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote.

    Parameters
    ----------
    path : Path
        The folder of the export.
    max_differences : dict of str to float
        Format -> largest difference of a probability, read back, from the run's.
    compared_with : str
        What the probabilities were compared on.
    skipped : dict of str to str
        Format -> why it was not written.

    Examples
    --------
    >>> exported = Exported(
    ...     path=Path("runs/explore/time-cnn/export"),
    ...     max_differences={"keras": 0.0},
    ...     compared_with="the stored predictions of 256 test windows",
    ...     skipped={"onnx": "ONNX needs tf2onnx: python -m pip install tf2onnx"},
    ... )
    >>> list(exported.max_differences)
    ['keras']
    """

    path: Path
    max_differences: dict[str, float]
    compared_with: str
    skipped: dict[str, str]


def build_run_model(run: Run) -> keras.Model:
    """Build the run's whole model: crops, filters, representations, network and calibration.

    Parameters
    ----------
    run : Run
        The run.

    Returns
    -------
    keras.Model
        From "signal", (n_windows, n_samples, n_leads) in mV, and for a run with a tabular branch
        "tabular", (n_windows, n_columns), to "probabilities", (n_windows, n_classes). Its layer
        "contract" holds the contract.

    Raises
    ------
    RunError
        If the run is a baseline, whose trees are not saved.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib import Experiment, prepare, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "epochs": 1}
    ...     run = train(Experiment.from_flat(settings, dataset), dataset, folder)
    ...     build_run_model(run).input_shape
    (None, 1000, 12)
    """
    return build_end_to_end(run.contract, run.load_network())


def export_run(
    run: Run,
    folder: str | Path = "",
    formats: Sequence[str] = (),
    data_dir: str | Path = "",
) -> Exported:
    """Write a run as one model, and compare each file, read back, with the run.

    The folder is written atomically, with contract.json and export.json (what was compared) beside
    the models. ``model.keras`` loads after ``import ecglib.inference``; the others need nothing of
    ecglib. The contract is also inside each of them: in the layer "contract" of ``model.keras``,
    in ``assets.extra/contract.json`` of the SavedModel, and in the metadata of the ONNX model. In
    ONNX the Fourier transforms are products with constant matrices.

    Parameters
    ----------
    run : Run
        The run.
    folder : str or Path, default ""
        Where to write; empty for ``export`` in the run's folder. An existing export is replaced.
    formats : sequence of {"keras", "savedmodel", "onnx"}, default ()
        Formats to write; empty for all that can be written here.
    data_dir : str or Path, default ""
        Folder of the stores; empty for the default (`ecglib.paths.data_dir`). If the run's store is
        there, the models are compared with the stored predictions of its test windows, otherwise
        with the run's model on random windows.

    Returns
    -------
    Exported
        What was written, and how far it is from the run.

    Raises
    ------
    ExperimentError
        If a format is unknown.
    RunError
        If the run is a baseline, a converter is missing, ONNX is asked of a run in mixed precision,
        the folder exists and is not an export, a file cannot be written, or a model that was read
        back differs by more than 1e-5.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib import Experiment, prepare, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", folder, options={"n_patients": 30}, progress=False)
    ...     settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "epochs": 1}
    ...     run = train(Experiment.from_flat(settings, dataset), dataset, folder)
    ...     exported = export_run(run, formats=["keras"], data_dir=folder)
    ...     sorted(path.name for path in exported.path.iterdir())
    ['contract.json', 'export.json', 'model.keras']
    """
    for name in formats:
        require_one_of("format", name, FILES)
    path = Path(folder) if folder else run.path / "export"
    skipped = _find_skipped_formats(formats, run.experiment.training.precision)
    if path.exists() and not (path / "export.json").is_file():
        raise RunError(
            f"{path} exists and is not an export, so it is not replaced. Name another folder, or "
            f"remove it."
        )
    model = build_run_model(run)
    reference = _find_reference(run, model, data_dir)
    try:
        with paths.make_temporary_folder(path.parent, "export") as unfinished:
            new = unfinished / "new"
            new.mkdir()
            max_differences = {}
            for name, file in FILES.items():
                if name not in skipped and name in (formats or FILES):
                    _WRITERS[name](run, model, new / file)
                    p = _READERS[name](new / file, reference.inputs)
                    max_differences[name] = _compare(name, p, reference)
            exported = Exported(
                path=path,
                max_differences=max_differences,
                compared_with=reference.description,
                skipped=skipped,
            )
            paths.write_json(new / "contract.json", run.contract.to_dict())
            paths.write_json(new / "export.json", _describe_export(run, exported))
            if path.exists():
                path.rename(unfinished / "old")
            new.rename(path)
    except OSError as error:
        raise RunError(
            f"The export {path} could not be written: {error}. Nothing was left behind; check the "
            f"space and the permissions of the disk, and export again."
        ) from error
    return exported


def unpack_single(inputs: list[np.ndarray]) -> list[np.ndarray] | np.ndarray:
    """Return the only input of a list of one, as a model with one input expects it.

    Parameters
    ----------
    inputs : list of array
        One array for each input of a model.

    Examples
    --------
    >>> unpack_single([np.zeros((2, 4, 1))]).shape
    (2, 4, 1)
    """
    return inputs if len(inputs) > 1 else inputs[0]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Reference:
    """Inputs of the model, the probabilities expected for them, and what they are."""

    inputs: list[np.ndarray]
    p: np.ndarray
    description: str


def _describe_export(run: Run, exported: Exported) -> dict[str, Any]:
    """Return the content of export.json."""
    inputs = {"signal": "(n_windows, n_samples, n_leads), float32, in mV; see contract.json"}
    if columns := run.contract.processing.tabular_columns:
        names = ", ".join(columns)
        inputs["tabular"] = f"(n_windows, {len(columns)}), float32, NaN where missing: {names}"
    return {
        "run": run.path.name,
        "model": run.experiment.model_name,
        "inputs": inputs,
        "output": "probabilities: (n_windows, n_classes), float32, calibrated on validation",
        "files": {name: FILES[name] for name in exported.max_differences},
        "max_differences": exported.max_differences,
        "compared_with": exported.compared_with,
        "skipped": exported.skipped,
        "versions": run.versions | {"keras": keras.__version__},
    }


def _find_skipped_formats(formats: Sequence[str], precision: str) -> dict[str, str]:
    """Return why formats cannot be written; refuse one that was asked for."""
    missing = [name for name in REQUIRED_FOR_ONNX if importlib.util.find_spec(name) is None]
    if precision != "float32":
        reason = f"ONNX needs a model in float32, and the run computes in {precision}"
    elif missing:
        reason = f"ONNX needs {', '.join(missing)}: python -m pip install {' '.join(missing)}"
    else:
        return {}
    if "onnx" in formats:
        raise RunError(f"{reason}. Or export the other formats only.")
    return {"onnx": reason}


def _find_reference(run: Run, model: keras.Model, data_dir: str | Path) -> _Reference:
    """Read stored test windows and their predictions, or predict random windows."""
    contract = run.contract
    store = paths.data_dir(data_dir) / f"{contract.dataset}-{contract.fingerprint}"
    if is_store(store):
        stored = run.predictions("test")
        chosen = np.unique(np.linspace(0, stored.n_windows - 1, N_COMPARED).astype(int))
        dataset, rows = Dataset(store), stored.rows[chosen]
        inputs = [dataset.read(rows)]
        if columns := contract.processing.tabular_columns:
            inputs.append(dataset.read_tabular(rows, columns))
        return _Reference(
            inputs=inputs,
            p=stored.p[chosen],
            description=f"the stored predictions of {len(chosen)} test windows",
        )
    rng = np.random.default_rng(0)
    shapes = [(BATCH_SIZE, *x.shape[1:]) for x in model.inputs]
    inputs = [rng.normal(0, RANDOM_SPREAD_MV, shape).astype(np.float32) for shape in shapes]
    return _Reference(
        inputs=inputs,
        p=model.predict(unpack_single(inputs), batch_size=BATCH_SIZE, verbose=0),
        description=(
            f"the run's model on {BATCH_SIZE} random windows, as there is no store {store}"
        ),
    )


def _compare(name: str, p: np.ndarray, reference: _Reference) -> float:
    difference = float(np.abs(p - reference.p).max())
    if not difference <= MAX_DIFFERENCE:
        raise RunError(
            f"The {name} model differs from {reference.description} by {difference:.2g}, expected "
            f"at most {MAX_DIFFERENCE:g}; nothing was written. Export with the library versions "
            f"and on the kind of device that the run was made with (experiment.json)."
        )
    return difference


def _write_keras(run: Run, model: keras.Model, path: Path) -> None:
    model.save(path)


def _read_keras(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    model.jit_compile = False
    return model.predict(unpack_single(inputs), batch_size=BATCH_SIZE, verbose=0)


def _write_saved_model(run: Run, model: keras.Model, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)
    # TensorFlow leaves the folder assets.extra to others.
    paths.write_json(path / "assets.extra" / "contract.json", run.contract.to_dict())


def _read_saved_model(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    batches = _split_into_batches(inputs)
    return np.concatenate([np.asarray(layer(unpack_single(batch))) for batch in batches])


def _write_onnx(run: Run, model: keras.Model, path: Path) -> None:
    import onnx

    model = build_run_model(run)  # a second one, because its layers are changed
    zeros = [np.zeros((1, *x.shape[1:]), np.float32) for x in model.inputs]
    model(unpack_single(zeros))  # Keras does not export a model before its use
    for layer in _iterate_layers(model):
        if isinstance(layer, keras.layers.Normalization):
            # Tensors that a layer holds would become inputs of the ONNX model.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with use_onnx_operations(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks for np.object
        model.export(path, format="onnx", verbose=False)
    converted = onnx.load(path)
    _name_inputs_and_output(converted.graph)
    onnx.helper.set_model_props(converted, {"contract": json.dumps(run.contract.to_dict())})
    onnx.checker.check_model(converted)
    onnx.save(converted, path)


def _read_onnx(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = ("signal", "tabular")[: len(inputs)]
    batches = (dict(zip(names, batch, strict=True)) for batch in _split_into_batches(inputs))
    return np.concatenate([session.run(None, batch)[0] for batch in batches])


Writer = Callable[[Run, keras.Model, Path], None]
Reader = Callable[[Path, list[np.ndarray]], np.ndarray]

_WRITERS: dict[str, Writer] = {
    "keras": _write_keras,
    "savedmodel": _write_saved_model,
    "onnx": _write_onnx,
}
_READERS: dict[str, Reader] = {
    "keras": _read_keras,
    "savedmodel": _read_saved_model,
    "onnx": _read_onnx,
}


def _name_inputs_and_output(graph: Any) -> None:
    """Name the only output "probabilities", and the first axis of inputs and output "n_windows"."""
    (output,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["probabilities" if name == output.name else name for name in names]
    output.name = "probabilities"
    for value in (*graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "n_windows"


def _iterate_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _iterate_layers(layer)


def _split_into_batches(inputs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(inputs[0]), BATCH_SIZE):
        yield [array[start : start + BATCH_SIZE] for array in inputs]
